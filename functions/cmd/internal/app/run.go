package app

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// sendAwayShare is the part of DRAIN_TIMEOUT over which the clients are
	// told one after the other; the rest is for those who take their time.
	sendAwayShare = 0.75
	// lookAgain is how often a process without clients looks for late ones.
	lookAgain = 50 * time.Millisecond
	// firstLook is how long the JetStream stream may delay the first answers.
	firstLook = time.Second
	// closeTimeout is what answers under way get once the listener is closed.
	closeTimeout = time.Second
)

// Run serves until ctx ends, and then for DRAIN_TIMEOUT, in which it sends the
// clients away and is not ready; the error is nil then. NATS need not be there:
// the process lives, and is ready when NATS is. It fails when it cannot listen.
func Run(ctx context.Context, o Options) error {
	a, err := newApp(o)
	if err != nil {
		return err
	}
	l, err := a.listen(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	ml, err := a.listenMetrics(ctx)
	if err != nil {
		return err
	}
	if o.Conn.IsConnected() {
		// Saves the feed a first failure where the stream is new. What goes
		// wrong here is tried again, and told then.
		short, cancel := context.WithTimeout(ctx, firstLook)
		_ = a.lookUpStream(short)
		cancel()
	}
	p := &process{app: a, server: a.newServer(a.routes(l.Addr())), failed: make(chan error, 1)}
	if p.certificate, err = a.readCertificate(); err != nil {
		return err
	}
	if p.certificate != nil {
		p.server.TLSConfig = p.certificate.config()
		p.server.Protocols.SetHTTP2(true)
		p.server.Protocols.SetUnencryptedHTTP2(false)
	}
	p.start(ctx, l, ml)
	select {
	case <-ctx.Done():
		p.stop(!o.Laptop)
		return nil
	case err = <-p.failed:
		p.stop(false)
		return err
	}
}

// process is an app that runs.
type process struct {
	*app
	server        *http.Server
	certificate   *certificate // of server, nil in clear text
	metricsServer *http.Server // of METRICS_ADDR, or nil
	failed        chan error   // what ends the process early; the first of it

	streams, others       sync.WaitGroup
	endStreams, endOthers context.CancelFunc
}

// start starts everything. Nothing of it ends with ctx but the wait to be
// ready: stop ends all, in the right order.
func (p *process) start(ctx context.Context, l, ml net.Listener) {
	alive := context.WithoutCancel(ctx)
	streams, endStreams := context.WithCancel(alive)
	others, endOthers := context.WithCancel(alive)
	waiting, endWaiting := context.WithCancel(ctx)
	p.endStreams = endStreams
	p.endOthers = func() { endWaiting(); endOthers() }

	p.others.Go(func() { p.fail(p.health.Run(others)) })
	p.others.Go(func() { p.access.run(others) })
	p.others.Go(func() { p.fail(p.publish.run(others)) })
	if p.certificate != nil {
		p.others.Go(func() { p.certificate.run(others) })
	}
	if p.feed != nil {
		p.streams.Go(func() { p.fail(p.feed.Run(streams)) })
	}
	p.others.Go(func() { p.fail(serve(p.server, l)) })
	p.Logger.Info("listening", "addr", l.Addr().String(), "scheme", p.Settings.TLS.Scheme(), "instance", p.instance)
	if ml != nil {
		p.metricsServer = p.newMetricsServer()
		p.others.Go(func() { p.fail(serve(p.metricsServer, ml)) })
		p.Logger.Info("listening for metrics", "addr", ml.Addr().String())
	}
	p.others.Go(func() {
		if p.waitReady(waiting) {
			p.Logger.Info("ready")
			if p.Ready != nil {
				p.Ready(l.Addr())
			}
		}
	})
}

// fail ends the process because of err, unless that is how things end well.
func (p *process) fail(err error) {
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	select {
	case p.failed <- err:
	default:
	}
}

// stop ends everything in this order: new requests are told in-band to come
// back, and the process is not ready; the open streams are told too, one after
// the other; then the listener ends, the feed, and the rest.
// http.Server.Shutdown comes late because it closes the listener first and does
// not know hijacked connections.
//
// With linger the listener stays for DRAIN_TIMEOUT, whatever the number of
// clients: a load balancer sends new ones until it has noticed.
func (p *process) stop(linger bool) {
	began := time.Now()
	timeout := p.Settings.Server.DrainTimeout
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if p.handler != nil {
		p.handler.Drain() // before the first who sees that it is not ready
	}
	p.publish.drain()
	p.health.Drain()
	p.Logger.Info("draining", "clients", p.clients(), "DRAIN_TIMEOUT", timeout)
	if p.feed != nil {
		p.sendAway(ctx, linger)
	}
	if linger {
		<-ctx.Done()
	}
	p.shutdown(p.server)
	p.endStreams()
	p.streams.Wait()
	if p.feed != nil {
		p.handler.Wait()
	}
	_ = p.server.Close() // what Shutdown has left
	if p.metricsServer != nil {
		p.shutdown(p.metricsServer)
	}
	p.endOthers()
	p.others.Wait()
	p.Logger.Info("stopped", "took", time.Since(began))
}

func (p *process) clients() int {
	if p.feed == nil {
		return 0
	}
	return p.feed.Count()
}

// sendAway returns when all clients are gone, or ctx has ended. With linger it
// waits for that end: who was admitted before the stop may subscribe later.
func (p *process) sendAway(ctx context.Context, linger bool) {
	p.feed.Drain(ctx, time.Duration(sendAwayShare*float64(p.Settings.Server.DrainTimeout)))
	for linger && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(lookAgain):
			p.feed.Drain(ctx, 0)
		}
	}
	if n := p.feed.Count(); n > 0 {
		p.Logger.Warn("clients did not take their last block in time and are cut", "clients", n)
	}
}

func (p *process) shutdown(srv *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		p.Logger.Debug("answers under way are cut", "err", err)
	}
}

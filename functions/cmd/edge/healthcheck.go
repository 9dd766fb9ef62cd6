package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"sluice/functions/access/address"
	"sluice/functions/settings"
)

const (
	checkTimeout = 2 * time.Second
	maxAnswer    = 4 << 10 // bytes of a probe's answer that an error repeats
)

// healthcheck asks the edge with the same settings on this machine; nil is
// a good answer.
func healthcheck(ctx context.Context, cfg *settings.Edge) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	host := cfg.Server.Host
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost" // 0.0.0.0 is to listen on, :: too
	}
	path := "/livez"
	if cfg.Healthcheck.Ready {
		path = "/readyz"
	}
	url := cfg.TLS.Scheme() + "://" + net.JoinHostPort(host, strconv.Itoa(cfg.Server.Port)) + path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	// Not the default transport: it would go through HTTP_PROXY. The certificate is
	// for another name than this machine's, and nothing is told that it should keep.
	transport := &http.Transport{DialContext: dialer(&cfg.Access.Proxies), TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("no answer (is PORT %d the one of the edge?): %w", cfg.Server.Port, err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", url, resp.Status, body)
	}
	return nil
}

// dialer connects as the edge wants it from this machine: where it is one of the
// TRUSTED_PROXIES of PROXY_PROTOCOL, with a header that names no client.
func dialer(s *settings.Proxies) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil || !s.Protocol {
			return conn, err
		}
		peers, err := address.New(s.Ranges(), s.ForwardedHeader)
		if tcp, ok := conn.LocalAddr().(*net.TCPAddr); err == nil && ok && peers.Trusts(tcp.AddrPort().Addr()) {
			_, err = io.WriteString(conn, "PROXY UNKNOWN\r\n")
		}
		if err != nil {
			_ = conn.Close()
			return nil, err
		}
		return conn, nil
	}
}

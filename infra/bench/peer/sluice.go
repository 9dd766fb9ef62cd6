package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"sluice/functions/access/token"
	"sluice/publisher"
)

const sluice = "Sluice"

// Build builds the command local of the module that the working directory is
// in, into a temporary directory that remove deletes.
func Build(ctx context.Context) (binary string, remove func() error, err error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	root := filepath.Dir(strings.TrimSpace(string(out)))
	if err != nil || root == "." || strings.TrimSpace(string(out)) == os.DevNull {
		return "", nil, errors.New("build Sluice: run this in Sluice's source tree, or name a built one with --binary")
	}
	dir, remove, err := tempDir()
	if err != nil {
		return "", nil, err
	}
	binary = filepath.Join(dir, "sluice")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./functions/cmd/local")
	build.Dir = root
	build.WaitDelay = time.Second // for what the build has started
	if out, err := build.CombinedOutput(); err != nil {
		return "", nil, errors.Join(fmt.Errorf("build Sluice: %w\n%s", err, out), remove())
	}
	return binary, remove, nil
}

// StartSluice starts the command local that Build has built, without its demo
// producer, and waits until it is ready. env are more settings, KEY=VALUE.
func StartSluice(ctx context.Context, binary string, env []string) (*Server, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	dir, remove, err := tempDir()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(binary)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOST=127.0.0.1", "LOG_LEVEL=warn", "DEMO=false", "DRAIN_TIMEOUT=1s")
	cmd.Env = append(append(cmd.Env, env...), // the last of a name wins
		"PORT="+strconv.Itoa(ports[0]), "NATS_PORT="+strconv.Itoa(ports[1]), "STORE_DIR="+filepath.Join(dir, "store"))
	secret := secretOf(env)
	if secret != "" {
		cmd.Env = append(cmd.Env, "AUTH_QUERY=true")
	}
	child, err := start(cmd)
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	s := newSluice(sluice, loopback(ports[0]), "nats://"+loopback(ports[1]).String())
	if secret != "" {
		s.path = withToken(s.path, secret)
	}
	s.pid = int32(cmd.Process.Pid)
	s.stop = func() error { return errors.Join(child.end(), remove()) }
	if err := child.await(ctx, s.ready); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// AttachSluice is a Sluice that runs already: base is its HTTP address such as
// http://127.0.0.1:8000, pid its process or 0 if its use does not matter.
func AttachSluice(ctx context.Context, base, natsURL string, pid int32) (*Server, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" || u.Port() == "" {
		return nil, fmt.Errorf("--url %q: want http://host:port", base)
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return nil, fmt.Errorf("--url %q: %w", base, err)
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		return nil, fmt.Errorf("--url %q: %w", base, err)
	}
	s := newSluice(sluice, netip.AddrPortFrom(ips[0].Unmap(), uint16(port)), natsURL)
	s.pid = pid
	if err := s.ready(ctx); err != nil {
		return nil, fmt.Errorf("--url %q: %w", base, err)
	}
	return s, nil
}

func newSluice(name string, addr netip.AddrPort, natsURL string) *Server {
	s := &Server{Name: name, Addr: addr, NATS: natsURL, IDs: true}
	s.path = func(topic string) string { return "/stream?busy=status&topic=" + url.QueryEscape(topic) }
	s.publisher = s.publish
	return s
}

// secretOf is the JWT_SECRET that the server is started with.
func secretOf(env []string) (secret string) {
	for _, kv := range env {
		if value, ok := strings.CutPrefix(kv, "JWT_SECRET="); ok {
			secret = value
		}
	}
	return secret
}

// withToken has each client send a token of its own.
func withToken(path func(topic string) string, secret string) func(topic string) string {
	var clients atomic.Int64
	return func(topic string) string {
		text, err := token.Sign(secret, token.Order{
			Subject: fmt.Sprintf("bench%d", clients.Add(1)), For: time.Hour, Claim: "sluice", Grant: map[string]any{"subscribe": []string{">"}},
		})
		if err != nil {
			return path(topic) // the server says what is wrong with the secret
		}
		return path(topic) + "&" + token.QueryParameter + "=" + text
	}
}

func (s *Server) ready(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Addr.String()+"/readyz", nil)
	if err != nil {
		return err
	}
	req.Close = true // it is not to count as one of the clients' connections
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10))
		return fmt.Errorf("/readyz: %s %s", res.Status, why)
	}
	return nil
}

// publish makes Sluice's own publisher, on a connection of its own.
func (s *Server) publish(ctx context.Context, pending int) (Publisher, error) {
	conn, err := nats.Connect(s.NATS, nats.Name("sluice-bench"), nats.ReconnectBufSize(-1))
	if err != nil {
		return nil, fmt.Errorf("connect to the NATS server of %s at %s: %w", s.Name, s.NATS, err)
	}
	p, err := publisher.New(ctx, publisher.Options{Conn: conn, MaxPending: pending, Name: "bench"})
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &sluicePublisher{p, conn}, nil
}

type sluicePublisher struct {
	*publisher.Publisher
	conn *nats.Conn
}

func (p *sluicePublisher) Publish(ctx context.Context, topic string, data []byte) error {
	return p.Publisher.Publish(ctx, publisher.Event{Topic: topic, Data: data})
}

func (p *sluicePublisher) Close() {
	p.Publisher.Close()
	p.conn.Close()
}

package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/cmd/internal/cmdtest"
	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

// selfSigned is a certificate for a name, which is its own authority, and its key.
func selfSigned(t testing.TB, name string) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: serial, DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(k)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
}

// pair is a certificate and its key in files.
type pair struct{ cert, key string }

func newPair(t testing.TB, name string) *pair {
	t.Helper()
	dir := t.TempDir()
	p := &pair{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	cert, key := selfSigned(t, name)
	p.write(t, cert, key)
	return p
}

func (p *pair) write(t testing.TB, cert, key []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(p.cert, cert, 0o600))
	require.NoError(t, os.WriteFile(p.key, key, 0o600))
}

func (p *pair) roots(t testing.TB) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(p.cert)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(text))
	return pool
}

// secured is an edge that speaks TLS.
type secured struct {
	*edge
	pair *pair
	url  string
}

func (r *rig) secured(t *testing.T, settings ...string) *secured {
	t.Helper()
	p := newPair(t, "localhost")
	e := edgeOn(t, r.nats.URL(), append([]string{"TLS_CERT", p.cert, "TLS_KEY", p.key}, settings...)...)
	s := &secured{e, p, "https://" + e.Logged("listening")["addr"].(string)}
	e.Logged("ready")
	return s
}

// open opens a stream over HTTP/1.1 or HTTP/2.
func (s *secured) open(t *testing.T, h2 bool, query string, headers ...string) *streamtest.Client {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols), TLSClientConfig: &tls.Config{RootCAs: s.pair.roots(t), ServerName: "localhost"}}
	transport.Protocols.SetHTTP1(!h2)
	transport.Protocols.SetHTTP2(h2)
	t.Cleanup(transport.CloseIdleConnections)
	ctx, cancel := context.WithTimeout(t.Context(), natstest.Patience)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/stream"+query, http.NoBody)
	require.NoError(t, err)
	r.Header.Set("Accept", "text/event-stream")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := transport.RoundTrip(r)
	require.NoError(t, err)
	t.Cleanup(func() { _ = resp.Body.Close() })
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.NotNil(t, resp.TLS)
	require.Equal(t, map[bool]int{false: 1, true: 2}[h2], resp.ProtoMajor)
	require.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"))
	return streamtest.Over(resp)
}

var overTLS = map[string]bool{"HTTP/1.1": false, "HTTP/2": true}

// TestStreamsOverTLS: live, resumed, refused in-band and drained as in clear text.
func TestStreamsOverTLS(t *testing.T) {
	t.Parallel()
	for name, h2 := range overTLS {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			s := r.secured(t, "RING_EVENTS", "16", "MAX_CONNECTIONS", "2", "HEARTBEAT_INTERVAL", "100ms")
			r.log.PublishN(100, "a", "b")
			c := s.open(t, h2, "?topic=a&from=start")
			assert.EqualValues(t, "complete", c.System(t, "open").System().Resumed)
			gets(t, c, r.log.Match(0, "a"))
			want := r.log.Publish("a")
			gets(t, c, []streamtest.Stored{want})
			again := s.open(t, h2, "?topic=a", "Last-Event-ID", r.log.ID(50))
			again.System(t, "open")
			gets(t, again, r.log.Match(50, "a"))
			for c.Block(t).Type != "heartbeat" {
			}
			assert.EqualValues(t, "too_many_connections", s.open(t, h2, "").System(t, "busy").System().Reason)
			s.Terminate()
			assert.EqualValues(t, "shutdown", c.System(t, "drain").System().Reason)
			assert.Equal(t, r.log.ID(want.Seq), c.LastID())
		})
	}
}

// TestASlowClientIsCutOverTLS, and nobody else notices.
func TestASlowClientIsCutOverTLS(t *testing.T) {
	t.Parallel()
	r := newLargeRig(t)
	s := r.secured(t, "MAX_EVENT_BYTES", "1000000", "STALL_TIMEOUT", "1s", "PENDING_BYTES", "1000000000")
	conn, err := tls.Dial("tcp", strings.TrimPrefix(s.url, "https://"), &tls.Config{RootCAs: s.pair.roots(t), ServerName: "localhost"})
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("GET /stream?topic=large HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(natstest.Patience)))
	_, err = bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	other := s.open(t, true, "?topic=a")
	other.System(t, "open")
	r.log.PublishN(20, "large")
	s.waitEnd("large", "stalled")
	r.log.Pad = 0
	gets(t, other, []streamtest.Stored{r.log.Publish("a")})
}

// testTLS: TLS 1.2 and newer, a new certificate without a restart, and half of a
// change is none.
func testTLS(t *testing.T) {
	r := newRig(t)
	s := r.secured(t)
	stream := s.open(t, false, "")
	stream.System(t, "open")
	addr := strings.TrimPrefix(s.url, "https://")
	serial := func(version uint16) (*big.Int, error) {
		conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber, nil
	}
	before, err := serial(tls.VersionTLS12)
	require.NoError(t, err)
	_, err = serial(tls.VersionTLS11)
	require.Error(t, err)
	p := cmdtest.Exec(t, map[string]string{"PORT": addr[strings.LastIndex(addr, ":")+1:], "TLS_CERT": s.pair.cert, "TLS_KEY": s.pair.key}, "healthcheck", "--ready")
	require.NoError(t, p.Wait(), p.Stderr())

	cert, key := selfSigned(t, "localhost")
	require.NoError(t, os.WriteFile(s.pair.cert, cert, 0o600))
	s.Logged("the certificate has changed and cannot be used; the old one stays")
	now, err := serial(tls.VersionTLS13)
	require.NoError(t, err)
	assert.Equal(t, before, now)
	s.pair.write(t, cert, key)
	s.Eventually(func() bool {
		now, err := serial(tls.VersionTLS13)
		return err == nil && now.Cmp(before) != 0
	})
	gets(t, stream, []streamtest.Stored{r.log.Publish("a")})
}

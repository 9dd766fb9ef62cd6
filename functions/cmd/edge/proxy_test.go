package main

import (
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/shirou/gopsutil/v4/process"
	"github.com/stretchr/testify/require"

	"sluice/natsembed/natstest"
)

// site is the name that the samples of infra/proxies serve.
const site = "api.example.com"

// filesAtStart is the limit of open files under which the proxies are started, as
// a shell or a service manager may have it. Each of them can raise it.
const filesAtStart = 64

// kind is one of the proxies of infra/proxies.
type kind struct {
	program string // and Debian package
	sample  string // its file
	// changes are the texts of the sample and what stands for them: ports,
	// paths and certificates, and nothing else.
	changes func(p *proxy) [][2]string
	args    []string
	reload  func(p *proxy)
	looks   bool   // at /readyz, now and then
	full    string // what an EventSource hears where no edge has a place
	limit   string // the end of the sample's line with its own limit for one address; "" for none
}

var kinds = []kind{
	{
		program: "nginx", sample: "nginx.conf",
		changes: func(p *proxy) [][2]string {
			return [][2]string{
				{"listen 443 ssl", "listen " + p.addr() + " ssl"},
				{"http {", "http { access_log off; client_body_temp_path body; proxy_temp_path proxy;" +
					"fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;"},
			}
		},
		args:   []string{"-p", ".", "-e", "stderr", "-c", "nginx.conf", "-g", "daemon off; pid nginx.pid;"},
		reload: func(p *proxy) { p.signal(syscall.SIGHUP) },
		limit:  "conn addresses 2048",
		full:   "busy too_many_connections",
	},
	{
		program: "haproxy", sample: "haproxy.cfg",
		changes: func(p *proxy) [][2]string {
			return [][2]string{
				{"bind :443 ssl", "bind " + p.addr() + " ssl"},
				{"/etc/haproxy/api.example.com.pem", "tls/both.pem"},
			}
		},
		args:   []string{"-W", "-f", "haproxy.cfg"},
		reload: func(p *proxy) { p.signal(syscall.SIGUSR2) },
		limit:  "conn_cur gt 2048",
		looks:  true,
		full:   "", // it cannot ask an edge once more
	},
	{
		program: "caddy", sample: "Caddyfile",
		changes: func(p *proxy) [][2]string {
			return [][2]string{
				{"\n{\n", fmt.Sprintf("\n{\nadmin 127.0.0.1:%d\nauto_https disable_redirects\n", p.admin)},
				{"\n" + site + " {\n", fmt.Sprintf("\n%s:%d {\nbind 127.0.0.1\ntls tls/cert.pem tls/key.pem\n", site, p.port)},
			}
		},
		args: []string{"run", "--adapter", "caddyfile", "--config", "Caddyfile"},
		reload: func(p *proxy) {
			p.run("reload", "--force", "--adapter", "caddyfile", "--config", "Caddyfile", "--address", fmt.Sprintf("127.0.0.1:%d", p.admin))
		},
		looks: true,
		full:  "busy too_many_connections",
	},
}

// proxy is a proxy that runs in a directory of its own.
type proxy struct {
	*kind
	t     *testing.T
	dir   string
	path  string // of its program
	port  int
	admin int // port at which it is told to reload, if it is not by a signal
	pid   int // of its first process
	roots *x509.CertPool
}

// startProxy starts the shipped sample in front of two edges, with what is to stand
// for some of its texts, and waits until it listens. It ends with the test.
func startProxy(t *testing.T, k *kind, edges []int, changes ...[2]string) *proxy {
	t.Helper()
	ports := natstest.Ports(t, 2)
	p := &proxy{kind: k, t: t, dir: t.TempDir(), path: installed(t, k.program), port: ports[0], admin: ports[1]}
	p.writeCertificate()
	p.writeSample(edges, changes)
	// The shell ends the proxy when the test lets go of its input, or dies.
	const guard = `ulimit -Sn "$0"; "$@" & echo $!; cat > /dev/null; kill $!; wait`
	cmd := exec.Command("sh", append([]string{"-c", guard, strconv.Itoa(filesAtStart), p.path}, k.args...)...)
	cmd.Dir, cmd.Env, cmd.Stderr = p.dir, p.env(), t.Output()
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		natstest.Await(t, func() {
			_, _ = io.Copy(io.Discard, stdout) // until all that the proxy has started is gone
			_ = cmd.Wait()
		})
	})
	_, err = fmt.Fscanln(stdout, &p.pid)
	require.NoError(t, err)
	require.Eventually(t, p.listens, natstest.Patience, poll)
	return p
}

// installed is where a program is. Where there is none the test is skipped; but not
// in CI, where it has to run.
func installed(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil { // Debian keeps some off the path of most users
		path, err = exec.LookPath("/usr/sbin/" + program)
	}
	if err != nil {
		require.Empty(t, os.Getenv("CI"), "in CI nothing is skipped: %s", err)
		t.Skipf("%s: on Debian and Ubuntu, apt-get install %s", err, program)
	}
	return path
}

// env has all that a proxy writes in its directory.
func (p *proxy) env() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir, "XDG_CONFIG_HOME=" + p.dir, "XDG_DATA_HOME=" + p.dir}
}

// writeSample writes the sample with its changes, each of which must have one
// place in it.
func (p *proxy) writeSample(edges []int, changes [][2]string) {
	p.t.Helper()
	read, err := os.ReadFile(filepath.Join("../../../infra/proxies", p.sample))
	require.NoError(p.t, err)
	text := string(read)
	changes = append(changes, p.changes(p)...)
	for i, port := range edges {
		changes = append(changes, [2]string{fmt.Sprintf("127.0.0.1:%d", 8000+i), fmt.Sprintf("127.0.0.1:%d", port)})
	}
	for _, change := range changes {
		require.Equal(p.t, 1, strings.Count(text, change[0]), "%s in %s", change[0], p.sample)
		text = strings.Replace(text, change[0], change[1], 1)
	}
	p.write(p.sample, []byte(text))
}

func (p *proxy) write(name string, text []byte) {
	p.t.Helper()
	require.NoError(p.t, os.WriteFile(filepath.Join(p.dir, name), text, 0o600))
}

// writeCertificate makes a certificate for the site, which the clients know.
func (p *proxy) writeCertificate() {
	p.t.Helper()
	certPEM, keyPEM := selfSigned(p.t, site)
	require.NoError(p.t, os.Mkdir(filepath.Join(p.dir, "tls"), 0o700))
	p.write("tls/cert.pem", certPEM)
	p.write("tls/key.pem", keyPEM)
	p.write("tls/both.pem", append(certPEM, keyPEM...))
	p.roots = x509.NewCertPool()
	p.roots.AppendCertsFromPEM(certPEM)
}

func (p *proxy) listens() bool {
	conn, err := net.DialTimeout("tcp", p.addr(), natstest.Patience)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

func (p *proxy) addr() string { return fmt.Sprintf("127.0.0.1:%d", p.port) }

func (p *proxy) signal(s os.Signal) {
	p.t.Helper()
	first, err := os.FindProcess(p.pid)
	require.NoError(p.t, err)
	require.NoError(p.t, first.Signal(s))
}

// run runs its program once more.
func (p *proxy) run(args ...string) {
	p.t.Helper()
	cmd := exec.CommandContext(natstest.Context(p.t), p.path, args...)
	cmd.Dir, cmd.Env = p.dir, p.env()
	said, err := cmd.CombinedOutput()
	require.NoError(p.t, err, "%s", said)
}

// processes are those that its first one has started.
func (p *proxy) processes() []int32 {
	p.t.Helper()
	first, err := process.NewProcess(int32(p.pid))
	require.NoError(p.t, err)
	children, err := first.Children()
	if err != nil {
		return nil // it has none
	}
	var ids []int32
	for _, child := range children {
		ids = append(ids, child.Pid)
	}
	return ids
}

package peer

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"text/template"
)

//go:embed nchan.conf
var nchanConf string

var nchanTemplate = template.Must(template.New("nchan.conf").Parse(nchanConf))

// nchanModule is where Debian's libnginx-mod-nchan puts it.
const nchanModule = "/usr/lib/nginx/modules/ngx_nchan_module.so"

// CheckNchan reports what is missing to start Nchan.
func CheckNchan() error {
	_, err := nginx()
	if _, e := os.Stat(nchanModule); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("no Nchan is installed (%w): on Debian and Ubuntu, apt-get install nginx-light libnginx-mod-nchan", err)
	}
	return nil
}

// nginx finds the program; Debian keeps it off the path of most users.
func nginx() (string, error) {
	if path, err := exec.LookPath("nginx"); err == nil {
		return path, nil
	}
	return exec.LookPath("/usr/sbin/nginx")
}

// StartNchan starts nginx with Nchan on a free port, one worker per processor,
// and waits until it listens.
func StartNchan(ctx context.Context) (*Server, error) {
	if err := CheckNchan(); err != nil {
		return nil, err
	}
	program, err := nginx()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	dir, remove, err := tempDir()
	if err != nil {
		return nil, err
	}
	child, err := startNginx(program, dir, ports[0])
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	s := &Server{Name: "Nchan", Addr: loopback(ports[0]), pid: int32(child.cmd.Process.Pid)}
	s.path = func(topic string) string { return "/sub?id=" + url.QueryEscape(topic) }
	s.publisher = s.poster
	s.stop = func() error { return errors.Join(child.end(), remove()) }
	err = child.await(ctx, func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.Addr.String())
		if err == nil {
			err = conn.Close()
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func startNginx(program, dir string, port int) (*child, error) {
	var conf bytes.Buffer
	err := nchanTemplate.Execute(&conf, map[string]any{
		"Module": nchanModule, "Dir": dir, "Port": port, "Workers": runtime.NumCPU(), "Root": os.Getuid() == 0,
	})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, conf.Bytes(), 0o600); err != nil {
		return nil, fmt.Errorf("configuration of Nchan: %w", err)
	}
	return start(exec.Command(program, "-p", dir, "-c", file, "-e", "stderr"))
}

package settings

import (
	"crypto/tls"
	"os"
)

// TLS is how clients reach the process.
type TLS struct {
	Cert string `name:"tls-cert" env:"TLS_CERT" placeholder:"FILE" help:"Certificate (PEM, with its chain): PORT speaks TLS then. The files are read again when they change."`
	Key  string `name:"tls-key" env:"TLS_KEY" placeholder:"FILE" help:"Key (PEM) of TLS_CERT."`
}

// On reports whether PORT speaks TLS.
func (t *TLS) On() bool { return t.Cert != "" }

// Scheme is what its URLs begin with.
func (t *TLS) Scheme() string {
	if t.On() {
		return "https"
	}
	return "http"
}

func (t *TLS) validate(c *checks) {
	c.pair("TLS_CERT", t.Cert, "TLS_KEY", t.Key)
}

// pair checks a certificate and its key, of which each needs the other.
func (c *checks) pair(certEnv, cert, keyEnv, key string) {
	certOK, keyOK := c.readable(certEnv, cert, "a certificate file"), c.readable(keyEnv, key, "a key file")
	if certOK && keyOK {
		_, err := tls.LoadX509KeyPair(cert, key)
		c.none(certEnv, err)
	}
	c.says((cert == "") == (key == ""), certEnv+" and "+keyEnv+" go together: set both")
}

// readable reports whether there is such a file, and notes it unless file is "".
func (c *checks) readable(env, file, what string) bool {
	if file == "" {
		return false
	}
	_, err := os.ReadFile(file)
	c.that(err == nil, env, file, "name "+what+" that this process may read")
	return err == nil
}

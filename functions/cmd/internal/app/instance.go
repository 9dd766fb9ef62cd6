package app

import (
	"os"
	"runtime/debug"
	"strings"

	"github.com/google/uuid"
)

const maxHostname = 40 // bytes of it in an instance's name

// instanceName names this process among all others: the machine's name as one
// NATS token, and something random.
func instanceName() string {
	random := uuid.NewString()[:8]
	host, err := os.Hostname()
	if err != nil || host == "" {
		return random
	}
	host = strings.Map(func(r rune) rune {
		if r == '-' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '-'
	}, host)
	return host[:min(len(host), maxHostname)] + "-" + random
}

// version is that of the module as it was built.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

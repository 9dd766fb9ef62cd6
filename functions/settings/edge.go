package settings

import (
	"slices"

	"github.com/alecthomas/kong"
)

// The functions of an edge.
const (
	FunctionStream  = "stream"
	FunctionHealth  = "health"
	FunctionConsole = "console"
)

// Edge is the configuration of the command edge.
type Edge struct {
	Shared `embed:""`
	NATS   NATS `embed:"" group:"NATS"`

	Functions []string `env:"FUNCTIONS" default:"stream,health" group:"Server" help:"What this process serves, comma separated: stream, health, console. /livez and /readyz are always there."`

	Serve       struct{} `cmd:"" default:"1" help:"Serve until SIGTERM, SIGINT or SIGHUP."`
	Healthcheck struct {
		Ready bool `help:"Ask /readyz instead of /livez."`
	} `cmd:"" help:"Ask the process on PORT whether it lives; exits 0 if so."`
}

func (*Edge) vars() kong.Vars { return kong.Vars{"host": "0.0.0.0", "cors_origins": ""} }

// Has reports whether the process is to serve the function.
func (e *Edge) Has(function string) bool { return slices.Contains(e.Functions, function) }

func (e *Edge) validate(c *checks, _ string) {
	e.Shared.validate(c)
	c.that(len(e.Functions) > 0, "FUNCTIONS", "", "name at least one of stream, health and console")
	for _, f := range e.Functions {
		c.that(slices.Contains([]string{FunctionStream, FunctionHealth, FunctionConsole}, f),
			"FUNCTIONS", f, "one of stream, health and console")
	}
	e.NATS.validate(c)
}

package settings

import (
	"fmt"
	"slices"
	"time"

	"github.com/alecthomas/kong"

	"sluice/functions/access/token"
)

// The functions of an edge.
const (
	FunctionStream  = "stream"
	FunctionHealth  = "health"
	FunctionConsole = "console"
	FunctionPublish = "publish"
)

// The commands of edge beside serve.
const (
	CommandHealthcheck = "healthcheck"
	CommandToken       = "token"
	CommandRevoke      = "revoke"
)

// Edge is the configuration of the command edge.
type Edge struct {
	Shared `embed:""`
	NATS   NATS `embed:"" group:"NATS"`

	Functions []string `env:"FUNCTIONS" default:"stream,health" group:"Server" help:"What this process serves, comma separated: stream, health, console, publish. /livez and /readyz are always there."`

	Serve       struct{} `cmd:"" default:"1" help:"Serve until SIGTERM, SIGINT or SIGHUP."`
	Healthcheck struct {
		Ready bool `help:"Ask /readyz instead of /livez."`
	} `cmd:"" help:"Ask the process on PORT whether it lives; exits 0 if so."`
	Token  Token  `cmd:"" help:"Print a token that is signed with JWT_SECRET."`
	Revoke Revoke `cmd:"" help:"Have every edge refuse a subject or a token, and end its streams; NATS_URL says where they are."`
}

func (*Edge) vars() kong.Vars { return kong.Vars{"host": "0.0.0.0", "cors_origins": ""} }

// Has reports whether the process is to serve the function.
func (e *Edge) Has(function string) bool { return slices.Contains(e.Functions, function) }

// Token is the command that signs one.
type Token struct {
	Sub       string        `help:"Subject: whose token it is."`
	Subscribe []string      `help:"Topics that it may read, comma separated; {sub} stands for the subject."`
	Deny      []string      `help:"Topics that it may not, although they are among the others."`
	Publish   []string      `help:"Topics that it may publish to."`
	For       time.Duration `default:"1h" help:"How long it counts."`
}

// Revoke is the command that takes leave back.
type Revoke struct {
	Sub string        `help:"Subject, all of whose tokens count no longer."`
	ID  string        `name:"jti" help:"Id (jti) of the one token that counts no longer."`
	For time.Duration `default:"24h" help:"For how long; as long as its tokens would count."`
}

func (e *Edge) validate(c *checks, chosen string) {
	switch chosen {
	case CommandToken:
		c.that(len(e.Access.JWTSecret) >= token.MinSecretBytes, "JWT_SECRET", "…", fmt.Sprintf("a secret of %d bytes or more, the one that the edges have", token.MinSecretBytes))
		c.says(e.Token.For > 0, "--for must be above 0")
		return
	case CommandRevoke:
		c.says((e.Revoke.Sub == "") != (e.Revoke.ID == ""), "name either --sub or --jti")
		c.says(e.Revoke.For >= time.Second, "--for must be a second or more")
		e.NATS.validate(c)
		return
	}
	e.Shared.validate(c)
	c.that(len(e.Functions) > 0, "FUNCTIONS", "", "name at least one of stream, health, console and publish")
	for _, f := range e.Functions {
		c.that(slices.Contains([]string{FunctionStream, FunctionHealth, FunctionConsole, FunctionPublish}, f),
			"FUNCTIONS", f, "one of stream, health, console and publish")
	}
	e.NATS.validate(c)
}

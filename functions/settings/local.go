package settings

import (
	"errors"
	"strings"

	"github.com/alecthomas/kong"
)

// Local is the configuration of the command local.
type Local struct {
	Shared `embed:""`

	Embedded Embedded `embed:"" group:"Embedded NATS"`
}

// Embedded is the NATS server in the process.
type Embedded struct {
	NATSPort     int    `name:"nats-port" env:"NATS_PORT" default:"${nats_port}" help:"TCP port of the embedded NATS server on 127.0.0.1, -1 for a free one, 0 for none."`
	NATSPassword string `name:"nats-password" env:"NATS_PASSWORD" placeholder:"PASSWORD" help:"Password of the embedded NATS server; random for another one each time. It is in the URL that is printed, and in STORE_DIR/nats.url, where publisher and edge find it. Empty lets every program on this machine in."`
	StoreDir     string `env:"STORE_DIR" default:"${store_dir}" help:"Directory of JetStream's files."`
	SyncAlways   bool   `name:"nats-sync-always" env:"NATS_SYNC_ALWAYS" default:"false" negatable:"" help:"Write each event to the disk (fsync) before it is acknowledged; else every two minutes."`
	Demo         bool   `env:"DEMO" default:"true" negatable:"" help:"Publish invented events."`
}

func (*Local) vars() kong.Vars { return kong.Vars{"host": "127.0.0.1", "cors_origins": "null"} }

func (l *Local) validate(c *checks, _ string) {
	l.Shared.validate(c)
	c.that(l.Embedded.NATSPort >= -1 && l.Embedded.NATSPort <= maxPort,
		"NATS_PORT", l.Embedded.NATSPort, "a TCP port, -1 for a free one or 0 for none")
	if strings.HasPrefix(l.Embedded.NATSPassword, "$2") { // NATS takes such a one for a hash
		c.none("NATS_PASSWORD", errors.New("want a password that does not begin with $2"))
	}
	c.that(l.Embedded.StoreDir != "", "STORE_DIR", l.Embedded.StoreDir, "name a directory")
}

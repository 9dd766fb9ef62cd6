package eventlog_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/eventlog"
	"sluice/functions/stream/feed/feedtest"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

func TestMain(m *testing.M) { os.Exit(natstest.RunAll(m)) }

// rig is a log as the test writes it and as the edge reads it.
type rig struct {
	*feedtest.Log
	line *feedtest.Line
	log  *eventlog.Log
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{Log: feedtest.NewLog(t)}
	r.line = feedtest.NewLine(t, r.Server)
	var err error
	r.log, err = eventlog.New(r.line.Conn, "", event.DefaultStream, "test")
	require.NoError(t, err)
	return r
}

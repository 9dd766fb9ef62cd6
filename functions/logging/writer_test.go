package logging_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/logging"
	"sluice/natsembed/natstest"
)

func TestRecordsAreWrittenInOrderAndAllAtTheEnd(t *testing.T) {
	natstest.CheckGoroutines(t)
	var out bytes.Buffer
	logger, flush := logging.New(&out, slog.LevelInfo, logging.Auto)
	var want []record
	for i := range 1000 {
		want = append(want, record{Level: "INFO", Msg: fmt.Sprint(i)})
		logger.Info(fmt.Sprint(i))
	}
	logger.Debug("not this one")
	flush()
	assert.Equal(t, want, records(t, &out))
}

// TestAReaderThatDoesNotReadHoldsNobodyUp, is told how many records it has missed
// where they were, and gets what comes later.
func TestAReaderThatDoesNotReadHoldsNobodyUp(t *testing.T) {
	natstest.CheckGoroutines(t)
	r, w := io.Pipe()
	logger, flush := logging.New(w, slog.LevelInfo, logging.Auto)
	const logged = 10_000
	for range logged {
		logger.Info("before", "pad", strings.Repeat("x", 100))
	}
	var out bytes.Buffer
	read := make(chan error, 1)
	go func() {
		_, err := io.Copy(&out, r)
		read <- err
	}()
	logger.Info("after")
	flush()
	require.NoError(t, w.Close())
	require.NoError(t, natstest.Receive(t, read))
	before, dropped, after := 0, 0, 0
	for _, r := range records(t, &out) {
		switch r.Msg {
		case "before":
			before++
			assert.Zero(t, dropped, "told behind them")
		case "after":
			after++
		default:
			assert.Equal(t, "WARN", r.Level)
			dropped += r.Records
		}
	}
	assert.NotZero(t, dropped)
	assert.Equal(t, logged+1, before+after+dropped)
}

// TestTheEndDoesNotWaitForAReaderThatDoesNotRead.
func TestTheEndDoesNotWaitForAReaderThatDoesNotRead(t *testing.T) {
	r, w := io.Pipe()
	defer r.Close()
	logger, flush := logging.New(w, slog.LevelInfo, logging.Text)
	logger.Info("a")
	flushed := make(chan struct{})
	go func() { flush(); close(flushed) }()
	natstest.Receive(t, flushed)
	require.ErrorIs(t, logging.Print(w, "b"), logging.ErrStuck)
}

func TestAReaderThatIsGoneChangesNothing(t *testing.T) {
	natstest.CheckGoroutines(t)
	r, w := io.Pipe()
	require.NoError(t, r.Close())
	logger, flush := logging.New(w, slog.LevelInfo, logging.Text)
	for range 10_000 {
		logger.Info("a")
	}
	flush()
	require.ErrorIs(t, logging.Print(w, "b"), io.ErrClosedPipe)
}

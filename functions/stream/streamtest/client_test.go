package streamtest

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"sluice/natsembed/natstest"
)

// A client whose event is lost must not wait for it for ever among heartbeats.
func TestHeartbeatsAloneEndAClient(t *testing.T) {
	const beat, event = "event: heartbeat\ndata: {}\n\n", "event: data\ndata: x\n\n"
	next := func(stream string) error {
		c := Over(&http.Response{Body: io.NopCloser(strings.NewReader(stream))})
		c.quiet = time.Now().Add(-2 * natstest.Patience)
		var err error
		for err == nil {
			_, err = c.Next()
		}
		return err
	}
	assert.ErrorIs(t, next(beat), errQuiet)
	assert.ErrorIs(t, next(event+beat+beat), io.EOF)
}

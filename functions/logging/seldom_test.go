package logging_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/logging"
)

// record is one line of the log.
type record struct {
	Level, Msg     string
	Times, Records int
}

func records(t *testing.T, log *bytes.Buffer) (all []record) {
	t.Helper()
	for lines := json.NewDecoder(log); lines.More(); {
		var r record
		require.NoError(t, lines.Decode(&r))
		all = append(all, r)
	}
	return all
}

func TestLinesOfOneKindAreLoggedOnceASecondWithTheirNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		lines := logging.Lines(slog.New(slog.NewJSONHandler(&log, nil)))
		for i := range 1000 {
			lines.Printf("http2: server connection error from 127.0.0.1:%d: connection error: PROTOCOL_ERROR", i)
			lines.Printf("http2: server: error reading preface from client [::1]:%d: bogus greeting %q", i, fmt.Sprint(i))
			lines.Printf("http: Accept error: accept tcp 127.0.0.1:8000: accept4: too many open files; retrying in %dms", i)
		}
		require.Len(t, records(t, &log), 3)
		<-time.After(time.Second)
		lines.Printf("http2: server connection error from 127.0.0.1:7: connection error: PROTOCOL_ERROR")
		got := records(t, &log)
		require.Len(t, got, 1)
		assert.Equal(t, record{Level: "WARN", Msg: "http2: server connection error from 127.0.0.1:7: connection error: PROTOCOL_ERROR", Times: 1000}, got[0])
	})
}

// TestKindsAreBounded: what a client can make up must not fill the memory, nor the
// log.
func TestKindsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		lines := logging.Lines(slog.New(slog.NewJSONHandler(&log, nil)))
		for i := range 10_000 {
			lines.Print(string(rune('a'+i%26)), string(rune('a'+i/26%26)), string(rune('a'+i/676)))
		}
		require.LessOrEqual(t, len(records(t, &log)), 65)
	})
}

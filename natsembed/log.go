package natsembed

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// serverLog writes the NATS server's log to slog, and keeps the first fatal
// line: the server counts on its logger to end the process there, which an
// embedded one must not do.
type serverLog struct {
	log   *slog.Logger
	debug bool // whether the server shall compose its debug lines at all

	mu  sync.Mutex
	err error
}

func newServerLog(log *slog.Logger) *serverLog {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &serverLog{
		log:   log.With("from", "nats-server"),
		debug: log.Enabled(context.Background(), slog.LevelDebug),
	}
}

// fatal is why the server could not start, nil as long as it could.
func (l *serverLog) fatal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Noticef logs at debug: a start alone is two dozen such lines.
func (l *serverLog) Noticef(format string, v ...any) { l.log.Debug(line(format, v)) }

func (l *serverLog) Debugf(format string, v ...any) { l.log.Debug(line(format, v)) }
func (l *serverLog) Tracef(format string, v ...any) { l.log.Debug(line(format, v)) }
func (l *serverLog) Warnf(format string, v ...any)  { l.log.Warn(line(format, v)) }
func (l *serverLog) Errorf(format string, v ...any) { l.log.Error(line(format, v)) }

func (l *serverLog) Fatalf(format string, v ...any) {
	err := fmt.Errorf("embedded NATS server: %s", line(format, v))
	if strings.HasPrefix(format, "Error listening on port") {
		err = fmt.Errorf("NATS_PORT: %w; stop what listens there, choose another port, or -1 for a free one", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
	}
}

func line(format string, v []any) string {
	return strings.TrimSpace(fmt.Sprintf(format, v...))
}

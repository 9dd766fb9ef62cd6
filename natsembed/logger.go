package natsembed

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// serverLogger writes the lines of the NATS server to slog, and keeps the first
// fatal one: the server counts on its logger to end the process there, which an
// embedded server must not do.
type serverLogger struct {
	logger *slog.Logger
	debug  bool // whether the server composes its debug lines at all

	mu  sync.Mutex
	err error
}

func newServerLogger(logger *slog.Logger) *serverLogger {
	logger = cmp.Or(logger, slog.New(slog.DiscardHandler))
	return &serverLogger{
		logger: logger.With("from", "nats-server"),
		debug:  logger.Enabled(context.Background(), slog.LevelDebug),
	}
}

// fatal is why the server cannot run, nil while it can.
func (l *serverLogger) fatal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Noticef logs at debug: a start alone is two dozen such lines.
func (l *serverLogger) Noticef(format string, v ...any) { l.logger.Debug(line(format, v)) }

func (l *serverLogger) Debugf(format string, v ...any) { l.logger.Debug(line(format, v)) }
func (l *serverLogger) Tracef(format string, v ...any) { l.logger.Debug(line(format, v)) }
func (l *serverLogger) Warnf(format string, v ...any)  { l.logger.Warn(line(format, v)) }
func (l *serverLogger) Errorf(format string, v ...any) { l.logger.Error(line(format, v)) }

func (l *serverLogger) Fatalf(format string, v ...any) {
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

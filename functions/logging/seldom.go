package logging

import (
	"log"
	"log/slog"
	"strings"
	"sync"
	"time"
)

const (
	// every is how often a record of one kind is written at most.
	every = time.Second
	// maxKinds is how many kinds are told apart; those that come later are one.
	maxKinds = 64
	// maxKindBytes is how much of a line names its kind at most.
	maxKindBytes = 48
)

// Seldom thins out what repeats: of each kind it lets one record a second pass,
// which then tells how many there were. Its zero value is ready. It is safe for
// concurrent use, and nobody waits in it.
type Seldom struct {
	mu    sync.Mutex
	kinds map[string]*kind
}

type kind struct {
	times int64 // since the last that passed
	last  time.Time
}

// Turn counts one of a kind. ok says that it is to be logged now, for all times
// since the last one that was.
func (s *Seldom) Turn(name string) (times int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.kinds[name]
	if k == nil && len(s.kinds) >= maxKinds {
		name = ""
		k = s.kinds[name]
	}
	if k == nil {
		k = &kind{}
		if s.kinds == nil {
			s.kinds = map[string]*kind{}
		}
		s.kinds[name] = k
	}
	k.times++
	if now := time.Now(); k.last.IsZero() || now.Sub(k.last) >= every {
		times, k.times, k.last = k.times, 0, now
		return times, true
	}
	return 0, false
}

// Lines is a logger for who has lines without a level, such as net/http for what
// goes wrong with a connection. They become warnings, seldom.
func Lines(logger *slog.Logger) *log.Logger { return log.New(&lines{logger: logger}, "", 0) }

type lines struct {
	logger *slog.Logger
	seldom Seldom
}

func (l *lines) Write(p []byte) (int, error) {
	line := strings.TrimSpace(string(p))
	if times, ok := l.seldom.Turn(kindOf(line)); ok {
		l.logger.Warn(line, "times", times)
	}
	return len(p), nil
}

// kindOf is what lines of one cause have in common: what precedes the first
// address, number or quotation. The 2 of http2: is none.
func kindOf(line string) string {
	const proto = "http2: "
	skip := 0
	if strings.HasPrefix(line, proto) {
		skip = len(proto)
	}
	if end := strings.IndexAny(line[skip:], "0123456789[\"'\n"); end >= 0 {
		line = line[:skip+end]
	}
	return line[:min(len(line), maxKindBytes)]
}

package reader

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"sluice/publisher/event"
)

const (
	// strayEvery is how often strays are warned of at most.
	strayEvery = time.Minute
	// mostExample is how much of a stray's subject the warning repeats, in bytes.
	mostExample = 128
)

// strays are events whose subject is outside the topic grammar. The log keeps
// them and nobody can have asked for one.
type strays struct {
	logger *slog.Logger
	turn   rate.Sometimes
	count  int // since the last warning
}

func newStrays(logger *slog.Logger) strays {
	return strays{logger: logger, turn: rate.Sometimes{Interval: strayEvery}}
}

// note warns of them, the first one at once.
func (s *strays) note(subject string) {
	s.count++
	s.turn.Do(func() {
		why := event.CheckTopic(strings.TrimPrefix(subject, event.SubjectPrefix))
		s.logger.Warn("events reach nobody: their subject is outside the topic grammar", "events", s.count,
			"example", subject[:min(len(subject), mostExample)], "why", fmt.Sprint(why), "grammar", event.TopicGrammar,
			"remedy", "publish them to "+event.SubjectPrefix+"TOPIC with a topic of this grammar")
		s.count = 0
	})
}

package oracle

import (
	"fmt"
	"time"
)

// Look is what is seen of one client of one edge at a moment. The times are
// since when something holds without a break.
type Look struct {
	Now       Time
	Client    int
	Name      string
	Connected Time // the client is connected to the edge
	Fed       Time // it got its last event, or was told of a gap
	Ready     Time // the edge says that it is ready
	Linked    Time // nothing is wrong with the link between the two
	Flowing   Time // the log acknowledges
	Awake     Time // this program and the edge's process run as they should
}

// Watch finds edges that are ready and silent. It is for one goroutine.
type Watch struct {
	// After is how long an edge may be ready and silent.
	After time.Duration
	told  map[int]Time // by client: since when the silence is that was told last
}

// See takes a look; ok says that it is a violation that was not told yet.
func (w *Watch) See(l Look) (v Violation, ok bool) {
	since := max(l.Connected, l.Fed, l.Ready, l.Linked, l.Flowing, l.Awake)
	if l.Now-since <= w.After {
		return Violation{}, false
	}
	if told, was := w.told[l.Client]; was && told == since {
		return Violation{}, false
	}
	if w.told == nil {
		w.told = map[int]Time{}
	}
	w.told[l.Client] = since
	return Violation{
		Sin: Silent, At: l.Now, Client: l.Client, Step: -1, Count: 1,
		What: fmt.Sprintf("its edge is ready, the log acknowledges, and for %s it got nothing; last event at %s",
			(l.Now - since).Round(100*time.Millisecond), l.Fed.Round(100*time.Millisecond)),
	}, true
}

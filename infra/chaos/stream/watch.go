package stream

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/infra/chaos/oracle"
	"sluice/publisher/event"
)

// Watch writes into the book what the log says of itself until ctx ends.
func (s *Stream) Watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asked := s.book.Now()
		info, ok := s.look(ctx, n%len(s.js))
		if !ok {
			continue
		}
		if epoch, err := event.Epoch(info); err == nil {
			s.book.Observed(oracle.Observation{Asked: asked, Epoch: epoch, First: info.State.FirstSeq, Last: info.State.LastSeq})
		}
	}
}

// look is what the log says, asked through one node; ok is false when that
// cannot be believed.
func (s *Stream) look(ctx context.Context, node int) (info *jetstream.StreamInfo, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	at, err := s.js[node].Stream(ctx, event.DefaultStream)
	if err != nil {
		return nil, false
	}
	info = at.CachedInfo()
	return info, believable(info)
}

// believable reports whether the answer comes from a leader that a majority
// follows.
func believable(info *jetstream.StreamInfo) bool {
	if info.Config.Replicas < 2 {
		return true
	}
	if info.Cluster == nil || info.Cluster.Leader == "" {
		return false
	}
	following := 1
	for _, p := range info.Cluster.Replicas {
		if p.Current && !p.Offline && p.Active > 0 && p.Active < freshPeer { // 0 is a peer that was never heard from
			following++
		}
	}
	return following > info.Config.Replicas/2
}

// nodeIndex is the index of a node by its name: n1, n2, ….
func nodeIndex(name string) (i int, ok bool) {
	i, err := strconv.Atoi(strings.TrimPrefix(name, "n"))
	return i - 1, err == nil && i > 0
}

// Leader is the index of the node that leads the stream; ok is false when nobody
// does.
func (s *Stream) Leader(ctx context.Context) (i int, ok bool) {
	for n := range s.js {
		info, ok := s.look(ctx, n)
		if !ok {
			continue
		}
		return nodeIndex(info.Cluster.Leader)
	}
	return 0, false
}

// Holds reports whether the log holds an event now, and its data; ok is false
// when it does not or is not known.
func (s *Stream) Holds(ctx context.Context, id event.ID) (data []byte, ok bool) {
	for n := range s.js {
		info, good := s.look(ctx, n)
		if !good {
			continue
		}
		if epoch, err := event.Epoch(info); err != nil || epoch != id.Epoch {
			return nil, false
		}
		ask, cancel := context.WithTimeout(ctx, askTimeout)
		at, err := s.js[n].Stream(ask, event.DefaultStream)
		if err == nil {
			var m *jetstream.RawStreamMsg
			if m, err = at.GetMsg(ask, id.Seq); err == nil {
				cancel()
				return m.Data, true
			}
		}
		cancel()
	}
	return nil, false
}

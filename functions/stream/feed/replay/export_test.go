package replay

import (
	"time"

	"sluice/functions/stream/feed/eventlog"
	"sluice/functions/stream/feed/wire"
	"sluice/functions/topics"
	"sluice/publisher/event"
)

// WarmEvery is how long Next waits for a slot.
const WarmEvery = warmEvery

// Assemble is the chunk after pos of what was delivered.
func (rs *Replays) Assemble(t *topics.Set, pos event.ID, msgs []wire.Message, more bool, first uint64) wire.Chunk {
	r := rs.Open(t)
	r.pos = pos
	c, _ := r.assemble(msgs, more, eventlog.State{Epoch: pos.Epoch, FirstSeq: first}, "")
	return c
}

// Paced is the bound of the chunk after one of so many bytes at most, which its
// caller took for so long; a negative time is not known.
func Paced(bytes int, took time.Duration) int {
	r := &Replay{bytes: bytes}
	if took >= 0 {
		r.given = time.Now().Add(-took)
	}
	r.pace()
	return r.bytes
}

// Enlarge makes the next chunk as large as for a quick caller.
func (r *Replay) Enlarge() { r.bytes, r.given = chunkBytes, time.Time{} }

// Take takes a slot until release is called.
func (rs *Replays) Take() (release func()) {
	rs.slots <- struct{}{}
	return func() { <-rs.slots }
}

// Work has the replay do a step that was in vain for so long.
func (r *Replay) Work(vain time.Duration) {
	r.slots <- struct{}{}
	r.vain = vain
	r.leave()
}

// InVain is inVain.
var InVain = inVain

package fanout

import (
	"slices"

	"sluice/functions/stream/feed/wire"
)

// form is a batch in one wire format, made for the first group that wants it and
// shared by all of that format: a frame is rendered once, and groups that get the
// same frames share the write. It belongs to a shard.
type form struct {
	wire   wire.Wire
	groups int // that use it

	used   bool         // by the batch
	blocks [][]byte     // by index in the batch; nil where nobody has wanted it
	hits   []int32      // of the last write
	merged []byte       // the last write
	picked []wire.Frame // room for what a write is made of
}

// write is the write of the frames of the batch at these indexes, of which there
// is at least one.
func (f *form) write(batch []wire.Frame, hits []int32) []byte {
	if f.merged != nil && slices.Equal(f.hits, hits) {
		return f.merged
	}
	if more := len(batch) - len(f.blocks); more > 0 {
		f.blocks = append(f.blocks, make([][]byte, more)...)
	}
	picked := f.picked[:0]
	for _, hit := range hits {
		if f.blocks[hit] == nil {
			f.blocks[hit] = f.wire.Block(&batch[hit])
		}
		picked = append(picked, batch[hit])
		picked[len(picked)-1].Block = f.blocks[hit]
	}
	f.merged = f.wire.Merge(0, picked)
	f.hits = append(f.hits[:0], hits...)
	clear(picked)
	f.picked = picked
	return f.merged
}

// forget ends the batch.
func (f *form) forget() {
	if f.used {
		clear(f.blocks)
		f.used, f.merged = false, nil
	}
}

// render is what w makes of frames, whose blocks it replaces, for one client
// alone.
func render(w wire.Wire, frames []wire.Frame) []byte {
	for i := range frames {
		frames[i].Block = w.Block(&frames[i])
	}
	return w.Merge(0, frames)
}

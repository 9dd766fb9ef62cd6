package streamtest

import (
	"fmt"

	"sluice/functions/stream/feed/wire"
	"sluice/functions/stream/sse"
	"sluice/publisher/event"
)

// Journal is what one client saw, over all its connections. It checks each
// block against what a client may rely on as it comes.
type Journal struct {
	Events []Block
	Gaps   []Block // gap blocks, and open blocks that have a gap
	Seen   []Block // both, as they came
	LastID string  // where the client resumes
	begun  bool
	first  event.ID // where it began
}

// Add takes the next block. Its error says which rule the block broke.
func (j *Journal) Add(b Block) error {
	if !b.HasID {
		return fmt.Errorf("a block without an id can erase the cursor: %+v", b)
	}
	id, err := event.ParseID(b.ID)
	if err != nil {
		return fmt.Errorf("%w: %+v", err, b)
	}
	if err := j.follows(b, id); err != nil {
		return err
	}
	if !j.begun {
		j.begun, j.first = true, id
	}
	j.LastID = b.ID
	if b.IsEvent() {
		j.Events, j.Seen = append(j.Events, b), append(j.Seen, b)
	}
	return nil
}

// follows checks that b may come where it does: positions never go back, an
// event's always rises, and only a gap changes the epoch.
func (j *Journal) follows(b Block, id event.ID) error {
	isGap := false
	if b.Type == event.TypeSystem {
		s := b.System()
		if isGap = s.Type == sse.SystemGap || s.Resumed == wire.ResumedGap; isGap {
			j.Gaps, j.Seen = append(j.Gaps, b), append(j.Seen, b)
			first, err := event.ParseID(s.First)
			if err != nil || first.Epoch != id.Epoch || first.Seq != id.Seq+1 {
				return fmt.Errorf("a gap's id is just before its first: %+v", b)
			}
		}
	}
	if !j.begun || isGap {
		return nil
	}
	last, _ := event.ParseID(j.LastID)
	switch {
	case id.Epoch != last.Epoch:
		return fmt.Errorf("the epoch changed without a gap from %s: %+v", j.LastID, b)
	case id.Seq < last.Seq, b.IsEvent() && id.Seq == last.Seq:
		return fmt.Errorf("out of order or twice after %s: %+v", j.LastID, b)
	}
	return nil
}

// Read takes blocks from c until enough says so of one, which is taken too, or
// the connection fails; it returns why.
func (j *Journal) Read(c *Client, enough func(Block) bool) error {
	for {
		b, err := c.Next()
		if err != nil {
			return err
		}
		if err := j.Add(b); err != nil {
			return &BrokenPromise{err}
		}
		if enough(b) {
			return nil
		}
	}
}

// BrokenPromise is the error of a block that should not have come.
type BrokenPromise struct{ error }

// At tells Read that a block at seq or later is enough.
func At(seq uint64) func(Block) bool {
	return func(b Block) bool { return b.Position().Seq >= seq }
}

// Compare wants the events of the journal to be exactly want. It returns what
// is wrong, nil for nothing.
func (j *Journal) Compare(want []Stored) error {
	for i, b := range j.Events {
		if i >= len(want) {
			return fmt.Errorf("an event too many: %+v", b)
		}
		if b.Seq() != want[i].Seq || b.Data != want[i].Data {
			return fmt.Errorf("event %d of %d is %d %s, want %+v", i, len(want), b.Seq(), b.Data, want[i])
		}
	}
	if len(j.Events) < len(want) {
		return fmt.Errorf("%d of %d events came; the first missing one is %+v", len(j.Events), len(want), want[len(j.Events)])
	}
	return nil
}

// Explain wants the events of the journal to be want, but for those that a gap
// said are missing. What is at kept or after it must be there. It returns what
// is wrong, nil for nothing.
func (j *Journal) Explain(want []Stored, kept uint64) error {
	for _, b := range j.Seen {
		if !b.IsEvent() {
			for len(want) > 0 && want[0].Seq <= b.Seq() {
				if want[0].Seq >= kept {
					return fmt.Errorf("%+v is passed over and still kept: %+v", want[0], b)
				}
				want = want[1:]
			}
			continue
		}
		if len(want) == 0 || b.Seq() != want[0].Seq || b.Data != want[0].Data {
			return fmt.Errorf("%+v came, want %+v", b, want[:min(1, len(want))])
		}
		want = want[1:]
	}
	if len(want) > 0 {
		return fmt.Errorf("%d events are missing, from %+v", len(want), want[0])
	}
	return nil
}

// Start is the position of the first block.
func (j *Journal) Start() event.ID { return j.first }

package fleet

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/infra/bench/stamp"
	"sluice/publisher/event"
)

const epoch = 0x0198f5aa3c1d

func block(seq uint32, id uint64, at int64) string {
	return fmt.Sprintf("id: %s\nevent: data\ndata: %s\nretry: 5000\n\n",
		event.ID{Epoch: epoch, Seq: id}, stamp.Append(nil, at, seq, 160))
}

// scanned feeds text to a new client in pieces of size bytes, at time now.
func scanned(ids bool, text string, size int, now int64) (*tally, *client) {
	t, c := newTally(ids), &client{next: 1}
	t.to = 1 << 62
	for len(text) > 0 {
		n := min(size, len(text))
		buf := make([]byte, tailBytes+n)
		copy(buf[tailBytes:], text[:n])
		t.scan(c, buf, n, now)
		text = text[n:]
	}
	return t, c
}

func TestTally(t *testing.T) {
	heartbeat := fmt.Sprintf("id: %s\nevent: heartbeat\ndata: {}\n\n", event.ID{Epoch: epoch, Seq: 2})
	good := ":\n" + block(1, 1, 0) + block(2, 2, 0) + heartbeat + block(3, 3, 0)
	for _, tc := range []struct {
		name, text             string
		foreign                bool
		next                   uint32
		skipped, again, badIDs uint64
	}{
		{name: "all in order", text: good, next: 4},
		{name: "one missing", text: block(1, 1, 0) + block(3, 3, 0), next: 4, skipped: 1},
		{name: "one twice", text: block(1, 1, 0) + block(1, 1, 0), next: 2, again: 1, badIDs: 1},
		{name: "out of order", text: block(2, 2, 0) + block(1, 1, 0), next: 3, skipped: 1, again: 1, badIDs: 1},
		{name: "id does not rise", text: block(1, 7, 0) + block(2, 7, 0), next: 3, badIDs: 1},
		{name: "no id", text: block(1, 1, 0) + string(stamp.Append(nil, 0, 2, 0)), next: 3, badIDs: 1},
		{name: "ids of another log", text: block(1, 1, 0) + fmt.Sprintf("id: %s\ndata: %s\n\n", event.ID{Epoch: 1, Seq: 2}, stamp.Append(nil, 0, 2, 0)), next: 3, badIDs: 1},
		{name: "another server's ids", text: "id: 1732352352:0\ndata: " + string(stamp.Append(nil, 0, 1, 9)), foreign: true, next: 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, size := range []int{1, 13, 100, 1000, 1 << 20} {
				got, c := scanned(!tc.foreign, tc.text, size, 0)
				assert.Equal(t, tc.next, c.next, size)
				assert.Equal(t, tc.skipped, got.skipped, size)
				assert.Equal(t, tc.again, got.again, size)
				assert.Equal(t, tc.badIDs, got.badIDs, size)
				assert.EqualValues(t, len(tc.text), got.bytes)
			}
		})
	}
}

func TestLatencyIsTakenFromTheScheduledTime(t *testing.T) {
	got, _ := scanned(true, block(1, 1, 1_000_000)+block(2, 2, 5_000_000), 1<<20, 9_000_000)
	assert.EqualValues(t, 2, got.latency.TotalCount())
	assert.InDelta(t, 8_000_000, got.latency.Max(), 8000)
	assert.InDelta(t, 4_000_000, got.latency.Min(), 4000)
}

func TestCursorIsTheIDOfAPosition(t *testing.T) {
	got, c := scanned(true, block(1, 500, 0), 1<<20, 0)
	require.EqualValues(t, 500, c.lastID)
	assert.Equal(t, event.ID{Epoch: epoch, Seq: 0xabcdef}.String(), got.cursor(0xabcdef))
}

func TestScanDoesNotAllocate(t *testing.T) {
	tally, c := newTally(true), &client{next: 1}
	text := []byte(block(1, 1, 0))
	buf := make([]byte, tailBytes+len(text))
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		copy(buf[tailBytes:], text)
		c.next, c.lastID = 1, 0
		tally.scan(c, buf, len(text), 1)
	}))
}

func BenchmarkScan(b *testing.B) {
	tally, c := newTally(true), &client{next: 1}
	tally.to = 1 << 62
	text := []byte(chunk(block(1, 1, 0)))
	buf := make([]byte, tailBytes+len(text))
	c.response.state = inSize
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		copy(buf[tailBytes:], text)
		c.next, c.lastID = 1, 0
		n, err := c.response.body(buf[tailBytes:])
		if err != nil {
			b.Fatal(err)
		}
		tally.scan(c, buf, n, 1)
	}
}

func chunk(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }

package bucket

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// unclosed is a watcher of which nats.go was not told that it ended.
type unclosed struct{ jetstream.KeyWatcher }

func (unclosed) Updates() <-chan jetstream.KeyValueEntry { return make(chan jetstream.KeyValueEntry) }

func TestAWatcherThatNeverClosesIsLeftAlone(t *testing.T) {
	left := make(chan struct{})
	go func() {
		discard(unclosed{})
		close(left)
	}()
	select {
	case <-left:
	case <-time.After(20 * time.Second):
		t.Fatal("the process would never end")
	}
}

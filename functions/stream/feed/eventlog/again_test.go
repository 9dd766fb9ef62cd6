package eventlog_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/stream/feed/feedtest"
	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// TestWhatNobodyAnswersIsAskedAgain: a request that meets an election is lost,
// or its answer is. A consumer whose answer was lost may be there: the next one
// has another name and another inbox.
func TestWhatNobodyAnswersIsAskedAgain(t *testing.T) {
	t.Parallel()
	const create = "$JS.API.CONSUMER.CREATE."
	everything := []string{event.AllSubjects}
	for _, tt := range []struct {
		name, subject, answer string
		ask                   func(context.Context, *rig) error
	}{
		{"the log's state", infoSubject, "stream_info_response", func(ctx context.Context, r *rig) error {
			_, err := r.log.State(ctx, time.Now())
			return err
		}},
		{"a consumer for pulling", create, "consumer_create_response", func(ctx context.Context, r *rig) error {
			c, err := r.log.Consume(ctx, "replay", everything, r.ID(0), "")
			if err == nil {
				var got int
				msgs, _, e := c.Fetch(ctx, 10, 0)
				got, err = len(msgs), e
				assert.Equal(t, 3, got)
			}
			return err
		}},
		{"a Tail", create, "consumer_create_response", func(ctx context.Context, r *rig) error {
			tail, err := r.log.Follow(ctx, "feed", everything, r.ID(0), time.Second, "")
			if err != nil {
				return err
			}
			for seq := uint64(1); seq <= 3; {
				d, err := tail.Take(<-tail.C())
				if err != nil {
					return err
				}
				if d.IsEvent {
					assert.Equal(t, r.ID(seq), d.ID)
					seq++
				}
			}
			return nil
		}},
		{"a time", create, "consumer_create_response", func(ctx context.Context, r *rig) error {
			pos, err := r.log.AtTime(ctx, r.Epoch, time.Now())
			assert.Equal(t, r.ID(3), pos)
			return err
		}},
		{"how far nothing is left", create, "consumer_create_response", func(ctx context.Context, r *rig) error {
			pos, _, ok, err := r.log.Scanned(ctx, []string{"events.none"}, r.ID(0), "")
			assert.True(t, ok)
			assert.Equal(t, r.ID(3), pos)
			return err
		}},
	} {
		for _, lost := range []string{"request", "answer"} {
			t.Run(tt.name+", the "+lost+" is lost", func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				r.Publish(3, "a", 1)
				var once atomic.Bool
				if lost == "request" {
					r.line.Out(func(p feedtest.Packet) bool {
						return !strings.HasPrefix(p.Subject, tt.subject) || !once.CompareAndSwap(false, true)
					})
				} else {
					r.line.In(func(p feedtest.Packet) bool {
						return !strings.Contains(string(p.Data), tt.answer) || !once.CompareAndSwap(false, true)
					})
				}
				require.NoError(t, tt.ask(natstest.Context(t), r))
				assert.True(t, once.Load())
				assert.GreaterOrEqual(t, r.line.Sent(tt.subject), 2)
			})
		}
	}
}

// TestNobodyAnswers ends after some questions, not after one.
func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.line.Out(func(p feedtest.Packet) bool { return p.Subject != infoSubject })
	_, err := r.log.State(natstest.Context(t), time.Now())
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Greater(t, r.line.Sent(infoSubject), 1)
}

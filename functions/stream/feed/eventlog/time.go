package eventlog

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/publisher/event"
)

// askTimeAgain is after how long a server that did not answer firstAt is asked so
// again.
const askTimeAgain = time.Minute

// timeRequest is a JSApiMsgGetRequest of nats-server: STREAM.MSG.GET.
type timeRequest struct {
	StartTime time.Time `json:"start_time"`
	NoHeaders bool      `json:"no_hdr"`
}

// AtTime is the position before the first event stored at t or later, in a log
// of that epoch. Where the server does not say it takes a consumer for a moment.
func (l *Log) AtTime(ctx context.Context, epoch int64, t time.Time) (pos event.ID, err error) {
	if seq, ok := l.firstAt(ctx, t); ok {
		return event.ID{Epoch: epoch, Seq: seq - 1}, nil
	}
	return l.scanTime(ctx, epoch, t)
}

// firstAt asks the leader for the first message stored at t or later. It costs the
// server next to nothing, where a consumer has all that follows counted while the
// log waits. Not ok is a server that cannot say, does not let us ask, or has no such
// message at just that sequence: then a consumer finds out.
func (l *Log) firstAt(ctx context.Context, t time.Time) (seq uint64, ok bool) {
	if time.Since(time.Unix(0, l.unasked.Load())) < askTimeAgain {
		return 0, false
	}
	body, err := json.Marshal(timeRequest{StartTime: t, NoHeaders: true})
	if err != nil {
		return 0, false
	}
	once, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	m, err := l.conn.RequestWithContext(once, l.prefix+".STREAM.MSG.GET."+l.stream, body)
	if err != nil {
		if ctx.Err() == nil { // a permission that is missing has no answer
			l.unasked.Store(time.Now().UnixNano())
		}
		return 0, false
	}
	var answer struct{ Message *struct{ Seq uint64 } }
	if json.Unmarshal(m.Data, &answer) != nil || answer.Message == nil || answer.Message.Seq == 0 {
		return 0, false
	}
	return answer.Message.Seq, true
}

// scanTime is AtTime by a consumer.
func (l *Log) scanTime(ctx context.Context, epoch int64, t time.Time) (pos event.ID, err error) {
	at := ""
	if now := l.Known(); now.Replicas > 1 && now.MaxAge > 0 && !now.young(t) {
		at = now.Leader // another server may have removed more
	}
	err = l.create(ctx, at, func(ctx context.Context) (*jetstream.ConsumerInfo, error) {
		cfg := l.config("time", nil, 0)
		cfg.DeliverPolicy, cfg.OptStartSeq, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, 0, &t
		made, err := l.js.CreateConsumer(ctx, l.stream, cfg)
		if err != nil {
			return nil, fmt.Errorf("look up the time: %w", err)
		}
		info := made.CachedInfo()
		pos = event.ID{Epoch: epoch, Seq: info.Delivered.Stream}
		if at == "" || serverOf(info) == at {
			l.deleteConsumer(cfg.Name)
		}
		return info, nil
	})
	return pos, err
}

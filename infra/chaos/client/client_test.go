package client_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/infra/chaos/client"
	"sluice/infra/chaos/load"
	"sluice/infra/chaos/oracle"
	"sluice/publisher/event"
)

const epoch = 1_700_000_000_000

func id(seq uint64) string { return event.ID{Epoch: epoch, Seq: seq}.String() }

func block(seq uint64, kind, data string) string {
	return fmt.Sprintf("id: %s\nevent: %s\ndata: %s\nretry: 1\n\n", id(seq), kind, data)
}

func open(seq uint64) string { return block(seq, "system", `{"type":"open","resumed":"none"}`) }

func anEvent(seq uint64) string { return block(seq, "data", string(load.Render(oracle.Key(seq), 0))) }

// edge answers the requests of one client, each with the next answer; what it
// was asked is in its cursors. The last answer goes on until the test ends.
type edge struct {
	mu      sync.Mutex
	cursors []string
	answers []func(http.ResponseWriter)
	all     chan struct{} // closed when the last answer is given
}

func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	n := len(e.cursors)
	e.cursors = append(e.cursors, r.Header.Get("Last-Event-ID")+r.URL.Query().Get("last_event_id"))
	e.mu.Unlock()
	if n < len(e.answers) {
		e.answers[n](w)
	}
	if n == len(e.answers)-1 {
		close(e.all)
		<-r.Context().Done()
	}
}

func text(s string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		_, _ = w.Write([]byte(s))
		_ = http.NewResponseController(w).Flush()
	}
}

// cut gives a text and resets the connection.
func cut(s string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		text(s)(w)
		panic(http.ErrAbortHandler)
	}
}

// read has one client read all answers, and wants no more than want of it.
func read(t *testing.T, kind client.Kind, answers ...func(http.ResponseWriter)) (*edge, oracle.Trace, *client.Client) {
	t.Helper()
	e := &edge{answers: answers, all: make(chan struct{})}
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	book := oracle.NewBook()
	c := client.New(1, kind, []client.Place{{Near: server.URL, Far: server.URL}}, book, rand.New(rand.NewPCG(1, 1)))
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); c.Run(ctx) }()
	select {
	case <-e.all:
	case <-time.After(time.Minute):
		require.Fail(t, "the client does not come back")
	}
	require.Eventually(t, func() bool { // what was given last has come
		steps := book.Record(false).Traces[0].Steps
		return len(steps) > 0 && steps[len(steps)-1].Conn == int32(len(answers)-1)
	}, time.Minute, time.Millisecond)
	stop()
	<-done
	return e, book.Record(false).Traces[0], c
}

func TestTheCursorIsThatOfTheLastWholeBlock(t *testing.T) {
	e, trace, _ := read(t, client.Kind{},
		cut(open(4)+anEvent(5)+"id: "+id(6)+"\nevent: data\ndata: {}\n"),
		cut(open(5)),
		text(open(5)+anEvent(6)))
	require.Equal(t, []string{"", id(5), id(5)}, e.cursors)
	var seqs []uint64
	for _, s := range trace.Steps {
		if s.Kind == oracle.Event {
			seqs = append(seqs, s.ID.Seq)
		}
	}
	require.Equal(t, []uint64{5, 6}, seqs)
}

func TestAStatusEndsTheSourceAndThePageIsLoadedAgain(t *testing.T) {
	e, trace, c := read(t, client.Kind{},
		cut(open(4)+anEvent(5)),
		func(w http.ResponseWriter) { http.Error(w, "not_ready", http.StatusServiceUnavailable) },
		text(open(5)))
	require.Equal(t, []string{"", id(5), id(5)}, e.cursors)
	require.Equal(t, 1, c.Died())
	require.Contains(t, trace.Conns[1].Why, "503")
}

func TestARefusalWithoutAnIDLeavesTheCursor(t *testing.T) {
	e, trace, _ := read(t, client.Kind{InBand: true},
		cut("event: system\ndata: {\"type\":\"busy\"}\nretry: 1\n\n"),
		text(open(5)))
	require.Equal(t, []string{"", ""}, e.cursors)
	require.Len(t, trace.Steps, 1)
}

func TestWhatComesIsWhatTheBookHas(t *testing.T) {
	_, trace, _ := read(t, client.Kind{}, text(
		open(4)+anEvent(5)+block(5, "heartbeat", `{"clients":1}`)+
			block(8, "system", `{"type":"gap","reason":"expired","first":"`+id(9)+`"}`)+
			block(12, "system", `{"type":"open","resumed":"gap","reason":"ahead","first":"`+id(13)+`"}`)+
			block(13, "data", `{"not":"ours"}`)+
			block(14, "system", `{"type":"gap","reason":"expired","first":"`+id(19)+`"}`)+
			": a comment\n\n"+
			block(15, "system", `{"type":"drain","reason":"shutdown"}`)))
	var kinds []oracle.Kind
	for _, s := range trace.Steps {
		kinds = append(kinds, s.Kind)
	}
	require.Equal(t, []oracle.Kind{
		oracle.Opened, oracle.Event, oracle.Heartbeat, oracle.Gap, oracle.Gap, oracle.Garbled, oracle.Garbled, oracle.Told,
	}, kinds)
	require.Equal(t, "expired", trace.Steps[3].Gap.Reason)
	require.Equal(t, "ahead", trace.Steps[4].Gap.Reason)
}

func TestACloudEventIsItsEnvelopeToo(t *testing.T) {
	envelope := func(id, subject string) string {
		return `{"specversion":"1.0","id":"` + id + `","subject":"` + subject + `","data":` + string(load.Render(5, 0)) + `}`
	}
	_, trace, _ := read(t, client.Kind{CloudEvents: true}, text(
		block(5, "data", envelope(id(5), load.Topics()[0]))+
			block(6, "data", envelope(id(5), load.Topics()[0]))+
			block(7, "data", envelope(id(7), load.Topics()[1]))))
	require.Equal(t, oracle.Event, trace.Steps[0].Kind)
	require.Equal(t, oracle.Key(5), trace.Steps[0].Key)
	require.Equal(t, oracle.Garbled, trace.Steps[1].Kind, "another id")
	require.Equal(t, oracle.Garbled, trace.Steps[2].Kind, "another topic")
}

package access_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/access"
	"sluice/functions/access/limit"
	"sluice/functions/topics"
)

// anybody asks for everything.
func anybody() (*http.Request, access.Want) {
	everything, _ := topics.New()
	return httptest.NewRequest(http.MethodGet, "/stream", nil), access.Want{Topics: everything}
}

// admit wants a place.
func admit(t *testing.T, g *access.Gate) *access.Grant {
	t.Helper()
	grant, refusal := g.Admit(anybody())
	require.Nil(t, refusal)
	require.NotNil(t, grant)
	return grant
}

// refused wants a refusal of that code.
func refused(t *testing.T, g *access.Gate, code access.Code) *access.Refusal {
	t.Helper()
	grant, refusal := g.Admit(anybody())
	require.Nil(t, grant)
	require.NotNil(t, refusal)
	require.Equal(t, code, refusal.Code)
	require.Equal(t, http.StatusServiceUnavailable, refusal.Status)
	require.Positive(t, refusal.Retry, "it passes")
	return refusal
}

func TestAPlaceIsGivenBackByItsReleaseAndOnlyOnce(t *testing.T) {
	g := access.NewGate(access.Config{MaxConnections: 2})
	first, second := admit(t, g), admit(t, g)
	refused(t, g, access.TooManyConnections)

	first.Release()
	first.Release()
	third := admit(t, g)
	refused(t, g, access.TooManyConnections)

	var releasing sync.WaitGroup
	for range 8 {
		releasing.Go(second.Release)
		releasing.Go(third.Release)
	}
	releasing.Wait()
	admit(t, g)
	admit(t, g)
	refused(t, g, access.TooManyConnections)
}

func TestNeverMoreStreamsThanPlaces(t *testing.T) {
	const places, clients, rounds = 3, 12, 3000
	limitMemory(t, 1<<40) // one more step between the look for a place and the taking of it
	g := access.NewGate(access.Config{MaxConnections: places})
	for range rounds {
		grants := make(chan *access.Grant, clients)
		begin := make(chan struct{})
		var asking sync.WaitGroup
		for range clients {
			asking.Go(func() {
				<-begin
				if grant, refusal := g.Admit(anybody()); refusal == nil {
					grants <- grant
				}
			})
		}
		close(begin)
		asking.Wait()
		close(grants)
		require.Len(t, grants, places, "no more, and none is left over")
		for grant := range grants {
			grant.Release()
		}
	}
}

func TestAsManyClientsAsPlacesAreNeverRefused(t *testing.T) {
	const places, rounds = 4, 500
	g := access.NewGate(access.Config{MaxConnections: places})
	var lost atomic.Int64
	var asking sync.WaitGroup
	for range places {
		asking.Go(func() {
			for range rounds {
				grant, refusal := g.Admit(anybody())
				if refusal != nil {
					lost.Add(1)
					continue
				}
				grant.Release()
			}
		})
	}
	asking.Wait()
	assert.Zero(t, lost.Load())
}

func TestZeroMaxConnectionsIsTheDefault(t *testing.T) {
	g := access.NewGate(access.Config{})
	for range access.DefaultMaxConnections {
		admit(t, g)
	}
	refused(t, g, access.TooManyConnections)
}

func TestADrainingGateAdmitsNobodyAndTakesPlacesBack(t *testing.T) {
	g := access.NewGate(access.Config{MaxConnections: 1})
	grant := admit(t, g)
	g.Drain()
	refused(t, g, access.Draining)
	grant.Release()
	refused(t, g, access.Draining)
}

// allCodes are the codes for which a stream may be refused.
var allCodes = []access.Code{
	access.BadQuery, access.BadTopic, access.BadFormat, access.BadSince, access.BadFrom, access.BadLast, access.BadBusy, access.BadID, access.TopicNotServed,
	access.TokenMissing, access.TokenInvalid, access.TokenExpired, access.TokenRevoked, access.GrantInvalid, access.TopicForbidden, access.KeysUnavailable,
	access.TooManyConnections, access.LowMemory, access.Starting, access.LogUnavailable, access.Draining,
	limit.FromAddress, limit.ArrivalRate, limit.ForSubject, limit.TooManyTopics,
}

// counts are the refusals by code as the registry shows them.
func counts(t *testing.T, reg *prometheus.Registry) map[access.Code]int {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	require.Len(t, families, 1)
	require.Equal(t, "sse_requests_refused_total", families[0].GetName())
	all := map[access.Code]int{}
	for _, m := range families[0].GetMetric() {
		require.Len(t, m.GetLabel(), 1)
		require.Equal(t, "code", m.GetLabel()[0].GetName())
		all[access.Code(m.GetLabel()[0].GetValue())] = int(m.GetCounter().GetValue())
	}
	return all
}

func TestEveryCodeIsCountedFromZero(t *testing.T) {
	reg := prometheus.NewRegistry()
	g := access.NewGate(access.Config{Registry: reg})
	want := map[access.Code]int{}
	for _, code := range allCodes {
		want[code] = 0
	}
	require.Equal(t, want, counts(t, reg))

	r := httptest.NewRequest(http.MethodGet, "/stream", nil)
	for i, code := range allCodes {
		for range i + 1 {
			g.Note(access.Later(code, "", 0), r)
		}
		want[code] = i + 1
	}
	require.Equal(t, want, counts(t, reg))
}

func TestACodeThatNoStreamIsRefusedForIsCountedToo(t *testing.T) {
	reg := prometheus.NewRegistry()
	g := access.NewGate(access.Config{Registry: reg})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	g.Note(access.Refuse(http.StatusNotFound, access.NotFound, "nothing here"), r)
	g.Note(access.Refuse(http.StatusNotFound, access.NotFound, "nothing here"), r)
	assert.Equal(t, 2, counts(t, reg)[access.NotFound])
}

// record is one line of the log.
type record struct {
	Level, Msg, Message, Remote, Err string
	Code                             access.Code
	Refused                          int
}

func records(t *testing.T, log *bytes.Buffer) (all []record) {
	t.Helper()
	for lines := json.NewDecoder(log); lines.More(); {
		var r record
		require.NoError(t, lines.Decode(&r))
		all = append(all, r)
	}
	return all
}

// pass lets time go by, in a bubble of synctest.
func pass(d time.Duration) { <-time.After(d) }

func TestRefusalsAreLoggedOnceASecondPerCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		g := access.NewGate(access.Config{Logger: slog.New(slog.NewJSONHandler(&log, nil))})
		r := httptest.NewRequest(http.MethodGet, "/stream", nil)
		busy := access.Later(access.TooManyConnections, "all in use", time.Second)
		noLog := access.NoLog(errors.New("no leader"))

		for range 1000 {
			g.Note(busy, r)
		}
		g.Note(noLog, r)
		require.Equal(t, []record{
			{Level: "WARN", Msg: "streams are refused", Code: access.TooManyConnections, Refused: 1, Message: "all in use", Remote: r.RemoteAddr},
			{Level: "WARN", Msg: "streams are refused", Code: access.LogUnavailable, Refused: 1, Message: noLog.Message, Remote: r.RemoteAddr, Err: "no leader"},
		}, records(t, &log))

		pass(time.Second - time.Nanosecond)
		g.Note(busy, r)
		require.Empty(t, records(t, &log))

		pass(time.Nanosecond)
		g.Note(busy, r)
		got := records(t, &log)
		require.Len(t, got, 1, "a second has gone by")
		require.Equal(t, access.TooManyConnections, got[0].Code)
		require.Equal(t, 1001, got[0].Refused, "all since the last record")

		pass(time.Hour)
		g.Note(noLog, r)
		require.Equal(t, 1, records(t, &log)[0].Refused)
	})
}

package source_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/publisher"
	"sluice/publisher/event"
	"sluice/publisher/source"
)

func take(t *testing.T, s publisher.Source, n int) []publisher.Event {
	t.Helper()
	events := make([]publisher.Event, n)
	for i := range events {
		e, err := s.Next(t.Context())
		require.NoError(t, err)
		events[i] = e
	}
	return events
}

func TestDemoInventsMetricsLogsAndAlerts(t *testing.T) {
	kinds := map[string]int{}
	for _, e := range take(t, source.NewDemo(source.DemoOptions{Type: "data"}), 2000) {
		require.NoError(t, event.CheckTopic(e.Topic))
		require.NoError(t, publisher.CheckData(e.Data))
		assert.Equal(t, "data", e.Type)
		assert.Empty(t, e.MsgID)
		var p struct {
			Type, Name, Level, Severity, Message string
			Value                                *float64
		}
		require.NoError(t, json.Unmarshal(e.Data, &p))
		kind, rest, _ := strings.Cut(e.Topic, ".")
		assert.Equal(t, kind, p.Type)
		switch kind {
		case "metric":
			assert.Equal(t, rest, p.Name)
			assert.NotNil(t, p.Value)
		case "log":
			assert.Equal(t, rest, p.Level)
			assert.NotEmpty(t, p.Message)
		case "alert":
			assert.Equal(t, rest, p.Name)
			assert.NotEmpty(t, p.Severity)
		}
		kinds[e.Topic]++
	}
	for _, topic := range []string{"metric.cpu_usage", "log.error", "alert.disk"} {
		assert.NotZero(t, kinds[topic], topic)
	}
	_, err := source.NewDemo(source.DemoOptions{}).Next(ended(t))
	assert.ErrorIs(t, err, context.Canceled)
}

func TestDemoOfAJobIsTheSameInEveryRun(t *testing.T) {
	demo := func(job string) []publisher.Event {
		return take(t, source.NewDemo(source.DemoOptions{Topic: "a.b", IDs: source.IDs{Job: job}}), 50)
	}
	first := demo("one")
	assert.Equal(t, first, demo("one"))
	assert.Contains(t, first[0].MsgID, "a.b:data:job:one:n:1:")
	assert.Equal(t, "a.b", first[0].Topic)
	other := demo("two")
	assert.NotEqual(t, first[0].MsgID, other[0].MsgID)
	assert.NotEqual(t, first, take(t, source.NewDemo(source.DemoOptions{Topic: "a.b"}), 50))
}

func TestHostMeasuresThisMachine(t *testing.T) {
	host := source.NewHost(t.Context(), source.HostOptions{Samples: 2, Interval: 10 * time.Millisecond, IDs: source.IDs{Job: "j"}})
	events := take(t, host, 10)
	values := map[string]float64{}
	for _, e := range events {
		require.NoError(t, publisher.CheckData(e.Data))
		var p struct {
			Type, Name, Unit, Host string
			Value                  *float64
		}
		require.NoError(t, json.Unmarshal(e.Data, &p))
		require.NotNil(t, p.Value, "zero is a value")
		assert.Equal(t, "metric", p.Type)
		assert.Equal(t, "metric."+p.Name, e.Topic)
		assert.NotEmpty(t, p.Unit)
		values[p.Name] = *p.Value
	}
	assert.Contains(t, events[9].MsgID, "metric.network_out:data:job:j:n:10:")
	assert.Len(t, values, 5)
	for _, percent := range []string{"cpu_usage", "memory_usage", "disk_usage"} {
		assert.LessOrEqual(t, values[percent], 100.0, percent)
	}
	assert.Positive(t, values["memory_usage"])
	assert.Positive(t, values["disk_usage"])
	_, err := host.Next(t.Context())
	assert.ErrorIs(t, err, io.EOF)
}

func TestHostWaitsForItsSampleNoLongerThanItsContext(t *testing.T) {
	host := source.NewHost(t.Context(), source.HostOptions{Topic: "a", Interval: time.Hour})
	for _, e := range take(t, host, 5) {
		assert.Equal(t, "a", e.Topic)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := host.Next(ctx)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
}

func ended(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// blocking never gives an event.
type blocking struct{}

func (blocking) Next(ctx context.Context) (publisher.Event, error) {
	<-ctx.Done()
	return publisher.Event{}, ctx.Err()
}

func TestLimit(t *testing.T) {
	demo := func() publisher.Source { return source.NewDemo(source.DemoOptions{}) }
	count := func(t *testing.T, s publisher.Source) (n int) {
		t.Helper()
		for ; n < 10_000; n++ {
			if _, err := s.Next(t.Context()); err != nil {
				assert.ErrorIs(t, err, io.EOF)
				return n
			}
		}
		return n
	}
	t.Run("by count", func(t *testing.T) {
		assert.Equal(t, 7, count(t, source.Limit(demo(), 7, 0)))
	})
	t.Run("not at all", func(t *testing.T) {
		assert.Equal(t, 10_000, count(t, source.Limit(demo(), 0, 0)))
	})
	t.Run("by time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			assert.Equal(t, 100, count(t, source.Limit(source.Pace(demo(), 10), 0, 10*time.Second-time.Millisecond)))
		})
	})
	t.Run("by time while nothing comes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			assert.Zero(t, count(t, source.Limit(blocking{}, 5, time.Minute)))
			assert.Equal(t, time.Minute, time.Since(began))
		})
	})
	t.Run("the end of the context is its own", func(t *testing.T) {
		_, err := source.Limit(blocking{}, 5, time.Minute).Next(ended(t))
		assert.ErrorIs(t, err, context.Canceled)
	})
}

func TestPaceKeepsItsSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		slow := sourceFunc(func(context.Context) (publisher.Event, error) {
			if n++; n == 3 {
				<-time.After(950 * time.Millisecond) // a stall
			}
			return publisher.Event{}, nil
		})
		began := time.Now()
		paced := source.Pace(slow, 10)
		var at []time.Duration
		for range 14 {
			_, err := paced.Next(t.Context())
			require.NoError(t, err)
			at = append(at, time.Since(began))
		}
		assert.Equal(t, []time.Duration{0, 100 * time.Millisecond}, at[:2])
		for _, late := range at[2:12] {
			assert.Equal(t, 1150*time.Millisecond, late, "those due meanwhile come at once")
		}
		assert.Equal(t, []time.Duration{1200 * time.Millisecond, 1300 * time.Millisecond}, at[12:])

		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := paced.Next(ctx)
		assert.True(t, errors.Is(err, context.DeadlineExceeded))
	})
}

type sourceFunc func(context.Context) (publisher.Event, error)

func (f sourceFunc) Next(ctx context.Context) (publisher.Event, error) { return f(ctx) }

package trial_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"sluice/infra/bench/fleet"
	"sluice/infra/bench/trial"
)

func TestQuantileCountsMissingEventsAsNeverDelivered(t *testing.T) {
	h := fleet.NewHistogram()
	for i := 1; i <= 98; i++ {
		fleet.Record(h, int64(i)*int64(time.Millisecond))
	}
	for _, tc := range []struct {
		name    string
		missing uint64
		q       float64
		want    time.Duration
	}{
		{"median of all that came", 0, .5, 49 * time.Millisecond},
		{"last of all that came", 0, 1, 98 * time.Millisecond},
		{"median with missing ones", 2, .5, 50 * time.Millisecond},
		{"just below the missing ones", 2, .98, 98 * time.Millisecond},
		{"within the missing ones", 2, .99, trial.Never},
		{"the worst with one missing", 1, 1, trial.Never},
		{"half of them missing", 98, .5, 98 * time.Millisecond},
		{"more than half missing", 99, .5, trial.Never},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := trial.Quantile(h, tc.missing, tc.q)
			assert.InEpsilon(t, float64(tc.want), float64(got), 0.002)
		})
	}
	assert.Zero(t, trial.Quantile(fleet.NewHistogram(), 0, .99), "nothing came and nothing was to come")
}

func TestLatenciesBeyondTheHistogramStayInIt(t *testing.T) {
	h := fleet.NewHistogram()
	fleet.Record(h, int64(time.Hour))
	fleet.Record(h, -5)
	assert.EqualValues(t, 2, h.TotalCount())
	assert.InEpsilon(t, float64(fleet.MaxLatency), float64(h.Max()), 0.002)
}

func TestResultTellsFailuresAndVoidRuns(t *testing.T) {
	good := trial.Result{Scenario: trial.Scenario{MaxLag: 10 * time.Millisecond, Storm: &trial.Storm{Limit: time.Second}}}
	good.Storm = &trial.StormResult{CaughtUp: time.Second}
	assert.NoError(t, good.Failure())
	assert.NoError(t, good.Void())
	for _, tc := range []struct {
		name  string
		spoil func(*trial.Result)
		want  string
	}{
		{"missing", func(r *trial.Result) { r.Defects.Missing = 3 }, "3 deliveries are missing"},
		{"twice", func(r *trial.Result) { r.Defects.Again = 1 }, "out of order"},
		{"ids", func(r *trial.Result) { r.Defects.BadIDs = 1 }, "did not rise"},
		{"cut", func(r *trial.Result) { r.Connections.Cut, r.Connections.Why = 1, errors.New("reset by peer") }, "reset by peer"},
		{"refused", func(r *trial.Result) { r.Connections.Failed = 1 }, "no stream"},
		{"storm", func(r *trial.Result) { r.Storm = &trial.StormResult{} }, "caught up"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := good
			tc.spoil(&r)
			assert.ErrorContains(t, r.Failure(), tc.want)
		})
	}
	late := good
	late.Generator.ClientLag = 11 * time.Millisecond
	assert.ErrorContains(t, late.Void(), "--max-lag")
	late = good
	late.Generator.Overslept = 11 * time.Millisecond
	assert.ErrorContains(t, late.Void(), "--max-lag")
}

func TestMemoryPerClient(t *testing.T) {
	r := trial.Result{Scenario: trial.Scenario{Clients: 900, Stuck: 100}, Memory: trial.Memory{Before: 1 << 20, Idle: 3 << 20}}
	assert.InDelta(t, 2<<20/1000., r.PerClient(), 1)
	r.Memory.Before = 0
	assert.True(t, math.IsNaN(r.PerClient()), "the server's process is not known")
	r = trial.Result{Scenario: trial.Scenario{Clients: 20}, Memory: trial.Memory{Before: 1, Idle: 2}}
	assert.True(t, math.IsNaN(r.PerClient()), "so few clients say nothing")
}

func TestScenarioNamesTheFlagsThatAreWrong(t *testing.T) {
	err := (&trial.Scenario{Clients: 0, Rate: -1, Duration: time.Hour, Storm: &trial.Storm{Limit: -1}, OwnTopics: true}).Check()
	for _, flag := range []string{"--clients", "--rate", "--duration", "--connect-rate", "--pending", "--max-lag",
		"--topics own", "--storm-behind", "--storm-within", "--storm-limit"} {
		assert.ErrorContains(t, err, flag)
	}
}

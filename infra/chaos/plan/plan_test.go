package plan_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/infra/chaos/fault"
	"sluice/infra/chaos/plan"
)

func names(p *plan.Plan, left time.Duration, n int) (all []string) {
	for range n {
		s, ok := p.Next(left)
		if !ok {
			break
		}
		all = append(all, s.Name())
	}
	return all
}

func TestOneSeedIsOneRun(t *testing.T) {
	draw := func(seed uint64) []string { return names(plan.Draw(seed, fault.All(), 0.5), time.Hour, 50) }
	require.Equal(t, draw(7), draw(7))
	require.NotEqual(t, draw(7), draw(8))
}

func TestEveryFaultComesOnceBeforeOneComesAgain(t *testing.T) {
	drawn := names(plan.Draw(1, fault.All(), 0), time.Hour, 2*len(fault.All()))
	require.ElementsMatch(t, fault.Names(), drawn[:len(fault.All())])
	require.ElementsMatch(t, fault.Names(), drawn[len(fault.All()):])
}

func TestWhatTakesTooLongIsNotDrawn(t *testing.T) {
	p := plan.Draw(1, fault.All(), 0.5)
	for range 200 {
		s, ok := p.Next(10 * time.Second)
		require.True(t, ok)
		require.LessOrEqual(t, s.Takes(), 10*time.Second, s.Name())
	}
	_, ok := p.Next(time.Millisecond)
	require.False(t, ok)
}

func TestMixedFaultsAreDifferent(t *testing.T) {
	few, err := fault.Choose([]string{"purge", "edge-kill"}, nil)
	require.NoError(t, err)
	p := plan.Draw(1, few, 1)
	for range 50 {
		s, ok := p.Next(time.Hour)
		require.True(t, ok)
		require.Len(t, s.Faults, 2)
		require.NotEqual(t, s.Faults[0].Name, s.Faults[1].Name)
	}
}

func TestEachIsEveryFaultAloneOnceInItsOrder(t *testing.T) {
	require.Equal(t, fault.Names(), names(plan.Each(fault.All()), 0, 1000))
}

func TestAFaultThatDoesNotExistIsAnError(t *testing.T) {
	_, err := fault.Choose(nil, []string{"earthquake"})
	require.ErrorContains(t, err, `no fault "earthquake"`)
	require.ErrorContains(t, err, "leader-kill")
}

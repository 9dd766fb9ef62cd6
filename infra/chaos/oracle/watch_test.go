package oracle_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/infra/chaos/oracle"
)

func TestAnEdgeThatIsReadyAndSilentIsToldOnce(t *testing.T) {
	w := oracle.Watch{After: 20 * time.Second}
	look := oracle.Look{Connected: at(1), Fed: at(5), Ready: at(2), Linked: at(0), Flowing: at(3), Awake: at(0)}
	look.Now = at(25)
	_, bad := w.See(look)
	require.False(t, bad, "it was silent for 20 s, and no longer")
	look.Now = at(25.1)
	v, bad := w.See(look)
	require.True(t, bad)
	require.Equal(t, oracle.Silent, v.Sin)
	look.Now = at(26)
	_, bad = w.See(look)
	require.False(t, bad, "it was told")
	look.Fed, look.Now = at(27), at(48)
	_, bad = w.See(look)
	require.True(t, bad, "a second silence is told too")
}

// Each condition has to have held for as long as the silence.
func TestSilenceCountsOnlyWhileEverythingElseIsWell(t *testing.T) {
	for name, set := range map[string]func(*oracle.Look){
		"it has just connected":           func(l *oracle.Look) { l.Connected = at(90) },
		"it just got an event":            func(l *oracle.Look) { l.Fed = at(90) },
		"the edge has just become ready":  func(l *oracle.Look) { l.Ready = at(90) },
		"the link was broken until now":   func(l *oracle.Look) { l.Linked = at(90) },
		"the log was quiet until now":     func(l *oracle.Look) { l.Flowing = at(90) },
		"this machine was busy until now": func(l *oracle.Look) { l.Awake = at(90) },
	} {
		t.Run(name, func(t *testing.T) {
			w := oracle.Watch{After: 20 * time.Second}
			l := oracle.Look{Now: at(100)}
			set(&l)
			_, bad := w.See(l)
			require.False(t, bad)
		})
	}
}

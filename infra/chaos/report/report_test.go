package report_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/infra/chaos/oracle"
	"sluice/infra/chaos/report"
	"sluice/publisher/event"
)

func at(seconds float64) oracle.Time { return oracle.Time(seconds * float64(time.Second)) }

func steps() []report.Step {
	return []report.Step{
		{Name: "edge-kill", What: "e1", Began: at(10), Over: at(13), Recovered: 400 * time.Millisecond},
		{Name: "purge", Began: at(20), Over: at(20), Recovered: -1},
		{Name: "nodes-kill", Began: at(90), Over: at(95), Recovered: time.Second, Quiet: 6 * time.Second},
	}
}

func TestAViolationIsOneLineWithWhatWasAroundIt(t *testing.T) {
	id := func(seq uint64) event.ID { return event.ID{Epoch: 1_700_000_012_345, Seq: seq} }
	record := &oracle.Record{Traces: []oracle.Trace{{
		Name:  "client 1 (plain, >)",
		Conns: []oracle.Conn{{Edge: 1, Opened: at(15), Cursor: id(4)}},
		Steps: []oracle.Step{
			{At: at(15), Kind: oracle.Opened, ID: id(4)},
			{At: at(21), Kind: oracle.Gap, ID: id(6), Gap: &oracle.GapInfo{Reason: "expired"}},
			{At: at(22), Kind: oracle.Event, ID: id(8)},
		},
	}}}
	line := report.Violation(oracle.Violation{Sin: oracle.Lost, At: at(22), Client: 0, Step: 2, Count: 3, First: id(7), What: "passed over"}, record, steps())
	require.Equal(t, "+22.0s lost ×3: client 1 (plain, >): event 12345/7: passed over"+
		" | faults: edge-kill e1 +10.0s to +13.0s, purge +20.0s to +20.0s"+
		" | blocks: [e2 since +15.0s, cursor 12345/4] +15.0s open 12345/4 +21.0s gap 12345/6 expired +22.0s event 12345/8", line)
	line = report.Violation(oracle.Violation{Sin: oracle.LeftOver, At: at(200), Client: -1, Step: -1, Count: 1, What: "e1 still has 2 clients"}, record, steps())
	require.Equal(t, "+200.0s left over: e1 still has 2 clients | faults: none", line)
}

func TestTheTableHasEachViolationWithTheFaultBeforeIt(t *testing.T) {
	var out bytes.Buffer
	report.Table(&out, steps(), []oracle.Violation{
		{Sin: oracle.Lost, At: at(12), Count: 2}, {Sin: oracle.Lost, At: at(19), Count: 1}, {Sin: oracle.Silent, At: at(500), Count: 4},
	})
	var rows []string
	for line := range strings.Lines(out.String()) {
		rows = append(rows, strings.Join(strings.Fields(line), " "))
	}
	require.Equal(t, []string{
		"at fault violations log again after every client again after",
		"+10.0s edge-kill e1 3 lost 0.0 s 0.4 s",
		"+20.0s purge 0 0.0 s not in time",
		"+90.0s nodes-kill 4 ready-but-silent 6.0 s 1.0 s",
	}, rows)
}

package source

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/mem"
	psnet "github.com/shirou/gopsutil/v4/net"

	"sluice/publisher"
)

// HostOptions is what of this machine becomes events.
type HostOptions struct {
	// Topic gets every event; with "" each goes to metric.<its name>.
	Topic string
	// Type is the type of every event.
	Type string
	IDs  IDs
	// Samples is how often the machine is measured, 0 for endlessly. A sample
	// is one event each for cpu_usage, memory_usage, disk_usage, network_in
	// and network_out.
	Samples uint64
	// Interval is the time between two samples.
	Interval time.Duration
}

// hostWindow is the time over which the first sample measures CPU and
// network; later ones measure since the sample before.
const hostWindow = 500 * time.Millisecond

// diskPath is the file system that is measured: the root.
const diskPath = "/"

// Host measures this machine. What cannot be read is an error that wraps
// publisher.ErrInvalid, and the next call gives the next reading.
type Host struct {
	opts     HostOptions
	name     string
	first    time.Time // when the first sample is due
	samples  uint64    // taken
	readings []reading // of the last sample, not yet given
	n        uint64
	net      netCounters
}

// reading is one measured value, or why there is none.
type reading struct {
	name, unit string
	value      float64
	err        error
}

// netCounters is what the network interfaces have carried since the machine
// started, loopback left out.
type netCounters struct {
	at       time.Time
	in, out  uint64
	readable error
}

// NewHost starts to measure. The first sample is due half a second later,
// since CPU and network usage are differences.
func NewHost(ctx context.Context, opts HostOptions) *Host {
	name, _ := os.Hostname()                     // without one the member is left out
	_, _ = cpu.PercentWithContext(ctx, 0, false) // from here on
	return &Host{opts: opts, name: name, first: time.Now().Add(hostWindow), net: readNet(ctx)}
}

// Next waits for the next sample when all readings of the last are given.
func (h *Host) Next(ctx context.Context) (publisher.Event, error) {
	if len(h.readings) == 0 {
		if h.opts.Samples > 0 && h.samples == h.opts.Samples {
			return publisher.Event{}, io.EOF
		}
		due := h.first.Add(time.Duration(h.samples) * h.opts.Interval)
		if err := sleepUntil(ctx, due); err != nil {
			return publisher.Event{}, err
		}
		h.samples++
		h.readings = h.sample(ctx)
	}
	r := h.readings[0]
	h.readings = h.readings[1:]
	h.n++
	if r.err != nil {
		return publisher.Event{}, fmt.Errorf("%w: measure %s: %w", publisher.ErrInvalid, r.name, r.err)
	}
	return h.event(r)
}

// event is a reading as the n-th event. A job's id for it leaves the value out:
// a job that runs again measures another value, but takes the same reading.
func (h *Host) event(r reading) (publisher.Event, error) {
	value := round(r.value, 1)
	p := payload{Type: "metric", Name: r.name, Value: &value, Unit: r.unit, Host: h.name}
	data, err := json.Marshal(p)
	if err != nil {
		return publisher.Event{}, err
	}
	e := publisher.Event{Topic: cmp.Or(h.opts.Topic, "metric."+r.name), Type: h.opts.Type, Data: data}
	named := e
	if h.opts.IDs.Field == "" {
		p.Value = nil
		if named.Data, err = json.Marshal(p); err != nil {
			return publisher.Event{}, err
		}
	}
	e.MsgID, err = h.opts.IDs.For(h.n, named)
	return e, err
}

// sample measures everything once.
func (h *Host) sample(ctx context.Context) []reading {
	readings := []reading{
		{name: "cpu_usage", unit: "percent"},
		{name: "memory_usage", unit: "percent"},
		{name: "disk_usage", unit: "percent"},
		{name: "network_in", unit: "bytes_per_second"},
		{name: "network_out", unit: "bytes_per_second"},
	}
	if used, err := cpu.PercentWithContext(ctx, 0, false); err != nil {
		readings[0].err = err
	} else if len(used) > 0 {
		readings[0].value = used[0]
	}
	if memory, err := mem.VirtualMemoryWithContext(ctx); err != nil {
		readings[1].err = err
	} else {
		readings[1].value = memory.UsedPercent
	}
	if usage, err := disk.UsageWithContext(ctx, diskPath); err != nil {
		readings[2].err = err
	} else {
		readings[2].value = usage.UsedPercent
	}
	last, now := h.net, readNet(ctx)
	h.net = now
	readings[3].value, readings[3].err = now.rate(last, now.in, last.in), now.readable
	readings[4].value, readings[4].err = now.rate(last, now.out, last.out), now.readable
	return readings
}

// rate is bytes per second since last. A counter that went back, because an
// interface went away, counts as still.
func (c netCounters) rate(last netCounters, bytes, lastBytes uint64) float64 {
	elapsed := c.at.Sub(last.at).Seconds()
	if bytes < lastBytes || last.readable != nil || elapsed <= 0 {
		return 0
	}
	return float64(bytes-lastBytes) / elapsed
}

func readNet(ctx context.Context) netCounters {
	c := netCounters{at: time.Now()}
	counters, err := psnet.IOCountersWithContext(ctx, true)
	if err != nil {
		c.readable = err
		return c
	}
	loopback := map[string]bool{}
	if interfaces, err := net.Interfaces(); err == nil {
		for _, i := range interfaces {
			loopback[i.Name] = i.Flags&net.FlagLoopback != 0
		}
	}
	for _, i := range counters {
		if !loopback[i.Name] {
			c.in += i.BytesRecv
			c.out += i.BytesSent
		}
	}
	return c
}

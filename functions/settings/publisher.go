package settings

import (
	"cmp"
	"fmt"
	"time"

	"github.com/alecthomas/kong"

	"sluice/publisher"
	"sluice/publisher/event"
	"sluice/publisher/source"
)

// The commands of publisher.
const (
	Demo  = "demo"
	Host  = "host"
	Stdin = "stdin"
)

// Publisher is the configuration of the command publisher.
type Publisher struct {
	NATS    NATS       `embed:"" group:"NATS"`
	Log     Log        `embed:"" group:"Event log"`
	Publish Publishing `embed:"" group:"Publishing"`

	Demo  DemoJob  `cmd:"" help:"Publish invented metrics, logs and alerts."`
	Host  HostJob  `cmd:"" help:"Publish this machine's CPU, memory, disk and network usage."`
	Stdin StdinJob `cmd:"" help:"Publish the lines of standard input, one JSON value each (NDJSON)."`

	// Command is the chosen one of the commands.
	Command string `kong:"-"`
	// Execution is the platform's own id of this run, the same when it tries
	// the run again; "" where it has none.
	Execution string `kong:"-"`
}

// Publishing is how events are published.
type Publishing struct {
	MaxPending     int           `env:"MAX_PENDING" default:"${max_pending}" help:"Events on the way without an acknowledgement. 1 keeps their order even when the stream changes its leader, at one round trip per event."`
	ConnectTimeout time.Duration `env:"CONNECT_TIMEOUT" default:"10s" help:"How long to try to reach NATS at the start."`
	Timeout        time.Duration `env:"PUBLISH_TIMEOUT" default:"${timeout}" help:"How long the log may acknowledge nothing, retries included, before the job gives up."`
	AckTimeout     time.Duration `env:"ACK_TIMEOUT" default:"${ack_timeout}" help:"How long one attempt waits for its acknowledgement."`
	DrainTimeout   time.Duration `env:"DRAIN_TIMEOUT" default:"${drain_timeout}" help:"Time left for what is pending after SIGINT, SIGTERM or SIGHUP."`
	Name           string        `env:"PRODUCER_NAME" help:"Name of the producer in /health (default: ${producer} for demo and host, stdin for stdin)."`
	Every          time.Duration `env:"EVERY" help:"How often this job is started: /health misses it after three times that."`
	Logging        `embed:""`
}

// Job is what every command of publisher has.
type Job struct {
	Topic    string        `env:"TOPIC" help:"Topic of every event (default: demo and host use one per kind, such as metric.cpu_usage; stdin needs it)."`
	Type     string        `env:"EVENT_TYPE" default:"${event_type}" help:"Event type, the SSE event name."`
	Duration time.Duration `env:"DURATION" help:"Stop after this time, such as 30s (default: no limit)."`
	IDFrom   string        `name:"id-from" env:"ID_FROM" placeholder:"FIELD" help:"JSON field that names an event on its topic, such as order.id: a rerun publishes nothing twice."`
	JobID    string        `name:"job-id" env:"SLUICE_JOB_ID" placeholder:"ID" help:"Name of this run: a rerun with the same name and input publishes nothing twice (default: the execution and task of a Cloud Run job, unless --id-from is given)."`
}

// The counts of a run that neither COUNT nor DURATION limits.
const (
	defaultDemoCount = 100
	defaultHostCount = 1
)

// DemoJob is the configuration of publisher demo.
type DemoJob struct {
	Job   `embed:""`
	Count *uint64 `env:"COUNT" help:"Events to publish, 0 for endless (default: ${demo_count}, endless with --duration)."`
	Rate  float64 `env:"RATE" default:"10" help:"Events per second, 0 for as fast as possible."`
}

// Events is how many events to publish, 0 for endless.
func (j *DemoJob) Events() uint64 { return j.limit(j.Count, defaultDemoCount) }

// HostJob is the configuration of publisher host.
type HostJob struct {
	Job   `embed:""`
	Count *uint64 `env:"COUNT" help:"Samples to publish, each of five events, 0 for endless (default: ${host_count}, endless with --duration)."`
	Rate  float64 `env:"RATE" default:"1" help:"Samples per second."`
}

// Samples is how many samples to publish, 0 for endless.
func (j *HostJob) Samples() uint64 { return j.limit(j.Count, defaultHostCount) }

// StdinJob is the configuration of publisher stdin.
type StdinJob struct {
	Job   `embed:""`
	Count *uint64 `env:"COUNT" help:"Lines to publish, 0 for all (default: all)."`
	Rate  float64 `env:"RATE" default:"0" help:"Lines per second, 0 for as fast as they come."`
}

// Lines is how many lines to publish, 0 for all.
func (j *StdinJob) Lines() uint64 { return j.limit(j.Count, 0) }

// limit is the count that was set, else unset, or none where a duration limits
// the run.
func (j *Job) limit(count *uint64, unset uint64) uint64 {
	switch {
	case count != nil:
		return *count
	case j.Duration > 0:
		return 0
	default:
		return unset
	}
}

// IDs are the message ids of the chosen command's events. Those from a field
// are the same in every execution, so only a name of the user's own goes with
// them.
func (p *Publisher) IDs() source.IDs {
	job := map[string]*Job{Demo: &p.Demo.Job, Host: &p.Host.Job, Stdin: &p.Stdin.Job}[p.Command]
	ids := source.IDs{Job: job.JobID, Field: job.IDFrom}
	if ids == (source.IDs{}) {
		ids.Job = p.Execution
	}
	return ids
}

// cloudRun is the id of a task in an execution of a Cloud Run job, "" elsewhere.
// CLOUD_RUN_TASK_ATTEMPT is not part of it: an attempt more is a rerun.
func cloudRun(getenv func(string) (string, bool)) string {
	execution := variable(getenv, "CLOUD_RUN_EXECUTION")
	if execution == "" {
		return ""
	}
	return execution + "/" + cmp.Or(variable(getenv, "CLOUD_RUN_TASK_INDEX"), "0")
}

// ProducerName is PRODUCER_NAME, or the chosen command's own.
func (p *Publisher) ProducerName() string {
	if p.Command == Stdin {
		return cmp.Or(p.Publish.Name, Stdin)
	}
	return cmp.Or(p.Publish.Name, event.DefaultProducer)
}

func (*Publisher) vars() kong.Vars { return nil }

const (
	// maxPending is what a JetStream stream queues before it refuses.
	maxPending = 10_000
	// The bounds of a rate keep its schedule within nanoseconds and 64 bits.
	minRate, maxRate float64 = 1e-6, 1e9
)

func (p *Publisher) validate(c *checks, command string) {
	p.Command, p.Execution = command, cloudRun(c.getenv)
	p.NATS.validate(c)
	p.Log.validate(c)
	p.Publish.validate(c)
	c.none("PRODUCER_NAME", publisher.CheckName(p.ProducerName()))
	window := p.Log.StreamDuplicates
	c.that(!p.NATS.CreateStream || window < minAge || window >= p.Publish.Timeout, "STREAM_DUPLICATES", window,
		fmt.Sprintf("at least PUBLISH_TIMEOUT, %s, so that what is sent again is stored once", p.Publish.Timeout))
	switch command {
	case Demo:
		p.Demo.validate(c, p.Demo.Rate)
	case Host:
		p.Host.validate(c, p.Host.Rate)
		c.that(p.Host.Rate != 0, "RATE", p.Host.Rate, "more than 0, since a sample needs some time")
	case Stdin:
		p.Stdin.validate(c, p.Stdin.Rate)
		c.that(p.Stdin.Topic != "", "TOPIC", "", "where the lines go, such as log.app")
	}
}

func (p *Publishing) validate(c *checks) {
	c.between("MAX_PENDING", p.MaxPending, 1, maxPending)
	atLeast(c, "CONNECT_TIMEOUT", p.ConnectTimeout, time.Millisecond)
	atLeast(c, "PUBLISH_TIMEOUT", p.Timeout, time.Millisecond)
	atLeast(c, "ACK_TIMEOUT", p.AckTimeout, time.Millisecond)
	atLeast(c, "DRAIN_TIMEOUT", p.DrainTimeout, time.Millisecond)
	atLeast(c, "EVERY", p.Every, 0)
}

func (j *Job) validate(c *checks, rate float64) {
	if j.Topic != "" {
		c.none("TOPIC", event.CheckTopic(j.Topic))
	}
	c.none("EVENT_TYPE", event.CheckType(j.Type))
	atLeast(c, "DURATION", j.Duration, 0)
	c.none("ID_FROM", source.IDs{Field: j.IDFrom}.Check())
	c.none("SLUICE_JOB_ID", source.IDs{Job: j.JobID}.Check())
	c.that(rate == 0 || rate >= minRate && rate <= maxRate, "RATE", rate, fmt.Sprintf("0, or %v to %v", minRate, maxRate)) // NaN is neither
}

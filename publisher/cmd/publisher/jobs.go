package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"sluice/publisher"
	"sluice/publisher/event"
	"sluice/publisher/source"
)

// job is one command.
type job interface {
	// check returns what is wrong with the command's settings.
	check() []error
	// name is the producer's name unless one is set.
	name() string
	source(ctx context.Context, cfg *config, stdin io.Reader) publisher.Source
}

// shared is what every command has.
type shared struct {
	Topic    string        `env:"TOPIC" help:"Topic of every event (default: demo and host use one per kind, such as metric.cpu_usage; stdin needs it)."`
	Type     string        `env:"EVENT_TYPE" default:"data" help:"Event type, the SSE event name."`
	Duration time.Duration `env:"DURATION" help:"Stop after this time, such as 30s (default: no limit)."`
	IDFrom   string        `name:"id-from" env:"ID_FROM" placeholder:"FIELD" help:"JSON field whose value is the message id, such as order.id: a rerun publishes nothing twice."`
	JobID    string        `name:"job-id" env:"JOB_ID" placeholder:"ID" help:"Message ids are ID:1, ID:2 and so on (ID:value with --id-from): a rerun publishes nothing twice."`
}

func (s *shared) ids() source.IDs { return source.IDs{Job: s.JobID, Field: s.IDFrom} }

func (s *shared) checkWith(rate float64) (errs []error) {
	if s.Topic != "" {
		if err := event.CheckTopic(s.Topic); err != nil {
			errs = append(errs, fmt.Errorf("--topic (TOPIC): %w", err))
		}
	}
	if err := event.CheckType(s.Type); err != nil {
		errs = append(errs, fmt.Errorf("--type (EVENT_TYPE): %w", err))
	}
	if s.Duration < 0 {
		errs = append(errs, fmt.Errorf("--duration (DURATION) %s: not negative", s.Duration))
	}
	if err := s.ids().Check(); err != nil {
		errs = append(errs, fmt.Errorf("--id-from, --job-id (ID_FROM, JOB_ID): %w", err))
	}
	if rate != 0 && !(rate >= minRate && rate <= maxRate) { // as NaN is
		errs = append(errs, fmt.Errorf("--rate (RATE) %v: 0, or %v to %v", rate, minRate, maxRate))
	}
	return errs
}

// The bounds of a rate keep its schedule within nanoseconds and 64 bits.
const minRate, maxRate float64 = 1e-6, 1e9

// orDefault is the count that was set, else unset, or no limit where a
// duration limits the run.
func (s *shared) orDefault(count *uint64, unset uint64) uint64 {
	switch {
	case count != nil:
		return *count
	case s.Duration > 0:
		return 0
	default:
		return unset
	}
}

type demoJob struct {
	shared
	Count *uint64 `env:"COUNT" help:"Events to publish, 0 for endless (default: 100, endless with --duration)."`
	Rate  float64 `env:"RATE" default:"10" help:"Events per second, 0 for as fast as possible."`
}

func (j *demoJob) check() []error { return j.checkWith(j.Rate) }
func (j *demoJob) name() string   { return event.DefaultProducer }

func (j *demoJob) source(context.Context, *config, io.Reader) publisher.Source {
	demo := source.NewDemo(source.DemoOptions{Topic: j.Topic, Type: j.Type, IDs: j.ids()})
	return source.Limit(source.Pace(demo, j.Rate), j.orDefault(j.Count, 100), j.Duration)
}

type hostJob struct {
	shared
	Count *uint64 `env:"COUNT" help:"Samples to publish, each of five events, 0 for endless (default: 1, endless with --duration)."`
	Rate  float64 `env:"RATE" default:"1" help:"Samples per second."`
}

func (j *hostJob) check() []error {
	errs := j.checkWith(j.Rate)
	if j.Rate == 0 {
		errs = append(errs, fmt.Errorf("--rate (RATE) 0: a sample needs some time"))
	}
	return errs
}
func (j *hostJob) name() string { return event.DefaultProducer }

func (j *hostJob) source(ctx context.Context, _ *config, _ io.Reader) publisher.Source {
	host := source.NewHost(ctx, source.HostOptions{
		Topic: j.Topic, Type: j.Type, IDs: j.ids(),
		Samples:  j.orDefault(j.Count, 1),
		Interval: time.Duration(float64(time.Second) / j.Rate),
	})
	return source.Limit(host, 0, j.Duration)
}

type stdinJob struct {
	shared
	Count *uint64 `env:"COUNT" help:"Lines to publish, 0 for all (default: all)."`
	Rate  float64 `env:"RATE" default:"0" help:"Lines per second, 0 for as fast as they come."`
}

func (j *stdinJob) check() []error {
	errs := j.checkWith(j.Rate)
	if j.Topic == "" {
		errs = append(errs, fmt.Errorf("--topic (TOPIC) is not set: say where the lines go, such as --topic log.app"))
	}
	return errs
}
func (j *stdinJob) name() string { return "stdin" }

func (j *stdinJob) source(ctx context.Context, cfg *config, stdin io.Reader) publisher.Source {
	lines := source.NewLines(ctx, stdin, source.LinesOptions{
		Topic: j.Topic, Type: j.Type, IDs: j.ids(), MaxBytes: cfg.MaxEventBytes,
	})
	return source.Limit(source.Pace(lines, j.Rate), j.orDefault(j.Count, 0), j.Duration)
}

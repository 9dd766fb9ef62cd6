package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/publisher"
)

func TestHelpIsNoError(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"demo", "--help"}, {"host", "-h"}, {"stdin", "--help"}} {
		r := runWith(t.Context(), nil, args...)
		assert.Zero(t, r.code, args)
		assert.Empty(t, r.stderr, args)
		assert.Contains(t, r.stdout, "NATS_URL", args)
	}
}

func TestUsageErrorsNameTheSetting(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		say  []string
	}{
		{"no command", nil, []string{`"demo", "host", "stdin"`}},
		{"an unknown flag", []string{"demo", "--nope"}, []string{"--nope"}},
		{"a count that is no number", []string{"demo", "--count=x"}, []string{"--count"}},
		{"no topic for lines", []string{"stdin"}, []string{"--topic", "TOPIC"}},
		{"a bad topic", []string{"demo", "--topic=a..b"}, []string{"--topic", "TOPIC", "token is empty"}},
		{"a reserved type", []string{"demo", "--type=system"}, []string{"--type", "EVENT_TYPE", "reserved"}},
		{"a rate below zero", []string{"demo", "--rate=-1"}, []string{"--rate", "RATE"}},
		{"a rate that is none", []string{"demo", "--rate=NaN"}, []string{"--rate", "RATE"}},
		{"a machine measured without a pause", []string{"host", "--rate=0"}, []string{"--rate", "RATE"}},
		{"a duration below zero", []string{"demo", "--duration=-1s"}, []string{"--duration", "DURATION"}},
		{"a bad field", []string{"demo", "--id-from=a."}, []string{"--id-from", "ID_FROM"}},
		{"a duplicate window in which nothing can be sent again", []string{"demo", "--stream-duplicates=1s"}, []string{"--stream-duplicates", "STREAM_DUPLICATES", "PUBLISH_TIMEOUT"}},
		{"a bad stream", []string{"demo", "--stream=a.b"}, []string{"--stream", "STREAM"}},
		{"a bad name", []string{"demo", "--name=a.b"}, []string{"--name", "PRODUCER_NAME"}},
		{"credentials that are not there", []string{"demo", "--nats-creds=/nowhere/x"}, []string{"--nats-creds", "NATS_CREDS", "/nowhere/x"}},
		{"an inbox prefix with a wildcard", []string{"demo", "--nats-inbox-prefix=a.>"}, []string{"NATS_INBOX_PREFIX"}},
		{"a log level", []string{"demo", "--log-level=loud"}, []string{"--log-level"}},
		{"all at once", []string{"demo", "--max-pending=0", "--stream-replicas=9", "--timeout=0s", "--max-event-bytes=0"},
			[]string{"MAX_PENDING", "STREAM_REPLICAS", "PUBLISH_TIMEOUT", "MAX_EVENT_BYTES"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := runWith(t.Context(), nil, tt.args...)
			assert.Equal(t, 1, r.code)
			assert.Empty(t, r.stdout)
			for _, say := range tt.say {
				assert.Contains(t, r.stderr, say)
			}
		})
	}
}

func TestFlagBeatsEnvironmentBeatsDefault(t *testing.T) {
	read := func(args ...string) *config {
		t.Helper()
		var out, errs bytes.Buffer
		cfg, _, done := parse(args, &out, &errs)
		require.False(t, done, errs.String())
		return cfg
	}
	plain := read("stdin", "--topic=a")
	assert.Equal(t, "nats://127.0.0.1:4222", plain.NATSURL)
	assert.Equal(t, "EVENTS", plain.Stream)
	assert.True(t, plain.CreateStream)
	assert.Equal(t, slog.LevelInfo, plain.LogLevel)
	assert.Equal(t, "stdin", plain.producerName())
	assert.Equal(t, "event_producer", read("host").producerName())

	for name, value := range map[string]string{
		"NATS_URL": "nats://env:1", "STREAM": "ENV", "CREATE_STREAM": "false", "LOG_LEVEL": "debug",
		"TOPIC": "env.topic", "COUNT": "7", "RATE": "2.5", "DURATION": "3s", "EVERY": "1m",
		"JOB_ID": "j", "ID_FROM": "a.b", "EVENT_TYPE": "line", "PRODUCER_NAME": "env", "CONNECT_TIMEOUT": "4s",
		"STREAM_MAX_AGE": "1h", "STREAM_MAX_BYTES": "9", "STREAM_DUPLICATES": "2m", "STREAM_REPLICAS": "3", "MAX_EVENT_BYTES": "99",
	} {
		t.Setenv(name, value)
	}
	env := read("stdin")
	assert.Equal(t, "nats://env:1", env.NATSURL)
	assert.False(t, env.CreateStream)
	assert.Equal(t, slog.LevelDebug, env.LogLevel)
	assert.Equal(t, "env.topic", env.Stdin.Topic)
	assert.Equal(t, uint64(7), *env.Stdin.Count)
	assert.Equal(t, 2.5, env.Stdin.Rate)
	assert.Equal(t, 3*time.Second, env.Stdin.Duration)
	assert.Equal(t, "j", env.Stdin.JobID)
	o := env.options(nil, nil)
	assert.Equal(t, "ENV", o.Stream)
	assert.Equal(t, "env", o.Name)
	assert.Equal(t, time.Minute, o.Every)
	assert.Equal(t, 3, o.Limits.Replicas)
	assert.Equal(t, int64(9), o.Limits.MaxBytes)
	assert.Equal(t, time.Hour, o.Limits.MaxAge)
	assert.Equal(t, 2*time.Minute, o.Limits.Duplicates)
	assert.Equal(t, 99, o.MaxEventBytes)

	flag := read("stdin", "--stream=FLAG", "--create-stream", "--name=flag", "--count=1")
	assert.Equal(t, "FLAG", flag.Stream)
	assert.True(t, flag.CreateStream)
	assert.Equal(t, "flag", flag.producerName())
	assert.Equal(t, uint64(1), *flag.Stdin.Count)
}

func TestRedactHidesPasswords(t *testing.T) {
	got := publisher.RedactServers("nats://me:secret@a:1, nats://b:2,nats://%zz:secret@c")
	assert.Equal(t, "nats://me:xxxxx@a:1,nats://b:2,(not a URL)", strings.TrimSpace(got))
}

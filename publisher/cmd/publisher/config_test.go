package main

import (
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/functions/settings"
	"sluice/publisher"
	"sluice/publisher/event"
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

func TestSettingsReachThePublisher(t *testing.T) {
	read := func(env map[string]string, args ...string) *settings.Publisher {
		t.Helper()
		cfg, done, err := settings.ParsePublisher(settings.Source{
			Args: args, Stdout: io.Discard, Getenv: func(name string) (string, bool) { value, ok := env[name]; return value, ok },
		})
		require.NoError(t, err)
		require.False(t, done)
		return cfg
	}
	env := map[string]string{
		"NATS_URL": "nats://env:1", "STREAM": "ENV", "CREATE_STREAM": "false", "LOG_LEVEL": "debug",
		"TOPIC": "env.topic", "COUNT": "7", "RATE": "2.5", "DURATION": "3s", "EVERY": "1m",
		"SLUICE_JOB_ID": "j", "ID_FROM": "a.b", "EVENT_TYPE": "line", "PRODUCER_NAME": "env", "CONNECT_TIMEOUT": "4s",
		"STREAM_MAX_AGE": "1h", "STREAM_MAX_BYTES": "9", "STREAM_DUPLICATES": "2m", "STREAM_REPLICAS": "3", "MAX_EVENT_BYTES": "99",
		"MAX_PENDING": "5", "PUBLISH_TIMEOUT": "6s", "ACK_TIMEOUT": "7s", "DRAIN_TIMEOUT": "8s",
	}
	log := slog.New(slog.DiscardHandler)
	assert.Equal(t, publisher.Options{
		Stream: "ENV", Name: "env", Every: time.Minute, MaxEventBytes: 99, MaxPending: 5,
		Timeout: 6 * time.Second, AckTimeout: 7 * time.Second, DrainTimeout: 8 * time.Second,
		Limits: event.StreamLimits{MaxAge: time.Hour, MaxBytes: 9, MaxMsgBytes: 99, Replicas: 3, Duplicates: 2 * time.Minute},
		Logger: log,
	}, options(read(env, "stdin"), nil, log))

	cfg := read(env, "stdin", "--stream=FLAG", "--create-stream", "--name=flag", "--count=1")
	o := options(cfg, nil, log)
	assert.Equal(t, "FLAG", o.Stream)
	assert.True(t, o.Create)
	assert.Equal(t, "flag", o.Name)
	e, err := newSource(t.Context(), cfg, strings.NewReader(`{"a":{"b":1}}`)).Next(t.Context())
	require.NoError(t, err)
	assert.Equal(t, publisher.Event{Topic: "env.topic", Type: "line", MsgID: "env.topic:line:job:j:id:1", Data: []byte(`{"a":{"b":1}}`)}, e)
}

func TestRedactHidesPasswords(t *testing.T) {
	cfg := settings.NATS{URL: "nats://me:secret@a:1, nats://b:2,nats://%zz:secret@c"}
	assert.Equal(t, "nats://me:xxxxx@a:1,nats://b:2,(not a URL)", strings.TrimSpace(cfg.Servers()))
}

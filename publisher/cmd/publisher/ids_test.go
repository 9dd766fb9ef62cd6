package main

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/natsembed/natstest"
)

// job is a run of the command, and what it says of its events.
type job struct {
	env                   map[string]string
	stdin                 string
	args                  []string
	published, duplicates uint64
}

func lines(stdin string, published, duplicates uint64, args ...string) job {
	return job{stdin: stdin, args: append([]string{"stdin"}, args...), published: published, duplicates: duplicates}
}

func (j job) with(env map[string]string) job {
	j.env = env
	return j
}

// task is the environment of a task of a Cloud Run job.
func task(execution, index, attempt string) map[string]string {
	return map[string]string{
		"CLOUD_RUN_JOB": "import", "CLOUD_RUN_EXECUTION": execution, "CLOUD_RUN_TASK_INDEX": index, "CLOUD_RUN_TASK_ATTEMPT": attempt,
	}
}

func TestDifferentEventsAreNoDuplicates(t *testing.T) {
	demo := job{args: []string{"demo", "--count", "20", "--rate", "0"}, published: 20}
	host := job{args: []string{"host"}, published: 5}
	again := func(j job) job {
		j.published, j.duplicates = 0, j.published
		return j
	}
	for _, tt := range []struct {
		name string
		jobs []job
	}{
		{"a field on two topics", []job{
			lines(`{"id":1}`, 1, 0, "--topic", "order.created", "--id-from", "id"),
			lines(`{"id":1}`, 1, 0, "--topic", "invoice.sent", "--id-from", "id"),
			lines(`{"id":1}`, 0, 1, "--topic", "order.created", "--id-from", "id"),
		}},
		{"a field on two types", []job{
			lines(`{"id":1}`, 1, 0, "--topic", "order", "--id-from", "id", "--type", "created"),
			lines(`{"id":1}`, 1, 0, "--topic", "order", "--id-from", "id", "--type", "paid"),
		}},
		{"a job with two topics", []job{
			lines("1\n2", 2, 0, "--topic", "a", "--job-id", "j"),
			lines("1\n2", 2, 0, "--topic", "b", "--job-id", "j"),
		}},
		{"a line inserted in front: what has moved is published again", []job{
			lines("1\n2\n3", 3, 0, "--topic", "a", "--job-id", "j"),
			lines("0\n1\n2\n3", 4, 0, "--topic", "a", "--job-id", "j"),
		}},
		{"a line inserted in front of lines with a field", []job{
			lines("{\"id\":1}\n{\"id\":2}", 2, 0, "--topic", "a", "--job-id", "j", "--id-from", "id"),
			lines("{\"id\":0}\n{\"id\":1}\n{\"id\":2}", 1, 2, "--topic", "a", "--job-id", "j", "--id-from", "id"),
		}},
		{"a JOB_ID that somebody else has set", []job{
			lines("1", 1, 0, "--topic", "a").with(map[string]string{"JOB_ID": "4711"}),
			lines("1", 1, 0, "--topic", "a").with(map[string]string{"JOB_ID": "4711"}),
		}},
		{"a job named in the environment", []job{
			lines("1", 1, 0, "--topic", "a").with(map[string]string{"SLUICE_JOB_ID": "4711"}),
			lines("1", 0, 1, "--topic", "a").with(map[string]string{"SLUICE_JOB_ID": "4711"}),
		}},
		{"a task of a Cloud Run job that is tried again", []job{
			demo.with(task("import-x1", "0", "0")), again(demo).with(task("import-x1", "0", "1")),
			demo.with(task("import-x1", "1", "0")), demo.with(task("import-x2", "0", "0")),
			host.with(task("import-x1", "0", "0")), again(host).with(task("import-x1", "0", "1")),
		}},
		{"a field in two executions of a Cloud Run job", []job{
			lines(`{"id":1}`, 1, 0, "--topic", "a", "--id-from", "id").with(task("import-x1", "0", "0")),
			lines(`{"id":1}`, 0, 1, "--topic", "a", "--id-from", "id").with(task("import-x2", "0", "0")),
		}},
		{"a named job in two executions of a Cloud Run job", []job{
			lines("1", 1, 0, "--topic", "a", "--job-id", "j").with(task("import-x1", "0", "0")),
			lines("1", 0, 1, "--topic", "a", "--job-id", "j").with(task("import-x2", "0", "0")),
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := natstest.Start(t)
			for i, j := range tt.jobs {
				t.Run(strconv.Itoa(i+1), func(t *testing.T) {
					for name, value := range j.env {
						t.Setenv(name, value)
					}
					r := runJob(t, srv, j.stdin, j.args...)
					require.Zero(t, r.code, r.stderr)
					s := r.summary(t)
					assert.Equal(t, [2]uint64{j.published, j.duplicates}, [2]uint64{s.Published, s.Duplicates}, "published, duplicates")
				})
			}
		})
	}
}

package load

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"sluice/infra/chaos/oracle"
	"sluice/infra/internal/guard"
)

const (
	jobLines = 20
	// jobPace is the time between the lines of a job, so that it can be killed in
	// the middle.
	jobPace = 50 * time.Millisecond
	// jobPatience is how long one run of a job may take.
	jobPatience = 3 * time.Minute
)

// Jobs runs the publisher as a cron job would: one job after the other, each
// with some lines and a job id. A job that is killed is run again with the same
// id and the same lines, until it says that every event was acknowledged.
type Jobs struct {
	Binary string
	URLs   []string
	Book   *oracle.Book
	Log    string // file of what they say
	Group  *guard.Guard

	mu     sync.Mutex
	cmd    *exec.Cmd
	done   int // jobs
	killed int
}

// Done is how many jobs came to their end, and how many runs were killed.
func (j *Jobs) Done() (done, killed int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.done, j.killed
}

// Kill kills the run that there is.
func (j *Jobs) Kill() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.cmd != nil {
		j.killed++
		_ = j.cmd.Process.Kill()
	}
}

// jobBase is above the keys of all writers.
const jobBase oracle.Key = 1 << 60

// Run runs jobs until ctx ends.
func (j *Jobs) Run(ctx context.Context, seed uint64) error {
	r := rand.New(rand.NewPCG(seed, 1))
	for n := oracle.Key(1); ctx.Err() == nil; n++ {
		topic := r.IntN(len(topics) - 1)
		var input bytes.Buffer
		keys := make([]oracle.Key, jobLines)
		for i := range keys {
			keys[i] = jobBase + n*jobLines + oracle.Key(i)
			input.Write(append(Render(keys[i], topic), '\n'))
			j.Book.Sent(keys[i])
		}
		began := j.Book.Now()
		for ctx.Err() == nil {
			ok, err := j.run(ctx, fmt.Sprintf("job-%d-%d", seed, n), topics[topic], input.Bytes())
			if err != nil {
				return err
			}
			if ok {
				j.finished()
				j.Book.JobDone(keys, topic, began)
				break
			}
		}
	}
	return nil
}

func (j *Jobs) finished() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.done++
}

// run is one run of a job; ok says that everything was acknowledged.
func (j *Jobs) run(ctx context.Context, id, topic string, input []byte) (ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, jobPatience)
	defer cancel()
	log, err := os.OpenFile(j.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return false, err
	}
	defer log.Close()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, j.Binary, "stdin", "--topic", topic, "--job-id", id)
	cmd.Env = append(os.Environ(), "NATS_URL="+strings.Join(j.URLs, ","), "CREATE_STREAM=false")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &slowly{lines: bytes.SplitAfter(input, []byte{'\n'})}, &out, log
	j.Group.Admit(cmd)
	j.mu.Lock()
	err = cmd.Start()
	if err == nil {
		j.cmd = cmd
	}
	j.mu.Unlock()
	if err != nil {
		return false, err
	}
	failed := cmd.Wait()
	j.mu.Lock()
	j.cmd = nil
	j.mu.Unlock()
	if failed != nil {
		return false, nil // it was killed, or the log did not acknowledge: run it again
	}
	var said struct{ Published, Duplicates, Failed int }
	if err := json.Unmarshal(out.Bytes(), &said); err != nil {
		return false, fmt.Errorf("a publisher that ended well said %q: %w", out.String(), err)
	}
	if said.Published+said.Duplicates != jobLines || said.Failed != 0 {
		return false, fmt.Errorf("a publisher that ended well had %d lines and said %q", jobLines, out.String())
	}
	return true, nil
}

// slowly is an input that comes line by line.
type slowly struct{ lines [][]byte }

func (s *slowly) Read(p []byte) (int, error) {
	for len(s.lines) > 0 && len(s.lines[0]) == 0 {
		s.lines = s.lines[1:]
	}
	if len(s.lines) == 0 {
		return 0, io.EOF
	}
	time.Sleep(jobPace)
	n := copy(p, s.lines[0])
	s.lines[0] = s.lines[0][n:]
	return n, nil
}

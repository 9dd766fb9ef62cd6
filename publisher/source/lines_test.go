package source_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/natsembed/natstest"
	"sluice/publisher"
	"sluice/publisher/source"
)

// hashOf1 is what ids hold of the payload 1.
const hashOf1 = "6b86b273ff34fce19d6b804eff5a3f57"

var lineOptions = source.LinesOptions{Topic: "log.app", Type: "line", IDs: source.IDs{Job: "j"}, MaxBytes: 20}

// readAll drains a source: payloads and errors as texts.
func readAll(t testing.TB, s publisher.Source) (data, failures []string) {
	t.Helper()
	for {
		e, err := s.Next(t.Context())
		switch {
		case errors.Is(err, io.EOF):
			return data, failures
		case err != nil:
			failures = append(failures, err.Error())
			if !errors.Is(err, publisher.ErrInvalid) {
				return data, failures
			}
		default:
			data = append(data, jobAndPlace(e.MsgID)+" "+string(e.Data))
		}
	}
}

// jobAndPlace is what an id of lineOptions says of the run and the line.
func jobAndPlace(id string) string {
	parts := strings.Split(id, ":")
	return parts[3] + ":" + parts[5]
}

func TestLinesBecomeEvents(t *testing.T) {
	natstest.CheckGoroutines(t)
	long := strings.Repeat("x", 18)
	for _, tt := range []struct {
		name, input string
		data        []string
		failures    []string
	}{
		{"nothing", "", nil, nil},
		{"one value a line", "{\"a\":1}\n2\n", []string{`j:1 {"a":1}`, `j:2 2`}, nil},
		{"a last line without its end", "1\n2", []string{"j:1 1", "j:2 2"}, nil},
		{"CRLF", "1\r\n2\r\n", []string{"j:1 1", "j:2 2"}, nil},
		{"blank lines count and mean nothing", "\n1\n \t\n\r\n2\n\n", []string{"j:2 1", "j:5 2"}, nil},
		{"white space around a value", " 1 \n", []string{"j:1 1"}, nil},
		{"a byte order mark", "\ufeff1\n2\n", []string{"j:1 1", "j:2 2"}, nil},
		{"a byte order mark and CRLF before the longest line", "\ufeff\r\n\"" + long + "\"\n", []string{`j:2 "` + long + `"`}, nil},
		{"a byte order mark before the longest line", "\ufeff\"" + long + "\"\r\n1\n", []string{`j:1 "` + long + `"`, "j:2 1"}, nil},
		{"a byte order mark before a line that is one byte too long", "\ufeff\"x" + long + "\"\n1\n", []string{"j:2 1"},
			[]string{"line 1: invalid event: longer than MAX_EVENT_BYTES, 20"}},
		{"a line that is up to three bytes too long", `"xxx` + long + "\"\n1\n", []string{"j:2 1"},
			[]string{"line 1: invalid event: longer than MAX_EVENT_BYTES, 20"}},
		{"a byte order mark and nothing", "\ufeff", nil, nil},
		{"a byte order mark elsewhere", "1\n\ufeff2\n", []string{"j:1 1"}, []string{"line 2: invalid event: the data is not one JSON value in UTF-8"}},
		{"the longest line", `"` + long + "\"\n1\n", []string{`j:1 "` + long + `"`, "j:2 1"}, nil},
		{"the longest line with CRLF", `"` + long + "\"\r\n1\n", []string{`j:1 "` + long + `"`, "j:2 1"}, nil},
		{"the longest line without its end", `"` + long + `"`, []string{`j:1 "` + long + `"`}, nil},
		{"a line that is one byte too long", `"x` + long + "\"\n1\n", []string{"j:2 1"},
			[]string{"line 1: invalid event: longer than MAX_EVENT_BYTES, 20"}},
		{"a very long line", "1\n" + strings.Repeat("x", 100_000) + "\n3\n", []string{"j:1 1", "j:3 3"},
			[]string{"line 2: invalid event: longer than MAX_EVENT_BYTES, 20"}},
		{"a very long last line without its end", "1\n" + strings.Repeat("x", 1000), []string{"j:1 1"},
			[]string{"line 2: invalid event: longer than MAX_EVENT_BYTES, 20"}},
		{"lines that are not JSON", "{\n1\nhello\n", []string{"j:2 1"}, []string{
			"line 1: invalid event: the data is not one JSON value in UTF-8",
			"line 3: invalid event: the data is not one JSON value in UTF-8"}},
		{"bytes that are not UTF-8", "\"\xff\"\n", nil, []string{"line 1: invalid event: the data is not one JSON value in UTF-8"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data, failures := readAll(t, source.NewLines(t.Context(), strings.NewReader(tt.input), lineOptions))
			assert.Equal(t, tt.data, data)
			assert.Equal(t, tt.failures, failures)
		})
	}
}

func TestLinesCarryTopicAndType(t *testing.T) {
	e, err := source.NewLines(t.Context(), strings.NewReader("1"), lineOptions).Next(t.Context())
	require.NoError(t, err)
	assert.Equal(t, publisher.Event{Topic: "log.app", Type: "line", MsgID: "log.app:line:job:j:n:1:" + hashOf1, Data: []byte("1")}, e)
}

func TestLinesAreGivenAsTheyArrive(t *testing.T) {
	natstest.CheckGoroutines(t)
	r, w := io.Pipe()
	defer w.Close()
	lines := source.NewLines(t.Context(), r, lineOptions)
	for range 3 {
		_, err := io.WriteString(w, "1\n")
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), natstest.Patience)
		_, err = lines.Next(ctx)
		cancel()
		require.NoError(t, err, "though the reader goes on")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := lines.Next(ctx)
	assert.ErrorIs(t, err, context.DeadlineExceeded, "Next can be interrupted while nothing comes")
}

func TestLinesReportAFailingReader(t *testing.T) {
	r, w := io.Pipe()
	broken := errors.New("disk on fire")
	go func() {
		_, _ = io.WriteString(w, "1\n2")
		w.CloseWithError(broken)
	}()
	data, failures := readAll(t, source.NewLines(t.Context(), r, lineOptions))
	assert.Equal(t, []string{"j:1 1"}, data)
	assert.Equal(t, []string{"line 2: disk on fire"}, failures)
}

// repeated gives n bytes and then EOF without holding them.
type repeated struct{ left int }

func (r *repeated) Read(b []byte) (int, error) {
	n := min(len(b), r.left)
	if n == 0 {
		return 0, io.EOF
	}
	for i := range b[:n] {
		b[i] = 'x'
	}
	r.left -= n
	return n, nil
}

func TestLinesHoldNoMoreThanTheirBound(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, failures := readAll(t, source.NewLines(t.Context(), &repeated{left: 32 << 20}, lineOptions))
	runtime.ReadMemStats(&after)
	assert.Len(t, failures, 1)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20), "for one line of 32 MiB")
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("1\n{\"a\":2}\r\n\nxx\n"), uint8(3))
	f.Add([]byte("\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\n1"), uint8(0))
	f.Add([]byte("\n\r\r\n"), uint8(255))
	f.Add([]byte("\ufeff1\n\ufeff\n"), uint8(0))
	f.Fuzz(func(t *testing.T, input []byte, limit uint8) {
		opts := lineOptions
		opts.MaxBytes = int(limit) + 1
		data, failures := readAll(t, source.NewLines(t.Context(), bytes.NewReader(input), opts))
		// Every line is an event, a failure or blank, by a plain reading too.
		want := 0
		for _, ln := range bytes.Split(bytes.TrimPrefix(input, []byte("\ufeff")), []byte("\n")) {
			if len(bytes.TrimSpace(ln)) > 0 || len(bytes.TrimRight(ln, "\r")) > opts.MaxBytes {
				want++
			}
		}
		// A long run of \r may be too long or an end, both are right.
		if !bytes.Contains(input, []byte("\r\r")) {
			assert.Equal(t, want, len(data)+len(failures))
		}
		for _, d := range data {
			_, payload, _ := strings.Cut(d, " ")
			assert.LessOrEqual(t, len(payload), opts.MaxBytes)
			assert.NoError(t, publisher.CheckData([]byte(payload)))
		}
	})
}

func BenchmarkLines(b *testing.B) {
	line := []byte(`{"type":"metric","name":"cpu_usage","value":45.2,"id":"abcdefgh"}` + "\n")
	opts := lineOptions
	opts.MaxBytes, opts.IDs = 64<<10, source.IDs{Field: "id"}
	lines := source.NewLines(b.Context(), io.LimitReader(&cycle{data: line}, int64(b.N*len(line))), opts)
	b.ReportAllocs()
	for range b.N {
		if _, err := lines.Next(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// cycle gives data over and over.
type cycle struct {
	data []byte
	at   int
}

func (c *cycle) Read(b []byte) (n int, err error) {
	for n < len(b) {
		m := copy(b[n:], c.data[c.at:])
		n, c.at = n+m, (c.at+m)%len(c.data)
	}
	return n, nil
}

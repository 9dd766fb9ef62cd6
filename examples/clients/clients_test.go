package main

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// here is a harness that runs nothing.
func here(t *testing.T) *harness {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	return &harness{root: filepath.Join(dir, "..", ".."), dir: dir}
}

func TestREADMEHasWhatEveryClientNeeds(t *testing.T) {
	h := here(t)
	text, err := os.ReadFile(filepath.Join(h.root, "README.md"))
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(text), tableTop)
	found, _, ok := strings.Cut(rest, tableEnd)
	require.True(t, ok)
	lines := strings.Split(strings.TrimSpace(found), "\n")
	require.Len(t, lines, len(roster)+2)
	versions, err := h.versions()
	require.NoError(t, err)
	for i := range roster {
		c := &roster[i]
		needs, careful, err := h.needs(c)
		require.NoError(t, err, "every client has an adapter")
		assert.Equal(t, careful, len(needs) > 0 || strings.Contains(c.Advice, c.source()), "%s: what its adapter adds is in the table", c.Adapter)
		name := c.Name
		if c.Module != "" {
			require.NotEmpty(t, versions[c.Module], c.Module)
			name += " " + versions[c.Module]
		}
		assert.True(t, strings.HasPrefix(lines[i+2], "| "+name+" | "), "%s: %s", name, lines[i+2])
		assert.True(t, strings.HasSuffix(lines[i+2], " | "+cell(&row{client: c, needs: needs})+" |"), "%s: %s", name, lines[i+2])
	}
}

func TestAnotherTableIsRefused(t *testing.T) {
	assert.NoError(t, compare("| a | stops |\n", "| a | stops |\n"))
	err := compare("| a | stops |\n| b | back |\n", "| a | stops |\n| b | stops |\n")
	assert.ErrorContains(t, err, "\nseen     | b | stops |\nREADME   | b | back |")
	assert.NotContains(t, err.Error(), "| a |")
	assert.Error(t, compare("| a | stops |\n| b | back |\n", "| a | stops |\n"), "a row too many")
}

// ask sends one request and reads all that comes.
func ask(t *testing.T, addr, cursor string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(conn, "GET /stream HTTP/1.1\r\nHost: x\r\nLast-Event-ID: "+cursor+"\r\n\r\n")
	require.NoError(t, err)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	_, body, _ := strings.Cut(string(answer), "\r\n\r\n")
	return body
}

func TestAScriptedServerEndsOrCutsAsItIsWritten(t *testing.T) {
	var asked []string
	v, err := serve(func(n int, _ string) answer {
		if n == 1 {
			return answer{body: "whole", ending: clean}
		}
		return answer{body: "whole", part: "part", ending: cut}
	}, func(body string) bool { asked = append(asked, body); return true })
	require.NoError(t, err)
	defer v.close()
	assert.Equal(t, "5\r\nwhole\r\n0\r\n\r\n", ask(t, v.addr, ""))
	assert.Equal(t, "5\r\nwhole\r\n4\r\npart\r\n", ask(t, v.addr, "12"))
	assert.Equal(t, []string{"whole"}, asked, "a cut waits until the client has what came before")
	requests := v.seen()
	require.Len(t, requests, 2)
	assert.Equal(t, []string{"", "12"}, []string{requests[0].cursor, requests[1].cursor})
}

func TestAServerThatLeavesComesBackAtTheSameAddress(t *testing.T) {
	v, err := serve(func(int, string) answer { return answer{body: "a", ending: leave} }, func(string) bool { return true })
	require.NoError(t, err)
	defer v.close()
	ask(t, v.addr, "")
	_, err = net.Dial("tcp", v.addr)
	require.Error(t, err)
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", v.addr)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, patience, pollTime)
}

func data(id, data string) line { return line{Event: "data", ID: id, Data: data} }

func TestWhatIsToldOfACut(t *testing.T) {
	two := []request{{}, {cursor: "12"}}
	for name, c := range map[string]struct {
		view view
		want string
	}{
		"asked again": {view{requests: two, events: []line{data("12", "12"), data("13", "thirteen"), data("14", "14")}}, whole},
		"lost":        {view{requests: two, events: []line{data("12", "12"), data("14", "14")}}, loses},
		"twice":       {view{requests: two, events: []line{data("12", "12"), data("13", "thirteen"), data("13", "thirteen"), data("14", "14")}}, twice},
		"half":        {view{requests: two, events: []line{data("12", "12"), data("13", "th"), data("14", "14")}}, halved},
		"stopped":     {view{requests: two[:1], events: []line{data("12", "12")}, gone: true}, stops},
		"exited":      {view{requests: two[:1], events: []line{data("12", "12")}, gone: true, exited: true}, exits},
		"silent":      {view{requests: two[:1], events: []line{data("12", "12")}}, silent},
	} {
		assert.Equal(t, c.want, cutAt("").tell(c.view), name)
	}
	assert.Equal(t, whole, worst([]string{whole, whole}))
	assert.Equal(t, loses+", "+halved, worst([]string{whole, halved, loses}))
}

func TestWhoComesBackEarlyDoesNotHeedRetry(t *testing.T) {
	ended := time.Now()
	told := func(wait time.Duration, cursor string) string {
		return cleanEnd.tell(view{
			requests: []request{{ended: ended}, {cursor: cursor, at: ended.Add(wait)}},
			events:   []line{data("12", "12"), data("13", "13"), data("14", "14")},
		})
	}
	assert.Equal(t, "back", told(retryLong*time.Millisecond, "12"))
	assert.Equal(t, "back at once", told(2*time.Millisecond, "12"))
	assert.Equal(t, "back without its cursor", told(time.Minute, ""))
}

package publish_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"sluice/natsembed/natstest"
	"sluice/publisher/event"
)

// TestCutRequestsAreStoredOnce: requests are cut anywhere, sent or answered, and
// repeated with their key until one is answered whole, while the log's leader is
// stopped and comes back. Each event is stored once, and what is answered is true.
func TestCutRequestsAreStoredOnce(t *testing.T) {
	cluster := natstest.StartCluster(t, 3)
	r := newRig(t, strings.Join(cluster.URLs(), ","), cluster.JetStream(t), 3)
	require.Equal(t, 200, r.post("?topic=first", "0").Status)
	const senders, requests, lines = 4, 4, 30
	var mu sync.Mutex
	claimed := map[string]string{} // id to data, as it was told
	claim := func(id, data string) {
		mu.Lock()
		defer mu.Unlock()
		if had, ok := claimed[id]; ok {
			assert.Equal(t, had, data, "%s was told of two events", id)
		}
		claimed[id] = data
	}
	var sending sync.WaitGroup
	for s := range senders {
		sending.Go(func() {
			random := rand.New(rand.NewPCG(uint64(s), 1))
			for n := range requests {
				r.repeat(random, fmt.Sprintf("%d-%d", s, n), s%2 == 0, lines, claim)
			}
		})
	}
	for range 2 {
		leader := cluster.StreamLeader(event.DefaultStream)
		cluster.Node(leader).Stop()
		<-time.After(500 * time.Millisecond) // the requests meet the election
		cluster.Restart(leader)
		natstest.Await(t, func() { r.post("?topic=between", "0") })
	}
	sending.Wait()
	var byData map[string]string
	require.Eventually(t, func() bool { // a server that has just come back may be behind
		byData = map[string]string{}
		for _, e := range r.log() {
			if e.Topic == "cut" {
				assert.Empty(t, byData[e.Data], "%s is stored twice", e.Data)
				byData[e.Data] = e.ID
			}
		}
		return len(byData) >= senders/2*requests*(lines+1)
	}, natstest.Patience, 100*time.Millisecond, "%d events", len(byData))
	for id, data := range claimed {
		assert.Equal(t, byData[data], id, "what was told of %s", data)
	}
	for s := range senders {
		for n := range requests {
			for i := range map[bool]int{true: lines, false: 1}[s%2 == 0] {
				assert.NotEmpty(t, byData[fmt.Sprintf(`"%d-%d-%d"`, s, n, i)])
			}
		}
	}
}

// repeat sends a request, which is cut, until it is answered whole.
func (r *rig) repeat(random *rand.Rand, key string, asManyLines bool, lines int, claim func(id, data string)) {
	data := func(i int) string { return fmt.Sprintf(`"%s-%d"`, key, i) }
	media, body := asJSON, data(0)
	if asManyLines {
		media, body = asLines, ""
		for i := range lines {
			body += data(i) + "\n"
		}
	}
	request := fmt.Sprintf("POST /publish?topic=cut HTTP/1.1\r\nHost: x\r\nIdempotency-Key: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", key, media, len(body), body)
	for end := time.Now().Add(natstest.Patience); time.Now().Before(end); {
		sendCut, readCut := len(request), 1<<20
		switch random.IntN(3) {
		case 0:
			sendCut = random.IntN(len(request))
		case 1:
			readCut = random.IntN(1000)
		}
		answer := r.exchange(request[:sendCut], readCut)
		_, answered, _ := strings.Cut(answer, "\r\n\r\n")
		whole := false
		for line := range bytes.Lines([]byte(answered)) {
			var l told
			if json.Unmarshal(line, &l) != nil {
				continue // the length of a chunk, or a line that was cut
			}
			if l.ID != "" && l.Line > 0 {
				claim(l.ID, data(int(l.Line)-1))
			}
			whole = whole || l.Line == 0 && l.Failed == 0 && l.Error == "" && l.Published+l.Duplicates > 0
		}
		if whole {
			return
		}
	}
	assert.Fail(r.t, "no whole answer in time", key)
}

// exchange sends text, and reads so many bytes of the answer.
func (r *rig) exchange(text string, most int) string {
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if !assert.NoError(r.t, err) {
		return ""
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		return ""
	}
	if strings.HasSuffix(text, "\n") || strings.HasSuffix(text, `"`) {
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	} else {
		_ = conn.(*net.TCPConn).CloseWrite()
	}
	var got bytes.Buffer
	in := bufio.NewReader(io.LimitReader(conn, int64(most)))
	for {
		line, err := in.ReadString('\n')
		got.WriteString(line)
		if err != nil || strings.Contains(line, `"published"`) {
			return got.String()
		}
	}
}

// TestWhoSendsNoMoreIsAnswered: one that has sent its request whole, closes its side
// and reads.
func TestWhoSendsNoMoreIsAnswered(t *testing.T) {
	r, _ := onServer(t)
	for n := range 100 {
		media := []string{asJSON, asLines}[n%2]
		request := fmt.Sprintf("POST /publish?topic=a HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: 1\r\n\r\n1", media)
		require.Contains(t, r.exchange(request, 1<<20), `"published":1`, "%d", n)
	}
	assert.Len(t, r.log(), 100)
}

// TestACutBodyIsNotWhole: a client that stops sending in the middle, and still reads,
// is told so, however many lines had come.
func TestACutBodyIsNotWhole(t *testing.T) {
	r, _ := onServer(t)
	for n := range 300 {
		lines := strings.Repeat("1\n", n%5+1)
		request := fmt.Sprintf("POST /publish?topic=a HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: 1000\r\n\r\n%s{", asLines, lines)
		_, answered, _ := strings.Cut(r.exchange(request, 1<<20), "\r\n\r\n")
		require.Contains(t, answered, `"error":"bad_body"`, "%d", n)
	}
}

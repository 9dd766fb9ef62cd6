package world

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const patience = time.Minute

// echo is a server that sends back each line, behind a link.
func echo(t *testing.T) *Link {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() { // ends with the listener
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn) }()
		}
	}()
	w := &World{proxies: newProxies(), ports: newPorts()}
	t.Cleanup(w.proxies.close)
	link, err := w.link("echo", l.Addr().String())
	require.NoError(t, err)
	return link
}

type talk struct {
	net.Conn
	lines *bufio.Reader
}

func dial(t *testing.T, l *Link) *talk {
	t.Helper()
	conn, err := net.Dial("tcp", l.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	return &talk{conn, bufio.NewReader(conn)}
}

func (c *talk) say(t *testing.T, line string) {
	t.Helper()
	_, err := io.WriteString(c, line)
	require.NoError(t, err)
}

func (c *talk) hear(t *testing.T, line string) {
	t.Helper()
	got, err := c.lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, line, got)
}

func TestWhatALinkHoldsComesWhenItIsHealed(t *testing.T) {
	for _, d := range []Direction{Up, Down, Both} {
		t.Run(string(d), func(t *testing.T) {
			l := echo(t)
			c := dial(t, l)
			c.say(t, "before\n")
			c.hear(t, "before\n")
			heal := l.Hold(d)
			_, healthy := l.Healthy()
			require.False(t, healthy)
			c.say(t, "meanwhile\n")
			late := make(chan time.Time, 1)
			go func() {
				_, _ = c.lines.Peek(1)
				late <- time.Now()
			}()
			time.Sleep(100 * time.Millisecond) // that nothing comes meanwhile can only be waited for
			healed := time.Now()
			heal()
			require.True(t, (<-late).After(healed))
			c.hear(t, "meanwhile\n")
			c.say(t, "after\n")
			c.hear(t, "after\n")
			since, healthy := l.Healthy()
			require.True(t, healthy)
			require.False(t, since.Before(healed))
		})
	}
}

func TestWhatIsLateComes(t *testing.T) {
	l := echo(t)
	c := dial(t, l)
	const by = 50 * time.Millisecond
	heal := l.Latency(Both, by, 0)
	began := time.Now()
	c.say(t, "x\n")
	c.hear(t, "x\n")
	require.GreaterOrEqual(t, time.Since(began), 2*by)
	for range 100 { // all are on their way at once
		c.say(t, "y\n")
	}
	heal()
	for range 100 {
		c.hear(t, "y\n")
	}
}

func TestTwoDisturbancesOfALinkAreHealedOneByOne(t *testing.T) {
	l := echo(t)
	first, second := l.Hold(Both), l.Hold(Both)
	first()
	first() // once more does nothing
	_, healthy := l.Healthy()
	require.False(t, healthy)
	second()
	_, healthy = l.Healthy()
	require.True(t, healthy)
	c := dial(t, l)
	c.say(t, "x\n")
	c.hear(t, "x\n")
}

func TestALinkEndsConnections(t *testing.T) {
	t.Run("in the middle", func(t *testing.T) {
		l := echo(t)
		c := dial(t, l)
		heal := l.Limit(3)
		c.say(t, "abcdef\n")
		got, _ := io.ReadAll(c.lines)
		require.Equal(t, "abc", string(got))
		heal()
	})
	t.Run("at once, and takes new ones", func(t *testing.T) {
		l := echo(t)
		c := dial(t, l)
		c.say(t, "x\n")
		c.hear(t, "x\n")
		require.NoError(t, l.Cut())
		_, err := c.lines.ReadByte()
		require.Error(t, err)
		c = dial(t, l)
		c.say(t, "y\n")
		c.hear(t, "y\n")
	})
	t.Run("at once, although its port is another's for a moment", func(t *testing.T) {
		l := echo(t)
		l.proxy.Stop()
		other, err := net.Listen("tcp", l.Addr())
		require.NoError(t, err)
		cut := make(chan error, 1)
		go func() { cut <- l.Cut() }()
		require.Never(t, func() bool { return len(cut) > 0 }, 100*time.Millisecond, 10*time.Millisecond)
		require.NoError(t, other.Close())
		require.NoError(t, <-cut)
		c := dial(t, l)
		c.say(t, "y\n")
		c.hear(t, "y\n")
	})
	t.Run("at their beginning", func(t *testing.T) {
		l := echo(t)
		heal, err := l.Reset(time.Millisecond)
		require.NoError(t, err)
		c := dial(t, l)
		c.say(t, "x\n")
		_, err = c.lines.ReadByte()
		require.Error(t, err)
		heal()
	})
}

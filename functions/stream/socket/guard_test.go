//go:build unix && assertions

package socket_test

import (
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A closed connection's descriptor may be another connection's: these tests need
// the build tag with which its use is found.

func TestTheDescriptorIsNotUsedAfterClose(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		use        func(c taken)
	}{
		{"to try a write", "socket: a closed connection's descriptor is used", func(c taken) { _, _ = c.TryWrite([]byte("x")) }},
		{"to write", "socket: a closed connection's descriptor is used", func(c taken) { _ = c.Write([]byte("x")) }},
		{"to end cleanly again", "socket: a closed connection's descriptor is used", func(c taken) { c.Close(true) }},
		{"to reset it again", "socket: a connection is closed twice", func(c taken) { c.Close(false) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newTaker(t, patient)
			c := s.take(t, "HTTP/1.1")
			c.Close(true)
			other := s.take(t, "HTTP/1.1")
			assert.PanicsWithValue(t, tt.want, func() { tt.use(c) })
			other.Close(true)
			got, err := io.ReadAll(other.client)
			require.NoError(t, err)
			assert.Equal(t, "0\r\n\r\n", string(got), "nothing of the closed one's")
		})
	}
}

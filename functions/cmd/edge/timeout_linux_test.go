package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"sluice/functions/stream/streamtest"
	"sluice/natsembed/natstest"
)

// TestTheKernelTooGivesUpAfterStallTimeout, a second time, so that a stall is
// told as what it is: a client whose network is gone
// acknowledges nothing of what the kernel holds for it.
func TestTheKernelTooGivesUpAfterStallTimeout(t *testing.T) {
	p := start(t, natstest.Start(t).URL(), map[string]string{"STALL_TIMEOUT": "7s"})
	p.WaitReady()
	conn, err := streamtest.Dial(p.URL(), streamtest.Query{})
	require.NoError(t, err)
	defer conn.Close()
	ms, err := unix.GetsockoptInt(accepted(t, conn), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
	require.NoError(t, err)
	assert.Equal(t, 14000, ms)
}

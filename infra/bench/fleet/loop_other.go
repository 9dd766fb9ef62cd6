//go:build !linux

package fleet

import (
	"context"
	"errors"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

type loop struct {
	roster
	calls chan func()
	ended chan struct{}
	lag   *hdrhistogram.Histogram
}

func newLoop(Config) (*loop, error) {
	return nil, errors.New("the load generator needs epoll: run it on Linux")
}

func (l *loop) run(context.Context) error         { return nil }
func (l *loop) connectAll()                       {}
func (l *loop) cpu() time.Duration                { return 0 }
func (l *loop) lagging() int                      { return 0 }
func (l *loop) storm(time.Duration, uint32) error { return nil }

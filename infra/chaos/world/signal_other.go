//go:build !unix

package world

import (
	"errors"
	"os"
)

var errNoSignals = errors.New("there are no such signals on this system")

func signalTerm(*os.Process) error { return errNoSignals }

func signalPause(*os.Process, bool) error { return errNoSignals }

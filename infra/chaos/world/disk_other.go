//go:build !linux

package world

import "errors"

func outliveFullDisk() {}

func fillDisk(int, bool) error { return errors.New("a full disk can only be had on Linux") }

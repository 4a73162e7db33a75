//go:build !linux

package lan

import "syscall"

// bindToDevice does nothing here: ReadFrom leaves out what arrived on another interface.
func bindToDevice(string) func(network, address string, c syscall.RawConn) error { return nil }

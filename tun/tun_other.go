//go:build !linux && !openbsd && !freebsd && !darwin

package tun

import (
	"fmt"
	"runtime"
)

func open(Config) (*Device, error) {
	return nil, fmt.Errorf("no TUN backend for %s; meshrouter has one for Linux, OpenBSD, FreeBSD and macOS", runtime.GOOS)
}

func remove(string) error { return nil } // nothing persists here

//go:build !linux

package router

import (
	"errors"
	"net/netip"
	"runtime"
)

// errKernel says what `run` misses on this system.
var errKernel = errors.New("meshrouter run: the part that sets addresses and routes of the TUN device is written for Linux only, not for " + runtime.GOOS + "; check, show and the other offline commands work here") //nolint:gochecknoglobals // a constant error

const routePriority = 32

func kernelSupport() error { return errKernel }

type kernel struct{}

type kernelRoute struct {
	prefix netip.Prefix
	mtu    int
	src    netip.Addr
}

func openKernel(string) (*kernel, error)                  { return nil, errKernel }
func (*kernel) setup([]netip.Addr, int) error             { return errKernel }
func (*kernel) apply([]kernelRoute, []netip.Prefix) error { return errKernel }
func (*kernel) installed() (map[netip.Prefix]bool, error) { return nil, errKernel }
func (*kernel) flush() error                              { return errKernel }
func (*kernel) dropped() uint64                           { return 0 }
func hasDevice(string) bool                               { return false }
func hostAddressIn(...netip.Prefix) (netip.Addr, string)  { return netip.Addr{}, "" }
func forwardingOff() bool                                 { return false }

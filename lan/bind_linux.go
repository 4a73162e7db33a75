package lan

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// bindToDevice ties the socket to one device before it can receive anything (SO_BINDTODEVICE).
func bindToDevice(ifname string) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), ifname) }); cerr != nil {
			return cerr
		}
		return err
	}
}

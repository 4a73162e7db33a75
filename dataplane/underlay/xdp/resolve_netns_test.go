//go:build netns

package xdp

import (
	"testing"

	"golang.org/x/sys/unix"
)

// resolve makes the kernel ask ARP for the other end, as a packet that Send has left would, and waits until
// the path knows the way.
func (e *end) resolve(t testing.TB, to *end) {
	t.Helper()
	if err := e.space.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, []byte{0}, 0, &unix.SockaddrInet4{Port: 9, Addr: to.addr.As4()})
	}); err != nil {
		t.Fatal(err)
	}
	for e.ways.To(to.addr) == nil {
		unix.Nanosleep(&unix.Timespec{Nsec: 1e6}, nil)
	}
}

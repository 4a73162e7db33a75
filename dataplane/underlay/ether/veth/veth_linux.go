// Package veth makes network namespaces joined by veth pairs, for tests and measurements of what
// needs real interfaces. It needs root. A namespace has no name: it lives as long as its thread, so
// nothing is left behind however a test ends.
package veth

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Name is the interface's name in either namespace.
const Name = "wan"

// The addresses of the two ends, and the length of their prefix.
const (
	AddrA     = "192.0.2.1"
	AddrB     = "192.0.2.2"
	prefixLen = 24
)

// A Space is a network namespace with a thread that stays in it.
type Space struct {
	calls chan func()
	fd    int
}

// NewSpace makes a namespace whose loopback interface is up.
func NewSpace() (*Space, error) {
	s := &Space{calls: make(chan func())}
	ready := make(chan error)
	go func() { // ends with Close, and its thread and namespace with it
		runtime.LockOSThread()
		ready <- unix.Unshare(unix.CLONE_NEWNET)
		for call := range s.calls {
			call()
		}
	}()
	err := <-ready
	if err == nil {
		err = s.Do(func() (err error) {
			s.fd, err = unix.Open(fmt.Sprintf("/proc/%d/task/%d/ns/net", unix.Getpid(), unix.Gettid()), unix.O_RDONLY|unix.O_CLOEXEC, 0)
			return errors.Join(err, up("lo", ""))
		})
	}
	if err != nil {
		close(s.calls)
		return nil, fmt.Errorf("veth: namespace: %w", err)
	}
	return s, nil
}

// Do runs f on the namespace's thread.
func (s *Space) Do(f func() error) error {
	done := make(chan error)
	s.calls <- func() { done <- f() }
	return <-done
}

// Close ends the namespace.
func (s *Space) Close() {
	_ = s.Do(func() error { return unix.Close(s.fd) })
	close(s.calls)
}

// NewPair makes two namespaces whose interfaces Name are joined and have AddrA and AddrB, with that
// many queues each.
func NewPair(queues int) (a, b *Space, err error) {
	if a, err = NewSpace(); err != nil {
		return nil, nil, err
	}
	if b, err = NewSpace(); err != nil {
		a.Close()
		return nil, nil, err
	}
	err = a.Do(func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.NumRxQueues, attrs.NumTxQueues = Name, queues, queues
		link := &netlink.Veth{LinkAttrs: attrs, PeerName: Name, PeerNamespace: netlink.NsFd(b.fd)}
		return errors.Join(netlink.LinkAdd(link), up(Name, AddrA))
	})
	if err == nil {
		err = b.Do(func() error { return up(Name, AddrB) })
	}
	if err != nil {
		a.Close()
		b.Close()
		return nil, nil, fmt.Errorf("veth: %w", err)
	}
	return a, b, nil
}

func up(name, addr string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	if addr != "" {
		a, err := netlink.ParseAddr(fmt.Sprintf("%s/%d", addr, prefixLen))
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(link, a); err != nil {
			return err
		}
	}
	return netlink.LinkSetUp(link)
}

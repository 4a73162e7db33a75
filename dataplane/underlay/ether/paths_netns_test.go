//go:build netns

package ether_test

import (
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/underlay/ether"
	"meshrouter/dataplane/underlay/ether/veth"
	"meshrouter/dataplane/underlay/ring"
	"meshrouter/dataplane/underlay/xdp"
)

var addrA, addrB = netip.MustParseAddr(veth.AddrA), netip.MustParseAddr(veth.AddrB)

// A path is the common shape of both packages.
type path interface {
	Receivers() int
	Receive(i int) ([]ether.Packet, error)
	Send(ps, rest []esp.Sealed) (n int, left []esp.Sealed, err error)
	Describe() string
	Drops(f func(reason string, n uint64))
	Close() error
}

// A kind is one way to open a path.
type kind struct {
	name string
	open func(local netip.Addr) (path, error)
}

var kinds = []kind{
	{"xdp-driver", func(a netip.Addr) (path, error) { return opened(xdp.Open(a, xdp.Config{Mode: xdp.Driver})) }},
	{"xdp-generic", func(a netip.Addr) (path, error) { return opened(xdp.Open(a, xdp.Config{})) }},
	{"ring", func(a netip.Addr) (path, error) { return opened(ring.Open(a)) }},
}

func opened[P path](p P, err error) (path, error) {
	if err != nil {
		return nil, err
	}
	return p, nil
}

// An end is a path in its namespace.
type end struct {
	path
	space *veth.Space
	addr  netip.Addr
}

// pair makes two joined namespaces with a path in each.
func pair(t testing.TB, k kind, queues int) (a, b *end) {
	t.Helper()
	sa, sb, err := veth.NewPair(queues)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sa.Close)
	t.Cleanup(sb.Close)
	a, b = newEnd(t, sa, addrA, k), newEnd(t, sb, addrB, k)
	a.resolve(t, b.addr)
	return a, b
}

func newEnd(t testing.TB, space *veth.Space, addr netip.Addr, k kind) *end {
	t.Helper()
	e := &end{space: space, addr: addr}
	e.do(t, func() (err error) {
		e.path, err = k.open(addr)
		return err
	})
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// do runs f in the end's namespace.
func (e *end) do(t testing.TB, f func() error) {
	t.Helper()
	if err := e.space.Do(f); err != nil {
		t.Fatal(err)
	}
}

// resolve sends a datagram by the kernel, which asks ARP, and waits until the path knows the way: until it leaves
// no packet to the kernel.
func (e *end) resolve(t testing.TB, to netip.Addr) {
	t.Helper()
	e.do(t, func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		return errors.Join(unix.Sendto(fd, []byte{0}, 0, &unix.SockaddrInet4{Port: 9, Addr: to.As4()}), unix.Close(fd))
	})
	probe := sealed(t, e.addr, to, 1, 8, ether.TOSControl-4)
	ether.Eventually(t, "the way is known", func() bool {
		n, _, err := e.Send(probe, nil)
		return n == 1 && err == nil
	})
}

// sealed returns n packets of a null-cipher SA, whose payloads of that size begin with their number.
func sealed(t testing.TB, src, dst netip.Addr, n, size int, tos uint8) (out []esp.Sealed) {
	t.Helper()
	return sealedTo(t, netip.AddrPortFrom(src, 0), netip.AddrPortFrom(dst, 0), n, size, tos)
}

func sealedTo(t testing.TB, src, dst netip.AddrPort, n, size int, tos uint8) (out []esp.Sealed) {
	t.Helper()
	sa, err := esp.NewOutbound(esp.Params{
		SPI: 0x1000, Cipher: esp.NullCipher, Auth: esp.HMACSHA1, AuthKey: make([]byte, 20),
		Mode: esp.Tunnel, Src: src, Dst: dst,
	})
	if err != nil {
		t.Fatal(err)
	}
	first, err := sa.NextSequence(n)
	if err != nil {
		t.Fatal(err)
	}
	jobs := make([]esp.Job, n)
	for i := range jobs {
		pkt := make([]byte, esp.HeadRoom+size, esp.HeadRoom+size+esp.TailRoom)
		pkt[esp.HeadRoom] = byte(i)
		jobs[i] = esp.Job{SA: sa, Seq: first + uint64(i), Pkt: pkt, NextHeader: 4, TOS: tos}
	}
	if out = new(esp.Batch).Seal(jobs, nil); len(out) != n {
		t.Fatal("Seal failed")
	}
	return out
}

// A got is a packet that arrived, copied.
type got struct {
	payload  string
	src, dst netip.Addr
	tos      uint8
}

// arrivals collects what all receivers of the end get, but for probes of resolve.
func (e *end) arrivals(t testing.TB) <-chan got {
	t.Helper()
	out := make(chan got, 1<<16)
	for i := range e.Receivers() {
		go func() { // ends with the path
			for {
				ps, err := e.Receive(i)
				if err != nil {
					if !errors.Is(err, os.ErrClosed) {
						t.Errorf("Receive: %v", err)
					}
					return
				}
				for _, p := range ps {
					if p.TOS != ether.TOSControl-4 {
						out <- got{string(p.Payload), p.Src, p.Dst, p.TOS}
					}
				}
			}
		}()
	}
	return out
}

// next is the next packet of arrivals.
func next(t testing.TB, from <-chan got) got {
	t.Helper()
	select {
	case g := <-from:
		return g
	case <-time.After(5 * time.Second):
		t.Fatal("nothing arrived in 5 s")
		return got{}
	}
}

//go:build netns

package ether_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/underlay/ether"
	"meshrouter/dataplane/underlay/ether/veth"
	"meshrouter/dataplane/underlay/xdp"
)

// each runs a test with every kind of path.
func each(t *testing.T, test func(t *testing.T, k kind)) {
	t.Helper()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) { test(t, k) })
	}
}

// Many times what the rings hold, so that every frame is used again and again.
func TestPathsCarryPacketsInOrder(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		a, b := pair(t, k, 1)
		t.Log(a.Describe())
		from := b.arrivals(t)
		out := sealed(t, a.addr, b.addr, 150, 1400, 0x20)
		for range 100 {
			a.sendAll(t, out)
			for i, p := range out {
				want := got{string(p.Bytes()), a.addr, b.addr, 0x20}
				if g := next(t, from); g != want {
					t.Fatalf("packet %d: %v to %v, TOS %#x, % x…", i, g.src, g.dst, g.tos, g.payload[:12])
				}
			}
		}
		b.Drops(func(reason string, n uint64) {
			if n != 0 {
				t.Errorf("%d dropped: %s", n, reason)
			}
		})
	})
}

// sendAll sends packets that the path must all take.
func (e *end) sendAll(t testing.TB, ps []esp.Sealed) {
	t.Helper()
	if n, left, err := e.Send(ps, nil); n != len(ps) || len(left) != 0 || err != nil {
		t.Fatalf("Send = %d, %d left, %v; want %d", n, len(left), err, len(ps))
	}
}

func TestPathsServeEveryQueue(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		a, b := pair(t, k, 4)
		t.Log(b.Describe())
		from := b.arrivals(t)
		out := sealed(t, a.addr, b.addr, 100, 100, 0)
		a.sendAll(t, out)
		for i, p := range out {
			if g := next(t, from); g.payload != string(p.Bytes()) {
				t.Fatalf("packet %d is another", i)
			}
		}
	})
}

// What is not plain goes to the raw socket, and only that: neither does a path take it nor does the
// raw socket get copies.
func TestPathsLeaveTheRestToTheRawSocket(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		a, b := pair(t, k, 1)
		from := b.arrivals(t)
		var in, out int
		b.do(t, func() (err error) { in, err = rawSocket(b.addr); return err })
		a.do(t, func() (err error) { out, err = rawSocket(a.addr); return err })
		t.Cleanup(func() { _, _ = unix.Close(in), unix.Close(out) })

		send := func(size int, tos uint8, options []byte) (payload string) {
			p := sealed(t, a.addr, b.addr, 1, size, tos)[0].Bytes()
			err := errors.Join(
				unix.SetsockoptInt(out, unix.IPPROTO_IP, unix.IP_TOS, int(tos)),
				unix.SetsockoptString(out, unix.IPPROTO_IP, unix.IP_OPTIONS, string(options)),
				unix.Sendto(out, p, 0, &unix.SockaddrInet4{Addr: b.addr.As4()}))
			if err != nil {
				t.Fatal(err)
			}
			return string(p)
		}
		routerAlert := []byte{148, 4, 0, 0}
		plain := []string{send(101, 0, nil)}
		others := []string{send(3000, 0, nil), send(102, 0xc0, nil), send(103, 0, routerAlert)}
		plain = append(plain, send(104, 0xb8, nil))
		others = append(others, send(1480, 0, nil), send(105, 0xe0, nil))

		for i, want := range plain {
			if g := next(t, from); g.payload != want {
				t.Errorf("path, packet %d: %d bytes, want %d", i, len(g.payload), len(want))
			}
		}
		for i, want := range others {
			if p := receiveRaw(t, in); p != want {
				t.Errorf("raw socket, packet %d: %d bytes, want %d", i, len(p), len(want))
			}
		}
	})
}

func rawSocket(local netip.Addr) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 50)
	if err != nil {
		return 0, err
	}
	return fd, errors.Join(
		unix.Bind(fd, &unix.SockaddrInet4{Addr: local.As4()}),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}))
}

// receiveRaw is the next payload of a raw socket.
func receiveRaw(t *testing.T, fd int) string {
	t.Helper()
	b := make([]byte, 1<<16)
	n, _, err := unix.Recvfrom(fd, b, 0)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[int(b[0]&15)*4 : n])
}

// Everything else of the host is as ever.
func TestPathsLetOtherTrafficPass(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		a, b := pair(t, k, 1)
		var l net.Listener
		b.do(t, func() (err error) {
			l, err = net.Listen("tcp4", b.addr.String()+":0")
			return err
		})
		defer func() { _ = l.Close() }()
		go func() { // ends with the listener
			if c, err := l.Accept(); err == nil {
				b := make([]byte, 100000)
				for n := 0; n < len(b); {
					m, err := c.Read(b[n:])
					if err != nil {
						break
					}
					n += m
				}
				_, _ = c.Write(b)
				_ = c.Close()
			}
		}()
		a.do(t, func() error {
			c, err := net.Dial("tcp4", l.Addr().String())
			if err != nil {
				return err
			}
			defer func() { _ = c.Close() }()
			if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
				return err
			}
			if _, err := c.Write(make([]byte, 100000)); err != nil {
				return err
			}
			_, err = c.Read(make([]byte, 1))
			return err
		})
		a.do(t, func() error { return ping(b.addr) })
	})
}

// ping asks for an echo of a large packet, in fragments.
func ping(to netip.Addr) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	echo := make([]byte, 4000)
	echo[0], echo[2], echo[3] = 8, 0xf7, 0xff // type and checksum
	return errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}),
		unix.Sendto(fd, echo, 0, &unix.SockaddrInet4{Addr: to.As4()}),
		func() error { _, _, err := unix.Recvfrom(fd, make([]byte, 1<<16), 0); return err }())
}

// Send leaves what the interface cannot carry as it is, in its order.
func TestPathsLeavePacketsToTheKernel(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		a, b := pair(t, k, 1)
		from := b.arrivals(t)
		fits := sealed(t, a.addr, b.addr, 2, 1400, 0)
		udp := sealedTo(t, netip.AddrPortFrom(a.addr, 4500), netip.AddrPortFrom(b.addr, 4500), 1, 100, 0)
		control := sealed(t, a.addr, b.addr, 1, 100, ether.TOSControl)
		large := sealed(t, a.addr, b.addr, 1, 1480, 0)
		nobody := sealed(t, a.addr, netip.MustParseAddr("192.0.2.77"), 1, 100, 0)   // no neighbor answers
		noRoute := sealed(t, a.addr, netip.MustParseAddr("198.51.100.1"), 1, 10, 0) // unreachable
		self := sealed(t, a.addr, netip.MustParseAddr("127.0.0.1"), 1, 10, 0)       // another interface
		all := slices.Concat(udp, fits[:1], control, large, nobody, fits[1:], noRoute, self)
		want := slices.Concat(udp, control, large, nobody, noRoute, self)
		for range 3 { // unknown at first, then known to be not ours
			n, left, err := a.Send(all, nil)
			if n != 2 || err != nil || len(left) != len(want) {
				t.Fatalf("Send = %d, %d left, %v; want 2 and %d left", n, len(left), err, len(want))
			}
			for i := range left {
				if &left[i].Bytes()[0] != &want[i].Bytes()[0] {
					t.Errorf("left %d is another packet", i)
				}
			}
			for _, p := range fits {
				if g := next(t, from); g.payload != string(p.Bytes()) {
					t.Errorf("received %d bytes, want %d", len(g.payload), len(p.Bytes()))
				}
			}
		}
	})
}

// The neighbor's MAC changes, as when another machine takes an address over.
func TestPathsFollowTheNeighbor(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		a, b := pair(t, k, 1)
		from := b.arrivals(t)
		mac := net.HardwareAddr{2, 0, 0, 0, 0, 9}
		b.do(t, func() error {
			l, err := netlink.LinkByName(veth.Name)
			if err != nil {
				return err
			}
			return netlink.LinkSetHardwareAddr(l, mac)
		})
		a.do(t, func() error {
			l, err := netlink.LinkByName(veth.Name)
			if err != nil {
				return err
			}
			return netlink.NeighSet(&netlink.Neigh{LinkIndex: l.Attrs().Index, IP: b.addr.AsSlice(), HardwareAddr: mac, State: netlink.NUD_REACHABLE})
		})
		out := sealed(t, a.addr, b.addr, 1, 100, 0)
		ether.Eventually(t, "packets arrive at the new MAC", func() bool {
			_, _, err := a.Send(out, nil)
			return err == nil && len(from) > 0
		})

		// Without the neighbor, the kernel must ask again.
		a.do(t, func() error {
			l, err := netlink.LinkByName(veth.Name)
			if err != nil {
				return err
			}
			return netlink.NeighDel(&netlink.Neigh{LinkIndex: l.Attrs().Index, IP: b.addr.AsSlice()})
		})
		ether.Eventually(t, "packets are left to the kernel", func() bool {
			_, left, err := a.Send(out, nil)
			return err == nil && len(left) == 1
		})
		a.resolve(t, b.addr)
	})
}

func TestPathsFollowRoutesAndMTU(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		a, b := pair(t, k, 1)
		link := func() netlink.Link {
			l, err := netlink.LinkByName(veth.Name)
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		out := sealed(t, a.addr, b.addr, 1, 1400, 0)
		leaves := func(want int) {
			t.Helper()
			ether.Eventually(t, "what Send leaves", func() bool {
				_, left, err := a.Send(out, nil)
				return err == nil && len(left) == want
			})
		}
		elsewhere := &netlink.Route{Dst: &net.IPNet{IP: b.addr.AsSlice(), Mask: net.CIDRMask(32, 32)}, Type: unix.RTN_BLACKHOLE}
		a.do(t, func() error { return netlink.RouteAdd(elsewhere) })
		leaves(1)
		a.do(t, func() error { return netlink.RouteDel(elsewhere) })
		leaves(0)
		a.do(t, func() error { return netlink.LinkSetMTU(link(), 1300) })
		leaves(1)
		a.do(t, func() error { return netlink.LinkSetMTU(link(), 1500) })
		leaves(0)
	})
}

// A path's end is the kernel's beginning: by Close and by the death of the process.
func TestPathsGiveTheirPacketsBack(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		a, b := pair(t, k, 1)
		var in int
		b.do(t, func() (err error) { in, err = rawSocket(b.addr); return err })
		t.Cleanup(func() { _ = unix.Close(in) })
		ended := make(chan error, b.Receivers())
		for i := range b.Receivers() {
			go func() {
				_, err := b.Receive(i)
				for err == nil { // probes
					_, err = b.Receive(i)
				}
				ended <- err
			}()
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		for range b.Receivers() {
			if err := <-ended; !errors.Is(err, os.ErrClosed) {
				t.Errorf("Receive after Close: %v, want os.ErrClosed", err)
			}
		}
		out := sealed(t, a.addr, b.addr, 1, 100, 0)
		a.sendAll(t, out)
		if p := receiveRaw(t, in); p != string(out[0].Bytes()) {
			t.Errorf("raw socket received % x", p)
		}
		if n, left, err := b.Send(out, nil); n != 0 || len(left) != 1 || !errors.Is(err, os.ErrClosed) {
			t.Errorf("Send after Close = %d, %d left, %v", n, len(left), err)
		}
		if _, err := b.Receive(0); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Receive after Close: %v", err)
		}

		child := b.child(t, k)
		a.sendAll(t, out) // taken by the child's path
		if err := errors.Join(child.Process.Kill(), child.Process.Signal(unix.SIGKILL)); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		_ = child.Wait() // says that it was killed
		out = sealed(t, a.addr, b.addr, 1, 200, 0)
		if err := unix.SetsockoptTimeval(in, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 1000}); err != nil {
			t.Fatal(err)
		}
		ether.Eventually(t, "the raw socket receives again", func() bool {
			a.sendAll(t, out)
			b := make([]byte, 2048)
			n, _, err := unix.Recvfrom(in, b, 0)
			return err == nil && string(b[20:n]) == string(out[0].Bytes())
		})
	})
}

// childKind says to TestMain that this process is to hold a path open, and of which kind.
const childKind = "MESHROUTER_TEST_PATH"

// child starts a process in the end's namespace that holds a path open.
func (e *end) child(t *testing.T, k kind) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self)
	c.Env = append(os.Environ(), childKind+"="+k.name)
	c.Stderr = os.Stderr
	ready, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	e.do(t, c.Start)
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		t.Fatalf("child: %v", err)
	}
	return c
}

func TestMain(m *testing.M) {
	for _, k := range kinds {
		if k.name != os.Getenv(childKind) {
			continue
		}
		if _, err := k.open(addrB); err != nil {
			panic(err)
		}
		_, _ = os.Stdout.WriteString("!")
		select {}
	}
	os.Exit(m.Run())
}

func TestPathsEndWithTheInterface(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		a, b := pair(t, k, 1)
		ended := make(chan error)
		go func() {
			var err error
			for err == nil {
				_, err = b.Receive(0)
			}
			ended <- err
		}()
		b.do(t, func() error {
			l, err := netlink.LinkByName(veth.Name)
			if err != nil {
				return err
			}
			return netlink.LinkDel(l)
		})
		if err := <-ended; !errors.Is(err, os.ErrClosed) {
			t.Errorf("Receive: %v, want os.ErrClosed", err)
		}
		out := sealed(t, b.addr, a.addr, 3, 100, 0)
		ether.Eventually(t, "everything is left to the kernel", func() bool {
			_, left, _ := b.Send(out, nil)
			return len(left) == len(out)
		})
	})
}

func TestPathsDoNotAllocate(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		a, b := pair(t, k, 1)
		out := slices.Concat(sealed(t, a.addr, b.addr, 8, 1400, 0), sealed(t, a.addr, b.addr, 1, 100, ether.TOSControl))
		rest := make([]esp.Sealed, 0, len(out))
		move := func() {
			n, left, err := a.Send(out, rest)
			if n != 8 || len(left) != 1 || err != nil {
				t.Fatal(n, len(left), err)
			}
			for n > 0 {
				ps, err := b.Receive(0)
				if err != nil {
					t.Fatal(err)
				}
				n -= len(ps)
			}
		}
		if n := testing.AllocsPerRun(500, move); n != 0 {
			t.Errorf("%v allocations a batch, want 0", n)
		}
	})
}

func TestOpenSaysWhyNot(t *testing.T) {
	space, err := veth.NewSpace()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(space.Close)
	for _, addr := range []string{"127.0.0.1", "203.0.113.7", "::1"} {
		for _, k := range kinds {
			if err := space.Do(func() error { _, err := k.open(netip.MustParseAddr(addr)); return err }); err == nil {
				t.Errorf("%s opened on %s, want an error", k.name, addr)
			} else {
				t.Log(k.name, err)
			}
		}
	}
}

// Two paths on one interface: the second XDP program is refused, and the first one stays; the ring
// works beside it.
func TestXDPRefusesToReplaceAProgram(t *testing.T) {
	a, b := pair(t, kinds[0], 1)
	from := b.arrivals(t)
	for _, c := range []xdp.Config{{}, {Mode: xdp.Driver}, {Mode: xdp.Generic}} {
		b.do(t, func() error {
			if _, err := xdp.Open(b.addr, c); err == nil {
				t.Error("opened over another program")
			} else {
				t.Log(err)
			}
			return nil
		})
	}
	out := sealed(t, a.addr, b.addr, 1, 100, 0)
	a.sendAll(t, out)
	next(t, from)
	_ = newEnd(t, b.space, b.addr, kinds[2])
}

func TestXDPRefusesABridgePort(t *testing.T) {
	space, other, err := veth.NewPair(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(space.Close)
	t.Cleanup(other.Close)
	if err := space.Do(func() error {
		port, err := netlink.LinkByName(veth.Name)
		if err != nil {
			return err
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "bridge"
		bridge := &netlink.Bridge{LinkAttrs: attrs}
		addr, err := netlink.ParseAddr("198.51.100.1/24")
		if err != nil {
			return err
		}
		return errors.Join(netlink.LinkAdd(bridge), netlink.LinkSetMaster(port, bridge), netlink.AddrAdd(bridge, addr), netlink.LinkSetUp(bridge))
	}); err != nil {
		t.Fatal(err)
	}
	for _, local := range []netip.Addr{addrA, netip.MustParseAddr("198.51.100.1")} {
		if err := space.Do(func() error { _, err := xdp.Open(local, xdp.Config{}); return err }); err == nil {
			t.Errorf("opened on %v, want an error", local)
		} else {
			t.Log(err)
		}
	}
}

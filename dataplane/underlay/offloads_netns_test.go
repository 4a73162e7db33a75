//go:build netns

package underlay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/underlay/ether/veth"
	"meshrouter/internal/ipv4"
)

// setMTU sets that of the namespace's loopback interface.
func setMTU(t *testing.T, mtu int) {
	t.Helper()
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetMTU(lo, mtu); err != nil {
		t.Fatal(err)
	}
}

// off tells why an offload is not in use.
func off(s *Sockets, name string) (reason string, is bool) {
	for _, o := range s.Offloads() {
		if o.Name == name {
			return o.Reason, !o.On
		}
	}
	return "no such offload", true
}

func TestOffloadsAreSwitched(t *testing.T) {
	a, b := pair(t, Options{Timestamps: On})
	for _, name := range []string{"steering", "udp-gro", "udp-segment", "timestamps"} {
		if reason, is := off(a, name); is {
			t.Errorf("%s is off: %s", name, reason)
		}
	}
	_, _ = a, b
	c, _ := pair(t, Options{Steering: Off, UDPGRO: Off, UDPSegment: Off, Timestamps: Off, Protocol50: "raw"})
	for _, name := range []string{"steering", "udp-gro", "udp-segment", "timestamps", "protocol-50"} {
		if reason, is := off(c, name); !is || reason == "" {
			t.Errorf("%s: off %v, reason %q", name, is, reason)
		}
	}
	if _, err := (Options{Protocol50: "pigeon"}).Open(localA); err == nil {
		t.Error("Open takes protocol 50 by pigeon")
	}
}

// Batches of every shape arrive whole and in order, however they were joined on their way.
func TestRunsArriveInOrder(t *testing.T) {
	a, b := pair(t)
	sizes := []int{1400, 1400, 1400, 700, 700, 64, 1400, 64, 64, 64, 0, 1400, 1400}
	var out []esp.Sealed
	for round := range 30 {
		for i, size := range sizes {
			tos := uint8(0)
			if (round+i)%7 == 0 {
				tos = 0x28
			}
			out = append(out, sealedTOS(t, natA, natB, string(make([]byte, size)), tos)...)
			binary.BigEndian.PutUint16(out[len(out)-1].Bytes()[8:], uint16(len(out)))
		}
	}
	out = append(out, sealedRun(t, natA, natB, 200, 1400)...)
	if n, err := a.Send(out); n != len(out) || err != nil {
		t.Fatalf("Send = %d, %v", n, err)
	}
	for i, p := range receiveAll(t, b, dataReceiver(b, testSPI, true), len(out)) {
		if !bytes.Equal(p, out[i].Bytes()) {
			t.Fatalf("packet %d of %d bytes differs from the one sent, of %d", i, len(p), len(out[i].Bytes()))
		}
	}
	sent, received := a.Counters(), b.Counters()
	if sent.Sent != uint64(len(out)) || sent.SentMessages*2 > sent.Sent {
		t.Errorf("%d packets left in %d messages", sent.Sent, sent.SentMessages)
	}
	if received.Received != uint64(len(out)) || received.ReceivedMessages*2 > received.Received {
		t.Errorf("%d packets arrived in %d messages", received.Received, received.ReceivedMessages)
	}
}

// What a stranger's offload joins is taken apart as well: IKE and keepalives among ESP.
func TestJoinedKindsAreCutApart(t *testing.T) {
	_, b := pair(t, Options{Steering: Off})
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.3:4500")))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	joined := []byte("\x00\x00\x10\x00one " + "\x00\x00\x00\x00ike " + "\x00\x00\x10\x00two " + "\xff")
	control := make([]byte, segmentSpace)
	putSegment(control, 8)
	if _, _, err := c.WriteMsgUDPAddrPort(joined, control, natB); err != nil {
		t.Fatal(err)
	}
	ps, err := b.Receive(dataReceiver(b, testSPI, true))
	if err != nil {
		t.Fatal(err)
	}
	var got string
	for _, p := range ps {
		got += fmt.Sprintf("%d %q, ", p.Kind, p.Payload)
	}
	want := fmt.Sprintf("%d %q, %d %q, %d %q, %d %q, ", ESP, "\x00\x00\x10\x00one ", IKE, "ike ", ESP, "\x00\x00\x10\x00two ", Keepalive, "\xff")
	if got != want || b.Counters().ReceivedMessages != 1 {
		t.Errorf("received %s in %d messages, want %s in one", got, b.Counters().ReceivedMessages, want)
	}
}

// Packets larger than the path's MTU cannot be cut from a run: they leave one by one, in fragments, and
// so do the next ones.
func TestRefusedRunsLeaveOneByOne(t *testing.T) {
	a, b := pair(t)
	setMTU(t, 1000)
	out := sealedRun(t, natA, natB, 20, 1400)
	small := sealedRun(t, natA, natB, 20, 500)
	for round := range 2 {
		for _, ps := range [][]esp.Sealed{out, small} {
			if n, err := a.Send(ps); n != len(ps) || err != nil {
				t.Fatalf("Send = %d, %v", n, err)
			}
			for i, p := range receiveAll(t, b, dataReceiver(b, testSPI, true), len(ps)) {
				if !bytes.Equal(p, ps[i].Bytes()) {
					t.Fatalf("round %d: packet %d differs", round, i)
				}
			}
		}
	}
	c := a.Counters()
	if c.SegmentRefusals != 1 || c.Sent != 80 || c.SentMessages != 2*20+2 {
		t.Errorf("counters %+v, want one refusal, and 80 packets in 42 messages", c)
	}
	if reason, is := off(a, "udp-segment"); is || reason == "" {
		t.Errorf("udp-segment: off %v, reason %q; want a reason that tells of the peer", is, reason)
	}
}

// Many may send at once, by all classes and both ways.
func TestManySendAtOnce(t *testing.T) {
	a, b := pair(t, Options{Protocol50: "raw"})
	const goroutines, rounds, n = 4, 20, 30
	var got sync.WaitGroup
	var received atomic.Int64
	for i := range b.Receivers() {
		got.Go(func() {
			for {
				ps, err := b.Receive(i)
				if err != nil {
					return
				}
				if received.Add(int64(len(ps))) == 4*goroutines*rounds*n {
					_ = b.Close() // which ends all receivers
				}
			}
		})
	}
	for _, ends := range [][2]netip.AddrPort{{natA, natB}, {rawA, rawB}} {
		for _, tos := range []uint8{0, tosControl} {
			var out []esp.Sealed
			for range n {
				out = append(out, sealedTOS(t, ends[0], ends[1], "payload", tos)...)
			}
			for range goroutines {
				got.Go(func() {
					for range rounds {
						if m, err := a.Send(out); m != n || err != nil {
							t.Errorf("Send = %d, %v", m, err)
							_ = b.Close()
						}
					}
				})
			}
		}
	}
	got.Wait()
	if c := a.Counters(); c.Sent != 4*goroutines*rounds*n {
		t.Errorf("counters %+v, want %d sent", c, 4*goroutines*rounds*n)
	}
}

// Each SA of port 4500 has one receiver, which its SPI chooses.
func TestSAsHaveReceivers(t *testing.T) {
	_, b := pair(t, Options{Receivers: 4})
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.3:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for i, want := range []bool{ikeReceiver: true, natControl: true, rawControl: true, 3: false} {
		if got := b.Control(i); got != want {
			t.Errorf("receiver %d is one of control packets: %v", i, got)
		}
	}
	seen := make(map[int]bool)
	for spi := uint32(0xfffffff0); spi != 0; spi++ {
		datagram := binary.BigEndian.AppendUint32(nil, spi)
		if _, err := c.WriteToUDPAddrPort(append(datagram, "payload"...), natB); err != nil {
			t.Fatal(err)
		}
		home := dataReceiver(b, spi, true)
		seen[home] = true
		if p := receive(t, b, home); binary.BigEndian.Uint32(p.Payload) != spi {
			t.Fatalf("receiver %d has SPI %#x, want %#x", home, p.Payload[:4], spi)
		}
	}
	if len(seen) != 4 {
		t.Errorf("%d receivers have SAs, want 4", len(seen))
	}
}

// Control packets reach their receivers while nobody reads the data, which overflows its buffers many times over.
func TestControlPassesAFlood(t *testing.T) {
	a, b := pair(t)
	for name, ends := range map[string][2]netip.AddrPort{"UDP": {natA, natB}, "raw": {rawA, rawB}} {
		flood := sealedRun(t, ends[0], ends[1], 64, 1400)
		control := map[string]int{"UDP": natControl, "raw": rawControl}[name]
		for i := range 200 { // 18 MB for a buffer of 4
			if n, err := a.Send(flood); n != len(flood) || err != nil {
				t.Fatalf("%s: Send = %d, %v", name, n, err)
			}
			hello := sealedTOS(t, ends[0], ends[1], fmt.Sprintf("hello %d", i), tosControl)
			if n, err := a.Send(hello); n != 1 || err != nil {
				t.Fatalf("%s: Send of a control packet = %d, %v", name, n, err)
			}
			if p := receive(t, b, control); !bytes.Equal(p.Payload, hello[0].Bytes()) {
				t.Fatalf("%s: control packet %d is % x", name, i, p.Payload)
			}
			d := Datagram{natA, natB, fmt.Appendf(nil, "ike %d", i)}
			if err := a.SendIKE(d); err != nil {
				t.Fatal(err)
			}
			if p := receive(t, b, natControl); p.Kind != IKE || !bytes.Equal(p.Payload, d.Payload) {
				t.Fatalf("%s: IKE message %d is kind %d, %q", name, i, p.Kind, p.Payload)
			}
		}
	}
	drops := make(map[string]uint64)
	b.Drops(func(reason string, n uint64) { drops[reason] = n })
	if drops["socket_full"] == 0 || drops["control_socket_full"] != 0 {
		t.Errorf("drops %v, want data alone to be lost", drops)
	}
}

// RFC 8899, 3: a probe has DF and is not fragmented here; ordinary packets are as before.
func TestProbes(t *testing.T) {
	a, b := pair(t)
	setMTU(t, 1500)
	for name, ends := range map[string][2]netip.AddrPort{"UDP": {natA, natB}, "raw": {rawA, rawB}} {
		home := dataReceiver(b, testSPI, name == "UDP")
		fits, long := sealedRun(t, ends[0], ends[1], 1, 1400)[0], sealedRun(t, ends[0], ends[1], 1, 1500)[0]
		if err := a.SendProbe(long); !errors.Is(err, ErrTooBig) {
			t.Errorf("%s: probe larger than the interface: %v, want ErrTooBig", name, err)
		}
		if err := a.SendProbe(fits); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		p := receive(t, b, home)
		if !bytes.Equal(p.Payload, fits.Bytes()) || p.Remote != ends[0] {
			t.Errorf("%s: probe arrived from %v as % x", name, p.Remote, p.Payload)
		}
		if name == "raw" {
			r := b.receivers[home].(*receiver)
			if h := ipv4.Header(r.memory[:20]); !h.DF() {
				t.Error("a probe has no DF")
			}
		}
		if n, err := a.Send([]esp.Sealed{long}); n != 1 || err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if p := receive(t, b, home); !bytes.Equal(p.Payload, long.Bytes()) {
			t.Errorf("%s: a long packet arrived as % x", name, p.Payload)
		}
	}
}

// The path's MTU as the kernel knows it does not stop a probe: the path may have grown.
func TestProbesIgnoreTheKnownMTU(t *testing.T) {
	a, b := pair(t)
	route := netlink.Route{Dst: &net.IPNet{IP: localB.AsSlice(), Mask: net.CIDRMask(32, 32)}, MTU: 1000, Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_LOCAL, Scope: netlink.SCOPE_HOST}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	route.LinkIndex = lo.Attrs().Index
	if err := netlink.RouteReplace(&route); err != nil {
		t.Fatal(err)
	}
	p := sealedRun(t, natA, natB, 1, 1400)[0]
	if err := a.SendProbe(p); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, b, dataReceiver(b, testSPI, true)); !bytes.Equal(got.Payload, p.Bytes()) {
		t.Errorf("probe arrived as % x", got.Payload)
	}
}

// By every way of protocol 50 each packet arrives once: plain ones by the way, fragments and control
// packets by the raw sockets. auto opens when the first packet is sent.
func TestProtocol50Ways(t *testing.T) {
	for _, way := range []string{"raw", "ring", "xdp", "auto"} {
		t.Run(way, func(t *testing.T) {
			a, b := vethPair(t, Options{Protocol50: way})
			src, dst := netip.MustParseAddrPort(veth.AddrA+":0"), netip.MustParseAddrPort(veth.AddrB+":0")
			if reason, is := off(a, "protocol-50"); is != (way == "raw" || way == "auto") {
				t.Fatalf("protocol 50 before the first packet: off %v, %s", is, reason)
			}
			if way == "auto" { // the first packet opens it
				for _, s := range []*Sockets{a, b} {
					p := sealed(t, netip.AddrPortFrom(s.Local(), 0), netip.MustParseAddrPort("192.0.2.3:0"), "to nobody")
					if _, err := s.Send(p); err != nil {
						t.Fatal(err)
					}
					s.bypass.opening.Wait()
				}
			}
			if reason, is := off(b, "protocol-50"); is != (way == "raw") {
				t.Fatalf("protocol 50: off %v, %s", is, reason)
			}
			got := make(chan []byte, 1000)
			for i := range b.Receivers() {
				go func() { // ends with the sockets
					for {
						ps, err := b.Receive(i)
						if err != nil {
							return
						}
						for _, p := range ps {
							if p.Kind == ESP && p.Remote == src && p.Local == dst {
								got <- bytes.Clone(p.Payload)
							}
						}
					}
				}()
			}
			out := append(sealedRun(t, src, dst, 64, 1400), sealedRun(t, src, dst, 3, 3000)...)
			out = append(out, sealedTOS(t, src, dst, "control", tosControl)...)
			want := make(map[string]int)
			for range 3 {
				for _, p := range out {
					want[string(p.Bytes())]++
				}
				if n, err := a.Send(out); n != len(out) || err != nil {
					t.Fatalf("Send = %d, %v", n, err)
				}
				for range out {
					p := <-got
					if want[string(p)]--; want[string(p)] < 0 {
						t.Fatalf("a packet of %d bytes arrived that was not sent, or twice", len(p))
					}
				}
			}
		})
	}
}

// What a way has mapped is given back also if its receiver had packets in hand at Close: else its
// sockets would live on, and the interface's queue with them.
func TestCloseGivesTheWayBack(t *testing.T) {
	for _, way := range []string{"ring", "xdp"} {
		t.Run(way, func(t *testing.T) {
			a, b := vethPair(t, Options{Protocol50: way})
			src, dst := netip.MustParseAddrPort(veth.AddrA+":0"), netip.MustParseAddrPort(veth.AddrB+":0")
			mapped := func() int {
				maps, err := os.ReadFile("/proc/self/maps")
				if err != nil {
					t.Fatal(err)
				}
				return bytes.Count(maps, []byte("socket:["))
			}
			if mapped() == 0 {
				t.Fatal("no socket is mapped")
			}
			i := dataReceiver(b, 0, false) + 1                 // the first of the way
			for _, to := range [][2]*Sockets{{a, b}, {b, a}} { // the first packet each may go by the raw socket, for want of a neighbor
				p := sealed(t, netip.AddrPortFrom(to[0].Local(), 0), netip.AddrPortFrom(to[1].Local(), 0), "payload")
				if n, err := to[0].Send(p); n != 1 || err != nil {
					t.Fatal(n, err)
				}
			}
			if p := receive(t, b, i); p.Remote != src || p.Local != dst {
				t.Errorf("a packet from %v to %v", p.Remote, p.Local)
			}
			receive(t, a, i)
			for _, s := range []*Sockets{a, b} {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				if _, err := s.Receive(i); !errors.Is(err, os.ErrClosed) {
					t.Errorf("Receive after Close: %v", err)
				}
			}
			if n := mapped(); n != 0 {
				t.Errorf("%d mappings of sockets are left", n)
			}
		})
	}
}

// An automatic way leaves the interface to UDP where that is in use.
func TestAutoSparesUDP(t *testing.T) {
	a, _ := vethPair(t, Options{})
	dst := netip.MustParseAddr(veth.AddrB)
	for _, port := range []uint16{NATPort, 0} {
		p := sealed(t, netip.AddrPortFrom(a.Local(), port), netip.AddrPortFrom(dst, port), "payload")
		if n, err := a.Send(p); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	a.bypass.opening.Wait()
	reason, is := off(a, "protocol-50")
	if is || !strings.Contains(reason, "no xdp") || !strings.Contains(reason, "ring") {
		t.Errorf("protocol 50: off %v, %s; want the ring", is, reason)
	}
}

// A line that is full with it lets control packets through, which have
// a socket, a buffer and a band of the queueing discipline of their own.
func TestControlPassesAFullLine(t *testing.T) {
	sa, sb, err := veth.NewPair(1)
	if err != nil {
		t.Fatal(err)
	}
	defer sa.Close()
	defer sb.Close()
	if err := sa.Do(slowLine); err != nil {
		t.Fatal(err)
	}
	open := func(in *veth.Space, addr string) (s *Sockets) {
		if err := in.Do(func() (err error) { s, err = Options{Protocol50: "raw"}.Open(netip.MustParseAddr(addr)); return err }); err != nil {
			t.Fatal(err)
		}
		return s
	}
	a, b := open(sa, veth.AddrA), open(sb, veth.AddrB)
	defer func() { _ = b.Close() }()
	var flooding []chan error
	for name, port := range map[string]uint16{"UDP": NATPort, "raw": 0} {
		src, dst := netip.AddrPortFrom(a.Local(), port), netip.AddrPortFrom(b.Local(), port)
		flood := sealedRun(t, src, dst, 64, 1400)
		done := make(chan error, 1)
		go func() { // ends with the sockets: at that speed it would take minutes
			for range 1000 {
				if _, err := a.Send(flood); err != nil {
					done <- err
					return
				}
			}
			done <- errors.New("all is sent")
		}()
		data := a.sockets[len(a.sockets)-2+map[string]int{"UDP": 0, "raw": 1}[name]]
		for queued(t, data) < sendBuffer { // of twice as much, with the kernel's own share
			runtime.Gosched()
		}
		for i := range 10 {
			hello := sealedTOS(t, src, dst, fmt.Sprintf("hello %d", i), tosControl)
			if n, err := a.Send(hello); n != 1 || err != nil {
				t.Fatalf("%s: Send of a control packet = %d, %v", name, n, err)
			}
			control := map[string]int{"UDP": natControl, "raw": rawControl}[name]
			if p := receive(t, b, control); !bytes.Equal(p.Payload, hello[0].Bytes()) {
				t.Fatalf("%s: control packet %d is % x", name, i, p.Payload)
			}
		}
		select {
		case err := <-done:
			t.Errorf("%s: the flood ended before the control packets were through: %v", name, err)
		default:
		}
		flooding = append(flooding, done)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	for _, done := range flooding {
		if err := <-done; !errors.Is(err, os.ErrClosed) {
			t.Errorf("the flood ended with %v, want os.ErrClosed", err)
		}
	}
}

// queued is how much of a socket's send buffer is in use, bytes.
func queued(t *testing.T, s *socket) (n int) {
	t.Helper()
	var err error
	if e := s.conn.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
	return n
}

// slowLine shapes the interface to 4 Mbit/s, behind Linux's usual three bands by priority.
func slowLine() error {
	link, err := netlink.LinkByName(veth.Name)
	if err != nil {
		return err
	}
	at := func(parent, handle uint32) netlink.QdiscAttrs {
		return netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Parent: parent, Handle: handle}
	}
	line := &netlink.Tbf{QdiscAttrs: at(netlink.HANDLE_ROOT, netlink.MakeHandle(1, 0)), Rate: 500_000, Limit: 64 << 20, Buffer: 100_000}
	// The bands are long enough that the socket's buffer is full before they are.
	return errors.Join(netlink.LinkSetTxQLen(link, 100_000), netlink.QdiscAdd(line),
		netlink.QdiscAdd(&netlink.GenericQdisc{QdiscAttrs: at(netlink.MakeHandle(1, 1), netlink.MakeHandle(2, 0)), QdiscType: "pfifo_fast"}))
}

// When its interface goes, a way is back at the raw socket, and its receivers wait for Close.
func TestWayOutlivesItsInterface(t *testing.T) {
	sa, sb, err := veth.NewPair(1)
	if err != nil {
		t.Fatal(err)
	}
	defer sa.Close()
	defer sb.Close()
	var s *Sockets
	if err := sa.Do(func() (err error) {
		s, err = Options{Protocol50: "ring"}.Open(netip.MustParseAddr(veth.AddrA))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, s.Receivers())
	for i := range s.Receivers() {
		go func() {
			_, err := s.Receive(i)
			done <- err
		}()
	}
	if err := sa.Do(func() error {
		link, err := netlink.LinkByName(veth.Name)
		if err != nil {
			return err
		}
		return netlink.LinkDel(link)
	}); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for _, is := off(s, "protocol-50"); !is; _, is = off(s, "protocol-50") {
		if time.Now().After(deadline) {
			t.Fatal("the way is still in use")
		}
		select {
		case err := <-done:
			t.Fatalf("a receiver ended with its interface: %v", err)
		default:
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for range s.Receivers() {
		if err := <-done; !errors.Is(err, os.ErrClosed) {
			t.Errorf("Receive after Close: %v", err)
		}
	}
}

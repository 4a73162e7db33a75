//go:build netns

package underlay

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"meshrouter/dataplane/esp"
)

var localA, localB = netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")

// pair opens the sockets of two addresses in a network namespace of the test's own.
func pair(t *testing.T, o ...Options) (a, b *Sockets) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the namespace ends with the thread
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("unshare: %v (this test needs root)", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
	var options Options
	if len(o) > 0 {
		options = o[0]
	}
	open := func(local netip.Addr) *Sockets {
		s, err := options.Open(local)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	return open(localA), open(localB)
}

// The places of receivers with Steering.
const (
	ikeReceiver = iota
	natControl
	rawControl
)

var (
	natA, natB = netip.AddrPortFrom(localA, NATPort), netip.AddrPortFrom(localB, NATPort)
	rawA, rawB = netip.AddrPortFrom(localA, 0), netip.AddrPortFrom(localB, 0)
)

const testSPI = 0x1000

// dataReceiver is the receiver where packets of an SA arrive; by protocol 50, those of the raw socket.
func dataReceiver(s *Sockets, spi uint32, udp bool) int {
	var at []int
	for i := s.controls; i < len(s.receivers); i++ {
		if r, ok := s.receivers[i].(*receiver); ok && udp == (r.socket.port == NATPort) {
			at = append(at, i)
		}
	}
	return at[int(spi)%len(at)]
}

func TestSocketsCarryEachKind(t *testing.T) {
	for name, o := range map[string]Options{
		"everything": {}, "timestamps": {Timestamps: On}, "nothing": {UDPSegment: Off, UDPGRO: Off, Steering: Off},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := pair(t, o)
			control := map[bool]int{true: natControl, false: dataReceiver(b, testSPI, true)}[o.Steering != Off]
			for _, ends := range [][2]netip.AddrPort{{rawA, rawB}, {natA, natB}} {
				out := sealed(t, ends[0], ends[1], "payload")
				if n, err := a.Send(out); n != 1 || err != nil {
					t.Fatal(n, err)
				}
				p := receive(t, b, dataReceiver(b, testSPI, ends[0] == natA))
				if p.Kind != ESP || p.Remote != ends[0] || p.Local != ends[1] || !bytes.Equal(p.Payload, out[0].Bytes()) {
					t.Errorf("received %v from %v to %v: % x", p.Kind, p.Remote, p.Local, p.Payload)
				}
				if age := time.Since(time.Unix(0, p.Arrived)); (p.Arrived != 0) != (o.Timestamps == On) || o.Timestamps == On && (age < 0 || age > time.Hour) {
					t.Errorf("arrived %v ago with timestamps %v", age, o.Timestamps)
				}
			}
			for port, i := range map[uint16]int{IKEPort: ikeReceiver, NATPort: control} {
				d := Datagram{netip.AddrPortFrom(localA, port), netip.AddrPortFrom(localB, port), []byte("isakmp")}
				if err := a.SendIKE(d); err != nil {
					t.Fatal(err)
				}
				if p := receive(t, b, i); p.Kind != IKE || string(p.Payload) != "isakmp" || p.Remote != d.Local {
					t.Errorf("port %d: received kind %d, %q from %v", port, p.Kind, p.Payload, p.Remote)
				}
			}
			if err := a.SendKeepalive(natB); err != nil {
				t.Fatal(err)
			}
			if p := receive(t, b, control); p.Kind != Keepalive {
				t.Errorf("received kind %d, want a keepalive", p.Kind)
			}
		})
	}
}

func TestSocketsSendBatchesInOrder(t *testing.T) {
	a, b := pair(t)
	var out []esp.Sealed
	const n = 2*sendPieces + 10
	nowhere := netip.MustParseAddrPort("203.0.113.1:0") // no route: refused, and the rest still leaves
	for i := range n {
		if i == 5 || i == sendMessages {
			out = append(out, sealed(t, rawA, nowhere, "lost")...)
		}
		out = append(out, sealed(t, rawA, rawB, string(rune('a'+i%26)))...)
	}
	got, err := a.Send(out)
	if got != n || !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("Send = %d, %v; want %d and ENETUNREACH", got, err, n)
	}
	for i, p := range receiveAll(t, b, dataReceiver(b, testSPI, false), n) {
		if want := byte('a' + i%26); p[8] != want {
			t.Fatalf("packet %d is %q, want %q", i, p[8], want)
		}
	}
}

// receiveAll waits for n packets at one receiver and returns copies of their payloads.
func receiveAll(t *testing.T, s *Sockets, i, n int) (payloads [][]byte) {
	t.Helper()
	for len(payloads) < n {
		ps, err := s.Receive(i)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range ps {
			payloads = append(payloads, bytes.Clone(p.Payload))
		}
	}
	return payloads
}

// Each packet of a batch has its own TOS (RFC 4301, 5.1.2.1), by either socket; the next batch does
// not inherit it.
func TestSocketsSetTOS(t *testing.T) {
	a, b := pair(t, Options{UDPSegment: Off}) // which would join some of them
	for _, ends := range [][2]netip.AddrPort{{rawA, rawB}, {natA, natB}} {
		want := map[int][]uint8{
			dataReceiver(b, testSPI, ends[0] == natA):                          {0xb8, 0, 0x28, 0, 0},
			map[bool]int{true: natControl, false: rawControl}[ends[0] == natA]: {0xc0, 0xe0, 0xc1, 0xc0},
		}
		var out []esp.Sealed
		for _, tos := range []uint8{0xb8, 0, 0xc0, 0xe0, 0xc1, 0x28, 0, 0, 0xc0} {
			out = append(out, sealedTOS(t, ends[0], ends[1], "payload", tos)...)
		}
		for i := range want {
			if err := b.receivers[i].(*receiver).socket.set(unix.IPPROTO_IP, unix.IP_RECVTOS, 1); err != nil {
				t.Fatal(err)
			}
		}
		for _, batch := range [][]esp.Sealed{out[:5], out[5:]} {
			if n, err := a.Send(batch); n != len(batch) || err != nil {
				t.Fatal(n, err)
			}
		}
		for i, tos := range want {
			var got []uint8
			for range tos {
				got = append(got, receiveTOS(t, b.receivers[i].(*receiver).socket.conn))
			}
			if !bytes.Equal(got, tos) {
				t.Errorf("%v, receiver %d: TOS % x, want % x", ends[1], i, got, tos)
			}
		}
	}
}

// receiveTOS waits for a packet and returns the TOS that the kernel reports with it.
func receiveTOS(t *testing.T, conn syscall.RawConn) uint8 {
	t.Helper()
	oob := make([]byte, 128)
	var n int
	var err error
	if e := conn.Read(func(fd uintptr) bool {
		_, n, _, _, err = unix.Recvmsg(int(fd), make([]byte, 2048), oob, 0)
		return !errors.Is(err, unix.EAGAIN)
	}); e != nil || err != nil {
		t.Fatal(e, err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		if m.Header.Type == unix.IP_TOS {
			return m.Data[0]
		}
	}
	t.Fatalf("no TOS in the control messages %v", messages)
	return 0
}

func TestSocketsFragmentTheOuterPacket(t *testing.T) {
	a, b := pair(t)
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetMTU(lo, 1500); err != nil {
		t.Fatal(err)
	}
	long := make([]byte, 5000)
	sa, err := esp.NewOutbound(esp.Params{
		SPI: 0x1000, Cipher: esp.NullCipher, Auth: esp.HMACSHA1, AuthKey: make([]byte, 20), Mode: esp.Tunnel,
		Src: netip.AddrPortFrom(localA, 0), Dst: netip.AddrPortFrom(localB, 0),
	})
	if err != nil {
		t.Fatal(err)
	}
	seq, err := sa.NextSequence(1)
	if err != nil {
		t.Fatal(err)
	}
	buf := append(make([]byte, esp.HeadRoom, len(long)+200), long...)
	if n, err := a.Send(new(esp.Batch).Seal([]esp.Job{{SA: sa, Seq: seq, Pkt: buf, NextHeader: 4}}, nil)); n != 1 {
		t.Fatal(n, err)
	}
	if p := receive(t, b, dataReceiver(b, testSPI, false)); len(p.Payload) < len(long) {
		t.Errorf("received %d bytes, want more than %d", len(p.Payload), len(long))
	}
}

func TestCloseEndsReceive(t *testing.T) {
	a, _ := pair(t)
	done := make(chan error, a.Receivers())
	for i := range a.Receivers() {
		go func() {
			_, err := a.Receive(i)
			done <- err
		}()
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	for range a.Receivers() {
		if err := <-done; !errors.Is(err, os.ErrClosed) {
			t.Errorf("Receive after Close: %v, want os.ErrClosed", err)
		}
	}
}

// Nothing is allocated for a packet, by either way and class, alone or in a run.
func TestSocketsDoNotAllocate(t *testing.T) {
	a, b := pair(t)
	for name, c := range map[string]struct {
		src, dst netip.AddrPort
		tos      uint8
		n, at    int
	}{
		"raw":         {rawA, rawB, 0xb8, 1, dataReceiver(b, testSPI, false)},
		"raw control": {rawA, rawB, 0xc0, 1, rawControl},
		"UDP":         {natA, natB, 0, 1, dataReceiver(b, testSPI, true)},
		"UDP control": {natA, natB, 0xc0, 1, natControl},
		"UDP run":     {natA, natB, 0x28, 20, dataReceiver(b, testSPI, true)},
	} {
		var out []esp.Sealed
		for range c.n {
			out = append(out, sealedTOS(t, c.src, c.dst, "payload", c.tos)...)
		}
		move := func() {
			if n, err := a.Send(out); n != c.n {
				t.Fatal(err)
			}
			for got := 0; got < c.n; {
				ps, err := b.Receive(c.at)
				if err != nil {
					t.Fatal(err)
				}
				got += len(ps)
			}
		}
		if n := testing.AllocsPerRun(1000, move); n != 0 {
			t.Errorf("%s: %v allocations a batch, want 0", name, n)
		}
	}
}

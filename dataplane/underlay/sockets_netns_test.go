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

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"meshrouter/dataplane/esp"
)

var localA, localB = netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")

// pair opens the sockets of two addresses in a network namespace of the test's own.
func pair(t *testing.T) (a, b *Sockets) {
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
	open := func(local netip.Addr) *Sockets {
		s, err := Open(local)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	return open(localA), open(localB)
}

func TestSocketsCarryEachKind(t *testing.T) {
	a, b := pair(t)
	for port, i := range map[uint16]int{0: rawSocket, NATPort: natSocket} {
		src, dst := netip.AddrPortFrom(localA, port), netip.AddrPortFrom(localB, port)
		out := sealed(t, src, dst, "payload")
		if n, err := a.Send(out); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if p := receive(t, b, i); p.Kind != ESP || p.Remote != src || p.Local != dst || !bytes.Equal(p.Payload, out[0].Bytes()) {
			t.Errorf("received %v from %v to %v: % x", p.Kind, p.Remote, p.Local, p.Payload)
		}
	}
	for port, i := range map[uint16]int{IKEPort: ikeSocket, NATPort: natSocket} {
		d := Datagram{netip.AddrPortFrom(localA, port), netip.AddrPortFrom(localB, port), []byte("isakmp")}
		if err := a.SendIKE(d); err != nil {
			t.Fatal(err)
		}
		if p := receive(t, b, i); p.Kind != IKE || string(p.Payload) != "isakmp" || p.Remote != d.Local {
			t.Errorf("port %d: received kind %d, %q from %v", port, p.Kind, p.Payload, p.Remote)
		}
	}
	if err := a.SendKeepalive(netip.AddrPortFrom(localB, NATPort)); err != nil {
		t.Fatal(err)
	}
	if p := receive(t, b, natSocket); p.Kind != Keepalive {
		t.Errorf("received kind %d, want a keepalive", p.Kind)
	}
}

func TestSocketsSendBatchesInOrder(t *testing.T) {
	a, b := pair(t)
	var out []esp.Sealed
	const n = 2*maxBatch + 10
	raw := netip.AddrPortFrom(localB, 0)
	nowhere := netip.MustParseAddrPort("203.0.113.1:0") // no route: refused, and the rest still leaves
	for i := range n {
		if i == 5 || i == maxBatch {
			out = append(out, sealed(t, netip.AddrPortFrom(localA, 0), nowhere, "lost")...)
		}
		out = append(out, sealed(t, netip.AddrPortFrom(localA, 0), raw, string(rune('a'+i%26)))...)
	}
	got, err := a.Send(out)
	if got != n || !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("Send = %d, %v; want %d and ENETUNREACH", got, err, n)
	}
	ps := make([]Packet, 64)
	for i := range ps {
		ps[i].Buf = make([]byte, BufferSize)
	}
	next := 0
	for next < n {
		m, err := b.Receive(rawSocket, ps)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range ps[:m] {
			if want := byte('a' + next%26); p.Payload[8] != want {
				t.Fatalf("packet %d is %q, want %q", next, p.Payload[8], want)
			}
			next++
		}
	}
}

// Each packet of a batch has its own TOS (RFC 4301, 5.1.2.1), by either socket; the next batch does
// not inherit it.
func TestSocketsSetTOS(t *testing.T) {
	a, b := pair(t)
	for port, i := range map[uint16]int{0: rawSocket, NATPort: natSocket} {
		conn, err := b.files[i].SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVTOS, 1)
		}); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		want := []uint8{0xb8, 0, 0xc0, 0x28, 0, 0}
		var out []esp.Sealed
		for _, tos := range want {
			out = append(out, sealedTOS(t, netip.AddrPortFrom(localA, port), netip.AddrPortFrom(localB, port), "payload", tos)...)
		}
		for _, batch := range [][]esp.Sealed{out[:4], out[4:]} {
			if n, err := a.Send(batch); n != len(batch) || err != nil {
				t.Fatal(n, err)
			}
		}
		var got []uint8
		for range want {
			got = append(got, receiveTOS(t, conn))
		}
		if !bytes.Equal(got, want) {
			t.Errorf("port %d: TOS % x, want % x", port, got, want)
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
	if err != nil || len(messages) != 1 || messages[0].Header.Type != unix.IP_TOS {
		t.Fatalf("control messages %v, %v", messages, err)
	}
	return messages[0].Data[0]
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
	if p := receive(t, b, rawSocket); len(p.Payload) < len(long) {
		t.Errorf("received %d bytes, want more than %d", len(p.Payload), len(long))
	}
}

func TestCloseEndsReceive(t *testing.T) {
	a, _ := pair(t)
	done := make(chan error, socketCount)
	for i := range a.Receivers() {
		go func() {
			_, err := a.Receive(i, []Packet{{Buf: make([]byte, BufferSize)}})
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

func TestSocketsDoNotAllocate(t *testing.T) {
	a, b := pair(t)
	out := sealedTOS(t, netip.AddrPortFrom(localA, 0), netip.AddrPortFrom(localB, 0), "payload", 0xc0)
	ps := []Packet{{Buf: make([]byte, BufferSize)}}
	move := func() {
		if n, err := a.Send(out); n != 1 {
			t.Fatal(err)
		}
		if _, err := b.Receive(rawSocket, ps); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(1000, move); n != 0 {
		t.Errorf("%v allocations a packet, want 0", n)
	}
}

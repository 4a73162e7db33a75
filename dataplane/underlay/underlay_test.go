package underlay

import (
	"bytes"
	"net/netip"
	"testing"

	"meshrouter/dataplane/esp"
)

var (
	london = netip.MustParseAddr("192.0.2.1")
	tokyo  = netip.MustParseAddr("192.0.2.2")
)

// sealed returns one packet of a fresh null-cipher SA between two addresses.
func sealed(t testing.TB, src, dst netip.AddrPort, payload string) []esp.Sealed {
	t.Helper()
	return sealedTOS(t, src, dst, payload, 0)
}

func sealedTOS(t testing.TB, src, dst netip.AddrPort, payload string, tos uint8) []esp.Sealed {
	t.Helper()
	sa, err := esp.NewOutbound(esp.Params{
		SPI: 0x1000, Cipher: esp.NullCipher, Auth: esp.HMACSHA1, AuthKey: make([]byte, 20),
		Mode: esp.Tunnel, Src: src, Dst: dst,
	})
	if err != nil {
		t.Fatal(err)
	}
	seq, err := sa.NextSequence(1)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, esp.HeadRoom, esp.HeadRoom+len(payload)+200)
	out := new(esp.Batch).Seal([]esp.Job{{SA: sa, Seq: seq, Pkt: append(buf, payload...), NextHeader: 4, TOS: tos}}, nil)
	if len(out) != 1 {
		t.Fatal("Seal failed")
	}
	return out
}

func receive(t testing.TB, u interface {
	Receive(int) ([]Packet, error)
}, i int,
) Packet {
	t.Helper()
	ps, err := u.Receive(i)
	if len(ps) != 1 || err != nil {
		t.Fatalf("Receive(%d) = %d packets, %v", i, len(ps), err)
	}
	return ps[0]
}

func TestClassify(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		datagram []byte
		nat      bool
		kind     Kind
		payload  []byte
	}{
		{"port 500 has no marker", []byte{0, 0, 0, 0, 1}, false, IKE, []byte{0, 0, 0, 0, 1}},
		{"RFC 3948, 2.2: non-ESP marker", []byte{0, 0, 0, 0, 1}, true, IKE, []byte{1}},
		{"marker alone", []byte{0, 0, 0, 0}, true, IKE, nil},
		{"RFC 3948, 2.1: an SPI is not 0", []byte{0, 0, 1, 0, 9}, true, ESP, []byte{0, 0, 1, 0, 9}},
		{"RFC 3948, 2.3: keepalive", []byte{0xff}, true, Keepalive, []byte{0xff}},
		{"another byte", []byte{0xfe}, true, Malformed, []byte{0xfe}},
		{"empty", nil, true, Malformed, nil},
		{"shorter than the marker", []byte{0, 0, 0}, true, Malformed, []byte{0, 0, 0}},
	} {
		var p Packet
		p.classify(tt.datagram, tt.nat)
		if p.Kind != tt.kind || !bytes.Equal(p.Payload, tt.payload) {
			t.Errorf("%s: kind %d, payload % x; want %d, % x", tt.name, p.Kind, p.Payload, tt.kind, tt.payload)
		}
	}
}

func TestHubCarriesEachKind(t *testing.T) {
	t.Parallel()
	hub := NewHub()
	a, b := hub.Join(london), hub.Join(tokyo)

	for _, port := range []uint16{0, NATPort} {
		src, dst := netip.AddrPortFrom(london, port), netip.AddrPortFrom(tokyo, port)
		out := sealed(t, src, dst, "payload")
		if n, err := a.Send(out); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if p := receive(t, b, 0); p.Kind != ESP || p.Remote != src || p.Local != dst || !bytes.Equal(p.Payload, out[0].Bytes()) {
			t.Errorf("received %v from %v to %v", p.Kind, p.Remote, p.Local)
		}
	}
	for _, port := range []uint16{IKEPort, NATPort} {
		d := Datagram{netip.AddrPortFrom(london, port), netip.AddrPortFrom(tokyo, port), []byte("isakmp")}
		if err := a.SendIKE(d); err != nil {
			t.Fatal(err)
		}
		if p := receive(t, b, 0); p.Kind != IKE || string(p.Payload) != "isakmp" || p.Remote != d.Local {
			t.Errorf("port %d: received kind %d, %q", port, p.Kind, p.Payload)
		}
	}
	if err := a.SendKeepalive(netip.AddrPortFrom(tokyo, NATPort)); err != nil {
		t.Fatal(err)
	}
	if p := receive(t, b, 0); p.Kind != Keepalive {
		t.Errorf("received kind %d, want a keepalive", p.Kind)
	}
}

func TestHubFilterLosesAndChanges(t *testing.T) {
	t.Parallel()
	hub := NewHub()
	a, b := hub.Join(london), hub.Join(tokyo)
	moved := netip.MustParseAddrPort("198.51.100.9:61000")
	seen := 0
	hub.SetFilter(func(w *Wire) bool {
		seen++
		w.Src = moved
		return seen > 1
	})
	d := Datagram{netip.AddrPortFrom(london, NATPort), netip.AddrPortFrom(tokyo, NATPort), []byte("first")}
	for _, text := range []string{"first", "second"} {
		d.Payload = []byte(text)
		if err := a.SendIKE(d); err != nil {
			t.Fatal(err)
		}
	}
	if p := receive(t, b, 0); string(p.Payload) != "second" || p.Remote != moved {
		t.Errorf("received %q from %v, want the second from %v", p.Payload, p.Remote, moved)
	}
}

func TestHubDoesNotAllocate(t *testing.T) {
	hub := NewHub()
	a, b := hub.Join(london), hub.Join(tokyo)
	out := sealed(t, netip.AddrPortFrom(london, 0), netip.AddrPortFrom(tokyo, 0), "payload")
	move := func() {
		if _, err := a.Send(out); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Receive(0); err != nil {
			t.Fatal(err)
		}
	}
	for range memoryDepth {
		move()
	}
	if n := testing.AllocsPerRun(1000, move); n != 0 {
		t.Errorf("%v allocations a packet, want 0", n)
	}
}

package ether

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"meshrouter/internal/ipv4"
)

var (
	here  = Host{Addr: netip.MustParseAddr("192.0.2.2"), MAC: MAC{2, 0, 0, 0, 0, 2}}
	there = Host{Addr: netip.MustParseAddr("192.0.2.1"), MAC: MAC{2, 0, 0, 0, 0, 1}}
)

// frame is a plain frame from there to here.
func frame(payload string) []byte {
	b := make([]byte, HeaderLen, HeaderLen+len(payload))
	newWay(there, here.Addr, here.MAC, 1500).PutHeader(b, len(payload), 0x20, 7)
	return append(b, payload...)
}

// changed is a plain frame with other bytes at an offset in its IPv4 header, and the checksum of that.
func changed(at int, b ...byte) []byte {
	f := frame("payload")
	copy(f[EthernetLen+at:], b)
	ipv4.Header(f[EthernetLen:HeaderLen]).UpdateChecksum()
	return f
}

func TestParse(t *testing.T) {
	t.Parallel()
	otherMAC := frame("payload")
	otherMAC[0] = 0xff
	badSum := frame("payload")
	badSum[EthernetLen+8]++
	arp := frame("payload")
	arp[13] = 6
	for _, tt := range []struct {
		name  string
		frame []byte
		want  Reason
	}{
		{"plain", frame("payload"), Fine},
		{"padding of a short frame", append(frame("x"), make([]byte, 30)...), Fine},
		{"DF", changed(6, 0x40, 0), Fine},
		{"no payload", frame(""), Fine},
		{"nothing", nil, BadFrame},
		{"only Ethernet", frame("")[:EthernetLen], BadFrame},
		{"half an IPv4 header", frame("")[:HeaderLen-1], BadFrame},
		{"another EtherType", arp, BadFrame},
		{"another MAC", otherMAC, BadMAC},
		{"IPv6", changed(0, 0x65), BadHeader},
		{"IHL of 4 words", changed(0, 0x44), BadHeader},
		{"IHL beyond the packet", changed(0, 0x4f), BadHeader},
		{"total length beyond the frame", changed(2, 0, 28), BadHeader},
		{"total length below the header", changed(2, 0, 19), BadHeader},
		{"checksum", badSum, BadChecksum},
		{"control class", changed(1, TOSControl), BadKind},
		{"first fragment", changed(6, 0x20, 0), BadKind},
		{"last fragment", changed(6, 0, 1), BadKind},
		{"UDP", changed(9, 17), BadKind},
		{"options", withOptions(), BadKind},
		{"another address", changed(16, 192, 0, 2, 3), BadDst},
		{"broadcast", changed(16, 255, 255, 255, 255), BadDst},
		{"our own address as source", changed(12, 192, 0, 2, 2), BadSrc},
		{"loopback as source", changed(12, 127, 0, 0, 1), BadSrc},
		{"this network as source", changed(12, 0, 0, 0, 1), BadSrc},
		{"multicast source", changed(12, 224, 0, 0, 5), BadSrc},
		{"broadcast source", changed(12, 255, 255, 255, 255), BadSrc},
	} {
		var p Packet
		if r := here.Parse(tt.frame, &p); r != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, r, tt.want)
		} else if r != Fine && p.Payload != nil {
			t.Errorf("%s: refused, but the packet was changed", tt.name)
		}
	}
	var p Packet
	here.Parse(append(frame("payload"), 0, 0, 0), &p)
	if string(p.Payload) != "payload" || p.Src != there.Addr || p.Dst != here.Addr || p.TOS != 0x20 || p.Arrived != 0 {
		t.Errorf("parsed %+v", p)
	}
}

// withOptions is a frame with one word of options and a right checksum.
func withOptions() []byte {
	f := slices.Insert(frame("payload"), HeaderLen, 148, 4, 0, 0)
	f[EthernetLen], f[EthernetLen+3] = 0x46, f[EthernetLen+3]+4
	ipv4.Header(f[EthernetLen : HeaderLen+4]).UpdateChecksum()
	return f
}

// The template's header is that of package ipv4, whatever the packet.
func TestPutHeader(t *testing.T) {
	t.Parallel()
	w := newWay(there, here.Addr, here.MAC, 1500)
	got := make([]byte, HeaderLen)
	for _, n := range []int{0, 1, 36, 235, 236, 1480, 65515} {
		for _, tos := range []uint8{0, 1, 0xb8, 0xff} {
			for _, id := range []uint16{0, 1, 0x1234, 0xffff} {
				w.PutHeader(got, n, tos, id)
				want := slices.Concat(here.MAC[:], there.MAC[:], []byte{8, 0})
				want = ipv4.AppendHeader(want, ipv4.Fields{TOS: tos, TTL: 64, Protocol: 50, ID: id, Src: there.Addr, Dst: here.Addr}, n)
				if !bytes.Equal(got, want) {
					t.Fatalf("%d bytes, TOS %#x, ID %#x: % x, want % x", n, tos, id, got, want)
				}
			}
		}
	}
}

// Whatever is not refused is a whole IPv4 packet of protocol 50 to here, by a slow look at it.
func FuzzParse(f *testing.F) {
	f.Add(frame("payload"))
	f.Add(changed(6, 0x20, 0))
	f.Add(withOptions())
	f.Fuzz(func(t *testing.T, b []byte) {
		whole := bytes.Clone(b)
		var p Packet
		if here.Parse(b, &p) != Fine {
			return
		}
		ip := b[EthernetLen:]
		total := int(binary.BigEndian.Uint16(ip[2:]))
		sum := 0
		for i := 0; i < 20; i += 2 {
			sum += int(ip[i])<<8 | int(ip[i+1])
		}
		switch {
		case !bytes.Equal(whole, b):
			t.Error("Parse changed the frame")
		case MAC(b) != here.MAC, ip[0] != 0x45, ip[1] >= 0xc0, ip[6]&0x3f|ip[7] != 0, ip[9] != 50, sum%0xffff != 0,
			p.Dst != here.Addr, p.Src.IsMulticast(), p.Src.IsLoopback(), !bytes.Equal(p.Payload, ip[20:total]):
			t.Errorf("accepted % x as %+v", b, p)
		}
	})
}

func TestDropsHaveNames(t *testing.T) {
	t.Parallel()
	var d Drops
	d.Add(BadSrc)
	d.Add(BadSrc)
	seen := make(map[string]uint64)
	d.Each(func(reason string, n uint64) { seen[reason] = n })
	if len(seen) != int(reasonCount)-1 || seen["ip_src"] != 2 || seen[""] != 0 {
		t.Errorf("counted %v", seen)
	}
}

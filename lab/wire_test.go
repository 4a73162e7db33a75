package lab

import (
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

var (
	siteA    = netip.MustParseAddr("192.0.2.1")
	siteB    = netip.MustParseAddr("192.0.2.2")
	stranger = netip.MustParseAddr("192.0.2.99")
	addrs    = map[netip.Addr]bool{siteA: true, siteB: true}
)

// ipFrame makes an Ethernet frame with an IPv4 packet; offset is the fragment offset in 8 bytes.
func ipFrame(src, dst netip.Addr, protocol byte, offset uint16, body ...byte) []byte {
	b := append(make([]byte, 12), 8, 0)
	b = append(b, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(20+len(body)))
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint16(b, offset)
	b = append(b, 64, protocol, 0, 0)
	b = append(b, src.AsSlice()...)
	b = append(b, dst.AsSlice()...)
	return append(b, body...)
}

func udp(from, to uint16, body ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, from)
	b = binary.BigEndian.AppendUint16(b, to)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(body)))
	return append(append(b, 0, 0), body...)
}

func TestClassify(t *testing.T) {
	t.Parallel()
	esp := []byte{1, 2, 3, 4, 0, 0, 0, 9, 0xaa}
	arpFrame := append(make([]byte, 12), 8, 6, 0, 1)
	for _, tt := range []struct {
		name  string
		frame []byte
		kind  frameKind
		what  string
		seq   uint32
	}{
		{"ESP", ipFrame(siteA, siteB, 50, 0, esp...), espFrame, "", 9},
		{"a later fragment of ESP", ipFrame(siteA, siteB, 50, 100, 1), espFrame, "", 0},
		{"ESP too short for an SPI", ipFrame(siteA, siteB, 50, 0, 1, 2, 3), other, "IP protocol 50", 0},
		{"IKE", ipFrame(siteA, siteB, 17, 0, udp(500, 500, 1, 2, 3, 4)...), ikeFrame, "", 0},
		{"IKE on 4500", ipFrame(siteA, siteB, 17, 0, udp(4500, 4500, 0, 0, 0, 0, 1, 2, 3, 4)...), ikeFrame, "", 0},
		{"NAT keepalive", ipFrame(siteA, siteB, 17, 0, udp(4500, 4500, 0xff)...), ikeFrame, "", 0},
		{"ESP in UDP", ipFrame(siteA, siteB, 17, 0, udp(1024, 4500, esp...)...), espFrame, "", 9},
		{"another UDP port", ipFrame(siteA, siteB, 17, 0, udp(53, 53)...), other, "UDP 53 > 53", 0},
		{"GRE", ipFrame(siteA, siteB, 47, 0, 0, 0, 8, 0), other, "GRE in clear", 0},
		{"ICMP", ipFrame(siteA, siteB, 1, 0, 8, 0, 0, 0), other, "ICMP in clear", 0},
		{"OSPF", ipFrame(siteA, siteB, 89, 0, 2, 1), other, "OSPF in clear", 0},
		{"TCP", ipFrame(siteA, siteB, 6, 0, 2, 1), other, "IP protocol 6", 0},
		{"an address that is no site's", ipFrame(siteA, stranger, 50, 0, esp...), otherSite, "192.0.2.1 > 192.0.2.99", 0},
		{"ARP", arpFrame, arp, "", 0},
		{"IPv6", append(make([]byte, 12), 0x86, 0xdd, 0x60), other, "ethertype 0x86dd", 0},
		{"a short frame", make([]byte, 13), other, "a runt frame", 0},
		{"a cut IPv4 header", append(make([]byte, 12), 8, 0, 0x45, 0), other, "a broken IPv4 header", 0},
		{"a total length beyond the frame", ipFrame(siteA, siteB, 50, 0)[:33], other, "a broken IPv4 header", 0},
	} {
		got := classify(tt.frame, addrs)
		if got.kind != tt.kind || got.what != tt.what || got.seq != tt.seq {
			t.Errorf("%s: kind %d, %q, sequence %d, want %d, %q, %d", tt.name, got.kind, got.what, got.seq, tt.kind, tt.what, tt.seq)
		}
	}
}

// A hostile frame costs nothing but a line in the report.
func FuzzClassify(f *testing.F) {
	f.Add(ipFrame(siteA, siteB, 50, 0, 1, 2, 3, 4, 5, 6, 7, 8))
	f.Add(ipFrame(siteA, siteB, 17, 0, udp(4500, 4500, 0, 0, 0, 0)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		fr := classify(b, addrs)
		if (fr.kind == other || fr.kind == otherSite) == (fr.what == "") {
			t.Fatalf("kind %d says %q", fr.kind, fr.what)
		}
	})
}

func TestInspect(t *testing.T) {
	t.Parallel()
	m := marker([]byte("0123456789abcdef"))
	esp := func(tail ...byte) []byte {
		return ipFrame(siteA, siteB, 50, 0, append([]byte{1, 2, 3, 4, 0, 0, 0, 9}, tail...)...)
	}
	for _, tt := range []struct {
		name   string
		frames [][]byte
		pings  int
		want   string // part of the error; "": none
	}{
		{"all in ESP", [][]byte{esp(), esp()}, 2, ""},
		{"too few ESP packets", [][]byte{esp()}, 2, "1 ESP packets for 2 pings"},
		{"the marker in clear", [][]byte{esp(), esp(m[:]...)}, 2, "readable in 1 frames, first in frame 2"},
		{"GRE in clear", [][]byte{esp(), ipFrame(siteA, siteB, 47, 0), ipFrame(siteB, siteA, 47, 0)}, 1, "2 x GRE in clear"},
	} {
		path := filepath.Join(t.TempDir(), "x.pcapng")
		writeFrames(t, path, tt.frames)
		w, err := inspect(path, addrs, m)
		if err != nil {
			t.Fatal(err)
		}
		err = w.verdict(tt.pings)
		if got := errText(err); tt.want == "" && err != nil || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func writeFrames(t *testing.T, path string, frames [][]byte) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := pcapgo.NewNgWriter(f, layers.LinkTypeEthernet)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range frames {
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(1000, 0), CaptureLength: len(b), Length: len(b)}, b); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

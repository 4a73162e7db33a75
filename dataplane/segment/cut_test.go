package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"meshrouter/internal/ipv4"
)

// largeUDP is a USO packet of three datagrams.
func largeUDP() *Packet {
	h := []byte{0x45, 0, 0, 0, 0, 7, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 53, 0, 54, 0, 0, 0, 0}
	h = append(h, bytes.Repeat([]byte{1, 2, 3}, 90)...)
	binary.BigEndian.PutUint16(h[24:], uint16(len(h)-20))
	plainIP(h)
	binary.BigEndian.PutUint16(h[26:], uint16(pseudo(h)))
	return &Packet{Buf: h, End: len(h), Offload: Offload{Flags: 1, GSOType: 5, HdrLen: 28, GSOSize: 100, CsumStart: 20, CsumOffset: 6}}
}

// What the host says beside a packet must agree with the packet.
func TestCutRefuses(t *testing.T) {
	t.Parallel()
	tcp := func() *Packet { return bulk(3, 100) }
	for name, tt := range map[string]struct {
		packet func() *Packet
		change func(p *Packet)
		want   error
	}{
		"nothing":                       {tcp, func(p *Packet) { p.End = 0 }, ipv4.ErrTruncated},
		"19 bytes":                      {tcp, func(p *Packet) { p.End = 19 }, ipv4.ErrTruncated},
		"IPv6":                          {tcp, func(p *Packet) { p.Buf[0] = 0x60 }, ErrIPv6},
		"short IPv6":                    {tcp, func(p *Packet) { p.Buf[0], p.End = 0x60, 8 }, ErrIPv6},
		"version 5":                     {tcp, func(p *Packet) { p.Buf[0] = 0x55 }, ipv4.ErrVersion},
		"IP header of 16 bytes":         {tcp, func(p *Packet) { p.Buf[0] = 0x44 }, ipv4.ErrHeaderLength},
		"total length 0":                {tcp, func(p *Packet) { p.Buf[2], p.Buf[3] = 0, 0 }, ipv4.ErrTotalLength},
		"total length above the packet": {tcp, func(p *Packet) { p.End-- }, ipv4.ErrTruncated},
		"total length below the packet": {tcp, func(p *Packet) { p.Buf[3]-- }, ErrLength},
		"no NEEDS_CSUM":                 {tcp, func(p *Packet) { p.Offload.Flags = 2 }, ErrNeedsChecksum},
		"segments of 0":                 {tcp, func(p *Packet) { p.Offload.GSOSize = 0 }, ErrGSOSize},
		"UFO":                           {tcp, func(p *Packet) { p.Offload.GSOType = 3 }, ErrGSOType},
		"TSO of IPv6":                   {tcp, func(p *Packet) { p.Offload.GSOType = 4 }, ErrGSOType},
		"type 255":                      {tcp, func(p *Packet) { p.Offload.GSOType = 255 }, ErrGSOType},
		"ECN without TCP":               {largeUDP, func(p *Packet) { p.Offload.GSOType |= 0x80 }, ErrGSOType},
		"only ECN":                      {tcp, func(p *Packet) { p.Offload.GSOType = 0x80 }, ErrGSOType},
		"a fragment":                    {tcp, func(p *Packet) { p.Buf[6] |= 0x20 }, ErrFragment},
		"a later fragment":              {tcp, func(p *Packet) { p.Buf[7] = 1 }, ErrFragment},
		"TSO of UDP":                    {largeUDP, func(p *Packet) { p.Offload.GSOType = 1 }, ErrTransport},
		"USO of TCP":                    {tcp, func(p *Packet) { p.Offload.GSOType = 5 }, ErrTransport},
		"TCP header of 16 bytes":        {tcp, func(p *Packet) { p.Buf[32] = 0x40 }, ErrTransport},
		"TCP header past the end": {tcp, func(p *Packet) {
			p.Buf[32], p.End, p.Buf[2], p.Buf[3] = 0xf0, 72, 0, 72
		}, ErrTransport},
		"half a TCP header":               {tcp, func(p *Packet) { p.End, p.Buf[2], p.Buf[3] = 39, 0, 39 }, ErrTransport},
		"half a UDP header":               {largeUDP, func(p *Packet) { p.End, p.Buf[2], p.Buf[3], p.Offload.CsumOffset = 26, 0, 26, 0 }, ErrTransport},
		"UDP length":                      {largeUDP, func(p *Packet) { p.Buf[25]++ }, ErrLength},
		"checksum of the IP header":       {tcp, func(p *Packet) { p.Offload.CsumStart, p.Offload.CsumOffset = 0, 10 }, ErrChecksumPlace},
		"checksum in the payload":         {tcp, func(p *Packet) { p.Offload.CsumStart += 8 }, ErrChecksumPlace},
		"checksum over the sequence":      {tcp, func(p *Packet) { p.Offload.CsumOffset = 4 }, ErrChecksumPlace},
		"checksum over the ports":         {largeUDP, func(p *Packet) { p.Offload.CsumOffset = 0 }, ErrChecksumPlace},
		"checksum past the end":           {tcp, func(p *Packet) { p.Offload.CsumOffset = 0xffff }, ErrChecksumPlace},
		"checksum far past the end":       {tcp, func(p *Packet) { p.Offload.CsumStart = 0xffff }, ErrChecksumPlace},
		"plain, checksum of the header":   {tcp, func(p *Packet) { p.Offload.GSOType, p.Offload.CsumStart = 0, 4 }, ErrChecksumPlace},
		"plain, checksum half in packet":  {largeUDP, func(p *Packet) { p.Offload.GSOType, p.Offload.CsumOffset = 0, uint16(p.End-20)-1 }, ErrChecksumPlace},
		"plain, bytes after total length": {largeUDP, func(p *Packet) { p.Offload.GSOType = 0; p.Buf[3]-- }, ErrLength},
	} {
		p := tt.packet()
		tt.change(p)
		if err := p.Cut(new(Cutter)); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// HdrLen is a hint, which a forwarding kernel sets to other values as well.
func TestCutNeedsNoHeaderLength(t *testing.T) {
	t.Parallel()
	for _, hdrLen := range []uint16{0, 20, 1000, 0xffff} {
		p := bulk(3, 100)
		p.Offload.HdrLen = hdrLen
		want := plainSplit(p.Buf, p.Offload)
		for i, got := range segmentsOf(t, p) {
			if !bytes.Equal(got, want[i]) {
				t.Errorf("HdrLen %d: segment %d is % x, want % x", hdrLen, i, got, want[i])
			}
		}
	}
}

// A large packet that is none: one segment, with or without payload.
func TestCutOfFewBytes(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 99, 100} {
		p := bulk(1, n)
		p.Offload.GSOSize = 100
		if got, want := segmentsOf(t, p), plainSplit(p.Buf, p.Offload); len(got) != 1 || !bytes.Equal(got[0], want[0]) {
			t.Errorf("%d bytes: % x, want % x", n, got, want)
		}
	}
}

// The largest packet in the smallest segments.
func TestCutIntoBytes(t *testing.T) {
	t.Parallel()
	p := bulk(65535-52, 1)
	want := plainSplit(p.Buf, p.Offload)
	got := segmentsOf(t, p)
	if len(got) != 65535-52 {
		t.Fatalf("%d segments", len(got))
	}
	for i := range got {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("segment %d is % x, want % x", i, got[i], want[i])
		}
	}
}

// Without NEEDS_CSUM a packet is the sender's business: wrong checksums, whatever protocol, whatever flags
// are beside it.
func TestPlainPacketsStayAsTheyAre(t *testing.T) {
	t.Parallel()
	for _, flags := range []uint8{0, 2, 4, 0xfe} {
		pkt := bulk(1, 200).Buf // its checksum field holds a pseudo header's sum, which is wrong
		pkt[10] ^= 0x40
		p := Packet{Buf: append(bytes.Clone(pkt), "trailer"...), Offload: Offload{Flags: flags, CsumStart: 3, CsumOffset: 9}}
		p.End = len(p.Buf)
		if got := segmentsOf(t, &p); len(got) != 1 || !bytes.Equal(got[0], pkt) {
			t.Errorf("flags %#x: % x, want % x", flags, got, pkt)
		}
	}
}

func TestPlainPacketsAreCompleted(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]*Packet{"TCP": bulk(1, 333), "UDP": largeUDP()} {
		p.Offload.GSOType, p.Offload.GSOSize = GSONone, 0
		want := bytes.Clone(p.Buf)
		plainTransport(want)
		if got := segmentsOf(t, p); len(got) != 1 || !bytes.Equal(got[0], want) {
			t.Errorf("%s: % x, want % x", name, got, want)
		}
		// A wrong seed gives a wrong checksum.
		p.Buf[20+p.Offload.CsumOffset] ^= 1
		if got := segmentsOf(t, p); bytes.Equal(got[0], want) || pseudo(got[0])+residue(got[0][20:])%65535 == 0 {
			t.Errorf("%s: a wrong checksum was made right: % x", name, got[0])
		}
	}
	// A checksum that comes to 0 is written as the kernel writes it (skb_checksum_help).
	p := largeUDP()
	p.Offload.GSOType = GSONone
	p.Buf[28], p.Buf[29] = 0, 0
	binary.BigEndian.PutUint16(p.Buf[28:], ^uint16(residue(p.Buf[20:])))
	if got := segmentsOf(t, p)[0][26:28]; !bytes.Equal(got, []byte{0xff, 0xff}) {
		t.Errorf("a checksum of 0 is written % x, want ffff", got)
	}
}

func TestCutDoesNotAllocate(t *testing.T) {
	var c Cutter
	dst := make([]byte, 2000)
	for name, p := range map[string]*Packet{"TCP": bulk(40, 1400), "UDP": largeUDP()} {
		if n := testing.AllocsPerRun(100, func() {
			if err := p.Cut(&c); err != nil {
				t.Fatal(err)
			}
			for i := range c.Len() {
				c.Put(i, dst[:c.Size(i)])
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}

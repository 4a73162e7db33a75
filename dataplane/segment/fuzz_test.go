package segment

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// FuzzCut gives Cut whatever a host could. What it accepts it has to cut as the plain path does, inside the
// memory that it was given.
func FuzzCut(f *testing.F) {
	for _, p := range []*Packet{bulk(3, 100), largeUDP()} {
		o := p.Offload
		f.Add(p.Buf, o.Flags, o.GSOType, o.HdrLen, o.GSOSize, o.CsumStart, o.CsumOffset)
		f.Add(p.Buf, uint8(1), uint8(0), o.HdrLen, o.GSOSize, o.CsumStart, o.CsumOffset)
		f.Add(p.Buf, uint8(0), uint8(0), o.HdrLen, o.GSOSize, o.CsumStart, o.CsumOffset)
	}
	tr := newTraffic(rand.New(rand.NewPCG(3, 3)))
	for range 10 {
		pkt, o := tr.large(tr.flows[0])
		f.Add(pkt, o.Flags, o.GSOType, o.HdrLen, o.GSOSize, o.CsumStart, o.CsumOffset)
	}
	f.Fuzz(func(t *testing.T, pkt []byte, flags, gsoType uint8, hdrLen, gsoSize, csumStart, csumOffset uint16) {
		o := Offload{flags, gsoType, hdrLen, gsoSize, csumStart, csumOffset}
		p := Packet{Buf: bytes.Clone(pkt), End: len(pkt), Offload: o}
		var c Cutter
		if p.Cut(&c) != nil {
			return
		}
		var want [][]byte
		total := int(pkt[2])<<8 | int(pkt[3])
		switch {
		case gsoType != 0:
			want = plainSplit(pkt, o)
		case flags&1 == 0:
			want = [][]byte{pkt[:total]}
		default:
			b := bytes.Clone(pkt)
			at := csumStart + csumOffset
			putChecksum(b[at:], residue(b[csumStart:]))
			if b[at] == 0 && b[at+1] == 0 {
				b[at], b[at+1] = 0xff, 0xff
			}
			want = [][]byte{b}
		}
		if c.Len() != len(want) {
			t.Fatalf("%d segments, want %d", c.Len(), len(want))
		}
		room := bytes.Repeat([]byte{0xa5}, 65535+16)
		for i := range want {
			n := c.Size(i)
			c.Put(i, room[8:8+n])
			if !bytes.Equal(room[8:8+n], want[i]) {
				t.Fatalf("segment %d is % x, want % x", i, room[8:8+n], want[i])
			}
			if !bytes.Equal(room[:8], bytes.Repeat([]byte{0xa5}, 8)) || room[8+n] != 0xa5 {
				t.Fatalf("segment %d was written past its end", i)
			}
			copy(room[8:], bytes.Repeat([]byte{0xa5}, n))
		}
		if !bytes.Equal(p.Buf, pkt) {
			t.Fatal("the packet was changed")
		}
	})
}

// FuzzMerge takes its input for a batch, each packet behind two bytes of length. See bench.merge for what must hold.
func FuzzMerge(f *testing.F) {
	join := func(packets ...[]byte) (b []byte) {
		for _, p := range packets {
			b = append(append(b, byte(len(p)>>8), byte(len(p))), p...)
		}
		return b
	}
	f.Add(join(segmentsOf(f, bulk(4, 30))...))
	f.Add(join(segmentsOf(f, largeUDP())...))
	s := segmentsOf(f, bulk(4, 30))
	f.Add(join(s[0], s[1], s[2][:60], s[3][:52], s[3]))
	f.Fuzz(func(t *testing.T, data []byte) {
		b := newBench(&statistics{})
		b.merger.TCP, b.merger.UDP = true, true
		for len(data) >= 2 {
			n := min(int(data[0])<<8|int(data[1]), len(data)-2)
			b.in, data = append(b.in, data[2:2+n]), data[2+n:]
		}
		if err := b.merge(); err != nil {
			t.Fatal(err)
		}
	})
}

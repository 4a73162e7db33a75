package segment

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
)

// bulk is a large TCP packet with time stamps, as a host sends it, of n segments with that much payload.
func bulk(n, size int) *Packet {
	h := []byte{0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2}
	h = append(h, 0x80, 0, 0x14, 0x51, 0, 0, 0, 1, 0, 0, 0, 2, 0x80, 0x10, 1, 0, 0, 0, 0, 0)
	h = append(h, 1, 1, 8, 10, 0, 0, 0, 3, 0, 0, 0, 4)
	r := rand.New(rand.NewPCG(1, 1))
	for range n * size {
		h = append(h, byte(r.Uint32()))
	}
	plainIP(h)
	binary.BigEndian.PutUint16(h[36:], uint16(pseudo(h)))
	return &Packet{Buf: h, End: len(h), Offload: Offload{Flags: 1, GSOType: 1, HdrLen: 52, GSOSize: uint16(size), CsumStart: 20, CsumOffset: 16}}
}

// segmentsOf are the packets that p is cut into, side by side.
func segmentsOf(tb testing.TB, p *Packet) [][]byte {
	var c Cutter
	if err := p.Cut(&c); err != nil {
		tb.Fatal(err)
	}
	var out [][]byte
	for i := range c.Len() {
		b := make([]byte, c.Size(i))
		c.Put(i, b)
		out = append(out, b)
	}
	return out
}

// One operation is one segment.
func BenchmarkCut(b *testing.B) {
	for _, size := range []int{64, 512, 1356} {
		b.Run(fmt.Sprintf("size=%d", 52+size), func(b *testing.B) {
			p := bulk(44, size)
			var c Cutter
			dst := make([]byte, 2048)
			b.SetBytes(int64(52 + size))
			for n := 0; n < b.N; n += c.Len() {
				if err := p.Cut(&c); err != nil {
					b.Fatal(err)
				}
				for i := range c.Len() {
					c.Put(i, dst[:c.Size(i)])
				}
			}
		})
	}
}

func BenchmarkMerge(b *testing.B) {
	for _, size := range []int{64, 512, 1356} {
		b.Run(fmt.Sprintf("size=%d", 52+size), func(b *testing.B) {
			packets := segmentsOf(b, bulk(44, size))
			first := append([]byte(nil), packets[0]...)
			m := Merger{TCP: true}
			b.SetBytes(int64(52 + size))
			for n := 0; n < b.N; n += len(packets) {
				copy(packets[0], first)
				for _, p := range packets {
					m.Add(p)
				}
				if len(m.Groups()) != 1 {
					b.Fatal("not joined")
				}
				m.Reset()
			}
		})
	}
}

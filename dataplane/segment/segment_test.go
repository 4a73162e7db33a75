package segment

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
)

var (
	packets = flag.Int64("packets", 1_000_000, "how many packets TestSameAsThePlainPath sends through Cutter and Merger")
	seed    = flag.Uint64("seed", 1, "from which TestSameAsThePlainPath makes them")
)

// TestSameAsThePlainPath sends seeded random traffic through Cutter and Merger. What they make must be, byte for
// byte, what the plain path makes:
//
//	large packets ─► Cutter ─► packets == plainSplit ─► damaged, disturbed ─► Merger ─► plainSplit == what went in
//
// Each packet that comes out of the second split has to be the next one of its flow that went into the Merger, so
// that a packet which was corrupt still is. By default a million packets; for 10^8, spread over the processors:
//
//	go test ./dataplane/segment -run TestSameAsThePlainPath -timeout 2h -args -packets 100000000 -seed 2
func TestSameAsThePlainPath(t *testing.T) {
	t.Parallel()
	var total statistics
	workers := int64(runtime.GOMAXPROCS(0))
	t.Run("", func(t *testing.T) {
		for w := range workers {
			t.Run(fmt.Sprint(w), func(t *testing.T) {
				t.Parallel()
				b := newBench(&total)
				for i := uint64(w); total.packets.Load() < *packets; i += uint64(workers) {
					if err := b.round(rand.New(rand.NewPCG(*seed, i))); err != nil {
						t.Fatalf("-seed %d, round %d: %v", *seed, i, err)
					}
				}
			})
		}
	})
	n := total.packets.Load()
	t.Logf("%d packets: %d joined in %d groups, %d damaged, %d large ones of the host",
		n, total.joined.Load(), total.groups.Load(), total.damaged.Load(), total.large.Load())
	if total.joined.Load() < n/4 || total.damaged.Load() < n/40 || total.large.Load() < n/40 {
		t.Error("the traffic did not exercise what it was made for")
	}
}

type statistics struct{ packets, joined, groups, damaged, large atomic.Int64 }

// A bench is what one goroutine needs for its rounds.
type bench struct {
	total  *statistics
	cutter Cutter
	merger Merger
	out    []byte
	in     [][]byte // what the Merger was given, before it could change it
	next   map[string][]int
}

func newBench(s *statistics) *bench {
	return &bench{total: s, out: make([]byte, 65535), next: map[string][]int{}}
}

// round is one batch.
func (b *bench) round(r *rand.Rand) error {
	tr := newTraffic(r)
	queues := make([][][]byte, len(tr.flows))
	count := 0
	for count < 64 {
		i := tr.IntN(len(tr.flows))
		segments, err := b.cut(tr, tr.flows[i])
		if err != nil {
			return err
		}
		queues[i] = append(queues[i], segments...)
		count += len(segments)
	}
	b.in = b.in[:0]
	for len(queues) > 0 { // the flows take turns
		i := tr.IntN(len(queues))
		for n := 1 + tr.IntN(10); n > 0 && len(queues[i]) > 0; n-- {
			b.in = append(b.in, queues[i][0])
			queues[i] = queues[i][1:]
		}
		if len(queues[i]) == 0 {
			queues[i] = queues[len(queues)-1]
			queues = queues[:len(queues)-1]
		}
	}
	for i := range b.in {
		if tr.one(16) {
			b.total.damaged.Add(1)
			b.damage(tr, i)
		}
	}
	b.total.packets.Add(int64(len(b.in)))
	b.merger.TCP, b.merger.UDP = !tr.one(20), !tr.one(20)
	return b.merge()
}

// cut makes a large packet and has it cut.
func (b *bench) cut(tr *traffic, t *talk) ([][]byte, error) {
	pkt, o := tr.large(t)
	b.total.large.Add(1)
	room := tr.IntN(30)
	p := Packet{Buf: append(make([]byte, room, room+len(pkt)), pkt...), Start: room, End: room + len(pkt), Offload: o}
	if err := p.Cut(&b.cutter); err != nil {
		return nil, fmt.Errorf("cut % x… with %+v: %w", pkt[:len(t.header)], o, err)
	}
	want := plainSplit(pkt, o)
	if b.cutter.Len() != len(want) {
		return nil, fmt.Errorf("%d segments, want %d", b.cutter.Len(), len(want))
	}
	for i := range want {
		got := b.out[:b.cutter.Size(i)]
		if b.cutter.Put(i, got); !bytes.Equal(got, want[i]) {
			return nil, fmt.Errorf("segment %d of %d of % x… with %+v is\n% x, want\n% x", i, len(want), pkt[:len(t.header)], o, got, want[i])
		}
	}
	if !bytes.Equal(p.Buf[room:], pkt) {
		return nil, fmt.Errorf("cutting changed the packet")
	}
	if tr.one(10) && t.tcp() { // a pure acknowledgment in between
		ack := append([]byte(nil), want[0][:len(t.header)]...)
		plainIP(ack)
		plainTransport(ack)
		want = append(want, ack)
	}
	return want, nil
}

// damage changes a packet, or its place, as networks and attackers do.
func (b *bench) damage(tr *traffic, i int) {
	pkt := append([]byte(nil), b.in[i]...)
	b.in[i] = pkt
	ihl := int(pkt[0]&15) * 4
	field := 6
	if pkt[9] == 6 {
		field = 16
	}
	switch tr.IntN(12) {
	case 0, 1: // one bit
		pkt[tr.IntN(len(pkt))] ^= 1 << tr.IntN(8)
	case 2: // two bits that may cancel out
		at, bit := tr.IntN(len(pkt)), byte(1)<<tr.IntN(8)
		pkt[at] ^= bit
		pkt[(at+2*tr.IntN(20))%len(pkt)] ^= bit
	case 3: // the other way to write a checksum of zero, or none
		binary.BigEndian.PutUint16(pkt[ihl+field:], []uint16{0, 0xffff}[tr.IntN(2)])
	case 4:
		binary.BigEndian.PutUint16(pkt[10:], []uint16{0, 0xffff}[tr.IntN(2)])
	case 5: // another TTL, type of service or fragment field, with the right checksum
		at := []int{1, 6, 7, 8}[tr.IntN(4)]
		pkt[at] ^= 1 << tr.IntN(8)
		plainIP(pkt)
	case 6: // other flags, header length or urgent pointer, with the right checksum
		if field == 16 {
			pkt[ihl+[]int{12, 13, 19}[tr.IntN(3)]] ^= 1 << tr.IntN(8)
			plainTransport(pkt)
		}
	case 7: // cut off
		b.in[i] = pkt[:tr.IntN(len(pkt))]
	case 8: // longer than it says
		b.in[i] = append(pkt, make([]byte, 1+tr.IntN(20))...)
	case 9: // twice
		b.in[tr.IntN(len(b.in))] = append([]byte(nil), pkt...)
	case 10: // in another place
		j := tr.IntN(len(b.in))
		b.in[i], b.in[j] = b.in[j], b.in[i]
	case 11: // one bit of a header, with the right checksums
		pkt[tr.IntN(ihl+field+2)] ^= 1 << tr.IntN(8)
		if pkt[0]>>4 == 4 && int(pkt[0]&15)*4 == ihl && (pkt[9] == 6 || pkt[9] == 17) && len(pkt) >= ihl+20 {
			plainTransport(pkt)
			plainIP(pkt)
		}
	}
}

// merge has the packets joined, splits what comes out and compares.
func (b *bench) merge() error {
	b.merger.Reset()
	clear(b.next)
	for i, pkt := range b.in {
		key := flowOf(pkt)
		b.next[key] = append(b.next[key], i)
		b.merger.Add(append([]byte(nil), pkt...))
	}
	out, last := 0, -1 // packets, and the highest index among them
	for _, g := range b.merger.Groups() {
		for _, pkt := range b.split(g) {
			waiting := b.next[flowOf(pkt)]
			if len(waiting) == 0 {
				return fmt.Errorf("% x was not in the batch", pkt)
			}
			i := waiting[0]
			b.next[flowOf(pkt)] = waiting[1:]
			if !bytes.Equal(pkt, b.in[i]) {
				return fmt.Errorf("packet %d became\n% x, want\n% x", i, pkt, b.in[i])
			}
			if (b.merger.TCP || b.merger.UDP) && anyFlow(pkt) && (i != out || last >= i) {
				return fmt.Errorf("packet %d, which may be of any flow, was overtaken", i)
			}
			out, last = out+1, max(last, i)
		}
	}
	if out != len(b.in) {
		return fmt.Errorf("%d packets came out of %d", out, len(b.in))
	}
	return nil
}

func (b *bench) split(g Group) [][]byte {
	if g.Offload == (Offload{}) {
		return g.Pieces
	}
	large := bytes.Join(g.Pieces, nil)
	b.total.joined.Add(int64(len(g.Pieces)))
	b.total.groups.Add(1)
	return plainSplit(large, g.Offload)
}

// anyFlow reports whether nobody can say which flow the packet belongs to.
func anyFlow(pkt []byte) bool {
	return len(pkt) < 28 || pkt[0] != 0x45 || pkt[6]&0xbf != 0 || pkt[7] != 0
}

// flowOf is what packets have in common that must stay in order.
func flowOf(pkt []byte) string {
	if anyFlow(pkt) {
		return "any"
	}
	return string(pkt[9:10]) + string(pkt[12:24])
}

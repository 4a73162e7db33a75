package tun

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"testing"

	"meshrouter/dataplane/segment"
	"meshrouter/internal/ipv4"
)

// largeUDP is a group of one packet that stands for three datagrams, in two pieces.
func largeUDP() segment.Group {
	p := []byte{0x45, 0, 0, 0, 0, 7, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 53, 0, 54, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(p[2:], 28+250)
	binary.BigEndian.PutUint16(p[24:], 8+250)
	ipv4.Header(p[:20]).UpdateChecksum()
	h := ipv4.Header(p[:20])
	binary.BigEndian.PutUint16(p[26:], uint16(ipv4.PseudoHeaderSum(h.Src(), h.Dst(), 17, 8+250)))
	return segment.Group{
		Pieces: [][]byte{p, bytes.Repeat([]byte{1}, 250)},
		Offload: segment.Offload{
			Flags: segment.NeedsChecksum, GSOType: segment.GSOUDPL4, HdrLen: 28, GSOSize: 100, CsumStart: 20, CsumOffset: 6,
		},
	}
}

func plain(b ...byte) segment.Group { return segment.Group{Pieces: [][]byte{b}} }

func TestOffloadPairCarriesLargePackets(t *testing.T) {
	t.Parallel()
	a, b := OffloadPair()
	in, out := a.Queues()[0], b.Queues()[0]
	if tcp, udp := in.Offloads(); !tcp || !udp {
		t.Errorf("offloads are %v, %v", tcp, udp)
	}
	want := []segment.Group{plain(0x60), largeUDP(), plain(1, 2, 3)}
	if n, err := in.Write(want); n != 3 || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
	got, err := out.Read()
	if err != nil || len(got) != 3 {
		t.Fatalf("Read = %v, %v", got, err)
	}
	for i, p := range got {
		if b := bytes.Join(want[i].Pieces, nil); !bytes.Equal(p.Buf[p.Start:p.End], b) || p.Offload != want[i].Offload {
			t.Errorf("packet %d is % x with %+v, want % x with %+v", i, p.Buf[p.Start:p.End], p.Offload, b, want[i].Offload)
		}
	}
}

func TestPairWithoutOffloadsRefusesLargePackets(t *testing.T) {
	t.Parallel()
	a, b := Pair()
	if tcp, udp := a.Queues()[0].Offloads(); tcp || udp {
		t.Errorf("offloads are %v, %v", tcp, udp)
	}
	n, err := a.Queues()[0].Write([]segment.Group{plain(1), largeUDP(), plain(2)})
	if n != 1 || !errors.Is(err, errOffload) {
		t.Errorf("Write = %d, %v; want 1, errOffload", n, err)
	}
	if got, err := b.Queues()[0].Read(); len(got) != 1 || err != nil {
		t.Errorf("Read = %v, %v", got, err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Queues()[0].Read(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read after Close: %v", err)
	}
	if _, err := a.Queues()[0].Write([]segment.Group{plain(1)}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write after Close: %v", err)
	}
}

func TestPairDoesNotAllocate(t *testing.T) {
	a, b := OffloadPair()
	gs := []segment.Group{largeUDP()}
	move := func() {
		if _, err := a.Queues()[0].Write(gs); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Queues()[0].Read(); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 * pairDepth {
		move()
	}
	if n := testing.AllocsPerRun(1000, move); n != 0 {
		t.Errorf("%v allocations a packet, want 0", n)
	}
}

// A fake is a device without offloads that refuses packets of one byte.
type fake struct{ written, waiting [][]byte }

func (*fake) BatchSize() int { return 4 }
func (*fake) Close() error   { return nil }

func (f *fake) Read(bufs [][]byte, sizes []int, offset int) (n int, err error) {
	if len(f.waiting) == 0 {
		return 0, os.ErrClosed
	}
	for i, p := range f.waiting {
		sizes[i] = copy(bufs[i][offset:], p)
	}
	n, f.waiting = len(f.waiting), nil
	return n, nil
}

func (f *fake) Write(bufs [][]byte, offset int) (int, error) {
	for i, b := range bufs {
		if len(b) == offset+1 {
			return i, os.ErrInvalid
		}
		f.written = append(f.written, bytes.Clone(b[offset:]))
	}
	return len(bufs), nil
}

// Devices of other backends and systems have the same calls.
func TestGroupsWithoutOffloads(t *testing.T) {
	t.Parallel()
	f := &fake{waiting: [][]byte{{1, 2}, {3}}}
	q := newSimpleQueue(f)
	ps, err := q.Read()
	if err != nil || len(ps) != 2 || !bytes.Equal(ps[0].Buf[ps[0].Start:ps[0].End], []byte{1, 2}) || !bytes.Equal(ps[1].Buf[ps[1].Start:ps[1].End], []byte{3}) {
		t.Errorf("Read = %v, %v", ps, err)
	}
	if _, err := q.Read(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read at the end: %v", err)
	}
	gs := []segment.Group{plain(1, 2), {Pieces: [][]byte{{3}, nil, {4, 5}}}, plain(6), largeUDP(), plain(7, 8)}
	for _, want := range []struct {
		n   int
		err error
	}{{2, os.ErrInvalid}, {0, errOffload}, {1, nil}} {
		n, err := q.Write(gs)
		if n != want.n || !errors.Is(err, want.err) {
			t.Errorf("Write of %d = %d, %v; want %d, %v", len(gs), n, err, want.n, want.err)
		}
		gs = gs[min(n+1, len(gs)):]
	}
	if got := fmt.Sprint(f.written); got != "[[1 2] [3 4 5] [7 8]]" {
		t.Errorf("written: %s", got)
	}
}

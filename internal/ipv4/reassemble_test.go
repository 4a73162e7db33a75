package ipv4

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"
)

const timeout = 15 * time.Second

var t0 = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// fragment makes one fragment of packet id with n bytes of payload, all of them fill.
func fragment(id uint16, offset, n int, more bool, fill byte) []byte {
	b := AppendHeader(nil, udpFields(id), n)
	flags := uint16(offset / 8)
	if more {
		flags |= flagMF
	}
	binary.BigEndian.PutUint16(b[6:], flags)
	Header(b[:HeaderLen]).UpdateChecksum()
	return append(b, bytes.Repeat([]byte{fill}, n)...)
}

// RFC 5722: a packet whose fragments overlap or contradict each other is lost, with what still comes of it.
func TestOverlapIsRefused(t *testing.T) {
	t.Parallel()
	first := fragment(1, 0, 64, true, 'a')
	for name, bad := range map[string][]byte{
		"into the first":           fragment(1, 56, 64, true, 'b'),
		"other bytes":              fragment(1, 0, 64, true, 'b'),
		"shorter at the same":      fragment(1, 0, 32, true, 'a'),
		"last inside":              fragment(1, 32, 16, false, 'a'),
		"last that ends too early": fragment(1, 8, 8, false, 'a'),
	} {
		r := NewReassembler(1<<16, timeout)
		if _, ok := r.Add(t0, first); ok {
			t.Fatal("one fragment completed a packet")
		}
		if _, ok := r.Add(t0, bad); ok || r.Stats.Overlap != 1 || r.Held() != 0 {
			t.Errorf("%s: completed %v, stats %+v, holds %d bytes", name, ok, r.Stats, r.Held())
		}
		for _, late := range [][]byte{first, fragment(1, 64, 8, false, 'c')} {
			if _, ok := r.Add(t0, late); ok {
				t.Errorf("%s: completed later", name)
			}
		}
		if r.Stats.Overlap != 1 || r.Held() != 0 {
			t.Errorf("%s: late fragments are held: %+v", name, r.Stats)
		}
	}
}

func TestContradictingEnds(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string][]byte{
		"another end":           fragment(1, 80, 8, false, 'b'),
		"beyond the end":        fragment(1, 80, 8, true, 'b'),
		"more up to the end":    fragment(1, 64, 8, true, 'a'),
		"last repeated with MF": fragment(1, 64, 8, true, 'a'),
	} {
		r := NewReassembler(1<<16, timeout)
		r.Add(t0, fragment(1, 64, 8, false, 'a'))
		if _, ok := r.Add(t0, bad); ok || r.Stats.Overlap != 1 {
			t.Errorf("%s: completed %v, stats %+v", name, ok, r.Stats)
		}
	}
}

func TestExactRepetitionIsHarmless(t *testing.T) {
	t.Parallel()
	r := NewReassembler(1<<16, timeout)
	r.Add(t0, fragment(1, 8, 3, false, 'b'))
	r.Add(t0, fragment(1, 8, 3, false, 'b'))
	whole, ok := r.Add(t0, fragment(1, 0, 8, true, 'a'))
	if !ok || string(whole[HeaderLen:]) != "aaaaaaaabbb" || r.Stats.Duplicate != 1 || r.Stats.Completed != 1 {
		t.Errorf("whole is %q, stats %+v", whole, r.Stats)
	}
}

func TestMalformedFragments(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string][]byte{
		"no payload":            fragment(1, 8, 0, true, 0),
		"middle of 7 bytes":     fragment(1, 0, 7, true, 0),
		"beyond the largest":    fragment(1, 65512, 8, false, 0),
		"no IPv4":               {1, 2, 3},
		"total length too long": fragment(1, 0, 8, true, 0)[:25],
	} {
		r := NewReassembler(1<<16, timeout)
		if _, ok := r.Add(t0, bad); ok || r.Stats.Malformed != 1 || r.Held() != 0 {
			t.Errorf("%s: stats %+v", name, r.Stats)
		}
	}
}

func TestTimeoutCountsFromTheFirstFragment(t *testing.T) {
	t.Parallel()
	r := NewReassembler(1<<16, timeout)
	r.Add(t0, fragment(1, 0, 8, true, 'a'))
	r.Add(t0.Add(timeout-1), fragment(1, 8, 8, true, 'a'))
	if _, ok := r.Add(t0.Add(timeout), fragment(1, 16, 8, false, 'a')); ok || r.Stats.TimedOut != 1 {
		t.Errorf("completed after the timeout: %v, stats %+v", ok, r.Stats)
	}
	if r.Held() != 8+fragmentCost {
		t.Errorf("holds %d bytes, want only the late fragment", r.Held())
	}
}

// Whatever arrives, memory stays inside the bound, and the newest packets win.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	const bound = 64 << 10
	r := NewReassembler(bound, timeout)
	for id := range uint16(2000) {
		for offset := 0; offset < 4096; offset += 1024 {
			r.Add(t0, fragment(id, 8+offset, 1024, true, 'a'))
			if r.Held() > bound {
				t.Fatalf("holds %d bytes, bound %d", r.Held(), bound)
			}
		}
	}
	if len(r.datagrams) > maxDatagrams {
		t.Errorf("holds %d packets, bound %d", len(r.datagrams), maxDatagrams)
	}
	if _, ok := r.Add(t0, fragment(5000, 0, 8, true, 'a')); ok {
		t.Error("half a packet is whole")
	}
	if _, ok := r.Add(t0, fragment(5000, 8, 8, false, 'a')); !ok {
		t.Errorf("a new packet found no room: %+v", r.Stats)
	}
	if r.Stats.NoRoom == 0 {
		t.Error("nothing was given up: the test is too small")
	}
}

func TestPacketLargerThanTheBound(t *testing.T) {
	t.Parallel()
	r := NewReassembler(1000, timeout)
	r.Add(t0, fragment(1, 0, 800, true, 'a'))
	if _, ok := r.Add(t0, fragment(1, 800, 800, false, 'a')); ok || r.Stats.NoRoom != 1 || r.Held() != 0 {
		t.Errorf("stats %+v, holds %d", r.Stats, r.Held())
	}
}

func TestPacketsAreKeptApart(t *testing.T) {
	t.Parallel()
	r := NewReassembler(1<<16, timeout)
	r.Add(t0, fragment(1, 0, 8, true, 'a'))
	if _, ok := r.Add(t0, fragment(2, 8, 8, false, 'b')); ok {
		t.Error("fragments of two packets made one")
	}
	other := fragment(1, 8, 8, false, 'c')
	other[9] = ProtocolTCP
	if _, ok := r.Add(t0, other); ok {
		t.Error("fragments of two protocols made one")
	}
}

func TestWholePacketPasses(t *testing.T) {
	t.Parallel()
	r := NewReassembler(0, timeout)
	pkt := packet(udpFields(1), 10)
	if whole, ok := r.Add(t0, pkt); !ok || !bytes.Equal(whole, pkt) {
		t.Errorf("whole is %x, %v", whole, ok)
	}
}

package underlay

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"meshrouter/dataplane/esp"
)

func TestCut(t *testing.T) {
	t.Parallel()
	ike := append(make([]byte, markerLen), "isakmp"...)
	esp10 := []byte("0123456789")
	for _, tt := range []struct {
		name   string
		joined [][]byte
		size   int
		want   []Kind
	}{
		{"alone, size unknown", [][]byte{esp10}, 0, []Kind{ESP}},
		{"alone, of that size", [][]byte{esp10}, 10, []Kind{ESP}},
		{"shorter than the size", [][]byte{esp10}, 11, []Kind{ESP}},
		{"a size that no kernel reports", [][]byte{esp10}, -1, []Kind{ESP}},
		{"two", [][]byte{esp10, esp10}, 10, []Kind{ESP, ESP}},
		{"IKE between ESP", [][]byte{esp10, ike, esp10}, 10, []Kind{ESP, IKE, ESP}},
		{"a shorter IKE at the end", [][]byte{esp10, ike[:7]}, 10, []Kind{ESP, IKE}},
		{"a keepalive at the end", [][]byte{esp10, {keepalive}}, 10, []Kind{ESP, Keepalive}},
		{"keepalives", [][]byte{{keepalive}, {keepalive}}, 1, []Kind{Keepalive, Keepalive}},
		{"too short at the end", [][]byte{esp10, {1, 2}}, 10, []Kind{ESP, Malformed}},
		{"empty", [][]byte{nil}, 10, []Kind{Malformed}},
	} {
		remote := netip.MustParseAddrPort("192.0.2.1:4500")
		ps := cut(nil, Packet{Remote: remote, Arrived: 5}, slices.Concat(tt.joined...), tt.size, true)
		var kinds []Kind
		for i, p := range ps {
			kinds = append(kinds, p.Kind)
			want := tt.joined[min(i, len(tt.joined)-1)]
			if p.Kind == IKE {
				want = want[markerLen:]
			}
			if p.Remote != remote || p.Arrived != 5 || !bytes.Equal(p.Payload, want) || cap(p.Payload) != len(p.Payload) {
				t.Errorf("%s: packet %d is %+v, want payload % x", tt.name, i, p, want)
			}
		}
		if !slices.Equal(kinds, tt.want) {
			t.Errorf("%s: kinds %v, want %v", tt.name, kinds, tt.want)
		}
	}
}

// Nothing is lost, invented or handed out twice, whatever the kernel reports.
func FuzzCut(f *testing.F) {
	f.Add([]byte("0123456789\xff"), 10, true)
	f.Add(make([]byte, 70), 1, true)
	f.Add([]byte{}, 0, false)
	f.Fuzz(func(t *testing.T, joined []byte, size int, nat bool) {
		ps := cut(nil, Packet{}, joined, size, nat)
		if len(ps) == 0 || len(ps) > max(1, len(joined)) {
			t.Fatalf("%d packets of %d bytes", len(ps), len(joined))
		}
		var all []byte
		for i, p := range ps {
			if p.Kind == IKE && nat {
				all = append(all, make([]byte, markerLen)...)
			}
			all = append(all, p.Payload...)
			if len(ps) > 1 && len(p.Payload) > size {
				t.Errorf("packet %d has %d bytes, cut to %d", i, len(p.Payload), size)
			}
		}
		if !bytes.Equal(all, joined) {
			t.Errorf("cut % x to % x", joined, all)
		}
	})
}

func TestRunOf(t *testing.T) {
	t.Parallel()
	src, dst := netip.AddrPortFrom(london, NATPort), netip.AddrPortFrom(tokyo, NATPort)
	other := netip.MustParseAddrPort("192.0.2.3:4500")
	moved := netip.AddrPortFrom(tokyo, 61000)
	at := func(to netip.AddrPort, tos uint8, size int) esp.Sealed {
		return sealedTOS(t, src, to, string(make([]byte, size)), tos)[0]
	}
	many := func(n, size int) (ps []esp.Sealed) {
		p := at(dst, 0, size)
		return slices.Repeat([]esp.Sealed{p}, n)
	}
	for _, tt := range []struct {
		name string
		ps   []esp.Sealed
		want int
	}{
		{"alone", many(1, 100), 1},
		{"equal, SAs of one peer", []esp.Sealed{at(dst, 0, 100), at(dst, 0, 100)}, 2},
		{"a shorter one ends it", []esp.Sealed{at(dst, 0, 100), at(dst, 0, 100), at(dst, 0, 60), at(dst, 0, 60)}, 3},
		{"a longer one begins another", []esp.Sealed{at(dst, 0, 100), at(dst, 0, 104)}, 1},
		{"another peer", []esp.Sealed{at(dst, 0, 100), at(other, 0, 100)}, 1},
		{"another port", []esp.Sealed{at(dst, 0, 100), at(moved, 0, 100)}, 1},
		{"another TOS", []esp.Sealed{at(dst, 0, 100), at(dst, 0xb8, 100)}, 1},
		{"the kernel's limit of segments", many(100, 40), maxSegments},
		{"a frame's limit of bytes", many(64, 1400), maxRun / len(at(dst, 0, 1400).Bytes())},
	} {
		if got := runOf(tt.ps); got != tt.want {
			t.Errorf("%s: run of %d, want %d", tt.name, got, tt.want)
		}
	}
}

// Whatever the packets, runs take each once, in order, and hold to the limits.
func TestRunsOfRandomPackets(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	src := netip.AddrPortFrom(london, NATPort)
	peers := []netip.AddrPort{netip.AddrPortFrom(tokyo, NATPort), netip.AddrPortFrom(tokyo, 61000)}
	var kinds []esp.Sealed
	for _, to := range peers {
		for _, tos := range []uint8{0, 0xb8} {
			for _, size := range []int{40, 100, 104, 1400} {
				kinds = append(kinds, sealedTOS(t, src, to, string(make([]byte, size)), tos)...)
			}
		}
	}
	for range 200 {
		var ps []esp.Sealed
		for len(ps) < 300 {
			kind := kinds[random.IntN(len(kinds))]
			ps = append(ps, slices.Repeat([]esp.Sealed{kind}, 1+random.IntN(80))...)
		}
		for len(ps) > 0 {
			n := runOf(ps)
			if n < 1 || n > maxSegments || n > len(ps) {
				t.Fatalf("run of %d", n)
			}
			total := 0
			for i, p := range ps[:n] {
				total += len(p.Bytes())
				equal := len(p.Bytes()) == len(ps[0].Bytes()) || i == n-1 && len(p.Bytes()) < len(ps[0].Bytes())
				if !equal || p.TOS() != ps[0].TOS() || p.SA().Dst() != ps[0].SA().Dst() {
					t.Fatalf("packet %d of a run of %d does not belong to it", i, n)
				}
			}
			if total > maxRun {
				t.Fatalf("run of %d bytes", total)
			}
			ps = ps[n:]
		}
	}
}

func TestFollows(t *testing.T) {
	t.Parallel()
	b := make([]byte, 10)
	if !follows(b[:4], b[4:]) || follows(b[:4], b[5:]) || follows(b[4:], b[:4]) {
		t.Error("want b[4:] behind b[:4], and nothing else")
	}
}

func TestSwitches(t *testing.T) {
	t.Parallel()
	for s := Auto; s <= Off; s++ {
		if got, err := ParseSwitch(s.String()); got != s || err != nil {
			t.Errorf("ParseSwitch(%v) = %v, %v", s, got, err)
		}
	}
	if _, err := ParseSwitch("maybe"); err == nil {
		t.Error("ParseSwitch takes maybe")
	}
}

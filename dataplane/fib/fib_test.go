package fib_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"meshrouter/dataplane/fib"

	"github.com/google/go-cmp/cmp"
)

var comparePrefixes = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func tunnel(ids ...fib.TunnelID) []fib.NextHop {
	var hops []fib.NextHop
	for _, id := range ids {
		hops = append(hops, fib.NextHop{Tunnel: id})
	}
	return hops
}

func route(prefix string, ids ...fib.TunnelID) fib.Route {
	return fib.Route{Prefix: netip.MustParsePrefix(prefix), NextHops: tunnel(ids...)}
}

// linear is the slow twin: every route is looked at.
type linear map[netip.Prefix]fib.Route

func (l linear) lookup(dst netip.Addr) (best fib.Route, ok bool) {
	for _, r := range l {
		if r.Prefix.Contains(dst) && (!ok || r.Prefix.Bits() > best.Prefix.Bits()) {
			best, ok = r, true
		}
	}
	return best, ok
}

// randomPrefix draws from a small space, so that prefixes nest and repeat.
func randomPrefix(r *rand.Rand) netip.Prefix {
	a := netip.AddrFrom4([4]byte{10, byte(r.IntN(4)), byte(r.IntN(256)), byte(r.IntN(256))})
	return netip.PrefixFrom(a, r.IntN(33)).Masked()
}

func TestLookupAgainstLinearSearch(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	table, oracle := fib.New(nil), linear{}
	for round := range 60 {
		var changed []fib.Route
		var removed []netip.Prefix
		for range r.IntN(200) { // on both sides of the bulk limit
			p := randomPrefix(r)
			if r.IntN(3) == 0 {
				removed = append(removed, p)
				delete(oracle, p)
			}
		}
		for range r.IntN(120) {
			c := fib.Route{Prefix: randomPrefix(r), NextHops: tunnel(fib.TunnelID(r.IntN(1000)))}
			changed = append(changed, c)
			oracle[c.Prefix] = c
		}
		before := table.Routes()
		next := table.With(changed, removed)
		if d := cmp.Diff(before, table.Routes(), comparePrefixes); d != "" {
			t.Fatalf("round %d: With changed the old table:\n%s", round, d)
		}
		table = next
		if table.Len() != len(oracle) {
			t.Fatalf("round %d: Len is %d, want %d", round, table.Len(), len(oracle))
		}
		for range 500 {
			dst := netip.AddrFrom4([4]byte{byte(9 + r.IntN(3)), byte(r.IntN(5)), byte(r.IntN(256)), byte(r.IntN(256))})
			got, ok := table.Lookup(dst, r.Uint32())
			want, wantOK := oracle.lookup(dst)
			if ok != wantOK || (ok && got != want.NextHops[0]) {
				t.Fatalf("round %d: Lookup(%v) = %v, %v, want %v, %v", round, dst, got, ok, want, wantOK)
			}
		}
	}
	if table.Len() < 1000 {
		t.Errorf("only %d routes at the end: the test has become too easy", table.Len())
	}
}

func TestRoutesAreSortedAndIndependent(t *testing.T) {
	t.Parallel()
	table := fib.New([]fib.Route{route("10.2.0.0/16", 2), route("10.1.0.0/24", 3, 1, 3), route("10.1.0.0/16", 1), route("0.0.0.0/0", 9)})
	want := []fib.Route{route("0.0.0.0/0", 9), route("10.1.0.0/16", 1), route("10.1.0.0/24", 1, 3), route("10.2.0.0/16", 2)}
	got := table.Routes()
	if d := cmp.Diff(want, got, comparePrefixes); d != "" {
		t.Fatalf("Routes (-want +got):\n%s", d)
	}
	got[0].NextHops[0].Tunnel = 77
	if hop, _ := table.Lookup(netip.MustParseAddr("192.0.2.1"), 0); hop.Tunnel != 9 {
		t.Errorf("changing what Routes returned changed the table: default goes to %v", hop)
	}
}

func TestWhatTheTableRefuses(t *testing.T) {
	t.Parallel()
	table := fib.New([]fib.Route{
		{Prefix: netip.MustParsePrefix("2001:db8::/32"), NextHops: tunnel(1)},
		{Prefix: netip.Prefix{}, NextHops: tunnel(1)},
		{Prefix: netip.MustParsePrefix("10.0.0.0/8")},
		route("10.1.2.3/16", 4), // masked
	})
	if table.Len() != 1 {
		t.Fatalf("Len is %d, want 1: %v", table.Len(), table.Routes())
	}
	for dst, want := range map[string]bool{"10.1.9.9": true, "10.2.0.1": false, "::ffff:10.1.9.9": false, "2001:db8::1": false} {
		if _, ok := table.Lookup(netip.MustParseAddr(dst), 0); ok != want {
			t.Errorf("Lookup(%s) found: %v, want %v", dst, ok, want)
		}
	}
	if _, ok := table.Lookup(netip.Addr{}, 0); ok {
		t.Error("Lookup of the zero address found a route")
	}
	if got := table.With([]fib.Route{{Prefix: netip.MustParsePrefix("10.1.0.0/16")}}, nil).Len(); got != 0 {
		t.Errorf("a changed route without next hops left %d routes, want 0", got)
	}
	var none *fib.Table
	if _, ok := none.Lookup(netip.MustParseAddr("10.1.9.9"), 0); ok || none.Len() != 0 || len(none.Routes()) != 0 {
		t.Error("the nil table is not empty")
	}
}

// A failed next hop moves its own flows and no others, and spreads them evenly.
func TestEqualCostFlowsMoveOnlyWhenTheirHopLeaves(t *testing.T) {
	t.Parallel()
	const flows = 30000
	three := fib.New([]fib.Route{route("10.0.0.0/8", 5, 6, 7)})
	two := three.With([]fib.Route{route("10.0.0.0/8", 5, 7)}, nil)
	dst := netip.MustParseAddr("10.1.1.1")
	before, after := map[fib.TunnelID]int{}, map[fib.TunnelID]int{}
	for f := range uint32(flows) {
		a, _ := three.Lookup(dst, f)
		b, _ := two.Lookup(dst, f)
		before[a.Tunnel]++
		after[b.Tunnel]++
		if a.Tunnel != 6 && a != b {
			t.Fatalf("flow %d moved from %v to %v, though only tun6 left", f, a, b)
		}
	}
	for id, n := range before {
		if n < flows/3*95/100 || n > flows/3*105/100 {
			t.Errorf("of three hops tun%d has %d of %d flows", id, n, flows)
		}
	}
	for id, n := range after {
		if n < flows/2*95/100 || n > flows/2*105/100 {
			t.Errorf("of two hops tun%d has %d of %d flows", id, n, flows)
		}
	}
	if len(before) != 3 || len(after) != 2 {
		t.Errorf("hops used: %v and %v, want three and two", before, after)
	}
}

func TestGet(t *testing.T) {
	t.Parallel()
	table := fib.New([]fib.Route{route("10.1.0.0/16", 1)})
	if r, ok := table.Get(netip.MustParsePrefix("10.1.0.0/16")); !ok || !slices.Equal(r.NextHops, tunnel(1)) {
		t.Errorf("Get(10.1.0.0/16) = %v, %v", r, ok)
	}
	if r, ok := table.Get(netip.MustParsePrefix("10.1.0.0/24")); ok {
		t.Errorf("Get(10.1.0.0/24) = %v, want none", r)
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	table := fib.New([]fib.Route{route("10.0.0.0/8", 1, 2, 3), {Prefix: netip.MustParsePrefix("10.1.0.0/24"), NextHops: []fib.NextHop{{Local: true}}}})
	a, b := netip.MustParseAddr("10.9.9.9"), netip.MustParseAddr("10.1.0.1")
	if n := testing.AllocsPerRun(100, func() {
		table.Lookup(a, 12345)
		table.Lookup(b, 12345)
	}); n != 0 {
		t.Errorf("Lookup allocates %v times, want 0", n)
	}
}

func randomTable(n int) *fib.Table {
	r := rand.New(rand.NewPCG(3, 4))
	routes := make([]fib.Route, n)
	for i := range routes {
		a := netip.AddrFrom4([4]byte{byte(10 + i>>16), byte(i >> 8), byte(i), 0})
		routes[i] = fib.Route{Prefix: netip.PrefixFrom(a, 24), NextHops: tunnel(fib.TunnelID(r.IntN(1000)))}
	}
	return fib.New(routes)
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{10, 1000, 100000} {
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			table := randomTable(n)
			dsts := make([]netip.Addr, 1024)
			for i := range dsts {
				k := i * 7919 % n
				dsts[i] = netip.AddrFrom4([4]byte{byte(10 + k>>16), byte(k >> 8), byte(k), 9})
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, ok := table.Lookup(dsts[i&1023], uint32(i)); !ok {
					b.Fatal("no route")
				}
				i++
			}
		})
	}
}

func BenchmarkWith(b *testing.B) {
	for _, size := range [][2]int{{100, 1}, {10000, 1}, {100000, 1}, {10000, 1000}} {
		b.Run(fmt.Sprintf("routes=%d/changes=%d", size[0], size[1]), func(b *testing.B) {
			table := randomTable(size[0])
			changed := table.Routes()[:size[1]]
			b.ReportAllocs()
			for b.Loop() {
				table.With(changed, nil)
			}
		})
	}
}

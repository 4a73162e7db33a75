package fib

import (
	"cmp"
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
)

// TunnelID numbers the tunnels of one router, densely from 0.
type TunnelID uint32

// A NextHop says where a packet goes: into a tunnel, or to the host (Local).
type NextHop struct {
	Local  bool
	Tunnel TunnelID
}

func (n NextHop) String() string {
	if n.Local {
		return "local"
	}
	return fmt.Sprintf("tun%d", n.Tunnel)
}

// A Route is one prefix with its equal-cost next hops; at least one.
type Route struct {
	Prefix   netip.Prefix
	NextHops []NextHop
}

// A Table is an immutable set of routes. The zero value and nil are empty tables.
type Table struct {
	trie *bart.Table[[]NextHop] // nil: empty
}

// bulk is the number of changes above which copying the whole trie once is cheaper than copying a
// path of it for each change.
const bulk = 64

// New makes a table of routes; of several for one prefix the last counts. Prefixes are masked. Routes
// that are not IPv4 or have no next hop are left out.
func New(routes []Route) *Table { return new(Table).With(routes, nil) }

// With returns a table without the removed prefixes and with the changed routes, which replace those
// of the same prefix; t stays as it is. A changed route without next hops removes its prefix.
func (t *Table) With(changed []Route, removed []netip.Prefix) *Table {
	trie := new(bart.Table[[]NextHop])
	if t != nil && t.trie != nil {
		trie = t.trie
	}
	insert, remove := (*bart.Table[[]NextHop]).InsertPersist, (*bart.Table[[]NextHop]).DeletePersist
	if len(changed)+len(removed) > bulk {
		trie = trie.Clone() // ours alone until we return it
		insert, remove = insertInPlace, deleteInPlace
	}
	for _, p := range removed {
		if p, ok := ipv4Prefix(p); ok {
			trie = remove(trie, p)
		}
	}
	for _, r := range changed {
		p, ok := ipv4Prefix(r.Prefix)
		switch {
		case !ok:
		case len(r.NextHops) == 0:
			trie = remove(trie, p)
		default:
			trie = insert(trie, p, sortedHops(r.NextHops))
		}
	}
	return &Table{trie}
}

func insertInPlace(t *bart.Table[[]NextHop], p netip.Prefix, hops []NextHop) *bart.Table[[]NextHop] {
	t.Insert(p, hops)
	return t
}

func deleteInPlace(t *bart.Table[[]NextHop], p netip.Prefix) *bart.Table[[]NextHop] {
	t.Delete(p)
	return t
}

func ipv4Prefix(p netip.Prefix) (netip.Prefix, bool) {
	return p.Masked(), p.IsValid() && p.Addr().Is4()
}

// sortedHops is a copy without repetitions, in an order that does not depend on how OSPF found them.
func sortedHops(hops []NextHop) []NextHop {
	s := slices.Clone(hops)
	slices.SortFunc(s, func(a, b NextHop) int {
		if a.Local != b.Local {
			if a.Local {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Tunnel, b.Tunnel)
	})
	return slices.Compact(s)
}

// NextHops are the equal-cost next hops to dst, nil if there are none. It does not allocate; the caller
// must not change them.
func (t *Table) NextHops(dst netip.Addr) []NextHop {
	if t == nil || t.trie == nil || !dst.Is4() {
		return nil
	}
	hops, _ := t.trie.Lookup(dst)
	return hops
}

// Choose returns one of equal-cost next hops, at least one. Packets of one flow, with equal hashes, keep
// their next hop as long as it is there.
func Choose(hops []NextHop, flowHash uint32) NextHop {
	if len(hops) == 1 {
		return hops[0]
	}
	best, bestWeight := hops[0], weight(hops[0], flowHash)
	for _, h := range hops[1:] {
		if w := weight(h, flowHash); w > bestWeight {
			best, bestWeight = h, w
		}
	}
	return best
}

// Lookup returns the next hop of a packet to dst; flowHash chooses among equal ones.
func (t *Table) Lookup(dst netip.Addr, flowHash uint32) (NextHop, bool) {
	hops := t.NextHops(dst)
	if hops == nil {
		return NextHop{}, false
	}
	return Choose(hops, flowHash), true
}

// weight ranks a next hop for a flow (rendezvous hashing, Thaler and Ravishankar 1998). The mixing
// is the finalizer of splitmix64.
func weight(h NextHop, flowHash uint32) uint64 {
	x := uint64(h.Tunnel)<<32 | uint64(flowHash)
	if h.Local {
		x = ^x
	}
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Get returns the route of exactly that prefix.
func (t *Table) Get(p netip.Prefix) (Route, bool) {
	p, ok := ipv4Prefix(p)
	if !ok || t == nil || t.trie == nil {
		return Route{}, false
	}
	hops, ok := t.trie.Get(p)
	return Route{p, slices.Clone(hops)}, ok
}

// Len is the number of routes.
func (t *Table) Len() int {
	if t == nil || t.trie == nil {
		return 0
	}
	return t.trie.Size4()
}

// All yields the routes by prefix: address, then length. The caller must not change the next hops.
func (t *Table) All() iter.Seq[Route] {
	return func(yield func(Route) bool) {
		if t == nil || t.trie == nil {
			return
		}
		for p, hops := range t.trie.AllSorted4() {
			if !yield(Route{p, hops}) {
				return
			}
		}
	}
}

// Routes returns a copy of the routes by prefix: address, then length.
func (t *Table) Routes() []Route {
	routes := make([]Route, 0, t.Len())
	for r := range t.All() {
		routes = append(routes, Route{r.Prefix, slices.Clone(r.NextHops)})
	}
	return routes
}

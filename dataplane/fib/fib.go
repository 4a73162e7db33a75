package fib

import (
	"cmp"
	"fmt"
	"iter"
	"net/netip"
	"slices"
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
	root *node // nil: empty
	size int
}

// New makes a table of routes; of several for one prefix the last counts. Prefixes are masked. Routes
// that are not IPv4 or have no next hop are left out.
func New(routes []Route) *Table { return new(Table).With(routes, nil) }

// With returns a table without the removed prefixes and with the changed routes, which replace those
// of the same prefix; t stays as it is. A changed route without next hops removes its prefix.
func (t *Table) With(changed []Route, removed []netip.Prefix) *Table {
	e := &edit{singles: make(map[NextHop]*set)}
	next := new(Table)
	if t != nil {
		*next = *t
	}
	for _, p := range removed {
		if p, ok := ipv4Prefix(p); ok {
			next.put(e, p, nil)
		}
	}
	for _, r := range changed {
		if p, ok := ipv4Prefix(r.Prefix); ok {
			next.put(e, p, e.setOf(r.NextHops))
		}
	}
	if next.root != nil && e.finish(next.root) {
		next.root = nil
	}
	e.singles = nil // the nodes keep the edit as long as they live
	return next
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
	if t == nil || t.root == nil || !dst.Is4() {
		return nil
	}
	var best *set
	n := t.root
	for _, b := range dst.As4() {
		if s := n.route(b); s != nil {
			best = s
		}
		if n = n.child(b); n == nil {
			break
		}
	}
	if best == nil {
		return nil
	}
	return best.hops
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
	if !ok || t == nil {
		return Route{}, false
	}
	n, a := t.root, p.Addr().As4()
	for _, b := range a[:levelOf(p)] {
		if n == nil {
			break
		}
		n = n.child(b)
	}
	if n == nil {
		return Route{p, nil}, false
	}
	at, found := n.find(localOf(p))
	if !found {
		return Route{p, nil}, false
	}
	return Route{p, slices.Clone(n.prefixes[at].set.hops)}, true
}

// Len is the number of routes.
func (t *Table) Len() int {
	if t == nil {
		return 0
	}
	return t.size
}

// All yields the routes by prefix: address, then length. The caller must not change the next hops.
func (t *Table) All() iter.Seq[Route] {
	return func(yield func(Route) bool) {
		if t != nil && t.root != nil {
			t.root.all([4]byte{}, 0, yield)
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

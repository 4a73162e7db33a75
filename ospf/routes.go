package ospf

import (
	"cmp"
	"maps"
	"math/bits"
	"net/netip"
	"slices"
	"time"
)

// epoch is when the LSAs of a Calculation of its own were installed: they do not age.
var epoch = time.Time{} //nolint:gochecknoglobals // a constant

// A routeTable is the routing table under construction.
type routeTable struct {
	at     map[uint64]int // prefix key to the index in routes
	routes []Route
}

func newRouteTable(n int) routeTable {
	return routeTable{make(map[uint64]int, n), make([]Route, 0, n)}
}

// prefixKey orders prefixes by address, then length.
func prefixKey(p netip.Prefix) uint64 { return uint64(number(p.Addr()))<<8 | uint64(p.Bits()) } //nolint:gosec // at most 32

func (t *routeTable) get(p netip.Prefix) *Route {
	if i, ok := t.at[prefixKey(p)]; ok {
		return &t.routes[i]
	}
	return nil
}

// better orders two paths to the same destination (RFC 2328, 11 and 16.4 (6)): negative when a is preferred.
func better(a, b *Route) int {
	return cmp.Or(cmp.Compare(a.PathType, b.PathType), cmp.Compare(a.Type2Cost, b.Type2Cost), cmp.Compare(a.Cost, b.Cost))
}

// add enters r unless a better path is there; equal ones share their next hops.
func (t *routeTable) add(r Route) {
	old := t.get(r.Prefix)
	if old == nil {
		t.at[prefixKey(r.Prefix)] = len(t.routes)
		t.routes = append(t.routes, r)
		return
	}
	switch order := better(&r, old); {
	case order < 0, order == 0 && r.Local && !old.Local: // our own network goes before an equal path to it
		*old = r
	case order > 0, r.Local != old.Local:
	default:
		old.NextHops = mergeHops(old.NextHops, r.NextHops)
		old.AdvRouters = mergeRouters(old.AdvRouters, r.AdvRouters)
	}
}

func mergeRouters(a, b []RouterID) []RouterID {
	all := append(slices.Clone(a), b...)
	slices.Sort(all)
	return slices.Compact(all)
}

func (t *routeTable) sorted() []Route {
	routes := make([]Route, 0, len(t.routes))
	for _, key := range slices.Sorted(maps.Keys(t.at)) {
		routes = append(routes, t.routes[t.at[key]])
	}
	return routes
}

func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// prefix joins a network and its mask; false when the mask has holes.
func prefix(network, m uint32) (netip.Prefix, bool) {
	n := bits.LeadingZeros32(^m)
	if m != mask(n) {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(addr(network&m), n), true
}

// ours says whether p is an address of the root's: a neighbor's host route to it (12.4.1.1, option 1) would
// lead our own packets back out.
func (c *Calculation) ours(p netip.Prefix) bool {
	_, own := c.own[p.Addr()]
	return own && p.Bits() == 32
}

// addRemote enters a path that leads through the tree.
func (c *Calculation) addRemote(r Route) {
	if len(r.NextHops) > 0 && !c.ours(r.Prefix) {
		c.table.add(r)
	}
}

// intraArea enters our own networks, the transit networks and the stub networks of all routers in
// the tree (16.1, second stage).
func (c *Calculation) intraArea() {
	for _, n := range c.Networks {
		c.table.add(Route{
			Prefix: n.Prefix, PathType: IntraArea, Cost: n.Cost, Local: true,
			NextHops: []NextHop{{Interface: n.Interface}}, AdvRouters: []RouterID{c.Root},
		})
	}
	for _, e := range c.order {
		v := &e.vertex
		from := []RouterID{e.key.AdvRouter}
		if e.body.network != nil {
			if p, ok := prefix(uint32(e.key.ID), e.body.network.Mask); ok {
				local := !slices.ContainsFunc(v.hops, func(h NextHop) bool { return h.Addr.IsValid() })
				c.table.add(Route{Prefix: p, PathType: IntraArea, Cost: v.dist, NextHops: v.hops, AdvRouters: from, Local: local})
			}
			continue
		}
		for _, k := range e.body.router.Links {
			if k.Type != StubLink {
				continue
			}
			if p, ok := prefix(k.ID, k.Data); ok {
				c.addRemote(Route{Prefix: p, PathType: IntraArea, Cost: v.dist.plus(Metric(k.Metric)), NextHops: v.hops, AdvRouters: from})
			}
		}
	}
}

// summaries walks over the valid summary-LSAs of a type whose area border router is in the tree (16.2).
func (c *Calculation) summaries(t LSType, each func(e *lsaEntry, abr *vertex, cost Metric)) {
	for _, e := range c.db.all {
		if e.key.Type != t || e.expired() || e.key.AdvRouter == c.Root || e.body.summary.Metric >= lsInfinity {
			continue
		}
		if abr := c.reached(e.key.AdvRouter, FlagB); abr != nil {
			each(e, abr, abr.dist.plus(e.body.summary.Metric))
		}
	}
}

// reached finds a router of the tree that has one of the flags set.
func (c *Calculation) reached(id RouterID, flag RouterFlags) *vertex {
	e := c.router(id)
	if e == nil || !e.vertex.in(c.run) || !e.vertex.done || e.body.router.Flags&flag == 0 {
		return nil
	}
	return &e.vertex
}

// interArea enters the networks that area border routers announce (16.2).
func (c *Calculation) interArea() {
	c.summaries(SummaryLSAType, func(e *lsaEntry, abr *vertex, cost Metric) {
		if p, ok := prefix(uint32(e.key.ID), e.body.summary.Mask); ok {
			c.addRemote(Route{Prefix: p, PathType: InterArea, Cost: cost, NextHops: abr.hops, AdvRouters: []RouterID{e.key.AdvRouter}})
		}
	})
}

// A path leads to an AS boundary router.
type path struct {
	kind PathType
	cost Metric
	hops []NextHop
}

// boundaryRouters finds the AS boundary routers of other areas, by their type 4 summaries.
func (c *Calculation) boundaryRouters() map[RouterID]path {
	far := make(map[RouterID]path)
	c.summaries(ASBRSummaryLSAType, func(e *lsaEntry, abr *vertex, cost Metric) {
		id := RouterID(e.key.ID)
		old, known := far[id]
		switch {
		case !known || cost < old.cost:
			far[id] = path{InterArea, cost, abr.hops}
		case cost == old.cost:
			far[id] = path{InterArea, cost, mergeHops(old.hops, abr.hops)}
		}
	})
	return far
}

// external enters the AS-external routes (16.4).
func (c *Calculation) external() {
	far := c.boundaryRouters()
	for _, e := range c.db.all {
		l := e.body.external
		if e.key.Type != ExternalLSAType || e.expired() || l.Metric >= lsInfinity || e.key.AdvRouter == c.Root {
			continue // (1), (2)
		}
		p, ok := prefix(uint32(e.key.ID), l.Mask)
		if !ok {
			continue
		}
		via, ok := far[e.key.AdvRouter]
		if v := c.reached(e.key.AdvRouter, FlagE); v != nil {
			via, ok = path{IntraArea, v.dist, v.hops}, true
		}
		if !ok { // (3)
			continue
		}
		if l.Forwarding != 0 {
			if via, ok = c.forwardingPath(addr(l.Forwarding)); !ok {
				continue
			}
		}
		r := Route{Prefix: p, PathType: Type1External, Cost: via.cost.plus(l.Metric), NextHops: via.hops, AdvRouters: []RouterID{e.key.AdvRouter}}
		if l.Type2 { // (5)
			r.PathType, r.Cost, r.Type2Cost = Type2External, via.cost, l.Metric
		}
		c.addRemote(r)
	}
}

// forwardingPath looks up the route to a forwarding address; it must be one inside the AS.
func (c *Calculation) forwardingPath(a netip.Addr) (path, bool) {
	for n := 32; n >= 0; n-- {
		p, err := a.Prefix(n)
		if err != nil {
			return path{}, false
		}
		if r := c.table.get(p); r != nil && r.PathType <= InterArea {
			return path{r.PathType, r.Cost, towards(r.NextHops, a)}, true
		}
	}
	return path{}, false
}

// A scheduler paces the route calculation.
type scheduler struct {
	timer timer
	last  time.Time
	runs  int
	calc  *Calculation // the last one, for the reachability of routers
}

// scheduleSPF asks for a run: SPFDelay from now, but SPFHold after the last one.
func (s *step) scheduleSPF() {
	spf := &s.in.spf
	if spf.timer.running() {
		return
	}
	at := s.now.Add(s.in.cfg.SPFDelay)
	if hold := spf.last.Add(s.in.cfg.SPFHold); spf.runs > 0 && hold.After(at) {
		at = hold
	}
	spf.timer.set(s, at)
}

// calculateRoutes runs the calculation over the database as it is now.
func (s *step) calculateRoutes() {
	in := s.in
	c := in.spf.calc
	if c == nil {
		c = &Calculation{}
		in.spf.calc = c
	}
	c.Root, c.db = in.cfg.RouterID, &in.db
	c.Links, c.Networks, c.Addresses = c.Links[:0], c.Networks[:0], c.Addresses[:0]
	for _, f := range in.interfaces {
		if !f.linkUp {
			continue
		}
		c.Addresses = append(c.Addresses, f.cfg.Address.Addr())
		if stub, ok := f.stub(); ok {
			c.Networks = append(c.Networks, AttachedNetwork{f.cfg.Name, stub, f.cfg.Cost})
		}
		for _, n := range f.neighbors {
			if n.state == Full {
				c.Links = append(c.Links, AttachedLink{Interface: f.cfg.Name, Cost: f.cfg.Cost, Neighbor: n.id, Addr: n.addr})
			}
		}
	}
	in.spf.last, in.spf.runs = s.now, in.spf.runs+1
	s.setRoutes(c.Routes())
}

// reachable says whether the last calculation reached the router.
func (in *Instance) reachable(id RouterID) bool {
	c := in.spf.calc
	if id == in.cfg.RouterID {
		return true
	}
	if c == nil {
		return false
	}
	e := in.db.get(LSAKey{RouterLSAType, LinkStateID(id), id})
	return e != nil && e.vertex.in(c.run) && e.vertex.done
}

// setRoutes replaces the table and tells the difference.
func (s *step) setRoutes(routes []Route) {
	var d RoutesChanged
	old := s.in.routes
	for _, r := range routes {
		for len(old) > 0 && comparePrefixes(old[0].Prefix, r.Prefix) < 0 {
			d.Removed = append(d.Removed, old[0].Prefix)
			old = old[1:]
		}
		if len(old) > 0 && old[0].Prefix == r.Prefix {
			same := old[0].equal(r)
			old = old[1:]
			if same {
				continue
			}
		}
		d.Changed = append(d.Changed, r)
	}
	for _, r := range old {
		d.Removed = append(d.Removed, r.Prefix)
	}
	s.in.routes = routes
	if len(d.Changed)+len(d.Removed) > 0 {
		s.out = append(s.out, d)
	}
}

func (r Route) equal(o Route) bool {
	return r.Prefix == o.Prefix && r.PathType == o.PathType && r.Cost == o.Cost && r.Type2Cost == o.Type2Cost && r.Local == o.Local &&
		slices.Equal(r.NextHops, o.NextHops) && slices.Equal(r.AdvRouters, o.AdvRouters)
}

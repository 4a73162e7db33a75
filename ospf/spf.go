package ospf

import (
	"cmp"
	"container/heap"
	"math"
	"net/netip"
	"slices"
)

// An AttachedLink is a link of the calculating router to the rest of the area: to a neighbor it is fully adjacent
// with, or to a transit network.
type AttachedLink struct {
	Interface string
	Cost      Metric
	Neighbor  RouterID   // of a point-to-point link
	Addr      netip.Addr // the neighbor's, or the designated router's with Transit
	Transit   bool       // Addr is the link state id of a network-LSA
}

// An AttachedNetwork is a network of the calculating router's own.
type AttachedNetwork struct {
	Interface string
	Prefix    netip.Prefix
	Cost      Metric
}

// A Calculation computes the routing table of one router from a database (RFC 2328, 16).
type Calculation struct {
	Root     RouterID
	Links    []AttachedLink
	Networks []AttachedNetwork
	// Addresses are the router's own: no route leads to them.
	Addresses []netip.Addr

	db         *lsdb
	run        uint64
	parallel   map[RouterID]int        // how many of Links lead to the neighbor
	own        map[netip.Addr]struct{} // Addresses
	candidates candidateHeap
	networks   map[LinkStateID][]*lsaEntry // network-LSAs
	order      []*lsaEntry                 // vertices in the order they joined the tree
	table      routeTable
}

// NewCalculation prepares to compute the routes of root over the LSAs, all of which are taken as valid now.
// LSAs that do not parse are left out.
func NewCalculation(root RouterID, lsas []LSA) *Calculation {
	c := &Calculation{Root: root, db: &lsdb{}}
	c.db.init()
	for _, l := range lsas {
		if body, err := parseBody(l.Header().Type, l.Body()); err == nil {
			c.db.put(epoch, l, body)
		}
	}
	return c
}

// A vertex is an LSA's place in the shortest-path tree. It is valid in the run it names.
type vertex struct {
	run   uint64
	dist  Metric
	hops  []NextHop // sorted; shared between vertices, never changed
	done  bool
	index int // in the heap
}

// in says whether v was reached in this run.
func (v *vertex) in(run uint64) bool { return v.run == run }

// Routes computes the routing table, sorted by prefix.
func (c *Calculation) Routes() []Route {
	c.prepare()
	c.grow()
	c.table = newRouteTable(len(c.table.routes))
	c.intraArea()
	c.interArea()
	c.external()
	return c.table.sorted()
}

// prepare begins a new run: no vertex belongs to it yet.
func (c *Calculation) prepare() {
	c.run++
	c.order = c.order[:0]
	c.parallel = make(map[RouterID]int, len(c.Links))
	for _, l := range c.Links {
		if !l.Transit {
			c.parallel[l.Neighbor]++
		}
	}
	c.own = make(map[netip.Addr]struct{}, len(c.Addresses))
	for _, a := range c.Addresses {
		c.own[a] = struct{}{}
	}
	c.networks = make(map[LinkStateID][]*lsaEntry)
	for _, e := range c.db.all {
		if e.key.Type == NetworkLSAType && !e.expired() {
			c.networks[e.key.ID] = append(c.networks[e.key.ID], e)
		}
	}
}

// router finds the router-LSA of id, if it takes part.
func (c *Calculation) router(id RouterID) *lsaEntry {
	e := c.db.routers[id]
	if e == nil || e.expired() {
		return nil
	}
	return e
}

// grow is Dijkstra's algorithm (RFC 2328, 16.1). The root's links are what the caller says, not what its
// LSA says.
func (c *Calculation) grow() {
	c.attach()
	for c.candidates.Len() > 0 {
		v, _ := heap.Pop(&c.candidates).(*lsaEntry)
		v.vertex.done = true
		c.order = append(c.order, v)
		switch {
		case v.body.router != nil:
			c.fromRouter(v)
		case v.body.network != nil:
			c.fromNetwork(v)
		}
	}
}

// attach puts the ends of the root's own links among the candidates.
func (c *Calculation) attach() {
	for _, l := range c.Links {
		if l.Transit {
			for _, w := range c.networks[LinkStateID(number(l.Addr))] {
				if slices.Contains(w.body.network.Attached, c.Root) {
					c.offer(w, l.Cost, []NextHop{{Interface: l.Interface}})
				}
			}
			continue
		}
		if w := c.router(l.Neighbor); w != nil && c.linkedBack(w, l) {
			c.offer(w, l.Cost, []NextHop{{l.Interface, l.Addr}})
		}
	}
}

// linkedBack says whether w has this very link to the root too: with several links between the two,
// the one whose data is the neighbor's address here. Unnumbered links have an interface index there, below
// 0.255.255.255, and cannot be told apart.
func (c *Calculation) linkedBack(w *lsaEntry, l AttachedLink) bool {
	for _, k := range w.body.router.Links {
		if k.Type != PointToPointLink || RouterID(k.ID) != c.Root {
			continue
		}
		if c.parallel[l.Neighbor] == 1 || k.Data == number(l.Addr) || k.Data < 1<<24 {
			return true
		}
	}
	return false
}

// fromRouter examines the links of a router that has joined the tree (16.1 (2)).
func (c *Calculation) fromRouter(v *lsaEntry) {
	for _, k := range v.body.router.Links {
		switch k.Type {
		case PointToPointLink:
			w, dist := c.router(RouterID(k.ID)), v.vertex.dist.plus(Metric(k.Metric))
			if w == nil || w.key.AdvRouter == c.Root || c.nearer(w, dist) || !w.linksTo(v) {
				continue
			}
			c.offer(w, dist, v.vertex.hops)
		case TransitLink:
			for _, w := range c.networks[LinkStateID(k.ID)] {
				if slices.Contains(w.body.network.Attached, v.key.AdvRouter) {
					c.offer(w, v.vertex.dist.plus(Metric(k.Metric)), v.vertex.hops)
				}
			}
		case StubLink, VirtualLink:
		}
	}
}

// nearer says whether w can be reached by a shorter way than dist already. It comes before any look at w's links, of which
// there may be thousands.
func (c *Calculation) nearer(w *lsaEntry, dist Metric) bool {
	return w.vertex.in(c.run) && (w.vertex.done || w.vertex.dist < dist)
}

// fromNetwork examines the routers on a network that has joined the tree.
func (c *Calculation) fromNetwork(v *lsaEntry) {
	for _, id := range v.body.network.Attached {
		w := c.router(id)
		if w == nil || id == c.Root {
			continue
		}
		data, ok := w.transitTo(v)
		if !ok {
			continue
		}
		c.offer(w, v.vertex.dist, towards(v.vertex.hops, addr(data)))
	}
}

// towards fills in the next hops' addresses where the network is our own: the router beyond is the
// next hop (16.1.1).
func towards(hops []NextHop, a netip.Addr) []NextHop {
	if !slices.ContainsFunc(hops, func(h NextHop) bool { return !h.Addr.IsValid() }) {
		return hops
	}
	hops = slices.Clone(hops)
	for i := range hops {
		if !hops[i].Addr.IsValid() {
			hops[i].Addr = a
		}
	}
	slices.SortFunc(hops, NextHop.Compare)
	return hops
}

// linksTo says whether router e has a point-to-point link to router v: links count when both ends have them.
func (e *lsaEntry) linksTo(v *lsaEntry) bool {
	return slices.ContainsFunc(e.body.router.Links, func(k RouterLink) bool {
		return k.Type == PointToPointLink && RouterID(k.ID) == v.key.AdvRouter
	})
}

// transitTo finds router e's link to network v and its address there.
func (e *lsaEntry) transitTo(v *lsaEntry) (data uint32, ok bool) {
	for _, k := range e.body.router.Links {
		if k.Type == TransitLink && LinkStateID(k.ID) == v.key.ID {
			return k.Data, true
		}
	}
	return 0, false
}

// plus adds without running over: a database full of large metrics is no short way round.
func (m Metric) plus(n Metric) Metric {
	if sum := m + n; sum >= m {
		return sum
	}
	return math.MaxUint32
}

// offer is step (2)(d): w can be reached at dist through hops.
func (c *Calculation) offer(w *lsaEntry, dist Metric, hops []NextHop) {
	v := &w.vertex
	switch {
	case !v.in(c.run):
		*v = vertex{run: c.run, dist: dist, hops: hops}
		heap.Push(&c.candidates, w)
	case v.done || dist > v.dist:
	case dist == v.dist:
		v.hops = mergeHops(v.hops, hops)
	default:
		v.dist, v.hops = dist, hops
		heap.Fix(&c.candidates, v.index)
	}
}

// mergeHops unites two sorted sets.
func mergeHops(a, b []NextHop) []NextHop {
	if len(b) == 0 || len(a) == len(b) && len(a) > 0 && &a[0] == &b[0] || slices.Equal(a, b) {
		return a
	}
	all := append(slices.Clone(a), b...)
	slices.SortFunc(all, NextHop.Compare)
	return slices.Compact(all)
}

// Compare orders next hops by interface and address.
func (h NextHop) Compare(o NextHop) int {
	return cmp.Or(cmp.Compare(h.Interface, o.Interface), h.Addr.Compare(o.Addr))
}

// A candidateHeap is a heap.Interface: the nearest first, networks before routers at equal distance (16.1 (3)),
// then by key.
type candidateHeap []*lsaEntry

func (h candidateHeap) Len() int { return len(h) }

func (h candidateHeap) Less(i, j int) bool {
	a, b := h[i], h[j]
	if a.vertex.dist != b.vertex.dist {
		return a.vertex.dist < b.vertex.dist
	}
	if a.key.Type != b.key.Type {
		return a.key.Type > b.key.Type
	}
	return a.key.Compare(b.key) < 0
}

func (h candidateHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].vertex.index, h[j].vertex.index = i, j
}

// Push is heap.Interface.
func (h *candidateHeap) Push(x any) {
	e, _ := x.(*lsaEntry)
	e.vertex.index = len(*h)
	*h = append(*h, e)
}

// Pop is heap.Interface.
func (h *candidateHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	*h = (*h)[:last]
	return e
}

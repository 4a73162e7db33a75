package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"time"

	"meshrouter/ospf"
)

// routersTable is the sizes of the generated areas.
var routersTable = []int{100, 1000, 4000, 16000}

// meanDegree is how many neighbors a generated router has on average.
const meanDegree = 4

// A graph is a generated area: routers numbered from 1, joined by point-to-point links with costs, and one
// stub network, a /32, at each router.
type graph struct {
	links [][]graphLink // by router number; 0 is unused
	count int
}

type graphLink struct {
	to   int
	cost uint16
}

// newGraph makes a connected random graph; the same n gives the same one.
func newGraph(n int) *graph {
	g := &graph{links: make([][]graphLink, n+1)}
	random := rand.New(rand.NewPCG(uint64(n), 2328)) //nolint:gosec // a graph, no secret
	join := func(a, b int) {
		cost := uint16(1 + random.IntN(100)) //nolint:gosec // at most 100
		g.links[a] = append(g.links[a], graphLink{b, cost})
		g.links[b] = append(g.links[b], graphLink{a, cost})
		g.count++
	}
	for i := 2; i <= n; i++ { // a tree first
		join(i, 1+random.IntN(i-1))
	}
	for g.count < min(n*meanDegree, n*(n-1))/2 { // at most one link a pair
		if a, b := 1+random.IntN(n), 1+random.IntN(n); a != b && !g.joined(a, b) {
			join(a, b)
		}
	}
	return g
}

func (g *graph) joined(a, b int) bool {
	for _, l := range g.links[a] {
		if l.to == b {
			return true
		}
	}
	return false
}

// address is router i's own: 10.128.0.0 and on.
func address(i int) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 10<<24|1<<23|uint32(i)))) //nolint:gosec // small
}

// number is the address as the wire has it.
func number(a netip.Addr) uint32 { return binary.BigEndian.Uint32(a.AsSlice()) }

// lsas are the router-LSAs of all routers (RFC 2328, A.4.2).
func (g *graph) lsas() (all []ospf.LSA, bytes int) {
	for i := 1; i < len(g.links); i++ {
		l := ospf.RouterLSA{Links: []ospf.RouterLink{{Type: ospf.StubLink, ID: number(address(i)), Data: 0xffffffff}}}
		for _, to := range g.links[i] {
			l.Links = append(l.Links, ospf.RouterLink{
				Type: ospf.PointToPointLink, ID: uint32(to.to), Data: number(address(i)), Metric: to.cost, //nolint:gosec // small
			})
		}
		id := uint32(i)
		lsa := ospf.NewLSA(ospf.LSAHeader{
			Age: 1, Sequence: ospf.InitialSequenceNumber,
			LSAKey: ospf.LSAKey{Type: ospf.RouterLSAType, ID: ospf.LinkStateID(id), AdvRouter: ospf.RouterID(id)},
		}, l.Append(nil))
		all, bytes = append(all, lsa), bytes+len(lsa)
	}
	return all, bytes
}

// calculation is router 1's, with adjacencies on all its links.
func (g *graph) calculation(lsas []ospf.LSA) *ospf.Calculation {
	c := ospf.NewCalculation(1, lsas)
	for k, l := range g.links[1] {
		c.Links = append(c.Links, ospf.AttachedLink{
			Interface: fmt.Sprintf("link%d", k), Cost: ospf.Metric(l.cost), Neighbor: ospf.RouterID(l.to), Addr: address(l.to), //nolint:gosec // small
		})
	}
	c.Addresses = []netip.Addr{address(1)}
	return c
}

// distances are the costs from router 1, found the slow and obvious way: relax links until nothing changes.
func (g *graph) distances() []uint32 {
	dist := make([]uint32, len(g.links))
	queue, queued := []int{1}, make([]bool, len(g.links))
	for len(queue) > 0 {
		a := queue[0]
		queue, queued[a] = queue[1:], false
		for _, l := range g.links[a] {
			d := dist[a] + uint32(l.cost)
			if l.to == 1 || dist[l.to] != 0 && dist[l.to] <= d {
				continue
			}
			if dist[l.to] = d; !queued[l.to] {
				queue, queued[l.to] = append(queue, l.to), true
			}
		}
	}
	return dist
}

// verify compares the routes with the distances: one to every other router, at its cost.
func (g *graph) verify(routes []ospf.Route) error {
	cost := make(map[netip.Prefix]ospf.Metric, len(routes))
	for _, r := range routes {
		cost[r.Prefix] = r.Cost
	}
	for i, d := range g.distances() {
		if i < 2 {
			continue
		}
		got, ok := cost[netip.PrefixFrom(address(i), 32)]
		if !ok || got != ospf.Metric(d) {
			return fmt.Errorf("%d routers: the route to router %d costs %d (%t), want %d", len(g.links)-1, i, got, ok, d)
		}
	}
	return nil
}

// spf measures the route calculation.
func (r *run) spf(ctx context.Context) error {
	rows := make([]SPFRow, 0, len(routersTable))
	var work []func()
	for _, n := range routersTable {
		g := newGraph(n)
		lsas, bytes := g.lsas()
		c := g.calculation(lsas)
		routes := c.Routes()
		if err := g.verify(routes); err != nil {
			return err
		}
		rows = append(rows, SPFRow{Routers: n, Links: g.count, LSABytes: bytes, Routes: len(routes)})
		work = append(work, func() { c.Routes() }, func() { g.calculation(lsas) })
	}
	plan := r.plan(pace{quick: 2 * time.Second, full: 30 * time.Second, quickSlice: 10 * time.Millisecond, fullSlice: 100 * time.Millisecond})
	values, err := plan.run(ctx, len(work), func(i int) (float64, error) {
		runtime.GC() // what one entry leaves is not the next one's to collect
		return 1000 / perSecond(plan.slice, work[i]), nil
	})
	if err != nil {
		return err
	}
	for i := range rows {
		rows[i].Full, rows[i].Load = newSample(values[2*i]), newSample(values[2*i+1])
		r.say("  %d routers: %.2f ms", rows[i].Routers, rows[i].Full.Median)
	}
	r.doc.SPF = rows
	return nil
}

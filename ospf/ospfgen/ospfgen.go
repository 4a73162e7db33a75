// Package ospfgen makes link-state databases of any size, for benchmarks of the route calculation.
//
//	n routers ─► random tree + links up to a mean degree of 4 ─► router-LSAs with stub networks
//
// The same n and seed make the same database. Used by `meshrouter bench spf` and by the benchmarks of
// package ospf.
package ospfgen

import (
	"encoding/binary"
	"net/netip"

	"meshrouter/ospf"
	"meshrouter/ospf/ospfsim"
)

// linksPerRouter is the mean number of links made for each router; each has two ends.
const linksPerRouter = 2

// New returns a calculation over n routers, 1 to 1<<20, seen from the first of them, with about two links
// and one stub network for each router. The subnets of the links are stub networks too, as on tunnels.
func New(n int, seed uint64) *ospf.Calculation {
	lsas, links := LSDB(n, seed)
	c := ospf.NewCalculation(1, lsas)
	c.Links = links
	c.Networks = []ospf.AttachedNetwork{{Interface: "lan", Prefix: netip.PrefixFrom(lan(0), 28), Cost: 1}}
	return c
}

// LSDB returns the router-LSAs of n routers with the router ids 1 to n, and the links of router 1.
func LSDB(n int, seed uint64) ([]ospf.LSA, []ospf.AttachedLink) {
	rnd := ospfsim.NewRandom(seed)
	bodies := make([]ospf.RouterLSA, n)
	var own []ospf.AttachedLink
	for i := range n * linksPerRouter {
		a, b := i+1, 0
		if i+1 < n { // the tree comes first
			b = int(rnd.Below(uint64(i + 1))) //nolint:gosec // below n
		} else {
			a, b = int(rnd.Below(uint64(n))), int(rnd.Below(uint64(n))) //nolint:gosec // below n
		}
		if a == b || a >= n {
			continue
		}
		cost := uint16(1 + rnd.Below(100)) //nolint:gosec // small
		subnet := 0x0a000000 + uint32(i)*4
		join(&bodies[a], b, subnet, subnet+1, cost)
		join(&bodies[b], a, subnet, subnet+2, cost)
		switch {
		case a == 0:
			own = append(own, attached(b, subnet+2, cost))
		case b == 0:
			own = append(own, attached(a, subnet+1, cost))
		}
	}
	lsas := make([]ospf.LSA, n)
	for i := range bodies {
		stub := ospf.RouterLink{ID: number(lan(i)), Data: 0xfffffff0, Type: ospf.StubLink, Metric: 1}
		bodies[i].Links = append(bodies[i].Links, stub)
		id := uint32(i + 1)
		h := ospf.LSAHeader{Age: 1, Options: ospf.OptionE, Sequence: 1,
			LSAKey: ospf.LSAKey{Type: ospf.RouterLSAType, ID: ospf.LinkStateID(id), AdvRouter: ospf.RouterID(id)}}
		lsas[i] = ospf.NewLSA(h, bodies[i].Append(nil))
	}
	return lsas, own
}

func join(l *ospf.RouterLSA, peer int, subnet, own uint32, cost uint16) {
	l.Links = append(l.Links,
		ospf.RouterLink{ID: uint32(peer + 1), Data: own, Type: ospf.PointToPointLink, Metric: cost}, //nolint:gosec // at most 1<<20
		ospf.RouterLink{ID: subnet, Data: 0xfffffffc, Type: ospf.StubLink, Metric: cost})
}

func attached(peer int, a uint32, cost uint16) ospf.AttachedLink {
	name := "t" + address(a).String()
	return ospf.AttachedLink{Interface: name, Cost: ospf.Metric(cost), Neighbor: ospf.RouterID(peer + 1), Addr: address(a)} //nolint:gosec // at most 1<<20
}

func address(v uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], v)
	return netip.AddrFrom4(b)
}

// lan is the i-th stub network, a /28.
func lan(i int) netip.Addr { return address(0xac000000 + uint32(i)*16) } //nolint:gosec // at most 1<<20

func number(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

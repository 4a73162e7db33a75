package ospf

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"meshrouter/internal/testvectors"
)

// An spfVector is a file of ../shared/vectors/spf.
type spfVector struct {
	Routers []spfRouter
}

type spfRouter struct {
	RouterID string `json:"router_id"`
	Router   string
	Areas    []spfArea
	Routes   []struct {
		Prefix, Type string
		Metric       Metric
		NextHops     []struct{ If, Via string }
	}
}

type spfArea struct {
	Interfaces []struct {
		Name      string
		Neighbors []struct {
			RouterID string `json:"router_id"`
			Address  string
		}
	}
	LSAs []spfLSA
}

type spfLSA struct {
	Type      LSType
	LSAID     string `json:"lsa_id"`
	AdvRouter string `json:"adv_router"`
	Bits      []string
	Links     []struct {
		Type, ID, Data string
		Metric         uint16
	}
	Mask     string
	Attached []string
	Metric   Metric
}

func quad(s string) uint32 {
	if s == "" {
		return 0
	}
	return number(netip.MustParseAddr(s))
}

// TestSPFVectors computes the recorded routers' routes from their databases: metrics, next hops, and for routers in one
// area the inter-area routes too.
func TestSPFVectors(t *testing.T) {
	t.Parallel()
	intra, all := 0, 0
	for _, file := range []string{"topo1-1.json", "topo2-1.json"} {
		var v spfVector
		if err := json.Unmarshal(testvectors.Read(t, testvectors.Path(t, "spf/"+file)), &v); err != nil {
			t.Fatal(err)
		}
		for _, r := range v.Routers {
			got := map[netip.Prefix]Route{}
			for i := range r.Areas {
				for _, route := range r.Areas[i].calculation(r.RouterID).Routes() {
					if old, ok := got[route.Prefix]; !ok || better(&route, &old) < 0 {
						got[route.Prefix] = route
					}
				}
			}
			for _, want := range r.Routes {
				if want.Type != "intra-area" && len(r.Areas) > 1 {
					continue
				}
				all++
				if want.Type == "intra-area" {
					intra++
				}
				g, ok := got[netip.MustParsePrefix(want.Prefix)]
				var hops, wantHops []string
				for _, h := range g.NextHops {
					if h.Addr.IsValid() {
						hops = append(hops, h.Interface+" "+h.Addr.String())
					}
				}
				for _, h := range want.NextHops {
					if h.Via == "" { // our own network
						continue
					}
					wantHops = append(wantHops, h.If+" "+h.Via)
				}
				slices.Sort(wantHops)
				kind := map[PathType]string{IntraArea: "intra-area", InterArea: "inter-area"}[g.PathType]
				if !ok || g.Cost != want.Metric || !slices.Equal(hops, wantHops) || kind != want.Type || g.Local != (len(wantHops) == 0) {
					t.Errorf("%s %s %s: %+v, want %+v", file, r.Router, want.Prefix, g, want)
				}
			}
		}
	}
	if intra != 118 || all <= intra {
		t.Errorf("%d intra-area routes of %d compared, want 118", intra, all)
	}
}

// calculation is the area as its router sees it: the root's links and networks come from its own router-LSA.
func (a *spfArea) calculation(id string) *Calculation {
	var lsas []LSA
	var own spfLSA
	for _, l := range a.LSAs {
		if l.Type == RouterLSAType && l.AdvRouter == id {
			own = l
		}
		if b := l.body(); b != nil {
			h := LSAHeader{LSAKey: LSAKey{l.Type, LinkStateID(quad(l.LSAID)), RouterID(quad(l.AdvRouter))}, Sequence: 1}
			lsas = append(lsas, NewLSA(h, b.Append(nil)))
		}
	}
	c := NewCalculation(RouterID(quad(id)), lsas)
	for _, k := range own.Links {
		name, peer := a.interfaceOf(k.ID, k.Data)
		switch k.Type {
		case "point-to-point":
			c.Links = append(c.Links, AttachedLink{Interface: name, Cost: Metric(k.Metric), Neighbor: RouterID(quad(k.ID)), Addr: peer})
		case "transit-network":
			c.Links = append(c.Links, AttachedLink{Interface: name, Cost: Metric(k.Metric), Addr: netip.MustParseAddr(k.ID), Transit: true})
		case "stub-network":
			p, _ := prefix(quad(k.ID), quad(k.Data))
			c.Networks = append(c.Networks, AttachedNetwork{Interface: "lo", Prefix: p, Cost: Metric(k.Metric)})
		}
	}
	return c
}

// interfaceOf finds the interface whose neighbors are in the /24 of the link's address.
func (a *spfArea) interfaceOf(id, data string) (string, netip.Addr) {
	own := netip.PrefixFrom(netip.MustParseAddr(data), 24).Masked()
	for _, f := range a.Interfaces {
		for _, n := range f.Neighbors {
			if p := netip.MustParseAddr(n.Address); own.Contains(p) && (n.RouterID == id || own.Contains(netip.MustParseAddr(id))) {
				return f.Name, p
			}
		}
	}
	return "", netip.Addr{}
}

func (l *spfLSA) body() body {
	switch l.Type {
	case RouterLSAType:
		var b RouterLSA
		for _, bit := range l.Bits {
			b.Flags |= map[string]RouterFlags{"abr-bit": FlagB, "asbr-bit": FlagE}[bit]
		}
		for _, k := range l.Links {
			typ := map[string]LinkType{"point-to-point": PointToPointLink, "transit-network": TransitLink, "stub-network": StubLink}[k.Type]
			b.Links = append(b.Links, RouterLink{quad(k.ID), quad(k.Data), typ, k.Metric})
		}
		return b
	case NetworkLSAType:
		b := NetworkLSA{Mask: quad(l.Mask)}
		for _, id := range l.Attached {
			b.Attached = append(b.Attached, RouterID(quad(id)))
		}
		return b
	case SummaryLSAType, ASBRSummaryLSAType:
		return SummaryLSA{quad(l.Mask), l.Metric}
	default:
	}
	return nil
}

// A small area around the root, for the rules of 16.4: root - 2 (ASBR, cost 10) and root - 3 (ASBR, cost 20).
func externalArea(lsas ...LSA) *Calculation {
	router := func(id RouterID, flags RouterFlags, links ...RouterLink) LSA {
		return NewLSA(LSAHeader{Age: 1, LSAKey: LSAKey{RouterLSAType, LinkStateID(id), id}, Sequence: 1}, RouterLSA{flags, links}.Append(nil))
	}
	lsas = append(lsas,
		router(2, FlagE, linkTo(1, "10.0.2.2", 10), RouterLink{quad("10.2.0.0"), quad("255.255.0.0"), StubLink, 1}),
		router(3, FlagE, linkTo(1, "10.0.3.3", 20)),
		router(4, 0, linkTo(1, "10.0.4.4", 1)),
		router(5, FlagE, linkTo(9, "10.0.5.5", 1)))
	c := NewCalculation(1, lsas)
	c.Links = []AttachedLink{
		{Interface: "t2", Cost: 10, Neighbor: 2, Addr: mustAddr("10.0.2.2")}, {Interface: "t3", Cost: 20, Neighbor: 3, Addr: mustAddr("10.0.3.3")},
		{Interface: "t4", Cost: 1, Neighbor: 4, Addr: mustAddr("10.0.4.4")},
	}
	c.Networks = []AttachedNetwork{{"lan", mustPrefix("10.1.0.0/16"), 1}}
	return c
}

// TestExternalRoutes is RFC 2328, 16.4, rule for rule.
func TestExternalRoutes(t *testing.T) {
	t.Parallel()
	const net = "203.0.113.0"
	ext := func(adv RouterID, age uint16, l ExternalLSA) LSA {
		l.Mask = 0xffffff00
		return external(adv, net, 1, age, l)
	}
	tests := []struct {
		name string
		lsas []LSA
		want string
	}{
		{"type 1: the sum", []LSA{ext(2, 1, ExternalLSA{Metric: 5})}, "3 15+0 [{t2 10.0.2.2}] [0.0.0.2]"},
		{"type 2: the metric alone", []LSA{ext(2, 1, ExternalLSA{Metric: 5, Type2: true})}, "4 10+5 [{t2 10.0.2.2}] [0.0.0.2]"},
		{"type 1 goes before type 2", []LSA{ext(2, 1, ExternalLSA{Metric: 1, Type2: true}), ext(3, 1, ExternalLSA{Metric: 500})}, "3 520+0 [{t3 10.0.3.3}] [0.0.0.3]"},
		{"the smaller type 2 metric wins over the way there", []LSA{ext(2, 1, ExternalLSA{Metric: 6, Type2: true}), ext(3, 1, ExternalLSA{Metric: 5, Type2: true})},
			"4 20+5 [{t3 10.0.3.3}] [0.0.0.3]"},
		{"equal type 2 metrics: the shorter way", []LSA{ext(2, 1, ExternalLSA{Metric: 5, Type2: true}), ext(3, 1, ExternalLSA{Metric: 5, Type2: true})},
			"4 10+5 [{t2 10.0.2.2}] [0.0.0.2]"},
		{"equal in all: both", []LSA{ext(2, 1, ExternalLSA{Metric: 15}), ext(3, 1, ExternalLSA{Metric: 5})},
			"3 25+0 [{t2 10.0.2.2} {t3 10.0.3.3}] [0.0.0.2 0.0.0.3]"},
		{"(1) LSInfinity", []LSA{ext(2, 1, ExternalLSA{Metric: lsInfinity})}, ""},
		{"(1) MaxAge", []LSA{ext(2, MaxAge, ExternalLSA{Metric: 5})}, ""},
		{"(2) our own", []LSA{ext(1, 1, ExternalLSA{Metric: 5})}, ""},
		{"(3) not reachable", []LSA{ext(5, 1, ExternalLSA{Metric: 5})}, ""},
		{"(3) no AS boundary router", []LSA{ext(4, 1, ExternalLSA{Metric: 5})}, ""},
		{"(3) forwarding address inside", []LSA{ext(3, 1, ExternalLSA{Metric: 5, Forwarding: quad("10.2.9.9")})}, "3 16+0 [{t2 10.0.2.2}] [0.0.0.3]"},
		{"(3) forwarding address on our own network", []LSA{ext(3, 1, ExternalLSA{Metric: 5, Forwarding: quad("10.1.0.7")})}, "3 6+0 [{lan 10.1.0.7}] [0.0.0.3]"},
		{"(3) forwarding address nowhere", []LSA{ext(3, 1, ExternalLSA{Metric: 5, Forwarding: quad("192.0.2.1")})}, ""},
	}
	for _, c := range tests {
		got := ""
		for _, r := range externalArea(c.lsas...).Routes() {
			if r.Prefix == mustPrefix(net+"/24") {
				got = fmt.Sprintf("%d %d+%d %v %v", r.PathType, r.Cost, r.Type2Cost, r.NextHops, r.AdvRouters)
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	// Inside goes before outside (11).
	inside := external(3, "10.2.0.0", 1, 1, ExternalLSA{Mask: 0xffff0000, Metric: 0})
	for _, r := range externalArea(inside).Routes() {
		if r.Prefix == mustPrefix("10.2.0.0/16") && r.PathType != IntraArea {
			t.Errorf("%v", r)
		}
	}
}

// TestMaskWithHoles: a stub network or an external network whose mask has holes is left out.
func TestMaskWithHoles(t *testing.T) {
	t.Parallel()
	for m, want := range map[uint32]int{0: 0, 0xffffffff: 32, 0xff000000: 8, 0x80000000: 1, 0xff00ff00: -1, 1: -1, 0x7fffffff: -1} {
		p, ok := prefix(0x0a0b0c0d, m)
		if ok != (want >= 0) || ok && p.Bits() != want {
			t.Errorf("%08x: %v %v", m, p, ok)
		}
	}
}

// TestOwnAddressIsNotRouted: OpenBSD's ospfd announces our tunnel address as a host route (12.4.1.1, option 1;
// openbsd-facts.md, 7); taken as a
// route it would send packets for us back to the neighbor.
func TestOwnAddressIsNotRouted(t *testing.T) {
	t.Parallel()
	p := newPuppet(t, peerID)
	p.full()
	host := RouterLink{quad("10.254.0.1"), 0xffffffff, StubLink, 10}
	other := RouterLink{quad("10.254.9.1"), 0xffffffff, StubLink, 10}
	p.flood(p.theirs(1, 1, linkTo(ownID, "10.254.0.2", 10), host, other))
	p.run(time.Second)
	var got []string
	for _, r := range p.in.Routes() {
		got = append(got, r.Prefix.String())
	}
	if want := "[10.1.0.0/16 10.254.0.0/30 10.254.9.1/32]"; fmt.Sprint(got) != want {
		t.Errorf("routes %v, want %v", got, want)
	}
}

// TestRoutesChangedIsADifference: what is told adds up to the table.
func TestRoutesChangedIsADifference(t *testing.T) {
	t.Parallel()
	s := &step{in: New()}
	told := map[netip.Prefix]Route{}
	r := func(p string, cost Metric) Route {
		return Route{Prefix: mustPrefix(p), PathType: IntraArea, Cost: cost}
	}
	for i, table := range [][]Route{
		{r("10.1.0.0/16", 1), r("10.2.0.0/16", 1)},
		{r("10.0.0.0/8", 1), r("10.1.0.0/16", 1), r("10.1.0.0/24", 3), r("10.3.0.0/16", 1)},
		{r("10.1.0.0/16", 2), r("10.3.0.0/16", 1)},
		{r("10.1.0.0/16", 2), r("10.3.0.0/16", 1)},
		nil,
	} {
		s.out = nil
		s.setRoutes(table)
		if i == 3 && len(s.out) != 0 {
			t.Errorf("nothing changed, but told %v", s.out)
		}
		for _, o := range s.out {
			d, _ := o.(RoutesChanged)
			for _, p := range d.Removed {
				delete(told, p)
			}
			for _, c := range d.Changed {
				if old, ok := told[c.Prefix]; ok && old.equal(c) {
					t.Errorf("%v told although the same", c)
				}
				told[c.Prefix] = c
			}
		}
		got := slices.SortedFunc(maps.Keys(told), comparePrefixes)
		var want []netip.Prefix
		for _, c := range table {
			want = append(want, c.Prefix)
		}
		if !slices.Equal(got, want) {
			t.Errorf("step %d: %v, want %v", i, got, want)
		}
	}
}

// TestTwoWayCheck: a link counts when both of its ends announce it (16.1 (2)(b)), on point-to-point links and networks.
func TestTwoWayCheck(t *testing.T) {
	t.Parallel()
	stub := func(n string) RouterLink { return RouterLink{quad(n), 0xffff0000, StubLink, 1} }
	router := func(id RouterID, links ...RouterLink) LSA {
		return NewLSA(LSAHeader{Age: 1, LSAKey: LSAKey{RouterLSAType, LinkStateID(id), id}, Sequence: 1}, RouterLSA{Links: links}.Append(nil))
	}
	transit := func(data string) RouterLink { return RouterLink{quad("10.0.9.3"), quad(data), TransitLink, 1} }
	network := NewLSA(LSAHeader{Age: 1, LSAKey: LSAKey{NetworkLSAType, LinkStateID(quad("10.0.9.3")), 3}, Sequence: 1},
		NetworkLSA{0xffffff00, []RouterID{3, 4, 5}}.Append(nil))
	c := NewCalculation(1, []LSA{
		router(2, linkTo(1, "10.0.2.2", 1), linkTo(3, "10.0.3.2", 1), linkTo(7, "10.0.7.2", 1), stub("10.2.0.0")),
		router(3, linkTo(2, "10.0.3.3", 1), transit("10.0.9.3"), stub("10.3.0.0")),
		router(4, transit("10.0.9.4"), stub("10.4.0.0")),
		router(5, stub("10.5.0.0")),                      // listed by the network, but does not list it
		router(6, transit("10.0.9.6"), stub("10.6.0.0")), // the other way round
		router(7, stub("10.7.0.0")),                      // router 2 lists it, but it does not list router 2
		router(8, stub("10.8.0.0")),                      // the root lists it
		network,
	})
	c.Links = []AttachedLink{{Interface: "t2", Cost: 1, Neighbor: 2, Addr: mustAddr("10.0.2.2")}, {Interface: "t8", Cost: 1, Neighbor: 8, Addr: mustAddr("10.0.8.8")}}
	var got []string
	for _, r := range c.Routes() {
		got = append(got, fmt.Sprintf("%v %d", r.Prefix, r.Cost))
	}
	if want := "[10.0.9.0/24 3 10.2.0.0/16 2 10.3.0.0/16 3 10.4.0.0/16 4]"; fmt.Sprint(got) != want {
		t.Errorf("routes %v, want %v", got, want)
	}
}

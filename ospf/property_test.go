package ospf_test

import (
	"encoding/binary"
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"meshrouter/internal/secret"
	"meshrouter/ospf"
	"meshrouter/ospf/ospfsim"
)

// seeds says how much the random tests try; go test ./ospf -seeds 1000 is for a night.
var seeds = flag.Uint64("seeds", 12, "the number of random runs of TestRandomFailures; a fourth of it is TestHostileNeighbor's")

// A world is a random topology and what a test knows of it.
type world struct {
	*ospfsim.Net
	t    testing.TB
	lan  map[*ospfsim.Router]netip.Prefix
	down map[*ospfsim.Link]bool
}

// newWorld makes n routers with a Hello each second.
func newWorld(t testing.TB, seed uint64, n, extra int) *world {
	return newSlowWorld(t, seed, n, extra, time.Second)
}

// newSlowWorld makes n routers, connected by a random tree and extra links more; half of the tunnels announce host
// routes, and parallel links happen. Most of the work in hours of simulated time are Hellos.
func newSlowWorld(t testing.TB, seed uint64, n, extra int, hello time.Duration) *world {
	w := &world{Net: ospfsim.New(seed), t: t, lan: map[*ospfsim.Router]netip.Prefix{}, down: map[*ospfsim.Link]bool{}}
	rnd := w.Random()
	configs := make([]ospf.Config, n)
	type pair struct{ a, b int }
	var pairs []pair
	for i := 1; i < n; i++ {
		pairs = append(pairs, pair{int(rnd.Below(uint64(i))), i})
	}
	for range extra {
		a, b := int(rnd.Below(uint64(n))), int(rnd.Below(uint64(n)))
		if a != b {
			pairs = append(pairs, pair{a, b})
		}
	}
	for i := range configs {
		configs[i].RouterID = ospf.RouterID(0x0a000000 + i + 1)
		configs[i].Interfaces = []ospf.InterfaceConfig{{
			Name: "lan", Passive: true, Cost: ospf.Metric(1 + rnd.Below(20)), Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, byte(i), 1}), 24),
		}}
	}
	auth := ospf.Auth{Type: ospf.CryptographicAuth, Keys: []ospf.Key{{ID: 1, Key: secret.Key("meshkey")}}}
	for i, p := range pairs {
		host := rnd.Chance(0.5)
		cost := ospf.Metric(1 + rnd.Below(8))
		add := func(c *ospf.Config, own, peer byte) {
			bits := 30
			if host {
				bits = 32
			}
			c.Interfaces = append(c.Interfaces, ospf.InterfaceConfig{
				Name: fmt.Sprintf("t%d", i), HostRoutes: host, Cost: cost, DDMTU: 1500, Auth: auth,
				HelloInterval: hello, RouterDeadInterval: 20 * hello,
				Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 254, byte(i), own}), bits),
				Peer:    netip.AddrFrom4([4]byte{10, 254, byte(i), peer}),
			})
		}
		add(&configs[p.a], 1, 2)
		add(&configs[p.b], 2, 1)
	}
	w.Trace = w.checkPacket
	for i, c := range configs {
		w.lan[w.AddRouter(fmt.Sprintf("r%d", i), c)] = c.Interfaces[0].Address.Masked()
	}
	for i, p := range pairs {
		name := fmt.Sprintf("t%d", i)
		w.Connect(w.Routers()[p.a], name, w.Routers()[p.b], name, time.Duration(1+rnd.Below(50))*time.Millisecond)
	}
	for _, r := range w.Routers() {
		r.AllUp()
	}
	return w
}

// checkPacket: no LSA leaves with age 0, and no router-LSA without links but to be flushed (openbsd-facts.md, 7).
func (w *world) checkPacket(_ time.Time, r *ospfsim.Router, o ospf.Output) {
	s, ok := o.(ospf.Send)
	if !ok {
		return
	}
	h, body, _, err := ospf.ParsePacket(s.Payload)
	if err != nil {
		w.t.Fatalf("%s sent %x: %v", r.Name, s.Payload, err)
	}
	if h.Type != ospf.LSUpdatePacket {
		return
	}
	u, err := ospf.ParseLinkStateUpdate(body)
	if err != nil || len(u.LSAs) == 0 {
		w.t.Fatalf("%s sent %x: %v", r.Name, s.Payload, err)
	}
	for _, l := range u.LSAs {
		lh := l.Header()
		links, _ := ospf.ParseRouterLSA(l.Body())
		empty := lh.Type == ospf.RouterLSAType && lh.AdvRouter == r.Config.RouterID && len(links.Links) == 0
		if lh.Age == 0 || !l.ChecksumOK() || empty && lh.Age != ospf.MaxAge {
			w.t.Fatalf("%s sent %v", r.Name, lh)
		}
	}
}

// disturb makes the links lose, repeat and reorder packets.
func (w *world) disturb(loss float64) {
	for _, l := range w.Links() {
		l.Loss, l.Duplicate, l.Jitter = loss, loss/3, time.Duration(loss*float64(200*time.Millisecond))
	}
}

// mischief is one random failure or repair.
func (w *world) mischief() {
	rnd := w.Random()
	l := w.Links()[rnd.Below(uint64(len(w.Links())))]
	r := w.Routers()[rnd.Below(uint64(len(w.Routers())))]
	switch rnd.Below(6) {
	case 0, 1:
		l.Cut = !l.Cut
	case 2:
		if w.down[l] {
			l.Up()
		} else {
			l.Down("no SA")
		}
		w.down[l] = !w.down[l]
	case 3:
		r.Kill()
		w.Run(time.Duration(rnd.Below(uint64(30 * time.Second))))
		r.Restart()
		for _, l := range w.Links() { // Restart brings all interfaces up
			if w.down[l] {
				l.Down("no SA")
			}
		}
	case 4:
		c := r.Config
		c.Interfaces = slices.Clone(c.Interfaces)
		i := rnd.Below(uint64(len(c.Interfaces)))
		c.Interfaces[i].Cost = ospf.Metric(1 + rnd.Below(8))
		r.Configure(c)
	case 5:
		c := r.Config
		c.Interfaces = slices.Clone(c.Interfaces)
		gone := c.Interfaces[rnd.Below(uint64(len(c.Interfaces)))].Name
		less := c
		less.Interfaces = slices.DeleteFunc(slices.Clone(c.Interfaces), func(f ospf.InterfaceConfig) bool { return f.Name == gone })
		r.Configure(less)
		w.Run(time.Duration(rnd.Below(uint64(10 * time.Second))))
		r.Configure(c)
		for _, l := range w.Links() {
			if a, an, b, bn := l.Ends(); (a == r && an == gone || b == r && bn == gone) && !w.down[l] {
				r.Input(ospf.InterfaceUp{Interface: gone})
			}
		}
		if gone == "lan" {
			r.Input(ospf.InterfaceUp{Interface: gone})
		}
	}
}

func costOf(r *ospfsim.Router, name string) ospf.Metric {
	for _, f := range r.Config.Interfaces {
		if f.Name == name {
			return f.Cost
		}
	}
	return 0
}

// An edge is one direction of a live link.
type edge struct {
	from, to *ospfsim.Router
	name     string // from's interface
	cost     ospf.Metric
	addr     netip.Addr // of to
}

func (w *world) edges() []edge {
	var list []edge
	for _, l := range w.Links() {
		if l.Cut || w.down[l] {
			continue
		}
		a, an, b, bn := l.Ends()
		list = append(list, edge{a, b, an, costOf(a, an), addressOf(b, bn)}, edge{b, a, bn, costOf(b, bn), addressOf(a, an)})
	}
	return list
}

func addressOf(r *ospfsim.Router, name string) netip.Addr {
	for _, f := range r.Config.Interfaces {
		if f.Name == name {
			return f.Address.Addr()
		}
	}
	return netip.Addr{}
}

// oracle computes each router's routes to the LANs by Bellman and Ford's method, from the topology and not from any LSA.
func (w *world) oracle() map[string]string {
	edges := w.edges()
	routes := map[string]string{}
	for _, root := range w.Routers() {
		dist := map[*ospfsim.Router]ospf.Metric{root: 0}
		for range w.Routers() {
			for _, e := range edges {
				if d, ok := dist[e.from]; ok {
					if old, ok := dist[e.to]; !ok || d+e.cost < old {
						dist[e.to] = d + e.cost
					}
				}
			}
		}
		// The next hops of a router are those links of the root that begin a shortest path: whose far end is nearer by
		// just the link's cost.
		far := map[*ospfsim.Router]map[*ospfsim.Router]ospf.Metric{}
		for _, from := range w.Routers() {
			d := map[*ospfsim.Router]ospf.Metric{from: 0}
			for range w.Routers() {
				for _, e := range edges {
					if x, ok := d[e.from]; ok {
						if old, ok := d[e.to]; !ok || x+e.cost < old {
							d[e.to] = x + e.cost
						}
					}
				}
			}
			far[from] = d
		}
		for to, d := range dist {
			lan := w.lan[to]
			if to == root {
				routes[root.Name+" "+lan.String()] = "local"
				continue
			}
			var hops []string
			for _, e := range edges {
				rest, ok := far[e.to][to]
				if e.from == root && ok && e.cost+rest == d {
					hops = append(hops, e.name+" "+e.addr.String())
				}
			}
			slices.Sort(hops)
			routes[root.Name+" "+lan.String()] = fmt.Sprint(d+costOf(to, "lan"), " ", strings.Join(hops, ", "))
		}
	}
	return routes
}

// told is the same from what the instances have told.
func (w *world) told() map[string]string {
	lans := slices.Collect(maps.Values(w.lan))
	routes := map[string]string{}
	for _, r := range w.Routers() {
		for p, route := range r.Routes {
			if !slices.Contains(lans, p) {
				continue
			}
			if route.Local {
				routes[r.Name+" "+p.String()] = "local"
				continue
			}
			var hops []string
			for _, h := range route.NextHops {
				hops = append(hops, h.Interface+" "+h.Addr.String())
			}
			slices.Sort(hops)
			routes[r.Name+" "+p.String()] = fmt.Sprint(route.Cost, " ", strings.Join(hops, ", "))
		}
	}
	return routes
}

// check compares routes with the oracle, and the databases within each connected part with one another.
func (w *world) check() {
	w.t.Helper()
	if !w.RunUntil(10*time.Second, w.quiet) { // a refresh may be under way
		w.t.Error("an LSA is not acknowledged, or not answered, for 10 s")
	}
	if diff := cmp.Diff(w.oracle(), w.told()); diff != "" {
		w.t.Errorf("routes differ (-oracle +told):\n%s", diff)
	}
	part := map[*ospfsim.Router]*ospfsim.Router{}
	for _, r := range w.Routers() {
		part[r] = r
	}
	edges := w.edges()
	for range w.Routers() {
		for _, e := range edges {
			if part[e.to].Name < part[e.from].Name {
				part[e.from] = part[e.to]
			} else {
				part[e.to] = part[e.from]
			}
		}
	}
	first := map[*ospfsim.Router]map[string]string{}
	live := map[*ospfsim.Router]*ospfsim.Router{}
	for _, r := range w.Routers() {
		db := map[string]string{}
		for _, l := range r.Instance.Database(w.Now()) {
			if l.AdvRouter == r.Config.RouterID || w.samePart(part, r, l.AdvRouter) {
				db[fmt.Sprint(l.Type, l.ID, l.AdvRouter)] = fmt.Sprintf("%08x %04x", l.Sequence, l.Checksum)
			}
		}
		if known, ok := first[part[r]]; !ok {
			first[part[r]], live[part[r]] = db, r
		} else if diff := cmp.Diff(known, db); diff != "" {
			w.t.Errorf("databases of %s and %s differ:\n%s", live[part[r]].Name, r.Name, diff)
		}
	}
}

// quiet says that no list of any neighbor holds anything.
func (w *world) quiet() bool {
	for _, r := range w.Routers() {
		for _, n := range r.Instance.Neighbors(w.Now()) {
			if n.Retransmit+n.Request+n.Summary != 0 {
				return false
			}
		}
	}
	return true
}

// samePart says whether the router with that id is in r's part: LSAs of others grow old there, unseen and unequal.
func (w *world) samePart(part map[*ospfsim.Router]*ospfsim.Router, r *ospfsim.Router, id ospf.RouterID) bool {
	for _, o := range w.Routers() {
		if o.Config.RouterID == id {
			return part[o] == part[r]
		}
	}
	return false
}

// TestRandomFailures: whatever happens, once it is quiet all databases are equal and all routes are what Bellman and Ford
// find. The seed of a failure is in its name.
func TestRandomFailures(t *testing.T) {
	t.Parallel()
	for seed := range *seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, seed, 3+int(seed%8), int(seed%7))
			w.Run(15 * time.Second)
			w.check()
			w.disturb(0.3)
			for range 12 {
				w.mischief()
				w.Run(time.Duration(w.Random().Below(uint64(20 * time.Second))))
			}
			w.disturb(0)
			w.Run(120 * time.Second)
			w.check()
		})
	}
}

// TestLossyForAWhile: with 30% loss, duplicates and reordering, and nothing else wrong, all is right again by itself.
func TestLossyForAWhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 99, 12, 10)
	w.disturb(0.3)
	w.Run(10 * time.Minute)
	w.disturb(0)
	w.Run(60 * time.Second)
	w.check()
}

// TestSameSeedSameRun: no map's order and no clock gets into the outputs.
func TestSameSeedSameRun(t *testing.T) {
	t.Parallel()
	run := func() string {
		w := newWorld(t, 5, 8, 6)
		var b strings.Builder
		w.Trace = func(now time.Time, r *ospfsim.Router, o ospf.Output) { fmt.Fprintln(&b, now, r.Name, o) }
		w.disturb(0.2)
		for range 5 {
			w.mischief()
			w.Run(10 * time.Second)
		}
		return b.String()
	}
	if a, b := run(), run(); a != b {
		t.Error("two runs with one seed differ")
	}
}

// TestTwoHundredLinks: a site with 200 links comes to Full on all of them; its router-LSA of 400 links is larger than the MTU
// and leaves in one packet.
func TestTwoHundredLinks(t *testing.T) {
	t.Parallel()
	n := ospfsim.New(1)
	hub := hubConfig(200)
	h := n.AddRouter("hub", hub)
	var largest int
	n.Trace = func(_ time.Time, r *ospfsim.Router, o ospf.Output) {
		if s, ok := o.(ospf.Send); ok && r == h {
			largest = max(largest, len(s.Payload))
		}
	}
	for i := range 200 {
		s := n.AddRouter(fmt.Sprint("s", i), spokeConfig(i))
		n.Connect(h, hub.Interfaces[i].Name, s, "hub", 10*time.Millisecond)
	}
	for _, r := range n.Routers() {
		r.AllUp()
	}
	for range 60 {
		n.Run(time.Second)
		if len(h.Routes) == 400 && !slices.ContainsFunc(n.Routers(), func(r *ospfsim.Router) bool { return len(r.Routes) != 400 }) {
			break
		}
	}
	if full := h.Instance.Summary(n.Now()).FullCount; full != 200 {
		t.Fatalf("%d neighbors are Full, want 200", full)
	}
	for _, r := range n.Routers()[1:] {
		if got := len(r.Routes); got != 400 {
			t.Fatalf("%s has %d routes, want 200 tunnels and 200 LANs", r.Name, got)
		}
	}
	if made := h.Instance.Counters()["lsa_originated"]; made > 3 || n.Elapsed() > 2*time.Second {
		t.Errorf("%d instances of the hub's router-LSA in %v: adjacencies that come up together are announced together", made, n.Elapsed())
	}
	if want := 24 + 4 + 20 + 4 + 400*12 + 16; largest != want {
		t.Errorf("the largest packet has %d bytes, want %d", largest, want)
	}
}

func tunnelTo(name string, i int, own, peer byte) ospf.InterfaceConfig {
	base := [4]byte{10, 200, byte(i / 60), byte(i % 60 * 4)}
	addr := func(last byte) netip.Addr { b := base; b[3] += last; return netip.AddrFrom4(b) }
	return ospf.InterfaceConfig{
		Name: name, Address: netip.PrefixFrom(addr(own), 30), Peer: addr(peer), Cost: 10, DDMTU: 1400, MTU: 1400,
		Auth: ospf.Auth{Type: ospf.CryptographicAuth, Keys: []ospf.Key{{ID: 1, Key: secret.Key("k")}}},
	}
}

func hubConfig(n int) ospf.Config {
	c := ospf.Config{RouterID: 0x0a000001}
	for i := range n {
		c.Interfaces = append(c.Interfaces, tunnelTo(fmt.Sprintf("t%04d", i), i, 1, 2))
	}
	return c
}

func spokeConfig(i int) ospf.Config {
	lan := netip.PrefixFrom(netip.AddrFrom4([4]byte{172, byte(16 + i/256), byte(i), 1}), 24)
	return ospf.Config{RouterID: ospf.RouterID(0x0b000001 + i), Interfaces: []ospf.InterfaceConfig{
		tunnelTo("hub", i, 2, 1), {Name: "lan", Passive: true, Address: lan, Cost: 1},
	}}
}

// TestHostileNeighbor: one neighbor with the right key sends what it likes. The others stay Full, the memory is bounded, and
// when it stops the area recovers.
func TestHostileNeighbor(t *testing.T) {
	t.Parallel()
	for seed := range max(*seeds/4, 1) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			t.Parallel()
			w := newSlowWorld(t, 1000+seed, 5, 4, 10*time.Second)
			w.Trace = nil // forgeries of our own LSAs are passed on before they are answered (13.4)
			const most = 150
			for _, r := range w.Routers() {
				c := r.Config
				c.MaxLSAs, c.MaxLSABytes = most, 1<<20
				r.Configure(c)
			}
			w.Run(30 * time.Second)
			evil := w.Links()[0]
			a, _, b, bn := evil.Ends() // b sends forgeries to a, between its own packets
			changes := map[string]int{}
			count := func() int {
				total := 0
				for _, r := range w.Routers() {
					for _, c := range r.Changes {
						if (r != a && r != b) || (c.Interface != bn && r == a) {
							if c.From == ospf.Full {
								total++
								changes[r.Name+" "+c.Reason]++
							}
						}
					}
					r.Changes = nil
				}
				return total
			}
			count()
			key := b.Config.Interfaces[1].Auth
			var seq uint32
			evil.Intercept = func(from *ospfsim.Router, p ospf.Packet) bool {
				if h, _, _, err := ospf.ParsePacket(p.Payload); err == nil && from == b {
					seq = binary.BigEndian.Uint32(h.Authentication[4:])
				}
				return true
			}
			for range 3000 {
				p := w.forge(a, b)
				p.Src, p.Payload = addressOf(b, bn), key.Seal(p.Payload, seq)
				evil.Deliver(a, p)
				w.Run(20 * time.Millisecond)
				for _, r := range w.Routers() {
					if n := r.Instance.Summary(w.Now()).LSAs; n > most+len(w.Routers()) {
						t.Fatalf("%s has %d LSAs", r.Name, n)
					}
				}
			}
			for _, name := range []string{"lsa_self_originated_received", "lsa_min_arrival", "lsdb_full", "lsa_bad_body", "ack_unexpected", "lsa_originated"} {
				got := uint64(0)
				for _, r := range w.Routers() {
					got += r.Instance.Counters()[name]
				}
				if got < 3 {
					t.Errorf("%s is %d: the attack does not reach %v", name, got, a.Instance.Counters())
				}
			}
			if n := count(); n != 0 {
				t.Errorf("%d other adjacencies fell: %v", n, changes)
			}
			w.Run(3 * time.Hour) // what was forged grows old
			w.check()
		})
	}
}

// forge makes a packet as b could send it to a: a random LSA with a right checksum, MaxAge, a's own, or a packet of noise.
func (w *world) forge(a, b *ospfsim.Router) ospf.Packet {
	rnd := w.Random()
	ids := []ospf.RouterID{a.Config.RouterID, b.Config.RouterID, ospf.RouterID(rnd.Below(1000)), w.Routers()[rnd.Below(5)].Config.RouterID}
	adv := ids[rnd.Below(4)]
	h := ospf.LSAHeader{
		Age: uint16(rnd.Below(3600)), Options: ospf.Options(rnd.Uint64()), Sequence: ospf.Sequence(rnd.Uint64() >> 33),
		LSAKey: ospf.LSAKey{Type: ospf.LSType(1 + rnd.Below(11)), ID: ospf.LinkStateID(rnd.Below(64)), AdvRouter: adv},
	}
	if rnd.Chance(0.3) { // the same LSA again and again
		h.LSAKey = ospf.LSAKey{Type: ospf.ExternalLSAType, ID: 7, AdvRouter: b.Config.RouterID}
	}
	if rnd.Chance(0.3) {
		h.Age = ospf.MaxAge
	}
	if rnd.Chance(0.1) {
		h.Sequence = ospf.MaxSequenceNumber
	}
	if h.Type == ospf.RouterLSAType {
		h.ID = ospf.LinkStateID(adv)
	}
	body := make([]byte, 4*rnd.Below(40))
	for i := range body {
		body[i] = byte(rnd.Uint64())
	}
	switch rnd.Below(4) {
	case 0:
		l := ospf.RouterLSA{}
		for range rnd.Below(10) {
			l.Links = append(l.Links, ospf.RouterLink{ID: uint32(0x0a000001 + rnd.Below(5)), Type: ospf.LinkType(1 + rnd.Below(3)), Metric: uint16(rnd.Uint64())})
		}
		body = l.Append(nil)
	case 1:
		body = ospf.ExternalLSA{Mask: uint32(rnd.Uint64()), Metric: 1}.Append(nil)
	}
	var packet []byte
	kind := ospf.LSUpdatePacket
	switch lsa := ospf.NewLSA(h, body); rnd.Below(100) {
	case 0, 1, 2, 3, 4:
		kind, packet = ospf.LSAckPacket, ospf.LinkStateAck{Headers: []ospf.LSAHeader{h}}.Append(nil)
	case 5:
		kind, packet = ospf.LSRequestPacket, ospf.LinkStateRequest{LSAs: []ospf.LSAKey{h.LSAKey}}.Append(nil)
	case 6:
		kind, packet = ospf.DatabaseDescriptionPacket, ospf.DatabaseDescription{Flags: ospf.DDFlags(rnd.Below(8)), Sequence: uint32(rnd.Below(4)), Headers: []ospf.LSAHeader{h}}.Append(nil)
	default:
		packet = ospf.LinkStateUpdate{LSAs: []ospf.LSA{lsa}}.Append(nil)
	}
	raw := ospf.Header{Version: 2, Type: kind, RouterID: b.Config.RouterID}.Append(nil)
	return ospf.Packet{Dst: netip.AddrFrom4([4]byte{224, 0, 0, 5}), Payload: append(raw, packet...)}
}

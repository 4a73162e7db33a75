package router

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"meshrouter/dataplane"
	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/underlay"
	"meshrouter/ike"
	"meshrouter/internal/ipv4"
	"meshrouter/tun"
)

// atRest is a router whose data plane does not run.
func atRest(t *testing.T) *Router {
	t.Helper()
	device, _ := tun.Pair()
	dp, err := dataplane.New(dataplane.Config{
		Queues: []dataplane.Queue{device.Queues()[0]}, Underlay: underlay.NewHub().Join(netip.MustParseAddr("192.0.2.1")),
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &Router{dp: dp, log: slog.New(slog.DiscardHandler)}
	r.sas = &saBoard{r: r, sas: map[saKey]*installedSA{}}
	r.paths = newPathMTUBoard(r)
	return r
}

// A link whose peer is behind a NAT keeps the MTU that leaves room for UDP when a reload changes it.
func TestReloadKeepsRoomForUDP(t *testing.T) {
	t.Parallel()
	r := atRest(t)
	old := newPlan(triangle(t), "london", nil)
	r.setTunnels(nil, old)
	sa := ike.ChildSA{SPI: 0x1000, UDP: true}
	r.sas.sas[keyOf(sa)] = &installedSA{ChildSA: sa, link: "london-tokyo", current: true}

	changed := newPlan(triangle(t, "hello: 1s", "hello: 2s", "dead: 4s", "dead: 8s"), "london", old)
	if _, links, _ := changed.compare(old); len(links) != 2 {
		t.Fatalf("links that changed: %v", links)
	}
	r.setTunnels(old, changed)
	udp, _ := esp.MTU(1500, esp.Tunnel, true, esp.TripleDESCBC, esp.HMACSHA1, false)
	plain, _ := esp.MTU(1500, esp.Tunnel, false, esp.TripleDESCBC, esp.HMACSHA1, false)
	for _, s := range r.dp.Status() {
		want := plain
		if s.Config.Name == "london-tokyo" {
			want = udp
		}
		if s.Config.MTU != want {
			t.Errorf("%s has MTU %d, want %d", s.Config.Name, s.Config.MTU, want)
		}
	}
}

// What the search for a path's MTU says is what the tunnel uses, whoever configures the tunnel and whenever.
func TestTunnelsUseWhatTheirPathsCarry(t *testing.T) {
	t.Parallel()
	r := atRest(t)
	old := newPlan(triangle(t), "london", nil)
	l := old.links["london-tokyo"]
	r.plan.Store(old)
	r.setTunnels(nil, old)
	now := time.Unix(1_000_000, 0)
	search := func(path int) { // a minute, a probe a second, of which those of up to path bytes are answered
		for range 60 {
			now = now.Add(time.Second)
			s := r.paths.searches[l.Link]
			size, seq, changed := s.Tick(now)
			if changed {
				r.paths.use(l)
			}
			if size != 0 && size <= path {
				r.paths.heard(now, l.id, r.paths.probe(l, seq, size)[ipv4.HeaderLen:])
			}
		}
	}
	check := func(what string, least, most int) {
		t.Helper()
		for _, s := range r.dp.Status() {
			if s.Config.ID == l.id && (s.Config.MTU < least || s.Config.MTU > most) {
				t.Errorf("%s: MTU %d, want %d to %d", what, s.Config.MTU, least, most)
			}
		}
	}
	rekey := func(udp bool) { r.dp.Update(func(u *dataplane.Update) { r.setTunnel(u, l, udp) }) }
	search(1300)
	check("searched", 1293, 1300)
	search(0)
	rekey(false)
	check("rekeyed after the peer was gone", 1293, 1300)
	search(1300)
	check("the peer is back", 1293, 1300)
	rekey(true)
	search(1300)
	check("found UDP", 1293, 1300)
	full, _ := l.tunnelMTU(false)
	rekey(false)
	search(full)
	check("no UDP, and a wider path", full, full)

	wider := newPlan(triangle(t, "  tokyo:  {", "  tokyo:  {mtu: 1400, "), "london", old)
	r.setTunnels(old, wider)
	l = wider.links["london-tokyo"]
	less, _ := l.tunnelMTU(false)
	search(9000)
	check("reloaded with less", less, less)
	r.setTunnels(wider, old)
	search(9000)
	check("reloaded with more", full, full)
	if less >= full {
		t.Errorf("the smaller link has %d bytes, the larger %d", less, full)
	}
}

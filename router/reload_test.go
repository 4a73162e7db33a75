package router

import (
	"log/slog"
	"net/netip"
	"testing"

	"meshrouter/dataplane"
	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/underlay"
	"meshrouter/ike"
	"meshrouter/tun"
)

// A link whose peer is behind a NAT keeps the MTU that leaves room for UDP when a reload changes it.
func TestReloadKeepsRoomForUDP(t *testing.T) {
	t.Parallel()
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
	for _, s := range dp.Status() {
		want := plain
		if s.Config.Name == "london-tokyo" {
			want = udp
		}
		if s.Config.MTU != want {
			t.Errorf("%s has MTU %d, want %d", s.Config.Name, s.Config.MTU, want)
		}
	}
}

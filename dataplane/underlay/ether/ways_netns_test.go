//go:build netns

package ether

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"meshrouter/dataplane/underlay/ether/veth"
)

// open begins to follow one end of a veth pair.
func open(t *testing.T) (*Ways, *veth.Space, netlink.Link) {
	t.Helper()
	a, b, err := veth.NewPair(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	t.Cleanup(b.Close)
	var w *Ways
	var link netlink.Link
	if err := a.Do(func() error {
		var e1, e2 error
		w, e1 = Open(netip.MustParseAddr(veth.AddrA))
		link, e2 = netlink.LinkByName(veth.Name)
		return errors.Join(e1, e2)
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w, a, link
}

// Eventually waits for what the kernel tells in its own time.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 5000 {
		if ok() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("still not so after 5 s: %s", what)
}

// A neighbor that went stale is asked for again though the kernel sends it nothing: a way in use finds
// out that its neighbor has moved.
func TestConfirmKeepsTheNeighborAlive(t *testing.T) {
	w, space, link := open(t)
	peer := netip.MustParseAddr(veth.AddrB)
	wrong := net.HardwareAddr{2, 0, 0, 0, 0, 99}
	if err := space.Do(func() error {
		return netlink.NeighSet(&netlink.Neigh{LinkIndex: link.Attrs().Index, IP: peer.AsSlice(), HardwareAddr: wrong, State: netlink.NUD_STALE})
	}); err != nil {
		t.Fatal(err)
	}
	Eventually(t, "a way to the wrong MAC", func() bool { return w.To(peer) != nil })
	w.useNeighbor(peer)
	var state int
	if err := space.Do(func() error {
		list, err := netlink.NeighList(link.Attrs().Index, netlink.FAMILY_V4)
		for _, n := range list {
			if ip, ok := netip.AddrFromSlice(n.IP.To4()); ok && ip == peer {
				state = n.State
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if state&(netlink.NUD_DELAY|netlink.NUD_PROBE|netlink.NUD_REACHABLE) == 0 {
		t.Errorf("neighbor is in state %#x, want delay (0x8) or beyond", state)
	}
}

// Many routes come and go; what is not concerned stays, and the default route concerns everything.
func TestWaysByGateway(t *testing.T) {
	w, space, link := open(t)
	far := netip.MustParseAddr("198.51.100.1")
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 5}
	for _, gateway := range []string{"192.0.2.5", "192.0.2.6"} {
		mac[5]++
		if err := space.Do(func() error {
			gw := net.ParseIP(gateway)
			return errors.Join(
				netlink.NeighSet(&netlink.Neigh{LinkIndex: link.Attrs().Index, IP: gw, HardwareAddr: mac, State: netlink.NUD_PERMANENT}),
				netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: gw, MTU: 1400}))
		}); err != nil {
			t.Fatal(err)
		}
		Eventually(t, "the way by the gateway", func() bool {
			way := w.To(far)
			return way != nil && MAC(way.header[:6]) == MAC(mac) && way.largest == 1380
		})
	}
	if err := space.Do(func() error {
		return netlink.RouteDel(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: net.ParseIP("192.0.2.6"), MTU: 1400})
	}); err != nil {
		t.Fatal(err)
	}
	Eventually(t, "no way", func() bool { return w.To(far) == nil })
}

// More destinations than the table holds: it begins anew, and serves whom it is asked for.
func TestWaysAreBounded(t *testing.T) {
	w := &Ways{routes: make(map[netip.Addr]*route)}
	w.asked = make(chan netip.Addr, 1)
	w.publish()
	for i := range 3 * askedDepth {
		if w.To(netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)})) != nil {
			t.Fatal("a way out of nothing")
		}
	}
	if len(w.asked) != 1 {
		t.Errorf("%d questions wait, want 1", len(w.asked))
	}
	for i := range maxWays {
		w.routes[netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})] = &route{}
	}
	real, space, _ := open(t)
	_ = space
	w.handle, w.iface = real.handle, real.opened
	w.learn(netip.MustParseAddr("198.51.100.1"))
	if len(w.routes) != 1 {
		t.Errorf("%d destinations, want 1 after beginning anew", len(w.routes))
	}
}

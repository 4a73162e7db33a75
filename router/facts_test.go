package router

import (
	"bytes"
	"context"
	"net/netip"
	"testing"
	"testing/synctest"

	"meshrouter/dataplane"
	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/fib"
	"meshrouter/dataplane/underlay"
	"meshrouter/internal/ipv4"
	"meshrouter/ospf"
	"meshrouter/tun"
)

// OB-7.1 (openbsd-facts.md, 7): old ospfds take an OSPF packet only from the address that their hostname.gre0 has as `dest`. Ours
// leave each tunnel with exactly its own address, TTL 1 and TOS 0xc0.
func TestOSPFLeavesFromTheTunnelAddress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hub := underlay.NewHub()
		london, osaka := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.3")
		inv := triangle(t)
		r := &Router{}
		r.plan.Store(newPlan(inv, "london", nil))
		r.dp = engine(t, hub, london, dataplane.Handlers{})
		var got [][]byte
		peer := engine(t, hub, osaka, dataplane.Handlers{Control: func(_ fib.TunnelID, p []byte) { got = append(got, bytes.Clone(p)) }})

		ours, theirs := r.plan.Load().links["london-osaka"], newPlan(inv, "osaka", nil).links["london-osaka"]
		params := esp.Params{
			SPI: 4711, Cipher: 20, EncKey: make([]byte, 20), Mode: esp.Tunnel,
			Src: netip.AddrPortFrom(london, 0), Dst: netip.AddrPortFrom(osaka, 0), Counters: new(esp.Counters),
		}
		out, err := esp.NewOutbound(params)
		if err != nil {
			t.Fatal(err)
		}
		params.Counters = new(esp.Counters)
		in, err := esp.NewInbound(params)
		if err != nil {
			t.Fatal(err)
		}
		r.dp.Update(func(u *dataplane.Update) {
			u.SetTunnel(ours.tunnelConfig(false))
			u.SetOutbound(ours.id, out)
		})
		peer.Update(func(u *dataplane.Update) {
			u.SetTunnel(theirs.tunnelConfig(false))
			u.AddInbound(theirs.id, in)
		})
		for _, dst := range []string{"224.0.0.5", "10.255.0.6"} {
			r.sendOSPF(ospf.Send{Interface: "london-osaka", Dst: netip.MustParseAddr(dst), Payload: []byte("an OSPF packet")})
		}
		synctest.Wait()
		if len(got) != 2 {
			t.Fatalf("%d packets came through the tunnel, want 2; drops %v and %v", len(got), r.dp.Drops(), peer.Drops())
		}
		for i, p := range got {
			h, payload, err := ipv4.Parse(p)
			if err != nil || h.Src() != ours.TunnelLocal.Addr() || h.Src() != theirs.TunnelRemote.Addr() || h.TTL() != 1 || h.TOS() != 0xc0 ||
				h.Protocol() != protocolOSPF || string(payload) != "an OSPF packet" {
				t.Errorf("packet %d is % x, %v; want it from %s", i, p, err, ours.TunnelLocal.Addr())
			}
		}
	})
}

// engine runs a data plane with one TUN queue on a hub until the test ends.
func engine(t *testing.T, hub *underlay.Hub, addr netip.Addr, h dataplane.Handlers) *dataplane.Engine {
	t.Helper()
	device, _ := tun.Pair()
	e, err := dataplane.New(dataplane.Config{Queues: []dataplane.Queue{device.Queues()[0]}, Underlay: hub.Join(addr), Handlers: h})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }() // ends with ctx
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return e
}

package dataplane

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/underlay"
	"meshrouter/state"
)

// Issue 3, 2, "Restart without a new negotiation": SAs whose counters lie in a state file go on under
// a second engine. Sequence numbers rise strictly, and what was received before is a replay.
func TestSAsGoOnAfterARestart(t *testing.T) {
	t.Parallel()
	for _, offload := range []bool{false, true} {
		t.Run(fmt.Sprintf("offload=%v", offload), func(t *testing.T) { testRestart(t, offload) })
	}
}

func testRestart(t *testing.T, offload bool) {
	path := filepath.Join(t.TempDir(), "run", "site.state")
	var before []underlay.Wire
	last := uint32(0)

	// restarted runs sites 1 and 2 for a while; the SAs of site 1 have their counters in the file.
	restarted := func(f func(n *network, a, b *site)) {
		bubbleWith(t, offload, func(t *testing.T, n *network) {
			file, err := state.Open(path, state.Options{BootID: "this boot"})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := file.Close(); err != nil {
					t.Error(err)
				}
			}()
			a, b := n.site(1), n.site(2)
			ja, jb := n.join(a, b, link{noSA: true})
			kept := func(dir byte, p esp.Params, remote netip.Addr) esp.Params {
				mem, err := file.Counters(dir, p.SPI, remote)
				if err != nil {
					t.Fatal(err)
				}
				p.Counters = esp.CountersAt(mem)
				return p
			}
			a.Update(func(u *Update) {
				u.AddInbound(ja.id, mustSA(t, esp.NewInbound, kept('i', jb.params(1), b.outer())))
				u.SetOutbound(ja.id, mustSA(t, esp.NewOutbound, kept('o', ja.params(1), b.outer())))
			})
			b.Update(func(u *Update) { u.AddInbound(jb.id, mustSA(t, esp.NewInbound, ja.params(1))) })
			f(n, a, b)
		})
	}
	send := func(n *network, a, b *site) {
		for range 5 {
			a.send(udp(a.lan(9), b.lan(9), ""))
		}
		if got := b.got(); len(got) != 5 {
			t.Fatalf("%d packets arrived, want 5", len(got))
		}
		for _, w := range n.sent() {
			if seq := binary.BigEndian.Uint32(w.Payload[4:]); seq <= last {
				t.Errorf("sequence number %d after %d", seq, last)
			} else {
				last = seq
			}
		}
	}
	restarted(func(n *network, a, b *site) {
		send(n, a, b)
		// b's packets come from SAs of its own that do not survive; a has seen their numbers.
		f := n.forge(joint{link{mode: esp.Tunnel}, 0, a, b})
		for range 4 {
			p := f.seal(4, f.delivery(47, greOf(0x0800, udp(b.lan(9), a.lan(9), ""))))
			before = append(before, underlay.Wire{Src: f.out.Src(), Dst: f.out.Dst(), Payload: p})
			f.deliver(p)
		}
		if got := a.got(); len(got) != 4 {
			t.Fatalf("%d packets arrived before the restart, want 4", len(got))
		}
	})
	restarted(func(n *network, a, b *site) {
		for _, w := range before {
			n.hub.Deliver(w)
		}
		if got := a.got(); len(got) != 0 {
			t.Errorf("%d packets of before were delivered again", len(got))
		}
		a.dropped(dropReplay, dropReplay, dropReplay, dropReplay)
		send(n, a, b)
		if last != 10 {
			t.Errorf("the last sequence number is %d, want 10: none is skipped without need", last)
		}
	})
}

package dataplane

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/fib"
	"meshrouter/dataplane/segment"
	"meshrouter/dataplane/underlay"
	"meshrouter/internal/ipv4"
)

func TestEveryReasonHasAName(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, name := range reasonNames {
		if name == "" || seen[name] {
			t.Errorf("reason name %q is empty or used twice", name)
		}
		seen[name] = true
	}
}

// What a peer may send inside an authentic ESP packet, and why each is not forwarded.
func TestDropsInside(t *testing.T) {
	t.Parallel()
	key := uint32(1)
	inner := udp(netip.MustParseAddr("10.2.0.9"), netip.MustParseAddr("10.1.0.9"), "")
	change := func(p []byte, f func(h ipv4.Header)) []byte {
		p = slices.Clone(p)
		f(ipv4.Header(p[:20]))
		return p
	}
	for _, tt := range []struct {
		name string
		want reason
		link link
		make func(f *forger) (next uint8, payload []byte)
	}{
		{"tunnel mode, next header GRE", dropNextHeader, link{}, func(*forger) (uint8, []byte) { return 47, greOf(0x0800, inner) }},
		{"transport mode, next header IPv4", dropNextHeader, link{mode: esp.Transport}, func(f *forger) (uint8, []byte) {
			return 4, f.delivery(47, greOf(0x0800, inner))
		}},
		{"no IPv4 packet inside", dropInner, link{}, func(*forger) (uint8, []byte) { return 4, []byte("no packet") }},
		{"delivery header with a wrong checksum", dropInner, link{}, func(f *forger) (uint8, []byte) {
			return 4, change(f.delivery(47, greOf(0x0800, inner)), func(h ipv4.Header) { h[10]++ })
		}},
		{"delivery from a stranger", dropSelector, link{}, func(f *forger) (uint8, []byte) {
			return 4, packet(ipv4.Fields{TTL: 9, Protocol: 47, Src: netip.MustParseAddr("192.0.2.9"), Dst: f.j.from.outer()}, greOf(0x0800, inner))
		}},
		{"delivery to a stranger", dropSelector, link{}, func(f *forger) (uint8, []byte) {
			return 4, packet(ipv4.Fields{TTL: 9, Protocol: 47, Src: f.j.to.outer(), Dst: netip.MustParseAddr("192.0.2.9")}, greOf(0x0800, inner))
		}},
		{"clear payload without GRE", dropSelector, link{}, func(*forger) (uint8, []byte) { return 4, inner }},
		{"UDP between the endpoints", dropInnerProtocol, link{}, func(f *forger) (uint8, []byte) { return 4, f.delivery(17, make([]byte, 8)) }},
		{"ICMP, but no echo request", dropInnerProtocol, link{}, func(f *forger) (uint8, []byte) { return 4, f.delivery(1, make([]byte, 8)) }},
		{"GRE version 1", dropGRE, link{}, func(f *forger) (uint8, []byte) { return 4, f.delivery(47, []byte{0, 1, 8, 0}) }},
		{"GRE cut short", dropGRE, link{}, func(f *forger) (uint8, []byte) { return 4, f.delivery(47, []byte{0, 0}) }},
		{"GRE without the key", dropGREKey, link{key: &key}, func(f *forger) (uint8, []byte) { return 4, f.delivery(47, greOf(0x0800, inner)) }},
		{"GRE with a key", dropGREKey, link{}, func(f *forger) (uint8, []byte) {
			return 4, f.delivery(47, append([]byte{0x20, 0, 8, 0, 0, 0, 0, 1}, inner...))
		}},
		{"GRE with IPv6", dropGREProtocol, link{}, func(f *forger) (uint8, []byte) { return 4, f.delivery(47, greOf(0x86dd, inner)) }},
		{"GRE with rubbish", dropPayload, link{}, func(f *forger) (uint8, []byte) { return 4, f.delivery(47, greOf(0x0800, []byte("rubbish"))) }},
		{"payload with a wrong checksum", dropPayload, link{}, func(f *forger) (uint8, []byte) {
			return 4, f.delivery(47, greOf(0x0800, change(inner, func(h ipv4.Header) { h[10]++ })))
		}},
		{"multicast that is not OSPF", dropMulticast, link{}, func(f *forger) (uint8, []byte) {
			return 4, f.delivery(47, greOf(0x0800, udp(netip.MustParseAddr("10.2.0.9"), netip.MustParseAddr("224.0.0.251"), "")))
		}},
		{"OSPF to another group", dropMulticast, link{}, func(f *forger) (uint8, []byte) {
			return 4, f.delivery(47, greOf(0x0800, ospfPacket(netip.MustParseAddr("10.255.2.1"), netip.MustParseAddr("224.0.0.7"), 44)))
		}},
		{"no route", dropNoRoute, link{}, func(f *forger) (uint8, []byte) {
			return 4, f.delivery(47, greOf(0x0800, udp(netip.MustParseAddr("10.2.0.9"), netip.MustParseAddr("203.0.113.1"), "")))
		}},
		{"dummy packet", dropDummy, link{}, func(*forger) (uint8, []byte) { return 59, nil }},
		{"keepalive with a wrong checksum", dropPayload, link{}, func(f *forger) (uint8, []byte) {
			k := packet(ipv4.Fields{TTL: 9, Protocol: 47, Src: f.j.from.outer(), Dst: f.j.to.outer()}, greOf(0, nil))
			return 4, f.delivery(47, greOf(0x0800, change(k, func(h ipv4.Header) { h[10]++ })))
		}},
		{"GRE in GRE that is no keepalive", dropGRE, link{}, func(f *forger) (uint8, []byte) {
			return 4, f.delivery(47, greOf(0x0800, packet(ipv4.Fields{TTL: 9, Protocol: 47, Src: f.j.from.outer(), Dst: f.j.to.outer()}, greOf(0x0800, inner))))
		}},
		{"fragments that overlap", dropFragOverlap, link{}, func(f *forger) (uint8, []byte) {
			whole := f.delivery(47, greOf(0x0800, packet(ipv4.Fields{TTL: 9, Protocol: 17, Src: inner4(2), Dst: inner4(1)}, make([]byte, 400))))
			first := change(whole[:20+64], func(h ipv4.Header) { fragment(h, 64, 0, true) })
			f.send(4, first)
			return 4, change(whole[:20+64], func(h ipv4.Header) { fragment(h, 64, 8, true) })
		}},
		{"a fragment of no length", dropFragMalformed, link{}, func(f *forger) (uint8, []byte) {
			return 4, change(f.delivery(47, nil), func(h ipv4.Header) { fragment(h, 0, 8, true) })
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, n *network) {
				a, b := n.site(1), &site{n: n, index: 2}
				j := n.joinAlone(a, b, tt.link)
				f := n.forge(j)
				next, payload := tt.make(f)
				f.send(next, payload)
				if got := a.got(); len(got) != 0 {
					t.Errorf("delivered to the host: % x", got)
				}
				if got := a.controls(); len(got) != 0 {
					t.Errorf("delivered to control: % x", got)
				}
				if got, _ := f.got(); len(got) != 0 {
					t.Errorf("answered with % x", got)
				}
				a.dropped(tt.want)
			})
		})
	}
}

func inner4(site byte) netip.Addr { return netip.AddrFrom4([4]byte{10, site, 0, 9}) }

// fragment makes a header that of a fragment.
func fragment(h ipv4.Header, payload, offset int, more bool) {
	word := uint16(offset / 8)
	if more {
		word |= 0x2000
	}
	binary.BigEndian.PutUint16(h[2:], uint16(20+payload))
	binary.BigEndian.PutUint16(h[6:], word)
	h.UpdateChecksum()
}

// What anyone may send to the outer address without the keys.
func TestDropsOutside(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		want   reason
		udp    bool
		change func(w *underlay.Wire)
	}{
		{"too short for an SPI", dropOuter, false, func(w *underlay.Wire) { w.Payload = w.Payload[:7] }},
		{"empty datagram", dropOuter, true, func(w *underlay.Wire) { w.Payload = nil }},
		{"unknown SPI", dropUnknownSPI, false, func(w *underlay.Wire) { w.Payload[0] = 0xee }},
		{"UDP for a plain SA", dropEncapsulation, false, func(w *underlay.Wire) {
			w.UDP, w.Src, w.Dst = true, netip.AddrPortFrom(w.Src.Addr(), 4500), netip.AddrPortFrom(w.Dst.Addr(), 4500)
		}},
		{"protocol 50 for a UDP SA", dropEncapsulation, true, func(w *underlay.Wire) {
			w.UDP, w.Src, w.Dst = false, netip.AddrPortFrom(w.Src.Addr(), 0), netip.AddrPortFrom(w.Dst.Addr(), 0)
		}},
		{"another source", dropOuterAddress, false, func(w *underlay.Wire) { w.Src = netip.MustParseAddrPort("192.0.2.99:0") }},
		{"a flipped bit", dropAuth, false, func(w *underlay.Wire) { w.Payload[30] ^= 1 }},
		{"a changed sequence number", dropAuth, false, func(w *underlay.Wire) { w.Payload[7] = 99 }},
		{"sequence number 0", dropReplay, false, func(w *underlay.Wire) { w.Payload[7] = 0 }},
		{"cut short", dropESPFormat, false, func(w *underlay.Wire) { w.Payload = w.Payload[:20] }},
		{"no whole number of blocks", dropESPFormat, false, func(w *underlay.Wire) { w.Payload = w.Payload[:len(w.Payload)-3] }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, n *network) {
				a, b := n.site(1), &site{n: n, index: 2}
				j := n.joinAlone(a, b, link{udp: tt.udp})
				f := n.forge(j)
				w := underlay.Wire{
					UDP: tt.udp, Src: f.out.Src(), Dst: f.out.Dst(),
					Payload: f.seal(4, f.delivery(47, greOf(0x0800, udp(inner4(2), inner4(1), "")))),
				}
				tt.change(&w)
				n.hub.Deliver(w)
				if got := a.got(); len(got) != 0 {
					t.Errorf("delivered: % x", got)
				}
				a.dropped(tt.want)
			})
		})
	}
}

func TestDropsFromTheHost(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		want reason
		pkt  []byte
	}{
		{"IPv6", dropMalformed, append([]byte{0x60}, make([]byte, 60)...)},
		{"rubbish", dropMalformed, []byte{1, 2, 3}},
		{"no route", dropNoRoute, udp(inner4(1), netip.MustParseAddr("203.0.113.1"), "")},
		{"back to the host", dropHostLoop, udp(inner4(2), inner4(1), "")},
		{"route to a tunnel that is gone", dropNoTunnel, udp(inner4(1), inner4(7), "")},
		{"too big with DF", dropTooBig, packet(ipv4.Fields{TTL: 9, Protocol: 17, DF: true, Src: inner4(1), Dst: inner4(2)}, make([]byte, 3000))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, n *network) {
				a, b := n.site(1), &site{n: n, index: 2}
				n.joinAlone(a, b, link{})
				a.Update(func(u *Update) {
					u.SetRoutes([]fib.Route{{Prefix: netip.MustParsePrefix("10.7.0.0/16"), NextHops: []fib.NextHop{{Tunnel: 7}}}}, nil)
				})
				a.send(tt.pkt)
				if w := n.sent(); len(w) != 0 {
					t.Errorf("%d packets left", len(w))
				}
				a.dropped(tt.want)
			})
		})
	}
}

// The tunnel ends between routing and sealing, or with packets waiting: nothing is sent.
func TestRemovedTunnelSendsNothing(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, n *network) {
		a, b := n.site(1), n.site(2)
		ja, jb := n.join(a, b, link{})
		old := a.view.Load()
		a.Update(func(u *Update) { u.RemoveTunnel(ja.id) })
		w := newWorker(a.Engine, a.queues[0], -1)
		w.v, w.now = old, time.Now()
		pkt := udp(inner4(1), inner4(2), "")
		w.fromHost(&segment.Packet{Buf: pkt, End: len(pkt)})
		w.finish()
		if s := n.sent(); len(s) != 0 {
			t.Errorf("%d packets left through a removed tunnel", len(s))
		}
		a.dropped(dropNoTunnel)
		if len(a.Status()) != 0 {
			t.Errorf("status: %+v", a.Status())
		}

		// Packets for us are unknown then, and a new tunnel of that id begins afresh.
		b.send(udp(inner4(2), inner4(1), ""))
		a.dropped(dropNoTunnel, dropUnknownSPI)
		a.Update(func(u *Update) { u.SetTunnel(ja.config()) })
		if s := a.Status()[0]; s.PacketsOut != 0 || s.Outbound != nil || len(s.Inbound) != 0 {
			t.Errorf("status of the new tunnel: %+v", s)
		}
		_ = jb
	})
}

func TestChangedTunnelKeepsItsSAs(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, n *network) {
		a, b := n.site(1), n.site(2)
		ja, _ := n.join(a, b, link{})
		a.send(udp(inner4(1), inner4(2), ""))
		synctest.Wait()
		c := ja.config()
		c.MTU = 600
		a.Update(func(u *Update) { u.SetTunnel(c) })
		a.send(udp(inner4(1), inner4(2), strings.Repeat("z", 1000)))
		if got := b.got(); len(got) != 3 {
			t.Errorf("%d packets arrived, want 1 and 2 pieces", len(got))
		}
		if s := a.Status()[0]; s.PacketsOut != 3 || s.Config.MTU != 600 || s.Outbound == nil || len(s.Inbound) != 1 {
			t.Errorf("status: %+v", s)
		}
		b.dropped()
	})
}

func TestRoutesFollowUpdates(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, n *network) {
		a := n.site(1)
		r := fib.Route{Prefix: netip.MustParsePrefix("10.9.0.0/16"), NextHops: []fib.NextHop{{Tunnel: 3}}}
		a.Update(func(u *Update) { u.SetRoutes([]fib.Route{r}, []netip.Prefix{a.lanPrefix().Masked()}) })
		got := a.Routes()
		if len(got) != 1 || got[0].Prefix != r.Prefix || !slices.Equal(got[0].NextHops, r.NextHops) {
			t.Errorf("routes are %v, want %v", got, r)
		}
	})
}

func TestLimiter(t *testing.T) {
	t.Parallel()
	var l limiter
	now := time.Unix(1000, 0)
	count := func() (n int) {
		for l.allow(now, 10, 5) {
			n++
		}
		return n
	}
	if n := count(); n != 5 {
		t.Errorf("at first %d, want the burst of 5", n)
	}
	now = now.Add(300 * time.Millisecond)
	if n := count(); n != 3 {
		t.Errorf("after 0.3 s %d, want 3", n)
	}
	now = now.Add(time.Hour)
	if n := count(); n != 5 {
		t.Errorf("after an hour %d, want the burst of 5", n)
	}
	now = now.Add(-time.Hour)
	if n := count(); n != 0 {
		t.Errorf("after the clock went back %d, want 0", n)
	}
}

package dataplane

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/fib"
	"meshrouter/dataplane/gre"
	"meshrouter/dataplane/underlay"
	"meshrouter/internal/ipv4"
)

func TestPingBothWays(t *testing.T) {
	t.Parallel()
	key := uint32(0xdecade)
	for _, l := range []link{
		{},
		{cipher: esp.AESGCM16},
		{mode: esp.Transport},
		{udp: true},
		{mode: esp.Transport, udp: true, cipher: esp.AESGCM16},
		{key: &key},
		{mode: esp.Transport, key: &key},
	} {
		t.Run(fmt.Sprintf("mode=%v,udp=%v,key=%v,cipher=%d", l.mode, l.udp, l.key != nil, l.cipher), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, n *network) {
				a, b := n.site(1), n.site(2)
				n.join(a, b, l)
				for i, from := range []*site{a, b} {
					to := []*site{b, a}[i]
					request := echoRequest(from.lan(9), to.lan(9), 1)
					from.send(request)
					arrived := onlyOne(t, "request", to.got())
					if !bytes.Equal(arrived, request) {
						t.Fatalf("arrived % x\n   sent % x", arrived, request)
					}
					if !ipv4.EchoReply(arrived) {
						t.Fatal("no echo request arrived")
					}
					to.send(arrived)
					if reply := onlyOne(t, "reply", from.got()); !bytes.Equal(reply, arrived) {
						t.Errorf("reply % x, want % x", reply, arrived)
					}
				}
				wires := n.sent()
				if len(wires) != 4 {
					t.Fatalf("%d packets between the sites, want 4", len(wires))
				}
				for _, w := range wires {
					if w.UDP != l.udp {
						t.Errorf("UDP is %v, want %v", w.UDP, l.udp)
					}
				}
				a.dropped()
				b.dropped()
				s := a.Status()[0]
				if s.PacketsIn != 2 || s.PacketsOut != 2 || s.BytesIn == 0 || s.BytesOut == 0 {
					t.Errorf("status of the tunnel: %+v", s)
				}
			})
		})
	}
}

// The delivery header in tunnel mode: RFC 2784 on what it carries, TOS of the payload, TTL 64.
func TestDeliveryHeader(t *testing.T) {
	t.Parallel()
	key := uint32(77)
	bubble(t, func(t *testing.T, n *network) {
		a, b := n.site(1), &site{n: n, index: 2}
		j := n.joinAlone(a, b, link{key: &key})
		f := n.forge(j)
		for i := range 2 {
			p := udp(a.lan(9), b.lan(9), "")
			h, _ := mustParse(t, p)
			h.SetTOS(0xb8) // EF
			a.send(p)
			packets, next := f.got()
			d := onlyOne(t, "delivery", packets)
			if next[0] != 4 {
				t.Errorf("next header is %d, want 4", next[0])
			}
			h, payload := mustParse(t, d)
			if h.Src() != a.outer() || h.Dst() != b.outer() || h.Protocol() != 47 || h.TTL() != 64 || h.TOS() != 0xb8 || h.DF() || h.ID() != uint16(i+1) {
				t.Errorf("delivery header is % x", h)
			}
			g, inner, err := gre.Parse(payload)
			if err != nil || !g.Matches(&key) || g.Protocol != gre.ProtocolIPv4 || !bytes.Equal(inner, p) {
				t.Errorf("GRE header %+v, %v", g, err)
			}
		}
	})
}

// joinAlone is join with nobody at the far end.
func (n *network) joinAlone(a, b *site, l link) joint {
	n.t.Helper()
	l.noSA = true
	if l.mode == 0 {
		l.mode = esp.Tunnel
	}
	if l.mtu == 0 {
		l.mtu = 1422
	}
	j := joint{l, fib.TunnelID(a.links), a, b}
	a.links++
	back := joint{l, 0, b, a}
	a.Update(func(u *Update) {
		u.SetTunnel(j.config())
		u.AddInbound(j.id, mustSA(n.t, esp.NewInbound, back.params(1)))
		u.SetOutbound(j.id, mustSA(n.t, esp.NewOutbound, j.params(1)))
		u.SetRoutes([]fib.Route{{Prefix: b.lanPrefix(), NextHops: []fib.NextHop{{Tunnel: j.id}}}}, nil)
	})
	return j
}

// RFC 4301, 5.1.2.1: the outer header has the DSCP of what is inside, in either mode, and what is ours
// has that of its class. ECN stays inside (RFC 6040, 4.3).
func TestOuterTOS(t *testing.T) {
	t.Parallel()
	for _, mode := range []esp.Mode{esp.Tunnel, esp.Transport} {
		bubble(t, func(t *testing.T, n *network) {
			a, b := n.site(1), &site{n: n, index: 2}
			j := n.joinAlone(a, b, link{mode: mode})
			for _, tos := range []uint8{0, 0xb8, 0xbb, 0x02} {
				p := udp(a.lan(9), b.lan(9), "")
				mustHeader(t, p).SetTOS(tos)
				a.send(p)
			}
			wires := n.sent()
			if err := a.Inject(j.id, ospfPacket(a.tunnelAddr(b), netip.MustParseAddr("224.0.0.5"), 44)); err != nil {
				t.Fatal(err)
			}
			var got []uint8
			for _, w := range append(wires, n.sent()...) {
				got = append(got, w.TOS)
			}
			if want := []uint8{0, 0xb8, 0xb8, 0, 0xc0}; !slices.Equal(got, want) {
				t.Errorf("%v mode: outer TOS % x, want % x", mode, got, want)
			}
		})
	}
}

func TestReplayIsRefused(t *testing.T) {
	t.Parallel()
	for _, udpEncap := range []bool{false, true} {
		bubble(t, func(t *testing.T, n *network) {
			a, b := n.site(1), n.site(2)
			n.join(a, b, link{udp: udpEncap})
			for i := range 3 {
				a.send(udp(a.lan(9), b.lan(9), fmt.Sprint(i)))
			}
			if got := b.got(); len(got) != 3 {
				t.Fatalf("%d packets arrived, want 3", len(got))
			}
			for _, w := range n.sent() {
				n.hub.Deliver(w)
			}
			if got := b.got(); len(got) != 0 {
				t.Errorf("%d replayed packets were delivered", len(got))
			}
			b.dropped(dropReplay, dropReplay, dropReplay)
			if n := b.Status()[0].Inbound[0].Counters().ReplayDrops.Load(); n != 3 {
				t.Errorf("the SA counts %d replays, want 3", n)
			}
		})
	}
}

// Two copies in one batch pass the check before authentication both; one alone may pass the other.
func TestReplayWithinABatch(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, n *network) {
		a, b := n.site(1), &site{n: n, index: 2}
		j := n.joinAlone(a, b, link{})
		f := n.forge(j)
		sealed := f.seal(4, f.delivery(47, greOf(0x0800, udp(b.lan(9), a.lan(9), ""))))
		w := newWorker(a.Engine, a.queues[0], 0)
		ps := make([]underlay.Packet, 2)
		for i := range ps {
			ps[i] = underlay.Packet{Payload: bytes.Clone(sealed), Kind: underlay.ESP, Local: f.out.Dst(), Remote: f.out.Src()}
		}
		w.fromPeers(ps)
		if got := a.got(); len(got) != 1 {
			t.Errorf("%d packets delivered, want 1", len(got))
		}
		a.dropped(dropReplay)
	})
}

func TestRekeyLosesNothing(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, n *network) {
		a, b := n.site(1), n.site(2)
		ja, jb := n.join(a, b, link{})
		var sent [][]byte
		for i := range 200 {
			switch i {
			case 50: // both inbound SAs are there before either end sends with the new pair
				n.key(ja, jb, 2)
			case 100:
				for _, j := range []joint{ja, jb} {
					j.from.Update(func(u *Update) {
						u.RemoveOutbound(j.id, spi(j.from, j.to, 1))
						u.RemoveInbound(spi(j.to, j.from, 1))
					})
				}
			}
			p := udp(a.lan(9), b.lan(9), fmt.Sprint(i))
			sent = append(sent, p)
			a.send(p)
			if i%7 == 0 {
				synctest.Wait() // some leave one by one, some in batches
			}
			if i == 99 {
				synctest.Wait() // the peer keeps its old SA until the last packet has come
			}
		}
		if got := b.got(); !sameOrder(got, sent) {
			t.Errorf("%d of %d packets arrived, or in another order", len(got), len(sent))
		}
		b.dropped()
		spis := map[uint32]bool{}
		for _, w := range n.sent() {
			spis[binary.BigEndian.Uint32(w.Payload)] = true
		}
		if !spis[spi(a, b, 1)] || !spis[spi(a, b, 2)] || len(spis) != 2 {
			t.Errorf("packets left with the SPIs %v, want both generations", spis)
		}
		if s := a.Status()[0]; len(s.Inbound) != 1 || s.Outbound.SPI() != spi(a, b, 2) {
			t.Errorf("after the rekey: %d inbound SAs, outbound SPI %#x", len(s.Inbound), s.Outbound.SPI())
		}
	})
}

func TestPacketsWaitForAnSA(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, n *network) {
		a, b := n.site(1), n.site(2)
		ja, jb := n.join(a, b, link{noSA: true})
		var sent [][]byte
		for i := range 20 {
			p := udp(a.lan(9), b.lan(9), fmt.Sprint(i))
			sent = append(sent, p)
			a.send(p)
		}
		if w := n.sent(); len(w) != 0 {
			t.Fatalf("%d packets left without an SA", len(w))
		}
		if got := a.acquires(); !slices.Equal(got, []fib.TunnelID{ja.id}) {
			t.Errorf("Acquire was called for %v, want once for tunnel %d", got, ja.id)
		}
		wait(acquireInterval - time.Millisecond)
		a.send(sent[19])
		if got := a.acquires(); len(got) != 0 {
			t.Errorf("Acquire was called again within a second: %v", got)
		}
		wait(time.Millisecond)
		a.send(sent[19])
		if got := a.acquires(); len(got) != 1 {
			t.Errorf("after a second Acquire was called %d times, want 1", len(got))
		}

		n.key(ja, jb, 1)
		want := append(slices.Clone(sent[6:]), sent[19], sent[19])
		if got := b.got(); !sameOrder(got, want) {
			t.Errorf("%d packets came when the SA did, want the newest %d", len(got), maxPending)
		}
		a.dropped(slices.Repeat([]reason{dropNoSA}, 6)...)
	})
}

func TestFragmentsWhatIsTooBig(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, n *network) {
		a, b := n.site(1), n.site(2)
		n.join(a, b, link{})
		for i, from := range []*site{a, b} {
			to := []*site{b, a}[i]
			p := udp(from.lan(9), to.lan(9), strings.Repeat("x", 3000))
			from.send(p)
			r := ipv4.NewReassembler(1<<16, time.Second)
			var whole []byte
			got := to.got()
			for _, piece := range got {
				if len(piece) > 1422 {
					t.Errorf("a piece of %d bytes came through a tunnel of 1422", len(piece))
				}
				if w, ok := r.Add(time.Now(), piece); ok {
					whole = w
				}
			}
			if len(got) != 3 || !bytes.Equal(whole, p) {
				t.Errorf("%d pieces do not give the packet", len(got))
			}
		}
		a.dropped()
		b.dropped()
	})
}

// A kernel peer may fragment the GRE packet before it seals it.
func TestFragmentedDeliveryIsReassembled(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, n *network) {
		a, b := n.site(1), &site{n: n, index: 2}
		j := n.joinAlone(a, b, link{})
		f := n.forge(j)
		p := udp(b.lan(9), a.lan(9), strings.Repeat("y", 1460))
		var pieces [][]byte
		err := ipv4.Fragment(f.delivery(47, greOf(0x0800, p)), 1000, func(piece []byte) { pieces = append(pieces, bytes.Clone(piece)) })
		if err != nil || len(pieces) != 2 {
			t.Fatal(len(pieces), err)
		}
		f.send(4, pieces[1])
		if got := a.got(); len(got) != 0 {
			t.Errorf("half a packet was delivered")
		}
		f.send(4, pieces[0])
		if got := onlyOne(t, "whole", a.got()); !bytes.Equal(got, p) {
			t.Errorf("reassembled to % x", got)
		}
		// The other half never comes; a later fragment finds that out.
		f.send(4, pieces[1])
		synctest.Wait()
		wait(reassemblyTimeout)
		f.send(4, pieces[0])
		if got := a.got(); len(got) != 0 {
			t.Error("fragments 15 s apart were put together")
		}
		a.dropped(dropFragTimeout)
	})
}

func TestTooBigWithDFIsAnswered(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, n *network) {
		a, b := n.site(1), n.site(2)
		n.join(a, b, link{})
		p := packet(ipv4.Fields{TTL: 64, Protocol: 17, DF: true, Src: a.lan(9), Dst: b.lan(9)}, make([]byte, 1403))
		a.send(p)
		answer := onlyOne(t, "ICMP error", a.got())
		h, icmp := mustParse(t, answer)
		if h.Src() != a.tunnelAddr(b) || h.Dst() != a.lan(9) || h.Protocol() != 1 {
			t.Errorf("ICMP error from %v to %v", h.Src(), h.Dst())
		}
		if icmp[0] != 3 || icmp[1] != 4 || binary.BigEndian.Uint16(icmp[6:]) != 1422 || !bytes.Equal(icmp[8:28], p[:20]) {
			t.Errorf("RFC 1191: ICMP error is % x", icmp[:28])
		}
		if w := n.sent(); len(w) != 0 {
			t.Errorf("%d packets left", len(w))
		}
		a.send(p[:0:0], packet(ipv4.Fields{TTL: 64, Protocol: 17, DF: true, Src: a.lan(9), Dst: b.lan(9)}, make([]byte, 1402)))
		if got := b.got(); len(got) != 1 || len(got[0]) != 1422 {
			t.Errorf("a packet as large as the tunnel did not arrive: %d", len(got))
		}
		a.dropped(dropTooBig, dropMalformed)
	})
}

// syn makes a TCP SYN with an MSS option.
func syn(src, dst netip.Addr, mss uint16) []byte {
	tcp := make([]byte, 24)
	tcp[12], tcp[13] = 6<<4, 0x02
	tcp[20], tcp[21] = 2, 4
	binary.BigEndian.PutUint16(tcp[22:], mss)
	binary.BigEndian.PutUint16(tcp[16:], ipv4.Checksum(tcp, ipv4.PseudoHeaderSum(src, dst, 6, len(tcp))))
	return packet(ipv4.Fields{TTL: 64, Protocol: 6, DF: true, Src: src, Dst: dst}, tcp)
}

func TestMSSIsClamped(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, n *network) {
		a, b := n.site(1), &site{n: n, index: 2}
		j := n.joinAlone(a, b, link{})
		f := n.forge(j)
		check := func(what string, pkt []byte, want uint16) {
			t.Helper()
			h, tcp := mustParse(t, pkt)
			if got := binary.BigEndian.Uint16(tcp[22:]); got != want {
				t.Errorf("%s: MSS is %d, want %d", what, got, want)
			}
			if ipv4.Checksum(tcp, ipv4.PseudoHeaderSum(h.Src(), h.Dst(), 6, len(tcp))) != 0 {
				t.Errorf("%s: the TCP checksum is wrong", what)
			}
		}
		for mss, want := range map[uint16]uint16{1460: 1382, 1382: 1382, 536: 536} {
			a.send(syn(a.lan(9), b.lan(9), mss))
			out, _ := f.got()
			_, payload := mustParse(t, onlyOne(t, "SYN out", out))
			check("out", payload[4:], want)

			f.send(4, f.delivery(47, greOf(0x0800, syn(b.lan(9), a.lan(9), mss))))
			check("in", onlyOne(t, "SYN in", a.got()), want)
			f.send(4, f.delivery(47, greOf(0x0800, syn(b.lan(9), a.tunnelAddr(b), mss))))
			check("to our own address", onlyOne(t, "SYN to us", a.got()), want)
		}
	})
}

// The answer to a probe is handed over, whatever else there is with that identifier; the host gets all, for
// its own pings may have the identifier too.
func TestProbeAnswers(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, n *network) {
		a, b := n.site(1), n.site(2)
		ja, _ := n.join(a, b, link{})
		ping := func(kind uint8, id uint16, dst netip.Addr) []byte {
			p := echoRequest(b.tunnelAddr(a), dst, 7)
			icmp := p[ipv4.HeaderLen:]
			icmp[0] = kind
			binary.BigEndian.PutUint16(icmp[4:], id)
			binary.BigEndian.PutUint16(icmp[2:], 0)
			binary.BigEndian.PutUint16(icmp[2:], ipv4.Checksum(icmp, 0))
			return p
		}
		answer := ping(0, ProbeID, a.tunnelAddr(b))
		sent := [][]byte{answer, ping(8, ProbeID, a.tunnelAddr(b)), ping(0, 0x1234, a.tunnelAddr(b)), ping(0, ProbeID, a.lan(9))}
		b.Update(func(u *Update) { // as a router has it that leads to its peer's tunnel address
			u.SetRoutes([]fib.Route{{Prefix: netip.PrefixFrom(a.tunnelAddr(b), 32), NextHops: []fib.NextHop{{Tunnel: 0}}}}, nil)
		})
		b.send(sent...)
		if got := a.got(); !slices.EqualFunc(got, sent, bytes.Equal) {
			t.Errorf("the host received %d packets, want all %d", len(got), len(sent))
		}
		if got := a.controls(); len(got) != 1 || got[0].tunnel != ja.id || !bytes.Equal(got[0].packet, answer) {
			t.Errorf("%d packets came to control, want the answer alone", len(got))
		}
		a.dropped()
	})
}

// Cisco's, ScreenOS's and OpenBSD's keepalive: the far end only decapsulates and forwards.
func TestGREKeepaliveIsReturned(t *testing.T) {
	t.Parallel()
	key := uint32(5)
	for _, l := range []link{{}, {mode: esp.Transport}, {key: &key}} {
		bubble(t, func(t *testing.T, n *network) {
			a, b := n.site(1), n.site(2)
			ja, _ := n.join(a, b, l)
			k := gre.Keepalive{Local: a.outer(), Remote: b.outer(), Key: l.key, TTL: 255, Payload: []byte("0123456789abcdef")}
			if err := a.Inject(ja.id, k.Append(nil)); err != nil {
				t.Fatal(err)
			}
			got := a.controls()
			if len(got) != 1 || got[0].tunnel != ja.id {
				t.Fatalf("%d keepalives came back, want 1", len(got))
			}
			h, payload := mustParse(t, got[0].packet)
			g, body, err := gre.Parse(payload)
			if err != nil || g.Protocol != gre.ProtocolKeepalive || string(body) != "0123456789abcdef" || h.Src() != b.outer() || h.Dst() != a.outer() {
				t.Errorf("came back: % x", got[0].packet)
			}
			if l.mode != esp.Transport && h.TTL() != 254 {
				t.Errorf("TTL is %d, want 254: a hop was made", h.TTL())
			}
			if w := n.sent(); len(w) != 2 {
				t.Errorf("%d packets between the sites, want 2", len(w))
			}
			if len(a.got())+len(b.got()) != 0 {
				t.Error("a host saw the keepalive")
			}

			// Faster than anyone needs: 10 more at once, of which the bucket has 9 left.
			for range 10 {
				if err := a.Inject(ja.id, k.Append(nil)); err != nil {
					t.Fatal(err)
				}
			}
			if got := a.controls(); len(got) != keepaliveBurst-1 {
				t.Errorf("%d keepalives came back, want %d", len(got), keepaliveBurst-1)
			}
			b.dropped(dropKeepaliveRate)
		})
	}
}

// screenos-facts.md, 1, Liveness: "meshrouter must answer ICMP echo addressed to its own tunnel
// endpoint address arriving inside ESP (tunnel mode, not GRE), also when the source is the peer's
// outer address"; openbsd and transport mode peers may do the same.
func TestScreenOSVPNMonitorPingIsAnswered(t *testing.T) {
	t.Parallel()
	loopbackA, loopbackB := netip.MustParseAddr("172.16.0.1"), netip.MustParseAddr("172.16.0.2")
	for _, tt := range []struct {
		name      string
		mode      esp.Mode
		loopbacks bool // GRE endpoints other than the outer addresses
		src, dst  netip.Addr
	}{
		{"between the endpoints", esp.Tunnel, false, netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.1")},
		{"outer addresses, GRE on loopbacks", esp.Tunnel, true, netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.1")},
		{"loopbacks", esp.Tunnel, true, loopbackB, loopbackA},
		{"transport mode", esp.Transport, false, netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.1")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, n *network) {
				a, b := n.site(1), &site{n: n, index: 2}
				j := n.joinAlone(a, b, link{mode: tt.mode})
				if tt.loopbacks {
					c := j.config()
					c.Local, c.Remote = loopbackA, loopbackB
					a.Update(func(u *Update) { u.SetTunnel(c) })
				}
				f := n.forge(j)
				request := echoRequest(tt.src, tt.dst, 7)
				want := bytes.Clone(request)
				ipv4.EchoReply(want)
				next := uint8(4)
				if tt.mode == esp.Transport {
					request, want, next = request[20:], want[20:], 1
				}
				f.send(next, request)
				got, gotNext := f.got()
				if reply := onlyOne(t, "reply", got); !bytes.Equal(reply, want) || gotNext[0] != next {
					t.Errorf("reply % x (next header %d), want % x (%d)", reply, gotNext[0], want, next)
				}
				if len(a.got()) != 0 {
					t.Error("the host saw the ping")
				}
				a.dropped()
			})
		})
	}
}

func TestTransitCountsOneHop(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, n *network) {
		a, b, c := n.site(1), n.site(2), n.site(3)
		ja, _ := n.join(a, b, link{})
		_, jc := n.join(b, c, link{mode: esp.Transport, cipher: esp.AESGCM16, udp: true, mtu: 1300})
		for j, far := range map[joint]*site{ja: c, jc: a} {
			j.from.Update(func(u *Update) {
				u.SetRoutes([]fib.Route{{Prefix: far.lanPrefix(), NextHops: []fib.NextHop{{Tunnel: j.id}}}}, nil)
			})
		}
		p := udp(a.lan(9), c.lan(9), "")
		a.send(p)
		got := onlyOne(t, "packet", c.got())
		h, _ := mustParse(t, got)
		if h.TTL() != 63 {
			t.Errorf("TTL is %d, want 63: the two TUN devices are the kernels' hops, the middle is ours", h.TTL())
		}
		h.SetTTL(64)
		if !bytes.Equal(got, p) {
			t.Errorf("arrived % x, want % x", got, p)
		}
		if len(b.got()) != 0 {
			t.Error("the host in the middle saw the packet")
		}

		// The last hop is used up in the middle, and the sender hears of it.
		mustHeader(t, p).SetTTL(1)
		a.send(p)
		h, icmp := mustParse(t, onlyOne(t, "ICMP error", a.got()))
		if icmp[0] != 11 || icmp[1] != 0 || h.Src() != b.tunnelAddr(a) || h.Dst() != a.lan(9) {
			t.Errorf("got % x from %v, want time exceeded from %v", icmp[:8], h.Src(), b.tunnelAddr(a))
		}
		b.dropped(dropTTL)

		// The second tunnel is smaller: DF is answered from the middle, other packets are cut there.
		df := packet(ipv4.Fields{TTL: 64, Protocol: 17, DF: true, Src: a.lan(9), Dst: c.lan(9)}, make([]byte, 1380))
		a.send(df)
		h, icmp = mustParse(t, onlyOne(t, "ICMP error", a.got()))
		if icmp[0] != 3 || icmp[1] != 4 || binary.BigEndian.Uint16(icmp[6:]) != 1300 || h.Src() != b.tunnelAddr(c) {
			t.Errorf("got % x from %v, want fragmentation needed, MTU 1300", icmp[:8], h.Src())
		}
		a.send(packet(ipv4.Fields{TTL: 64, Protocol: 17, Src: a.lan(9), Dst: c.lan(9)}, make([]byte, 1380)))
		if got := c.got(); len(got) != 2 {
			t.Errorf("%d pieces arrived, want 2", len(got))
		}
		b.dropped(dropTTL, dropTooBig)
	})
}

// An ICMP error quotes what came through a tunnel. Without a route of ours it must not go to the
// host, which might send it to the internet in clear.
func TestICMPErrorWithoutRouteIsNotLeaked(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, n *network) {
		a, b, c := n.site(1), &site{n: n, index: 2}, &site{n: n, index: 3}
		j := n.joinAlone(a, b, link{})
		n.joinAlone(a, c, link{})
		f := n.forge(j)
		p := udp(netip.MustParseAddr("203.0.113.5"), c.lan(9), "") // a source that we have no route to
		mustHeader(t, p).SetTTL(1)
		f.send(4, f.delivery(47, greOf(0x0800, p)))
		if got := a.got(); len(got) != 0 {
			t.Errorf("the host got % x", got)
		}
		a.dropped(dropTTL, dropNoRoute)
	})
}

func mustHeader(t testing.TB, p []byte) ipv4.Header {
	t.Helper()
	h, _ := mustParse(t, p)
	return h
}

func ospfPacket(src, dst netip.Addr, size int) []byte {
	return packet(ipv4.Fields{TOS: 0xc0, TTL: 1, Protocol: 89, ID: 9, Src: src, Dst: dst}, bytes.Repeat([]byte{2}, size))
}

func TestOSPFGoesToControl(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, n *network) {
		a, b := n.site(1), n.site(2)
		ja, jb := n.join(a, b, link{})
		src := a.tunnelAddr(b)
		for _, tt := range []struct {
			dst  netip.Addr
			size int
		}{
			{netip.MustParseAddr("224.0.0.5"), 44},
			{netip.MustParseAddr("224.0.0.6"), 44},
			{b.tunnelAddr(a), 44},
			{netip.MustParseAddr("224.0.0.5"), 2500}, // a router LSA of 200 links, in two fragments
			{b.tunnelAddr(a), 4000},
		} {
			p := ospfPacket(src, tt.dst, tt.size)
			if err := a.Inject(ja.id, bytes.Clone(p)); err != nil {
				t.Fatal(err)
			}
			got := b.controls()
			if len(got) != 1 || got[0].tunnel != jb.id || !bytes.Equal(got[0].packet, p) {
				t.Errorf("to %v, %d bytes: %d packets came to control", tt.dst, tt.size, len(got))
			}
		}
		if got := b.got(); len(got) != 0 {
			t.Errorf("the host got %d OSPF packets", len(got))
		}
		a.dropped()
		b.dropped()
	})
}

func TestOurTunnelAddressIsTheHosts(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, n *network) {
		a, b, c := n.site(1), n.site(2), &site{n: n, index: 3}
		n.join(a, b, link{})
		n.joinAlone(b, c, link{})
		for _, dst := range []netip.Addr{b.tunnelAddr(a), b.tunnelAddr(c)} {
			p := echoRequest(a.lan(9), dst, 1)
			a.Update(func(u *Update) {
				u.SetRoutes([]fib.Route{{Prefix: netip.PrefixFrom(dst, 32), NextHops: []fib.NextHop{{Tunnel: 0}}}}, nil)
			})
			a.send(p)
			if got := onlyOne(t, "ping to the tunnel address", b.got()); !bytes.Equal(got, p) {
				t.Errorf("the host got % x", got)
			}
		}
	})
}

func TestInjectSaysWhyNot(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, n *network) {
		a, b := n.site(1), n.site(2)
		ja, _ := n.join(a, b, link{noSA: true})
		hello := ospfPacket(a.tunnelAddr(b), netip.MustParseAddr("224.0.0.5"), 44)
		if err := a.Inject(ja.id, hello); !errors.Is(err, ErrNoSA) {
			t.Errorf("without an SA: %v, want ErrNoSA", err)
		}
		if err := a.Inject(7, hello); !errors.Is(err, ErrNoTunnel) {
			t.Errorf("unknown tunnel: %v, want ErrNoTunnel", err)
		}
		if err := a.Inject(ja.id, []byte("nonsense")); err == nil {
			t.Error("Inject took nonsense")
		}
		if got := a.acquires(); len(got) != 0 {
			t.Errorf("hellos asked for an SA: %v", got)
		}
		a.dropped(dropNoSA)
	})
}

func TestPeerBehindNATMoves(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, n *network) {
		a, b := n.site(1), n.site(2)
		ja, jb := n.join(a, b, link{udp: true})
		outside := netip.AddrPortFrom(b.outer(), 61234) // the NAT's new port for b
		n.setLose(func(w *underlay.Wire) bool {
			switch {
			case w.Src.Addr() == b.outer():
				w.Src = outside
			case w.Dst == outside:
				w.Dst = netip.AddrPortFrom(b.outer(), underlay.NATPort)
			}
			return false
		})
		// A forgery from elsewhere moves nobody.
		n.hub.Deliver(underlay.Wire{
			UDP: true, Src: netip.MustParseAddrPort("198.51.100.66:4500"), Dst: netip.AddrPortFrom(a.outer(), underlay.NATPort),
			Payload: append(binary.BigEndian.AppendUint32(nil, spi(b, a, 1)), make([]byte, 100)...),
		})
		if got := a.moves(); len(got) != 0 {
			t.Fatalf("a forged packet moved the peer: %v", got)
		}
		for range 3 {
			b.send(udp(b.lan(9), a.lan(9), ""))
		}
		if got := a.moves(); !slices.Equal(got, []movedPeer{{ja.id, outside}}) {
			t.Fatalf("Moved was called with %v, want once with %v", got, outside)
		}
		if got := a.got(); len(got) != 3 {
			t.Errorf("%d packets arrived, want 3: authentic packets count wherever they come from", len(got))
		}
		a.Update(func(u *Update) { u.MoveRemote(ja.id, outside) })
		wait(2 * movedInterval)
		n.sent()
		b.send(udp(b.lan(9), a.lan(9), ""))
		a.send(udp(a.lan(9), b.lan(9), ""))
		if got := a.moves(); len(got) != 0 {
			t.Errorf("Moved was called after MoveRemote: %v", got)
		}
		if got := b.got(); len(got) != 1 {
			t.Errorf("%d packets reached the peer at its new port, want 1", len(got))
		}
		_ = jb
		a.dropped(dropReplay) // the forgery has sequence number 0
	})
}

// A packet that was overtaken by those from the new address tells where the peer was.
func TestLatePacketDoesNotMoveThePeerBack(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, n *network) {
		a, b := n.site(1), &site{n: n, index: 2}
		j := n.joinAlone(a, b, link{udp: true})
		f := n.forge(j)
		first := f.seal(4, f.delivery(47, greOf(0x0800, udp(inner4(2), inner4(1), ""))))
		second := f.seal(4, f.delivery(47, greOf(0x0800, udp(inner4(2), inner4(1), ""))))
		f.deliver(second)
		n.hub.Deliver(underlay.Wire{UDP: true, Src: netip.MustParseAddrPort("192.0.2.2:1024"), Dst: f.out.Dst(), Payload: first})
		if got := a.got(); len(got) != 2 {
			t.Errorf("%d packets arrived, want 2", len(got))
		}
		if got := a.moves(); len(got) != 0 {
			t.Errorf("Moved was called with %v", got)
		}
	})
}

// An SA belongs to one of our addresses.
func TestPacketToAnotherOfOurAddressesIsDropped(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, n *network) {
		a, b := n.site(1), &site{n: n, index: 2}
		j := n.joinAlone(a, b, link{})
		p := joint{j.link, 0, b, a}.params(1)
		p.Dst = netip.MustParseAddrPort("192.0.2.77:0")
		a.Update(func(u *Update) { u.AddInbound(j.id, mustSA(t, esp.NewInbound, p)) })
		f := n.forge(j)
		f.send(4, f.delivery(47, greOf(0x0800, udp(inner4(2), inner4(1), ""))))
		if got := a.got(); len(got) != 0 {
			t.Errorf("delivered: % x", got)
		}
		a.dropped(dropOuterAddress)
	})
}

func TestIKEGoesToItsHandler(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, n *network) {
		a, b := n.site(1), n.site(2)
		for _, port := range []uint16{underlay.IKEPort, underlay.NATPort} {
			d := Datagram{Local: netip.AddrPortFrom(a.outer(), port), Remote: netip.AddrPortFrom(b.outer(), port), Payload: []byte("isakmp")}
			if err := a.SendIKE(d); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			b.mu.Lock()
			got := b.ike
			b.ike = nil
			b.mu.Unlock()
			if len(got) != 1 || got[0].Local != d.Remote || got[0].Remote != d.Local || string(got[0].Payload) != "isakmp" {
				t.Errorf("port %d: got %+v", port, got)
			}
		}
		if err := a.SendKeepalive(netip.AddrPortFrom(b.outer(), underlay.NATPort)); err != nil {
			t.Fatal(err)
		}
		b.dropped(dropNATKeepalive)
	})
}

func TestSequenceNumbersDoNotWrap(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, n *network) {
		a, b := n.site(1), n.site(2)
		n.join(a, b, link{})
		a.Status()[0].Outbound.Counters().NextSeq.Store(math.MaxUint32)
		for range 3 {
			a.send(udp(a.lan(9), b.lan(9), ""))
			synctest.Wait()
		}
		if w := n.sent(); len(w) != 1 || binary.BigEndian.Uint32(w[0].Payload[4:]) != math.MaxUint32 {
			t.Errorf("%d packets left, want the last sequence number alone", len(w))
		}
		if got := a.acquires(); len(got) != 1 {
			t.Errorf("Acquire was called %d times, want 1", len(got))
		}
		a.dropped(dropSequence, dropSequence)
	})
}

func TestECN(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, n *network) {
		a, b := n.site(1), &site{n: n, index: 2}
		j := n.joinAlone(a, b, link{})
		f := n.forge(j)
		for _, tt := range []struct {
			delivery, payload uint8
			want              int // -1: dropped
		}{{0, 0xb8, 0xb8}, {0x03, 0x02, 0x03}, {0x03, 0x00, -1}} {
			p := udp(b.lan(9), a.lan(9), "")
			mustHeader(t, p).SetTOS(tt.payload)
			d := f.delivery(47, greOf(0x0800, p))
			mustHeader(t, d).SetTOS(tt.delivery)
			f.send(4, d)
			got := a.got()
			switch {
			case tt.want < 0 && len(got) == 0:
			case tt.want >= 0 && len(got) == 1 && int(mustHeader(t, got[0]).TOS()) == tt.want:
			default:
				t.Errorf("RFC 6040: delivery TOS %#x, payload %#x: got % x", tt.delivery, tt.payload, got)
			}
		}
		a.dropped(dropECN)
	})
}

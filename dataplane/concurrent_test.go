package dataplane

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/fib"
	"meshrouter/dataplane/segment"
	"meshrouter/dataplane/underlay"
	"meshrouter/internal/ipv4"
	"meshrouter/tun"
)

// pipeline is two engines back to back with real goroutines: what enters at in leaves at out.
type pipeline struct {
	a, b    *Engine
	in, out tun.Queue
	joint   joint
}

func newPipeline(tb testing.TB, l link, offload bool) *pipeline {
	tb.Helper()
	hub := underlay.NewHub()
	n := &network{hub: hub}
	if t, ok := tb.(*testing.T); ok {
		n.t = t
	}
	p := &pipeline{}
	ctx, cancel := context.WithCancel(tb.Context())
	var done sync.WaitGroup
	tb.Cleanup(func() {
		cancel()
		done.Wait()
	})
	start := func(s *site) (*Engine, tun.Queue) {
		device, host := pairOf(offload)
		e, err := New(Config{Queues: []Queue{device.Queues()[0]}, Underlay: hub.Join(s.outer())})
		if err != nil {
			tb.Fatal(err)
		}
		done.Go(func() {
			if err := e.Run(ctx); err != nil {
				tb.Errorf("Run: %v", err)
			}
		})
		return e, host.Queues()[0]
	}
	sa, sb := &site{n: n, index: 1}, &site{n: n, index: 2}
	p.a, p.in = start(sa)
	p.b, p.out = start(sb)
	l.mode, l.mtu = esp.Tunnel, 1422
	p.joint = joint{l, 0, sa, sb}
	back := joint{l, 0, sb, sa}
	p.a.Update(func(u *Update) {
		u.SetTunnel(p.joint.config())
		u.SetOutbound(0, mustSA(tb, esp.NewOutbound, p.joint.params(1)))
		u.SetRoutes([]fib.Route{{Prefix: sb.lanPrefix(), NextHops: []fib.NextHop{{Tunnel: 0}}}}, nil)
	})
	p.b.Update(func(u *Update) {
		u.SetTunnel(back.config())
		u.AddInbound(0, mustSA(tb, esp.NewInbound, p.joint.params(1)))
		u.SetRoutes([]fib.Route{{Prefix: sb.lanPrefix(), NextHops: []fib.NextHop{{Local: true}}}}, nil)
	})
	return p
}

// The forwarding path allocates nothing per packet: TUN, FIB, cutting, GRE, seal, open, FIB, joining, TUN.
func TestForwardingDoesNotAllocate(t *testing.T) {
	for _, cipher := range []esp.Cipher{0, esp.AESGCM16} {
		for _, l := range []load{
			{link: link{cipher: cipher}, tunnels: 100, busy: 100, size: 1000},
			{link: link{cipher: cipher}, tunnels: 1, busy: 1, size: 1000, large: true},
		} {
			t.Run(l.String(), func(t *testing.T) {
				r := newRig(t, l)
				for range 20 { // until all buffers have their size
					r.check(t)
				}
				if n := testing.AllocsPerRun(20, r.move); n != 0 {
					t.Errorf("%v allocations for %d packets, want 0", n, r.count)
				}
			})
		}
	}
}

// Nor do the goroutines around it.
func TestPipelineDoesNotAllocate(t *testing.T) {
	p := newPipeline(t, link{cipher: esp.AESGCM16}, false)
	pkt := udp(inner4(1), inner4(2), string(make([]byte, 1000)))
	const batch = 32
	out := slices.Repeat([]segment.Group{{Pieces: [][]byte{pkt}}}, batch)
	move := func() {
		if _, err := p.in.Write(out); err != nil {
			t.Fatal(err)
		}
		for got := 0; got < batch; {
			ps, err := p.out.Read()
			if err != nil {
				t.Fatal(err)
			}
			got += len(ps)
		}
	}
	for range 100 { // until all buffers have their size
		move()
	}
	if n := testing.AllocsPerRun(100, move); n >= 1 {
		t.Errorf("%v allocations for %d packets, want 0", n, batch)
	}
}

// While packets flow, SAs come and go. After Update has removed one, its counters may be given away:
// nobody writes to them any more.
func TestRemovedSAIsNotUsedAnyMore(t *testing.T) {
	t.Parallel()
	p := newPipeline(t, link{}, true)
	ctx, cancel := context.WithCancel(t.Context())
	var flow sync.WaitGroup
	flow.Go(func() {
		pkt := udp(inner4(1), inner4(2), "")
		for ctx.Err() == nil {
			if writeAll(p.in, pkt, pkt, pkt) != nil {
				return
			}
		}
	})
	var delivered atomic.Int64
	flow.Go(func() {
		for {
			ps, err := p.out.Read()
			if errors.Is(err, os.ErrClosed) {
				return
			}
			delivered.Add(int64(len(ps)))
		}
	})
	counters := func(sa *esp.SA) [4]uint64 {
		c := sa.Counters()
		return [4]uint64{c.NextSeq.Load(), c.HighSeq.Load(), c.Packets.Load(), c.Bytes.Load()}
	}
	used := 0
	for generation := 2; generation < 60; generation++ {
		in := mustSA(t, esp.NewInbound, p.joint.params(generation))
		p.b.Update(func(u *Update) { u.AddInbound(0, in) })
		out := mustSA(t, esp.NewOutbound, p.joint.params(generation))
		p.a.Update(func(u *Update) { u.SetOutbound(0, out) })
		for delivered.Swap(0) == 0 && generation%4 == 0 {
			continue // until some packets have come through
		}
		p.a.Update(func(u *Update) { u.RemoveOutbound(0, out.SPI()) })
		afterOut := counters(out)
		p.b.Update(func(u *Update) { u.RemoveInbound(in.SPI()) })
		afterIn := counters(in)
		if afterOut[0] > 0 {
			used++
		}
		p.a.Update(func(u *Update) { u.SetRoutes(nil, nil) })
		if now := counters(out); now != afterOut {
			t.Fatalf("outbound counters went from %v to %v after the SA was removed", afterOut, now)
		}
		if now := counters(in); now != afterIn {
			t.Fatalf("inbound counters went from %v to %v after the SA was removed", afterIn, now)
		}
	}
	if used == 0 {
		t.Error("no SA was ever used: the test shows nothing")
	}
	cancel()
	// The queues end with the pipeline, and the two goroutines with them.
	t.Cleanup(flow.Wait)
	if err := p.in.Close(); err != nil {
		t.Error(err)
	}
	if err := p.out.Close(); err != nil {
		t.Error(err)
	}
}

// idle is an engine whose workers are driven by hand.
func idle(tb testing.TB, l link) *worker {
	tb.Helper()
	device, host := tun.OffloadPair()
	sa, sb := &site{index: 1}, &site{index: 2}
	e, err := New(Config{Queues: []Queue{device.Queues()[0]}, Underlay: underlay.NewHub().Join(sa.outer())})
	if err != nil {
		tb.Fatal(err)
	}
	go func() { // the host, which reads and forgets; ends with the device
		for {
			if _, err := host.Queues()[0].Read(); err != nil {
				return
			}
		}
	}()
	tb.Cleanup(func() {
		if err := device.Close(); err != nil {
			tb.Error(err)
		}
	})
	l.mtu = 1422
	j := joint{l, 0, sa, sb}
	back := joint{l, 0, sb, sa}
	e.Update(func(u *Update) {
		u.SetTunnel(j.config())
		u.AddInbound(0, mustSA(tb, esp.NewInbound, back.params(1)))
		u.SetOutbound(0, mustSA(tb, esp.NewOutbound, j.params(1)))
		u.SetRoutes([]fib.Route{
			{Prefix: sa.lanPrefix(), NextHops: []fib.NextHop{{Local: true}}},
			{Prefix: netip.MustParsePrefix("0.0.0.0/0"), NextHops: []fib.NextHop{{Tunnel: 0}}},
		}, nil)
	})
	return newWorker(e, e.queues[0], 0)
}

// Whatever the host puts into the TUN device, nothing panics.
func FuzzFromHost(f *testing.F) {
	f.Add(udp(inner4(1), inner4(2), "x"), uint8(0), uint8(0), uint16(0), uint16(0), uint16(0))
	f.Add(syn(inner4(1), inner4(2), 1460), uint8(1), uint8(0), uint16(0), uint16(20), uint16(16))
	f.Add(udp(inner4(1), inner4(2), string(make([]byte, 3000))), uint8(0), uint8(0), uint16(0), uint16(0), uint16(0))
	f.Add(largeTCP(inner4(1), inner4(2), 9000), uint8(1), uint8(1), uint16(1000), uint16(20), uint16(16))
	f.Add(largeTCP(inner4(1), inner4(2), 9000), uint8(1), uint8(1), uint16(2000), uint16(20), uint16(16))
	w := idle(f, link{mode: esp.Tunnel})
	f.Fuzz(func(t *testing.T, pkt []byte, flags, gso uint8, size, start, offset uint16) {
		if len(pkt) > 65535 {
			return
		}
		p := segment.Packet{Buf: pkt, End: len(pkt)}
		p.Offload = segment.Offload{Flags: flags, GSOType: gso, GSOSize: size, CsumStart: start, CsumOffset: offset}
		w.begin()
		w.fromHost(&p)
		w.finish()
	})
}

// Whatever a peer with the keys puts into ESP, nothing panics.
func FuzzFromPeer(f *testing.F) {
	outer := func(protocol uint8, payload []byte) []byte {
		return packet(ipv4.Fields{TTL: 64, Protocol: protocol, Src: netip.MustParseAddr("192.0.2.2"), Dst: netip.MustParseAddr("192.0.2.1")}, payload)
	}
	f.Add(uint8(4), false, outer(47, greOf(0x0800, udp(inner4(2), inner4(1), "x"))))
	f.Add(uint8(47), true, greOf(0x0800, udp(inner4(2), inner4(7), "x")))
	f.Add(uint8(4), false, echoRequest(netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.1"), 1))
	f.Add(uint8(1), true, echoRequest(netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.1"), 1)[20:])
	f.Add(uint8(4), false, outer(47, greOf(0x0800, ospfPacket(inner4(2), netip.MustParseAddr("224.0.0.5"), 44))))
	tunnelWorker := idle(f, link{mode: esp.Tunnel})
	transportWorker := idle(f, link{mode: esp.Transport})
	f.Fuzz(func(t *testing.T, next uint8, transport bool, payload []byte) {
		if len(payload) > 60000 {
			return
		}
		w := tunnelWorker
		if transport {
			w = transportWorker
		}
		in := w.e.view.Load().tunnel(0).inbound[0]
		w.begin()
		w.opened(in, []esp.Job{{SA: in.sa, Pkt: bytes.Clone(payload), NextHeader: next}})
		w.finish()
	})
}

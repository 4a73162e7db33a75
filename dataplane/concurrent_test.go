package dataplane

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/fib"
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

func newPipeline(tb testing.TB, l link) *pipeline {
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
		device, host := tun.Pair()
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

// The forwarding path allocates nothing per packet: TUN, FIB, GRE, seal, underlay, open, FIB, TUN.
func TestForwardingDoesNotAllocate(t *testing.T) {
	for name, l := range map[string]link{"3des": {}, "gcm": {cipher: esp.AESGCM16}} {
		t.Run(name, func(t *testing.T) {
			p := newPipeline(t, l)
			pkt := udp(inner4(1), inner4(2), string(make([]byte, 1000)))
			const batch = 32
			out := make([][]byte, batch)
			for i := range out {
				out[i] = pkt
			}
			bufs, sizes := make([][]byte, batch), make([]int, batch)
			for i := range bufs {
				bufs[i] = make([]byte, 2000)
			}
			move := func() {
				if _, err := p.in.Write(out, 0); err != nil {
					t.Fatal(err)
				}
				for got := 0; got < batch; {
					n, err := p.out.Read(bufs, sizes, 0)
					if err != nil {
						t.Fatal(err)
					}
					got += n
				}
			}
			for range 100 { // until all buffers have their size
				move()
			}
			if n := testing.AllocsPerRun(100, move); n >= 1 {
				t.Errorf("%v allocations for %d packets, want 0", n, batch)
			}
		})
	}
}

// While packets flow, SAs come and go. After Update has removed one, its counters may be given away:
// nobody writes to them any more.
func TestRemovedSAIsNotUsedAnyMore(t *testing.T) {
	t.Parallel()
	p := newPipeline(t, link{})
	ctx, cancel := context.WithCancel(t.Context())
	var flow sync.WaitGroup
	flow.Go(func() {
		pkt := udp(inner4(1), inner4(2), "")
		for ctx.Err() == nil {
			if _, err := p.in.Write([][]byte{pkt, pkt, pkt}, 0); err != nil {
				return
			}
		}
	})
	var delivered atomic.Int64
	flow.Go(func() {
		bufs, sizes := [][]byte{make([]byte, 2000)}, make([]int, 1)
		for {
			n, err := p.out.Read(bufs, sizes, 0)
			if errors.Is(err, os.ErrClosed) {
				return
			}
			delivered.Add(int64(n))
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
	device, host := tun.Pair()
	sa, sb := &site{index: 1}, &site{index: 2}
	e, err := New(Config{Queues: []Queue{device.Queues()[0]}, Underlay: underlay.NewHub().Join(sa.outer())})
	if err != nil {
		tb.Fatal(err)
	}
	go func() { // the host, which reads and forgets; ends with the device
		bufs, sizes := [][]byte{make([]byte, 65535)}, make([]int, 1)
		for {
			if _, err := host.Queues()[0].Read(bufs, sizes, 0); err != nil {
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
	return newWorker(e, e.queues[0])
}

// Whatever the host puts into the TUN device, nothing panics.
func FuzzFromHost(f *testing.F) {
	f.Add(udp(inner4(1), inner4(2), "x"))
	f.Add(syn(inner4(1), inner4(2), 1460))
	f.Add(udp(inner4(1), inner4(2), string(make([]byte, 3000))))
	w := idle(f, link{mode: esp.Tunnel})
	f.Fuzz(func(t *testing.T, pkt []byte) {
		if len(pkt) > 65535 {
			return
		}
		w.begin()
		w.fromHost(newFrame(pkt))
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
		buf := make([]byte, underlay.BufferSize)
		// As Open leaves it, in place behind header and IV.
		head, _ := in.sa.Overhead(0)
		start := underlay.HeadRoom + head
		end := start + copy(buf[start:], payload)
		p := underlay.Packet{Buf: buf, Payload: buf[underlay.HeadRoom:end], Local: in.sa.Dst(), Remote: in.sa.Src()}
		w.begin()
		w.opened(received{in, &p}, &esp.Job{SA: in.sa, Pkt: buf[start:end], NextHeader: next})
		w.finish()
	})
}

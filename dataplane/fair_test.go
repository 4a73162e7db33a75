package dataplane

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/fib"
	"meshrouter/dataplane/segment"
	"meshrouter/dataplane/underlay"
)

// A gate is an underlay that sends when it is told to, and takes time to do so.
type gate struct {
	*cable
	mu      sync.Mutex
	enter   chan int // the packets of each Send, when it begins
	leave   chan struct{}
	classes []uint8 // TOS of what was sent, in order
}

func (g *gate) Send(ps []esp.Sealed) (int, error) {
	g.mu.Lock()
	for _, p := range ps {
		g.classes = append(g.classes, p.TOS())
	}
	g.mu.Unlock()
	g.enter <- len(ps)
	<-g.leave
	return len(ps), nil
}

// Our own packets do not wait for an owner's lock; they leave behind the batch that is being sent, in
// front of all that the host has besides.
func TestInjectWaitsForOneBatchAtMost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := idle(t, link{mode: esp.Tunnel, cipher: esp.AESGCM16})
		g := &gate{cable: &cable{}, enter: make(chan int), leave: make(chan struct{})}
		w.e.underlay = g
		done := make(chan struct{})
		go func() { // the reader of a TUN queue; ends with its packets
			defer close(done)
			w.begin()
			for range 3 * maxBatch {
				p := udp(inner4(1), inner4(2), "")
				w.fromHost(&segment.Packet{Buf: p, End: len(p)})
			}
			w.finish()
		}()
		if n := <-g.enter; n != maxBatch {
			t.Fatalf("the first batch has %d packets, want %d", n, maxBatch)
		}
		for range 3 { // the lock is taken: none of these may block
			if err := w.e.Inject(0, ospfPacket(inner4(1), netip.MustParseAddr("224.0.0.5"), 44)); err != nil {
				t.Fatal(err)
			}
		}
		g.leave <- struct{}{}
		if n := <-g.enter; n != 3 {
			t.Errorf("behind the first batch %d packets left, want the 3 of ours", n)
		}
		g.leave <- struct{}{}
		for range 2 {
			if n := <-g.enter; n != maxBatch {
				t.Errorf("a batch of %d packets, want %d", n, maxBatch)
			}
			g.leave <- struct{}{}
		}
		<-done
		want := slices.Concat(slices.Repeat([]uint8{0}, maxBatch), []uint8{0xc0, 0xc0, 0xc0}, slices.Repeat([]uint8{0}, 2*maxBatch))
		if !bytes.Equal(g.classes, want) {
			t.Error("packets of ours did not leave right behind the first batch")
		}
	})
}

// What we send ourselves is bounded as everything is, and what does not fit is counted.
func TestInjectIsBounded(t *testing.T) {
	t.Parallel()
	w := idle(t, link{mode: esp.Tunnel})
	o := w.e.owner(0)
	o.mu.Lock()
	hello := ospfPacket(inner4(1), netip.MustParseAddr("224.0.0.5"), 44)
	for range maxUrgent {
		if err := w.e.Inject(0, hello); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.e.Inject(0, hello); !errors.Is(err, ErrFull) {
		t.Errorf("Inject of one too many: %v, want ErrFull", err)
	}
	o.mu.Unlock()
	c := &cable{}
	w.e.underlay = c
	if err := w.e.Inject(0, hello); !errors.Is(err, ErrFull) {
		t.Errorf("while nobody has sent them: %v, want ErrFull", err)
	}
	o.lock()
	o.unlock()
	if err := w.e.Inject(0, hello); err != nil {
		t.Error(err)
	}
	if len(c.packets) != maxUrgent+1 {
		t.Errorf("%d packets left, want %d", len(c.packets), maxUrgent+1)
	}
	if n := w.e.Drops()[dropControlQueue.String()]; n != 2 {
		t.Errorf("%d drops counted, want 2", n)
	}
}

// A slow underlay is a gate without a keeper: it takes its time by the clock of the test.
type slow struct {
	*cable
	now     *time.Time
	perByte time.Duration
	longest time.Duration
	sizes   []int
}

func (s *slow) Send(ps []esp.Sealed) (int, error) {
	bytes := 0
	for _, p := range ps {
		bytes += len(p.Bytes())
	}
	took := time.Duration(bytes) * s.perByte
	*s.now = s.now.Add(took)
	s.longest = max(s.longest, took)
	s.sizes = append(s.sizes, len(ps))
	return len(ps), nil
}

// However slow a cipher is, a batch keeps the owner for its turn only, once its pace is known.
func TestBatchesOfASlowCipherAreSmall(t *testing.T) {
	t.Parallel()
	for perByte, want := range map[time.Duration][2]int{ // bounds of the packets in a batch
		time.Nanosecond:       {maxBatch, maxBatch},
		30 * time.Nanosecond:  {10, 14},
		10 * time.Microsecond: {5, 7}, // 8 KB: some progress has to be
	} {
		t.Run(perByte.String(), func(t *testing.T) {
			t.Parallel()
			w := idle(t, link{mode: esp.Tunnel, cipher: esp.AESGCM16})
			now := time.Unix(1000, 0)
			w.e.now = func() time.Time { return now }
			s := &slow{cable: &cable{}, now: &now, perByte: perByte}
			w.e.underlay = s
			push := func() {
				w.begin()
				for range 4 * maxBatch {
					p := udp(inner4(1), inner4(2), string(make([]byte, 1300)))
					w.fromHost(&segment.Packet{Buf: p, End: len(p)})
				}
				w.finish()
			}
			for range 60 { // until the pace is known
				push()
			}
			s.longest, s.sizes = 0, nil
			push()
			if n := slices.Max(s.sizes); n < want[0] || n > want[1] {
				t.Errorf("batches of up to %d packets, want %d to %d", n, want[0], want[1])
			}
			if limit := turn + 2000*perByte; perByte < time.Microsecond && s.longest > limit {
				t.Errorf("a batch took %v, want at most %v", s.longest, limit)
			}
		})
	}
}

// The forwarding path takes one lock a batch, at either end.
func TestOneLockABatch(t *testing.T) {
	r := newRig(t, load{link: link{cipher: esp.AESGCM16}, tunnels: 100, busy: 100, size: 500})
	r.check(t)
	owner, accepting := &r.from.e.owners[0].mu, &r.to.e.accepting
	before := [2]uint64{owner.taken, accepting.taken}
	const batches = 10
	for range batches {
		r.check(t)
	}
	if n := owner.taken - before[0]; n != batches {
		t.Errorf("the owner's lock was taken %d times for %d batches of %d packets", n, batches, r.count)
	}
	if n := accepting.taken - before[1]; n != batches {
		t.Errorf("the receivers' lock was taken %d times for %d batches of %d packets", n, batches, r.count)
	}
}

// Two readers with packets for one tunnel: they leave in the order of their sequence numbers.
func TestReadersKeepTheOrderOfAnSA(t *testing.T) {
	t.Parallel()
	w := idle(t, link{mode: esp.Tunnel, cipher: esp.AESGCM16})
	c := &cable{}
	w.e.underlay = c
	const readers, batches = 4, 50
	var done sync.WaitGroup
	for range readers {
		done.Go(func() { // a reader; ends with its packets
			w := newWorker(w.e, w.e.queues[0], -1)
			for range batches {
				w.begin()
				for range 10 {
					p := udp(inner4(1), inner4(2), "")
					w.fromHost(&segment.Packet{Buf: p, End: len(p)})
				}
				w.finish()
			}
		})
	}
	done.Wait()
	if len(c.packets) != readers*batches*10 {
		t.Fatalf("%d packets left, want %d", len(c.packets), readers*batches*10)
	}
	for i := range c.packets {
		if _, seq, _ := esp.Header(c.packets[i].Payload); seq != uint32(i+1) {
			t.Fatalf("packet %d has sequence number %d", i, seq)
		}
	}
}

// Several receivers have packets of the same SAs at the same time, and some of them twice: each is
// delivered once.
func TestReceiversShareAWindow(t *testing.T) {
	t.Parallel()
	r := newRig(t, load{link: link{cipher: esp.AESGCM16}, tunnels: 8, busy: 8, size: 200})
	const batches, receivers = 20, 3
	var sealed [][]underlay.Packet
	for range batches {
		r.cable.reset()
		r.from.begin()
		for i := range r.packets {
			copy(r.packets[i].Buf, r.headers[i][:])
			r.from.fromHost(&r.packets[i])
		}
		r.from.finish()
		sealed = append(sealed, slices.Clone(r.cable.packets))
		for i := range sealed[len(sealed)-1] {
			p := &sealed[len(sealed)-1][i]
			p.Payload = bytes.Clone(p.Payload)
		}
	}
	e := r.to.e
	delivered := make([]sink, receivers)
	var done sync.WaitGroup
	for k := range receivers {
		done.Go(func() { // a receiver; ends with its packets
			w := newWorker(e, &delivered[k], k)
			for i := range sealed {
				ps := slices.Clone(sealed[(i+k)%batches])
				for j := range ps {
					ps[j].Payload = bytes.Clone(ps[j].Payload)
				}
				w.fromPeers(ps)
			}
		})
	}
	done.Wait()
	total := 0
	for k := range delivered {
		total += delivered[k].packets
	}
	if want := batches * r.count; total != want {
		t.Errorf("%d packets delivered, want each of %d once", total, want)
	}
	if n := e.Drops()[dropReplay.String()]; n != (receivers-1)*batches*uint64(r.count) {
		t.Errorf("%d replays counted, want %d", n, (receivers-1)*batches*r.count)
	}
	opened, replays := uint64(0), uint64(0)
	for _, s := range e.Status() {
		opened += s.Inbound[0].Counters().Packets.Load()
		replays += s.Inbound[0].Counters().ReplayDrops.Load()
	}
	if opened != uint64(total) || replays != (receivers-1)*uint64(total) {
		t.Errorf("the SAs count %d packets and %d replays, want %d and %d", opened, replays, total, (receivers-1)*total)
	}
}

func TestProbeIsNotBoundByTheTunnelsMTU(t *testing.T) {
	t.Parallel()
	w := idle(t, link{mode: esp.Tunnel, cipher: esp.AESGCM16})
	c := &cable{}
	w.e.underlay = c
	probe := udp(inner4(1), inner4(2), string(make([]byte, 3000)))
	if err := w.e.Probe(0, probe); err != nil {
		t.Fatal(err)
	}
	if len(c.packets) != 0 || len(c.probes) != 1 {
		t.Fatalf("%d packets and %d probes left, want one probe", len(c.packets), len(c.probes))
	}
	in := mustSA(t, esp.NewInbound, joint{link{mode: esp.Tunnel, cipher: esp.AESGCM16}, 0, &site{index: 1}, &site{index: 2}}.params(1))
	jobs := []esp.Job{{SA: in, Pkt: c.probes[0].Bytes()}}
	new(esp.Batch).Open(jobs)
	if jobs[0].Err != nil || len(jobs[0].Pkt) != 24+len(probe) || !bytes.Equal(jobs[0].Pkt[24:], probe) {
		t.Errorf("the probe holds %d bytes (%v), want %d", len(jobs[0].Pkt), jobs[0].Err, 24+len(probe))
	}
	if err := w.e.Probe(1, probe); !errors.Is(err, ErrNoTunnel) {
		t.Errorf("unknown tunnel: %v, want ErrNoTunnel", err)
	}
	if err := w.e.Probe(0, []byte("nonsense")); err == nil {
		t.Error("Probe took nonsense")
	}
	if err := w.e.Probe(0, udp(inner4(1), inner4(2), string(make([]byte, 65400)))); err != nil {
		t.Errorf("65,438 bytes: %v", err)
	}
	if err := w.e.Probe(0, udp(inner4(1), inner4(2), string(make([]byte, 65490)))); err == nil {
		t.Error("Probe took a packet that leaves no room for GRE")
	}
	w.e.Update(func(u *Update) { u.RemoveOutbound(0, spi(&site{index: 1}, &site{index: 2}, 1)) })
	if err := w.e.Probe(0, probe); !errors.Is(err, ErrNoSA) {
		t.Errorf("without an SA: %v, want ErrNoSA", err)
	}
}

func TestMTUChangesAtRunTime(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, n *network) {
		a, b := n.site(1), n.site(2)
		ja, _ := n.join(a, b, link{})
		p := udp(inner4(1), inner4(2), string(make([]byte, 1300)))
		a.send(p)
		if got := b.got(); len(got) != 1 {
			t.Errorf("%d packets arrived, want 1", len(got))
		}
		before := a.Status()[0]
		a.Update(func(u *Update) {
			u.SetMTU(ja.id, 800)
			u.SetMTU(99, 800) // of no tunnel
		})
		a.send(p)
		if got := b.got(); len(got) != 2 {
			t.Errorf("%d pieces arrived, want 2", len(got))
		}
		after := a.Status()[0]
		want := before.Config
		want.MTU = 800
		if after.Config != want || after.Outbound != before.Outbound || len(after.Inbound) != 1 || after.PacketsOut != 3 {
			t.Errorf("status went from %+v to %+v", before, after)
		}
		a.dropped()
	})
}

// A change of routes copies neither the tunnels nor the tables of SAs and addresses.
func TestRoutesChangeAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, load{tunnels: 1000, busy: 1, size: 64})
	e := r.from.e
	before := e.view.Load()
	e.Update(func(u *Update) {
		u.SetRoutes([]fib.Route{{Prefix: netip.MustParsePrefix("30.0.0.0/8"), NextHops: []fib.NextHop{{Tunnel: 5}}}}, nil)
	})
	after := e.view.Load()
	if after == before || after.fib == before.fib {
		t.Error("the routes have not changed")
	}
	if &after.tunnels[0] != &before.tunnels[0] || after.inbound != before.inbound || after.addresses != before.addresses {
		t.Error("more than the routes was copied")
	}
}

// An address of ours is ours until the last tunnel that has it is gone.
func TestTunnelsShareAnAddress(t *testing.T) {
	t.Parallel()
	r := newRig(t, load{tunnels: 3, busy: 1, size: 64}) // all have the same
	e := r.to.e
	key := binary.BigEndian.Uint32([]byte{10, 255, 2, 1})
	for id, want := range []addresses{2, 1, 0} {
		e.Update(func(u *Update) {
			c := e.view.Load().tunnel(fib.TunnelID(id)).TunnelConfig
			u.SetTunnel(c) // again, which counts nothing twice
			u.RemoveTunnel(fib.TunnelID(id))
		})
		if n := e.view.Load().addresses.lookup(key); n != want {
			t.Errorf("after %d removals %d tunnels have the address, want %d", id+1, n, want)
		}
	}
}

func TestLoads(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, n *network) {
		a, b := n.site(1), n.site(2)
		n.join(a, b, link{})
		a.send(udp(inner4(1), inner4(2), ""))
		if got := b.got(); len(got) != 1 {
			t.Fatalf("%d packets arrived, want 1", len(got))
		}
		if err := a.Inject(0, ospfPacket(a.tunnelAddr(b), netip.MustParseAddr("224.0.0.5"), 44)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		var got []string
		for _, l := range a.Loads() {
			got = append(got, fmt.Sprint(l.Worker, " ", l.Batches, " ", l.Packets))
		}
		if want := []string{"TUN queue 0 1 1", "receiver 0 0 0", "owner 0 1 1"}; !slices.Equal(got, want) {
			t.Errorf("loads are %v, want %v", got, want)
		}
	})
	var m meter
	for range 200 {
		m.batch(1, 3*time.Millisecond, 7*time.Millisecond)
	}
	m.batch(5, time.Millisecond, 90*time.Millisecond)
	m.batch(5, time.Millisecond, -1)
	l := m.load("receiver %d", 3)
	if l.Worker != "receiver 3" || l.Packets != 210 || l.MaxBusy != 3*time.Millisecond || l.MaxWait != 90*time.Millisecond ||
		l.Wait < 10*time.Millisecond || l.Wait > 15*time.Millisecond {
		t.Errorf("load is %+v", l)
	}
	if l := m.load("", 0); l.MaxBusy != 0 || l.MaxWait != 0 {
		t.Errorf("the most since it was last asked for is %v and %v, want 0", l.MaxBusy, l.MaxWait)
	}
}

package dataplane

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"time"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/fib"
	"meshrouter/dataplane/gre"
	"meshrouter/dataplane/segment"
	"meshrouter/internal/ipv4"
)

const (
	// maxBatch is how many packets are sealed or opened at once.
	maxBatch = 128
	// arenaSize holds a batch and the largest packet behind it.
	arenaSize = esp.HeadRoom + maxBatchBytes + ipv4.MaxPacket + esp.HeadRoom + esp.TailRoom
	// yieldInterval is how long a worker that never has to wait runs before it lets others run: OSPF, IKE
	// and the receivers would else wait for the scheduler's 10 ms.
	yieldInterval = time.Millisecond
	// ICMP errors that a worker makes: so many a second, after so many at once.
	icmpRate, icmpBurst = 1000, 50
)

// A worker is what one goroutine needs for a batch. What is collected here leaves in finish, when
// no lock is held any more.
type worker struct {
	e        *Engine
	receiver int  // -1: it reads a TUN queue
	prompt   bool // packets that have waited too long are dropped: it receives data
	queue    Queue
	v        *view
	now      time.Time
	last     destination
	yielded  time.Time
	crypto   esp.Batch
	icmp     limiter

	// On the way into tunnels:
	arena  []byte // where the packets of a batch are sealed, side by side
	end    int    // of what is used of it
	out    []batch
	sealed []esp.Sealed
	cutter segment.Cutter
	one    segment.Packet // a packet that came through a tunnel, for the cutter
	piece  []byte         // a segment that is yet to be fragmented or refused

	// On the way out of them:
	pace     pace
	codel    codel
	waited   int // packets that were found waiting together
	jobs     []esp.Job
	from     []received // by job
	lastIn   *inbound
	replayed []replay
	toHost   segment.Merger
	hosted   int // packets in toHost
	control  []controlPacket
	moved    []movedPeer
}

// A batch is what a worker has for the tunnels of one owner.
type batch struct {
	jobs  []esp.Job // in the arena
	runs  []run     // of jobs, in their order
	bytes int
	rare  []outgoing // what is not in the arena
}

// A run is some jobs one after another that leave with the same SA.
type run struct {
	out         *outbound
	jobs, bytes int
}

// An outgoing packet is on its way into a tunnel, in memory of its own.
type outgoing struct {
	packet []byte
	tunnel fib.TunnelID
	// delivery: the packet is what GRE would be put into, an echo reply or a returned keepalive.
	delivery bool
	control  bool // from Inject: it does not wait for an SA
}

// A destination is what the view says of an address, remembered for the packets that follow.
type destination struct {
	addr uint32
	ours bool // it is one of our addresses inside the tunnels; known on the way out of them
	hops []fib.NextHop
	ok   bool
}

type controlPacket struct {
	tunnel fib.TunnelID
	packet []byte
}

func newWorker(e *Engine, q Queue, receiver int) *worker {
	w := &worker{
		e: e, queue: q, receiver: receiver, v: e.view.Load(),
		arena: make([]byte, arenaSize), end: esp.HeadRoom, out: make([]batch, len(e.owners)),
	}
	w.prompt = receiver >= 0 && !e.underlay.Control(receiver)
	w.toHost.TCP, w.toHost.UDP = q.Offloads()
	return w
}

// yield lets others run if that has not been done for long. What a worker has taken out at once may be
// work for tens of milliseconds, so it is called within a batch as well, whenever no lock is held.
func (w *worker) yield() {
	if now := w.e.now(); now.Sub(w.yielded) >= yieldInterval {
		runtime.Gosched()
		w.yielded = now
	}
}

// begin starts a batch.
func (w *worker) begin() {
	w.now = w.e.now()
	if v := w.e.view.Load(); v != w.v {
		w.v = v
		w.last = destination{}
	}
	w.lastIn = nil
}

// manyRoutes is how many routes a cache is sure to hold.
const manyRoutes = 10_000

// lookAhead looks the packets of a batch up one right after another. In a large table each look-up waits for
// memory several times; the processor can wait for all of them at once, but not for packets that are being
// sealed in between.
func (w *worker) lookAhead(ps []segment.Packet) {
	if len(ps) < 2 || w.v.fib.Len() < manyRoutes {
		return
	}
	for i := range ps {
		if pkt := ps[i].Buf[ps[i].Start:ps[i].End]; len(pkt) >= ipv4.HeaderLen {
			w.v.fib.NextHops(netip.AddrFrom4([4]byte(pkt[16:20])))
		}
	}
}

// finish lets out what the batch has collected.
func (w *worker) finish() {
	if w.hosted > 0 {
		w.deliver()
	}
	w.flush()
	for _, c := range w.control {
		if w.e.handlers.Control != nil {
			w.e.handlers.Control(c.tunnel, c.packet)
		}
	}
	for _, m := range w.moved {
		if w.e.handlers.Moved != nil {
			w.e.handlers.Moved(m.tunnel, m.to)
		}
	}
	w.control, w.moved = w.control[:0], w.moved[:0]
}

// deliver writes to the TUN device.
func (w *worker) deliver() {
	for groups := w.toHost.Groups(); len(groups) > 0; {
		n, err := w.queue.Write(groups)
		if err == nil {
			break
		}
		w.e.drops[dropTunWrite].Add(uint64(len(groups[n].Pieces))) // a piece a packet
		w.e.warn("writing to the TUN device failed", err)
		groups = groups[n+1:]
	}
	w.toHost.Reset()
	w.hosted = 0
}

func (w *worker) drop(r reason) { w.e.drops.add(r) }

// host gives a packet to the host. Its memory must live until finish.
func (w *worker) host(pkt []byte) {
	w.toHost.Add(pkt)
	w.hosted++
}

// destination asks the view where packets to an address go.
func (w *worker) destination(h ipv4.Header) *destination {
	addr := binary.BigEndian.Uint32(h[16:])
	if d := &w.last; !d.ok || d.addr != addr {
		hops := w.v.fib.NextHops(netip.AddrFrom4([4]byte(h[16:20])))
		*d = destination{addr: addr, hops: hops, ok: true}
		d.ours = w.receiver >= 0 && w.v.addresses.lookup(addr) > 0
	}
	return &w.last
}

// choose is the next hop for a packet.
func (d *destination) choose(pkt []byte) fib.NextHop {
	if len(d.hops) == 1 {
		return d.hops[0]
	}
	return fib.Choose(d.hops, ipv4.FlowHash(pkt))
}

// room makes a job of a packet of n bytes that leaves through a tunnel, with what goes in front already in
// the arena, and returns where the packet has to be put. When the batch is large enough it is sent
// before.
func (w *worker) room(o *outbound, n int, tos uint8) []byte {
	payload := len(o.template) + n
	head, tail := o.sa.Overhead(payload)
	size := head + payload + tail
	owner := w.e.owner(o.id)
	b := &w.out[owner.index]
	if len(b.jobs) >= maxBatch || b.bytes >= owner.pace.batch() || w.end+size > len(w.arena) {
		w.flush()
	}
	start := w.end + head
	room := w.arena[start-esp.HeadRoom : start+payload : w.end+size]
	w.end += size
	clear := room[esp.HeadRoom:]
	copy(clear, o.template)
	if len(b.runs) == 0 || b.runs[len(b.runs)-1].out != o {
		b.runs = append(b.runs, run{out: o})
	}
	r := &b.runs[len(b.runs)-1]
	r.jobs++
	r.bytes += n
	b.bytes += size
	b.jobs = append(b.jobs, esp.Job{SA: o.sa, Pkt: room, NextHeader: o.next, TOS: gre.OuterTOS(tos)})
	return clear[len(o.template):]
}

// send gives a packet to its tunnel's owner that is not worth a place in the arena.
func (w *worker) send(o outgoing) {
	b := &w.out[w.e.owner(o.tunnel).index]
	b.rare = append(b.rare, o)
}

// flush seals and sends what there is, and with it the arena is free again.
func (w *worker) flush() {
	for i := range w.out {
		if b := &w.out[i]; len(b.jobs)+len(b.rare) > 0 {
			w.e.owners[i].send(w, b)
			b.jobs, b.runs, b.rare, b.bytes = b.jobs[:0], b.runs[:0], b.rare[:0], 0
			w.yield()
		}
	}
	w.end = esp.HeadRoom
}

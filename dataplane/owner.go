package dataplane

import (
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/fib"
	"meshrouter/dataplane/gre"
	"meshrouter/internal/ipv4"
)

const (
	// maxPending is how many packets of a tunnel wait for an SA.
	maxPending = 16
	// acquireInterval is the least time between two Acquires of a tunnel.
	acquireInterval = time.Second
	// maxUrgent is how many of our own packets wait for an owner's lock.
	maxUrgent = 1024
)

// A lock is a mutex that counts how often it is taken, so that a test can hold it to once a batch.
type lock struct {
	sync.Mutex
	taken uint64
}

func (l *lock) Lock() {
	l.Mutex.Lock()
	l.taken++
}

func (l *lock) TryLock() bool {
	ok := l.Mutex.TryLock()
	if ok {
		l.taken++
	}
	return ok
}

// An owner numbers, seals and sends the packets of its tunnels. Whoever has packets does that in the
// owner's name, under its lock, once for a batch. Our own packets do not wait for the lock: they are
// left here if it is taken, and whoever has it sends them before it lets go.
type owner struct {
	e     *Engine
	index int
	pace  pace
	meter meter

	mu      lock
	crypto  esp.Batch
	jobs    []esp.Job
	sealed  []esp.Sealed
	acquire []fib.TunnelID

	waiting atomic.Bool // urgent is not empty
	leaving sync.Mutex  // of urgent; held for moments only
	urgent  []outgoing
	since   time.Time // when the first of urgent came
}

// lock takes the owner, and first of all sends what waits for it.
func (o *owner) lock() {
	o.mu.Lock()
	if o.waiting.Load() {
		o.sendUrgent()
	}
}

// unlock lets go of the owner. Packets that came meanwhile, and found the lock taken, leave before.
func (o *owner) unlock() {
	var acquire []fib.TunnelID
	for {
		acquire = append(acquire, o.acquire...)
		o.acquire = o.acquire[:0]
		o.mu.Unlock()
		if !o.waiting.Load() || !o.mu.TryLock() { // who has it now sends them
			break
		}
		o.sendUrgent()
	}
	for _, id := range acquire {
		if o.e.handlers.Acquire != nil {
			o.e.handlers.Acquire(id)
		}
	}
}

// hurry sends our own packets: at once, or after the batch that is being sent. It never waits. It
// reports false when too many wait already.
func (o *owner) hurry(now time.Time, out []outgoing) bool {
	o.leaving.Lock()
	ok := len(o.urgent)+len(out) <= maxUrgent
	if ok {
		if len(o.urgent) == 0 {
			o.since = now
		}
		o.urgent = append(o.urgent, out...)
		o.waiting.Store(true)
	}
	o.leaving.Unlock()
	if ok && o.mu.TryLock() {
		o.sendUrgent()
		o.unlock()
	}
	return ok
}

// sendUrgent sends what hurry has left.
func (o *owner) sendUrgent() {
	o.leaving.Lock()
	out, since := o.urgent, o.since
	o.urgent = nil
	o.waiting.Store(false)
	o.leaving.Unlock()
	if len(out) == 0 {
		return
	}
	now := o.e.now()
	o.jobs = o.prepare(now, out, o.jobs[:0])
	o.sealed = o.seal(&o.crypto, o.jobs, o.sealed)
	o.meter.batch(len(out), o.e.now().Sub(now), now.Sub(since))
}

// flush sends what has waited for a tunnel's SA.
func (o *owner) flush(id fib.TunnelID) {
	o.lock()
	defer o.unlock()
	t := o.e.view.Load().tunnel(id)
	if t == nil || t.outbound() == nil {
		return
	}
	out := t.state.pending
	t.state.pending = nil
	o.jobs = o.prepare(o.e.now(), out, o.jobs[:0])
	o.sealed = o.seal(&o.crypto, o.jobs, o.sealed)
}

// send numbers, seals and sends a worker's batch.
func (o *owner) send(w *worker, b *batch) {
	o.lock()
	defer o.unlock()
	// The view is loaded under the lock: see Engine.quiesce.
	v, jobs, gaps := o.e.view.Load(), b.jobs, false
	for _, r := range b.runs {
		mine := jobs[:r.jobs]
		jobs = jobs[r.jobs:]
		if v != w.v && !v.uses(r.out) {
			b.rare = append(b.rare, r.again(mine)...)
		} else if seq, ok := o.number(r.out, r.jobs, r.bytes, w.now); ok {
			for i := range mine {
				mine[i].Seq = seq + uint64(i)
				r.out.complete(&mine[i])
			}
			continue
		}
		for i := range mine {
			mine[i].SA = nil
		}
		gaps = true
	}
	if gaps {
		b.jobs = slices.DeleteFunc(b.jobs, func(j esp.Job) bool { return j.SA == nil })
	}
	if len(b.rare) > 0 {
		b.jobs = o.prepare(w.now, b.rare, b.jobs)
	}
	if b.bytes < paceSample { // too little to measure
		w.sealed = o.seal(&w.crypto, b.jobs, w.sealed)
		return
	}
	before := o.e.now()
	w.sealed = o.seal(&w.crypto, b.jobs, w.sealed)
	o.pace.add(b.bytes, o.e.now().Sub(before))
}

// uses reports whether packets of its tunnel leave as o says.
func (v *view) uses(o *outbound) bool {
	t := v.tunnel(o.id)
	return t != nil && t.outbound() == o
}

// again takes packets out of jobs that were made for an SA that is not used any more.
func (r run) again(jobs []esp.Job) []outgoing {
	var out []outgoing
	for i := range jobs {
		pkt := jobs[i].Pkt[esp.HeadRoom+len(r.out.template):]
		out = append(out, outgoing{packet: slices.Clone(pkt), tunnel: r.out.id})
	}
	return out
}

// number hands out the sequence numbers of so many packets, the first of which it returns.
func (o *owner) number(out *outbound, packets, bytes int, now time.Time) (seq uint64, ok bool) {
	seq, err := out.sa.NextSequence(packets)
	if err != nil {
		// A rekey is long overdue; as far as traffic is concerned there is no SA.
		o.e.drops[dropSequence].Add(uint64(packets)) //nolint:gosec // G115: a count
		o.want(out.tunnel, out.id, now)
		return 0, false
	}
	s := out.tunnel                                           // whose only writer we are
	s.packetsOut.Store(s.packetsOut.Load() + uint64(packets)) //nolint:gosec // G115: a count
	s.bytesOut.Store(s.bytesOut.Load() + uint64(bytes))       //nolint:gosec // G115: a length
	out.sa.Touch(now)
	return seq, true
}

// seal seals and sends what is numbered.
func (o *owner) seal(crypto *esp.Batch, jobs []esp.Job, sealed []esp.Sealed) []esp.Sealed {
	if len(jobs) == 0 {
		return sealed
	}
	sealed = crypto.Seal(jobs, sealed[:0])
	if failed := len(jobs) - len(sealed); failed > 0 {
		o.e.drops[dropSeal].Add(uint64(failed))
	}
	n, err := o.e.underlay.Send(sealed)
	if failed := len(sealed) - n; failed > 0 {
		o.e.drops[dropSend].Add(uint64(failed))
		o.e.warn("sending to a peer failed", err)
	}
	return sealed
}

// prepare appends the numbered jobs of packets that are not in an arena. Those without an SA wait.
func (o *owner) prepare(now time.Time, out []outgoing, jobs []esp.Job) []esp.Job {
	v := o.e.view.Load()
	for i := range out {
		t := v.tunnel(out[i].tunnel)
		if t == nil {
			o.e.drops.add(dropNoTunnel)
			continue
		}
		via := t.outbound()
		if via == nil {
			o.wait(t, now, out[i])
			continue
		}
		if seq, ok := o.number(via, 1, len(out[i].packet), now); ok {
			jobs = append(jobs, via.encapsulate(out[i], seq))
		}
	}
	return jobs
}

// encapsulate makes a job of a packet, in memory of its own.
func (o *outbound) encapsulate(p outgoing, seq uint64) esp.Job {
	j := esp.Job{SA: o.sa, Seq: seq, NextHeader: o.next, TOS: gre.OuterTOS(p.packet[1])}
	front, pkt := o.template, p.packet
	if p.delivery {
		front = nil
		if o.sa.Mode() == esp.Transport { // the outer header is the delivery header, and says the protocol
			j.NextHeader = pkt[9]
			pkt = pkt[int(pkt[0]&15)*4:]
		}
	}
	n := len(front) + len(pkt)
	j.Pkt = make([]byte, esp.HeadRoom+n, esp.HeadRoom+n+esp.TailRoom)
	clear := j.Pkt[esp.HeadRoom:]
	copy(clear[copy(clear, front):], pkt)
	if !p.delivery {
		o.complete(&j)
	}
	return j
}

// complete fills in what differs in the delivery headers of a tunnel's packets. The identification
// counts as the sequence numbers do; a delivery packet is never cut by us, so nobody needs it.
func (o *outbound) complete(j *esp.Job) {
	if o.next != esp.NextHeaderIPv4 {
		return
	}
	packet := j.Pkt[esp.HeadRoom:]
	tos, id := gre.DeliveryTOS(packet[len(o.template)+1]), uint16(j.Seq&0xffff)
	packet[1] = tos
	binary.BigEndian.PutUint16(packet[2:], uint16(len(packet))) //nolint:gosec // G115: maxMTU bounds it
	binary.BigEndian.PutUint16(packet[4:], id)
	binary.BigEndian.PutUint16(packet[10:], ^ipv4.Fold(o.sum+uint64(tos)+uint64(len(packet))+uint64(id)))
}

// wait keeps the newest packets of a tunnel without an SA, and asks for one.
func (o *owner) wait(t *tunnel, now time.Time, p outgoing) {
	if p.control { // protocols repeat themselves, and are no reason to negotiate
		o.e.drops.add(dropNoSA)
		return
	}
	s := t.state
	if len(s.pending) == maxPending {
		o.e.drops.add(dropNoSA)
		s.pending = append(s.pending[:0], s.pending[1:]...)
	}
	s.pending = append(s.pending, p)
	o.want(s, t.ID, now)
}

// want asks for an SA, unless that was done just now.
func (o *owner) want(s *tunnelState, id fib.TunnelID, now time.Time) {
	if s.lastAcquire.IsZero() || now.Sub(s.lastAcquire) >= acquireInterval {
		s.lastAcquire = now
		o.acquire = append(o.acquire, id)
	}
}

package dataplane

import (
	"encoding/binary"
	"sync"
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
	// tcpIPHeaders is what a segment adds to its payload, bytes (RFC 9293, 3.7.1).
	tcpIPHeaders = 40
)

// fromHost routes a packet that the host has sent into the TUN device. The kernel has verified it and
// counted its hop.
func (w *worker) fromHost(f frame) {
	h, _, err := ipv4.Parse(f.pkt())
	if err != nil {
		w.drop(dropMalformed) // IPv6 too, which the tunnels do not carry
		return
	}
	f.end = f.start + h.TotalLen()
	hop, ok := w.v.fib.Lookup(h.Dst(), ipv4.FlowHash(f.pkt()))
	switch {
	case !ok:
		w.drop(dropNoRoute)
	case hop.Local:
		w.drop(dropHostLoop)
	default:
		w.toTunnel(nil, hop.Tunnel, f, h)
	}
}

// toTunnel makes a packet fit its tunnel and sends it there: clamped, fragmented or refused with an
// ICMP error. It came from the host (nil) or another tunnel.
func (w *worker) toTunnel(from *tunnel, id fib.TunnelID, f frame, h ipv4.Header) {
	t := w.v.tunnel(id)
	if t == nil {
		w.drop(dropNoTunnel)
		return
	}
	clampMSS(f, h, t)
	if h.TotalLen() <= t.MTU {
		w.send(outgoing{frame: f, tunnel: id})
		return
	}
	if h.DF() {
		w.drop(dropTooBig)
		w.icmpError(from, func(room []byte) []byte { return ipv4.ICMPFragNeeded(room, f.pkt(), t.Address, t.MTU) })
		return
	}
	err := ipv4.Fragment(f.pkt(), t.MTU, func(piece []byte) {
		w.send(outgoing{frame: newFrame(piece), tunnel: id})
	})
	if err != nil {
		w.drop(dropTooBig)
	}
}

// clampMSS keeps TCP from sending, in either direction, segments that would need fragmentation.
func clampMSS(f frame, h ipv4.Header, t *tunnel) {
	if h.Protocol() == ipv4.ProtocolTCP && t.MTU > tcpIPHeaders {
		ipv4.ClampMSS(f.pkt(), uint16(t.MTU-tcpIPHeaders)) //nolint:gosec // withConfig bounds the MTU
	}
}

// icmpError sends an ICMP error back to where a packet came from, the host (nil) or a tunnel. build
// appends it to room, or returns nil if none may be sent.
func (w *worker) icmpError(from *tunnel, build func(room []byte) []byte) {
	buf := build(make([]byte, headRoom, headRoom+1024))
	if buf == nil {
		return
	}
	if !w.icmp.allow(w.now, icmpRate, icmpBurst) {
		w.drop(dropICMPRate)
		return
	}
	f := frame{buf[:cap(buf)], headRoom, len(buf)}
	if from == nil {
		w.host(f)
		return
	}
	// The error quotes what came through the tunnel, so it may go only where our routes lead: the
	// host might send it to the internet.
	h, _, err := ipv4.Parse(f.pkt())
	if err != nil {
		return
	}
	switch hop, ok := w.v.fib.Lookup(h.Dst(), 0); {
	case !ok:
		w.drop(dropNoRoute)
	case hop.Local:
		w.host(f)
	default:
		w.send(outgoing{frame: f, tunnel: hop.Tunnel})
	}
}

// An owner numbers, seals and sends the packets of its tunnels, under its lock.
type owner struct {
	e *Engine

	mu      sync.Mutex
	batch   esp.Batch
	jobs    []esp.Job
	sealed  []esp.Sealed
	acquire []fib.TunnelID
}

// send encapsulates, seals and sends packets, in order. It reports how many had an SA.
func (o *owner) send(now time.Time, out []outgoing) int {
	o.mu.Lock()
	n := o.sendLocked(now, out)
	acquire := o.acquire
	o.acquire = nil
	o.mu.Unlock()
	for _, id := range acquire {
		if o.e.handlers.Acquire != nil {
			o.e.handlers.Acquire(id)
		}
	}
	return n
}

func (o *owner) sendLocked(now time.Time, out []outgoing) int {
	// The view is loaded under the lock: see Engine.quiesce.
	v := o.e.view.Load()
	o.jobs, o.sealed = o.jobs[:0], o.sealed[:0]
	for len(out) > 0 {
		run := 1
		for run < len(out) && out[run].tunnel == out[0].tunnel {
			run++
		}
		o.number(v, now, out[:run])
		out = out[run:]
	}
	if len(o.jobs) == 0 {
		return 0
	}
	o.sealed = o.batch.Seal(o.jobs, o.sealed)
	if failed := len(o.jobs) - len(o.sealed); failed > 0 {
		o.e.drops[dropSeal].Add(uint64(failed))
	}
	n, err := o.e.underlay.Send(o.sealed)
	if failed := len(o.sealed) - n; failed > 0 {
		o.e.drops[dropSend].Add(uint64(failed))
		o.e.warn("sending to a peer failed", err)
	}
	return len(o.jobs)
}

// number makes jobs of the packets of one tunnel.
func (o *owner) number(v *view, now time.Time, out []outgoing) {
	t := v.tunnel(out[0].tunnel)
	if t == nil {
		o.e.drops[dropNoTunnel].Add(uint64(len(out)))
		return
	}
	sa := t.outbound()
	if sa == nil {
		o.wait(t, now, out)
		return
	}
	seq, err := sa.NextSequence(len(out))
	if err != nil {
		// A rekey is long overdue; as far as traffic is concerned there is no SA.
		o.e.drops[dropSequence].Add(uint64(len(out)))
		o.want(t, now)
		return
	}
	bytes := 0
	for i := range out {
		bytes += out[i].end - out[i].start
		o.jobs = append(o.jobs, t.encapsulate(sa, &out[i]))
		o.jobs[len(o.jobs)-1].Seq = seq + uint64(i)
	}
	t.state.packetsOut.Add(uint64(len(out)))
	t.state.bytesOut.Add(uint64(bytes))
	sa.Touch(now)
}

// encapsulate puts GRE and, in tunnel mode, the delivery header in front of a packet.
func (t *tunnel) encapsulate(sa *esp.SA, o *outgoing) esp.Job {
	j := esp.Job{SA: sa, NextHeader: esp.NextHeaderIPv4, TOS: gre.OuterTOS(o.buf[o.start+1])}
	start := o.start
	switch {
	case o.delivery && sa.Mode() == esp.Transport:
		// The outer header is the delivery header, and says the protocol.
		j.NextHeader = o.buf[start+9]
		start += int(o.buf[start]&15) * 4
	case o.delivery:
	case sa.Mode() == esp.Transport:
		j.NextHeader = esp.NextHeaderGRE
		start -= len(t.delivery) - ipv4.HeaderLen
		copy(o.buf[start:o.start], t.delivery[ipv4.HeaderLen:])
	default:
		start -= len(t.delivery)
		copy(o.buf[start:o.start], t.delivery)
		h := ipv4.Header(o.buf[start : start+ipv4.HeaderLen])
		h[1] = gre.DeliveryTOS(o.buf[o.start+1])
		binary.BigEndian.PutUint16(h[2:], uint16(o.end-start)) //nolint:gosec // 65535 at most: withConfig bounds the MTU
		binary.BigEndian.PutUint16(h[4:], t.state.ipID)
		t.state.ipID++
		h.UpdateChecksum()
	}
	j.Pkt = o.buf[start-esp.HeadRoom : o.end]
	return j
}

// wait keeps copies of the newest packets of a tunnel without an SA, and asks for one.
func (o *owner) wait(t *tunnel, now time.Time, out []outgoing) {
	traffic := false
	for i := range out {
		if out[i].control { // protocols repeat themselves, and are no reason to negotiate
			o.e.drops.add(dropNoSA)
			continue
		}
		traffic = true
		copied := out[i]
		copied.frame = newFrame(out[i].pkt())
		t.state.pending = append(t.state.pending, copied)
	}
	if n := len(t.state.pending) - maxPending; n > 0 {
		o.e.drops[dropNoSA].Add(uint64(n))
		t.state.pending = append(t.state.pending[:0], t.state.pending[n:]...)
	}
	if traffic {
		o.want(t, now)
	}
}

// want asks for an SA, unless that was done just now.
func (o *owner) want(t *tunnel, now time.Time) {
	if s := t.state; s.lastAcquire.IsZero() || now.Sub(s.lastAcquire) >= acquireInterval {
		s.lastAcquire = now
		o.acquire = append(o.acquire, t.ID)
	}
}

// flush sends what has waited for a tunnel's SA.
func (o *owner) flush(id fib.TunnelID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := o.e.view.Load().tunnel(id)
	if t == nil || t.outbound() == nil {
		return
	}
	out := t.state.pending
	t.state.pending = nil
	o.sendLocked(o.e.now(), out)
}

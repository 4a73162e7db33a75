package ospf

import (
	"fmt"
	"slices"
	"time"
)

// Pacing of Link State Updates: floodBurst packets may leave an interface at once, then as many
// every floodPause.
const (
	floodBurst = 10
	floodPause = 20 * time.Millisecond
	ackDelay   = 500 * time.Millisecond // of delayed acknowledgments; less than any RxmtInterval, and before an early repetition
)

// A budget counts the packets of a pause.
type budget struct {
	since time.Time
	used  int
}

func (b *budget) take(now time.Time) bool {
	if now.Sub(b.since) >= floodPause {
		*b = budget{since: now}
	}
	if b.used == floodBurst {
		return false
	}
	b.used++
	return true
}

// receiveUpdate takes the LSAs of a Link State Update one by one (RFC 2328, 13).
func (n *neighbor) receiveUpdate(s *step, where string, u LinkStateUpdate) {
	if !n.adjacent() {
		s.count("update_before_exchange")
		return
	}
	for _, l := range u.LSAs {
		h := l.Header()
		body, name, err := inspectLSA(h, l)
		if err != nil {
			s.refuse(n.f, n, name, fmt.Errorf("%s: %v: %w", where, h.LSAKey, err))
			continue
		}
		if !n.receiveLSA(s, h, l, body) {
			return
		}
	}
	s.run()
}

// maxLSASize is what fits into one IP packet with all headers and a digest.
const maxLSASize = 65535 - ipHeaderSize - HeaderSize - lsUpdateFixedSize - digestSize

// inspectLSA is steps 1 and 2 of RFC 2328, 13, and what makes an LSA unusable or unsendable beyond them.
func inspectLSA(h LSAHeader, l LSA) (b lsaBody, counter string, err error) {
	switch {
	case !h.Type.known():
		return b, "lsa_unknown_type", fmt.Errorf("LS type %d is unknown (RFC 2328, 13 (2))", uint8(h.Type))
	case !l.ChecksumOK():
		return b, "lsa_bad_checksum", fmt.Errorf("its checksum %#04x is wrong (RFC 2328, 13 (1))", h.Checksum)
	case h.Age&^doNotAge > MaxAge:
		return b, "lsa_bad_age", fmt.Errorf("its age %d is above MaxAge (RFC 2328, 12.1.1)", h.Age&^doNotAge)
	case h.Sequence == reservedSequence:
		return b, "lsa_bad_sequence", fmt.Errorf("its sequence number is the reserved one (RFC 2328, 12.1.6)")
	case len(l) > maxLSASize:
		return b, "lsa_bad_length", fmt.Errorf("its %d bytes would not fit into a packet, which takes %d", len(l), maxLSASize)
	case h.Type == RouterLSAType && uint32(h.ID) != uint32(h.AdvRouter):
		return b, "lsa_bad_body", fmt.Errorf("a router-LSA's link state id is its router's (RFC 2328, 12.4.1)")
	}
	b, err = parseBody(h.Type, l.Body())
	return b, "lsa_bad_body", err
}

// receiveLSA is steps 4 to 8 of RFC 2328, 13; false stops the processing of the packet.
func (n *neighbor) receiveLSA(s *step, h LSAHeader, l LSA, body lsaBody) bool {
	in := s.in
	e := in.db.get(h.LSAKey)
	if h.age() == MaxAge && e == nil && in.loading == 0 { // (4)
		n.acknowledgeNow(s, h)
		return true
	}
	order := 1
	if e != nil {
		order = h.compare(e.header(s.now))
	}
	_, requested := n.requests.get(h.LSAKey)
	switch {
	case order > 0: // (5)
		n.takeNewer(s, e, l, body)
	case requested: // (6)
		s.fire(n, badLSReq, fmt.Sprintf("its database description promised a newer %v than it sent", h.LSAKey))
		return false
	case order == 0: // (7)
		if !n.acknowledged(s, e) {
			n.acknowledgeNow(s, h)
		}
	case e.age(s.now) == MaxAge && e.lsa.Header().Sequence == MaxSequenceNumber: // (8)
		s.count("lsa_older_than_wrapping")
	default:
		s.count("lsa_older")
		if s.now.Sub(e.lastSent) >= in.cfg.MinLSArrival {
			n.answers.put(e, struct{}{})
			n.f.markDirty(s)
		}
	}
	return true
}

// arrivalBurst is how many instances of an LSA may come within one MinLSArrival. A router that has become adjacent makes
// one just after the database exchange has carried the last one all over the area; more in a row are too many.
const arrivalBurst = 3

// arrivals counts the instances of one LSA that came from neighbors.
type arrivals struct {
	since time.Time
	count int
}

// take says whether another instance may come now.
func (a *arrivals) take(now time.Time, minLSArrival time.Duration) bool {
	if now.Sub(a.since) >= minLSArrival {
		*a = arrivals{since: now}
	}
	if a.count == arrivalBurst {
		return false
	}
	a.count++
	return true
}

// takeNewer is step (5): the LSA is more recent than the database copy e, if there is one.
func (n *neighbor) takeNewer(s *step, e *lsaEntry, l LSA, body lsaBody) {
	in, h := s.in, l.Header()
	if e != nil && !e.arrivals.take(s.now, in.cfg.MinLSArrival) { // (a)
		s.count("lsa_min_arrival")
		return
	}
	grows := len(l)
	if e != nil {
		grows -= len(e.lsa)
	}
	if s.in.dbFull(0, grows) && (e == nil || grows > 0) {
		s.event(n.f, "lsdb_full", true, fmt.Sprintf("%s: the database is full (%d LSAs, %d bytes): %v from %v is not kept",
			n.f.cfg.Name, len(in.db.all), in.db.bytes, h.LSAKey, n.id))
		n.acknowledgeNow(s, h)
		n.answered(s, h.LSAKey)
		return
	}
	first := e == nil
	e = s.install(slices.Clone(l), body)
	e.received, e.link = true, n.f
	if first {
		e.arrivals.take(s.now, in.cfg.MinLSArrival)
	}
	s.flood(e, n)            // (b), (c)
	n.acknowledgeLater(s, h) // (e)
	if s.isOurs(h.LSAKey) {  // (f)
		s.receiveOwn(e)
	}
	s.reap(e)
}

// flood sends e, just installed, to whom it concerns (RFC 2328, 13.3); from is the neighbor that
// sent it, or nil.
func (s *step) flood(e *lsaEntry, from *neighbor) {
	h := e.header(s.now)
	for _, f := range s.in.interfaces {
		for _, n := range f.neighbors {
			if !n.adjacent() {
				continue
			}
			if n.state != Full {
				if r, ok := n.requests.get(e.key); ok {
					order := h.compare(r.LSAHeader)
					if order < 0 {
						continue
					}
					n.answered(s, e.key)
					if order == 0 {
						continue
					}
				}
			}
			if n == from || !n.takes(e) {
				continue
			}
			n.addRetransmit(s, e)
			f.queue(s, e)
		}
	}
}

// takes says whether the neighbor wants LSAs like e: opaque ones only if it says so, and link-local
// ones only on their link (RFC 5250, 3.1).
func (n *neighbor) takes(e *lsaEntry) bool {
	if e.key.Type == OpaqueLinkType && e.link != n.f {
		return false
	}
	return !e.key.Type.opaque() || n.options&OptionO != 0
}

// queue puts e among what the interface floods at the end of the step.
func (f *ospfInterface) queue(s *step, e *lsaEntry) {
	f.pending.put(e, struct{}{})
	f.markDirty(s)
}

func (f *ospfInterface) markDirty(s *step) {
	if !f.dirty {
		f.dirty = true
		s.in.dirty = append(s.in.dirty, f)
	}
}

// flush sends what is pending, as far as the budget goes; the pacer calls it again.
func (f *ospfInterface) flush(s *step) {
	for f.hasPending() {
		if !f.budget.take(s.now) {
			f.pacer.set(s, f.budget.since.Add(floodPause))
			return
		}
		f.flushOne(s)
	}
}

// flushAll sends what is pending regardless of the budget: the interface is about to go.
func (f *ospfInterface) flushAll(s *step) {
	f.sendDirectAcks(s)
	for f.hasPending() {
		f.flushOne(s)
	}
}

func (f *ospfInterface) hasPending() bool {
	if f.pending.len() > 0 {
		return true
	}
	return slices.ContainsFunc(f.neighbors, func(n *neighbor) bool { return n.answers.len() > 0 })
}

// flushOne sends one Link State Update: answers to requests first.
func (f *ospfInterface) flushOne(s *step) {
	for _, n := range f.neighbors {
		if n.answers.len() > 0 {
			f.sendUpdate(s, drain(s, f, &n.answers))
			return
		}
	}
	f.sendUpdate(s, drain(s, f, &f.pending))
}

// drain takes LSAs from the head of q until a packet is full. One that is too large for the MTU
// makes a packet of its own, which IP fragments (RFC 2328, 4.3).
func drain(s *step, f *ospfInterface, q *queue[*lsaEntry, struct{}]) []LSA {
	var lsas []LSA
	room := f.bodySize() - lsUpdateFixedSize
	for e := range q.all() {
		if e.removed {
			q.remove(e)
			continue
		}
		if len(lsas) > 0 && len(e.lsa) > room {
			break
		}
		q.remove(e)
		lsas = append(lsas, e.outgoing(s.now, f.cfg.InfTransDelay))
		room -= len(e.lsa)
	}
	return lsas
}

// sendUpdate sends to AllSPFRouters: on a point-to-point link everything goes there (RFC 2328, 8.1).
func (f *ospfInterface) sendUpdate(s *step, lsas []LSA) {
	if len(lsas) > 0 {
		f.send(s, allSPFRouters(), LSUpdatePacket, LinkStateUpdate{lsas})
	}
}

// arrivalMargin is what queues and clocks on the way may take from the distance of two instances.
const arrivalMargin = 100 * time.Millisecond

// arrival is the distance at which a neighbor takes the next instance of an LSA, MinLSArrival, on the safe side.
func (in *Instance) arrival() time.Duration { return in.cfg.MinLSArrival + arrivalMargin }

// addRetransmit puts e on the Link state retransmission list, as sent now. One that follows its predecessor
// closely is repeated early: FRR and BIRD refuse it for MinLSArrival even if they had asked for the predecessor, OpenBSD's
// ospfd counts in whole seconds and refuses it for up to two; all do so without a word (13 (5)(a)).
func (n *neighbor) addRetransmit(s *step, e *lsaEntry) {
	if _, there := n.retransmit.get(e); !there {
		e.holders++
	}
	n.retransmit.put(e, s.now)
	if !n.retransmitTimer.running() {
		n.retransmitTimer.set(s, s.now.Add(n.f.cfg.RxmtInterval))
	}
	if s.now.Sub(e.previous) < 2*s.in.arrival() {
		n.repeats.put(e, s.now)
		n.repeatTimer.setEarlier(s, s.now.Add(s.in.arrival()))
	}
}

// repeatDue sends again what may have come too early for the neighbor, if it is not acknowledged yet.
func (n *neighbor) repeatDue(s *step) {
	for e, sent := range n.repeats.all() {
		if due := sent.Add(s.in.arrival()); due.After(s.now) {
			n.repeatTimer.set(s, due)
			return
		}
		n.repeats.remove(e)
		if _, waits := n.retransmit.get(e); waits {
			n.addRetransmit(s, e)
			n.f.queue(s, e)
			s.count("lsa_retransmitted")
		}
	}
}

// acknowledged takes e off the Link state retransmission list; false when it is not on it.
func (n *neighbor) acknowledged(s *step, e *lsaEntry) bool {
	if !n.retransmit.remove(e) {
		return false
	}
	n.repeats.remove(e)
	s.release(e)
	if n.retransmit.len() == 0 {
		n.retransmitTimer.stop(s)
	}
	return true
}

// retransmitDue sends again what was not acknowledged for RxmtInterval (RFC 2328, 13.6).
func (n *neighbor) retransmitDue(s *step) {
	due := s.now.Add(-n.f.cfg.RxmtInterval)
	waiting := func() bool { return n.retransmit.first != nil && !n.retransmit.first.value.After(due) }
	for waiting() && n.f.budget.take(s.now) {
		var lsas []LSA
		room := n.f.bodySize() - lsUpdateFixedSize
		for waiting() {
			e := n.retransmit.first.key
			if len(lsas) > 0 && len(e.lsa) > room {
				break
			}
			lsas = append(lsas, e.outgoing(s.now, n.f.cfg.InfTransDelay))
			room -= len(e.lsa)
			n.retransmit.put(e, s.now)
			s.count("lsa_retransmitted")
		}
		n.f.sendUpdate(s, lsas)
	}
	switch first := n.retransmit.first; {
	case waiting():
		n.retransmitTimer.set(s, n.f.budget.since.Add(floodPause))
	case first != nil:
		n.retransmitTimer.set(s, first.value.Add(n.f.cfg.RxmtInterval))
	}
}

// receiveAck is RFC 2328, 13.7.
func (n *neighbor) receiveAck(s *step, a LinkStateAck) {
	if !n.adjacent() {
		s.count("ack_before_exchange")
		return
	}
	for _, h := range a.Headers {
		e := s.in.db.get(h.LSAKey)
		if e == nil || h.compare(e.header(s.now)) != 0 || !n.acknowledged(s, e) {
			s.count("ack_unexpected")
		}
	}
}

// acknowledgeNow and acknowledgeLater are the direct and the delayed acknowledgment of RFC 2328,
// 13.5. Both go to AllSPFRouters.
func (n *neighbor) acknowledgeNow(s *step, h LSAHeader) {
	n.f.direct = append(n.f.direct, h.aged())
	n.f.markDirty(s)
}

func (n *neighbor) acknowledgeLater(s *step, h LSAHeader) {
	f := n.f
	f.acks = append(f.acks, h.aged())
	if len(f.acks) >= f.acksPerPacket() {
		f.sendAcks(s)
		return
	}
	if !f.ackTimer.running() {
		f.ackTimer.set(s, s.now.Add(ackDelay))
	}
}

func (f *ospfInterface) acksPerPacket() int { return f.bodySize() / LSAHeaderSize }

func (f *ospfInterface) sendAcks(s *step) {
	f.ackTimer.stop(s)
	f.acknowledge(s, &f.acks)
}

func (f *ospfInterface) sendDirectAcks(s *step) { f.acknowledge(s, &f.direct) }

func (f *ospfInterface) acknowledge(s *step, headers *[]LSAHeader) {
	for part := range slices.Chunk(*headers, f.acksPerPacket()) {
		f.send(s, allSPFRouters(), LSAckPacket, LinkStateAck{part})
	}
	*headers = (*headers)[:0]
}

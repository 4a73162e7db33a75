package ospf

import (
	"fmt"
	"time"
)

// ddIdentity is what makes a Database Description packet a duplicate (RFC 2328, 10.6).
type ddIdentity struct {
	taken    bool
	options  Options
	flags    DDFlags
	sequence uint32
}

// A request is an entry of the Link state request list.
type request struct {
	LSAHeader
	asked bool // in the packet under way
}

// startExchange sends the first Database Description, claiming to be the master (RFC 2328, 10.3, 10.8).
func (n *neighbor) startExchange(s *step) {
	if n.ddSequence == 0 {
		n.ddSequence = clockSequence(s.now)
	}
	n.ddSequence++
	n.master = true
	n.sendDD(s, DatabaseDescription{Flags: FlagI | FlagM | FlagMS})
}

// restartExchange begins the exchange anew after an error in it.
func (n *neighbor) restartExchange(s *step) {
	n.clearLists(s)
	n.startExchange(s)
}

// sendDD sends d with the constant fields filled in, and remembers it for retransmission.
func (n *neighbor) sendDD(s *step, d DatabaseDescription) {
	d.Options, d.Sequence = ourOptions, n.ddSequence
	n.lastSent = d
	n.resendDD(s)
}

func (n *neighbor) resendDD(s *step) {
	n.lastSent.MTU = n.f.cfg.DDMTU // which may have been corrected since
	n.f.send(s, allSPFRouters(), DatabaseDescriptionPacket, n.lastSent)
	if n.state == ExStart || n.master && n.state == Exchange {
		n.ddTimer.set(s, s.now.Add(n.f.cfg.RxmtInterval))
	}
}

// ddDue repeats the packet that was not answered; a slave that is done forgets it (RFC 2328, 10.8).
func (n *neighbor) ddDue(s *step) {
	switch n.state {
	case ExStart, Exchange:
		n.resendDD(s)
	case Loading, Full:
		n.lastSent, n.lastTaken = DatabaseDescription{}, ddIdentity{}
	default:
	}
}

// receiveDD is RFC 2328, 10.6.
func (n *neighbor) receiveDD(s *step, where string, d DatabaseDescription) {
	if !n.acceptMTU(s, where, d) {
		return
	}
	if n.state == Init {
		s.fire(n, twoWayReceived, "")
	}
	switch n.state {
	case ExStart:
		if !n.negotiate(s, d) {
			s.count("dd_ignored_in_exstart")
			return
		}
		s.fire(n, negotiationDone, "")
		n.takeDD(s, d)
	case Exchange:
		n.exchangeDD(s, d)
		n.beginAnew(s, d)
	case Loading, Full:
		if d.identity() == n.lastTaken {
			n.duplicateDD(s)
			return
		}
		s.fire(n, seqNumberMismatch, fmt.Sprintf("a new database description (%v, sequence %d) after the exchange", d.Flags, d.Sequence))
		n.beginAnew(s, d)
	default:
		s.count("dd_before_two_way")
	}
}

// beginAnew takes d once more if it was the master's first of a new exchange and has brought us back to ExStart. (10.6 would
// wait until the master sends it again, a RxmtInterval later.)
func (n *neighbor) beginAnew(s *step, d DatabaseDescription) {
	if n.state == ExStart && d.Flags&FlagI != 0 && n.negotiate(s, d) {
		s.fire(n, negotiationDone, "")
		n.takeDD(s, d)
	}
}

func (d DatabaseDescription) identity() ddIdentity {
	return ddIdentity{true, d.Options, d.Flags, d.Sequence}
}

// acceptMTU compares the Interface MTU with ours. A larger one is refused on strict interfaces only: the
// tunnels of old routers announce sizes that have nothing to do with what fits.
func (n *neighbor) acceptMTU(s *step, where string, d DatabaseDescription) bool {
	if int(d.MTU) <= n.f.cfg.MTU {
		return true
	}
	err := &MismatchError{where, "Interface MTU", d.MTU, fmt.Sprintf("at most %d", n.f.cfg.MTU), "RFC 2328, 10.6"}
	if n.f.cfg.StrictMTU {
		s.refuse(n.f, n, "dd_mtu_mismatch", err)
		return false
	}
	if !n.mtuTold {
		n.mtuTold = true
		s.event(n.f, "dd_mtu_larger", true, err.Error()+"; accepted, as the interface is not strict")
	}
	return true
}

// negotiate settles who is master; false when d settles nothing.
func (n *neighbor) negotiate(s *step, d DatabaseDescription) bool {
	switch {
	case d.Flags == FlagI|FlagM|FlagMS && len(d.Headers) == 0 && n.id > s.in.cfg.RouterID:
		n.master = false
		n.ddSequence = d.Sequence
	case d.Flags&(FlagI|FlagMS) == 0 && d.Sequence == n.ddSequence && n.id < s.in.cfg.RouterID:
		n.master = true
	default:
		return false
	}
	n.options = d.Options
	n.ddTimer.stop(s)
	return true
}

// listDatabase fills the Database summary list; LSAs at MaxAge go to the retransmission list instead
// (RFC 2328, 10.3, NegotiationDone).
func (n *neighbor) listDatabase(s *step) {
	for _, e := range s.in.db.all {
		if !n.takes(e) {
			continue
		}
		if e.age(s.now) == MaxAge {
			n.addRetransmit(s, e)
			n.f.queue(s, e)
			continue
		}
		n.summary = append(n.summary, e)
	}
}

// exchangeDD takes a packet in state Exchange.
func (n *neighbor) exchangeDD(s *step, d DatabaseDescription) {
	want := n.ddSequence
	if !n.master {
		want++
	}
	var wrong string
	switch {
	case d.identity() == n.lastTaken:
		n.duplicateDD(s)
		return
	case d.Flags&FlagMS != 0 == n.master:
		wrong = "both ends say they are master, or neither does"
	case d.Flags&FlagI != 0:
		wrong = "the neighbor has begun the exchange anew"
	case d.Options != n.options:
		wrong = fmt.Sprintf("its options changed from %#02x to %#02x", uint8(n.options), uint8(d.Options))
	case d.Sequence != want:
		wrong = fmt.Sprintf("its sequence number is %d, want %d", d.Sequence, want)
	}
	if wrong != "" {
		s.fire(n, seqNumberMismatch, "database description: "+wrong)
		return
	}
	n.takeDD(s, d)
}

// duplicateDD: the slave answers again, the master does nothing.
func (n *neighbor) duplicateDD(s *step) {
	s.count("dd_duplicate")
	if !n.master {
		n.resendDD(s)
	}
}

// takeDD accepts d as the next in sequence: its headers, then the answer (RFC 2328, 10.6, 10.8).
func (n *neighbor) takeDD(s *step, d DatabaseDescription) {
	n.lastTaken = d.identity()
	if !n.takeHeaders(s, d.Headers) {
		return
	}
	if n.master {
		n.ddSequence++
		if d.Flags&FlagM == 0 && n.lastSent.Flags&FlagM == 0 {
			n.ddTimer.stop(s)
			s.fire(n, exchangeDone, "")
			return
		}
		n.describe(s, FlagMS)
	} else {
		n.ddSequence = d.Sequence
		n.describe(s, 0)
		if d.Flags&FlagM == 0 && n.lastSent.Flags&FlagM == 0 {
			// Duplicates are answered for RouterDeadInterval more.
			s.fire(n, exchangeDone, "")
			n.ddTimer.set(s, s.now.Add(n.f.cfg.RouterDeadInterval))
			return
		}
	}
	n.ask(s)
}

// takeHeaders puts what is new to us on the Link state request list; false when the packet was bad.
func (n *neighbor) takeHeaders(s *step, headers []LSAHeader) bool {
	for _, h := range headers {
		if !h.Type.known() {
			s.fire(n, seqNumberMismatch, fmt.Sprintf("database description: LS type %d is unknown", uint8(h.Type)))
			return false
		}
		e := s.in.db.get(h.LSAKey)
		if e != nil && e.header(s.now).compare(h) >= 0 {
			continue
		}
		if e == nil && s.in.dbFull(n.requests.len(), 0) {
			s.event(n.f, "lsdb_full", true, fmt.Sprintf("%s: the database is full (%d LSAs): not asking %v for %v", n.f.cfg.Name, len(s.in.db.all), n.id, h.LSAKey))
			continue
		}
		if r, there := n.requests.get(h.LSAKey); there {
			r.LSAHeader = h
			continue
		}
		n.requests.put(h.LSAKey, request{LSAHeader: h})
	}
	return true
}

// describe sends the next part of the Database summary list.
func (n *neighbor) describe(s *step, flags DDFlags) {
	d := DatabaseDescription{Flags: flags}
	room := (n.f.bodySize() - ddFixedSize) / LSAHeaderSize
	for len(n.summary) > 0 && len(d.Headers) < room {
		if e := n.summary[0]; !e.removed {
			d.Headers = append(d.Headers, e.header(s.now).aged())
		}
		n.summary = n.summary[1:]
	}
	if len(n.summary) > 0 {
		d.Flags |= FlagM
	} else {
		n.summary = nil
	}
	n.sendDD(s, d)
}

// load follows ExchangeDone: what is on the request list is still to come (RFC 2328, 10.3).
func (n *neighbor) load(s *step) {
	if n.requests.len() == 0 {
		n.become(s, Full, "")
		return
	}
	n.become(s, Loading, "")
	n.ask(s)
}

// ask sends a Link State Request unless one is under way (RFC 2328, 10.9).
func (n *neighbor) ask(s *step) {
	if n.asked == 0 && n.requests.len() > 0 {
		n.sendRequest(s)
	}
}

// sendRequest asks for the head of the request list; the timer repeats it.
func (n *neighbor) sendRequest(s *step) {
	var q LinkStateRequest
	room := n.f.bodySize() / lsRequestSize
	for k, r := range n.requests.all() {
		if len(q.LSAs) == room {
			break
		}
		r.asked = true
		q.LSAs = append(q.LSAs, k)
	}
	n.asked = len(q.LSAs)
	if n.asked == 0 {
		return
	}
	n.f.send(s, allSPFRouters(), LSRequestPacket, q)
	n.askTimer.set(s, s.now.Add(n.f.cfg.RxmtInterval))
}

// answered takes k off the request list and goes on when the packet's requests are done.
func (n *neighbor) answered(s *step, k LSAKey) {
	r, ok := n.requests.get(k)
	if !ok {
		return
	}
	if r.asked {
		n.asked--
	}
	n.requests.remove(k)
	if n.asked == 0 {
		n.askTimer.stop(s)
		n.ask(s)
	}
	if n.requests.len() == 0 && n.state == Loading {
		s.raise(n, loadingDone, "")
	}
}

// receiveRequest answers a Link State Request (RFC 2328, 10.7).
func (n *neighbor) receiveRequest(s *step, q LinkStateRequest) {
	if !n.adjacent() {
		s.count("request_before_exchange")
		return
	}
	for _, k := range q.LSAs {
		e := s.in.db.get(k)
		if e == nil {
			s.fire(n, badLSReq, fmt.Sprintf("it asks for %v, which we do not have", k))
			return
		}
		n.answers.put(e, struct{}{})
	}
	n.f.markDirty(s)
}

// stuckReason says in words what a neighbor between two-way and full waits for.
func (n *neighbor) stuckReason(now time.Time) string {
	switch n.state {
	case Init:
		return "its hellos do not name us: it does not hear ours, or refuses them"
	case ExStart:
		return fmt.Sprintf("no answer to our first database description for %v", now.Sub(n.since).Truncate(time.Second))
	case Loading:
		return fmt.Sprintf("%d LSAs asked for have not come for %v", n.requests.len(), now.Sub(n.since).Truncate(time.Second))
	default:
		return ""
	}
}

package ospf

import (
	"bytes"
	"fmt"
	"time"
)

// origination is what is known about our router-LSA, the one kind that we make.
type origination struct {
	wanted   bool      // something it says may have changed
	since    time.Time // since when an instance is wanted and held back; zero when none is
	force    bool      // a new instance is due even if nothing has
	timer    timer
	last     time.Time     // of the last instance that somebody heard
	row      int           // how many came before it without a quiet time
	pause    time.Duration // until the next may follow
	sequence Sequence      // the highest seen; it outlives the removal of the LSA
	empty    bool          // it was said that there is nothing to announce
	wrapping time.Time     // since when the last number of the sequence is being flushed
}

// wrapPatience is how long neighbors may take to acknowledge the flush before the sequence starts again:
// one of them that never does shall not keep us out of the area.
const wrapPatience = 30 * time.Second

func (in *Instance) routerKey() LSAKey {
	return LSAKey{RouterLSAType, LinkStateID(in.cfg.RouterID), in.cfg.RouterID}
}

// routerLSA describes our interfaces (RFC 2328, 12.4.1).
func (in *Instance) routerLSA() (l RouterLSA, left int) {
	for _, f := range in.interfaces {
		if f.linkUp {
			l.Links = append(l.Links, f.links()...)
		}
	}
	const most = (maxLSASize - LSAHeaderSize - routerLSAFixedSize) / routerLinkSize
	if len(l.Links) > most {
		left = len(l.Links) - most
		l.Links = l.Links[:most]
	}
	return l, left
}

// links are the interface's links: to the neighbor if it is Full, and the stub network behind it
// (RFC 2328, 12.4.1.1).
func (f *ospfInterface) links() []RouterLink {
	var links []RouterLink
	cost := uint16(f.cfg.Cost) //nolint:gosec // withDefaults bounds it
	for _, n := range f.neighbors {
		if f.active() && n.state == Full {
			links = append(links, RouterLink{uint32(n.id), number(f.cfg.Address.Addr()), PointToPointLink, cost})
		}
	}
	if stub, ok := f.stub(); ok {
		m := mask(stub.Bits())
		links = append(links, RouterLink{number(stub.Addr()) & m, m, StubLink, cost})
	}
	return links
}

// What an origination waits for.
const (
	settleTime  = 10 * time.Millisecond  // the interfaces come up before the first neighbor hears of them
	gatherStep  = 100 * time.Millisecond // after a step of any neighbor towards Full, or an interface's coming up: for the next
	gatherTime  = 500 * time.Millisecond // for all of them
	quickInRow  = 3                      // instances that may follow one another at the least distance
	quietFactor = 2                      // in MinLSIntervals: after that time a change counts as the first one
)

// originateIfWanted makes a new instance of our router-LSA if it would say something new. The first change goes out at
// once, repeated ones keep a distance: MinLSArrival for a few, then doubling up to MinLSInterval. (The RFC has
// MinLSInterval from the first; then a new adjacency would carry nothing for five seconds.)
func (s *step) originateIfWanted() {
	for own := &s.in.own; own.wanted; {
		own.wanted = false
		if own.since.IsZero() {
			own.since = s.now
		}
		if due := s.originationDue(); s.now.Before(due) {
			own.timer.set(s, due)
			return
		}
		own.since = time.Time{}
		s.originate()
	}
}

// originationDue is when the instance that is wanted may go out. While nobody listens it takes its settleTime. Otherwise
// a loss goes out at once, while it is worth a moment to wait as long as neighbors are coming up, since the instance after
// this one has to wait for longer: adjacencies that come up together are announced together, and a neighbor that restarts
// and is back at once is not announced as lost.
func (s *step) originationDue() time.Time {
	in, own := s.in, &s.in.own
	if !in.hasAdjacency() {
		return own.since.Add(settleTime)
	}
	hold := own.since
	for _, f := range in.interfaces {
		if f.state == InterfacePointToPoint && len(f.neighbors) == 0 {
			hold = latest(hold, f.since.Add(gatherStep))
		}
		for _, n := range f.neighbors {
			if n.state > Down {
				hold = latest(hold, n.since.Add(gatherStep))
			}
		}
	}
	if most := own.since.Add(gatherTime); hold.After(most) {
		hold = most
	}
	return latest(hold, own.last.Add(own.pause))
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (in *Instance) hasAdjacency() bool {
	for _, f := range in.interfaces {
		for _, n := range f.neighbors {
			if n.adjacent() {
				return true
			}
		}
	}
	return false
}

func (s *step) originate() {
	in, own := s.in, &s.in.own
	own.timer.stop(s)
	key := in.routerKey()
	e := in.db.get(key)
	l, left := in.routerLSA()
	if left > 0 {
		s.event(nil, "router_lsa_too_large", true, fmt.Sprintf("our router-LSA has no room for %d of its links", left))
	}
	if len(l.Links) == 0 {
		s.announceNothing(e)
		return
	}
	own.empty = false
	body := l.Append(nil)
	if e != nil && !own.force && !e.received && e.age(s.now) < MaxAge && bytes.Equal(e.lsa.Body(), body) {
		return
	}
	if e != nil {
		own.sequence = max(own.sequence, e.lsa.Header().Sequence)
	}
	if own.sequence == MaxSequenceNumber && !s.wrap(e) {
		return
	}
	s.issue(key, body)
}

// announceNothing flushes our router-LSA: one without links is refused by OpenBSD's ospfd, so none
// is made.
func (s *step) announceNothing(e *lsaEntry) {
	own := &s.in.own
	if e == nil || own.empty {
		return
	}
	own.sequence = max(own.sequence, e.lsa.Header().Sequence)
	if e.age(s.now) < MaxAge {
		own.empty = true
		s.prematureAge(e)
		s.event(nil, "router_lsa_empty", false, "no interface is up: our router-LSA is flushed and none is originated")
	}
}

// wrap ends the sequence space (RFC 2328, 12.1.6): the instance with the last number is flushed, and when it is
// gone the numbers start again. It reports whether it is gone.
func (s *step) wrap(e *lsaEntry) bool {
	own := &s.in.own
	if e == nil {
		own.sequence, own.wrapping = reservedSequence, time.Time{}
		return true
	}
	if own.wrapping.IsZero() {
		own.wrapping = s.now
		s.event(nil, "sequence_wrapped", true, fmt.Sprintf("%v has used its last sequence number: it is flushed and starts again", e.key))
	}
	if e.age(s.now) < MaxAge {
		s.prematureAge(e)
	} else if s.now.Sub(own.wrapping) >= wrapPatience {
		s.forget(e)
		s.in.db.remove(e)
	}
	if e.removed {
		own.wanted = true
	} else {
		own.timer.set(s, own.wrapping.Add(wrapPatience))
	}
	return false
}

// issue installs and floods the next instance of an LSA of ours.
func (s *step) issue(key LSAKey, body []byte) {
	own := &s.in.own
	own.sequence++
	own.force = false
	if s.in.hasAdjacency() {
		own.backOff(s.now, s.in.arrival(), s.in.cfg.MinLSInterval)
	}
	l := NewLSA(LSAHeader{Options: ourOptions, LSAKey: key, Sequence: own.sequence}, body)
	parsed, err := parseBody(key.Type, body)
	if err != nil {
		panic(fmt.Sprintf("ospf: an LSA of our own does not parse: %v", err))
	}
	e := s.install(l, parsed)
	e.timer.set(s, s.now.Add(lsRefreshTime-jitter(key.AdvRouter, own.sequence)))
	s.flood(e, nil)
	s.count("lsa_originated")
}

// backOff notes an origination and says when the next may follow.
func (o *origination) backOff(now time.Time, least, most time.Duration) {
	o.row++
	if now.Sub(o.last) > quietFactor*most {
		o.row, o.pause = 0, 0
	}
	if o.row >= quickInRow {
		least = 2 * o.pause
	}
	o.last, o.pause = now, min(least, most)
}

// refresh makes the next instance of an LSA of ours although nothing has changed (RFC 2328, 12.4).
func (s *step) refresh(e *lsaEntry) {
	if e.key == s.in.routerKey() {
		s.in.own.wanted, s.in.own.force = true, true
		s.count("lsa_refreshed")
	}
}

// jitter is a time below refreshJitter that differs from router to router and from one instance
// to the next.
func jitter(id RouterID, seq Sequence) time.Duration {
	x := (uint64(id)<<32 | uint64(uint32(seq))) * 0x9e3779b97f4a7c15 //nolint:gosec // a hash
	return time.Duration(x>>32) * refreshJitter >> 32
}

// isOurs says whether an LSA claims to be of our making (RFC 2328, 13.4).
func (s *step) isOurs(k LSAKey) bool {
	if k.AdvRouter == s.in.cfg.RouterID {
		return true
	}
	if k.Type != NetworkLSAType {
		return false
	}
	for _, f := range s.in.interfaces {
		if f.linkUp && number(f.cfg.Address.Addr()) == uint32(k.ID) {
			return true
		}
	}
	return false
}

// receiveOwn answers an instance of an LSA of ours that is newer than what we made: from before a restart,
// or forged. What we still want to say is said again with a higher number, the rest is flushed (13.4).
func (s *step) receiveOwn(e *lsaEntry) {
	s.count("lsa_self_originated_received")
	own := &s.in.own
	if e.key == s.in.routerKey() {
		own.sequence = max(own.sequence, e.lsa.Header().Sequence)
		own.wanted = true
		if l, _ := s.in.routerLSA(); len(l.Links) > 0 {
			return
		}
	}
	s.prematureAge(e)
}

// newOrigination has used no sequence number yet: the first is one after the reserved one.
func newOrigination() origination {
	o := origination{wanted: true, sequence: reservedSequence}
	o.timer.fire = func(s *step) { s.in.own.wanted = true }
	return o
}

// leaveArea flushes what we have said under the router id or in the area that is about to change, forgets
// all and takes the interfaces down. It returns those that were up.
func (s *step) leaveArea() (up []*ospfInterface) {
	in := s.in
	for _, e := range in.db.self(in.cfg.RouterID) {
		s.prematureAge(e)
	}
	for _, f := range in.interfaces {
		if f.linkUp {
			up = append(up, f)
		}
		f.flushAll(s)
		f.leave(s, "the router id or area changes")
		s.run()
		f.neighbors = nil
	}
	for _, e := range in.db.all {
		e.timer.stop(s)
		e.removed = true
	}
	in.db = lsdb{}
	in.db.init()
	in.own.timer.stop(s)
	in.own = newOrigination()
	return up
}

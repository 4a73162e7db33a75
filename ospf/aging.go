package ospf

import "time"

// Times of aging (RFC 2328, B).
const (
	lsRefreshTime = 1800 * time.Second
	// refreshJitter spreads the refreshes of many routers, which may have started together.
	refreshJitter = 180 * time.Second
)

// install stores l, which is more recent than what is there, and restarts its clock. LSAs of our own
// making are stored the same way.
func (s *step) install(l LSA, body lsaBody) *lsaEntry {
	if old := s.in.db.get(l.Header().LSAKey); old != nil {
		s.forget(old)
	}
	e, differs := s.in.db.put(s.now, l, body)
	e.received, e.link, e.absent = false, nil, false
	e.timer.fire = func(s *step) { s.expired(e) }
	if differs && body != (lsaBody{}) {
		s.scheduleSPF()
	}
	switch age := e.age(s.now); {
	case age == MaxAge:
		e.timer.stop(s)
	case e.frozen():
		e.timer.set(s, s.now.Add(MaxAge*time.Second))
	default:
		e.timer.set(s, s.now.Add(time.Duration(MaxAge-age)*time.Second))
	}
	return e
}

// forget takes e off all retransmission lists: another instance is about to take its place.
func (s *step) forget(e *lsaEntry) {
	if e.holders == 0 {
		return
	}
	for _, f := range s.in.interfaces {
		for _, n := range f.neighbors {
			if n.retransmit.remove(e) {
				e.holders--
			}
		}
	}
}

// expired is the timer of an LSA: it has come to MaxAge; or its refresh is due; or, with DoNotAge, it is
// time to see whether its originator can still be reached (RFC 1793, 2.3).
func (s *step) expired(e *lsaEntry) {
	switch {
	case e.frozen() && e.age(s.now) < MaxAge:
		gone := !s.in.reachable(e.key.AdvRouter)
		if gone && e.absent {
			s.prematureAge(e)
			return
		}
		e.absent = gone
		e.timer.set(s, s.now.Add(MaxAge*time.Second))
	case e.age(s.now) < MaxAge:
		s.refresh(e)
	default:
		s.prematureAge(e)
	}
}

// prematureAge sets e to MaxAge and floods that, so that all remove it (RFC 2328, 14 and 14.1).
func (s *step) prematureAge(e *lsaEntry) {
	if e.removed {
		return
	}
	s.forget(e)
	e.lsa.setAge(MaxAge)
	e.timer.stop(s)
	s.in.db.maxAge.put(e, struct{}{})
	if e.body != (lsaBody{}) {
		s.scheduleSPF()
	}
	s.flood(e, nil)
	s.reap(e)
}

// release notes that e has left one retransmission list.
func (s *step) release(e *lsaEntry) {
	e.holders--
	s.reap(e)
}

// reap removes e once it is at MaxAge, all have acknowledged it and no neighbor is loading
// (RFC 2328, 14).
func (s *step) reap(e *lsaEntry) {
	if e.removed || e.holders > 0 || s.in.loading > 0 || e.age(s.now) < MaxAge || e.timer.running() {
		return
	}
	s.in.db.remove(e)
	if e.key == s.in.routerKey() {
		s.in.own.wanted = true // the wrapped sequence can start again
	}
}

func (s *step) reapAll() {
	for e := range s.in.db.maxAge.all() {
		s.reap(e)
	}
}

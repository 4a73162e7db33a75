package ike

import (
	"net/netip"
	"slices"
	"time"

	"meshrouter/ike/isakmp"
	"meshrouter/ike/keys"
)

// An isakmpSA is the product of a main mode, and before that its exchange.
type isakmpSA struct {
	peer             *peer
	initiator        bool // we began it
	cookieI, cookieR isakmp.Cookie
	local, remote    netip.AddrPort
	main             *mainMode // until some time after it has ended: to answer repeated messages

	established bool
	dying       bool // at its end; still understands the peer's last DELETEs
	suite       Phase1Transform
	keys        *keys.Keys
	lastBlock   []byte // IV of the phase 1 chain behind its last message
	since       time.Time
	rekeyAt     time.Time // zero: not by us
	hard        time.Time
	gone        time.Time // of a dying one
	nat         natState
	peerDPD     bool
	used        messageIDs
	asked       uint32    // number of the last R-U-THERE
	heard       time.Time // when the peer last sent something authentic under the SA
}

// cookieBytes are both cookies: the SPI of an ISAKMP SA.
func (sa *isakmpSA) cookieBytes() []byte { return slices.Concat(sa.cookieI[:], sa.cookieR[:]) }

// ours is the cookie that we drew.
func (sa *isakmpSA) ours() isakmp.Cookie {
	if sa.initiator {
		return sa.cookieI
	}
	return sa.cookieR
}

// header begins a message under the SA.
func (sa *isakmpSA) header(x isakmp.ExchangeType, messageID uint32) isakmp.Header {
	return isakmp.Header{
		InitiatorCookie: sa.cookieI, ResponderCookie: sa.cookieR,
		Version: isakmp.Version1, Exchange: x, MessageID: messageID,
	}
}

// replayed uses up the message id of an authentic exchange that the peer begins, and reports whether it was used before.
func (sa *isakmpSA) replayed(s *step, id uint32) bool {
	if len(sa.used.ids) >= maxMessageIDs { // a peer that talks without end
		if end := s.now.Add(time.Second); end.Before(sa.hard) {
			sa.hard = end
		}
		return true
	}
	if id == 0 || !sa.used.add(id) {
		return true
	}
	sa.heard = s.now
	return false
}

// messageID draws the id of an exchange that we begin.
func (sa *isakmpSA) messageID(e *Engine, name valueName) uint32 {
	for {
		if id := e.uint32(name); sa.used.add(id) || e.values != nil {
			return id
		}
	}
}

// adopt follows the peer to the address that an authentic message came from. Without a NAT the configured
// addresses stay; with one, mappings change.
func (sa *isakmpSA) adopt(s *step, m *message) {
	if m.remote == sa.remote || !sa.nat.found() {
		return
	}
	sa.local = m.local
	sa.peer.moved(s, m.remote, true)
}

// next adds the SA's times to d.
func (sa *isakmpSA) next(d *deadline) {
	if sa.main != nil {
		sa.main.next(d)
	}
	switch {
	case sa.dying:
		d.by(sa.gone)
	case sa.established:
		d.by(sa.hard)
	}
}

func (sa *isakmpSA) tick(s *step) {
	if sa.main != nil {
		sa.tickMain(s)
	}
	switch {
	case sa.dying && !sa.gone.After(s.now):
		sa.remove(s)
	case sa.established && !sa.dying && !sa.hard.After(s.now):
		s.event(sa.peer, sa.remote, EventExpired, Info, "ISAKMP SA %s:%s has reached the end of its lifetime", sa.cookieI, sa.cookieR)
		sa.sendDelete(s, isakmp.ProtocolISAKMP, sa.cookieBytes())
		sa.die(s)
	}
}

// die ends the SA for everything but the DELETEs that the peer may still send under it.
func (sa *isakmpSA) die(s *step) {
	sa.dying, sa.gone = true, s.now.Add(dyingTime)
	sa.main = nil
	sa.endQuickModes(s)
	sa.peer.unsaved = true
}

// remove forgets the SA and whatever goes on under it.
func (sa *isakmpSA) remove(s *step) {
	p := sa.peer
	if sa.main != nil {
		p.e.forget(sa.main.busy)
		sa.main = nil
	}
	sa.endQuickModes(s)
	delete(p.e.cookies, sa.ours())
	p.sas = slices.DeleteFunc(p.sas, func(o *isakmpSA) bool { return o == sa })
	p.unsaved = p.unsaved || sa.established
	s.touch(p)
}

// endQuickModes ends what goes on under the SA. SA pairs that wait for the peer's message 3 stay: its ESP can still confirm them.
func (sa *isakmpSA) endQuickModes(s *step) {
	for _, q := range slices.Clone(sa.peer.quicks) {
		if q.sa == sa {
			q.remove(s)
		}
	}
}

// establishedSA puts a finished main mode into use.
func (p *peer) establishedSA(s *step, sa *isakmpSA, life time.Duration) {
	sa.established, sa.since = true, s.now
	sa.setLife(life)
	// The newest is last, and older exchanges of ours that nobody answered are not needed any more.
	p.sas = append(slices.DeleteFunc(p.sas, func(o *isakmpSA) bool { return o == sa }), sa)
	if own := p.initiating(); own != nil && own.main.expect == 2 {
		own.remove(s)
	}
	established := 0
	for _, o := range slices.Backward(slices.Clone(p.sas)) {
		if o.established {
			if established++; established > maxISAKMP {
				o.remove(s)
			}
		}
	}
	p.alive(s.now)
	p.trouble, p.unsaved = "", true
	if sa.initiator {
		p.quickAt = s.now
	} else {
		p.quickAt = later(p.quickAt, s.now.Add(responderDelay))
	}
	p.startKeepalive(s, sa)
	s.event(p, sa.remote, EventISAKMPEstablished, Info, "ISAKMP SA %s:%s with %s, %s, lifetime %s", sa.cookieI, sa.cookieR, sa.remote, sa.suite, life)
}

// setLife sets the SA's timers for a lifetime.
func (sa *isakmpSA) setLife(life time.Duration) {
	sa.hard = sa.since.Add(life)
	sa.rekeyAt = time.Time{}
	if margin := rekeyMargin(sa.peer.e, life, sa.initiator); margin > 0 {
		sa.rekeyAt = sa.hard.Add(-margin)
	}
}

// forgetOlder removes, without telling the peer, what was made before the SA's exchange began: the peer
// said INITIAL-CONTACT and knows nothing of it. What was made since is of the peer's present life.
func (p *peer) forgetOlder(s *step, than *isakmpSA, began time.Time) {
	for _, o := range slices.Clone(p.sas) {
		if o != than && o.established && o.since.Before(began) {
			o.remove(s)
		}
	}
	p.removePairs(s, "the peer said INITIAL-CONTACT", false, func(c *childPair) bool { return c.in.Created.Before(began) })
}

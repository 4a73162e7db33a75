package ike

import (
	"slices"
	"time"

	"meshrouter/ike/isakmp"
)

// Dead peer detection (RFC 3706): eight questions within 25 s, as long as isakmpd takes for its five, then the peer is
// dead. To be taken for dead is expensive (isakmpd may be deaf for 120 s). Behind 5 % loss it happens to a living peer
// once in a hundred thousand times with five questions, once in a hundred million with eight. Each question has a
// number of its own, for isakmpd answers no more than five copies of one.
var dpdPauses = [...]time.Duration{ //nolint:gochecknoglobals // a read-only table
	1 * time.Second, 1 * time.Second, 2 * time.Second, 3 * time.Second, 4 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second,
}

// dpdFirstLimit is above the number of the first question under an ISAKMP SA.
const dpdFirstLimit = 0x8000

// dpdState is our part of DPD.
type dpdState struct {
	tries   int       // questions without an answer
	since   time.Time // when the first of them was asked
	retryAt time.Time // of the next one
}

// answered closes open questions: whatever cannot be a recording is an answer.
func (d *dpdState) answered() { *d = dpdState{} }

// dpdDue is when the peer has to be asked, zero for never.
func (p *peer) dpdDue() time.Time {
	sa := p.current()
	switch {
	case p.cfg.DPD <= 0 || sa == nil || !sa.peerDPD:
		return time.Time{}
	case p.dpd.tries > 0:
		return p.dpd.retryAt
	default:
		return later(p.heard, sa.since).Add(p.cfg.DPD)
	}
}

// probe asks, asks again, or declares the peer dead.
func (p *peer) probe(s *step) {
	due := p.dpdDue()
	if due.IsZero() || due.After(s.now) {
		return
	}
	sa := p.current()
	if p.dpd.tries >= len(dpdPauses) {
		p.dead(s)
		return
	}
	if sa.asked == 0 {
		sa.asked = s.e.uint32(valueSequence) % dpdFirstLimit
	}
	sa.asked++
	if p.dpd.tries == 0 {
		p.dpd.since = s.now
	}
	p.dpd.retryAt = s.now.Add(dpdPauses[p.dpd.tries])
	p.dpd.tries++
	s.event(p, sa.remote, EventDPDProbe, Debug, "R-U-THERE number %d, try %d", sa.asked, p.dpd.tries)
	s.send(sa.local, sa.remote, sa.notification(s, dpdNotification(sa, isakmp.RUThere, sa.asked)))
}

func dpdNotification(sa *isakmpSA, t isakmp.NotifyType, number uint32) isakmp.Notification {
	return isakmp.Notification{
		DOI: isakmp.DOIIPsec, Protocol: isakmp.ProtocolISAKMP, SPI: sa.cookieBytes(), Type: t, Data: spiBytes(number),
	}
}

// dead drops everything without a word: there is nobody to hear it.
func (p *peer) dead(s *step) {
	f := trouble(EventDPDDead, "the peer is dead: no answer to %d questions in %s", p.dpd.tries, s.now.Sub(p.dpd.since))
	p.removePairs(s, "the peer is dead", false, func(*childPair) bool { return true })
	for _, sa := range slices.Clone(p.sas) {
		if sa.established {
			sa.remove(s)
		}
	}
	s.report(p, noAddr, f)
	p.dpd.answered()
	p.quickAt = s.now
}

// answerDPD answers a question with its own number, whatever it is: isakmpd repeats numbers. Replays have a
// message id that was used before.
func (sa *isakmpSA) answerDPD(s *step, m *message, n isakmp.Notification) {
	if len(n.Data) != 4 {
		s.event(sa.peer, m.remote, EventMalformed, Debug, "R-U-THERE with %d bytes of data, want 4", len(n.Data))
		return
	}
	s.send(sa.local, sa.remote, sa.notification(s, dpdNotification(sa, isakmp.RUThereAck, be32(n.Data))))
}

// acknowledged takes an answer. Only one to a question of late shows that the peer is alive: another may be a recording
// from before a restart.
func (sa *isakmpSA) acknowledged(s *step, n isakmp.Notification) {
	if len(n.Data) != 4 || sa.asked == 0 || sa.asked-be32(n.Data) >= uint32(len(dpdPauses)) {
		s.event(sa.peer, noAddr, EventBadDPDSequence, Debug, "R-U-THERE-ACK %x, want %d", n.Data, sa.asked)
		return
	}
	sa.peer.alive(s.now)
}

package ike

import (
	"slices"
	"time"

	"meshrouter/ike/isakmp"
)

// Dead peer detection (RFC 3706): five questions, five seconds apart, then the peer is dead.
const (
	dpdRetry      = 5 * time.Second
	dpdTries      = 5
	dpdFirstLimit = 0x8000
)

// dpdState is our part of DPD.
type dpdState struct {
	ours    uint32    // number of our question
	tries   int       // times that it was asked without an answer; 0: no question is open
	retryAt time.Time // when it is asked again
}

// answered closes an open question: anything authentic is an answer.
func (d *dpdState) answered() { d.tries, d.retryAt = 0, time.Time{} }

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
	if p.dpd.tries >= dpdTries {
		p.dead(s)
		return
	}
	if p.dpd.tries == 0 {
		if p.dpd.ours == 0 {
			p.dpd.ours = s.e.uint32(valueSequence) % dpdFirstLimit
		}
		p.dpd.ours++
	}
	p.dpd.tries++
	p.dpd.retryAt = s.now.Add(dpdRetry)
	s.event(p, sa.remote, EventDPDProbe, Debug, "R-U-THERE number %d, try %d", p.dpd.ours, p.dpd.tries)
	s.send(sa.local, sa.remote, sa.notification(s, dpdNotification(sa, isakmp.RUThere, p.dpd.ours)))
}

func dpdNotification(sa *isakmpSA, t isakmp.NotifyType, number uint32) isakmp.Notification {
	return isakmp.Notification{
		DOI: isakmp.DOIIPsec, Protocol: isakmp.ProtocolISAKMP, SPI: sa.cookieBytes(), Type: t, Data: spiBytes(number),
	}
}

// dead drops everything without a word: there is nobody to hear it.
func (p *peer) dead(s *step) {
	p.dpd.answered()
	f := trouble(EventDPDDead, "the peer is dead: no answer to %d questions in %s", dpdTries, time.Duration(dpdTries)*dpdRetry)
	p.removePairs(s, "the peer is dead", false, func(*childPair) bool { return true })
	for _, sa := range slices.Clone(p.sas) {
		if sa.established {
			sa.remove(s)
		}
	}
	s.report(p, noAddr, f)
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

// acknowledged checks the number of an answer. The peer is alive in any case: the message was authentic.
func (d *dpdState) acknowledged(s *step, p *peer, n isakmp.Notification) {
	if len(n.Data) != 4 || be32(n.Data) != d.ours {
		s.event(p, noAddr, EventBadDPDSequence, Debug, "R-U-THERE-ACK %x, want %d", n.Data, d.ours)
	}
}

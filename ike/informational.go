package ike

import (
	"net/netip"
	"slices"

	"meshrouter/ike/isakmp"
	"meshrouter/ike/keys"
)

// notifyKind is what a failure makes us tell the peer.
type notifyKind uint8

const (
	notifyNothing notifyKind = iota
	notifyNoProposal
	notifyInvalidID
	notifyMalformed
)

var notifyTypes = [...]isakmp.NotifyType{ //nolint:gochecknoglobals // a read-only table
	notifyNothing:    0,
	notifyNoProposal: isakmp.NoProposalChosen,
	notifyInvalidID:  isakmp.InvalidIDInformation,
	notifyMalformed:  isakmp.PayloadMalformed,
}

func addrFrom(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

// informational is an encrypted informational message with HASH(1) (RFC 2409, 5.7).
func (sa *isakmpSA) informational(s *step, ps ...isakmp.Payload) []byte {
	id := sa.messageID(s.e, valueInfoID)
	chain, err := sa.keys.Phase2Chain(sa.lastBlock, id)
	if err != nil {
		panic("ike: an established SA without a cipher: " + err.Error())
	}
	message, _ := chain.Seal(sa.hashed(isakmp.Informational, id, ps, func(covered []byte) []byte {
		return sa.keys.Hash1(id, covered)
	}))
	return message
}

// notification is an informational message with a notification.
func (sa *isakmpSA) notification(s *step, n isakmp.Notification) []byte {
	return sa.informational(s, isakmp.Payload{Type: isakmp.PayloadNotification, Body: n.Append(nil)})
}

// sendDelete tells the peer that an SA is gone: one SPI a message, as isakmpd does. It is not answered.
func (sa *isakmpSA) sendDelete(s *step, protocol uint8, spi []byte) {
	body := isakmp.Delete{DOI: isakmp.DOIIPsec, Protocol: protocol, SPIs: [][]byte{spi}}.Append(nil)
	s.send(sa.local, sa.remote, sa.informational(s, isakmp.Payload{Type: isakmp.PayloadDelete, Body: body}))
}

// receiveInformational takes an informational message: authentic under an ISAKMP SA, or only a rumour.
func (e *Engine) receiveInformational(s *step, p *peer, sa *isakmpSA, m *message) *failure {
	if m.h.Flags&isakmp.FlagEncryption == 0 {
		return receiveRumour(p, m)
	}
	switch {
	case sa == nil:
		return drop(EventUnknownSA, "informational under an ISAKMP SA that does not exist")
	case !sa.established && sa.initiator && sa.main.expect == 6:
		s.rumour = true
		return trouble(EventWrongPSK, "the peer answers message 5 with an error under keys that are not ours: the pre-shared keys differ%s", sa.peer.cfg.change(changePSK))
	case !sa.established:
		return drop(EventUnexpectedMessage, "informational before main mode has ended")
	}
	chain, err := sa.keys.Phase2Chain(sa.lastBlock, m.h.MessageID)
	if err != nil {
		return drop(EventMalformed, "%v", err)
	}
	if f := m.open(chain); f != nil {
		return f
	}
	if m.payloads[0].Type != isakmp.PayloadHash {
		return drop(EventUnexpectedPayload, "%s where HASH must be first (RFC 2409, 5.7)", m.payloads[0].Type)
	}
	if !keys.Equal(m.payloads[0].Body, sa.keys.Hash1(m.h.MessageID, isakmp.Covered(m.clear, m.payloads))) {
		return drop(EventBadHash, "HASH(1) of an informational message does not fit")
	}
	waiting := func(q *quickMode) bool { return q.sa == sa && q.id == m.h.MessageID && q.waiting() }
	if !slices.ContainsFunc(p.quicks, waiting) && sa.replayed(s, m.h.MessageID) {
		return drop(EventReplay, "message id %08x was used before", m.h.MessageID)
	}
	sa.adopt(s, m)
	for _, pl := range m.payloads[1:] {
		switch pl.Type {
		case isakmp.PayloadNotification:
			n, err := isakmp.ParseNotification(pl.Body)
			if err != nil {
				return drop(EventMalformed, "%v", err)
			}
			sa.notified(s, m, n)
		case isakmp.PayloadDelete:
			d, err := isakmp.ParseDelete(pl.Body)
			if err != nil {
				return drop(EventMalformed, "%v", err)
			}
			sa.deleted(s, m, d)
		default: // a peer may add anything
		}
	}
	return nil
}

// receiveRumour reports a message in clear. Anyone can have sent it, so nothing is done about it: the
// exchange that it may mean goes on to its end.
func receiveRumour(p *peer, m *message) *failure {
	if f := m.parse(); f != nil {
		return f
	}
	body := m.body(isakmp.PayloadNotification)
	if body == nil {
		return drop(EventClearNotification, "an informational message in clear without a notification")
	}
	n, err := isakmp.ParseNotification(body)
	if err != nil {
		return drop(EventMalformed, "%v", err)
	}
	f := drop(EventClearNotification, "%s says %s in clear, which anyone could have sent", m.remote, n.Type)
	if p == nil || !n.Type.IsError() {
		return f
	}
	f.severity = Info
	own := p.initiating()
	switch {
	case own != nil && own.main.expect == 2:
		f.text += ": " + p.cfg.refusal(n.Type, false, natState{})
		f.severity, f.trouble = Warning, true
	case own != nil && own.main.expect == 6:
		f.text += ": probably the pre-shared keys differ" + p.cfg.change(changePSK)
		f.severity, f.trouble = Warning, true
	case n.Type == isakmp.InvalidCookie:
		f.text += ": it does not know our ISAKMP SA any more"
	}
	return f
}

// notified acts upon an authentic notification.
func (sa *isakmpSA) notified(s *step, m *message, n isakmp.Notification) {
	p := sa.peer
	switch {
	case n.Type == isakmp.RUThere:
		sa.answerDPD(s, m, n)
	case n.Type == isakmp.RUThereAck:
		sa.acknowledged(s, n)
	case n.Type == isakmp.InitialContact:
		s.event(p, m.remote, EventInitialContact, Debug, "INITIAL-CONTACT: what was made before is forgotten")
		p.forgetOlder(s, sa, sa.since)
	case n.Type == isakmp.Connected:
		for _, q := range slices.Clone(p.quicks) {
			if q.sa == sa && q.id == m.h.MessageID && q.waiting() {
				q.connected(s)
			}
		}
	case n.Type == isakmp.NHTBInform:
		p.rememberNHTB(s, n.Data)
	case n.Type == isakmp.ReplayStatus:
	case n.Type == isakmp.ResponderLifetime:
		sa.lowerLife(s, n)
	case n.Type.IsError():
		sa.refused(s, m, n)
	default:
		s.event(p, m.remote, EventUnknownNotification, Debug, "%s in an informational message", n.Type)
	}
}

// lowerLife shortens our timer of the SA that a RESPONDER-LIFETIME names, never to the past.
func (sa *isakmpSA) lowerLife(s *step, n isakmp.Notification) {
	p := sa.peer
	l, err := responderLifetime(n.Data, n.Protocol == isakmp.ProtocolESP)
	if err != nil || l.Seconds == 0 {
		return
	}
	if life := smallerLife(l.Seconds, sa.hard.Sub(sa.since)); n.Protocol == isakmp.ProtocolISAKMP && sa.since.Add(life).After(s.now) {
		sa.setLife(life)
		p.unsaved = true
	}
	for _, c := range p.pairs {
		if n.Protocol == isakmp.ProtocolESP && len(n.SPI) == 4 && be32(n.SPI) == c.outSA.SPI {
			life := smallerLife(l.Seconds, c.in.Hard.Sub(c.in.Created))
			if c.in.Created.Add(life).After(s.now) {
				c.setLife(isakmp.Lifetime{Seconds: seconds(life), Kilobytes: smallerVolume(c.kilobytes, l.Kilobytes)})
				p.unsaved = true
			}
		}
	}
}

// refused ends our quick mode, which an authentic error must mean: there is never more than one. A new
// one has a new message id; isakmpd answers copies of a refused message 1 with nonsense.
func (sa *isakmpSA) refused(s *step, m *message, n isakmp.Notification) {
	p := sa.peer
	q := p.quickInitiating()
	if q == nil || q.sa != sa {
		s.event(p, m.remote, EventPeerRefuses, Info, "the peer says %s", n.Type)
		return
	}
	s.report(p, m.remote, trouble(EventPeerRefuses, "%s: %s", n.Type, p.cfg.refusal(n.Type, true, sa.nat)))
	if q.waiting() {
		p.removePair(s, q.pair, "the peer refuses it")
	}
	q.end(s)
	p.quickAt = s.now.Add(p.pause())
}

// deleted acts upon an authentic DELETE, whose SPIs are those that the peer receives with.
func (sa *isakmpSA) deleted(s *step, m *message, d isakmp.Delete) {
	p := sa.peer
	for _, spi := range d.SPIs {
		known := false
		switch {
		case d.Protocol == isakmp.ProtocolESP && len(spi) == 4:
			for _, c := range slices.Clone(p.pairs) {
				if c.outSA.SPI == be32(spi) {
					known = true
					p.removePair(s, c, "the peer deleted it")
				}
			}
		case d.Protocol == isakmp.ProtocolISAKMP && len(spi) == 16:
			for _, o := range slices.Clone(p.sas) { // under the old or the new ISAKMP SA
				if o.established && string(o.cookieBytes()) == string(spi) {
					known = true
					o.remove(s)
				}
			}
		}
		if !known {
			s.event(p, m.remote, EventUnknownSPI, Debug, "DELETE of %x, protocol %d: nothing that we have", spi, d.Protocol)
			continue
		}
		s.event(p, m.remote, EventDeleted, Info, "the peer deleted SA %x", spi)
		p.quickAt = later(p.quickAt, s.now.Add(afterDelete))
		p.mainAt = later(p.mainAt, s.now.Add(afterDelete))
	}
	if p.out == nil && p.trouble == "" && len(d.SPIs) > 0 {
		p.trouble = "the peer deleted the SAs"
	}
}

package ike

import (
	"slices"
	"time"

	"meshrouter/ike/isakmp"
	"meshrouter/ike/keys"
)

// Quick mode (RFC 2409, 5.5), all encrypted; KE with PFS only:
//
//	initiator                                   responder
//	1  HASH(1), SA, NONCE, [KE], IDci, IDcr ──►
//	                                        ◄── HASH(2), SA, NONCE, [KE], IDci, IDcr  2
//	3  HASH(3)                              ──►
//	                                        ◄── HASH, N(CONNECTED)                    4, with the commit bit only

// connectedWait is how long a peer that set the commit bit may keep us waiting for CONNECTED.
const connectedWait = 3 * time.Second

// switchDelay is how long we go on to send with the old SA after message 3 of a rekey, unless the peer uses the new one
// before. isakmpd and strongSwan can receive with it only when they have message 3; when that was lost, they send
// message 2 again after 7 and 4 s.
const switchDelay = 10 * time.Second

// A quickMode is the exchange that makes an ESP SA pair.
type quickMode struct {
	sa        *isakmpSA
	id        uint32
	initiator bool
	expect    int    // number of the message to come; 0: finished
	busy      uint64 // the Compute under way; 0: none
	began     time.Time
	until     time.Time // of lingering, and of waiting for message 3
	resend    retransmission
	replay    replyCache

	chain     keys.Chain
	offer     isakmp.SA
	spec      childSpec
	group     Group
	key       *keys.PrivateKey
	pair      *childPair
	commit    bool      // the peer set the commit bit
	connectBy time.Time // after message 3: when we stop waiting for CONNECTED, or for ESP with the new SA
}

// A quickModeRow says what happens to a message of quick mode.
type quickModeRow struct {
	initiator bool // who receives it
	number    int
	required  payloadSet // everything else is allowed: ScreenOS adds notifications of its own
	action    func(*quickMode, *step, *message) *failure
	next      int // number of the message expected then; 0: finished
}

// quickModeTable is the exchange, message for message.
var quickModeTable = []quickModeRow{
	{false, 1, payloads(isakmp.PayloadHash, isakmp.PayloadSA, isakmp.PayloadNonce), (*quickMode).answerOffer, 3},
	{true, 2, payloads(isakmp.PayloadHash, isakmp.PayloadSA, isakmp.PayloadNonce), (*quickMode).takeChoice, 0},
	{false, 3, payloads(isakmp.PayloadHash), (*quickMode).takeConfirmation, 0},
	{true, 4, payloads(isakmp.PayloadHash, isakmp.PayloadNotification), (*quickMode).takeConnected, 0},
}

// active reports whether the exchange is still under way.
func (q *quickMode) active() bool { return q.expect != 0 || q.busy != 0 }

// receiveQuickMode finds the exchange of a message, and the row of the table.
func (e *Engine) receiveQuickMode(s *step, sa *isakmpSA, m *message) *failure {
	switch {
	case sa == nil:
		return drop(EventUnknownSA, "quick mode under an ISAKMP SA that does not exist; the peer may have one of our former life")
	case !sa.established:
		return drop(EventUnexpectedMessage, "quick mode before main mode has ended")
	case m.h.MessageID == 0:
		return drop(EventUnexpectedMessage, "quick mode with message id 0")
	case m.h.Flags&isakmp.FlagEncryption == 0:
		return drop(EventBadFlags, "quick mode is not encrypted")
	}
	i := slices.IndexFunc(sa.peer.quicks, func(q *quickMode) bool { return q.sa == sa && q.id == m.h.MessageID })
	if i < 0 {
		return e.receiveQuickFirst(s, sa, m)
	}
	q := sa.peer.quicks[i]
	switch {
	case q.replay.answer(s, sa.peer, m):
		if q.waiting() && !q.commit { // our message 3 was lost
			q.connectBy = q.switchBy(s.now)
		}
		return nil
	case q.busy != 0:
		return drop(EventBusy, "the message before is still being computed")
	}
	expect := q.expect
	if expect == 0 && q.waiting() {
		expect = 4
	}
	for _, row := range quickModeTable {
		if row.initiator == q.initiator && row.number == expect {
			return q.step(s, row, m)
		}
	}
	return drop(EventUnexpectedMessage, "this quick mode has ended")
}

// receiveQuickFirst takes a message 1.
func (e *Engine) receiveQuickFirst(s *step, sa *isakmpSA, m *message) *failure {
	p := sa.peer
	if sa.dying {
		return drop(EventUnexpectedMessage, "quick mode under an ISAKMP SA that has expired")
	}
	theirs := 0
	for _, q := range p.quicks {
		if !q.initiator && q.active() {
			theirs++
		}
	}
	if theirs >= maxQuickModes {
		return drop(EventQuickModeLimit, "%d quick modes of the peer are under way already", theirs)
	}
	chain, err := sa.keys.Phase2Chain(sa.lastBlock, m.h.MessageID)
	if err != nil {
		return drop(EventMalformed, "%v", err)
	}
	q := &quickMode{sa: sa, id: m.h.MessageID, expect: 1, began: s.now, until: s.now.Add(patience), chain: chain}
	return q.step(s, quickModeTable[0], m)
}

// step takes a message through a row of the table. Nothing changes before its hash has been verified.
func (q *quickMode) step(s *step, row quickModeRow, m *message) *failure {
	if f := m.open(q.chain); f != nil {
		return f
	}
	if m.payloads[0].Type != isakmp.PayloadHash {
		return drop(EventUnexpectedPayload, "%s where HASH must be first (RFC 2409, 5.5)", m.payloads[0].Type)
	}
	covered := isakmp.Covered(m.clear, m.payloads)
	var want []byte
	switch k := q.sa.keys; row.number {
	case 1, 4:
		want = k.Hash1(q.id, covered)
	case 2:
		want = k.Hash2(q.id, q.spec.quick.NonceI, covered)
	default:
		want = k.Hash3(q.id, q.spec.quick.NonceI, q.spec.quick.NonceR)
	}
	if !keys.Equal(m.payloads[0].Body, want) {
		return drop(EventBadHash, "HASH(%d) of quick mode does not fit", row.number)
	}
	if row.number == 1 {
		if q.sa.replayed(s, q.id) {
			return drop(EventReplay, "message id %08x was used before", q.id)
		}
		q.sa.used.addQuick(q.id)
	} else { // it answers a nonce of ours
		q.sa.heard = s.now
		q.sa.peer.alive(s.now)
	}
	q.sa.adopt(s, m)
	if f := m.check(row.required, anything); f != nil {
		return q.refuse(s, m, f, isakmp.PayloadMalformed)
	}
	q.chain = m.next
	q.commit = q.commit || m.h.Flags&isakmp.FlagCommit != 0
	if f := row.action(q, s, m); f != nil {
		return q.refuse(s, m, f, notifyTypes[f.notify])
	}
	if row.number == 1 {
		q.sa.peer.quicks = append(q.sa.peer.quicks, q)
		q.sa.peer.trimQuicks(s)
	}
	q.expect = row.next
	return nil
}

// refuse answers a message of the peer with an error notification, under a new message id, and ends the exchange.
func (q *quickMode) refuse(s *step, m *message, f *failure, n isakmp.NotifyType) *failure {
	p := q.sa.peer
	if n != 0 {
		reply := q.sa.notification(s, isakmp.Notification{DOI: isakmp.DOIIPsec, Protocol: isakmp.ProtocolISAKMP, Type: n})
		s.send(q.sa.local, q.sa.remote, reply)
		q.replay.remember(m.raw, reply)
	}
	if q.initiator {
		q.end(s)
		p.quickAt = s.now.Add(p.pause())
		return f
	}
	if q.expect == 1 { // keep it for the copies of message 1
		q.expect, q.until = 0, s.now.Add(lingering)
		p.quicks = append(p.quicks, q)
		p.trimQuicks(s)
	}
	return f
}

// trimQuicks bounds how many finished exchanges linger.
func (p *peer) trimQuicks(s *step) {
	for len(p.quicks) > 2*maxQuickModes {
		i := slices.IndexFunc(p.quicks, func(q *quickMode) bool { return !q.active() && !q.waiting() })
		if i < 0 {
			return
		}
		p.quicks[i].remove(s)
	}
}

// beginQuickMode sends message 1, with PFS once our public value is computed.
func (p *peer) beginQuickMode(s *step, sa *isakmpSA) {
	q := &quickMode{sa: sa, initiator: true, id: sa.messageID(s.e, valueQuickID), began: s.now, expect: 2, group: p.cfg.PFS}
	sa.used.addQuick(q.id)
	chain, err := sa.keys.Phase2Chain(sa.lastBlock, q.id)
	if err != nil || len(p.cfg.Phase2) == 0 {
		s.report(p, sa.remote, trouble(EventNoProposalChosen, "no phase 2 transform is configured%s", p.cfg.change(changeSuite)))
		p.quickAt = s.now.Add(p.pause())
		return
	}
	q.chain = chain
	q.spec.spiIn = s.e.spi()
	q.spec.quick.NonceI = s.e.random(valueNonce, nonceSize)
	q.offer = p.cfg.offerPhase2(sa.nat, q.spec.spiIn)
	p.quicks = append(p.quicks, q)
	p.trimQuicks(s)
	if q.group == isakmp.NoGroup {
		q.sendOffer(s, nil)
		return
	}
	exponent := s.e.random(valueExponent, keys.ExponentSize(q.group))
	q.busy = s.compute(p, generate(q.group, exponent), func(s *step, result any) {
		q.busy = 0
		r := dh(result)
		if r.err != nil {
			s.report(p, sa.remote, trouble(EventBadPublicValue, "computing our public value: %v", r.err))
			p.quickAt = s.now.Add(p.pause())
			q.remove(s)
			return
		}
		q.key = r.key
		q.sendOffer(s, r.public)
	})
}

// sendOffer sends message 1.
func (q *quickMode) sendOffer(s *step, public []byte) {
	ps := []isakmp.Payload{
		{Type: isakmp.PayloadSA, Body: q.offer.Append(nil)},
		{Type: isakmp.PayloadNonce, Body: q.spec.quick.NonceI},
	}
	if public != nil {
		ps = append(ps, isakmp.Payload{Type: isakmp.PayloadKE, Body: public})
	}
	c := &q.sa.peer.cfg
	ps = append(ps,
		isakmp.Payload{Type: isakmp.PayloadID, Body: c.LocalTS.id().Append(nil)},
		isakmp.Payload{Type: isakmp.PayloadID, Body: c.RemoteTS.id().Append(nil)})
	message := q.seal(1, ps)
	q.resend.begin(s, q.sa.local, q.sa.remote, message, patience)
}

// seal assembles a message of the exchange, HASH first, and moves the chain on.
func (q *quickMode) seal(number int, ps []isakmp.Payload) []byte {
	hash := func(covered []byte) []byte {
		switch k := q.sa.keys; number {
		case 1:
			return k.Hash1(q.id, covered)
		case 2:
			return k.Hash2(q.id, q.spec.quick.NonceI, covered)
		default:
			return k.Hash3(q.id, q.spec.quick.NonceI, q.spec.quick.NonceR)
		}
	}
	var message []byte
	message, q.chain = q.chain.Seal(q.sa.hashed(isakmp.QuickMode, q.id, ps, hash))
	return message
}

// hashed is a phase 2 message in clear: HASH over what follows it, then ps.
func (sa *isakmpSA) hashed(x isakmp.ExchangeType, id uint32, ps []isakmp.Payload, hash func(covered []byte) []byte) []byte {
	size := sa.suite.Hash.Size()
	all := append([]isakmp.Payload{{Type: isakmp.PayloadHash, Body: make([]byte, size)}}, ps...)
	message := sa.header(x, id).Message(all...)
	body := message[isakmp.HeaderSize+isakmp.GenericHeaderSize:]
	copy(body, hash(body[size:]))
	return message
}

// answerOffer takes message 1 and sends message 2, with PFS once the secret is computed.
func (q *quickMode) answerOffer(s *step, m *message) *failure {
	p := q.sa.peer
	c := &p.cfg
	if len(m.all(isakmp.PayloadSA)) != 1 {
		return malformed("%d SA payloads in quick mode", len(m.all(isakmp.PayloadSA)))
	}
	offer, err := isakmp.ParseSA(m.body(isakmp.PayloadSA))
	if err != nil {
		return malformed("%v", err)
	}
	ni, ke := m.body(isakmp.PayloadNonce), m.body(isakmp.PayloadKE)
	if f := nonce(ni); f != nil {
		return f
	}
	ids := m.all(isakmp.PayloadID)
	if f := c.checkProxyIDs(ids); f != nil {
		return f
	}
	choice, f := c.choosePhase2(offer, q.sa.nat)
	if f != nil {
		return f
	}
	if (choice.offer.Group != isakmp.NoGroup) != (ke != nil) || ke != nil && !keys.ValidPublic(choice.offer.Group, ke) {
		return malformed("PFS group %s with a KE payload of %d bytes: %v", choice.offer.Group, len(ke), keys.ErrPublicValue)
	}
	q.notifications(s, m)
	q.group = choice.offer.Group
	life := choice.offer.Life
	q.spec = childSpec{
		transform: choice.transform, encapsulation: choice.offer.Encapsulation, life: life,
		spiIn: s.e.spi(), spiOut: choice.spi,
		quick: keys.QuickMode{NonceI: ni, NonceR: s.e.random(valueNonce, min(max(len(ni), nonceSize), 64))},
	}
	choice.proposal.SPI = spiBytes(q.spec.spiIn)
	q.offer = proposalOf(choice.proposal)
	if q.group == isakmp.NoGroup {
		return q.sendChoice(s, m, nil, ids)
	}
	exponent := s.e.random(valueExponent, keys.ExponentSize(q.group))
	q.replay.remember(m.raw, nil)
	q.busy = s.compute(p, agree(q.group, exponent, ke), func(s *step, result any) {
		q.busy = 0
		r := dh(result)
		f := (*failure)(nil)
		if r.err != nil {
			f = drop(EventBadPublicValue, "%v", r.err)
		} else {
			q.spec.quick.Shared = r.shared
			f = q.sendChoice(s, m, r.public, ids)
		}
		if f != nil {
			s.report(p, q.sa.remote, f)
			q.remove(s)
		}
	})
	return nil
}

// sendChoice sends message 2. The inbound SA is there before.
func (q *quickMode) sendChoice(s *step, m *message, public []byte, ids [][]byte) *failure {
	p := q.sa.peer
	ps := []isakmp.Payload{
		{Type: isakmp.PayloadSA, Body: q.offer.Append(nil)},
		{Type: isakmp.PayloadNonce, Body: q.spec.quick.NonceR},
	}
	if public != nil {
		ps = append(ps, isakmp.Payload{Type: isakmp.PayloadKE, Body: public})
	}
	for _, id := range ids {
		ps = append(ps, isakmp.Payload{Type: isakmp.PayloadID, Body: id})
	}
	pair, err := p.newPair(s, q.sa, false, q.spec)
	if err != nil {
		return malformed("%v", err)
	}
	q.pair = pair
	p.save(s) // before the peer can use it
	message := q.seal(2, ps)
	q.replay.remember(m.raw, message)
	q.resend.begin(s, q.sa.local, q.sa.remote, message, patience)
	return nil
}

// takeChoice takes message 2 and sends message 3, with PFS once the secret is computed.
func (q *quickMode) takeChoice(s *step, m *message) *failure {
	p := q.sa.peer
	c := &p.cfg
	if len(m.all(isakmp.PayloadSA)) != 1 { // isakmpd's answer to a copy of a message 1 that it had refused
		return malformed("%d SA payloads in quick mode", len(m.all(isakmp.PayloadSA)))
	}
	reply, err := isakmp.ParseSA(m.body(isakmp.PayloadSA))
	if err != nil {
		return malformed("%v", err)
	}
	t, spi, f := answered(q.offer, reply)
	if f != nil {
		f.notify = notifyNoProposal
		return f
	}
	o, err := isakmp.ParsePhase2Offer(t)
	if err != nil || !validSPI(spi) {
		return malformed("SPI %x, or the transform makes no sense", spi)
	}
	nr, ke := m.body(isakmp.PayloadNonce), m.body(isakmp.PayloadKE)
	if f := nonce(nr); f != nil {
		return f
	}
	if (q.group != isakmp.NoGroup) != (ke != nil) || ke != nil && !keys.ValidPublic(q.group, ke) {
		return malformed("PFS group %s with a KE payload of %d bytes: %v", q.group, len(ke), keys.ErrPublicValue)
	}
	if ids := m.all(isakmp.PayloadID); len(ids) > 0 {
		if f := c.checkIDs(ids, c.LocalTS, c.RemoteTS); f != nil {
			return f
		}
	}
	q.spec.transform = Phase2Transform{o.Transform, o.KeyLength, o.Auth}
	q.spec.encapsulation, q.spec.life = o.Encapsulation, o.Life
	q.spec.spiOut, q.spec.quick.NonceR = be32(spi), nr
	q.resend.stop()
	q.notifications(s, m)
	if q.group == isakmp.NoGroup {
		q.sendConfirmation(s, m)
		return nil
	}
	q.replay.remember(m.raw, nil)
	q.busy = s.compute(p, share(q.key, ke), func(s *step, result any) {
		q.busy = 0
		r := dh(result)
		if r.err != nil {
			s.report(p, q.sa.remote, trouble(EventBadPublicValue, "quick mode: %v", r.err))
			p.quickAt = s.now.Add(p.pause())
			q.remove(s)
			return
		}
		q.spec.quick.Shared = r.shared
		q.sendConfirmation(s, m)
	})
	return nil
}

// sendConfirmation sends message 3: make before break, so the inbound SA comes first and the switch last.
func (q *quickMode) sendConfirmation(s *step, m *message) {
	p := q.sa.peer
	q.expect, q.until = 0, s.now.Add(lingering)
	pair, err := p.newPair(s, q.sa, true, q.spec)
	if err != nil {
		s.report(p, q.sa.remote, trouble(EventNoProposalChosen, "%v", err))
		p.quickAt = s.now.Add(p.pause())
		return
	}
	q.pair = pair
	p.save(s)
	message := q.seal(3, nil)
	q.replay.remember(m.raw, message)
	s.send(q.sa.local, q.sa.remote, message)
	switch {
	case q.commit:
		q.connectBy = s.now.Add(connectedWait)
	case p.out != nil: // until its ESP shows that the peer has message 3
		q.connectBy = q.switchBy(s.now)
	default:
		p.confirm(s, pair)
	}
}

// takeConfirmation takes message 3.
func (q *quickMode) takeConfirmation(s *step, m *message) *failure {
	q.resend.stop()
	q.replay.remember(m.raw, nil)
	q.until = s.now.Add(lingering)
	if q.pair != nil {
		q.sa.peer.confirm(s, q.pair)
	}
	return nil
}

// takeConnected takes CONNECTED as a message 4.
func (q *quickMode) takeConnected(s *step, m *message) *failure {
	for _, body := range m.all(isakmp.PayloadNotification) {
		if n, err := isakmp.ParseNotification(body); err == nil && n.Type == isakmp.Connected {
			q.connected(s)
		}
	}
	return nil
}

// waiting reports whether our message 3 is sent and the new outbound SA is not in use yet.
func (q *quickMode) waiting() bool {
	return q.pair != nil && !q.pair.confirmed && !q.connectBy.IsZero()
}

// switchBy is when we use the new outbound SA at the latest: well before the old one ends.
func (q *quickMode) switchBy(now time.Time) time.Time {
	delay := switchDelay
	if out := q.sa.peer.out; out != nil {
		delay = max(min(delay, out.outSA.Hard.Sub(now)/2), time.Millisecond)
	}
	return now.Add(delay)
}

// connected ends the wait after message 3.
func (q *quickMode) connected(s *step) {
	q.connectBy = time.Time{}
	if q.pair != nil {
		q.sa.peer.confirm(s, q.pair)
	}
}

// notifications reads what a peer adds to a quick mode message. None of it can fail the exchange.
func (q *quickMode) notifications(s *step, m *message) {
	p := q.sa.peer
	for _, body := range m.all(isakmp.PayloadNotification) {
		n, err := isakmp.ParseNotification(body)
		switch {
		case err != nil:
			s.event(p, m.remote, EventMalformed, Debug, "%v", err)
		case n.Type == isakmp.NHTBInform:
			p.rememberNHTB(s, n.Data)
		case n.Type == isakmp.ResponderLifetime && q.initiator:
			if l, err := responderLifetime(n.Data, true); err == nil {
				if l.Seconds != 0 && (q.spec.life.Seconds == 0 || l.Seconds < q.spec.life.Seconds) {
					q.spec.life.Seconds = l.Seconds
				}
				q.spec.life.Kilobytes = smallerVolume(q.spec.life.Kilobytes, l.Kilobytes)
			}
		case n.Type == isakmp.InitialContact:
			s.event(p, m.remote, EventInitialContact, Debug, "INITIAL-CONTACT: what was made before is forgotten")
			p.forgetOlder(s, q.sa, q.sa.since)
		case n.Type == isakmp.ReplayStatus, n.Type == isakmp.Connected:
		default:
			s.event(p, m.remote, EventUnknownNotification, Debug, "%s in quick mode", n.Type)
		}
	}
}

// checkProxyIDs compares the ids of the peer's message 1 with ours. Without any, the addresses of the ISAKMP
// peers are meant (RFC 2409, 5.5).
func (c *PeerConfig) checkProxyIDs(ids [][]byte) *failure {
	if len(ids) == 0 {
		ids = [][]byte{isakmp.AddrID(c.Remote).Append(nil), isakmp.AddrID(c.Local).Append(nil)}
	}
	return c.checkIDs(ids, c.RemoteTS, c.LocalTS)
}

// checkIDs compares IDci and IDcr with what they must be.
func (c *PeerConfig) checkIDs(ids [][]byte, wantI, wantR Selector) *failure {
	if len(ids) != 2 {
		return malformed("%d ID payloads in quick mode, want IDci and IDcr", len(ids))
	}
	idci, err := isakmp.ParseID(ids[0])
	if err != nil {
		return malformed("%v", err)
	}
	idcr, err := isakmp.ParseID(ids[1])
	if err != nil {
		return malformed("%v", err)
	}
	if wantI.matches(idci) && wantR.matches(idcr) {
		return nil
	}
	f := trouble(EventWrongProxyID, "proxy ids differ: they say IDci %s, IDcr %s; we want IDci %s, IDcr %s%s", idci, idcr, wantI, wantR, c.change("proxy ids"))
	f.notify = notifyInvalidID
	f.rows = []Difference{{"IDci", idci.String(), wantI.String()}, {"IDcr", idcr.String(), wantR.String()}}
	return f
}

// malformed is a failure that the peer is told about.
func malformed(format string, args ...any) *failure {
	f := drop(EventMalformed, format, args...)
	f.notify = notifyMalformed
	return f
}

// end stops an exchange of ours that has failed, and lets it linger: copies of the peer's messages get no answer.
func (q *quickMode) end(s *step) {
	q.resend.stop()
	q.sa.peer.e.forget(q.busy)
	q.busy, q.expect, q.until = 0, 0, s.now.Add(lingering)
}

// remove forgets the exchange. An SA pair that it has made stays.
func (q *quickMode) remove(s *step) {
	p := q.sa.peer
	p.e.forget(q.busy)
	p.quicks = slices.DeleteFunc(p.quicks, func(o *quickMode) bool { return o == q })
	s.touch(p)
}

func (q *quickMode) next(d *deadline) {
	d.by(q.resend.at)
	d.by(q.connectBy)
	if q.resend.at.IsZero() {
		d.by(q.until)
	}
}

func (q *quickMode) tick(s *step) {
	p := q.sa.peer
	if !q.connectBy.IsZero() && !q.connectBy.After(s.now) {
		q.connected(s)
	}
	if q.resend.tick(s, p) {
		q.unanswered(s)
		return
	}
	if q.resend.at.IsZero() && !q.until.IsZero() && !q.until.After(s.now) {
		q.remove(s)
	}
}

// unanswered ends an exchange whose message found no answer.
func (q *quickMode) unanswered(s *step) {
	p := q.sa.peer
	if !q.initiator {
		s.event(p, q.sa.remote, EventNoAnswer, Info, "quick mode ended before the peer's message 3")
		if q.pair != nil { // the peer may use it all the same: message 3 may have been lost again and again
			q.pair.doubtful = true
		}
		q.end(s)
		return
	}
	s.report(p, q.sa.remote, trouble(EventNoAnswer, "no answer to quick mode message 1"))
	q.end(s)
	p.quickAt = s.now.Add(p.e.jitter(time.Second, 3*time.Second))
	if q.sa.heard.Before(q.began) && !q.sa.dying { // it has said nothing under this ISAKMP SA: it may not know it any more
		q.sa.remove(s)
	}
}

func be32(b []byte) uint32 {
	var v uint32
	for _, x := range b {
		v = v<<8 | uint32(x)
	}
	return v
}

// rememberNHTB keeps the address of the tunnel interface that ScreenOS tells.
func (p *peer) rememberNHTB(s *step, data []byte) {
	if len(data) == 4 {
		p.nhtb = addrFrom(data)
		s.event(p, noAddr, EventUnknownNotification, Debug, "NHTB-INFORM: the peer's tunnel interface is %s", p.nhtb)
	}
}

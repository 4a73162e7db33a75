package ike

import (
	"net/netip"
	"slices"
	"time"

	"meshrouter/ike/isakmp"
	"meshrouter/ike/keys"
	"meshrouter/internal/secret"
)

// Main mode with pre-shared keys (RFC 2409, 5.4); * is encrypted:
//
//	initiator                          responder
//	1  HDR, SA, VID…            ──►
//	                            ◄──    HDR, SA, VID…               2
//	3  HDR, KE, NONCE, NAT-D…   ──►
//	                            ◄──    HDR, KE, NONCE, NAT-D…      4
//	5  HDR*, ID, HASH_I, [N]    ──►
//	                            ◄──    HDR*, ID, HASH_R, [N]       6

// A mainMode is the exchange that makes an ISAKMP SA.
type mainMode struct {
	expect int    // number of the message to come; 0: finished
	busy   uint64 // the Compute under way; 0: none
	began  time.Time
	until  time.Time // of a half-open responder exchange, and of lingering
	resend retransmission
	replay replyCache

	offer     isakmp.SA
	offerBody []byte // body of the initiator's SA payload, for the hashes
	life      time.Duration
	x         keys.Exchange
	key       *keys.PrivateKey
	keys      *keys.Keys
	chain     keys.Chain
	contact   bool // INITIAL-CONTACT is in our message
	clearSent bool // an error was sent in clear: once per exchange
}

// A mainModeRow says what happens to a message of main mode.
type mainModeRow struct {
	initiator         bool // who receives it
	number            int
	required, allowed payloadSet
	encrypted         bool
	action            func(*isakmpSA, *step, *message) *failure
	next              int // number of the message expected then; 0: finished
}

// mainModeTable is the exchange, message for message. Vendor ids, and what peers add, are allowed throughout.
var mainModeTable = []mainModeRow{
	{false, 1, payloads(isakmp.PayloadSA), clearExtras, false, (*isakmpSA).answerOffer, 3},
	{true, 2, payloads(isakmp.PayloadSA), clearExtras, false, (*isakmpSA).takeChoice, 4},
	{false, 3, payloads(isakmp.PayloadKE, isakmp.PayloadNonce), clearExtras, false, (*isakmpSA).answerKeyExchange, 5},
	{true, 4, payloads(isakmp.PayloadKE, isakmp.PayloadNonce), clearExtras, false, (*isakmpSA).takeKeyExchange, 6},
	{false, 5, payloads(isakmp.PayloadID, isakmp.PayloadHash), sealedExtras, true, (*isakmpSA).answerIdentity, 0},
	{true, 6, payloads(isakmp.PayloadID, isakmp.PayloadHash), sealedExtras, true, (*isakmpSA).takeIdentity, 0},
}

const (
	clearExtras = payloadSet(1<<isakmp.PayloadVendorID | 1<<isakmp.PayloadCertReq | 1<<isakmp.PayloadNATD |
		1<<isakmp.PayloadNotification)
	sealedExtras = payloadSet(1<<isakmp.PayloadVendorID | 1<<isakmp.PayloadCertReq | 1<<isakmp.PayloadNotification)
)

// receiveMainMode finds the exchange of a message, and the row of the table.
func (e *Engine) receiveMainMode(s *step, p *peer, sa *isakmpSA, m *message) *failure {
	if m.h.MessageID != 0 {
		return drop(EventUnexpectedMessage, "a message id in main mode")
	}
	if sa == nil {
		if !m.h.ResponderCookie.IsZero() {
			return drop(EventUnknownSA, "no main mode has these cookies")
		}
		return e.receiveFirst(s, p, m)
	}
	x := sa.main
	switch {
	case x == nil:
		return drop(EventUnexpectedMessage, "main mode has ended")
	case x.replay.answer(s, sa.peer, m):
		return nil
	case x.busy != 0:
		return drop(EventBusy, "the message before is still being computed")
	}
	for _, row := range mainModeTable {
		if row.initiator == sa.initiator && row.number == x.expect {
			return sa.step(s, row, m)
		}
	}
	return drop(EventUnexpectedMessage, "main mode has ended")
}

// step takes a message through a row of the table. The exchange moves on only if nothing fails.
func (sa *isakmpSA) step(s *step, row mainModeRow, m *message) *failure {
	x := sa.main
	if row.encrypted {
		if f := m.open(x.chain); f != nil {
			return sa.noise(s, row, m, f)
		}
	} else if f := m.parse(); f != nil {
		return f
	}
	if f := m.check(row.required, row.allowed); f != nil {
		if row.encrypted {
			return sa.noise(s, row, m, f)
		}
		return f
	}
	if f := row.action(sa, s, m); f != nil {
		return f
	}
	x.expect = row.next
	return nil
}

// noise explains a message 5 or 6 that does not decrypt: the keys come from the pre-shared key.
func (sa *isakmpSA) noise(s *step, row mainModeRow, m *message, f *failure) *failure {
	if f.name == EventBadFlags {
		return f
	}
	c := &sa.peer.cfg
	wrong := trouble(EventWrongPSK, "message %d from %s does not decrypt: the pre-shared keys differ%s", row.number, m.remote, c.change(changePSK))
	sa.complain(s, m, isakmp.PayloadMalformed)
	return wrong
}

// complain sends an error notification in clear, once per exchange: it helps whoever reads the peer's log.
func (sa *isakmpSA) complain(s *step, m *message, n isakmp.NotifyType) {
	if sa.main.clearSent || sa.initiator {
		return
	}
	sa.main.clearSent = true
	s.send(m.local, m.remote, clearNotification(sa.header(isakmp.Informational, s.e.uint32(valueInfoID)), n))
}

// clearNotification is an unauthenticated error in the form of isakmpd.
func clearNotification(h isakmp.Header, n isakmp.NotifyType) []byte {
	body := isakmp.Notification{DOI: isakmp.DOIIPsec, Protocol: isakmp.ProtocolISAKMP, Type: n}.Append(nil)
	return h.Message(isakmp.Payload{Type: isakmp.PayloadNotification, Body: body})
}

// beginMainMode sends message 1.
func (p *peer) beginMainMode(s *step) {
	fresh := &p.e.fresh
	*fresh = slices.DeleteFunc(*fresh, func(sa *isakmpSA) bool {
		return sa.established || sa.main == nil || s.now.Sub(sa.main.began) >= 5*time.Second
	})
	switch {
	case len(*fresh) >= p.e.options.Initiating:
		p.mainAt = s.now.Add(p.e.jitter(200*time.Millisecond, 400*time.Millisecond))
		return
	case len(p.cfg.PSK) == 0:
		s.report(p, noAddr, trouble(EventWrongPSK, "no pre-shared key is configured%s", p.cfg.change(changePSK)))
		p.mainAt = s.now.Add(refusedPauseMax)
		return
	case len(p.cfg.Phase1) == 0:
		s.report(p, noAddr, trouble(EventNoProposalChosen, "no phase 1 transform is configured that is supported%s", p.cfg.change(changeSuite)))
		p.mainAt = s.now.Add(refusedPauseMax)
		return
	}
	sa := &isakmpSA{
		peer: p, initiator: true, cookieI: p.e.cookie(),
		local:  netip.AddrPortFrom(p.cfg.Local, portIKE),
		remote: netip.AddrPortFrom(p.cfg.Remote, portIKE),
		main:   &mainMode{expect: 2, began: s.now, offer: p.cfg.offerPhase1()},
	}
	x := sa.main
	x.offerBody = x.offer.Append(nil)
	p.e.fresh = append(p.e.fresh, sa)
	p.sas = append(p.sas, sa)
	p.e.cookies[sa.cookieI] = sa
	ps := append([]isakmp.Payload{{Type: isakmp.PayloadSA, Body: x.offerBody}}, p.cfg.vendorIDs(true, isakmp.UnknownVendor)...)
	x.resend.begin(s, sa.local, sa.remote, sa.header(isakmp.IdentityProtection, 0).Message(ps...), patienceFirst)
}

// receiveFirst takes a message 1: a copy of a known one, or a new exchange if the peer may have another.
func (e *Engine) receiveFirst(s *step, p *peer, m *message) *failure {
	if p == nil {
		f := drop(EventUnknownPeer, "main mode from %s, for which no link is configured", m.remote)
		f.severity = Info
		return f
	}
	if len(p.cfg.PSK) == 0 {
		return trouble(EventWrongPSK, "no pre-shared key is configured%s", p.cfg.change(changePSK))
	}
	if e.cookies[m.h.InitiatorCookie] != nil { // both ends would be ourselves, with the right key
		return drop(EventBadCookie, "a message 1 with a cookie that is ours")
	}
	halfOpen := make([]*isakmpSA, 0, defaultHalfOpen)
	for _, sa := range p.sas {
		if sa.initiator || sa.main == nil {
			continue
		}
		if sa.cookieI == m.h.InitiatorCookie {
			if sa.main.expect == 3 && sa.main.busy == 0 && sa.main.replay.answer(s, p, m) {
				return nil
			}
			return drop(EventUnexpectedMessage, "a message 1 whose exchange has gone on")
		}
		if !sa.established {
			halfOpen = append(halfOpen, sa)
		}
	}
	early := slices.DeleteFunc(slices.Clone(halfOpen), func(sa *isakmpSA) bool { return sa.main.expect != 3 })
	full := len(halfOpen) >= e.config.HalfOpenPerPeer
	if full && len(early) == 0 {
		return drop(EventHalfOpenLimit, "%d half-open main modes of %s already", len(halfOpen), m.remote)
	}
	if own := p.initiating(); own != nil && s.now.Sub(own.main.began) < crossingTime &&
		(own.main.expect > 2 || p.cfg.Remote.Less(p.cfg.Local)) {
		return drop(EventCrossing, "both ends began main mode at once: ours goes on")
	}
	if f := m.parse(); f != nil {
		return f
	}
	row := mainModeTable[0]
	if f := m.check(row.required, row.allowed); f != nil {
		return f
	}
	sa := &isakmpSA{
		peer: p, cookieI: m.h.InitiatorCookie, cookieR: e.cookie(), local: m.local, remote: m.remote,
		main: &mainMode{began: s.now, until: s.now.Add(responderLife), expect: row.next},
	}
	if f := row.action(sa, s, m); f != nil {
		return f
	}
	if full {
		// A random one makes room: in a flood of forged messages the peer's own exchange then lives long
		// enough for its message 3 with good probability, whatever the forger does. Exchanges with a
		// message 3 are safe: who sent it has seen message 2.
		s.event(p, m.remote, EventHalfOpenLimit, Debug, "one of %d half-open main modes makes room", len(halfOpen))
		early[e.jitter(0, time.Duration(len(early)))].remove(s)
	}
	p.sas = append([]*isakmpSA{sa}, p.sas...) // half-open ones before established ones: the last is the current one
	e.cookies[sa.cookieR] = sa
	return nil
}

// answerOffer takes message 1 and sends message 2.
func (sa *isakmpSA) answerOffer(s *step, m *message) *failure {
	x, c := sa.main, &sa.peer.cfg
	x.offerBody = m.body(isakmp.PayloadSA)
	offer, err := isakmp.ParseSA(x.offerBody)
	if err != nil {
		return drop(EventMalformed, "%v", err)
	}
	choice, f := c.choosePhase1(offer)
	if f != nil {
		s.send(m.local, m.remote, clearNotification(sa.header(isakmp.Informational, s.e.uint32(valueInfoID)), isakmp.NoProposalChosen))
		return f
	}
	sa.suite, x.life = choice.suite, choice.life
	sa.nat.version, sa.peerDPD = c.readVendorIDs(m.payloads)
	ps := append([]isakmp.Payload{{Type: isakmp.PayloadSA, Body: choice.reply.Append(nil)}}, c.vendorIDs(false, sa.nat.version)...)
	reply := sa.header(isakmp.IdentityProtection, 0).Message(ps...)
	x.replay.remember(m.raw, reply)
	s.send(m.local, m.remote, reply)
	return nil
}

// takeChoice takes message 2 and, once our public value is computed, sends message 3.
func (sa *isakmpSA) takeChoice(s *step, m *message) *failure {
	x, c := sa.main, &sa.peer.cfg
	if m.h.ResponderCookie.IsZero() {
		return drop(EventBadCookie, "the responder cookie is zero in message 2")
	}
	reply, err := isakmp.ParseSA(m.body(isakmp.PayloadSA))
	if err != nil {
		return drop(EventMalformed, "%v", err)
	}
	t, _, f := answered(x.offer, reply)
	if f != nil {
		return f
	}
	o, err := isakmp.ParsePhase1Offer(t)
	if err != nil {
		return drop(EventMalformed, "%v", err)
	}
	sa.cookieR = m.h.ResponderCookie
	sa.suite = Phase1Transform{o.Encryption, o.KeyLength, o.Hash, o.Group}
	x.life = smallerLife(o.Life.Seconds, c.Phase1Lifetime)
	sa.nat.version, sa.peerDPD = c.readVendorIDs(m.payloads)
	x.resend.stop()
	x.replay.remember(m.raw, nil)
	x.x.NonceI = s.e.random(valueNonce, nonceSize)
	exponent := s.e.random(valueExponent, keys.ExponentSize(sa.suite.Group))
	x.busy = s.compute(sa.peer, generate(sa.suite.Group, exponent), func(s *step, result any) {
		x.busy = 0
		r := dh(result)
		if r.err != nil {
			sa.fail(s, trouble(EventBadPublicValue, "computing our public value: %v", r.err))
			return
		}
		x.key, x.x.PublicI = r.key, r.public
		message3 := sa.keyExchange(x.x.PublicI, x.x.NonceI)
		x.replay.remember(m.raw, message3)
		x.resend.begin(s, sa.local, sa.remote, message3, patience)
	})
	return nil
}

// keyExchange is message 3 or 4.
func (sa *isakmpSA) keyExchange(public, nonce []byte) []byte {
	ps := append([]isakmp.Payload{
		{Type: isakmp.PayloadKE, Body: public},
		{Type: isakmp.PayloadNonce, Body: nonce},
	}, sa.natdPayloads()...)
	return sa.header(isakmp.IdentityProtection, 0).Message(ps...)
}

// answerKeyExchange takes message 3 and, once the secret is computed, sends message 4.
func (sa *isakmpSA) answerKeyExchange(s *step, m *message) *failure {
	x := sa.main
	ke, ni := m.body(isakmp.PayloadKE), m.body(isakmp.PayloadNonce)
	if !keys.ValidPublic(sa.suite.Group, ke) {
		return drop(EventBadPublicValue, "message 3, group %s: %v", sa.suite.Group, keys.ErrPublicValue)
	}
	if f := nonce(ni); f != nil {
		return f
	}
	x.x.PublicI, x.x.NonceI = ke, ni
	x.x.NonceR = s.e.random(valueNonce, min(max(len(ni), nonceSize), 64))
	x.replay.remember(m.raw, nil)
	exponent := s.e.random(valueExponent, keys.ExponentSize(sa.suite.Group))
	x.busy = s.compute(sa.peer, agree(sa.suite.Group, exponent, ke), func(s *step, result any) {
		x.busy = 0
		r := dh(result)
		if r.err == nil {
			x.x.PublicR = r.public
			r.err = sa.derive(s, r.shared)
		}
		if r.err != nil { // forged, or the peer is broken: the peer may try again with its real message 3
			s.event(sa.peer, m.remote, EventBadPublicValue, Warning, "%v", r.err)
			x.replay, x.expect = replyCache{}, 3
			return
		}
		sa.detectNAT(s, m)
		message4 := sa.keyExchange(x.x.PublicR, x.x.NonceR)
		x.replay.remember(m.raw, message4)
		x.until = later(x.until, s.now.Add(responderLife))
		s.send(m.local, m.remote, message4)
	})
	return nil
}

// takeKeyExchange takes message 4 and, once the secret is computed, sends message 5.
func (sa *isakmpSA) takeKeyExchange(s *step, m *message) *failure {
	x := sa.main
	ke, nr := m.body(isakmp.PayloadKE), m.body(isakmp.PayloadNonce)
	if !keys.ValidPublic(sa.suite.Group, ke) {
		return drop(EventBadPublicValue, "message 4, group %s: %v", sa.suite.Group, keys.ErrPublicValue)
	}
	if f := nonce(nr); f != nil {
		return f
	}
	x.x.PublicR, x.x.NonceR = ke, nr
	x.resend.stop()
	x.replay.remember(m.raw, nil)
	x.busy = s.compute(sa.peer, share(x.key, ke), func(s *step, result any) {
		x.busy = 0
		r := dh(result)
		if r.err == nil {
			r.err = sa.derive(s, r.shared)
		}
		if r.err != nil {
			sa.fail(s, trouble(EventBadPublicValue, "message 4 from %s: %v", m.remote, r.err))
			return
		}
		sa.detectNAT(s, m)
		sa.float()
		id := sa.peer.cfg.LocalID.payload(sa.local.Addr()).Append(nil)
		var message5 []byte
		message5, x.chain = x.chain.Seal(sa.identity(id, x.keys.HashI(x.x, x.offerBody, id)))
		x.replay.remember(m.raw, message5)
		x.resend.begin(s, sa.local, sa.remote, message5, patience)
	})
	return nil
}

// derive computes the keys and gives the one for the key log away.
func (sa *isakmpSA) derive(s *step, shared secret.Key) error {
	x := sa.main
	x.x.CookieI, x.x.CookieR = sa.cookieI, sa.cookieR
	k, err := keys.Derive(sa.suite.keysSuite(), sa.peer.cfg.PSK, x.x, shared)
	if err != nil {
		return err
	}
	x.keys = k
	if x.chain, err = k.Phase1Chain(x.x); err != nil {
		return err
	}
	s.emit(ISAKMPKey{Peer: sa.peer.cfg.ID, InitiatorCookie: sa.cookieI, Key: k.EncryptionKey})
	return nil
}

// identity is message 5 or 6 in clear. INITIAL-CONTACT goes out at the first contact only.
func (sa *isakmpSA) identity(id, hash []byte) []byte {
	ps := []isakmp.Payload{{Type: isakmp.PayloadID, Body: id}, {Type: isakmp.PayloadHash, Body: hash}}
	if p := sa.peer; !p.contacted && len(p.pairs) == 0 && p.current() == nil {
		sa.main.contact = true
		ps = append(ps, isakmp.Payload{Type: isakmp.PayloadNotification, Body: isakmp.Notification{
			DOI: isakmp.DOIIPsec, Protocol: isakmp.ProtocolISAKMP, SPI: sa.cookieBytes(), Type: isakmp.InitialContact,
		}.Append(nil)})
	}
	return sa.header(isakmp.IdentityProtection, 0).Message(ps...)
}

// answerIdentity takes message 5 and sends message 6.
func (sa *isakmpSA) answerIdentity(s *step, m *message) *failure {
	x := sa.main
	id := m.body(isakmp.PayloadID)
	if f := sa.authenticate(s, m, x.keys.HashI(x.x, x.offerBody, id)); f != nil {
		return f
	}
	if sa.nat.found() { // the initiator has floated to port 4500
		sa.local, sa.remote = m.local, m.remote
	}
	own := sa.peer.cfg.LocalID.payload(sa.local.Addr()).Append(nil)
	var message6 []byte
	message6, x.chain = m.next.Seal(sa.identity(own, x.keys.HashR(x.x, x.offerBody, own)))
	x.replay.remember(m.raw, message6)
	sa.finish(s, m)
	sa.peer.save(s) // before the peer can use it
	s.send(sa.local, sa.remote, message6)
	return nil
}

// takeIdentity takes message 6: the ISAKMP SA is there.
func (sa *isakmpSA) takeIdentity(s *step, m *message) *failure {
	x := sa.main
	id := m.body(isakmp.PayloadID)
	if f := sa.authenticate(s, m, x.keys.HashR(x.x, x.offerBody, id)); f != nil {
		return f
	}
	x.chain = m.next
	x.resend.stop()
	x.replay.remember(m.raw, nil)
	if sa.nat.found() && m.remote != sa.remote {
		sa.remote = m.remote
	}
	sa.finish(s, m)
	return nil
}

// authenticate compares the peer's hash and identity with what they must be.
func (sa *isakmpSA) authenticate(s *step, m *message, want []byte) *failure {
	c := &sa.peer.cfg
	if !keys.Equal(m.body(isakmp.PayloadHash), want) {
		f := trouble(EventAuthenticationFailed, "the hash in the last message of main mode from %s does not fit: the pre-shared keys differ%s", m.remote, c.change(changePSK))
		sa.complain(s, m, isakmp.InvalidHashInformation)
		return f
	}
	id, err := isakmp.ParseID(m.body(isakmp.PayloadID))
	if err != nil {
		return drop(EventMalformed, "%v", err)
	}
	if !c.RemoteID.matches(id) {
		want := isakmp.ID{Type: c.RemoteID.Type, Data: c.RemoteID.Data}
		f := trouble(EventWrongIdentity, "the peer says it is %s, we want %s%s", id, want, c.change("the peer's identity"))
		f.rows = []Difference{{"identity", id.String(), want.String()}}
		return f
	}
	return nil
}

// finish makes the exchange an ISAKMP SA.
func (sa *isakmpSA) finish(s *step, m *message) {
	p, x := sa.peer, sa.main
	sa.keys, sa.lastBlock = x.keys, x.chain.IV()
	life := x.life
	forget := false
	for _, body := range m.all(isakmp.PayloadNotification) {
		n, err := isakmp.ParseNotification(body)
		switch {
		case err != nil:
			s.event(p, m.remote, EventMalformed, Debug, "%v", err)
		case n.Type == isakmp.InitialContact:
			forget = true
		case n.Type == isakmp.ResponderLifetime:
			if l, err := responderLifetime(n.Data, false); err == nil {
				life = smallerLife(l.Seconds, life)
			}
		default:
			s.event(p, m.remote, EventUnknownNotification, Debug, "%s in main mode", n.Type)
		}
	}
	p.contacted = p.contacted || x.contact
	x.expect, x.until = 0, s.now.Add(lingering)
	p.establishedSA(s, sa, life)
	if forget {
		s.event(p, m.remote, EventInitialContact, Debug, "INITIAL-CONTACT: what was made before is forgotten")
		p.forgetOlder(s, sa, x.began)
	}
	if p.out == nil && !sa.initiator {
		p.downSince = later(p.downSince, s.now)
	}
}

// fail ends a main mode of ours.
func (sa *isakmpSA) fail(s *step, f *failure) {
	p := sa.peer
	s.report(p, sa.remote, f)
	sa.remove(s)
	p.mainAt = s.now.Add(p.e.jitter(time.Second, 5*time.Second))
}

func (x *mainMode) next(d *deadline) {
	d.by(x.resend.at)
	d.by(x.until)
}

// tickMain sends again, gives up, or stops lingering.
func (sa *isakmpSA) tickMain(s *step) {
	p, x := sa.peer, sa.main
	if x.resend.tick(s, p) {
		sa.fail(s, trouble(EventNoAnswer, "%s", x.silence(sa)))
		return
	}
	if x.expect == 2 && s.now.Sub(x.began) > 27*time.Second && p.out == nil {
		p.trouble = x.silence(sa)
	}
	if x.until.IsZero() || x.until.After(s.now) {
		return
	}
	if sa.established {
		sa.main = nil
		return
	}
	if x.expect == 5 {
		s.event(p, sa.remote, EventNoAnswer, Info, "the peer's main mode ended before its message 5")
	}
	sa.remove(s)
}

// silence explains what it may mean that a message of ours stays unanswered.
func (x *mainMode) silence(sa *isakmpSA) string {
	c := &sa.peer.cfg
	switch {
	case x.expect == 2 && c.Profile.habits().silentOnDeaf:
		return "no answer to main mode message 1; isakmpd may be deaf for 120 s after its last main mode"
	case x.expect == 2:
		return "no answer to main mode message 1: the peer is down, unreachable, or does not know us"
	case x.expect == 4:
		return "no answer to main mode message 3"
	default:
		return "no answer to main mode message 5: the pre-shared keys or identities differ" + c.change(changePSK)
	}
}

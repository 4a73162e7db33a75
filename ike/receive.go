package ike

import (
	"bytes"
	"errors"
	"net/netip"

	"meshrouter/ike/isakmp"
	"meshrouter/ike/keys"
)

// A message is a received datagram on its way through an exchange.
type message struct {
	h             isakmp.Header
	local, remote netip.AddrPort
	raw           []byte // ours: exchanges keep parts of it
	payloads      []isakmp.Payload
	clear         []byte     // the decrypted payloads with padding
	next          keys.Chain // the chain behind the message, to be kept when it is authentic
}

// receive finds out what a datagram belongs to.
func (e *Engine) receive(s *step, d Datagram) {
	m := &message{
		local:  netip.AddrPortFrom(d.Local.Addr().Unmap(), d.Local.Port()),
		remote: netip.AddrPortFrom(d.Remote.Addr().Unmap(), d.Remote.Port()),
	}
	p := e.peerAt(m.local, m.remote) // as the addresses have it; cookies may know better
	if len(d.Payload) > MaxMessage {
		s.event(p, m.remote, EventTooLong, Debug, "a message of %d bytes", len(d.Payload))
		return
	}
	var err error
	if m.h, err = isakmp.ParseHeader(d.Payload); err != nil {
		s.event(p, m.remote, EventBadHeader, Debug, "%v", err)
		return
	}
	if m.h.Version != isakmp.Version1 {
		s.event(p, m.remote, EventBadVersion, Info, "ISAKMP version %d.%d, want 1.0: the peer is configured for another IKE", m.h.Major(), m.h.Minor())
		return
	}
	if m.h.InitiatorCookie.IsZero() {
		s.event(p, m.remote, EventBadCookie, Debug, "the initiator cookie is zero")
		return
	}
	m.raw = bytes.Clone(d.Payload)
	sa := e.find(m)
	if sa != nil {
		p = sa.peer
	}
	var f *failure
	s.rumour = m.h.Exchange != isakmp.QuickMode && (m.h.Exchange != isakmp.Informational || m.h.Flags&isakmp.FlagEncryption == 0)
	defer func() { s.rumour = false }()
	switch m.h.Exchange {
	case isakmp.IdentityProtection:
		f = e.receiveMainMode(s, p, sa, m)
	case isakmp.QuickMode:
		f = e.receiveQuickMode(s, sa, m)
	case isakmp.Informational:
		f = e.receiveInformational(s, p, sa, m)
	case isakmp.Aggressive:
		f = drop(EventAggressiveRefused, "aggressive mode is not done here: it shows a hash of the pre-shared key to everyone. Configure main mode at the peer")
		f.severity, f.trouble = Warning, p != nil
	default:
		f = drop(EventUnsupportedExchange, "exchange type %s", m.h.Exchange)
	}
	if f != nil {
		s.report(p, m.remote, f)
	}
	if p != nil {
		s.touch(p)
	}
}

// find looks an ISAKMP SA, or its main mode, up by the cookies: ours names it, the peer's must fit.
func (e *Engine) find(m *message) *isakmpSA {
	if sa := e.cookies[m.h.InitiatorCookie]; sa != nil && sa.initiator && (sa.cookieR.IsZero() || sa.cookieR == m.h.ResponderCookie) {
		return sa
	}
	if sa := e.cookies[m.h.ResponderCookie]; sa != nil && !sa.initiator && sa.cookieI == m.h.InitiatorCookie {
		return sa
	}
	return nil
}

// parse splits the message in clear into its payloads.
func (m *message) parse() *failure {
	if m.h.Flags&isakmp.FlagEncryption != 0 {
		return drop(EventBadFlags, "encrypted where keys do not exist yet")
	}
	ps, _, err := isakmp.ParsePayloads(m.h.NextPayload, m.raw[isakmp.HeaderSize:])
	if err != nil {
		return drop(EventMalformed, "%v", err)
	}
	m.payloads = ps
	return nil
}

// open decrypts the message and splits it into its payloads. err is a parse error: with the wrong keys,
// what comes out is noise.
func (m *message) open(chain keys.Chain) *failure {
	if m.h.Flags&isakmp.FlagEncryption == 0 {
		return drop(EventBadFlags, "not encrypted")
	}
	var err error
	if m.clear, m.next, err = chain.Open(m.raw); err != nil {
		return drop(EventMalformed, "%v", err)
	}
	if m.payloads, _, err = isakmp.ParsePayloads(m.h.NextPayload, m.clear); err != nil {
		return drop(EventMalformed, "%v", err)
	}
	if len(m.payloads) == 0 {
		return drop(EventMalformed, "no payload")
	}
	return nil
}

// body is the body of the first payload of a type; nil if there is none.
func (m *message) body(t isakmp.PayloadType) []byte {
	p, ok := isakmp.Find(m.payloads, t)
	if !ok {
		return nil
	}
	return p.Body
}

// all are the bodies of all payloads of a type.
func (m *message) all(t isakmp.PayloadType) [][]byte {
	var bodies [][]byte
	for _, p := range m.payloads {
		if p.Type == t {
			bodies = append(bodies, p.Body)
		}
	}
	return bodies
}

// A payloadSet is a set of payload types. Private types have no place in it: they are always stepped over.
type payloadSet uint64

func payloads(ts ...isakmp.PayloadType) payloadSet {
	var set payloadSet
	for _, t := range ts {
		set |= 1 << t
	}
	return set
}

// anything is every payload type that may stand in a message.
const anything = ^payloadSet(0)

// check compares the payloads with what a row of an exchange's table requires and allows.
func (m *message) check(required, allowed payloadSet) *failure {
	var have payloadSet
	for _, p := range m.payloads {
		if p.Type.Private() {
			continue
		}
		if (required|allowed)&(1<<p.Type) == 0 {
			return drop(EventUnexpectedPayload, "payload %s in a message of exchange %s", p.Type, m.h.Exchange)
		}
		have |= 1 << p.Type
	}
	for t := range isakmp.PayloadType(64) {
		if required&(1<<t) != 0 && have&(1<<t) == 0 {
			return drop(EventUnexpectedPayload, "payload %s is missing in a message of exchange %s", t, m.h.Exchange)
		}
	}
	return nil
}

// dhResult is what a Diffie-Hellman job returns.
type dhResult struct {
	key    *keys.PrivateKey // to go on with; nil after the shared secret
	public []byte
	shared []byte
	err    error
}

// generate is the job that computes a public value.
func generate(g Group, exponent []byte) func() any {
	return func() any {
		key, err := keys.NewPrivateKey(g, exponent)
		if err != nil {
			return dhResult{err: err}
		}
		return dhResult{key: key, public: key.Public()}
	}
}

// agree is the job that computes a public value and the shared secret.
func agree(g Group, exponent, peer []byte) func() any {
	return func() any {
		key, err := keys.NewPrivateKey(g, exponent)
		if err != nil {
			return dhResult{err: err}
		}
		shared, err := key.Shared(peer)
		return dhResult{public: key.Public(), shared: shared, err: err}
	}
}

// share is the job that computes the shared secret.
func share(key *keys.PrivateKey, peer []byte) func() any {
	return func() any {
		shared, err := key.Shared(peer)
		return dhResult{shared: shared, err: err}
	}
}

// dh reads a result; the shell may return anything.
func dh(result any) dhResult {
	r, ok := result.(dhResult)
	if !ok {
		r.err = errors.New("the computation returned nothing")
	}
	return r
}

// nonce checks the body of a nonce payload (RFC 2409, 5).
func nonce(b []byte) *failure {
	if len(b) < 8 || len(b) > 256 {
		return drop(EventBadNonce, "a nonce of %d bytes, want 8 to 256 (RFC 2409, 5)", len(b))
	}
	return nil
}

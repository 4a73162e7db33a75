package keys_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"meshrouter/ike/isakmp"
	"meshrouter/ike/keys"
	"meshrouter/internal/recordings"
	"meshrouter/internal/secret"
)

// A replay recomputes one recorded session from its datagrams, the pre-shared keys and the private exponents.
type replay struct {
	t      *testing.T
	r      *recordings.Recording
	phase1 map[[16]byte]*phase1 // by both cookies
	offers map[isakmp.Cookie][]byte
	opened map[string]bool // messages, to tell retransmissions
	counts map[string]int
}

// phase1 is what has been seen of an ISAKMP SA.
type phase1 struct {
	x         keys.Exchange
	suite     keys.Suite
	group     isakmp.Group
	initiator string          // address
	offer     []byte          // body of the initiator's SA payload
	ids       map[bool][]byte // body of the ID payload, by whether the initiator's
	sides     map[string]*side
	quick     map[uint32]*quick
}

// side is the ISAKMP SA as one end sees it; they differ where the pre-shared keys do.
type side struct {
	keys      *keys.Keys
	chain     keys.Chain // phase 1
	lastBlock []byte
	ran       map[uint32]keys.Chain // of later exchanges, by message id
}

// quick is what has been seen of a quick mode.
type quick struct {
	initiator        string
	nonceI, nonceR   []byte
	publicI, publicR []byte
	chosen           isakmp.Phase2Offer
}

// TestIsakmpdRecordings opens every encrypted message of the recordings, verifies every hash, seals each message again
// byte for byte and recomputes all keys, from nothing but datagrams, pre-shared keys and private exponents.
func TestIsakmpdRecordings(t *testing.T) {
	t.Parallel()
	counts := map[string]int{}
	for _, r := range recordings.Isakmpd(t) {
		p := &replay{t, r, map[[16]byte]*phase1{}, map[isakmp.Cookie][]byte{}, map[string]bool{}, counts}
		for _, m := range r.Messages {
			p.message(m)
		}
		p.checkKEYMAT()
	}
	t.Log(counts)
	for what, want := range map[string]int{
		"ISAKMP SAs": 54, "opened": 409, "opened before": 26, "HASH_I and HASH_R": 102, "HASH(1)": 53, "HASH(2)": 49, "HASH(3)": 47,
		"informational": 136, "ESP SAs": 94, "ESP SAs with PFS": 4, "different keys": 7,
	} {
		if counts[what] != want {
			t.Errorf("%d %s, want %d", counts[what], what, want)
		}
	}
}

func (p *replay) errorf(m recordings.Message, format string, args ...any) {
	p.t.Helper()
	p.t.Errorf("%s frame %d: %s", p.r.Scenario, m.Frame, fmt.Sprintf(format, args...))
}

func (p *replay) message(m recordings.Message) {
	h, err := isakmp.ParseHeader(m.IKE)
	if err != nil {
		p.errorf(m, "%v", err)
		return
	}
	if h.Flags&isakmp.FlagEncryption == 0 {
		p.clear(m, h)
		return
	}
	sa := p.phase1[[16]byte(m.IKE[:16])]
	if sa == nil {
		p.errorf(m, "encrypted under unknown cookies")
		return
	}
	from := sa.sides[m.Src.String()]
	before := from.chain
	var again bool
	if h.MessageID != 0 {
		if before, again = from.ran[h.MessageID]; !again {
			if before, err = from.keys.Phase2Chain(from.lastBlock, h.MessageID); err != nil {
				p.errorf(m, "%v", err)
			}
		}
	}
	p.counts["opened"]++
	if p.opened[string(m.IKE)] {
		p.counts["opened before"]++
		return
	}
	p.opened[string(m.IKE)] = true
	clear, next, err := before.Open(m.IKE)
	if err != nil || !bytes.Equal(before.IV(), m.IV) || !bytes.Equal(clear, m.Plaintext) {
		p.errorf(m, "%v\n IV %x, want %x\n opened %x\n want   %x", err, before.IV(), m.IV, clear, m.Plaintext)
		return
	}
	p.seal(m, h, before, clear, next)
	ps, _, err := isakmp.ParsePayloads(h.NextPayload, clear)
	if err != nil {
		p.errorf(m, "%v", err)
		return
	}
	for address, other := range sa.sides { // both ends follow, but for one that cannot read it
		if h.MessageID != 0 {
			other.ran[h.MessageID] = next
		} else if address == m.Src.String() || bytes.Equal(other.keys.EncryptionKey, from.keys.EncryptionKey) {
			other.chain, other.lastBlock = next, next.IV()
		}
	}
	if other := sa.sides[m.Dst.String()]; !bytes.Equal(other.keys.EncryptionKey, from.keys.EncryptionKey) {
		p.wrongKey(m, h, other)
	}
	if h.MessageID == 0 {
		p.authentication(m, sa, from.keys, ps)
		return
	}
	p.phase2(m, h, sa, from.keys, clear, ps)
}

// seal makes the datagram m again of what it holds: header, payloads, padding.
func (p *replay) seal(m recordings.Message, h isakmp.Header, before keys.Chain, clear []byte, after keys.Chain) {
	ps, rest, err := isakmp.ParsePayloads(h.NextPayload, clear)
	if err != nil {
		p.errorf(m, "%v", err)
		return
	}
	h.Flags &^= isakmp.FlagEncryption
	message := h.Message(ps...)
	if p.r.Hosts[m.Src.String()] != "isakmpd" {
		message = append(message, rest...) // may be a whole block more than needed
	}
	sealed, next := before.Seal(message)
	if !bytes.Equal(sealed, m.IKE) || !bytes.Equal(next.IV(), after.IV()) {
		p.errorf(m, "sealed as %x, want %x", sealed, m.IKE)
	}
}

// wrongKey checks that the receiver with another pre-shared key finds noise, and no panic.
func (p *replay) wrongKey(m recordings.Message, h isakmp.Header, other *side) {
	clear, _, err := other.chain.Open(m.IKE)
	if err != nil {
		p.errorf(m, "%v", err)
	}
	if ps, _, err := isakmp.ParsePayloads(h.NextPayload, clear); err == nil {
		p.errorf(m, "the wrong key opened %d payloads", len(ps))
	}
	p.counts["different keys"]++
}

// clear collects what phase 1 negotiates in clear, and derives the keys when it is complete.
func (p *replay) clear(m recordings.Message, h isakmp.Header) {
	ps, _, err := isakmp.ParsePayloads(h.NextPayload, m.IKE[isakmp.HeaderSize:])
	if err != nil {
		p.errorf(m, "%v", err)
		return
	}
	sa, has := isakmp.Find(ps, isakmp.PayloadSA)
	if h.ResponderCookie.IsZero() {
		if has {
			p.offers[h.InitiatorCookie] = m.IKE
		}
		return
	}
	name := [16]byte(m.IKE[:16])
	s := p.phase1[name]
	if s == nil && has {
		s = &phase1{initiator: m.Dst.String(), ids: map[bool][]byte{}, quick: map[uint32]*quick{}}
		s.x.CookieI, s.x.CookieR = h.InitiatorCookie, h.ResponderCookie
		p.phase1[name] = s
		first, _ := isakmp.ParseHeader(p.offers[h.InitiatorCookie])
		offered, _, _ := isakmp.ParsePayloads(first.NextPayload, p.offers[h.InitiatorCookie][isakmp.HeaderSize:])
		offer, _ := isakmp.Find(offered, isakmp.PayloadSA)
		s.offer = offer.Body
		p.chosen(m, s, sa.Body)
		s.collect(true, offered) // aggressive mode
	}
	if s == nil || h.Exchange == isakmp.Informational {
		return
	}
	initiator := m.Src.String() == s.initiator
	s.collect(initiator, ps)
	if s.sides == nil && s.x.PublicI != nil && s.x.PublicR != nil {
		p.derive(m, s)
	}
	if h.Exchange == isakmp.Aggressive {
		p.authentication(m, s, s.sides[m.Src.String()].keys, ps)
	}
}

// chosen reads the responder's answer, which must be one of the offered transforms.
func (p *replay) chosen(m recordings.Message, s *phase1, answer []byte) {
	offer, err := isakmp.ParseSA(s.offer)
	if err != nil {
		p.errorf(m, "%v", err)
		return
	}
	sa, err := isakmp.ParseSA(answer)
	if err != nil {
		p.errorf(m, "%v", err)
		return
	}
	chosen := sa.Proposals[0].Transforms[0]
	offered := false
	for _, t := range offer.Proposals[0].Transforms {
		offered = offered || t.Same(chosen)
	}
	o, err := isakmp.ParsePhase1Offer(chosen)
	if err != nil || !offered {
		p.errorf(m, "answer %+v was not offered: %v", o, err)
	}
	s.suite, s.group = keys.Suite{Encryption: o.Encryption, KeyLength: o.KeyLength, Hash: o.Hash}, o.Group
}

func (s *phase1) collect(initiator bool, ps []isakmp.Payload) {
	public, nonce := &s.x.PublicR, &s.x.NonceR
	if initiator {
		public, nonce = &s.x.PublicI, &s.x.NonceI
	}
	for _, payload := range ps {
		switch payload.Type {
		case isakmp.PayloadKE:
			*public = payload.Body
		case isakmp.PayloadNonce:
			*nonce = payload.Body
		case isakmp.PayloadID:
			s.ids[initiator] = payload.Body
		default:
		}
	}
}

// derive computes the ISAKMP SA for both ends and compares it with what the daemons logged.
func (p *replay) derive(m recordings.Message, s *phase1) {
	p.counts["ISAKMP SAs"]++
	var recorded *recordings.Phase1
	for i := range p.r.Phase1 {
		if r := &p.r.Phase1[i]; bytes.Equal(r.InitiatorCookie, s.x.CookieI[:]) && bytes.Equal(r.ResponderCookie, s.x.CookieR[:]) {
			recorded = r
		}
	}
	if recorded == nil {
		p.errorf(m, "the recording has no such ISAKMP SA")
		return
	}
	shared := sharedSecret(p.t, s.group, recorded.PrivateI, recorded.PrivateR, s.x.PublicI, s.x.PublicR)
	if !bytes.Equal(shared, recorded.Shared) {
		p.errorf(m, "g^xy %x, want %x", []byte(shared), recorded.Shared)
	}
	s.sides = map[string]*side{}
	for address := range p.r.Hosts {
		psk, _, _ := strings.Cut(recorded.PSK[address], " (") // "… (derived, not logged)"
		if psk == "" {
			psk = p.r.PSK[0]
		}
		k, err := keys.Derive(s.suite, secret.Key(psk), s.x, shared)
		if err != nil {
			p.errorf(m, "%v", err)
			return
		}
		chain, err := k.Phase1Chain(s.x)
		if err != nil {
			p.errorf(m, "%v", err)
		}
		want := recorded.Of(address)
		if !bytes.Equal(k.SKEYID, want.SKEYID) || !bytes.Equal(k.SKEYIDd, want.SKEYIDd) || !bytes.Equal(k.SKEYIDa, want.SKEYIDa) ||
			!bytes.Equal(k.EncryptionKey, want.EncryptionKey) || len(want.IV) > 0 && !bytes.Equal(chain.IV(), want.IV) {
			p.errorf(m, "keys of %s with PSK %q differ from the recorded ones", address, psk)
		}
		s.sides[address] = &side{keys: k, chain: chain, lastBlock: chain.IV(), ran: map[uint32]keys.Chain{}}
	}
}

// sharedSecret computes g^xy with the exponents that are known, one or both.
func sharedSecret(t *testing.T, group isakmp.Group, xi, xr, publicI, publicR []byte) secret.Key {
	t.Helper()
	var shared secret.Key
	for _, end := range []struct{ x, public, peer []byte }{{xi, publicI, publicR}, {xr, publicR, publicI}} {
		if len(end.x) == 0 {
			continue
		}
		k, err := keys.NewPrivateKey(group, end.x)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(k.Public(), end.public) {
			t.Errorf("public value %x, want %x", k.Public(), end.public)
		}
		again := shared
		if shared, err = k.Shared(end.peer); err != nil || again != nil && !again.Equal(shared) {
			t.Errorf("the two ends do not agree: %v", err)
		}
	}
	return shared
}

// authentication verifies HASH_I or HASH_R.
func (p *replay) authentication(m recordings.Message, s *phase1, k *keys.Keys, ps []isakmp.Payload) {
	initiator := m.Src.String() == s.initiator
	s.collect(initiator, ps)
	hash, ok := isakmp.Find(ps, isakmp.PayloadHash)
	if !ok {
		p.errorf(m, "no HASH payload")
		return
	}
	want := k.HashR(s.x, s.offer, s.ids[false])
	if initiator {
		want = k.HashI(s.x, s.offer, s.ids[true])
	}
	if !keys.Equal(hash.Body, want) {
		p.errorf(m, "HASH %x, want %x", hash.Body, want)
	}
	p.counts["HASH_I and HASH_R"]++
}

// phase2 verifies HASH(1), HASH(2), HASH(3) or that of an informational message.
func (p *replay) phase2(m recordings.Message, h isakmp.Header, s *phase1, k *keys.Keys, clear []byte, ps []isakmp.Payload) {
	if ps[0].Type != isakmp.PayloadHash {
		p.errorf(m, "HASH is not the first payload")
		return
	}
	covered := isakmp.Covered(clear, ps)
	what, want := "informational", k.Hash1(h.MessageID, covered)
	if h.Exchange == isakmp.QuickMode {
		q := s.quick[h.MessageID]
		nonce, has := isakmp.Find(ps, isakmp.PayloadNonce)
		ke, _ := isakmp.Find(ps, isakmp.PayloadKE)
		switch {
		case q == nil:
			what = "HASH(1)"
			s.quick[h.MessageID] = &quick{initiator: m.Src.String(), nonceI: nonce.Body, publicI: ke.Body}
		case has:
			what, want = "HASH(2)", k.Hash2(h.MessageID, q.nonceI, covered)
			q.nonceR, q.publicR, q.chosen = nonce.Body, ke.Body, p.chosenESP(m, ps)
		default:
			what, want = "HASH(3)", k.Hash3(h.MessageID, q.nonceI, q.nonceR)
		}
	}
	if !keys.Equal(ps[0].Body, want) {
		p.errorf(m, "%s %x, want %x", what, ps[0].Body, want)
	}
	p.counts[what]++
}

// chosenESP reads the responder's answer in quick mode. (quick-mode-early has a second SA payload, and no SAs.)
func (p *replay) chosenESP(m recordings.Message, ps []isakmp.Payload) isakmp.Phase2Offer {
	payload, _ := isakmp.Find(ps, isakmp.PayloadSA)
	sa, err := isakmp.ParseSA(payload.Body)
	if err != nil {
		p.errorf(m, "%v", err)
		return isakmp.Phase2Offer{}
	}
	o, err := isakmp.ParsePhase2Offer(sa.Proposals[0].Transforms[0])
	if err != nil {
		p.errorf(m, "%v", err)
	}
	return o
}

// checkKEYMAT recomputes the keys of all ESP SAs.
func (p *replay) checkKEYMAT() {
	for _, r := range p.r.Phase2 {
		s := p.phase1[[16]byte(append(bytes.Clone(r.InitiatorCookie), r.ResponderCookie...))]
		if s == nil || s.quick[binary.BigEndian.Uint32(r.MessageID)] == nil {
			p.t.Errorf("%s: quick mode %x was not seen", p.r.Scenario, []byte(r.MessageID))
			continue
		}
		seen := s.quick[binary.BigEndian.Uint32(r.MessageID)]
		q := keys.QuickMode{NonceI: seen.nonceI, NonceR: seen.nonceR}
		if seen.publicI != nil {
			q.Shared = sharedSecret(p.t, isakmp.MODP1024, r.PrivateI, r.PrivateR, seen.publicI, seen.publicR)
		}
		if !bytes.Equal(q.Shared, r.Shared) {
			p.t.Errorf("%s: PFS secret %x, want %x", p.r.Scenario, []byte(q.Shared), r.Shared)
		}
		for _, sa := range r.SAs {
			k := s.sides[sa.Receiver].keys
			if got := k.KEYMAT(q, isakmp.ProtocolESP, sa.SPI, len(sa.KEYMAT)); !bytes.Equal(got, sa.KEYMAT) {
				p.t.Errorf("%s: KEYMAT of %x is %x, want %x", p.r.Scenario, []byte(sa.SPI), []byte(got), sa.KEYMAT)
			}
			// The recorded halves are cut as for 3DES everywhere: compare the whole.
			encryption, integrity, err := k.ESPKeys(q, binary.BigEndian.Uint32(sa.SPI), seen.chosen.Transform, seen.chosen.KeyLength, seen.chosen.Auth)
			if err != nil || !bytes.Equal(append(bytes.Clone(encryption), integrity...), sa.KEYMAT) {
				p.t.Errorf("%s: keys of %x differ for %+v: %v", p.r.Scenario, []byte(sa.SPI), seen.chosen, err)
			}
			p.counts["ESP SAs"]++
			if len(q.Shared) > 0 {
				p.counts["ESP SAs with PFS"]++
			}
		}
	}
}

// TestStrongSwanSessions opens and seals every encrypted message of strongSwan's sessions, with its shared secrets,
// and verifies hashes and ESP keys; nonces, ids and offers come from the packets.
func TestStrongSwanSessions(t *testing.T) {
	t.Parallel()
	for _, s := range recordings.StrongSwan(t) {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			strongSwan(t, s)
		})
	}
}

func strongSwan(t *testing.T, s *recordings.Session) {
	t.Helper()
	logged := s.InitiatorValues
	state := &phase1{initiator: s.Initiator, ids: map[bool][]byte{}, quick: map[uint32]*quick{}}
	var k *keys.Keys
	var chain keys.Chain
	var lastBlock []byte
	chains := map[uint32]keys.Chain{}
	verified := map[string]int{}
	verify := func(what string, ps []isakmp.Payload, want []byte) {
		t.Helper()
		hash, _ := isakmp.Find(ps, isakmp.PayloadHash)
		if !keys.Equal(hash.Body, want) {
			t.Errorf("%s %x, want %x", what, hash.Body, want)
		}
		verified[what]++
	}
	for i, packet := range s.Packets {
		if packet.Kind != "ike" {
			continue
		}
		h, err := isakmp.ParseHeader(packet.Data)
		if err != nil {
			t.Fatalf("packet %d: %v", i+1, err)
		}
		initiator := packet.Src == s.Initiator
		clear := []byte(packet.Data[isakmp.HeaderSize:])
		if encrypted := h.Flags&isakmp.FlagEncryption != 0; encrypted {
			before := chain
			if h.MessageID != 0 {
				var ok bool
				if before, ok = chains[h.MessageID]; !ok {
					if before, err = k.Phase2Chain(lastBlock, h.MessageID); err != nil {
						t.Fatal(err)
					}
				}
			}
			var next keys.Chain
			if clear, next, err = before.Open(packet.Data); err != nil {
				t.Fatalf("packet %d: %v", i+1, err)
			}
			if sealed, _ := before.Seal(append(h.Append(nil), clear...)); !bytes.Equal(sealed, packet.Data) {
				t.Errorf("packet %d sealed as %x, want %x", i+1, sealed, packet.Data)
			}
			if chains[h.MessageID] = next; h.MessageID == 0 {
				chain, lastBlock = next, next.IV()
			}
		}
		ps, rest, err := isakmp.ParsePayloads(h.NextPayload, clear)
		if err != nil || len(bytes.Trim(rest, "\x00")) > 0 {
			t.Fatalf("packet %d: %v, padding %x", i+1, err, rest)
		}
		if h.MessageID == 0 && h.Exchange != isakmp.Informational {
			state.collect(initiator, ps)
			if sa, ok := isakmp.Find(ps, isakmp.PayloadSA); ok && initiator {
				state.offer = sa.Body
			} else if ok {
				state.x.CookieI, state.x.CookieR = h.InitiatorCookie, h.ResponderCookie
				(&replay{t: t, r: &recordings.Recording{Scenario: s.Name}}).chosen(recordings.Message{Frame: i + 1}, state, sa.Body)
			}
			if k == nil && state.x.PublicR != nil {
				k, chain = strongSwanKeys(t, s, state)
			}
			if _, ok := isakmp.Find(ps, isakmp.PayloadHash); ok && initiator {
				verify("HASH_I", ps, k.HashI(state.x, state.offer, state.ids[true]))
			} else if ok {
				verify("HASH_R", ps, k.HashR(state.x, state.offer, state.ids[false]))
			}
			continue
		}
		covered := isakmp.Covered(clear, ps)
		nonce, has := isakmp.Find(ps, isakmp.PayloadNonce)
		q := state.quick[h.MessageID]
		switch {
		case h.Exchange == isakmp.Informational:
			verify("informational", ps, k.Hash1(h.MessageID, covered))
		case q == nil:
			verify("HASH(1)", ps, k.Hash1(h.MessageID, covered))
			state.quick[h.MessageID] = &quick{nonceI: nonce.Body}
		case has:
			verify("HASH(2)", ps, k.Hash2(h.MessageID, q.nonceI, covered))
			strongSwanESP(t, logged, k, keys.QuickMode{NonceI: q.nonceI, NonceR: nonce.Body}, verified)
			q.nonceR = nonce.Body
		default:
			verify("HASH(3)", ps, k.Hash3(h.MessageID, q.nonceI, q.nonceR))
		}
	}
	for _, what := range []string{"HASH_I", "HASH_R", "HASH(1)", "HASH(2)", "HASH(3)", "ESP keys"} {
		if verified[what] == 0 {
			t.Errorf("no %s was checked", what)
		}
	}
	if want := strings.Count(s.Name, "pfs") + 1; verified["ESP keys"] != want {
		t.Errorf("keys of %d quick modes, want %d", verified["ESP keys"], want)
	}
}

// strongSwanKeys derives the ISAKMP SA from the logged shared secret and compares the chain with the log.
func strongSwanKeys(t *testing.T, s *recordings.Session, state *phase1) (*keys.Keys, keys.Chain) {
	t.Helper()
	logged := s.InitiatorValues
	k, err := keys.Derive(state.suite, secret.Key(s.PSK), state.x, logged.First("shared Diffie Hellman secret"))
	if err != nil {
		t.Fatal(err)
	}
	chain, err := k.Phase1Chain(state.x)
	if err != nil {
		t.Fatal(err)
	}
	for label, got := range map[string][]byte{
		"SKEYID": k.SKEYID, "SKEYID_d": k.SKEYIDd, "SKEYID_a": k.SKEYIDa, "encryption key Ka": k.EncryptionKey, "initial IV": chain.IV(),
	} {
		if want := logged.First(label); !bytes.Equal(got, want) {
			t.Errorf("%s %x, want %x", label, got, want)
		}
	}
	return k, chain
}

// strongSwanESP checks that the quick mode's keys are those that strongSwan logged for one of its CHILD SAs. Its
// log has the SPI in the "SA seed": [g^xy] protocol SPI Ni Nr.
func strongSwanESP(t *testing.T, logged recordings.Values, k *keys.Keys, q keys.QuickMode, verified map[string]int) {
	t.Helper()
	for n, seed := range logged.All("initiator SA seed") {
		tail := len(seed) - len(q.NonceI) - len(q.NonceR)
		if !bytes.Equal(seed[tail:], append(bytes.Clone(q.NonceI), q.NonceR...)) {
			continue // another quick mode
		}
		q.Shared = secret.Key(seed[:tail-5])
		for end, seed := range map[string][]byte{"initiator": seed, "responder": logged.All("responder SA seed")[n]} {
			encryption := logged.All("encryption " + end + " key")[n]
			integrity := logged.All("integrity " + end + " key")[n]
			got := k.KEYMAT(q, seed[tail-5], seed[tail-4:tail], len(encryption)+len(integrity))
			if want := append(bytes.Clone(encryption), integrity...); !bytes.Equal(got, want) {
				t.Errorf("%s KEYMAT %x, want %x", end, []byte(got), want)
			}
		}
		verified["ESP keys"]++
		return
	}
	t.Error("the log has no such quick mode")
}

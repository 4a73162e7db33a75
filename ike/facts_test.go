package ike

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"meshrouter/ike/isakmp"
	"meshrouter/ike/keys"
	"meshrouter/internal/recordings"
)

// The tests of this file hold what isakmpd (W-, OB-) and ScreenOS (SC-) insist on, rule by rule. The list of all
// rules with their tests is docs/peers/openbsd.md and docs/peers/screenos.md.

// A tap reads what two engines say to each other, with their own keys, and speaks for either of them.
type tap struct {
	*bench
	seen   []tapped
	known  map[string]tapped // by content: copies do not move a chain on
	chains map[uint32]keys.Chain
	veto   func(m tapped) bool // true: the message is lost
}

// A tapped message has no payloads if it is an encrypted one of main mode.
type tapped struct {
	from     int
	at       time.Time
	h        isakmp.Header
	payloads []isakmp.Payload
	send     Send
}

func (m tapped) bodies(t isakmp.PayloadType) [][]byte { return (&message{payloads: m.payloads}).all(t) }

func newTap(t *testing.T, a, b PeerConfig) *tap {
	t.Helper()
	p := &tap{bench: newBench(t, a, b), known: make(map[string]tapped), chains: make(map[uint32]keys.Chain)}
	p.drop = func(from int, o Send) bool {
		m, copied := p.known[string(o.Payload)]
		if !copied {
			m = p.read(from, o)
			p.known[string(o.Payload)] = m
		}
		m.at = p.now
		p.seen = append(p.seen, m)
		return p.veto != nil && p.veto(m)
	}
	return p
}

func (p *tap) read(from int, o Send) tapped {
	p.t.Helper()
	m := tapped{from: from, at: p.now, send: o}
	var err error
	if m.h, err = isakmp.ParseHeader(o.Payload); err != nil {
		p.t.Fatal(err)
	}
	clear := o.Payload[isakmp.HeaderSize:]
	if m.h.Flags&isakmp.FlagEncryption != 0 {
		if m.h.Exchange == isakmp.IdentityProtection {
			return m
		}
		sa := p.engines[from].find(&message{h: m.h})
		if sa == nil { // its last DELETE
			sa = p.engines[1-from].find(&message{h: m.h})
		}
		if sa == nil {
			return m
		}
		chain, ok := p.chains[m.h.MessageID]
		if !ok || m.h.Exchange != isakmp.QuickMode {
			if chain, err = sa.keys.Phase2Chain(sa.lastBlock, m.h.MessageID); err != nil {
				p.t.Fatal(err)
			}
		}
		if clear, p.chains[m.h.MessageID], err = chain.Open(o.Payload); err != nil {
			p.t.Fatal(err)
		}
	}
	if m.payloads, _, err = isakmp.ParsePayloads(m.h.NextPayload, clear); err != nil {
		p.t.Fatalf("a message of engine %d does not parse: %v", from, err)
	}
	return m
}

// messages are those of an exchange that an engine has sent, of whatever number.
func (p *tap) messages(from int, x isakmp.ExchangeType, with isakmp.PayloadType) []tapped {
	var ms []tapped
	for _, m := range p.seen {
		if m.from == from && m.h.Exchange == x && len(m.bodies(with)) > 0 {
			ms = append(ms, m)
		}
	}
	return ms
}

// proposal is the first message with an SA payload, offer or answer, which must exist.
func (p *tap) proposal(from int, x isakmp.ExchangeType) tapped {
	p.t.Helper()
	ms := p.messages(from, x, isakmp.PayloadSA)
	if len(ms) == 0 {
		p.t.Fatalf("engine %d has sent no %s with an SA payload; it is %s", from, x, p.status(from).Reason)
	}
	return ms[0]
}

func (p *tap) sa(i int) *isakmpSA { return p.engines[i].peers[0].current() }

// deliver gives a message that says it is from one engine to the other.
func (p *tap) deliver(from int, message []byte) {
	p.t.Helper()
	addr := func(i int) netip.AddrPort { return netip.AddrPortFrom(p.engines[i].peers[0].cfg.Local, portIKE) }
	p.do(1-from, Datagram{Local: addr(1 - from), Remote: addr(from), Payload: message})
}

// inform sends an informational message of an engine under an ISAKMP SA of it.
func (p *tap) inform(from int, sa *isakmpSA, pl isakmp.Payload) {
	p.t.Helper()
	p.deliver(from, sa.informational(&step{e: p.engines[from], now: p.now}, pl))
}

func (p *tap) notify(from int, n isakmp.Notification) {
	p.t.Helper()
	p.inform(from, p.sa(from), isakmp.Payload{Type: isakmp.PayloadNotification, Body: n.Append(nil)})
}

func (p *tap) wantUp() {
	p.t.Helper()
	for i := range 2 {
		if st := p.status(i); st.State != PeerUp {
			p.t.Fatalf("end %d is %s: %s; counters %v", i, st.State, st.Reason, p.engines[i].Counters())
		}
	}
}

func (p *tap) count(i int, name EventName) uint64 { return p.engines[i].Counters()[name] }

func factSA(t *testing.T, body []byte) isakmp.SA {
	t.Helper()
	sa, err := isakmp.ParseSA(body)
	if err != nil {
		t.Fatal(err)
	}
	return sa
}

// W-9.4, OB-3.1: towards isakmpd the SA payloads are isakmpd's own, byte for byte, lifetimes and SPI being what they are: phase 1
// transforms count from 0, attributes stand in its order and are of its kinds, and phase 2 has one transform,
// however many we allow.
func TestOfferToIsakmpd(t *testing.T) {
	t.Parallel()
	var rec *recordings.Recording
	for _, r := range recordings.Isakmpd(t) {
		if r.Scenario == "main-quick" {
			rec = r
		}
	}
	var want [2]isakmp.SA
	for _, m := range rec.Messages {
		next, clear := isakmp.PayloadType(m.IKE[16]), []byte(m.IKE[isakmp.HeaderSize:])
		if m.Encrypted() {
			clear = m.Plaintext
		}
		ps, _, err := isakmp.ParsePayloads(next, clear)
		if err != nil {
			t.Fatal(err)
		}
		if body := (&message{payloads: ps}).body(isakmp.PayloadSA); body != nil {
			i := 0
			if m.Exchange == "quick" {
				i = 1
			}
			if want[i].Proposals == nil {
				want[i] = factSA(t, body)
			}
		}
	}
	a, b := testPair()
	a.Phase2 = append(a.Phase2, Phase2Transform{ID: isakmp.ESPAES, KeyLength: 128, Auth: isakmp.HMACSHA})
	a.Phase1Lifetime, a.Phase2Lifetime = 3600*time.Second, 1200*time.Second
	for _, profile := range []Profile{ProfileOpenBSD, ProfileMeshrouter} {
		a.Profile = profile
		p := newTap(t, a, b)
		p.run(10 * time.Second)
		p.wantUp()
		one := factSA(t, p.proposal(0, isakmp.IdentityProtection).bodies(isakmp.PayloadSA)[0])
		two := factSA(t, p.proposal(0, isakmp.QuickMode).bodies(isakmp.PayloadSA)[0])
		if profile != ProfileOpenBSD {
			if n := len(two.Proposals[0].Transforms); n != 2 {
				t.Errorf("to others %d phase 2 transforms are offered, want both", n)
			}
			continue
		}
		two.Proposals[0].SPI = want[1].Proposals[0].SPI
		for i, got := range []isakmp.SA{one, two} {
			if g, w := got.Append(nil), want[i].Append(nil); !bytes.Equal(g, w) {
				t.Errorf("phase %d is offered as\n%x, isakmpd has\n%x", i+1, g, w)
			}
		}
	}
}

// OB-2.1, OB-2.2, SC-1.2, SC-2.1, SC-7.1, SC-7.2: both proxy ids are always there, of exactly the configured type; a host is accepted as
// an address and as a /32, whatever we send ourselves; there is no KE without PFS.
func TestProxyIDsInBothForms(t *testing.T) {
	t.Parallel()
	for _, ours := range []bool{false, true} {
		for _, theirs := range []bool{false, true} {
			a, b := testPair()
			a.LocalTS.Subnet, a.RemoteTS.Subnet = ours, ours
			b.LocalTS.Subnet, b.RemoteTS.Subnet = theirs, theirs
			p := newTap(t, a, b)
			p.run(10 * time.Second)
			p.wantUp()
			for from := range 2 {
				m := p.proposal(from, isakmp.QuickMode)
				ids := m.bodies(isakmp.PayloadID)
				if len(ids) != 2 || len(m.bodies(isakmp.PayloadKE)) != 0 {
					t.Fatalf("message %d of quick mode has %d ids and %d KE", from+1, len(ids), len(m.bodies(isakmp.PayloadKE)))
				}
				want := map[bool]string{false: "01000000c0000201 01000000c0000202", true: "04000000c0000201ffffffff 04000000c0000202ffffffff"}[ours]
				if got := fmt.Sprintf("%x %x", ids[0], ids[1]); got != want {
					t.Errorf("subnet %t: message %d has the ids %s, want %s", ours, from+1, got, want)
				}
			}
		}
	}
	a, b := testPair()
	b.RemoteTS.Prefix = netip.MustParsePrefix("192.0.2.0/24") // no narrowing
	p := newTap(t, a, b)
	p.run(10 * time.Second)
	if p.status(0).State == PeerUp || p.count(1, EventWrongProxyID) == 0 {
		t.Error("another proxy id is accepted")
	}
}

// OB-2.3: in phase 1 a host may call itself by its address, by a /32, or by the text that isakmpd makes of a srcid.
func TestHostIdentityInAllForms(t *testing.T) {
	t.Parallel()
	host := []byte{192, 0, 2, 1}
	for name, tc := range map[string]struct {
		id Identity
		ok bool
	}{
		"default":         {Identity{}, true},
		"address":         {Identity{isakmp.IDIPv4Addr, host}, true},
		"/32":             {Identity{isakmp.IDIPv4AddrSubnet, append(slices.Clone(host), 255, 255, 255, 255)}, true},
		"text":            {Identity{isakmp.IDFQDN, []byte("192.0.2.1")}, true},
		"text with /32":   {Identity{isakmp.IDFQDN, []byte("192.0.2.1/32")}, true},
		"another address": {Identity{isakmp.IDIPv4Addr, []byte{192, 0, 2, 9}}, false},
		"another text":    {Identity{isakmp.IDFQDN, []byte("192.0.2.9/32")}, false},
		"network":         {Identity{isakmp.IDIPv4AddrSubnet, append(slices.Clone(host), 255, 255, 255, 0)}, false},
	} {
		a, b := testPair()
		a.LocalID, b.RemoteID = tc.id, Identity{isakmp.IDIPv4Addr, host}
		p := newTap(t, a, b)
		p.run(10 * time.Second)
		if up := p.status(1).State == PeerUp; up != tc.ok || (p.count(1, EventWrongIdentity) > 0) == tc.ok {
			t.Errorf("%s: up %t, want %t; %v", name, up, tc.ok, p.engines[1].Counters())
		}
	}
}

// OB-4.1, OB-4.2, W-9.5, SC-7.5: as responder we write the chosen transform back as it came, its number 0 and its lifetime included,
// for isakmpd compares; our own shorter lifetime only makes us rekey earlier.
func TestChosenTransformIsEchoed(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	a.Profile = ProfileOpenBSD
	b.Phase1Lifetime, b.Phase2Lifetime, b.Initiate = time.Hour, 20*time.Minute, InitiateStandby
	p := newTap(t, a, b)
	p.run(10 * time.Second)
	p.wantUp()
	for _, x := range []isakmp.ExchangeType{isakmp.IdentityProtection, isakmp.QuickMode} {
		offer := factSA(t, p.proposal(0, x).bodies(isakmp.PayloadSA)[0])
		reply := factSA(t, p.proposal(1, x).bodies(isakmp.PayloadSA)[0])
		reply.Proposals[0].SPI = offer.Proposals[0].SPI
		if !bytes.Equal(offer.Append(nil), reply.Append(nil)) {
			t.Errorf("%s: offered %x, answered %x", x, offer.Append(nil), reply.Append(nil))
		}
	}
	if n := factSA(t, p.proposal(1, isakmp.IdentityProtection).bodies(isakmp.PayloadSA)[0]).Proposals[0].Transforms[0].Number; n != 0 {
		t.Errorf("the transform has the number %d, want 0 as offered", n)
	}
	st := p.status(1)
	if life := st.Phase1Expires.Sub(st.Established); life != time.Hour {
		t.Errorf("our ISAKMP SA lives for %s, want our own hour", life)
	}
	if life := st.SAs[0].Hard.Sub(st.SAs[0].Created); life != 20*time.Minute {
		t.Errorf("our ESP SA lives for %s, want our own 20 minutes", life)
	}
	p.run(20*time.Minute - 10*time.Second)
	if ms := p.messages(1, isakmp.QuickMode, isakmp.PayloadSA); len(ms) != 2 || ms[1].h.MessageID == ms[0].h.MessageID {
		t.Errorf("%d quick mode offers and answers of ours in 20 minutes, want the answer and our own rekey", len(ms))
	}
	p.wantUp()
}

// OB-4.3: isakmpd ignores the commit bit and never sets it: nor do we, in any message of a session's life.
func TestCommitBitIsNeverSet(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	a.Phase1Lifetime, a.Phase2Lifetime, a.DPD, b.DPD = time.Hour, 20*time.Minute, 30*time.Second, 30*time.Second
	p := newTap(t, a, b)
	p.run(70 * time.Minute)
	p.wantUp()
	p.do(0, Terminate{})
	kinds := make(map[isakmp.ExchangeType]int)
	for _, m := range p.seen {
		kinds[m.h.Exchange]++
		if m.h.Flags&^isakmp.FlagEncryption != 0 {
			t.Errorf("%s message with the flags %#x", m.h.Exchange, m.h.Flags)
		}
	}
	if kinds[isakmp.IdentityProtection] < 12 || kinds[isakmp.QuickMode] < 12 || kinds[isakmp.Informational] < 12 {
		t.Errorf("messages %v: the test shows nothing", kinds)
	}
}

// W-9.6, OB-5.1, SC-1.5, SC-7.7: the inbound SA is there before the message that lets the peer use it, the outbound SA changes last, and
// the old inbound SA lives on to its end.
func TestMakeBeforeBreak(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	p := newTap(t, a, b)
	p.run(10 * time.Second)
	p.wantUp()
	for i := range 2 {
		var order []string
		for _, o := range p.log[i] {
			switch o := o.(type) {
			case AddInbound:
				order = append(order, "in")
			case UseOutbound:
				order = append(order, "out")
			case Send:
				if h, err := isakmp.ParseHeader(o.Payload); err == nil && h.Exchange == isakmp.QuickMode {
					order = append(order, "send")
				}
			}
		}
		want := []string{"send in send out", "in send out"}[i]
		if got := strings.Join(order, " "); got != want {
			t.Errorf("end %d does %s, want %s", i, got, want)
		}
	}
	old := p.status(0).SAs[0]
	inbound := func() (n int) {
		for _, sa := range p.status(1).SAs {
			if sa.Inbound {
				n++
			}
		}
		return n
	}
	p.run(old.Hard.Add(-time.Second).Sub(p.now))
	if n := len(find[UseOutbound](p.log[1])); n != 2 {
		t.Fatalf("%d outbound SAs were used in an hour, want the first and its successor", n)
	}
	if n := inbound(); n != 2 {
		t.Errorf("%d inbound SAs a second before the old one's end, want both", n)
	}
	p.run(3 * time.Second)
	if n := inbound(); n != 1 {
		t.Errorf("%d inbound SAs after the old one's end", n)
	}
	p.wantUp()
}

// W-9.1: isakmpd does not hear a message 1 for up to 120 s after its last main mode. We go on with the same exchange for 150 s,
// and say why nothing comes.
func TestDeafIsakmpd(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	a.Profile = ProfileOpenBSD
	p := newTap(t, a, b)
	p.veto = func(m tapped) bool { return m.at.Sub(testStart) < 121*time.Second }
	p.run(45 * time.Second)
	if st := p.status(0); !strings.Contains(st.Reason, "isakmpd may be deaf for 120 s after its last main mode") {
		t.Errorf("after 45 s the reason is %q", st.Reason)
	}
	p.run(105 * time.Second)
	p.wantUp()
	for _, m := range p.messages(0, isakmp.IdentityProtection, isakmp.PayloadSA) {
		if m.h.InitiatorCookie != p.seen[0].h.InitiatorCookie {
			t.Errorf("another main mode began after %s", m.at.Sub(testStart))
		}
	}
}

// W-9.1: isakmpd sends message 2 once and drops copies of message 1. When message 2 comes late, long after the 27 s that isakmpd itself
// would wait, it is taken.
func TestLateMessage2(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	a.Profile = ProfileOpenBSD
	p := newTap(t, a, b)
	var held []byte
	p.veto = func(m tapped) bool {
		switch {
		case m.from == 1 && held == nil:
			held = m.send.Payload
			return true
		case held == nil:
			return false // the first message 1
		}
		return m.at.Sub(testStart) < 79*time.Second
	}
	p.run(80 * time.Second)
	if held == nil || p.status(0).State == PeerUp {
		t.Fatalf("message 2 held: %t, state %s", held != nil, p.status(0).State)
	}
	p.deliver(1, held)
	p.run(10 * time.Second)
	p.wantUp()
	if n := len(p.messages(1, isakmp.IdentityProtection, isakmp.PayloadSA)); n != 1 {
		t.Errorf("message 2 was needed %d times, want once", n)
	}
}

// W-9.3, SC-7.5: as responder we take phase 1 lifetimes of 60 s to 24 h and any of phase 2, in two bytes or four; the timer is the smaller of
// theirs and ours, and an SA of less than a minute is not renewed early.
func TestLifetimesOfThePeer(t *testing.T) {
	t.Parallel()
	for life, ok := range map[time.Duration]bool{
		59 * time.Second: false, 60 * time.Second: true, 65535 * time.Second: true, 65536 * time.Second: true,
		24 * time.Hour: true, 24*time.Hour + time.Second: false,
	} {
		a, b := testPair()
		a.Phase1Lifetime = life
		p := newTap(t, a, b)
		p.run(5 * time.Second)
		if up := p.status(1).State == PeerUp; up != ok || (p.count(1, EventNoProposalChosen) > 0) == ok {
			t.Errorf("phase 1 lifetime %s: up %t, want %t", life, up, ok)
		}
		if st := p.status(1); ok && st.Phase1Expires.Sub(st.Established) != min(life, b.Phase1Lifetime) {
			t.Errorf("phase 1 lifetime %s: ours is %s, want the smaller of it and %s", life, st.Phase1Expires.Sub(st.Established), b.Phase1Lifetime)
		}
	}
	for life, want := range map[time.Duration]time.Duration{
		30 * time.Second: 30 * time.Second, 10 * time.Minute: 10 * time.Minute, 100000 * time.Second: time.Hour, 3650 * 24 * time.Hour: time.Hour,
	} {
		a, b := testPair()
		a.Phase2Lifetime = life
		p := newTap(t, a, b)
		p.run(5 * time.Second)
		p.wantUp()
		sa := p.status(1).SAs[0]
		if got := sa.Hard.Sub(sa.Created); got != want {
			t.Errorf("phase 2 lifetime %s: ours is %s, want %s", life, got, want)
		}
		if early := sa.Soft.Before(sa.Hard); early != (want >= time.Minute) {
			t.Errorf("phase 2 lifetime %s: renewed early: %t", life, early)
		}
	}
}

// W-9.5: after a rekey of phase 1 the DELETE of the old ISAKMP SA comes under the old or the new one. Nothing else goes with it.
func TestDeleteOfOldISAKMPSA(t *testing.T) {
	t.Parallel()
	for _, underNew := range []bool{false, true} {
		a, b := testPair()
		a.Phase1Lifetime = time.Hour
		p := newTap(t, a, b)
		p.run(58 * time.Minute)
		p.wantUp()
		var old, now *isakmpSA
		for _, sa := range p.engines[1].peers[0].sas {
			if sa.established {
				old, now = now, sa
			}
		}
		if old == nil || now == old {
			t.Fatal("there is no old ISAKMP SA beside the new one")
		}
		under := old
		if underNew {
			under = now
		}
		p.inform(1, under, isakmp.Payload{Type: isakmp.PayloadDelete, Body: isakmp.Delete{
			DOI: isakmp.DOIIPsec, Protocol: isakmp.ProtocolISAKMP, SPIs: [][]byte{old.cookieBytes()},
		}.Append(nil)})
		var left []isakmp.Cookie
		for _, sa := range p.engines[0].peers[0].sas {
			if sa.established {
				left = append(left, sa.cookieI)
			}
		}
		if len(left) != 1 || left[0] != now.cookieI {
			t.Errorf("under the new one %t: %v are left, want %v alone", underNew, left, now.cookieI)
		}
		if st := p.status(0); st.State != PeerUp || len(st.SAs) < 2 {
			t.Errorf("under the new one %t: %s, %d ESP SAs", underNew, st.State, len(st.SAs))
		}
	}
}

// W-9.5, SC-1.10, SC-7.4: a question of DPD is answered with its own number, also when it comes again under a new message id; a peer
// that does not say that it knows DPD is never asked.
func TestDPDOfOldPeers(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	a.DPD = 10 * time.Second
	p := newTap(t, a, b)
	p.run(5 * time.Second)
	p.wantUp()
	p.seen = nil
	for range 5 {
		p.notify(1, dpdNotification(p.sa(1), isakmp.RUThere, 7))
	}
	acks := p.messages(0, isakmp.Informational, isakmp.PayloadNotification)
	if len(acks) != 5 {
		t.Errorf("%d answers to 5 questions", len(acks))
	}
	for _, m := range acks {
		n, err := isakmp.ParseNotification(m.bodies(isakmp.PayloadNotification)[0])
		if err != nil || n.Type != isakmp.RUThereAck || be32(n.Data) != 7 || !bytes.Equal(n.SPI, p.sa(0).cookieBytes()) {
			t.Errorf("answered by %+v, %v", n, err)
		}
	}

	p.sa(0).peerDPD = false // as if its message had no such vendor id
	p.seen = nil
	p.veto = func(tapped) bool { return true }
	p.run(20 * time.Minute)
	if ms := p.messages(0, isakmp.Informational, isakmp.PayloadNotification); len(ms) != 0 {
		t.Errorf("%d questions to a peer that does not know DPD", len(ms))
	}
	if st := p.status(0); st.State != PeerUp {
		t.Errorf("a silent peer without DPD is %s: %s", st.State, st.Reason)
	}
}

// W-9.5: isakmpd says INITIAL-CONTACT once in its life. A main mode without it is as good.
func TestNoInitialContact(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	p := newTap(t, a, b)
	for _, e := range p.engines {
		e.peers[0].contacted = true
	}
	p.run(10 * time.Second)
	p.wantUp()
	for i := range 2 {
		if n := p.count(i, EventInitialContact); n != 0 {
			t.Errorf("end %d has seen INITIAL-CONTACT %d times", i, n)
		}
	}
}

// factTransforms is a list in the manner of ScreenOS's `compatible`, with the one that we allow last, and before
// it one with an attribute that nobody knows.
func factTransforms(phase2 bool) []isakmp.Transform {
	var ts []isakmp.Transform
	add := func(id uint8, attributes []isakmp.Attribute) {
		ts = append(ts, isakmp.Transform{Number: uint8(len(ts) + 1), ID: id, Attributes: attributes})
	}
	life := isakmp.Lifetime{Seconds: 3600}
	if phase2 {
		for _, o := range []isakmp.Phase2Offer{
			{Transform: isakmp.ESPDES, Auth: isakmp.HMACMD5}, {Transform: isakmp.ESP3DES, Auth: isakmp.HMACMD5},
			{Transform: isakmp.ESPDES, Auth: isakmp.HMACSHA}, {Transform: isakmp.ESPNull, Auth: isakmp.HMACSHA},
			{Transform: isakmp.ESP3DES, Auth: isakmp.HMACSHA}, {Transform: isakmp.ESP3DES, Auth: isakmp.HMACSHA},
		} {
			o.Encapsulation, o.Life = isakmp.Tunnel, life
			add(uint8(o.Transform), o.Attributes())
		}
	} else {
		for _, o := range []isakmp.Phase1Offer{
			{Encryption: isakmp.DESCBC, Hash: isakmp.MD5}, {Encryption: isakmp.TripleDESCBC, Hash: isakmp.MD5},
			{Encryption: isakmp.DESCBC, Hash: isakmp.SHA1}, {Encryption: isakmp.AESCBC, KeyLength: 128, Hash: isakmp.SHA1},
			{Encryption: isakmp.TripleDESCBC, Hash: isakmp.SHA1}, {Encryption: isakmp.TripleDESCBC, Hash: isakmp.SHA1},
		} {
			o.Auth, o.Group, o.Life = isakmp.PreSharedKey, isakmp.MODP1024, life
			add(isakmp.TransformKeyIKE, o.Attributes())
		}
	}
	ts[4].Attributes = append(ts[4].Attributes, isakmp.NewAttribute(999, 1))
	return ts
}

// SC-1.1, SC-7.8: a list with single DES and MD5 in it is answered with its first transform that we allow; the others are
// stepped over one by one, in both phases.
func TestCompatibleList(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	p := newTap(t, a, b)
	check := func(m tapped) {
		t.Helper()
		sa := factSA(t, m.bodies(isakmp.PayloadSA)[0])
		if ts := sa.Proposals[0].Transforms; len(sa.Proposals) != 1 || len(ts) != 1 || ts[0].Number != 6 {
			t.Errorf("%s is answered with %+v, want transform 6 alone", m.h.Exchange, sa)
		}
	}
	first := isakmp.Header{InitiatorCookie: isakmp.Cookie{1, 2, 3, 4, 5, 6, 7, 8}, Version: isakmp.Version1, Exchange: isakmp.IdentityProtection}
	p.deliver(0, first.Message(isakmp.Payload{Type: isakmp.PayloadSA, Body: proposalOf(isakmp.Proposal{
		Number: 1, Protocol: isakmp.ProtocolISAKMP, Transforms: factTransforms(false),
	}).Append(nil)}))
	check(p.proposal(1, isakmp.IdentityProtection))

	p.run(10 * time.Second)
	p.wantUp()
	p.seen = nil
	q := p.quickMode(proposalOf(isakmp.Proposal{Number: 1, Protocol: isakmp.ProtocolESP, SPI: spiBytes(0x12345), Transforms: factTransforms(true)}))
	p.deliver(0, q)
	check(p.proposal(1, isakmp.QuickMode))
}

// factMessageID is that of quick modes made by hand.
const factMessageID = 0xfac75

func factNonce() []byte { return []byte("0123456789abcdef") }

// quickMode is a message 1 of engine 0 made by hand, with more payloads behind the ids.
func (p *tap) quickMode(offer isakmp.SA, more ...isakmp.Payload) []byte {
	p.t.Helper()
	sa := p.sa(0)
	c := &sa.peer.cfg
	chain, err := sa.keys.Phase2Chain(sa.lastBlock, factMessageID)
	if err != nil {
		p.t.Fatal(err)
	}
	ps := append([]isakmp.Payload{
		{Type: isakmp.PayloadSA, Body: offer.Append(nil)}, {Type: isakmp.PayloadNonce, Body: factNonce()},
		{Type: isakmp.PayloadID, Body: c.LocalTS.id().Append(nil)}, {Type: isakmp.PayloadID, Body: c.RemoteTS.id().Append(nil)},
	}, more...)
	m, next := chain.Seal(sa.hashed(isakmp.QuickMode, factMessageID, ps, func(covered []byte) []byte { return sa.keys.Hash1(factMessageID, covered) }))
	p.chains[factMessageID] = next
	return m
}

// factNotifications are what ScreenOS and others put into quick mode.
func factNotifications() []isakmp.Payload {
	life := isakmp.NewAttribute(1, 1)
	duration := isakmp.NewAttribute(2, 600)
	var data []byte
	for _, a := range []isakmp.Attribute{life, duration} {
		data = binary.BigEndian.AppendUint16(data, a.Type|0x8000)
		data = append(data, a.Data...)
	}
	var ps []isakmp.Payload
	for _, n := range []isakmp.Notification{
		{Type: isakmp.NHTBInform, Data: []byte{10, 255, 0, 2}},
		{Type: isakmp.ResponderLifetime, Data: data},
		{Type: isakmp.ReplayStatus, Data: []byte{0, 0, 0, 1}},
		{Type: isakmp.InitialContact},
		{Type: 40999, Data: []byte("what is this")},
	} {
		n.DOI, n.Protocol = isakmp.DOIIPsec, isakmp.ProtocolESP
		ps = append(ps, isakmp.Payload{Type: isakmp.PayloadNotification, Body: n.Append(nil)})
	}
	return ps
}

// SC-1.6, SC-7.3: notifications behind the ids of quick mode's message 1 are hashed and do no harm; the address in NHTB-INFORM is kept
// for `show ike`.
func TestNotificationsInMessage1(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	p := newTap(t, a, b)
	p.run(10 * time.Second)
	p.wantUp()
	o := isakmp.Phase2Offer{Transform: isakmp.ESP3DES, Auth: isakmp.HMACSHA, Encapsulation: isakmp.Tunnel, Life: isakmp.Lifetime{Seconds: 3600}}
	offer := proposalOf(isakmp.Proposal{Number: 1, Protocol: isakmp.ProtocolESP, SPI: spiBytes(0x12345), Transforms: []isakmp.Transform{{Number: 1, ID: 3, Attributes: o.Attributes()}}})
	p.seen = nil
	p.deliver(0, p.quickMode(offer, factNotifications()...))
	reply := p.proposal(1, isakmp.QuickMode)
	if st := p.status(1); st.NHTB != netip.MustParseAddr("10.255.0.2") {
		t.Errorf("the tunnel interface's address is %v", st.NHTB)
	}
	sa, nr := p.sa(0), reply.bodies(isakmp.PayloadNonce)[0]
	m, _ := p.chains[factMessageID].Seal(sa.hashed(isakmp.QuickMode, factMessageID, nil, func([]byte) []byte {
		return sa.keys.Hash3(factMessageID, factNonce(), nr)
	}))
	p.deliver(0, m)
	uses := find[UseOutbound](p.log[1])
	if last := uses[len(uses)-1].SA; last.SPI != 0x12345 {
		t.Errorf("the outbound SPI is %#x: the exchange did not end", last.SPI)
	}
}

// answer answers the quick mode that engine 0 has begun in the place of engine 1, with flags and more payloads.
func (p *tap) answer(m tapped, flags isakmp.Flags, more ...isakmp.Payload) {
	p.t.Helper()
	offer := factSA(p.t, m.bodies(isakmp.PayloadSA)[0])
	offer.Proposals[0].SPI = spiBytes(0x54321)
	ids := m.bodies(isakmp.PayloadID)
	ps := append([]isakmp.Payload{
		{Type: isakmp.PayloadSA, Body: offer.Append(nil)}, {Type: isakmp.PayloadNonce, Body: factNonce()},
		{Type: isakmp.PayloadID, Body: ids[0]}, {Type: isakmp.PayloadID, Body: ids[1]},
	}, more...)
	sa, ni := p.sa(1), m.bodies(isakmp.PayloadNonce)[0]
	clear := sa.hashed(isakmp.QuickMode, m.h.MessageID, ps, func(covered []byte) []byte { return sa.keys.Hash2(m.h.MessageID, ni, covered) })
	clear[19] |= byte(flags)
	sealed, next := p.chains[m.h.MessageID].Seal(clear)
	p.chains[m.h.MessageID] = next
	p.deliver(1, sealed)
}

// offered brings engine 0 to its quick mode, whose message 1 engine 1 does not get.
func offered(t *testing.T) (p *tap, m tapped) {
	t.Helper()
	a, b := testPair()
	p = newTap(t, a, b)
	p.veto = func(m tapped) bool { return m.h.Exchange == isakmp.QuickMode }
	p.run(time.Second)
	return p, p.proposal(0, isakmp.QuickMode)
}

// SC-1.6, SC-1.8, SC-7.3: the same in message 2, where RESPONDER-LIFETIME lowers our own timer.
func TestNotificationsInMessage2(t *testing.T) {
	t.Parallel()
	p, m := offered(t)
	p.answer(m, 0, factNotifications()...)
	st := p.status(0)
	if st.State != PeerUp || len(p.messages(0, isakmp.QuickMode, isakmp.PayloadHash)) < 2 {
		t.Fatalf("%s: %s; %v", st.State, st.Reason, p.engines[0].Counters())
	}
	if st.NHTB != netip.MustParseAddr("10.255.0.2") {
		t.Errorf("the tunnel interface's address is %v", st.NHTB)
	}
	if life := st.SAs[0].Hard.Sub(st.SAs[0].Created); life != 10*time.Minute {
		t.Errorf("the SA lives for %s, want the 600 s of RESPONDER-LIFETIME", life)
	}
}

// SC-1.7: if the peer sets the commit bit we wait for CONNECTED, but only some seconds.
func TestCommitBitOfThePeer(t *testing.T) {
	t.Parallel()
	for _, connected := range []bool{true, false} {
		p, m := offered(t)
		p.answer(m, isakmp.FlagCommit)
		if n := len(find[UseOutbound](p.log[0])); n != 0 {
			t.Fatal("the SA is used although the peer set the commit bit")
		}
		if connected {
			sa := p.sa(1)
			chain, err := sa.keys.Phase2Chain(sa.lastBlock, m.h.MessageID)
			if err != nil {
				t.Fatal(err)
			}
			body := isakmp.Notification{DOI: isakmp.DOIIPsec, Protocol: isakmp.ProtocolESP, Type: isakmp.Connected}.Append(nil)
			sealed, _ := chain.Seal(sa.hashed(isakmp.Informational, m.h.MessageID, []isakmp.Payload{{Type: isakmp.PayloadNotification, Body: body}},
				func(covered []byte) []byte { return sa.keys.Hash1(m.h.MessageID, covered) }))
			p.deliver(1, sealed)
		} else {
			p.run(5 * time.Second)
		}
		if n := len(find[UseOutbound](p.log[0])); n != 1 {
			t.Errorf("CONNECTED %t: the SA is not used", connected)
		}
	}
}

// SC-1.3, SC-7.4: a heartbeat, or whatever else we do not know, is counted and nothing more.
func TestUnknownNotification(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	p := newTap(t, a, b)
	p.run(10 * time.Second)
	p.wantUp()
	p.seen = nil
	p.notify(1, isakmp.Notification{DOI: isakmp.DOIIPsec, Protocol: isakmp.ProtocolISAKMP, Type: 40500, SPI: p.sa(1).cookieBytes(), Data: []byte("heartbeat")})
	if n := p.count(0, EventUnknownNotification); n != 1 || len(p.seen) != 0 {
		t.Errorf("counted %d times, %d messages in return", n, len(p.seen))
	}
	p.wantUp()
}

// SC-1.11: ScreenOS repeats a main mode message for 48 s; our half-open exchange waits longer.
func TestHalfOpenWaits(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	p := newTap(t, a, b)
	var waiting []byte
	late := func(is func(m tapped) bool) { // one message of the initiator comes 55 s late, its copies are lost
		t.Helper()
		var held []byte
		p.veto = func(m tapped) bool {
			if m.from == 0 && is(m) {
				held = m.send.Payload
			}
			return m.from == 0 && is(m)
		}
		if waiting != nil {
			p.deliver(0, waiting)
		}
		p.run(55 * time.Second)
		if held == nil {
			t.Fatal("there is no such message")
		}
		waiting = held
	}
	late(func(m tapped) bool { return len(m.bodies(isakmp.PayloadKE)) > 0 })
	late(func(m tapped) bool { return len(m.payloads) == 0 })
	p.veto = nil
	p.deliver(0, waiting)
	p.run(5 * time.Second)
	p.wantUp()
	cookies := make(map[isakmp.Cookie]bool)
	for _, m := range p.seen {
		cookies[m.h.InitiatorCookie] = true
	}
	if len(cookies) != 1 {
		t.Errorf("%d main modes were needed, want the first to live on", len(cookies))
	}
}

// SC-1.12: our vendor ids are our own, DPD and, unless it is off, NAT traversal; never ScreenOS's heartbeat.
func TestVendorIDsThatWeSend(t *testing.T) {
	t.Parallel()
	for natt, want := range map[NATTraversal]int{NATTAuto: 5, NATTOff: 2} {
		for _, profile := range []Profile{ProfileMeshrouter, ProfileOpenBSD, ProfileScreenOS, ProfileStrongSwan} {
			a, b := testPair()
			a.NATT, a.Profile = natt, profile
			p := newTap(t, a, b)
			p.run(time.Second)
			ids := p.proposal(0, isakmp.IdentityProtection).bodies(isakmp.PayloadVendorID)
			dpd := false
			for _, id := range ids {
				v := isakmp.ParseVendorID(id)
				dpd = dpd || v == isakmp.VendorDPD
				if bytes.Contains(id, []byte("HeartBeat")) {
					t.Errorf("profile %d: we say that we know heartbeats", profile)
				}
			}
			if len(ids) != want || !dpd {
				t.Errorf("profile %d, NAT traversal %d: %d vendor ids, DPD %t, want %d", profile, natt, len(ids), dpd, want)
			}
		}
	}
}

// SC-1.5, SC-7.7: we renew an SA of an hour 5 to 15 % before its end, never in its last minute, and not always at the same moment.
func TestRekeyMargin(t *testing.T) {
	t.Parallel()
	e := New(seeded(3), EngineOptions{})
	for _, began := range []bool{true, false} {
		seen := make(map[time.Duration]bool)
		for _, life := range []time.Duration{150 * time.Second, 180 * time.Second, 20 * time.Minute, time.Hour, 8 * time.Hour, 24 * time.Hour} {
			for range 200 {
				m := rekeyMargin(e, life, began)
				seen[m] = true
				if m < time.Minute || m > life/2 {
					t.Fatalf("lifetime %s, begun by us %t: %s before the end", life, began, m)
				}
				if life == time.Hour && (m < life*5/100 || m > life*15/100) {
					t.Fatalf("begun by us %t: %s before the end of an hour", began, m)
				}
			}
		}
		if len(seen) < 500 {
			t.Errorf("only %d different margins", len(seen))
		}
		if m := rekeyMargin(e, 59*time.Second, began); m != 0 {
			t.Errorf("an SA of 59 s is renewed %s before its end", m)
		}
	}
}

// SC-1.9: after `clear ike-cookie` or a restart without a word the peer's new main mode is taken at once, and what
// was there before goes only when the new SAs are in use.
func TestPeerBeginsAnew(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	p := newTap(t, a, b)
	p.run(10 * time.Second)
	p.wantUp()
	fresh := b
	fresh.Initiate = InitiateAlways
	p.engines[1] = New(seeded(99), EngineOptions{})
	p.do(1, Configure{Config{Peers: []PeerConfig{fresh}}})
	p.engines[1].peers[0].contacted = true // no INITIAL-CONTACT
	mark := len(p.log[0])
	p.run(2 * time.Second)
	p.wantUp()
	after := p.log[0][mark:]
	used := slices.IndexFunc(after, func(o Output) bool { _, ok := o.(UseOutbound); return ok })
	removed := slices.IndexFunc(after, func(o Output) bool { _, ok := o.(RemoveSA); return ok })
	if used < 0 || removed >= 0 && removed < used {
		t.Errorf("new SA used at output %d, an old one removed at %d", used, removed)
	}
}

// W-5.1: an error in clear can have come from anybody: it is told, and the exchange goes on.
func TestClearNotificationChangesNothing(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	p := newTap(t, a, b)
	p.veto = func(m tapped) bool { return m.at.Sub(testStart) < 5*time.Second }
	p.run(3 * time.Second)
	h := isakmp.Header{InitiatorCookie: isakmp.Cookie{9, 9, 9}, Version: isakmp.Version1, Exchange: isakmp.Informational}
	for _, n := range []isakmp.NotifyType{isakmp.NoProposalChosen, isakmp.InvalidPayloadType, isakmp.InvalidCookie} {
		p.deliver(1, clearNotification(h, n))
	}
	if n := p.count(0, EventClearNotification); n != 3 {
		t.Errorf("%d clear notifications counted, want 3", n)
	}
	p.run(10 * time.Second)
	p.wantUp()
	for _, m := range p.messages(0, isakmp.IdentityProtection, isakmp.PayloadSA) {
		if m.h.InitiatorCookie != p.seen[0].h.InitiatorCookie {
			t.Error("the exchange was begun again")
		}
	}
}

// W-8.1: when isakmpd refuses a quick mode (18, INVALID-ID-INFORMATION), its answer to a copy makes no sense: we send none, and begin a
// new quick mode under a new message id.
func TestRefusedQuickModeBeginsAnew(t *testing.T) {
	t.Parallel()
	p, m := offered(t)
	p.notify(1, isakmp.Notification{DOI: isakmp.DOIIPsec, Protocol: isakmp.ProtocolISAKMP, Type: isakmp.InvalidIDInformation})
	before := len(p.messages(0, isakmp.QuickMode, isakmp.PayloadSA))
	if st := p.status(0); !strings.Contains(st.Reason, "INVALID-ID-INFORMATION") || !strings.Contains(st.Reason, "mesh.yaml:12:5") {
		t.Errorf("the reason is %q", st.Reason)
	}
	p.run(30 * time.Second)
	after := p.messages(0, isakmp.QuickMode, isakmp.PayloadSA)[before:]
	if len(after) == 0 {
		t.Fatal("no new quick mode")
	}
	for _, n := range after {
		if n.h.MessageID == m.h.MessageID {
			t.Errorf("a copy of the refused message 1 after %s", n.at.Sub(m.at))
		}
	}
}

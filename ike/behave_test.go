package ike

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"meshrouter/ike/isakmp"
)

// exchangeOf is the exchange type of a message.
func exchangeOf(b []byte) isakmp.ExchangeType { return isakmp.ExchangeType(b[18]) }

// rewriteQuick gives every quick mode message number 1 or 2 of one end other payloads and flags, under the keys of the SA.
func (b *bench) rewriteQuick(end int, flags isakmp.Flags, edit func(number int, ps []isakmp.Payload) []isakmp.Payload) {
	seen := map[uint32]int{}
	raw := map[uint32][]byte{}
	b.change = func(from int, o *Send) {
		x := exchangeOf(o.Payload)
		if x != isakmp.QuickMode {
			return
		}
		id := binary.BigEndian.Uint32(o.Payload[20:])
		seen[id]++
		number := seen[id]
		if from == end && number < 3 {
			sa := b.engines[end].peers[0].current()
			chain, err := sa.keys.Phase2Chain(sa.lastBlock, id)
			if err != nil {
				b.t.Fatal(err)
			}
			nonce := []byte(nil)
			if number == 2 {
				first, next, err := chain.Open(raw[id])
				if err != nil {
					b.t.Fatal(err)
				}
				ps, _, err := isakmp.ParsePayloads(isakmp.PayloadHash, first)
				if err != nil {
					b.t.Fatal(err)
				}
				n, _ := isakmp.Find(ps, isakmp.PayloadNonce)
				nonce, chain = n.Body, next
			}
			clear, _, err := chain.Open(o.Payload)
			if err != nil {
				b.t.Fatal(err)
			}
			ps, _, err := isakmp.ParsePayloads(isakmp.PayloadHash, clear)
			if err != nil {
				b.t.Fatal(err)
			}
			message := sa.hashed(isakmp.QuickMode, id, edit(number, ps[1:]), func(covered []byte) []byte {
				if number == 2 {
					return sa.keys.Hash2(id, nonce, covered)
				}
				return sa.keys.Hash1(id, covered)
			})
			message[19] |= uint8(flags)
			o.Payload, _ = chain.Seal(message)
		}
		raw[id] = o.Payload
	}
}

// TestLostMessages loses each message of the handshake once, then each but its copies: both ends come up and agree.
func TestLostMessages(t *testing.T) {
	t.Parallel()
	for lost := range 9 {
		for _, times := range []int{1, 3} {
			a, b := testPair()
			bn := newBench(t, a, b)
			count := map[string]int{}
			var order []string
			bn.drop = func(_ int, o Send) bool {
				k := string(o.Payload)
				if count[k]++; count[k] == 1 {
					order = append(order, k)
				}
				return len(order) > lost && k == order[lost] && count[k] <= times
			}
			bn.run(50 * time.Second)
			for i := range 2 {
				if st := bn.status(i); st.State != PeerUp {
					t.Errorf("message %d lost %d times: end %d is %s: %s", lost+1, times, i, st.State, st.Reason)
				}
			}
			bn.agree()
		}
	}
}

// TestMessage3Confirmed: while message 3 is lost, ESP from the peer proves that it has the SAs.
func TestMessage3Confirmed(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	bn := newBench(t, a, b)
	bn.drop = func(from int, o Send) bool {
		x := exchangeOf(o.Payload)
		return from == 0 && x == isakmp.QuickMode && len(o.Payload) < 100
	}
	bn.run(time.Second)
	p := bn.engines[1].peers[0]
	if p.out != nil || len(p.pairs) != 1 {
		t.Fatal("the responder uses its outbound SA before message 3")
	}
	bn.do(1, Traffic{Peer: "a-b", SPI: p.pairs[0].in.SPI, Inbound: true, Bytes: 100})
	if p.out == nil {
		t.Error("the peer's ESP did not confirm the SA")
	}
	bn.run(3 * time.Minute)
	if p.out == nil || len(p.pairs) != 1 {
		t.Error("the confirmed SA went with its exchange")
	}
}

// TestOutputOrder: a rekey reads AddInbound, Send, UseOutbound at the initiator, AddInbound, Send and later UseOutbound
// at the responder (isakmpd-wire.md, 9.6), and what is saved is saved before the peer can use it. The old
// inbound SA stays to its end (openbsd-facts.md, 5), the old outbound one goes at once.
func TestOutputOrder(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	bn := newBench(t, a, b)
	bn.up()
	bn.log = [2][]Output{}
	first := bn.engines[0].peers[0].out
	bn.run(55 * time.Minute)
	kinds := func(i int) (ks []string) {
		for _, o := range bn.log[i] {
			switch o := o.(type) {
			case AddInbound:
				ks = append(ks, "add")
			case UseOutbound:
				ks = append(ks, "use")
			case Persist:
				ks = append(ks, "save")
			case RemoveSA:
				ks = append(ks, "remove "+direction(o.Inbound))
			case Send:
				ks = append(ks, "send")
			}
		}
		return ks
	}
	if got, want := kinds(0), []string{"send", "add", "save", "send", "use", "save", "remove outbound"}; !slices.Equal(got, want) {
		t.Errorf("initiator: %v, want %v", got, want)
	}
	if got, want := kinds(1), []string{"add", "save", "send", "use", "save", "remove outbound"}; !slices.Equal(got, want) {
		t.Errorf("responder: %v, want %v", got, want)
	}
	bn.agree()
	p := bn.engines[0].peers[0]
	if len(p.pairs) != 2 || p.pairs[0] != first {
		t.Fatalf("%d pairs after the rekey, want the old one still there", len(p.pairs))
	}
	bn.run(first.in.Hard.Sub(bn.now) - time.Second)
	if len(p.pairs) != 2 {
		t.Error("the old inbound SA went before its end")
	}
	bn.run(2 * time.Second)
	if len(p.pairs) != 1 || len(bn.engines[1].peers[0].pairs) != 1 {
		t.Error("the old inbound SA is still there after its end")
	}
}

// TestDelete: one SPI a message, the inbound one, ESP before ISAKMP; on receipt both directions go; accepted under
// the old and the new ISAKMP SA (openbsd-facts.md, 5; isakmpd-wire.md, 5, 7 and 9.5).
func TestDelete(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	bn := newBench(t, a, b)
	bn.up()
	in := bn.engines[0].peers[0].out.in.SPI
	bn.wire = nil
	bn.do(0, Terminate{})
	if len(bn.wire) != 2 {
		t.Fatalf("%d messages, want a DELETE for ESP and one for ISAKMP", len(bn.wire))
	}
	for i := range 2 {
		st := bn.status(i)
		if st.State == PeerUp || len(st.SAs) != 0 || st.Established != (time.Time{}) {
			t.Errorf("end %d still has SAs: %s", i, st.State)
		}
	}
	bn.mentions(1, EventDeleted, string(hexSPI(in)))
	bn.run(time.Minute)
	if n := len(bn.wire); n != 2 {
		t.Errorf("%d messages after Terminate: it began anew by itself", n-2)
	}
	if p := find[Persist](bn.log[0]); len(p[len(p)-1].Blob) != 0 {
		t.Error("the saved SAs were not forgotten")
	}
	bn.do(0, Acquire{Peer: "a-b"})
	bn.run(10 * time.Second)
	bn.agree()

	for _, home := range []string{"old", "new"} {
		a.Phase1Lifetime, b.Phase1Lifetime = 10*time.Minute, 10*time.Minute
		bn := newBench(t, a, b)
		bn.up()
		old := bn.engines[1].peers[0].current()
		bn.run(9*time.Minute + 30*time.Second)
		p := bn.engines[1].peers[0]
		if p.current() == old || p.current() == nil {
			t.Fatal("phase 1 was not renewed")
		}
		under := p.current()
		if home == "old" {
			under = old
		}
		s := &step{e: bn.engines[1]}
		under.sendDelete(s, isakmp.ProtocolISAKMP, old.cookieBytes())
		o := find[Send](s.out)[0]
		before := len(bn.engines[0].peers[0].sas)
		bn.do(0, Datagram{Local: o.Remote, Remote: o.Local, Payload: o.Payload})
		if after := len(bn.engines[0].peers[0].sas); after != before-1 {
			t.Errorf("DELETE of the old ISAKMP SA under the %s one: %d SAs before, %d after", home, before, after)
		}
		bn.agree()
	}
}

func hexSPI(spi uint32) []byte {
	const digits = "0123456789abcdef"
	var b []byte
	for i := 28; i >= 0; i -= 4 {
		b = append(b, digits[spi>>i&15])
	}
	return b
}

// TestPhase1DiesAlone: ESP SAs outlive an ISAKMP SA that finds no successor (isakmpd-wire.md, 7; openbsd-facts.md, 5).
func TestPhase1DiesAlone(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	a.Phase1Lifetime, b.Phase1Lifetime = 10*time.Minute, 10*time.Minute
	bn := newBench(t, a, b)
	bn.up()
	bn.drop = func(_ int, o Send) bool { x := exchangeOf(o.Payload); return x == isakmp.IdentityProtection }
	bn.run(30 * time.Minute)
	for i := range 2 {
		if st := bn.status(i); st.State != PeerUp || st.Established != (time.Time{}) {
			t.Errorf("end %d is %s, ISAKMP SA since %v", i, st.State, st.Established)
		}
	}
	bn.agree()
}

// TestRumours: unauthenticated messages never change a state. They are reported with the peer's address, and as
// the reason while the peer is down (isakmpd-wire.md, 5).
func TestRumours(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	bn := newBench(t, a, b)
	bn.up()
	from, to := netip.MustParseAddrPort("192.0.2.2:500"), netip.MustParseAddrPort("192.0.2.1:500")
	sa := bn.engines[0].peers[0].current()
	del := isakmp.Delete{DOI: 1, Protocol: isakmp.ProtocolISAKMP, SPIs: [][]byte{sa.cookieBytes()}}.Append(nil)
	contact := isakmp.Notification{DOI: 1, Protocol: 1, SPI: sa.cookieBytes(), Type: isakmp.InitialContact}.Append(nil)
	before := len(bn.wire)
	for _, m := range [][]byte{
		clearNotification(sa.header(isakmp.Informational, 7), isakmp.InvalidCookie),
		clearNotification(sa.header(isakmp.Informational, 0), isakmp.InvalidSPI),
		clearNotification(isakmp.Header{InitiatorCookie: isakmp.Cookie{9}, Version: 0x10, Exchange: isakmp.Informational}, isakmp.NoProposalChosen),
		sa.header(isakmp.Informational, 8).Message(isakmp.Payload{Type: isakmp.PayloadDelete, Body: del}),
		sa.header(isakmp.Informational, 9).Message(isakmp.Payload{Type: isakmp.PayloadNotification, Body: contact}),
	} {
		bn.do(0, Datagram{Local: to, Remote: from, Payload: m})
	}
	if st := bn.status(0); st.State != PeerUp || bn.engines[0].peers[0].current() != sa || len(bn.wire) != before {
		t.Errorf("a message in clear changed something: %s, %d messages sent", st.State, len(bn.wire)-before)
	}
	if n := bn.engines[0].Counters()[EventClearNotification]; n != 5 {
		t.Errorf("%d of 5 counted", n)
	}
	bn.mentions(0, EventClearNotification, "192.0.2.2:500", "INVALID-COOKIE")

	bn = newBench(t, a, b)
	bn.dead = [2]bool{true, true}
	bn.run(time.Second)
	own := bn.engines[0].peers[0].initiating()
	bn.do(0, Datagram{Local: to, Remote: from, Payload: clearNotification(own.header(isakmp.Informational, 0), isakmp.NoProposalChosen)})
	if bn.engines[0].peers[0].initiating() != own {
		t.Error("a clear NO-PROPOSAL-CHOSEN ended our main mode")
	}
	bn.dead = [2]bool{}
	bn.run(10 * time.Second)
	bn.agree()
}

// TestHalfOpenFlood: forged message 1s from a configured peer's address make a bounded number of exchanges, no
// computation, and the peer itself still gets through. From anybody else they make nothing.
func TestHalfOpenFlood(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	bn := newBench(t, a, b)
	flood := func(n int, from string) {
		sa := a.withDefaults()
		offer := sa.offerPhase1()
		for i := range n {
			h := isakmp.Header{Version: isakmp.Version1, Exchange: isakmp.IdentityProtection}
			binary.BigEndian.PutUint64(h.InitiatorCookie[:], uint64(i)+uint64(bn.now.UnixNano()))
			outs := bn.engines[1].Step(bn.now, Datagram{
				Local: netip.MustParseAddrPort("192.0.2.2:500"), Remote: netip.MustParseAddrPort(from),
				Payload: h.Message(isakmp.Payload{Type: isakmp.PayloadSA, Body: offer.Append(nil)}),
			}, nil)
			if len(find[Compute](outs)) > 0 {
				t.Fatal("a message 1 made us compute")
			}
		}
	}
	bn.dead[0] = true // forged: the answers go to somebody who did not ask
	flood(1000, "198.51.100.1:500")
	if n := len(bn.engines[1].cookies); n != 0 {
		t.Errorf("%d exchanges for an unknown peer", n)
	}
	for range 30 {
		flood(100, "192.0.2.1:500")
		if n := len(bn.engines[1].cookies); n > defaultHalfOpen+1 { // and the ISAKMP SA
			t.Fatalf("%d exchanges", n)
		}
		bn.dead[0] = false
		bn.run(time.Second)
	}
	c := bn.engines[1].Counters()
	if c[EventHalfOpenLimit] < 900 || c[EventUnknownPeer] != 1000 {
		t.Errorf("counters %v", c)
	}
	if st := bn.status(0); st.State != PeerUp {
		t.Errorf("the peer did not get through the flood: %s", st.Reason)
	}
	bn.run(3 * time.Minute)
	if n := len(bn.engines[1].cookies); n != 1 {
		t.Errorf("%d exchanges are left after the flood, want the ISAKMP SA", n)
	}
}

// TestDuplicatesBounded: copies are answered by the stored reply, byte for byte, and not without end.
func TestDuplicatesBounded(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	bn := newBench(t, a, b)
	bn.up()
	var toB []Send
	for _, o := range bn.wire {
		if o.Local.Addr() == a.Local {
			toB = append(toB, o)
		}
	}
	replies := map[string]int{}
	bn.dead[0] = true
	bn.wire = nil
	for range 100 {
		for _, o := range toB {
			bn.do(1, Datagram{Local: o.Remote, Remote: o.Local, Payload: o.Payload})
		}
	}
	for _, o := range bn.wire {
		replies[string(o.Payload)]++
	}
	if len(replies) != 2 { // message 6, quick mode 2 has been answered by 3, which has no answer
		for r := range replies {
			t.Log(messageText([]byte(r)))
		}
	}
	for r, n := range replies {
		if n > maxDuplicates {
			t.Errorf("%s was sent %d times", messageText([]byte(r)), n)
		}
	}
	if len(bn.wire) > 3*maxDuplicates {
		t.Errorf("%d answers to copies", len(bn.wire))
	}
	bn.agree()
	if st := bn.status(1); len(st.SAs) != 2 {
		t.Errorf("copies made SAs: %d", len(st.SAs))
	}
}

// TestConfigure: what did not change stays, what changed says goodbye and begins anew, what went away says goodbye.
func TestConfigure(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	bn := newBench(t, a, b)
	bn.up()
	sa := bn.engines[0].peers[0].current()
	same := a
	same.Source, same.DPD, same.Phase2Lifetime, same.Initiate = "mesh.yaml:99:1", time.Minute, 2*time.Hour, InitiateStandby
	bn.wire = nil
	bn.do(0, Configure{Config{Peers: []PeerConfig{same}}})
	if bn.engines[0].peers[0].current() != sa || len(bn.wire) != 0 {
		t.Error("a change of the line number made a new negotiation")
	}
	changed := a
	changed.Phase2 = []Phase2Transform{{ID: isakmp.ESPAES, KeyLength: 128, Auth: isakmp.HMACSHA}}
	bn.do(0, Configure{Config{Peers: []PeerConfig{changed}}})
	if st := bn.status(1); len(st.SAs) != 0 {
		t.Error("the peer was not told that the suite changed")
	}
	bChanged := b
	bChanged.Phase2 = changed.Phase2
	bn.do(1, Configure{Config{Peers: []PeerConfig{bChanged}}})
	bn.run(30 * time.Second)
	bn.agree()
	bn.do(0, Configure{})
	if len(bn.engines[0].Status(bn.now)) != 0 || len(bn.engines[0].cookies)+len(bn.engines[0].inbound) != 0 || !bn.engines[0].Deadline().IsZero() {
		t.Error("a removed peer left something behind")
	}
	if st := bn.status(1); len(st.SAs) != 0 {
		t.Error("the peer was not told that the link is gone")
	}
}

// TestInitiate: who begins (api of PeerConfig.Initiate).
func TestInitiate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		initiate Initiate
		acquire  bool
		after    time.Duration // until when nothing may be sent
		by       time.Duration // when something must have been sent; 0: never
	}{
		{InitiateAlways, false, 0, time.Second},
		{InitiateStandby, false, 14 * time.Second, 17 * time.Second},
		{InitiateStandby, true, 0, time.Second},
		{InitiateNever, false, time.Hour, 0},
		{InitiateNever, true, time.Hour, 0},
	} {
		a, b := testPair()
		a.Initiate = c.initiate
		bn := newBench(t, a, b)
		if c.acquire {
			bn.do(0, Acquire{Peer: "a-b"})
		}
		if bn.run(c.after); len(bn.wire) != 0 && c.after > 0 {
			t.Errorf("%v, acquire %v: began within %s", c.initiate, c.acquire, c.after)
		}
		if c.by > 0 {
			if bn.run(c.by - c.after); len(bn.wire) == 0 {
				t.Errorf("%v, acquire %v: nothing within %s", c.initiate, c.acquire, c.by)
			}
		}
	}
}

// TestInitialContact: at the first contact only; on receipt what was made before the peer's new life goes
// (isakmpd-wire.md, 5; openbsd-facts.md, 3). Its absence is nothing (isakmpd-wire.md, 9.5).
func TestInitialContact(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	a.Phase1Lifetime = 10 * time.Minute
	bn := newBench(t, a, b)
	bn.up()
	bn.run(30 * time.Minute) // several main modes
	for i := range 2 {
		if n := bn.engines[i].Counters()[EventInitialContact]; n != 1 {
			t.Errorf("end %d took %d INITIAL-CONTACTs in 30 minutes, want 1", i, n)
		}
	}
	bn.engines[0] = New(seeded(50), EngineOptions{}) // a reboots without its blob
	bn.log[1] = nil
	bn.do(0, Configure{Config{Peers: []PeerConfig{a}}})
	bn.run(10 * time.Second)
	bn.agree()
	removed := find[RemoveSA](bn.log[1])
	if len(removed) == 0 || removed[0].Reason != "the peer said INITIAL-CONTACT" {
		t.Errorf("removed %v", removed)
	}
	if n := len(bn.engines[1].peers[0].pairs); n != 1 {
		t.Errorf("%d pairs after the peer's reboot", n)
	}
}

// TestDPD: eight questions in 25 s, then everything goes without a word; an answer or ESP closes the question
// (isakmpd-wire.md, 8; openbsd-facts.md, 5). Every question is answered, repeated numbers too (screenos-facts.md, 1).
func TestDPD(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	a.DPD = 20 * time.Second
	bn := newBench(t, a, b)
	bn.up()
	bn.run(5 * time.Minute)
	c := bn.engines[0].Counters()
	if n := c[EventDPDProbe]; n < 12 || n > 16 || c[EventBadDPDSequence]+c[EventDPDDead] != 0 {
		t.Errorf("in five idle minutes %v", c)
	}
	probes := c[EventDPDProbe]
	p := bn.engines[0].peers[0]
	for i := range 30 { // ESP comes in: no need to ask
		bn.do(0, Traffic{Peer: "a-b", SPI: p.out.in.SPI, Inbound: true, Bytes: uint64(10 + 10*i)})
		bn.run(10 * time.Second)
	}
	if n := bn.engines[0].Counters()[EventDPDProbe]; n != probes {
		t.Errorf("%d questions although ESP came in", n-probes)
	}
	sa := bn.engines[1].peers[0].current()
	bn.wire = nil
	for range 10 { // the same number again and again, under new message ids
		s := &step{e: bn.engines[1]}
		m := sa.notification(s, dpdNotification(sa, isakmp.RUThere, 4711))
		bn.do(0, Datagram{Local: sa.remote, Remote: sa.local, Payload: m})
	}
	if n := len(bn.wire); n != 10 {
		t.Errorf("%d of 10 questions answered", n)
	}
	bn.do(0, Traffic{Peer: "a-b", SPI: p.out.in.SPI, Inbound: true, Bytes: 1000})
	bn.dead[1] = true
	bn.wire = nil
	silent := bn.now
	for bn.status(0).State == PeerUp && bn.now.Sub(silent) < 2*time.Minute {
		bn.run(time.Second)
	}
	if d := bn.now.Sub(silent); d < 40*time.Second || d > 50*time.Second {
		t.Errorf("dead after %s, want 20 s of silence and 25 s of questions", d)
	}
	bn.mentions(0, EventDPDDead, "8 questions in 25s")
	if st := bn.status(0); len(st.SAs) != 0 || st.Established != (time.Time{}) {
		t.Error("SAs with a dead peer are left")
	}
}

// TestNoIDs: without proxy ids in quick mode the peers' addresses are meant (openbsd-facts.md, 2); we always send both
// (screenos-facts.md, 2 and 7.2).
func TestNoIDs(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	bn := newBench(t, a, b)
	sent := 0
	bn.rewriteQuick(0, 0, func(number int, ps []isakmp.Payload) []isakmp.Payload {
		if number == 1 {
			for _, p := range ps {
				if p.Type == isakmp.PayloadID {
					sent++
				}
			}
		}
		return slices.DeleteFunc(ps, func(p isakmp.Payload) bool { return p.Type == isakmp.PayloadID })
	})
	bn.run(time.Second)
	if len(bn.engines[1].peers[0].pairs) != 1 {
		t.Errorf("quick mode without ids was refused: %s", bn.status(1).Reason)
	}
	if sent != 2 {
		t.Errorf("we sent %d ids, want IDci and IDcr", sent)
	}
}

// TestResponderLifetime: in an informational message it lowers the timer of the SA that it names, ISAKMP or ESP, and never
// ends one (screenos-facts.md, 1 "Lifetime negotiation").
func TestResponderLifetime(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	bn := newBench(t, a, b)
	bn.up()
	sa, p := bn.engines[1].peers[0].current(), bn.engines[0].peers[0]
	tell := func(protocol uint8, spi, data []byte) {
		m := sa.notification(&step{e: bn.engines[1]}, isakmp.Notification{DOI: 1, Protocol: protocol, SPI: spi, Type: isakmp.ResponderLifetime, Data: data})
		bn.do(0, Datagram{Local: sa.remote, Remote: sa.local, Payload: m})
	}
	tell(isakmp.ProtocolISAKMP, sa.cookieBytes(), []byte{0x80, 11, 0, 1, 0, 12, 0, 4, 0, 0, 0x0e, 0x10}) // 3600 s
	tell(isakmp.ProtocolESP, spiBytes(p.out.outSA.SPI), []byte{0x80, 1, 0, 1, 0x80, 2, 0x02, 0x58})      // 600 s
	tell(isakmp.ProtocolESP, spiBytes(p.out.outSA.SPI), []byte{0x80, 1, 0, 1, 0x80, 2, 0, 1})            // 1 s: has passed
	tell(isakmp.ProtocolESP, spiBytes(p.out.outSA.SPI), []byte{0x80, 1, 0})                              // cut short
	if got := p.current().hard.Sub(p.current().since); got != time.Hour {
		t.Errorf("ISAKMP lifetime %s, want 1h", got)
	}
	if got := p.out.in.Hard.Sub(p.out.in.Created); got != 10*time.Minute {
		t.Errorf("ESP lifetime %s, want 10m", got)
	}
	bn.run(time.Hour)
	bn.agree()
}

// TestStaleComputed: a result that comes after its exchange has ended is counted and changes nothing; one of another
// type ends the exchange, not the engine.
func TestStaleComputed(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	bn := newBench(t, a, b)
	bn.do(0, Computed{ID: 99, Result: dhResult{}})
	if n := bn.engines[0].Counters()[EventStaleComputed]; n != 1 {
		t.Errorf("counted %d times", n)
	}
	e := bn.engines[1]
	offer := a.offerPhase1()
	h := isakmp.Header{InitiatorCookie: isakmp.Cookie{1}, Version: isakmp.Version1, Exchange: isakmp.IdentityProtection}
	local, remote := netip.MustParseAddrPort("192.0.2.2:500"), netip.MustParseAddrPort("192.0.2.1:500")
	out := find[Send](e.Step(bn.now, Datagram{local, remote, h.Message(isakmp.Payload{Type: isakmp.PayloadSA, Body: offer.Append(nil)})}, nil))
	copy(h.ResponderCookie[:], out[0].Payload[8:16])
	ke := isakmp.Payload{Type: isakmp.PayloadKE, Body: append(make([]byte, 127), 2)}
	message3 := h.Message(ke, isakmp.Payload{Type: isakmp.PayloadNonce, Body: make([]byte, 16)})
	jobs := find[Compute](e.Step(bn.now, Datagram{local, remote, message3}, nil))
	e.Step(bn.now, Computed{jobs[0].ID, "nonsense"}, nil)
	if n := e.Counters()[EventBadPublicValue]; n != 1 {
		t.Errorf("a result of another type: %v", e.Counters())
	}
	bn.run(10 * time.Second)
	bn.agree()
}

// TestStrings: every input and output says what it is, and none of them shows a key.
func TestStrings(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	bn := newBench(t, a, b)
	bn.up()
	bn.do(0, Terminate{})
	secrets := []string{string(a.PSK)}
	for _, o := range find[UseOutbound](bn.log[0]) {
		secrets = append(secrets, string(o.SA.EncKey), fmt.Sprintf("%x", []byte(o.SA.EncKey)))
	}
	var all []fmt.Stringer
	for _, o := range bn.log[0] {
		s, ok := o.(fmt.Stringer)
		if !ok {
			t.Fatalf("%T has no String", o)
		}
		all = append(all, s)
	}
	addr := netip.MustParseAddrPort("192.0.2.1:500")
	all = append(all, Configure{}, Datagram{addr, addr, []byte("x")}, Datagram{addr, addr, bn.wire[0].Payload}, Acquire{"a-b"}, Traffic{Peer: "a-b"},
		RemoteMoved{"a-b", addr}, Computed{ID: 1}, Restore{}, Terminate{}, Tick{}, NATKeepalive{addr, addr}, MoveRemote{"a-b", addr})
	for _, s := range all {
		text := s.String() + fmt.Sprintf("%v", s)
		if len(text) < 6 {
			t.Errorf("%T says %q", s, text)
		}
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%T shows a key: %q", s, text)
			}
		}
	}
}

package ike

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"meshrouter/ike/isakmp"
	"meshrouter/ike/keys"
)

// replay gives engine end a message that the other end is said to have sent.
func (b *bench) replay(end int, o Send) []Output {
	b.t.Helper()
	c := b.engines[end].peers[0].cfg
	return b.engines[end].Step(b.now, Datagram{
		Local: netip.AddrPortFrom(c.Local, o.Remote.Port()), Remote: netip.AddrPortFrom(c.Remote, o.Local.Port()), Payload: o.Payload,
	}, nil)
}

// TestReflection: our own messages, sent back to us, are not the peer's. Nothing in a phase 2 message says who wrote
// it, and HASH(1) is the same for both ends: only the message id, which we have used, tells.
func TestReflection(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	a.DPD = 10 * time.Second
	bn := newBench(t, a, b)
	bn.up()
	bn.dead[1] = true
	bn.wire = nil
	p := bn.engines[0].peers[0]
	for bn.status(0).State == PeerUp && bn.now.Before(testStart.Add(5*time.Minute)) {
		bn.run(time.Second)
		for _, o := range slices.Clone(bn.wire) {
			for _, o := range find[Send](bn.replay(0, o)) { // and what is answered, again
				bn.replay(0, o)
			}
		}
		bn.wire = nil
	}
	if p.out != nil {
		t.Errorf("a peer that is dead for five minutes is up: its questions were answered by their reflection")
	}
	if n := bn.engines[0].Counters()[EventReplay]; n < 5 {
		t.Errorf("%d reflections counted as replays", n)
	}

	bn = newBench(t, a, b) // main mode: message 1 as if the peer had sent it
	bn.dead = [2]bool{true, true}
	bn.run(time.Second)
	first := bn.wire[0]
	own := bn.engines[0].peers[0].initiating()
	own.cookieR = isakmp.Cookie{1} // message 2 has come
	if out := find[Send](bn.replay(0, first)); len(out) != 0 {
		t.Error("our own message 1 was answered with message 2")
	}
}

// TestReplayedLater: a message id is good once in the life of an ISAKMP SA, however much came in between.
func TestReplayedLater(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	bn := newBench(t, a, b)
	bn.up()
	bn.run(59 * time.Minute) // a rekey: message 1 of a quick mode whose exchange is gone
	sa := bn.engines[0].peers[0].current()
	quick := slices.IndexFunc(bn.wire, func(o Send) bool { x := exchangeOf(o.Payload); return x == isakmp.QuickMode })
	s := &step{e: bn.engines[0], now: bn.now}
	var question Send
	for i := range 300 {
		m := Send{Local: sa.local, Remote: sa.remote, Payload: sa.notification(s, dpdNotification(sa, isakmp.RUThere, uint32(i)))}
		if i == 0 {
			question = m
		}
		bn.replay(1, m)
	}
	pairs := len(bn.engines[1].peers[0].pairs)
	for name, o := range map[string]Send{"quick mode message 1": bn.wire[quick], "R-U-THERE": question} {
		before := bn.engines[1].Counters()[EventReplay]
		if out := find[Send](bn.replay(1, o)); len(out) != 0 || bn.engines[1].Counters()[EventReplay] != before+1 {
			t.Errorf("%s, replayed after 300 exchanges: %d answers", name, len(out))
		}
	}
	if n := len(bn.engines[1].peers[0].pairs); n != pairs {
		t.Errorf("a replay made an SA pair: %d instead of %d", n, pairs)
	}

	// Quick modes are remembered over a restart.
	e, _ := revive(t, bn.now, bn.engines[1].peers[0].lastBlob, b)
	bn.engines[1] = e
	if bn.replay(1, bn.wire[quick]); len(e.peers[0].pairs) != pairs || e.Counters()[EventReplay] != 1 {
		t.Errorf("a quick mode from before the restart made an SA pair: %v", e.Counters())
	}
}

// TestMessageIDsBounded: the memory for message ids has an end, and so has then the ISAKMP SA.
func TestMessageIDsBounded(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	bn := newBench(t, a, b)
	bn.up()
	sa := bn.engines[0].peers[0].current()
	sa.used.ids = make([]uint32, maxMessageIDs-2)
	for i := range sa.used.ids {
		sa.used.ids[i] = uint32(i + 1)
	}
	bn.do(0, Tick{})
	for range 10 {
		s := &step{e: bn.engines[1], now: bn.now}
		peers := bn.engines[1].peers[0].current()
		bn.replay(0, Send{Local: peers.local, Remote: peers.remote, Payload: peers.notification(s, dpdNotification(peers, isakmp.RUThere, 1))})
	}
	if n := len(sa.used.ids); n > maxMessageIDs+10 { // and our answers
		t.Errorf("%d message ids are kept", n)
	}
	if n := bn.engines[0].Counters()[EventReplay]; n < 8 {
		t.Errorf("%d messages refused", n)
	}
	bn.run(5 * time.Second)
	if now := bn.engines[0].peers[0].current(); now == nil || now == sa {
		t.Error("an ISAKMP SA whose message ids are used up was not replaced")
	}
	bn.agree()
}

// TestLiveness: only what cannot be a recording proves that the peer lives: an answer to a question just asked.
func TestLiveness(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	a.DPD = 10 * time.Second
	bn := newBench(t, a, b)
	bn.up()
	bn.dead[1] = true
	sa := bn.engines[1].peers[0].current()
	for i := 0; bn.status(0).State == PeerUp && i < 120; i++ {
		bn.run(time.Second)
		s := &step{e: bn.engines[1], now: bn.now}
		bn.replay(0, Send{Local: sa.local, Remote: sa.remote, Payload: sa.notification(s, dpdNotification(sa, isakmp.RUThereAck, 0xfffff))})
	}
	if bn.status(0).State == PeerUp {
		t.Error("answers to questions that were not asked keep a dead peer alive")
	}
	if n := bn.engines[0].Counters()[EventBadDPDSequence]; n == 0 {
		t.Error("they were not counted")
	}
}

// TestDPDAfterRestart: isakmpd refuses a number that is smaller than the last one (openbsd-facts.md, 5), so ours go on
// over any number of restarts.
func TestDPDAfterRestart(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	a.DPD = 2 * time.Second
	bn := newBench(t, a, b)
	bn.up()
	var last uint32
	for i := range 40 {
		bn.dead[1] = i%3 == 1 // questions are repeated
		bn.log[0] = nil
		bn.run(15 * time.Second)
		bn.dead[1] = false
		bn.run(3 * time.Second)
		sa := bn.engines[0].peers[0].current()
		for _, o := range find[Send](bn.log[0]) {
			chain, err := sa.keys.Phase2Chain(sa.lastBlock, binary.BigEndian.Uint32(o.Payload[20:]))
			if err != nil {
				t.Fatal(err)
			}
			clear, _, err := chain.Open(o.Payload)
			if err != nil {
				t.Fatal(err)
			}
			ps, _, err := isakmp.ParsePayloads(isakmp.PayloadHash, clear)
			if err != nil || ps[1].Type != isakmp.PayloadNotification {
				continue
			}
			n, err := isakmp.ParseNotification(ps[1].Body)
			if err != nil || n.Type != isakmp.RUThere {
				continue
			}
			if number := be32(n.Data); number <= last {
				t.Fatalf("life %d: question %d after %d", i, number, last)
			}
			last = be32(n.Data)
		}
		e, _ := revive(t, bn.now, bn.engines[0].peers[0].lastBlob, a)
		e.rand = seeded(byte(i + 100))
		bn.engines[0] = e
	}
	if last == 0 {
		t.Error("no question was asked")
	}
}

// TestAddressWithoutNAT: without a NAT on the path, message 5 does not move the peer to whoever passes it on.
func TestAddressWithoutNAT(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	bn := newBench(t, a, b)
	elsewhere := netip.MustParseAddrPort("198.51.100.7:4500")
	bn.nat = func(to int, d *Datagram) { // do names the sender
		if x := exchangeOf(d.Payload); to == 0 && x == isakmp.IdentityProtection && d.Payload[19]&1 != 0 {
			d.Remote = elsewhere
		}
	}
	bn.run(time.Second)
	for _, sa := range bn.engines[1].peers[0].sas {
		if sa.remote.Addr() != b.Remote {
			t.Errorf("the ISAKMP SA is with %s", sa.remote)
		}
	}
	for _, c := range bn.engines[1].peers[0].pairs {
		if c.outSA.Dst.Addr() != b.Remote {
			t.Errorf("ESP goes to %s", c.outSA.Dst)
		}
	}
	bn.agree()
}

// TestForgottenISAKMP: a peer that has lost the ISAKMP SA (a DELETE is not repeated; ScreenOS's clear ike-cookie sends
// none) and still sends ESP gets a new main mode well before the ESP SAs end.
func TestForgottenISAKMP(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	bn := newBench(t, a, b)
	bn.up()
	for _, sa := range slices.Clone(bn.engines[1].peers[0].sas) {
		sa.remove(&step{e: bn.engines[1], now: bn.now})
	}
	bytes := uint64(0)
	for range 360 { // an hour; traffic flows all the time
		bn.run(10 * time.Second)
		bytes += 100
		for i := range 2 {
			p := bn.engines[i].peers[0]
			if p.out == nil {
				t.Fatalf("end %d is %s after %s: %s", i, bn.status(i).State, bn.now.Sub(testStart), bn.status(i).Reason)
			}
			for _, c := range p.pairs {
				bn.do(i, Traffic{Peer: a.ID, SPI: c.in.SPI, Inbound: true, Bytes: bytes})
			}
		}
	}
	bn.agree()
}

// TestClockSteps: times from a blob are put on the clock of this process, which a step of the wall clock does not move.
func TestClockSteps(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	bn := newBench(t, a, b)
	bn.now = time.Now().Round(0)
	bn.up()
	e, outs := revive(t, time.Now(), bn.engines[0].peers[0].lastBlob, a)
	p := e.peers[0]
	for name, at := range map[string]time.Time{
		"deadline": e.Deadline(), "hard": p.out.in.Hard, "created": p.out.in.Created, "rekey": p.out.rekeyAt,
		"ISAKMP hard": p.current().hard, "ISAKMP rekey": p.current().rekeyAt, "since": p.current().since,
		"told": find[UseOutbound](outs)[0].SA.Hard,
	} {
		if !strings.Contains(at.String(), " m=") {
			t.Errorf("%s is %s, which follows the wall clock", name, at)
		}
	}
}

// TestBadPublicValues: a public value that is none is refused before anything is computed, and the exchange waits for a
// better one.
func TestBadPublicValues(t *testing.T) {
	t.Parallel()
	size := keys.PublicSize(isakmp.MODP1024)
	one := append(make([]byte, size-1), 1)
	for name, bad := range map[string][]byte{"0": make([]byte, size), "1": one, "above p": slices.Repeat([]byte{0xff}, size)} {
		for from := range 2 {
			a, b := testPair()
			bn := newBench(t, a, b)
			jobs := 0
			bn.change = func(sender int, o *Send) {
				x := exchangeOf(o.Payload)
				if sender != from || x != isakmp.IdentityProtection || o.Payload[16] != byte(isakmp.PayloadKE) {
					return
				}
				forged := slices.Clone(o.Payload)
				copy(forged[isakmp.HeaderSize+isakmp.GenericHeaderSize:], bad)
				for range 20 {
					jobs += len(find[Compute](bn.replay(1-from, Send{Local: o.Local, Remote: o.Remote, Payload: forged})))
				}
			}
			bn.up()
			bn.agree()
			if n := bn.engines[1-from].Counters()[EventBadPublicValue]; jobs != 0 || n != 20 {
				t.Errorf("public value %s from end %d: %d computations, %d counted", name, from, jobs, n)
			}
		}
	}
}

// TestQuickModesBounded: a peer that makes SAs without end leaves a bounded number of exchanges behind.
func TestQuickModesBounded(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	bn := newBench(t, a, b)
	bn.up()
	p := bn.engines[0].peers[0]
	for range 100 {
		p.out.rekeyAt = bn.now
		bn.do(0, Acquire{Peer: a.ID})
		bn.run(3 * time.Second)
	}
	if n := len(bn.engines[1].peers[0].quicks); n > 2*maxQuickModes {
		t.Errorf("the responder remembers %d quick modes", n)
	}
	bn.agree()
}

// TestSPIs: SPIs 0 to 255 are reserved (RFC 4303, 2.1), and a peer that uses one again has forgotten what it was.
func TestSPIs(t *testing.T) {
	t.Parallel()
	withSPI := func(spi uint32) func(int, []isakmp.Payload) []isakmp.Payload {
		return func(_ int, ps []isakmp.Payload) []isakmp.Payload {
			for i, p := range ps {
				if p.Type == isakmp.PayloadSA {
					sa, err := isakmp.ParseSA(p.Body)
					if err != nil {
						t.Fatal(err)
					}
					sa.Proposals[0].SPI = spiBytes(spi)
					ps[i].Body = sa.Append(nil)
				}
			}
			return ps
		}
	}
	for end := range 2 {
		for _, spi := range []uint32{0, 255} {
			a, b := testPair()
			bn := newBench(t, a, b)
			bn.rewriteQuick(end, 0, withSPI(spi))
			bn.run(time.Second)
			if p := bn.engines[1-end].peers[0]; len(p.pairs) != 0 {
				t.Errorf("SPI %d of end %d was accepted", spi, end)
			}
		}
	}
	a, b := testPair()
	bn := newBench(t, a, b)
	bn.engines[0].values = func(name valueName) []byte {
		if name == valueSPI {
			return spiBytes(4711)
		}
		return nil
	}
	bn.run(time.Second)
	p := bn.engines[1].peers[0]
	first := p.out
	bn.log[1] = nil
	forgetful := bn.engines[0].peers[0]
	forgetful.removePairs(&step{e: bn.engines[0], now: bn.now}, "forgotten", false, func(*childPair) bool { return true })
	bn.do(0, Acquire{Peer: a.ID})
	bn.run(10 * time.Second)
	if p.out == nil || p.out == first || len(p.pairs) != 1 {
		t.Fatalf("%d pairs, in use %v", len(p.pairs), p.out)
	}
	removed, used := -1, -1
	for i, o := range bn.log[1] {
		switch o := o.(type) {
		case RemoveSA:
			if o.SPI == 4711 && !o.Inbound {
				removed = i
			}
		case UseOutbound:
			used = i
		}
	}
	bn.agree()
	if removed < 0 || removed > used {
		t.Errorf("the shell removes 4711 at %d and uses it anew at %d: it would keep the old keys, or nothing", removed, used)
	}
}

// TestFastVolume: at a rate that takes the last tenth of a limit in a few reports, the new SA is there before the limit.
func TestFastVolume(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	a.Phase2Kilobytes, b.Phase2Kilobytes = 10_000, 10_000
	bn := newBench(t, a, b)
	bn.up()
	bytes := map[uint32]uint64{}
	for range 30 {
		bn.run(time.Second)
		p := bn.engines[0].peers[0]
		bn.do(0, Traffic{Peer: a.ID, SPI: p.pairs[len(p.pairs)-1].in.SPI, Inbound: true, Bytes: 100})
		spi := p.out.outSA.SPI
		bytes[spi] += 4_000_000
		bn.do(0, Traffic{Peer: a.ID, SPI: spi, Bytes: bytes[spi]})
	}
	if n := bn.engines[0].Counters()[EventExpired]; n != 0 {
		t.Errorf("%d SAs were used up before there was another", n)
	}
	if len(bytes) < 5 {
		t.Errorf("%d SAs for 120 MB with a limit of 10 MB", len(bytes))
	}
}

// TestSwitchAfterMessage3: isakmpd and strongSwan have their inbound SA only when they have message 3. During a rekey we
// send with the old SA until the peer shows that it has the new one, and at the latest after switchDelay; when message
// 3 was lost, after the next.
func TestSwitchAfterMessage3(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		esp         bool // comes in by the new SA
		lost        int  // messages 3 that are lost
		least, most time.Duration
	}{
		{"ESP comes in", true, 0, time.Second, 2 * time.Second},
		{"silence", false, 0, switchDelay, switchDelay + time.Second},
		{"message 3 is lost", false, 2, switchDelay + 2*time.Second, 2*switchDelay + time.Second},
		{"message 3 is lost, ESP comes in", true, 2, 4 * time.Second, 7 * time.Second},
	} {
		a, b := testPair()
		bn := newBench(t, a, b)
		bn.up()
		lost := 0
		bn.drop = func(from int, o Send) bool {
			x := exchangeOf(o.Payload)
			if from == 0 && x == isakmp.QuickMode && len(o.Payload) < 100 && lost < c.lost {
				lost++
				return true
			}
			return false
		}
		p, q := bn.engines[0].peers[0], bn.engines[1].peers[0]
		old := p.out
		old.rekeyAt = bn.now
		bn.do(0, Acquire{Peer: a.ID})
		begun := bn.now
		for p.out == old && bn.now.Sub(begun) < time.Minute {
			if bn.now.Sub(begun) > 0 && lost == c.lost && c.esp && q.out != nil && q.out.outSA.SPI == p.pairs[1].in.SPI {
				bn.do(0, Traffic{Peer: a.ID, SPI: p.pairs[1].in.SPI, Inbound: true, Bytes: 100})
			}
			if p.out == old {
				bn.run(time.Second)
			}
		}
		if d := bn.now.Sub(begun); d < c.least || d > c.most {
			t.Errorf("%s: switched after %s, want %s to %s", c.name, d, c.least, c.most)
		}
		bn.run(time.Minute)
		bn.agree()
		if len(p.pairs) != 2 {
			t.Errorf("%s: %d pairs", c.name, len(p.pairs))
		}
	}

	a, b := testPair() // the peer deletes the old SA meanwhile: the new one takes over at once
	bn := newBench(t, a, b)
	bn.up()
	p := bn.engines[0].peers[0]
	p.out.rekeyAt = bn.now
	bn.do(0, Acquire{Peer: a.ID})
	s := &step{e: bn.engines[1], now: bn.now}
	sa := bn.engines[1].peers[0].current()
	sa.sendDelete(s, isakmp.ProtocolESP, spiBytes(p.out.outSA.SPI))
	bn.replay(0, find[Send](s.out)[0])
	if len(p.pairs) != 1 || p.out != p.pairs[0] {
		t.Error("the old SA was deleted and the new one does not take over")
	}

	bn = newBench(t, a, b) // the peer could not install it: we stay with the old one
	bn.up()
	p = bn.engines[0].peers[0]
	old := p.out
	old.rekeyAt = bn.now
	bn.do(0, Acquire{Peer: a.ID})
	s = &step{e: bn.engines[1], now: bn.now}
	sa = bn.engines[1].peers[0].current()
	bn.replay(0, Send{Local: sa.local, Remote: sa.remote, Payload: sa.notification(s, isakmp.Notification{DOI: 1, Protocol: isakmp.ProtocolESP, Type: isakmp.NoProposalChosen})})
	if p.out != old || len(p.pairs) != 1 {
		t.Errorf("after a refusal of the new SA %d pairs", len(p.pairs))
	}
}

// TestNoPSK: without a pre-shared key there is nothing that a peer could prove.
func TestNoPSK(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	a.PSK, b.PSK = nil, nil
	bn := newBench(t, a, b)
	bn.run(10 * time.Second)
	if len(bn.wire) != 0 {
		t.Error("we begin without a pre-shared key")
	}
	a.PSK = []byte{}
	offer := a.offerPhase1()
	h := isakmp.Header{InitiatorCookie: isakmp.Cookie{1}, Version: isakmp.Version1, Exchange: isakmp.IdentityProtection}
	message := h.Message(isakmp.Payload{Type: isakmp.PayloadSA, Body: offer.Append(nil)})
	if out := find[Send](bn.replay(1, Send{Payload: message})); len(out) != 0 {
		t.Error("we answer without a pre-shared key")
	}
}

// TestNothingConfigured: an end that allows nothing accepts nothing.
func TestNothingConfigured(t *testing.T) {
	t.Parallel()
	for phase := 1; phase <= 2; phase++ {
		a, b := testPair()
		if phase == 1 {
			b.Phase1 = nil
		} else {
			b.Phase2 = nil
		}
		bn := newBench(t, a, b)
		bn.run(time.Second)
		if n := bn.engines[1].Counters()[EventNoProposalChosen]; n == 0 || len(bn.engines[1].peers[0].pairs) != 0 {
			t.Errorf("phase %d: something was chosen: %v", phase, bn.engines[1].Counters())
		}
	}
}

// BenchmarkForgedOffer is what a forged message 1 of the greatest size costs that fits nothing.
func BenchmarkForgedOffer(b *testing.B) {
	ca, cb := testPair()
	e := New(seeded(1), EngineOptions{})
	e.Step(testStart, Configure{Config{Peers: []PeerConfig{cb}}}, nil)
	o := isakmp.Phase1Offer{Encryption: isakmp.AESCBC, Hash: isakmp.SHA1, Auth: isakmp.PreSharedKey, Group: isakmp.MODP2048, KeyLength: 128}
	var sa isakmp.SA
	sa.DOI, sa.Situation = isakmp.DOIIPsec, isakmp.SituationIdentityOnly
	for range 240 {
		sa.Proposals = append(sa.Proposals[:0], isakmp.Proposal{Number: 1, Protocol: isakmp.ProtocolISAKMP, Transforms: slices.Repeat([]isakmp.Transform{{ID: 1, Attributes: o.Attributes()}}, 240)})
	}
	h := isakmp.Header{InitiatorCookie: isakmp.Cookie{1}, Version: isakmp.Version1, Exchange: isakmp.IdentityProtection}
	message := h.Message(isakmp.Payload{Type: isakmp.PayloadSA, Body: sa.Append(nil)})
	in := Datagram{Local: netip.AddrPortFrom(cb.Local, 500), Remote: netip.AddrPortFrom(ca.Local, 500), Payload: message}
	var out []Output
	b.SetBytes(int64(len(message)))
	for b.Loop() {
		out = e.Step(testStart, in, out[:0])
	}
}

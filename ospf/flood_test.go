package ospf

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Tests of RFC 2328, 13, against a puppet: what a peer of ours would not send.

func ownKey() LSAKey { return LSAKey{RouterLSAType, LinkStateID(ownID), ownID} }

// 13 (1), (2) and the checks beyond: each bad LSA is dropped by name, the others in the packet count.
func TestBadLSAsAreDroppedOneByOne(t *testing.T) {
	t.Parallel()
	p := newPuppet(t, peerID)
	p.full()
	good := external(77, "203.0.113.0", InitialSequenceNumber, 1, ExternalLSA{Mask: 0xffffff00, Metric: 1})
	bad := map[string]LSA{
		"lsa_bad_age":      external(77, "203.0.114.0", InitialSequenceNumber, MaxAge+1, ExternalLSA{}),
		"lsa_bad_sequence": external(77, "203.0.114.0", reservedSequence, 1, ExternalLSA{}),
		"lsa_unknown_type": NewLSA(LSAHeader{Age: 1, LSAKey: LSAKey{8, 1, 1}, Sequence: 1}, nil),
		"lsa_bad_body":     NewLSA(LSAHeader{Age: 1, LSAKey: LSAKey{RouterLSAType, 1, 2}, Sequence: 1}, RouterLSA{}.Append(nil)),
		"lsa_bad_checksum": external(77, "203.0.114.0", InitialSequenceNumber, 1, ExternalLSA{}),
	}
	bad["lsa_bad_checksum"][25] ^= 1
	for name, l := range bad {
		p.flood(l)
		p.wantCount(name, 1)
		if _, kept := p.header(l.Header().LSAKey); kept {
			t.Errorf("%s: kept", name)
		}
	}
	p.flood(bad["lsa_bad_age"], good, bad["lsa_bad_checksum"])
	if _, kept := p.header(good.Header().LSAKey); !kept {
		t.Error("the good one is not kept")
	}
	// A length that runs past the packet ends it; what stands before counts.
	second := external(77, "203.0.115.0", InitialSequenceNumber, 1, ExternalLSA{})
	b := LinkStateUpdate{[]LSA{second, good}}.Append(nil)
	p.sendRaw(LSUpdatePacket, b[:len(b)-1])
	p.wantCount("packet_malformed", 1)
	if _, kept := p.header(second.Header().LSAKey); !kept {
		t.Error("the LSA in front of the broken one is not kept")
	}
	p.wantState(Full)
}

// 13 (4): an unknown LSA at MaxAge is acknowledged at once and not kept.
func TestUnknownMaxAge(t *testing.T) {
	t.Parallel()
	p := newPuppet(t, peerID)
	p.full()
	l := external(77, "203.0.113.0", 5, MaxAge, ExternalLSA{})
	p.flood(l)
	acks := take[LinkStateAck](p)
	if len(acks) != 1 || acks[0].Headers[0].LSAKey != l.Header().LSAKey {
		t.Errorf("acknowledged by %v", acks)
	}
	if _, kept := p.header(l.Header().LSAKey); kept {
		t.Error("kept")
	}
}

// 13 (5)(a) and B: instances that come within MinLSArrival, more than a new adjacency makes, are dropped without
// acknowledgment.
func TestMinLSArrival(t *testing.T) {
	t.Parallel()
	p := newPuppet(t, peerID)
	p.full()
	for seq := range Sequence(arrivalBurst) {
		p.flood(p.theirs(1+seq, 1))
		p.run(333 * time.Millisecond)
	}
	p.take()
	p.flood(p.theirs(arrivalBurst+1, 1))
	p.run(time.Millisecond)
	p.wantCount("lsa_min_arrival", 1)
	p.wantSequence(p.theirs(1, 1).Header().LSAKey, arrivalBurst)
	if a := take[LinkStateAck](p); len(a) != 0 {
		t.Errorf("acknowledged: %v", a)
	}
	p.flood(p.theirs(arrivalBurst+1, 1))
	p.wantSequence(p.theirs(1, 1).Header().LSAKey, arrivalBurst+1)
}

// 13.5: a new LSA is acknowledged within ackDelay, to AllSPFRouters; a duplicate at once; one that we are retransmitting is
// an acknowledgment itself and gets none.
func TestAcknowledgments(t *testing.T) {
	t.Parallel()
	p := newPuppet(t, peerID)
	p.full()
	p.flood(p.theirs(1, 1))
	if a := take[LinkStateAck](p); len(a) != 0 {
		t.Errorf("acknowledged at once: %v", a)
	}
	p.run(ackDelay)
	for _, r := range p.take() {
		if r.h.Type == LSAckPacket && r.dst != allSPFRouters() {
			t.Errorf("acknowledged to %v", r.dst)
		}
		if a, ok := r.body.(LinkStateAck); ok && (len(a.Headers) != 1 || a.Headers[0].Sequence != 1) {
			t.Errorf("acknowledged %v", a)
		}
	}
	p.flood(p.theirs(1, 2))
	if a := take[LinkStateAck](p); len(a) != 1 {
		t.Errorf("duplicate: %v", a)
	}
	// Ours, not yet acknowledged by the puppet, comes back.
	p.alive(20 * time.Second)
	c := puppetConfig()
	c.Interfaces[1].Cost = 9
	p.step(Configure{c})
	updates := take[LinkStateUpdate](p)
	if len(updates) != 1 || p.in.Neighbors(p.now)[0].Retransmit != 1 {
		t.Fatalf("%v", updates)
	}
	p.flood(updates[0].LSAs...)
	p.run(ackDelay)
	if a := take[LinkStateAck](p); len(a) != 0 || p.in.Neighbors(p.now)[0].Retransmit != 0 {
		t.Errorf("implied acknowledgment: %v, %d left", a, p.in.Neighbors(p.now)[0].Retransmit)
	}
}

// 13 (8): an older instance is answered with ours, no more often than every MinLSArrival.
func TestOlderIsAnswered(t *testing.T) {
	t.Parallel()
	p := newPuppet(t, peerID)
	p.full()
	p.flood(p.theirs(5, 1))
	p.run(2 * time.Second)
	p.take()
	p.flood(p.theirs(4, 1))
	u := take[LinkStateUpdate](p)
	if len(u) != 1 || u[0].LSAs[0].Header().Sequence != 5 {
		t.Fatalf("answered %v", u)
	}
	p.flood(p.theirs(4, 1))
	if u := take[LinkStateUpdate](p); len(u) != 0 {
		t.Errorf("answered twice within MinLSArrival: %v", u)
	}
	if n := p.in.Neighbors(p.now)[0]; n.Retransmit != 0 {
		t.Error("the answer is on the retransmission list")
	}
}

// 13.4: our LSA from before a restart, or forged, is outnumbered; one that we do not want is flushed.
func TestSelfOriginated(t *testing.T) {
	t.Parallel()
	p := newPuppet(t, peerID)
	p.full()
	forged := NewLSA(LSAHeader{Age: 1, Options: OptionE, LSAKey: ownKey(), Sequence: 1000}, RouterLSA{Links: []RouterLink{{1, 2, StubLink, 1}}}.Append(nil))
	p.flood(forged)
	p.run(5 * time.Second)
	p.wantSequence(ownKey(), 1001)
	var last LSA
	for _, u := range take[LinkStateUpdate](p) {
		last = u.LSAs[0]
		p.ackAll(u)
	}
	if h := last.Header(); h.Sequence != 1001 || h.Age == 0 {
		t.Errorf("answered with %v", h)
	}
	unwanted := external(ownID, "203.0.113.0", 7, 1, ExternalLSA{Mask: 0xffffff00})
	p.flood(unwanted)
	u := take[LinkStateUpdate](p)
	if len(u) != 1 || u[0].LSAs[0].Header().Age != MaxAge || u[0].LSAs[0].Header().Sequence != 7 {
		t.Fatalf("flushed by %v", u)
	}
	p.ackAll(u[0])
	if _, kept := p.header(unwanted.Header().LSAKey); kept {
		t.Error("kept after the acknowledgment")
	}
	// A network-LSA with our address as its id, from a former router id.
	net := NewLSA(LSAHeader{Age: 1, LSAKey: LSAKey{NetworkLSAType, LinkStateID(0x0afe0001), 99}, Sequence: 1}, NetworkLSA{Mask: 0xfffffffc}.Append(nil))
	p.flood(net)
	if h, ok := p.header(net.Header().LSAKey); !ok || h.Age != MaxAge {
		t.Errorf("network-LSA: %v %v", h, ok)
	}
}

// 12.1.6: after MaxSequenceNumber the LSA is flushed, and begins again when that is acknowledged; a neighbor that never
// acknowledges holds it up for a limited time.
func TestSequenceWrap(t *testing.T) {
	t.Parallel()
	for _, acks := range []bool{true, false} {
		p := newPuppet(t, peerID)
		p.full()
		p.flood(NewLSA(LSAHeader{Age: 1, Options: OptionE, LSAKey: ownKey(), Sequence: MaxSequenceNumber}, RouterLSA{}.Append(nil)))
		p.run(5 * time.Second)
		h, _ := p.header(ownKey())
		if h.Age != MaxAge || h.Sequence != MaxSequenceNumber {
			t.Fatalf("not being flushed: %v", h)
		}
		if acks {
			for _, u := range take[LinkStateUpdate](p) {
				p.ackAll(u)
			}
			p.run(100 * time.Millisecond)
		} else {
			p.wantSequence(ownKey(), MaxSequenceNumber)
			for range 4 { // Hellos, but no acknowledgments
				p.run(wrapPatience / 4)
				p.hello(ownID)
			}
		}
		p.wantSequence(ownKey(), InitialSequenceNumber)
		if h, _ := p.header(ownKey()); h.Age == MaxAge {
			t.Error("still at MaxAge")
		}
		p.wantCount("sequence_wrapped", 1)
	}
}

// The real way to the end: our own last number, then a change.
func TestOwnSequenceWraps(t *testing.T) {
	t.Parallel()
	p := newPuppet(t, peerID)
	p.full()
	p.flood(NewLSA(LSAHeader{Age: 1, Options: OptionE, LSAKey: ownKey(), Sequence: MaxSequenceNumber - 1}, RouterLSA{}.Append(nil)))
	p.run(5 * time.Second)
	p.wantSequence(ownKey(), MaxSequenceNumber)
	p.take()
	p.alive(31 * time.Minute) // the refresh
	p.wantSequence(ownKey(), InitialSequenceNumber)
}

// 10.7: a request for what we do not have is BadLSReq; 10.6: an unknown type in a description and an option that
// changes are SeqNumberMismatch. All begin the exchange anew.
func TestExchangeStartsAgain(t *testing.T) {
	t.Parallel()
	for name, provoke := range map[string]func(p *puppet){
		"BadLSReq":       func(p *puppet) { p.send(LSRequestPacket, LinkStateRequest{[]LSAKey{{RouterLSAType, 1, 1}}}) },
		"unknown type":   func(p *puppet) { p.dd++; p.sendDD(FlagM|FlagMS, LSAHeader{LSAKey: LSAKey{6, 1, 1}}) },
		"I bit":          func(p *puppet) { p.dd++; p.sendDD(FlagI | FlagMS) },
		"not the master": func(p *puppet) { p.dd++; p.sendDD(FlagM) },
		"wrong sequence": func(p *puppet) { p.dd += 2; p.sendDD(FlagM | FlagMS) },
		"options changed": func(p *puppet) {
			p.dd++
			p.send(DatabaseDescriptionPacket, DatabaseDescription{Options: OptionE | OptionDC, Flags: FlagM | FlagMS, Sequence: p.dd})
		},
	} {
		p := newPuppet(t, peerID)
		p.exchange()
		p.take()
		provoke(p)
		if p.state() != ExStart {
			t.Errorf("%s: %v, want ExStart", name, p.state())
			continue
		}
		if d := take[DatabaseDescription](p); len(d) != 1 || d[0].Flags != FlagI|FlagM|FlagMS {
			t.Errorf("%s: sent %v", name, d)
		}
		if r := p.in.Neighbors(p.now)[0].LastReason; r == "" {
			t.Errorf("%s: no reason", name)
		}
	}
	p := newPuppet(t, peerID)
	p.full()
	p.dd++
	p.sendDD(FlagM | FlagMS)
	p.wantState(ExStart)
}

// 10.8: the slave answers a duplicate with its last packet again; the master repeats its own every RxmtInterval and
// ignores duplicates.
func TestDuplicateDescriptions(t *testing.T) {
	t.Parallel()
	p := newPuppet(t, peerID)
	p.exchange()
	p.take()
	p.sendDD(FlagM | FlagMS)
	if d := take[DatabaseDescription](p); len(d) != 1 || d[0].Sequence != p.dd || d[0].Flags&FlagMS != 0 {
		t.Errorf("slave answered a duplicate with %v", d)
	}
	p.dd++
	p.sendDD(FlagMS)
	p.wantState(Full)
	p.take()
	p.sendDD(FlagMS)
	if d := take[DatabaseDescription](p); len(d) != 1 {
		t.Errorf("slave in Full answered a duplicate with %v", d)
	}
	p.alive(40 * time.Second)
	p.sendDD(FlagMS)
	p.wantState(ExStart) // RouterDeadInterval later it is no duplicate any more

	p = newPuppet(t, lowID)
	p.twoWay()
	first := take[DatabaseDescription](p)
	p.run(defaultRxmt)
	again := take[DatabaseDescription](p)
	if len(first) != 1 || len(again) != 1 || again[0].Sequence != first[0].Sequence || again[0].Flags != FlagI|FlagM|FlagMS {
		t.Fatalf("%v, then %v", first, again)
	}
	p.dd = first[0].Sequence
	p.sendDD(FlagM)
	p.wantState(Exchange)
	sent := take[DatabaseDescription](p)
	if len(sent) != 1 || sent[0].Sequence != p.dd+1 || sent[0].Flags&FlagMS == 0 || len(sent[0].Headers) != 1 {
		t.Fatalf("master went on with %v", sent)
	}
	p.sendDD(FlagM)
	if d := take[DatabaseDescription](p); len(d) != 0 {
		t.Errorf("master answered a duplicate with %v", d)
	}
	p.run(defaultRxmt)
	if d := take[DatabaseDescription](p); len(d) != 1 || d[0].Sequence != p.dd+1 {
		t.Errorf("master repeated %v", d)
	}
}

// 10.9: requests are repeated until answered, one packet at a time, and Full waits for the last; an LSA older than the
// description promised is BadLSReq (13 (6)).
func TestRequests(t *testing.T) {
	t.Parallel()
	p := newPuppet(t, peerID)
	var lsas []LSA
	var headers []LSAHeader
	for i := range 150 {
		l := external(peerID, fmt.Sprintf("203.0.%d.0", i), 2, 1, ExternalLSA{Mask: 0xffffff00, Metric: 1})
		lsas = append(lsas, l)
		if len(headers) < 70 {
			headers = append(headers, l.Header())
		}
	}
	p.exchange(headers...)
	var more []LSAHeader
	for _, l := range lsas[70:] {
		more = append(more, l.Header())
	}
	p.dd++
	p.sendDD(FlagM|FlagMS, more[:40]...)
	p.dd++
	p.sendDD(FlagMS, more[40:]...)
	p.wantState(Loading)
	asked := take[LinkStateRequest](p)
	if len(asked) != 1 || len(asked[0].LSAs) != 70 {
		t.Fatalf("asked %d times", len(asked))
	}
	p.run(defaultRxmt)
	asked = take[LinkStateRequest](p)
	if len(asked) != 1 || len(asked[0].LSAs) != (1500-20-24-16)/12 {
		t.Fatalf("asked again for %v", asked)
	}
	for _, l := range lsas[:len(asked[0].LSAs)] {
		p.flood(l)
	}
	p.wantState(Loading)
	if asked = take[LinkStateRequest](p); len(asked) != 1 || len(asked[0].LSAs) != 30 {
		t.Fatalf("then asked for %v", asked)
	}
	for _, l := range lsas[120:149] {
		p.flood(l)
	}
	p.wantState(Loading)
	p.flood(lsas[149])
	p.wantState(Full)

	p = newPuppet(t, peerID)
	promised := p.theirs(3, 1)
	p.flood()
	p.exchange(promised.Header())
	p.dd++
	p.sendDD(FlagMS)
	p.wantState(Loading)
	p.flood(p.theirs(2, 1))
	p.flood(p.theirs(2, 1))
	p.wantState(ExStart)
}

// 14: no LSA at MaxAge leaves the database before it is acknowledged, nor while a neighbor is in Exchange or Loading.
func TestMaxAgeRemoval(t *testing.T) {
	t.Parallel()
	c := puppetConfig()
	c.Interfaces = append(c.Interfaces, InterfaceConfig{Name: "u", Address: mustPrefix("10.254.1.1/30")})
	p := newPuppetWith(t, peerID, c)
	p.full()
	p.flood(p.theirs(1, 1))
	p.run(2 * time.Second)
	// Another neighbor, on u, comes to Exchange and stays there.
	other := func(t PacketType, b body) {
		raw := Header{Version: version, Type: t, RouterID: 0x0a0000_f0}.Append(nil)
		p.step(Packet{Interface: "u", Src: mustAddr("10.254.1.2"), Dst: allSPFRouters(), Payload: Auth{}.Seal(b.Append(raw), 0)})
	}
	other(HelloPacket, Hello{HelloInterval: 10, RouterDeadInterval: 40, Options: OptionE, Neighbors: []RouterID{ownID}})
	other(DatabaseDescriptionPacket, DatabaseDescription{Options: OptionE, Flags: FlagI | FlagM | FlagMS, Sequence: 7})
	if p.in.loading != 1 {
		t.Fatal("the second neighbor is not in Exchange")
	}
	p.flood(p.theirs(1, MaxAge))
	key := p.theirs(1, 1).Header().LSAKey
	if h, ok := p.header(key); !ok || h.Age != MaxAge {
		t.Fatalf("%v %v, want it at MaxAge", h, ok)
	}
	p.run(10 * time.Second)
	p.hello(ownID)
	other(LSAckPacket, LinkStateAck{[]LSAHeader{p.theirs(1, MaxAge).Header()}})
	if _, ok := p.header(key); !ok {
		t.Error("removed although a neighbor is in Exchange")
	}
	p.step(InterfaceDown{"u", ""})
	if _, ok := p.header(key); ok {
		t.Error("still there with nobody left to acknowledge")
	}
}

// RFC 1793, 2.2 and 2.3: an LSA with DoNotAge does not grow old; when its originator is out of reach for MaxAge it
// goes (screenos-facts.md, 4).
func TestDoNotAge(t *testing.T) {
	t.Parallel()
	p := newPuppet(t, peerID)
	p.full()
	p.flood(p.theirs(1, 1, linkTo(ownID, "10.254.0.2", 10)))
	far := NewLSA(LSAHeader{Age: 5 | doNotAge, Options: OptionE, LSAKey: LSAKey{RouterLSAType, 77, 77}, Sequence: 1},
		RouterLSA{Links: []RouterLink{linkTo(peerID, "10.9.9.9", 1)}}.Append(nil))
	p.flood(far)
	p.alive(90 * time.Minute)
	h, ok := p.header(far.Header().LSAKey)
	if !ok || h.Age != 5|doNotAge {
		t.Fatalf("after 90 minutes: %v %v", h, ok)
	}
	if _, ok := p.header(p.theirs(1, 1).Header().LSAKey); ok {
		t.Error("the LSA without the bit has not grown old")
	}
	p.alive(60 * time.Minute) // unreachable since its only way in grew old
	if _, ok := p.header(far.Header().LSAKey); ok {
		t.Error("kept although its originator is out of reach for MaxAge")
	}
}

// RFC 5250, 3.1: opaque LSAs go to neighbors that say they take them, link-local ones stay on the link; all other known types
// are kept and flooded as they came.
func TestTypesAreKeptAndFlooded(t *testing.T) {
	t.Parallel()
	c := puppetConfig()
	c.Interfaces = append(c.Interfaces, InterfaceConfig{Name: "u", Address: mustPrefix("10.254.1.1/30")})
	for _, opaque := range []bool{false, true} {
		p := newPuppetWith(t, peerID, c)
		p.full()
		var flooded []string
		feed := func(t PacketType, b body) {
			raw := Header{Version: version, Type: t, RouterID: lowID}.Append(nil)
			pkt := Packet{Interface: "u", Src: mustAddr("10.254.1.2"), Dst: allSPFRouters(), Payload: Auth{}.Seal(b.Append(raw), 0)}
			for _, o := range p.in.Step(p.now, pkt, nil) {
				if s, ok := o.(Send); ok && s.Interface == "u" {
					if d, ok := p.parse(s).body.(DatabaseDescription); ok {
						p.dd = d.Sequence
					}
				}
			}
		}
		options := OptionE
		if opaque {
			options |= OptionO
		}
		feed(HelloPacket, Hello{HelloInterval: 10, RouterDeadInterval: 40, Options: options, Neighbors: []RouterID{ownID}})
		feed(DatabaseDescriptionPacket, DatabaseDescription{Options: options, Flags: FlagM, Sequence: p.dd})
		feed(DatabaseDescriptionPacket, DatabaseDescription{Options: options, Sequence: p.dd})
		if p.in.Summary(p.now).FullCount != 2 {
			t.Fatalf("neighbors %+v", p.in.Neighbors(p.now))
		}
		types := []LSType{1, 2, 3, 4, 5, 7, 9, 10, 11}
		var all []LSA
		for _, typ := range types {
			body := ExternalLSA{Mask: 0xffffff00, Metric: 1}.Append(nil)
			if typ == RouterLSAType {
				body = RouterLSA{}.Append(nil)
			}
			all = append(all, NewLSA(LSAHeader{Age: 1, LSAKey: LSAKey{typ, 77, 77}, Sequence: 1}, body))
		}
		raw := Header{Version: version, Type: LSUpdatePacket, RouterID: peerID}.Append(nil)
		pkt := Packet{Interface: "t", Src: mustAddr("10.254.0.2"), Dst: allSPFRouters(), Payload: Auth{}.Seal(LinkStateUpdate{all}.Append(raw), 0)}
		for _, o := range p.in.Step(p.now, pkt, nil) {
			if s, ok := o.(Send); ok && s.Interface == "u" {
				if u, ok := p.parse(s).body.(LinkStateUpdate); ok {
					for _, l := range u.LSAs {
						flooded = append(flooded, l.Header().Type.String())
						if string(l.Body()) != string(all[indexOf(types, l.Header().Type)].Body()) {
							t.Errorf("%v: body changed", l.Header().LSAKey)
						}
					}
				}
			}
		}
		for _, l := range all {
			if _, kept := p.header(l.Header().LSAKey); !kept {
				t.Errorf("%v is not kept", l.Header().LSAKey)
			}
		}
		want := "router network summary asbr-summary external nssa"
		if opaque {
			want = "router network summary asbr-summary external nssa opaque-10 opaque-11"
		}
		if got := strings.Join(flooded, " "); got != want {
			t.Errorf("opaque %t: flooded %v, want %v", opaque, got, want)
		}
	}
}

func indexOf(types []LSType, t LSType) int {
	for i := range types {
		if types[i] == t {
			return i
		}
	}
	return -1
}

// The database is bounded: what does not fit is told, acknowledged and not kept, and the adjacency is not disturbed.
func TestDatabaseIsBounded(t *testing.T) {
	t.Parallel()
	c := puppetConfig()
	c.MaxLSAs = 50
	p := newPuppetWith(t, peerID, c)
	p.full()
	for i := range 200 {
		p.flood(external(RouterID(i+1000), "203.0.113.0", 1, 1, ExternalLSA{Mask: 0xffffff00}))
	}
	p.wantState(Full)
	if n := p.in.Summary(p.now).LSAs; n != 50 {
		t.Errorf("%d LSAs, want 50", n)
	}
	p.wantCount("lsdb_full", 151)
	c.MaxLSABytes = 2000
	p = newPuppetWith(t, peerID, c)
	p.full()
	for i := range 30 {
		p.flood(NewLSA(LSAHeader{Age: 1, LSAKey: LSAKey{OpaqueASType, 1, RouterID(i + 1000)}, Sequence: 1}, make([]byte, 1000)))
	}
	if p.in.db.bytes > 2000 {
		t.Errorf("%d bytes", p.in.db.bytes)
	}
	// So is a description that never ends.
	p = newPuppetWith(t, peerID, c)
	p.exchange()
	for i := range 30 {
		var h []LSAHeader
		for j := range 60 {
			h = append(h, LSAHeader{LSAKey: LSAKey{ExternalLSAType, LinkStateID(i), RouterID(j + 1000)}, Sequence: 1})
		}
		p.dd++
		p.sendDD(FlagM|FlagMS, h...)
	}
	if n := p.in.Neighbors(p.now)[0].Request; n > 50 {
		t.Errorf("%d requests", n)
	}
}

// Link State Updates are paced: ScreenOS counts LSAs against floods (screenos-facts.md, 4).
func TestPacing(t *testing.T) {
	t.Parallel()
	p := newPuppet(t, peerID)
	p.full()
	for i := range 1000 {
		p.flood(external(RouterID(i+1000), "203.0.113.0", 1, 1, ExternalLSA{Mask: 0xffffff00, Metric: 1}))
	}
	p.run(2 * time.Second)
	p.take()
	// The neighbor asks for all of it at once: the answers leave in bursts.
	var q LinkStateRequest
	for i := range 1000 {
		q.LSAs = append(q.LSAs, LSAKey{ExternalLSAType, LinkStateID(number(mustAddr("203.0.113.0"))), RouterID(i + 1000)})
	}
	p.send(LSRequestPacket, q)
	if n := len(take[LinkStateUpdate](p)); n != floodBurst {
		t.Errorf("%d packets at once, want %d", n, floodBurst)
	}
	total := 0
	for range 10 {
		p.run(floodPause)
		for _, u := range take[LinkStateUpdate](p) {
			total += len(u.LSAs)
		}
	}
	if room := (1500 - 20 - 16 - 24 - 4) / 36; total != 1000-floodBurst*room {
		t.Errorf("%d more LSAs, want %d", total, 1000-floodBurst*room)
	}
}

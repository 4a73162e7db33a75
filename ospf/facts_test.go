package ospf

import (
	"testing"
	"time"
)

// The tests of this file hold rules towards old peers that no other test holds on its own. The list of all
// rules with their tests is docs/peers/openbsd.md and docs/peers/screenos.md.

// OB-7.4 (openbsd-facts.md, 7): ospfd drops LSAs of age 0. Nothing that we send has it: LSAs of our own, new,
// refreshed or asked for, and those of others that pass through us, even if they came with age 0; InfTransDelay is at least
// one second whatever the configuration says.
func TestNoLSAIsSentWithAgeZero(t *testing.T) {
	t.Parallel()
	c := puppetConfig()
	c.Interfaces[0].InfTransDelay = 0
	c.Interfaces = append(c.Interfaces, InterfaceConfig{Name: "u", Address: mustPrefix("10.254.1.1/30")})
	p := newPuppetWith(t, peerID, c)
	own, others := 0, 0
	check := func() {
		t.Helper()
		for _, u := range take[LinkStateUpdate](p) {
			for _, l := range u.LSAs {
				switch h := l.Header(); {
				case h.Age&^doNotAge == 0:
					t.Errorf("%v left with age 0", h.LSAKey)
				case h.AdvRouter == ownID:
					own++
				default:
					others++
				}
			}
			p.ackAll(u)
		}
	}
	p.exchange()
	p.dd++
	p.sendDD(FlagMS)
	p.wantState(Full)
	p.run(2 * time.Second) // our LSA, for the new adjacency
	check()
	p.send(LSRequestPacket, LinkStateRequest{[]LSAKey{ownKey()}})
	check()
	c.Interfaces[1].Cost = 77
	p.step(Configure{c})
	p.run(6 * time.Second) // a change
	check()

	// An LSA of age 0 comes in from a neighbor on u.
	feed := func(pt PacketType, b body) {
		raw := Header{Version: version, Type: pt, RouterID: lowID}.Append(nil)
		pkt := Packet{Interface: "u", Src: mustAddr("10.254.1.2"), Dst: allSPFRouters(), Payload: Auth{}.Seal(b.Append(raw), 0)}
		for _, o := range p.in.Step(p.now, pkt, nil) {
			s, ok := o.(Send)
			if !ok {
				continue
			}
			r := p.parse(s)
			if d, ok := r.body.(DatabaseDescription); ok && s.Interface == "u" {
				p.dd = d.Sequence
			}
			if s.Interface == "t" {
				p.sent = append(p.sent, r)
			}
		}
	}
	feed(HelloPacket, Hello{HelloInterval: 10, RouterDeadInterval: 40, Options: OptionE, Neighbors: []RouterID{ownID}})
	feed(DatabaseDescriptionPacket, DatabaseDescription{Options: OptionE, Flags: FlagM, Sequence: p.dd})
	feed(DatabaseDescriptionPacket, DatabaseDescription{Options: OptionE, Sequence: p.dd})
	feed(LSUpdatePacket, LinkStateUpdate{[]LSA{external(lowID, "203.0.113.0", 1, 0, ExternalLSA{Mask: 0xffffff00, Metric: 1})}})
	check()

	for range 4 { // the refresh
		p.run(8 * time.Minute)
		p.hello(ownID)
		check()
		p.wantStateOrStart()
	}
	if own < 3 || others < 1 {
		t.Errorf("%d LSAs of our own and %d of others were looked at: the test shows nothing", own, others)
	}
}

// wantStateOrStart brings a neighbor that was silent for too long back to Full.
func (p *puppet) wantStateOrStart() {
	p.t.Helper()
	if p.state() != Full {
		p.exchange()
		p.dd++
		p.sendDD(FlagMS)
		p.wantState(Full)
	}
}

// OB-7.2 (openbsd-facts.md, 7): the MTU in Database Descriptions is what the peer wants to read, and has nothing to
// do with the size of our packets, which fit the tunnel.
func TestDDMTUIsNotThePacketSize(t *testing.T) {
	t.Parallel()
	const tunnel, told = 1422, 1476
	c := puppetConfig()
	c.Interfaces[0].MTU, c.Interfaces[0].DDMTU = tunnel, told
	p := newPuppetWith(t, peerID, c)
	p.full()
	var theirs []LSA
	for i := range 200 { // a database that takes several packets
		theirs = append(theirs, external(RouterID(1000+i), "203.0.113.0", 1, 1, ExternalLSA{Mask: 0xffffff00, Metric: 1}))
	}
	for len(theirs) > 0 {
		p.flood(theirs[:20]...)
		theirs = theirs[20:]
	}
	p.hello() // it has started afresh
	p.take()
	p.twoWay()
	p.dd = 1000
	p.sendDD(FlagI | FlagM | FlagMS)
	largest, headers := 0, 0
	for range 10 {
		for _, r := range p.take() {
			d, ok := r.body.(DatabaseDescription)
			if !ok {
				continue
			}
			if d.MTU != told {
				t.Errorf("the description says an MTU of %d, want %d", d.MTU, told)
			}
			largest, headers = max(largest, 20+int(r.h.Length)), headers+len(d.Headers)
		}
		p.dd++
		p.sendDD(FlagM | FlagMS)
	}
	if largest > tunnel || largest < tunnel-LSAHeaderSize-digestSize {
		t.Errorf("the largest IP packet has %d bytes, want it full and at most %d", largest, tunnel)
	}
	if headers < 200 {
		t.Errorf("%d headers described, want 200 and more", headers)
	}
}

// SC-4.4 (screenos-facts.md, 4): a peer that asks for a demand circuit (RFC 1793) does not get one: we do not set the DC
// bit, our Hellos go on, and its silence ends the adjacency as ever.
func TestNoDemandCircuit(t *testing.T) {
	t.Parallel()
	p := newPuppet(t, peerID)
	hello := Hello{HelloInterval: 10, RouterDeadInterval: 40, Options: OptionE | OptionDC, Priority: 1, Neighbors: []RouterID{ownID}}
	p.send(HelloPacket, hello)
	p.dd = 100
	dd := func(flags DDFlags) {
		p.send(DatabaseDescriptionPacket, DatabaseDescription{MTU: 1500, Options: OptionE | OptionDC, Flags: flags, Sequence: p.dd})
	}
	dd(FlagI | FlagM | FlagMS)
	p.dd++
	dd(FlagMS)
	p.wantState(Full)
	p.take()
	p.run(39 * time.Second)
	p.wantState(Full)
	hellos := 0
	for _, r := range p.take() {
		switch b := r.body.(type) {
		case Hello:
			hellos++
			if b.Options&OptionDC != 0 {
				t.Error("our Hello has the DC bit")
			}
		case LinkStateUpdate:
			for _, l := range b.LSAs {
				if h := l.Header(); h.AdvRouter == ownID && (h.Options&OptionDC != 0 || h.Age&doNotAge != 0) {
					t.Errorf("our LSA says DC or DoNotAge: %v", h)
				}
			}
		}
	}
	if hellos < 3 {
		t.Errorf("%d Hellos in 39 s to a neighbor that wants none, want 3", hellos)
	}
	p.run(2 * time.Second)
	p.wantState(Down)
}

// SC-4.5 (screenos-facts.md, 4): ScreenOS guards itself against floods of Hellos. Ours leave every HelloInterval, and however often
// the neighbor sends, only news bring one forward.
func TestHellosAreSteady(t *testing.T) {
	t.Parallel()
	p := newPuppet(t, peerID)
	p.full()
	var at []time.Time
	for range 1200 { // ten Hellos of the neighbor a second, for two minutes
		p.hello(ownID)
		for _, h := range take[Hello](p) {
			if len(h.Neighbors) != 1 || h.Neighbors[0] != peerID {
				t.Errorf("a Hello with the neighbors %v", h.Neighbors)
			}
			at = append(at, p.now)
		}
		p.run(100 * time.Millisecond)
	}
	if len(at) < 11 || len(at) > 13 {
		t.Fatalf("%d Hellos in two minutes, want 12", len(at))
	}
	for i := 1; i < len(at); i++ {
		if gap := at[i].Sub(at[i-1]); gap < 9900*time.Millisecond || gap > 10100*time.Millisecond {
			t.Errorf("%s between two Hellos, want 10 s", gap)
		}
	}
}

package ospf

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// A puppet is a neighbor led by a test, packet by packet, of an instance with router id ownID and one
// interface "t"; it has no state beyond what the tests do.
type puppet struct {
	t    testing.TB
	in   *Instance
	now  time.Time
	id   RouterID
	auth Auth
	seq  uint32
	sent []received // by the instance, since take
	told []Output   // other outputs
	dd   uint32
}

type received struct {
	h    Header
	dst  netip.Addr
	body any
}

const (
	ownID  RouterID = 0x0a0000_05
	peerID RouterID = 0x0a0000_09 // the master
	lowID  RouterID = 0x0a0000_01 // the slave
)

func puppetConfig() Config {
	return Config{RouterID: ownID, Interfaces: []InterfaceConfig{
		{Name: "t", Address: netip.MustParsePrefix("10.254.0.1/30"), DDMTU: 1500},
		{Name: "lan", Passive: true, Address: netip.MustParsePrefix("10.1.0.1/16"), Cost: 1},
	}}
}

func newPuppet(t testing.TB, id RouterID) *puppet { return newPuppetWith(t, id, puppetConfig()) }

func newPuppetWith(t testing.TB, id RouterID, c Config) *puppet {
	p := &puppet{t: t, in: New(), now: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), id: id, auth: c.Interfaces[0].Auth}
	p.step(Configure{c})
	for _, f := range c.Interfaces {
		p.step(InterfaceUp{f.Name})
	}
	return p
}

func (p *puppet) step(i Input) {
	for _, o := range p.in.Step(p.now, i, nil) {
		send, ok := o.(Send)
		if !ok {
			p.told = append(p.told, o)
			continue
		}
		if send.Interface == "t" {
			p.sent = append(p.sent, p.parse(send))
		}
	}
}

func (p *puppet) parse(s Send) received {
	h, b, trailer, err := ParsePacket(s.Payload)
	if err != nil {
		p.t.Fatalf("the instance sent %x: %v", s.Payload, err)
	}
	if _, refused := p.auth.verify("sent", h, s.Payload[:h.Length], trailer); refused != nil {
		p.t.Fatal(refused.err)
	}
	body, err := parseAndCheck(h, b, s.Dst)
	if err != nil {
		p.t.Fatalf("the instance sent %v: %x: %v", h.Type, b, err)
	}
	return received{h, s.Dst, body}
}

// parseAndCheck holds every packet of every test against what OpenBSD's ospfd refuses (openbsd-facts.md, 7) and ScreenOS does
// with demand circuits (screenos-facts.md, 4): all goes to 224.0.0.5, no age is 0, no router-LSA is without links unless it is
// being flushed, and neither the DC bit nor the O bit is ever set.
func parseAndCheck(h Header, b []byte, dst netip.Addr) (body, error) {
	if dst != allSPFRouters() {
		return nil, fmt.Errorf("sent to %v", dst)
	}
	options := OptionE
	headers := []LSAHeader{}
	var p body
	var err error
	switch h.Type {
	case HelloPacket:
		var hello Hello
		hello, err = ParseHello(b)
		p, options = hello, hello.Options
	case DatabaseDescriptionPacket:
		var d DatabaseDescription
		d, err = ParseDatabaseDescription(b)
		p, options, headers = d, d.Options, d.Headers
	case LSRequestPacket:
		p, err = ParseLinkStateRequest(b)
	case LSUpdatePacket:
		var u LinkStateUpdate
		u, err = ParseLinkStateUpdate(b)
		for _, l := range u.LSAs {
			headers = append(headers, l.Header())
			if l.Header().Type == RouterLSAType && l.Header().AdvRouter == h.RouterID && l.Header().age() < MaxAge {
				if r, err := ParseRouterLSA(l.Body()); err != nil || len(r.Links) == 0 {
					return nil, fmt.Errorf("router-LSA with %d links: %w", len(r.Links), err)
				}
			}
		}
		p = u
	case LSAckPacket:
		var a LinkStateAck
		a, err = ParseLinkStateAck(b)
		p, headers = a, a.Headers
	}
	if err != nil {
		return nil, err
	}
	for _, l := range headers {
		if l.Age == 0 {
			return nil, fmt.Errorf("%v has age 0", l.LSAKey)
		}
	}
	if options != OptionE {
		return nil, fmt.Errorf("options %#02x", uint8(options))
	}
	return p, nil
}

// run lets d pass, with a Tick at each deadline.
func (p *puppet) run(d time.Duration) {
	end := p.now.Add(d)
	for at := p.in.Deadline(); !at.IsZero() && !at.After(end); at = p.in.Deadline() {
		if at.Before(p.now) {
			p.t.Fatalf("deadline %v lies before %v", at, p.now)
		}
		p.now = at
		p.step(Tick{})
	}
	p.now = end
}

func (p *puppet) sendRaw(t PacketType, body []byte) {
	p.seq++
	b := Header{Version: version, Type: t, RouterID: p.id}.Append(nil)
	p.step(Packet{Interface: "t", Src: netip.MustParseAddr("10.254.0.2"), Dst: allSPFRouters(), Payload: p.auth.Seal(append(b, body...), p.seq)})
}

func (p *puppet) send(t PacketType, b body) { p.sendRaw(t, b.Append(nil)) }

func (p *puppet) hello(neighbors ...RouterID) {
	p.send(HelloPacket, Hello{HelloInterval: 10, RouterDeadInterval: 40, Options: OptionE, Priority: 1, Neighbors: neighbors})
}

// alive lets d pass as a live neighbor does: with a Hello every 10 s, and what is sent acknowledged.
func (p *puppet) alive(d time.Duration) {
	for end := p.now.Add(d); p.now.Before(end); {
		p.run(min(end.Sub(p.now), 10*time.Second))
		p.hello(ownID)
		for _, u := range take[LinkStateUpdate](p) {
			p.ackAll(u)
		}
	}
}

func (p *puppet) twoWay() { p.hello(ownID) }

func (p *puppet) sendDD(flags DDFlags, headers ...LSAHeader) {
	p.send(DatabaseDescriptionPacket, DatabaseDescription{MTU: 1500, Options: OptionE | p.opaque(), Flags: flags, Sequence: p.dd, Headers: headers})
}

func (p *puppet) opaque() Options { return 0 }

// full brings the instance to Full, describing no LSA; the puppet has the higher router id.
func (p *puppet) full() {
	p.exchange()
	p.dd++
	p.sendDD(FlagMS)
	p.wantState(Full)
	p.run(2 * time.Second)
	for _, u := range take[LinkStateUpdate](p) {
		p.ackAll(u)
	}
	p.take()
}

// exchange brings the instance to Exchange, as the slave, and has it describe all it has.
func (p *puppet) exchange(headers ...LSAHeader) {
	p.twoWay()
	p.dd = 100
	p.sendDD(FlagI | FlagM | FlagMS)
	p.wantState(Exchange)
	p.dd++
	p.sendDD(FlagM|FlagMS, headers...)
}

func (p *puppet) ackAll(u LinkStateUpdate) {
	var a LinkStateAck
	for _, l := range u.LSAs {
		a.Headers = append(a.Headers, l.Header())
	}
	p.send(LSAckPacket, a)
}

// flood sends LSAs in an update.
func (p *puppet) flood(lsas ...LSA) { p.send(LSUpdatePacket, LinkStateUpdate{lsas}) }

// take returns and forgets what the instance has sent.
func (p *puppet) take() []received {
	sent := p.sent
	p.sent = nil
	return sent
}

// take returns the bodies of one type, and forgets all.
func take[T any](p *puppet) []T {
	var list []T
	for _, r := range p.take() {
		if b, ok := r.body.(T); ok {
			list = append(list, b)
		}
	}
	return list
}

func (p *puppet) state() NeighborState {
	for _, n := range p.in.Neighbors(p.now) {
		if n.ID == p.id {
			return n.State
		}
	}
	return Down
}

func (p *puppet) wantState(want NeighborState) {
	p.t.Helper()
	if got := p.state(); got != want {
		p.t.Fatalf("the neighbor is %v, want %v; counters %v", got, want, p.in.Counters())
	}
}

func (p *puppet) wantCount(name string, want uint64) {
	p.t.Helper()
	if got := p.in.Counters()[name]; got != want {
		p.t.Errorf("counter %s is %d, want %d", name, got, want)
	}
}

// header finds an LSA in the database.
func (p *puppet) header(k LSAKey) (LSAHeader, bool) {
	e := p.in.db.get(k)
	if e == nil {
		return LSAHeader{}, false
	}
	return e.header(p.now), true
}

func (p *puppet) wantSequence(k LSAKey, want Sequence) {
	p.t.Helper()
	if h, ok := p.header(k); !ok || h.Sequence != want {
		p.t.Errorf("%v has sequence %#x, present %t, want %#x", k, h.Sequence, ok, want)
	}
}

// theirs is a router-LSA of the puppet.
func (p *puppet) theirs(seq Sequence, age uint16, links ...RouterLink) LSA {
	return NewLSA(LSAHeader{Age: age, Options: OptionE, LSAKey: LSAKey{RouterLSAType, LinkStateID(p.id), p.id}, Sequence: seq}, RouterLSA{Links: links}.Append(nil))
}

func linkTo(id RouterID, data string, cost uint16) RouterLink {
	return RouterLink{uint32(id), number(netip.MustParseAddr(data)), PointToPointLink, cost}
}

func external(adv RouterID, network string, seq Sequence, age uint16, l ExternalLSA) LSA {
	return NewLSA(LSAHeader{Age: age, Options: OptionE, LSAKey: LSAKey{ExternalLSAType, LinkStateID(number(netip.MustParseAddr(network))), adv}, Sequence: seq}, l.Append(nil))
}

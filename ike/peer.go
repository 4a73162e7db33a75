package ike

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"meshrouter/ike/isakmp"
)

const tunnelMode = isakmp.Tunnel

// noAddr is the address of an event that has none.
var noAddr netip.AddrPort //nolint:gochecknoglobals // the zero value by a name

// The ports of IKE.
const (
	portIKE  = 500
	portNATT = 4500
)

// Patience and pauses.
const (
	patienceFirst   = 150 * time.Second // for message 2: isakmpd may be deaf for 120 s after its last main mode
	patience        = 60 * time.Second  // for every other answer
	responderLife   = 160 * time.Second // of a half-open responder exchange: longer than the initiator's patience; ScreenOS repeats for 48 s
	lingering       = 90 * time.Second  // a finished exchange answers repeated messages so long
	standbyDelay    = 15 * time.Second  // InitiateStandby leaves the peer so much time
	responderDelay  = 5 * time.Second   // who answered main mode leaves quick mode to who began it
	afterDelete     = 2 * time.Second   // pause after a DELETE, which is followed by more when the peer shuts down
	refusedPause    = 5 * time.Second   // pause after a refusal; doubles up to refusedPauseMax
	refusedPauseMax = 60 * time.Second
	crossingTime    = 3 * time.Second // so long our main mode wins over the peer's
	dyingTime       = 30 * time.Second
	rumourPause     = 5 * time.Second // unauthenticated messages change the reason in the peer's state no faster
)

// A peer is one configured peer with all that was negotiated with it.
type peer struct {
	e   *Engine
	cfg PeerConfig

	sas    []*isakmpSA  // oldest first: half-open, established, dying
	quicks []*quickMode // under way or lingering
	pairs  []*childPair // ESP SAs, oldest first
	out    *childPair   // the pair whose outbound SA is in use; nil: none

	acquired  bool      // traffic waits
	stopped   bool      // after Terminate: do not begin anew
	contacted bool      // INITIAL-CONTACT was sent, or SAs were restored
	downSince time.Time // since when there is no outbound SA
	mainAt    time.Time // no main mode of ours before
	quickAt   time.Time // no quick mode of ours before
	refused   int       // refusals in a row
	heard     time.Time // when the peer last sent something authentic
	dpd       dpdState
	keepalive time.Time // when the next NAT keepalive is due; zero: none
	nhtb      netip.Addr

	told    bool
	state   PeerState
	reason  string
	trouble string // what the operator has to know, until the peer is up

	troubleAt time.Time

	unsaved  bool   // something of the blob has changed
	lastBlob []byte // what was saved last
	gone     bool   // no longer configured
	index    int    // in the heap
	deadline time.Time
}

func newPeer(s *step, cfg PeerConfig) *peer {
	p := &peer{e: s.e, cfg: cfg, downSince: s.now}
	// Restored peers shall not begin with main mode, and a thousand of them not in one instant.
	p.mainAt = s.now.Add(s.e.jitter(10*time.Millisecond, 250*time.Millisecond))
	return p
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// current is the ISAKMP SA for new exchanges: the newest established one.
func (p *peer) current() *isakmpSA {
	for _, sa := range slices.Backward(p.sas) {
		if sa.established && !sa.dying {
			return sa
		}
	}
	return nil
}

// initiating is our own main mode under way, or nil.
func (p *peer) initiating() *isakmpSA {
	i := slices.IndexFunc(p.sas, func(sa *isakmpSA) bool { return sa.initiator && !sa.established })
	if i < 0 {
		return nil
	}
	return p.sas[i]
}

// quickInitiating is our own quick mode under way, or nil; it is until its outbound SA is in use.
func (p *peer) quickInitiating() *quickMode {
	i := slices.IndexFunc(p.quicks, func(q *quickMode) bool { return q.initiator && (q.active() || q.waiting()) })
	if i < 0 {
		return nil
	}
	return p.quicks[i]
}

// childWanted is when we have to begin a quick mode; ok is false for never.
func (p *peer) childWanted() (at time.Time, ok bool) {
	if p.stopped || p.cfg.Initiate == InitiateNever || p.quickInitiating() != nil {
		return at, false
	}
	switch {
	case p.out != nil:
		if at = p.out.rekeyAt; at.IsZero() {
			return at, false
		}
	case p.cfg.Initiate == InitiateStandby && !p.acquired:
		at = p.downSince.Add(standbyDelay)
	default:
		at = p.downSince
	}
	return later(at, p.quickAt), true
}

// isakmpWanted is when we have to begin a main mode.
func (p *peer) isakmpWanted() (at time.Time, ok bool) {
	if p.stopped || p.cfg.Initiate == InitiateNever || p.initiating() != nil {
		return at, false
	}
	current := p.current()
	if current != nil {
		return later(current.rekeyAt, p.mainAt), !current.rekeyAt.IsZero()
	}
	at, ok = p.childWanted()
	if p.out != nil && p.cfg.Initiate == InitiateAlways {
		at, ok = p.mainAt, true // for liveness and deletes
	}
	return later(at, p.mainAt), ok
}

// pursue begins what is due.
func (p *peer) pursue(s *step) {
	if at, ok := p.isakmpWanted(); ok && !at.After(s.now) {
		p.beginMainMode(s)
	}
	if at, ok := p.childWanted(); ok && !at.After(s.now) && p.current() != nil {
		p.beginQuickMode(s, p.current())
	}
}

// next is when the peer has to be looked at again.
func (p *peer) next(now time.Time) time.Time {
	var d deadline
	if at, ok := p.isakmpWanted(); ok {
		d.by(at)
	}
	if at, ok := p.childWanted(); ok && p.current() != nil {
		d.by(at)
	}
	for _, sa := range p.sas {
		sa.next(&d)
	}
	for _, q := range p.quicks {
		q.next(&d)
	}
	for _, c := range p.pairs {
		d.by(c.in.Hard)
	}
	d.by(p.dpdDue())
	d.by(p.keepalive)
	if !d.at.IsZero() && !d.at.After(now) { // a mistake of ours must not become a busy loop; tests see the counter
		p.e.counters[eventOverdue]++
		return now.Add(time.Second)
	}
	return d.at
}

// tick does what has become due.
func (p *peer) tick(s *step) {
	for _, q := range slices.Clone(p.quicks) {
		q.tick(s)
	}
	for _, sa := range slices.Clone(p.sas) {
		sa.tick(s)
	}
	for _, c := range slices.Clone(p.pairs) {
		if !c.in.Hard.After(s.now) {
			s.event(p, noAddr, EventExpired, Info, "ESP SA pair 0x%08x/0x%08x has reached the end of its lifetime", c.in.SPI, c.outSA.SPI)
			p.deletePair(s, c, "expired")
		}
	}
	p.probe(s)
	if !p.keepalive.IsZero() && !p.keepalive.After(s.now) {
		p.sendKeepalive(s)
	}
}

// tell says what has become of the peer.
func (p *peer) tell(s *step) {
	state, reason := p.describe()
	if p.told && state == p.state && (reason == p.reason || p.trouble == "" && state == PeerNegotiating) {
		p.reason = reason // how far a negotiation is, is no news
		return
	}
	p.told, p.state, p.reason = true, state, reason
	s.emit(PeerChanged{Peer: p.cfg.ID, State: state, Reason: reason})
}

func (p *peer) describe() (PeerState, string) {
	if p.out != nil {
		return PeerUp, "ESP " + p.out.transform().String() + " in use"
	}
	busy := ""
	switch {
	case slices.ContainsFunc(p.quicks, func(q *quickMode) bool { return q.active() }):
		busy = "quick mode is under way"
	case p.initiating() != nil:
		busy = "main mode is under way"
	case slices.ContainsFunc(p.sas, func(sa *isakmpSA) bool { return !sa.established && sa.main.expect > 3 }):
		busy = "the peer's main mode is under way"
	case p.current() != nil:
		busy = "there is an ISAKMP SA but no ESP SA"
	}
	switch {
	case p.trouble != "" && busy != "":
		return PeerNegotiating, p.trouble
	case p.trouble != "":
		return PeerDown, p.trouble
	case busy != "":
		return PeerNegotiating, busy
	case p.stopped:
		return PeerDown, "terminated by the operator"
	case p.cfg.Initiate == InitiateNever:
		return PeerDown, "waiting for the peer, which has to begin (passive)"
	default:
		return PeerDown, "no SA"
	}
}

// send sends a message to the peer.
func (s *step) send(local, remote netip.AddrPort, message []byte) {
	s.emit(Send{Local: local, Remote: remote, Payload: message})
}

// pause is how long we leave a peer alone that refused us.
func (p *peer) pause() time.Duration {
	d := refusedPause << min(p.refused, 4)
	p.refused++
	return min(d, refusedPauseMax) + p.e.jitter(0, time.Second)
}

// traffic takes what the data plane counted.
func (p *peer) traffic(s *step, in Traffic) {
	i := slices.IndexFunc(p.pairs, func(c *childPair) bool {
		return in.Inbound && c.in.SPI == in.SPI || !in.Inbound && c.outSA.SPI == in.SPI
	})
	if i < 0 {
		return
	}
	c := p.pairs[i]
	s.touch(p)
	bytes := &c.bytesOut
	if in.Inbound {
		bytes = &c.bytesIn
		if in.Bytes > *bytes {
			p.alive(s.now)
		}
		if in.Bytes > 0 && !c.confirmed { // only who has the keys can have sent it: message 3 was lost
			p.confirm(s, c)
		}
	}
	before := *bytes
	if before == 0 { // after a restart it carried them at an unknown rate
		before = in.Bytes
	}
	*bytes = max(in.Bytes, *bytes)
	c.volume(s, *bytes, *bytes-min(before, *bytes))
}

// alive notes when the peer last sent something authentic.
func (p *peer) alive(at time.Time) {
	p.heard = later(p.heard, at)
	p.dpd.answered()
}

// terminate ends everything with the peer, telling it so.
func (p *peer) terminate(s *step, reason string) {
	p.removePairs(s, reason, true, func(*childPair) bool { return true })
	for _, sa := range slices.Clone(p.sas) {
		if sa.established && !sa.dying {
			sa.sendDelete(s, isakmp.ProtocolISAKMP, sa.cookieBytes())
		}
		sa.remove(s)
	}
	p.trouble, p.acquired, p.refused = "", false, 0
	p.unsaved = true
	if p.told && p.state != PeerDown {
		p.state, p.reason = PeerDown, reason
		s.emit(PeerChanged{Peer: p.cfg.ID, State: PeerDown, Reason: reason})
	}
	p.save(s)
	s.touch(p)
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// A deadline is the earliest of several times.
type deadline struct{ at time.Time }

func (d *deadline) by(t time.Time) {
	if !t.IsZero() && (d.at.IsZero() || t.Before(d.at)) {
		d.at = t
	}
}

// Status is what is known of every peer, by ID.
func (e *Engine) Status(now time.Time) []PeerStatus {
	all := make([]PeerStatus, 0, len(e.peers))
	for _, p := range e.peers {
		st := PeerStatus{
			ID: p.cfg.ID, State: p.state, Reason: p.reason, NHTB: p.nhtb, NAT: "none",
			Local: netip.AddrPortFrom(p.cfg.Local, portIKE), Remote: netip.AddrPortFrom(p.cfg.Remote, portIKE),
		}
		if sa := p.current(); sa != nil && sa.hard.After(now) {
			st.Local, st.Remote, st.NAT = sa.local, sa.remote, sa.nat.String()
			st.InitiatorCookie, st.ResponderCookie, st.Initiator = sa.cookieI, sa.cookieR, sa.initiator
			st.Phase1, st.Phase1Expires, st.Established = sa.suite, sa.hard, sa.since
		}
		for _, c := range p.pairs {
			if c.outSA.SPI != 0 && c == p.out {
				st.SAs = append(st.SAs, c.outSA.withoutKeys())
			}
			st.SAs = append(st.SAs, c.in.withoutKeys())
		}
		all = append(all, st)
	}
	return all
}

func (sa ChildSA) withoutKeys() ChildSA {
	sa.EncKey, sa.AuthKey = nil, nil
	return sa
}

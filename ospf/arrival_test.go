package ospf

import (
	"testing"
	"time"
)

// A refuser acknowledges router-LSAs like a peer that drops, without a word, what comes early.
type refuser struct {
	name  string
	early func(changed, now time.Time) bool
}

// refusers are the ways in which RFC 2328, 13 (5)(a) has been written. None of them cares how the predecessor came.
var refusers = []refuser{
	{"FRR", func(changed, now time.Time) bool { return now.Sub(changed) < time.Second }},
	{"ospfd", func(changed, now time.Time) bool { return changed.Unix()+1 >= now.Unix() }},
}

// play lets d pass and calls took for each instance of our router-LSA that the peer takes.
func (r refuser) play(p *puppet, d time.Duration, changed *time.Time, have *Sequence, took func(Sequence)) (refused int) {
	const step = 10 * time.Millisecond
	for i := range d / step {
		p.run(step)
		if i%500 == 0 {
			p.hello(ownID)
		}
		for _, u := range take[LinkStateUpdate](p) {
			for _, l := range u.LSAs {
				h := l.Header()
				switch {
				case h.LSAKey != ownKey():
				case h.Sequence > *have && r.early(*changed, p.now):
					refused++
					continue
				case h.Sequence > *have:
					*changed, *have = p.now, h.Sequence
					took(h.Sequence)
				}
				p.send(LSAckPacket, LinkStateAck{[]LSAHeader{h}})
			}
		}
	}
	return refused
}

// TestPeersThatRefuseEarlyInstances: the LSA that makes a new adjacency carry traffic follows the one that the peer has
// just asked for. Peers that refuse it get it again as soon as they take it, and not after RxmtInterval.
func TestPeersThatRefuseEarlyInstances(t *testing.T) {
	t.Parallel()
	for _, r := range refusers {
		for offset := range 10 { // of the peer's whole seconds
			p := newPuppet(t, peerID)
			p.run(time.Duration(offset)*100*time.Millisecond + 50*time.Millisecond) // our first LSA has to be there
			p.exchange()
			p.dd++
			p.send(LSRequestPacket, LinkStateRequest{[]LSAKey{ownKey()}})
			changed, have := p.now, InitialSequenceNumber
			p.take()
			p.sendDD(FlagMS)
			p.wantState(Full)
			start := p.now
			var at time.Duration
			r.play(p, 10*time.Second, &changed, &have, func(Sequence) { at = p.now.Sub(start) })
			if have != InitialSequenceNumber+1 || at > 2300*time.Millisecond {
				t.Errorf("%s, offset %d: sequence %#x came after %v", r.name, offset, have, at)
			}
		}
	}
}

// TestInstancesKeepTheirDistance: of ten changes within two seconds a peer that counts MinLSArrival exactly, on a way that
// takes 50 ms or none, refuses nothing.
func TestInstancesKeepTheirDistance(t *testing.T) {
	t.Parallel()
	c := puppetConfig()
	p := newPuppetWith(t, peerID, c)
	p.full()
	p.alive(time.Minute)
	slow := false
	exact := refuser{"exact", func(changed, now time.Time) bool {
		slow = !slow
		if slow {
			now = now.Add(-50 * time.Millisecond)
		}
		return now.Sub(changed) < time.Second
	}}
	changed, have, count := p.now.Add(-time.Minute), reservedSequence, 0
	for i := range 10 {
		c.Interfaces[1].Cost = Metric(100 + i)
		p.step(Configure{c})
		if n := exact.play(p, 200*time.Millisecond, &changed, &have, func(Sequence) { count++ }); n > 0 {
			t.Errorf("%d instances came too early", n)
		}
	}
	if n := exact.play(p, 20*time.Second, &changed, &have, func(Sequence) { count++ }); n > 0 || count != 3 {
		t.Errorf("%d instances came too early, %d were taken, want 3", n, count)
	}
}

package ospf

import (
	"fmt"
	"testing"
	"time"
)

// TestMasterBeginsAnew: the master's first Database Description makes the slave begin anew (10.6), and is taken for what it is
// at once: the slave need not hear it a second time, a RxmtInterval later.
func TestMasterBeginsAnew(t *testing.T) {
	t.Parallel()
	for _, state := range []NeighborState{Exchange, Full} {
		p := newPuppet(t, peerID)
		p.exchange()
		if state == Full {
			p.dd++
			p.sendDD(FlagMS)
		}
		p.wantState(state)
		p.take()
		p.dd = 5000
		p.sendDD(FlagI | FlagM | FlagMS)
		p.wantState(Exchange)
		sent := take[DatabaseDescription](p)
		if last := sent[len(sent)-1]; last.Sequence != 5000 || last.Flags&(FlagI|FlagMS) != 0 {
			t.Errorf("in %v: answered by %+v", state, sent)
		}
		p.dd++
		p.sendDD(FlagMS)
		p.wantState(Full)
	}
}

// TestHeaderDescribedTwice: an LSA that is described again while it is asked for does not hold up the requests after it.
func TestHeaderDescribedTwice(t *testing.T) {
	t.Parallel()
	p := newPuppet(t, peerID)
	one := external(77, "203.0.113.0", 1, 1, ExternalLSA{Mask: 0xffffff00, Metric: 1})
	two := external(77, "198.51.100.0", 1, 1, ExternalLSA{Mask: 0xffffff00, Metric: 1})
	p.exchange(one.Header())
	p.dd++
	p.sendDD(FlagM|FlagMS, one.Header(), two.Header())
	p.take()
	p.flood(one)
	q := take[LinkStateRequest](p)
	if len(q) != 1 || len(q[0].LSAs) != 1 || q[0].LSAs[0] != two.Header().LSAKey {
		t.Errorf("asked for %v, want the second LSA at once", q)
	}
}

// TestListsAreGivenBack: what a large exchange took is free again when it is over, on every one of a thousand neighbors.
func TestListsAreGivenBack(t *testing.T) {
	t.Parallel()
	p := newPuppet(t, peerID)
	p.run(time.Second)
	var lsas []LSA
	var headers []LSAHeader
	for i := range 60 {
		l := external(77, fmt.Sprintf("203.0.%d.0", i), 1, 1, ExternalLSA{Mask: 0xffffff00, Metric: 1})
		lsas, headers = append(lsas, l), append(headers, l.Header())
	}
	p.exchange(headers...)
	p.flood(lsas...)
	p.dd++
	p.sendDD(FlagMS)
	p.wantState(Full)
	n, _ := p.in.byName["t"].neighbor(peerID)
	if n.summary != nil || n.requests.at != nil {
		t.Errorf("the Database summary list is still there: %t; the request list: %t", n.summary != nil, n.requests.at != nil)
	}
}

// TestOlderThanWhatWasJustIssued: step (8) asks when the database copy was sent, not when its predecessor was.
func TestOlderThanWhatWasJustIssued(t *testing.T) {
	t.Parallel()
	p := newPuppet(t, peerID)
	p.full()
	p.alive(time.Minute)
	e := p.in.db.get(ownKey())
	old := LSA(append([]byte(nil), e.lsa...))
	e.lastSent = p.now
	s := &step{in: p.in, now: p.now}
	body, _ := parseBody(RouterLSAType, old.Body())
	s.install(NewLSA(LSAHeader{Options: ourOptions, LSAKey: ownKey(), Sequence: old.Header().Sequence + 1}, old.Body()), body)
	p.take()
	p.flood(old)
	if u := take[LinkStateUpdate](p); len(u) != 1 {
		t.Errorf("answered by %v", u)
	}
}

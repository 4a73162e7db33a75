package ospf

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// TestAuthTypeChangesInPlace: when both ends go from MD5 to no authentication, or back, the adjacency stays: the sequence
// numbers of D.5.3 mean nothing where there are none.
func TestAuthTypeChangesInPlace(t *testing.T) {
	t.Parallel()
	c := puppetConfig()
	md5 := Auth{CryptographicAuth, []Key{{1, []byte("k")}}}
	c.Interfaces[0].Auth = md5
	p := newPuppetWith(t, peerID, c)
	p.seq = 1000
	p.full()
	for _, a := range []Auth{{}, md5, {SimplePassword, []Key{{0, []byte("p")}}}, md5} {
		c.Interfaces[0].Auth = a
		p.step(Configure{c})
		p.take()
		p.auth = a
		p.alive(2 * time.Minute)
		p.wantState(Full)
	}
	p.wantCount("auth_sequence_old", 0)
}

// TestReconfigureInOrder: Hellos that a new configuration brings forward leave in the order of the interfaces' names.
func TestReconfigureInOrder(t *testing.T) {
	t.Parallel()
	c := Config{RouterID: ownID}
	for i := range 50 {
		c.Interfaces = append(c.Interfaces, InterfaceConfig{Name: fmt.Sprintf("t%02d", i), Address: netip.PrefixFrom(addr(0x0a000001+4*uint32(i)), 30)})
	}
	now := mustTime("2025-01-01T00:00:00Z")
	in := New()
	in.Step(now, Configure{c}, nil)
	for _, f := range c.Interfaces {
		in.Step(now, InterfaceUp{f.Name}, nil)
	}
	in.Step(now.Add(time.Second), Tick{}, nil)
	for i := range c.Interfaces {
		c.Interfaces[i].HelloInterval = 2 * time.Second
	}
	c.Interfaces = slices.Clone(c.Interfaces)
	slices.Reverse(c.Interfaces)
	out := in.Step(now.Add(time.Second), Configure{c}, nil)
	out = in.Step(now.Add(3*time.Second), Tick{}, out[:0])
	var names []string
	for _, o := range out {
		if s, ok := o.(Send); ok {
			names = append(names, s.Interface)
		}
	}
	if len(names) != 50 || !slices.IsSorted(names) {
		t.Errorf("Hellos on %v", names)
	}
}

// TestSmallerMTU: acknowledgments collected for packets of the old size leave in packets of the new one.
func TestSmallerMTU(t *testing.T) {
	t.Parallel()
	c := puppetConfig()
	p := newPuppet(t, peerID)
	p.full()
	for i := range 40 {
		p.flood(external(77, fmt.Sprintf("203.0.%d.0", i), 1, 1, ExternalLSA{Mask: 0xffffff00, Metric: 1}))
	}
	c.Interfaces[0].MTU = 300
	p.step(Configure{c})
	for i := range 10 {
		p.flood(external(77, fmt.Sprintf("198.51.%d.0", i), 1, 1, ExternalLSA{Mask: 0xffffff00, Metric: 1}))
	}
	p.run(ackDelay)
	acked := 0
	for _, r := range p.take() {
		if int(r.h.Length)+ipHeaderSize > 300 {
			t.Errorf("%v of %d bytes", r.h.Type, r.h.Length)
		}
		if a, ok := r.body.(LinkStateAck); ok {
			acked += len(a.Headers)
		}
	}
	if acked != 50 {
		t.Errorf("%d LSAs are acknowledged, want 50", acked)
	}
}

// TestHellosDoNotDrift: a shell that is late now and then does not lengthen the HelloInterval (C.3), and one that has slept
// for long sends no burst.
func TestHellosDoNotDrift(t *testing.T) {
	t.Parallel()
	c := puppetConfig()
	c.Interfaces[0].HelloInterval, c.Interfaces[0].RouterDeadInterval = time.Second, 4*time.Second
	p := newPuppetWith(t, peerID, c)
	p.run(time.Second) // what belongs to the start
	p.take()
	end := p.now.Add(100 * time.Second)
	for p.now.Before(end) {
		p.now = p.in.Deadline().Add(300 * time.Millisecond)
		p.step(Tick{})
	}
	if n := len(take[Hello](p)); n < 99 || n > 101 {
		t.Errorf("%d Hellos in 100 s", n)
	}
	p.now = p.now.Add(time.Hour)
	p.step(Tick{})
	p.run(999 * time.Millisecond)
	if n := len(take[Hello](p)); n != 1 {
		t.Errorf("%d Hellos after an hour of sleep", n)
	}
}

// TestForeignAddress: an address that is not IPv4 is announced nowhere, and is no reason to fall over.
func TestForeignAddress(t *testing.T) {
	t.Parallel()
	c := puppetConfig()
	c.Interfaces[1].Address = mustPrefix("2001:db8::1/64")
	p := newPuppetWith(t, peerID, c)
	p.full()
	l, _ := p.in.routerLSA()
	if len(l.Links) != 2 {
		t.Errorf("links %v", l.Links)
	}
}

package ike

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"meshrouter/ike/isakmp"
)

// revive is a new engine with the blob of an old one, and what it did.
func revive(t *testing.T, now time.Time, blob []byte, c PeerConfig) (*Engine, []Output) {
	t.Helper()
	e := New(seeded(77), EngineOptions{})
	outs := e.Step(now, Restore{blob}, nil)
	return e, e.Step(now, Configure{Config{Peers: []PeerConfig{c}}}, outs)
}

// TestRestore: a restarted engine installs the same SAs, says up, sends nothing, and goes on: it understands the
// peer, answers DPD, and rekeys. NAT ports are kept. Blob before Configure and after it are the same.
func TestRestore(t *testing.T) {
	t.Parallel()
	for _, natt := range []NATTraversal{NATTAuto, NATTForce} {
		for i := range 2 {
			a, b := testPair()
			a.NATT = natt
			c := []PeerConfig{a, b}[i]
			bn := newBench(t, a, b)
			bn.up()
			old := bn.engines[i].peers[0]
			e, outs := revive(t, bn.now, old.lastBlob, c)
			if n := len(find[Send](outs)); n != 0 {
				t.Errorf("end %d sent %d messages", i, n)
			}
			in, out := find[AddInbound](outs), find[UseOutbound](outs)
			if len(in) != 1 || len(out) != 1 || !in[0].SA.Restored || !out[0].SA.Restored {
				t.Fatalf("end %d: %v", i, outs)
			}
			wantIn, wantOut := old.out.in, old.out.outSA
			wantIn.Restored, wantOut.Restored = true, true
			if got, want := fmt.Sprintf("%v %x %x", in[0].SA, []byte(in[0].SA.EncKey), []byte(in[0].SA.AuthKey)), fmt.Sprintf("%v %x %x", wantIn, []byte(wantIn.EncKey), []byte(wantIn.AuthKey)); got != want {
				t.Errorf("inbound\n%s, want\n%s", got, want)
			}
			if got, want := fmt.Sprintf("%v %x %x", out[0].SA, []byte(out[0].SA.EncKey), []byte(out[0].SA.AuthKey)), fmt.Sprintf("%v %x %x", wantOut, []byte(wantOut.EncKey), []byte(wantOut.AuthKey)); got != want {
				t.Errorf("outbound\n%s, want\n%s", got, want)
			}
			if !out[0].SA.Hard.Equal(old.out.outSA.Hard) || !out[0].SA.Soft.Equal(old.out.outSA.Soft) {
				t.Error("the lifetimes changed")
			}
			if ch := find[PeerChanged](outs); len(ch) != 1 || ch[0].State != PeerUp {
				t.Errorf("told %v", ch)
			}
			bn.engines[i] = e
			bn.log[i] = nil
			bn.run(100 * time.Minute) // a rekey, with the restored ISAKMP SA
			bn.agree()
			if n := len(find[ISAKMPKey](bn.log[i])); n != 0 {
				t.Errorf("end %d needed a new main mode", i)
			}
			if n := len(find[UseOutbound](bn.log[i])); n < 1 {
				t.Errorf("end %d did not rekey", i)
			}
		}
	}
}

// TestRestoreRefused: blobs of another configuration, of nobody, damaged or out of date are not used, and say why.
func TestRestoreRefused(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	bn := newBench(t, a, b)
	bn.up()
	blob := bn.engines[0].peers[0].lastBlob
	none := func(name string, outs []Output) {
		t.Helper()
		if len(find[AddInbound](outs))+len(find[UseOutbound](outs)) != 0 {
			t.Errorf("%s: SAs were restored: %v", name, outs)
		}
	}
	changed := a
	changed.PSK = []byte("another")
	_, outs := revive(t, bn.now, blob, changed)
	none("another pre-shared key", outs)
	if p := find[Persist](outs); len(p) != 1 || len(p[0].Blob) != 0 {
		t.Error("the useless blob was not forgotten")
	}
	other := a
	other.ID = "elsewhere"
	_, outs = revive(t, bn.now, blob, other)
	none("another peer", outs)
	for i := range blob {
		for _, bad := range [][]byte{blob[:i], append(append(append([]byte{}, blob[:i]...), blob[i]^0x80), blob[i+1:]...)} {
			revive(t, bn.now, bad, a) // must not panic; a flipped key bit cannot be noticed here
		}
	}
	version := append([]byte{}, blob...)
	version[4]++
	e, outs := revive(t, bn.now, version, a)
	none("another version", outs)
	if e.Counters()[EventBadBlob] != 1 {
		t.Error("a blob of another version was not counted")
	}
	_, outs = revive(t, bn.now.Add(24*time.Hour), blob, a)
	none("a day old", outs)
}

// TestBlobBound: the longest name, the longest keys and as many SA pairs as there can be fit MaxBlob.
func TestBlobBound(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	a.ID, b.ID = PeerID(strings.Repeat("n", maxPeerIDSize)), PeerID(strings.Repeat("n", maxPeerIDSize))
	for _, c := range []*PeerConfig{&a, &b} {
		c.Phase1 = []Phase1Transform{{isakmp.AESCBC, 256, isakmp.SHA2_512, isakmp.MODP1024}}
		c.Phase2 = []Phase2Transform{{isakmp.ESPAES, 256, isakmp.HMACSHA2_512}}
		c.LocalID = Identity{isakmp.IDFQDN, []byte(strings.Repeat("x", 200))}
	}
	bn := newBench(t, a, b)
	bn.up()
	p := bn.engines[0].peers[0]
	for range 2 * maxPairs {
		p.out.rekeyAt = bn.now
		bn.do(0, Acquire{Peer: a.ID})
		bn.run(switchDelay)
	}
	if len(p.pairs) != maxPairs {
		t.Errorf("%d pairs, want the limit of %d", len(p.pairs), maxPairs)
	}
	for i := range 2 {
		for _, o := range find[Persist](bn.log[i]) {
			if len(o.Blob) > MaxBlob {
				t.Fatalf("a blob of %d bytes", len(o.Blob))
			}
		}
	}
	_, outs := revive(t, bn.now, p.lastBlob, a)
	if n := len(find[AddInbound](outs)); n < 4 {
		t.Errorf("%d pairs restored", n)
	}
	if o := find[UseOutbound](outs); len(o) != 1 || o[0].SA.SPI != p.out.outSA.SPI {
		t.Errorf("the pair in use was left out of the blob: %v", o)
	}
	bn.agree()
}

// TestManyPeers: a thousand peers share one engine; only so many begin at once, and each gets its datagrams.
func TestManyPeers(t *testing.T) {
	t.Parallel()
	const n = 300
	e := New(seeded(1), EngineOptions{Initiating: 20})
	var c Config
	for i := range n {
		p, _ := testPair()
		p.ID = PeerID(fmt.Sprintf("peer%03d", i))
		p.Remote = netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)})
		c.Peers = append(c.Peers, p)
	}
	e.Step(testStart, Configure{c}, nil)
	now, begun := testStart, 0
	for now.Before(testStart.Add(4 * time.Second)) {
		now = e.Deadline()
		for _, o := range find[Send](e.Step(now, Tick{}, nil)) {
			if exchange := exchangeOf(o.Payload); exchange == isakmp.IdentityProtection {
				begun++
			}
		}
	}
	if begun > 20*3 { // with their first two copies
		t.Errorf("%d messages in four seconds with 20 main modes allowed at once", begun)
	}
	for now.Before(testStart.Add(140 * time.Second)) {
		now = e.Deadline()
		e.Step(now, Tick{}, nil)
	}
	waiting := 0
	for _, st := range e.Status(now) {
		if st.State == PeerNegotiating {
			waiting++
		}
	}
	if waiting != n {
		t.Errorf("%d of %d peers have begun after 140 s", waiting, n)
	}
}

package ike

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"meshrouter/ike/isakmp"
)

var testStart = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// seeded is a random source that a seed determines.
func seeded(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

// testPair is the configuration of a link as both ends have it.
func testPair() (a, b PeerConfig) {
	addrA, addrB := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	a = PeerConfig{
		ID: "a-b", Local: addrA, Remote: addrB, PSK: []byte("meshrouter-test-psk"),
		Phase1:  []Phase1Transform{{Encryption: isakmp.TripleDESCBC, Hash: isakmp.SHA1, Group: isakmp.MODP1024}},
		Phase2:  []Phase2Transform{{ID: isakmp.ESP3DES, Auth: isakmp.HMACSHA}},
		Mode:    isakmp.Tunnel,
		LocalTS: Selector{Prefix: netip.PrefixFrom(addrA, 32)}, RemoteTS: Selector{Prefix: netip.PrefixFrom(addrB, 32)},
		Phase1Lifetime: 8 * time.Hour, Phase2Lifetime: time.Hour, Source: "mesh.yaml:12:5",
	}
	b = a
	b.Phase1, b.Phase2 = slices.Clone(a.Phase1), slices.Clone(a.Phase2)
	b.Local, b.Remote, b.LocalTS, b.RemoteTS = a.Remote, a.Local, a.RemoteTS, a.LocalTS
	b.Initiate = InitiateNever
	return a, b
}

// A bench connects two engines without delay and runs jobs at once.
type bench struct {
	t       *testing.T
	now     time.Time
	engines [2]*Engine
	log     [2][]Output
	drop    func(from int, o Send) bool // loses a message
	change  func(from int, o *Send)     // alters one
	nat     func(from int, d *Datagram) // alters its addresses
	dead    [2]bool                     // takes no messages
	wire    []Send
}

type queued struct {
	to int
	in Input
}

func newBench(t *testing.T, a, b PeerConfig) *bench {
	t.Helper()
	bn := &bench{t: t, now: testStart}
	for i, c := range []PeerConfig{a, b} {
		bn.engines[i] = New(seeded(byte(i+1)), EngineOptions{})
		bn.do(i, Configure{Config{Peers: []PeerConfig{c}}})
	}
	return bn
}

// do feeds an input and everything that follows from it without time passing.
func (b *bench) do(i int, in Input) {
	b.t.Helper()
	queue := []queued{{i, in}}
	for n := 0; len(queue) > 0; n++ {
		if n > 1000 {
			b.t.Fatal("no end of messages")
		}
		q := queue[0]
		queue = queue[1:]
		for _, o := range b.engines[q.to].Step(b.now, q.in, nil) {
			b.log[q.to] = append(b.log[q.to], o)
			switch o := o.(type) {
			case Send:
				b.wire = append(b.wire, o)
				if b.dead[1-q.to] || b.drop != nil && b.drop(q.to, o) {
					continue
				}
				if b.change != nil {
					b.change(q.to, &o)
				}
				d := Datagram{Local: o.Remote, Remote: o.Local, Payload: o.Payload}
				if b.nat != nil {
					b.nat(q.to, &d)
				}
				queue = append(queue, queued{1 - q.to, d})
			case Compute:
				queue = append(queue, queued{q.to, Computed{o.ID, o.Job()}})
			}
		}
	}
}

// run lets time pass.
func (b *bench) run(d time.Duration) {
	b.t.Helper()
	end := b.now.Add(d)
	for {
		i, at := -1, end
		for j, e := range b.engines {
			if e == nil {
				continue
			}
			if d := e.Deadline(); !d.IsZero() && d.Before(at) {
				i, at = j, d
			}
		}
		if i < 0 {
			b.now = end
			return
		}
		if at.After(b.now) {
			b.now = at
		}
		b.do(i, Tick{})
	}
}

func (b *bench) status(i int) PeerStatus { return b.engines[i].Status(b.now)[0] }

// find returns the outputs of a type.
func find[T Output](outs []Output) []T {
	var found []T
	for _, o := range outs {
		if x, ok := o.(T); ok {
			found = append(found, x)
		}
	}
	return found
}

package ike

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"meshrouter/ike/isakmp"
	"meshrouter/internal/recordings"
)

// FuzzStep throws random datagrams at an engine with a half-open, an established and a configured peer: no panic,
// no unbounded state, nothing changes for the peer that is up, and every datagram is counted or answered.
func FuzzStep(f *testing.F) {
	a, b := testPair()
	t := &testing.T{}
	bn := newBench(t, a, b)
	bn.run(10 * time.Second)
	for _, o := range bn.wire {
		f.Add(o.Payload, uint8(0), uint16(0), uint8(0))
	}
	for _, rec := range recordings.Isakmpd(f, "main-quick", "pfs", "wrong-psk", "aggressive", "dpd-dead-peer", "quick-mode-early") {
		for _, m := range rec.Messages {
			f.Add([]byte(m.IKE), uint8(1), uint16(20), uint8(1))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, mode uint8, at uint16, flip uint8) {
		bn := newBench(t, a, b)
		bn.run(10 * time.Second)
		p := bn.engines[1].peers[0]
		sa := p.current()
		data = bytes.Clone(data)
		if mode&1 != 0 && len(data) >= isakmp.HeaderSize { // under the real cookies
			copy(data[:16], sa.cookieBytes())
			binary.BigEndian.PutUint32(data[24:], uint32(len(data)))
		}
		if len(data) > 0 {
			data[int(at)%len(data)] ^= flip
		}
		from := netip.MustParseAddrPort("192.0.2.1:500")
		if mode&2 != 0 {
			from = netip.MustParseAddrPort("198.51.100.7:4500")
		}
		var counted uint64
		count := func() (n uint64) {
			for _, v := range bn.engines[1].Counters() {
				n += v
			}
			return n
		}
		counted = count()
		answered := false
		for range 3 {
			for _, o := range bn.engines[1].Step(bn.now, Datagram{netip.MustParseAddrPort("192.0.2.2:500"), from, data}, nil) {
				switch o := o.(type) {
				case Send:
					answered = true
				case Compute:
					bn.engines[1].Step(bn.now, Computed{o.ID, o.Job()}, nil)
				}
			}
		}
		if count() == counted && !answered {
			t.Errorf("%x was neither counted nor answered", data)
		}
		if n := len(bn.engines[1].cookies); n > defaultHalfOpen+2 {
			t.Errorf("%d exchanges", n)
		}
		bn.run(4 * time.Minute)
		if p.current() != sa || p.out == nil || len(p.pairs) != 1 {
			t.Errorf("an unauthenticated datagram changed the SAs: %x", data)
		}
		if n := bn.engines[1].Counters()[eventOverdue]; n != 0 {
			t.Errorf("%d timers that nothing took care of", n)
		}
	})
}

// FuzzAuthentic owns the keys: it sends well-sealed informational messages, quick mode messages 1 and quick mode messages 2
// with any payloads. The engine must not panic, must keep its bounds, and must still negotiate with a sane peer.
func FuzzAuthentic(f *testing.F) {
	const informational, quick1, quick2 = 0, 1, 2
	a, b := testPair()
	for _, rec := range recordings.Isakmpd(f, "main-quick", "pfs", "proxy-net", "dpd-dead-peer", "rekey-phase2", "quick-mode-early", "swan-initiator-natt", "wrong-proxy-id") {
		for _, m := range rec.Messages {
			if len(m.Plaintext) > 24 && m.Exchange == "informational" {
				f.Add(m.Plaintext[0], []byte(m.Plaintext[24:]), uint8(informational), uint32(7))
			} else if len(m.Plaintext) > 24 && m.Exchange == "quick" {
				f.Add(m.Plaintext[0], []byte(m.Plaintext[24:]), uint8(quick1), uint32(7))
				f.Add(m.Plaintext[0], []byte(m.Plaintext[24:]), uint8(quick2), uint32(7))
			}
		}
	}
	f.Fuzz(func(t *testing.T, first uint8, body []byte, kind uint8, id uint32) {
		if len(body) > MaxMessage/2 {
			return
		}
		bn := newBench(t, a, b)
		questions := map[uint32][]byte{} // messages 1, which messages 2 answer
		if kind%3 == quick2 {
			bn.change = func(from int, o *Send) {
				if x := exchangeOf(o.Payload); x != isakmp.QuickMode {
					return
				}
				id := be32(o.Payload[20:24])
				sa := bn.engines[1].peers[0].current()
				switch question := questions[id]; {
				case from == 0 && question == nil:
					questions[id] = o.Payload
				case from == 1 && question != nil && sa != nil:
					o.Payload = forge(t, sa, isakmp.QuickMode, id, first, body, question)
				}
			}
		}
		bn.run(10 * time.Second)
		p := bn.engines[1].peers[0]
		for i := range uint32(4) { // several exchanges, so that limits are met
			sa := bn.engines[0].peers[0].current()
			if sa == nil || kind%3 == quick2 {
				break
			}
			x := isakmp.Informational
			if kind%3 == quick1 {
				x = isakmp.QuickMode
			}
			bn.do(1, Datagram{netip.MustParseAddrPort("192.0.2.2:500"), netip.MustParseAddrPort("192.0.2.1:500"), forge(t, sa, x, id+i, first, body, nil)})
			bn.run(time.Second)
		}
		for i := range 2 {
			p := bn.engines[i].peers[0]
			if len(p.pairs) > maxPairs || len(p.quicks) > 3*maxQuickModes || len(p.sas) > maxISAKMP+defaultHalfOpen+1 {
				t.Errorf("%d pairs, %d quick modes, %d ISAKMP SAs", len(p.pairs), len(p.quicks), len(p.sas))
			}
		}
		outbound := 0
		for _, o := range bn.log[1] {
			switch o := o.(type) {
			case UseOutbound:
				outbound++
			case RemoveSA:
				if !o.Inbound {
					outbound--
				}
			}
		}
		if (p.out != nil) != (outbound == 1) || outbound > 1 {
			t.Errorf("%d outbound SAs are in use", outbound)
		}
		bn.change = nil
		bn.do(0, Terminate{})
		bn.do(1, Terminate{})
		bn.do(0, Acquire{Peer: "a-b"})
		bn.run(3 * time.Minute)
		bn.agree()
	})
}

// forge seals a phase 2 message with any payloads and the right hash; a message 2 answers question.
func forge(t *testing.T, sa *isakmpSA, x isakmp.ExchangeType, id uint32, first uint8, body, question []byte) []byte {
	t.Helper()
	chain, err := sa.keys.Phase2Chain(sa.lastBlock, id)
	if err != nil {
		t.Fatal(err)
	}
	covered := trimmed(isakmp.PayloadType(first), body)
	hash := sa.keys.Hash1(id, covered)
	if question != nil {
		clear, next, err := chain.Open(question)
		if err != nil {
			t.Fatal(err)
		}
		ps, _, err := isakmp.ParsePayloads(isakmp.PayloadHash, clear)
		if err != nil {
			t.Fatal(err)
		}
		n, _ := isakmp.Find(ps, isakmp.PayloadNonce)
		chain, hash = next, sa.keys.Hash2(id, n.Body, covered)
	}
	h := sa.header(x, id)
	h.NextPayload = isakmp.PayloadHash
	message := append(h.Append(nil), first, 0, 0, uint8(4+len(hash)))
	message, _ = chain.Seal(append(append(message, hash...), body...))
	return message
}

// trimmed is body up to the end of its chain of payloads: what HASH covers.
func trimmed(first isakmp.PayloadType, body []byte) []byte {
	ps, rest, err := isakmp.ParsePayloads(first, body)
	if err != nil || len(ps) == 0 {
		return body
	}
	return body[:len(body)-len(rest)]
}

// FuzzBlob parses blobs: no panic, and what parses is written again byte for byte.
func FuzzBlob(f *testing.F) {
	a, b := testPair()
	bn := newBench(&testing.T{}, a, b)
	bn.run(10 * time.Second)
	for i := range 2 {
		f.Add(bn.engines[i].peers[0].lastBlob)
	}
	f.Fuzz(func(t *testing.T, blob []byte) {
		x, err := parseBlob(blob)
		e := New(seeded(1), EngineOptions{})
		e.Step(testStart, Restore{blob}, nil)
		e.Step(testStart, Configure{Config{Peers: []PeerConfig{a}}}, nil)
		if err != nil {
			return
		}
		if again := x.append(nil, testStart); len(blob) <= MaxBlob && !bytes.Equal(again, blob) {
			t.Errorf("written again:\n%x, was\n%x", again, blob)
		}
	})
}

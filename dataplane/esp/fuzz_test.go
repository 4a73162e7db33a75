package esp

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzOpen gives Open arbitrary packets: they are refused by name, never opened, unless they are the
// one packet that the SA's peer sealed.
func FuzzOpen(f *testing.F) {
	suites := allSuites()
	for i, s := range suites {
		out := mustSA(f, s.params(uint32(0x1000+i), Tunnel), true)
		f.Add(uint8(i), sealOnePacket(f, out, []byte("payload"), 4))
		f.Add(uint8(i), sealOnePacket(f, out, nil, 47))
	}
	f.Fuzz(func(t *testing.T, which uint8, pkt []byte) {
		i := int(which) % len(suites)
		s := suites[i]
		out, in := pair(t, s.params(uint32(0x1000+i), Tunnel)) // each suite with its own keys
		j := openOnePacket(in, pkt)
		if errors.Is(j.Err, ErrLength) || errors.Is(j.Err, ErrSPI) || errors.Is(j.Err, ErrAuth) {
			return
		}
		if j.Err != nil {
			t.Fatalf("%s: %v for an unauthentic packet", s.name, j.Err)
		}
		// It must be authentic then: sealed again with its IV it is the same.
		out.counters.NextSeq.Store(j.Seq)
		out.sealed = j.Seq - 1
		var b Batch
		useIV(&b, out, pkt[headerLen:s.head()])
		if again := b.sealOnePacket(t, out, j.Pkt, j.NextHeader); !bytes.Equal(again, pkt) {
			t.Errorf("%s: opened %x, which its peer would have sealed as %x", s.name, pkt, again)
		}
	})
}

// FuzzTrailer gives Open authentic packets with an arbitrary end: what a broken peer could send.
func FuzzTrailer(f *testing.F) {
	f.Add([]byte{9, 9, 9, 1, 2, 3, 3, 4})
	f.Add([]byte{9, 9, 9, 9, 9, 9, 0, 59})
	f.Add([]byte{0, 0, 0, 0, 0, 0, 255, 255})
	f.Fuzz(func(t *testing.T, body []byte) {
		out, in := pair(t, suiteNamed(t, "null/hmac-sha1").params(0x1000, Tunnel))
		j := openOnePacket(in, sealBody(out, 1, body))
		if len(body) == 0 || len(body)%4 != 0 {
			if !errors.Is(j.Err, ErrLength) {
				t.Errorf("body of %d bytes: %v", len(body), j.Err)
			}
			return
		}
		if errors.Is(j.Err, ErrPadding) {
			return
		}
		if j.Err != nil && !errors.Is(j.Err, ErrDummy) {
			t.Fatalf("%x: %v", body, j.Err)
		}
		if n := len(body) - 2 - int(body[len(body)-2]); len(j.Pkt) != n || !bytes.Equal(j.Pkt, body[:n]) || j.NextHeader != body[len(body)-1] {
			t.Errorf("%x: payload %x, next header %d", body, j.Pkt, j.NextHeader)
		}
	})
}

// FuzzRoundTrip seals and opens any payload with any suite.
func FuzzRoundTrip(f *testing.F) {
	suites := allSuites()
	f.Add(uint8(0), uint8(4), []byte("payload"))
	f.Fuzz(func(t *testing.T, which, nextHeader uint8, payload []byte) {
		s := suites[int(which)%len(suites)]
		out, in := pair(t, s.params(0x1000, Transport))
		j := openOnePacket(in, sealOnePacket(t, out, payload, nextHeader))
		if (j.Err != nil) != (nextHeader == NextHeaderDummy) || !bytes.Equal(j.Pkt, payload) || j.NextHeader != nextHeader {
			t.Errorf("%s: %v, next header %d, %x, want %d, %x", s.name, j.Err, j.NextHeader, j.Pkt, nextHeader, payload)
		}
	})
}

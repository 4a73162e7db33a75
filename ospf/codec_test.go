package ospf

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func sampleHeaders() []LSAHeader {
	return []LSAHeader{
		{Age: 1, Options: OptionE, LSAKey: LSAKey{RouterLSAType, 0x0a000001, 0x0a000001}, Sequence: InitialSequenceNumber, Checksum: 0x1234, Length: 36},
		{Age: MaxAge | doNotAge, LSAKey: LSAKey{OpaqueAreaType, 0x04000000, 1}, Sequence: MaxSequenceNumber, Checksum: 1, Length: 20},
	}
}

// codecs are all bodies with a sample and a parser that returns the value in the shape of the sample.
func codecs() map[string]struct {
	sample body
	parse  func([]byte) (body, error)
} {
	type c = struct {
		sample body
		parse  func([]byte) (body, error)
	}
	return map[string]c{
		"Hello": {Hello{0xfffffffc, 10, OptionE, 1, 40, 1, 2, []RouterID{3, 4}}, func(b []byte) (body, error) { return ParseHello(b) }},
		"DatabaseDescription": {DatabaseDescription{1500, OptionE, FlagI | FlagMS, 7, sampleHeaders()},
			func(b []byte) (body, error) { return ParseDatabaseDescription(b) }},
		"LinkStateRequest": {LinkStateRequest{[]LSAKey{{ExternalLSAType, 1, 2}, {RouterLSAType, 3, 3}}},
			func(b []byte) (body, error) { return ParseLinkStateRequest(b) }},
		"LinkStateUpdate": {LinkStateUpdate{[]LSA{NewLSA(sampleHeaders()[0], []byte{0, 0, 0, 0}), NewLSA(sampleHeaders()[1], nil)}},
			func(b []byte) (body, error) { return ParseLinkStateUpdate(b) }},
		"LinkStateAck": {LinkStateAck{sampleHeaders()}, func(b []byte) (body, error) { return ParseLinkStateAck(b) }},
		"RouterLSA": {RouterLSA{FlagB | FlagE, []RouterLink{{1, 2, PointToPointLink, 3}, {4, 0xffffff00, StubLink, 65535}}},
			func(b []byte) (body, error) { return ParseRouterLSA(b) }},
		"NetworkLSA":  {NetworkLSA{0xffffff00, []RouterID{1, 2}}, func(b []byte) (body, error) { return ParseNetworkLSA(b) }},
		"SummaryLSA":  {SummaryLSA{0xffff0000, 0xfffffe}, func(b []byte) (body, error) { return ParseSummaryLSA(b) }},
		"ExternalLSA": {ExternalLSA{0xff000000, true, 10000, 0x0a000001, 9}, func(b []byte) (body, error) { return ParseExternalLSA(b) }},
	}
}

func TestCodecsRoundTrip(t *testing.T) {
	t.Parallel()
	for name, c := range codecs() {
		b := c.sample.Append(nil)
		got, err := c.parse(b)
		if err != nil || !reflect.DeepEqual(got, c.sample) {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, c.sample)
		}
		for n := range b { // every cut fails or parses to something that fits in it
			if got, err := c.parse(b[:n]); err == nil && len(got.Append(nil)) > n {
				t.Errorf("%s: %d of %d bytes parsed to %+v", name, n, len(b), got)
			}
		}
		if _, err := c.parse(append(b, 1)); err == nil {
			t.Errorf("%s: a byte too many is taken", name)
		}
	}
}

func FuzzCodecs(f *testing.F) {
	names := []string{"Hello", "DatabaseDescription", "LinkStateRequest", "LinkStateUpdate", "LinkStateAck", "RouterLSA", "NetworkLSA", "SummaryLSA", "ExternalLSA"}
	all := codecs()
	for i, name := range names {
		f.Add(uint8(i), all[name].sample.Append(nil))
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		name := names[int(which)%len(names)]
		c := all[name]
		first, err := c.parse(b)
		if err != nil {
			return
		}
		again, err := c.parse(first.Append(nil))
		if err != nil || !reflect.DeepEqual(first, again) {
			t.Fatalf("%s: %x parses to %+v, then %+v, %v", name, b, first, again, err)
		}
		canonical := strings.HasPrefix(name, "LinkState") || name == "DatabaseDescription" || name == "Hello"
		if got := first.Append(nil); canonical && !bytes.Equal(got, b) {
			t.Fatalf("%s: %x appends as %x", name, b, got)
		}
	})
}

// FuzzPacket feeds whole packets, with a valid checksum, to an instance with a neighbor: nothing may panic,
// and the deadline stays in the future.
func FuzzPacket(f *testing.F) {
	for i, c := range []body{codecs()["Hello"].sample, codecs()["DatabaseDescription"].sample, codecs()["LinkStateRequest"].sample,
		codecs()["LinkStateUpdate"].sample, codecs()["LinkStateAck"].sample} {
		f.Add(uint8(i+1), c.Append(nil), uint8(i))
	}
	f.Fuzz(func(t *testing.T, kind uint8, b []byte, state uint8) {
		p := newPuppet(t, peerID)
		switch state % 3 {
		case 0:
		case 1:
			p.twoWay()
		case 2:
			p.full()
		}
		p.sendRaw(PacketType(kind), b)
		p.run(defaultRxmt * 3)
		if at := p.in.Deadline(); !at.After(p.now) {
			t.Fatalf("deadline %v, now %v", at, p.now)
		}
	})
}

func TestParsePacketRefuses(t *testing.T) {
	t.Parallel()
	good := Auth{}.Seal(Header{Version: 2, Type: HelloPacket, RouterID: 1}.Append(nil), 0)
	for name, change := range map[string]func([]byte) []byte{
		"too short":       func(b []byte) []byte { return b[:23] },
		"length too long": func(b []byte) []byte { b[3] = 25; return b },
		"length below 24": func(b []byte) []byte { b[3] = 23; return b },
	} {
		if _, _, _, err := ParsePacket(change(bytes.Clone(good))); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	h, body, trailer, err := ParsePacket(append(good, 1, 2, 3))
	if err != nil || h.Length != 24 || len(body) != 0 || !bytes.Equal(trailer, []byte{1, 2, 3}) {
		t.Errorf("%+v %x %x %v", h, body, trailer, err)
	}
}

// The checksums of real routers' LSAs are verified in captures_test.go; here lengths and single changes.
func TestFletcher(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 4, 255, 256, 4095, 4097, 60000} {
		body := make([]byte, n)
		for i := range body {
			body[i] = byte(i * 7)
		}
		l := NewLSA(sampleHeaders()[0], body)
		if !l.ChecksumOK() {
			t.Errorf("%d bytes: own checksum wrong", n)
		}
		l.setAge(77)
		if !l.ChecksumOK() {
			t.Errorf("%d bytes: the age is not part of the checksum", n)
		}
		l[len(l)-1] ^= 0x55
		if l.ChecksumOK() {
			t.Errorf("%d bytes: a changed LSA passes", n)
		}
	}
	zero := LSA(make([]byte, LSAHeaderSize))
	if zero.ChecksumOK() {
		t.Error("a zero checksum passes")
	}
}

// TestInstanceOrder is RFC 2328, 13.1, rule for rule.
func TestInstanceOrder(t *testing.T) {
	t.Parallel()
	h := func(seq Sequence, sum, age uint16) LSAHeader {
		return LSAHeader{Sequence: seq, Checksum: sum, Age: age}
	}
	tests := []struct {
		name string
		a, b LSAHeader
		want int
	}{
		{"sequence, signed", h(1, 0, 0), h(InitialSequenceNumber, 9, 0), 1},
		{"checksum", h(1, 2, 5), h(1, 1, 0), 1},
		{"MaxAge", h(1, 1, MaxAge), h(1, 1, 3599), 1},
		{"MaxAge with DoNotAge", h(1, 1, MaxAge|doNotAge), h(1, 1, 0), 1},
		{"younger by more than MaxAgeDiff", h(1, 1, 0), h(1, 1, 901), 1},
		{"as young within MaxAgeDiff", h(1, 1, 0), h(1, 1, 900), 0},
		{"DoNotAge counts the low bits", h(1, 1, 5|doNotAge), h(1, 1, 5), 0},
	}
	for _, c := range tests {
		if got := c.a.compare(c.b); got > 0 != (c.want > 0) || got < 0 != (c.want < 0) {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
		if got := c.b.compare(c.a); got < 0 != (c.want > 0) {
			t.Errorf("%s, the other way: %d", c.name, got)
		}
	}
}

// TestDigest holds RFC 2328, D.4.3: MD5 over the packet and the key filled with zeros, appended behind
// the length.
func TestDigest(t *testing.T) {
	t.Parallel()
	a := Auth{CryptographicAuth, []Key{{7, []byte("meshkey")}, {8, []byte("0123456789abcdef")}}}
	b := a.Seal(Hello{HelloInterval: 10}.Append(Header{Version: 2, Type: HelloPacket, RouterID: 1}.Append(nil)), 0x01020304)
	if len(b) != 24+20+16 || b[3] != 44 || hex.EncodeToString(b[12:24]) != "000000020000071001020304" {
		t.Fatalf("sealed as %x", b)
	}
	h, _, trailer, err := ParsePacket(b)
	if err != nil {
		t.Fatal(err)
	}
	if seq, refused := a.verify("t", h, b[:44], trailer); refused != nil || seq != 0x01020304 {
		t.Errorf("%d, %v", seq, refused)
	}
	second := Auth{CryptographicAuth, a.Keys[1:]}
	c := second.Seal(bytes.Clone(b[:44]), 5)
	h, _, trailer, _ = ParsePacket(c)
	if _, refused := a.verify("t", h, c[:44], trailer); refused != nil {
		t.Errorf("the second key is not accepted: %v", refused.err)
	}
	for i := range c {
		bad := bytes.Clone(c)
		bad[i] ^= 1
		h, _, trailer, err := ParsePacket(bad)
		if err != nil {
			continue
		}
		if _, refused := a.verify("t", h, bad[:min(int(h.Length), len(bad))], trailer); refused == nil {
			t.Errorf("byte %d changed and nothing noticed", i)
		}
	}
}

func TestMismatchNamesBothValues(t *testing.T) {
	t.Parallel()
	err := &MismatchError{"Hello from 10.255.0.2 on tun3", "RouterDeadInterval", 30, 40, "RFC 2328, 10.5"}
	want := "Hello from 10.255.0.2 on tun3: RouterDeadInterval is 30, want 40 (RFC 2328, 10.5)"
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Error(diff)
	}
}

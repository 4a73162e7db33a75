package gre

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"testing"

	"meshrouter/internal/ipv4"
	"meshrouter/internal/testvectors"

	"github.com/gopacket/gopacket/pcapgo"
)

var (
	us   = netip.MustParseAddr("192.0.2.1")
	peer = netip.MustParseAddr("198.51.100.2")
	key  = uint32(0xdeadbeef)
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestHeaderBytes(t *testing.T) {
	t.Parallel()
	for want, h := range map[string]Header{
		"00000800":         New(nil),
		"20000800deadbeef": New(&key),
		"00000000":         {Protocol: ProtocolKeepalive},
	} {
		b := h.Append(nil)
		if got := hex.EncodeToString(b); got != want || h.Len() != len(b) {
			t.Errorf("%+v: Append is %s, Len %d, want %s", h, got, h.Len(), want)
		}
		got, payload, err := Parse(append(b, 1, 2, 3))
		if err != nil || got != h || !bytes.Equal(payload, []byte{1, 2, 3}) {
			t.Errorf("Parse(%s) = %+v, %x, %v, want %+v", want, got, payload, err, h)
		}
	}
}

// openbsd-facts.md, 9: OpenBSD declines a packet with any flag but K.
func TestNeverSendsChecksumOrSequence(t *testing.T) {
	t.Parallel()
	h := Header{Protocol: ProtocolIPv4, HasKey: true, Key: 1, HasSequence: true, Sequence: 7}
	if got := binary.BigEndian.Uint16(h.Append(nil)); got&^uint16(flagKey) != 0 {
		t.Errorf("flags are %04x, want only K", got)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		packet string
		want   Header
		err    error
	}{
		"empty":                       {packet: "", err: ErrTruncated},
		"three bytes":                 {packet: "000008", err: ErrTruncated},
		"version 1 (PPTP)":            {packet: "3001880b0000000000000000", err: ErrVersion},
		"routing (RFC 1701)":          {packet: "4000080000000000", err: ErrFlags},
		"strict source route":         {packet: "08000800", err: ErrFlags},
		"recursion":                   {packet: "04000800", err: ErrFlags},
		"reserved bits 6 to 12":       {packet: "03f80800", want: Header{Protocol: 0x0800}},
		"key cut short":               {packet: "20000800aabbcc", err: ErrTruncated},
		"checksum cut short":          {packet: "80000800", err: ErrTruncated},
		"sequence cut short":          {packet: "3000080011223344", err: ErrTruncated},
		"key and sequence":            {packet: "300008001122334455667788", want: Header{Protocol: 0x0800, HasKey: true, Key: 0x11223344, HasSequence: true, Sequence: 0x55667788}},
		"sequence alone":              {packet: "1000080055667788", want: Header{Protocol: 0x0800, HasSequence: true, Sequence: 0x55667788}},
		"checksum":                    {packet: "80000800" + "55bb0000" + "1122" + "1122", err: nil, want: Header{Protocol: 0x0800}},
		"wrong checksum":              {packet: "80000800" + "55bc0000" + "1122" + "1122", err: ErrChecksum},
		"another protocol (WCCP)":     {packet: "0000883e", want: Header{Protocol: 0x883e}},
		"keepalive that came back":    {packet: "00000000", want: Header{}},
		"keepalive with OpenBSD data": {packet: "0000000000112233445566778899aabbccddeeff", want: Header{}},
	} {
		got, _, err := Parse(unhex(t, tt.packet))
		if !errors.Is(err, tt.err) || got != tt.want {
			t.Errorf("%s: Parse(%s) = %+v, %v, want %+v, %v", name, tt.packet, got, err, tt.want, tt.err)
		}
	}
}

func TestMatches(t *testing.T) {
	t.Parallel()
	other := key + 1
	for _, tt := range []struct {
		header Header
		key    *uint32
		want   bool
	}{
		{New(nil), nil, true},
		{New(&key), &key, true},
		{New(&key), nil, false},
		{New(nil), &key, false},
		{New(&other), &key, false},
	} {
		if got := tt.header.Matches(tt.key); got != tt.want {
			t.Errorf("%+v.Matches(%v) = %v, want %v", tt.header, tt.key, got, tt.want)
		}
	}
}

// screenos-facts.md, 3: what the form of ScreenOS and Cisco looks like on the wire, inside the tunnel's own GRE.
func TestKeepaliveBytes(t *testing.T) {
	t.Parallel()
	k := Keepalive{Local: us, Remote: peer, TTL: 255}
	want := "45c00018" + "00000000" + "ff2f" + "cebf" + "c6336402" + "c0000201" + "00000000"
	if got := hex.EncodeToString(k.Append(nil)); got != want {
		t.Errorf("keepalive is %s, want %s", got, want)
	}
}

// openbsd-facts.md, 9: return such packets inside the tunnel unchanged but for the TTL, and do not
// treat protocol 0 as an error.
func TestPeersKeepaliveGoesBack(t *testing.T) {
	t.Parallel()
	for name, k := range map[string]Keepalive{
		"screenos": {Local: peer, Remote: us, TTL: 64},
		"openbsd":  {Local: peer, Remote: us, TTL: 64, Payload: unhex(t, "00112233445566778899aabbccddeeff")},
		"with key": {Local: peer, Remote: us, TTL: 64, Key: &key},
	} {
		sent := k.Append(nil)
		back := bytes.Clone(sent)
		if !ReturnKeepalive(back, us, peer) {
			t.Errorf("%s: not recognised: %x", name, sent)
			continue
		}
		want := bytes.Clone(sent)
		ipv4.Header(want[:20]).SetTTL(63)
		if !bytes.Equal(back, want) {
			t.Errorf("%s: goes back as %x, want %x", name, back, want)
		}
		h, payload, err := ipv4.Parse(back)
		if err != nil || h.Dst() != peer || !h.ChecksumOK() {
			t.Fatalf("%s: %v", name, err)
		}
		g, rest, err := Parse(payload)
		if err != nil || g.Protocol != ProtocolKeepalive || !g.Matches(k.Key) || !bytes.Equal(rest, k.Payload) {
			t.Errorf("%s: the peer sees %+v, %x, %v", name, g, rest, err)
		}
	}
}

func TestWhatIsNoKeepalive(t *testing.T) {
	t.Parallel()
	good := Keepalive{Local: peer, Remote: us, TTL: 64}.Append(nil)
	for name, change := range map[string]func(b []byte) []byte{
		"ours":                  func([]byte) []byte { return Keepalive{Local: us, Remote: peer, TTL: 64}.Append(nil) },
		"GRE with IPv4":         func(b []byte) []byte { b[22] = 8; return b },
		"TTL 1":                 func(b []byte) []byte { ipv4.Header(b[:20]).SetTTL(1); return b },
		"wrong header checksum": func(b []byte) []byte { b[10]++; return b },
		"no GRE header":         func(b []byte) []byte { b[3] = 20; ipv4.Header(b[:20]).UpdateChecksum(); return b },
		"UDP":                   func(b []byte) []byte { b[9] = 17; ipv4.Header(b[:20]).UpdateChecksum(); return b },
		"fragment":              func(b []byte) []byte { b[6] = 0x20; ipv4.Header(b[:20]).UpdateChecksum(); return b },
		"cut":                   func(b []byte) []byte { return b[:10] },
	} {
		b := change(bytes.Clone(good))
		want := bytes.Clone(b)
		if ReturnKeepalive(b, us, peer) || !bytes.Equal(b, want) {
			t.Errorf("%s: taken for a keepalive, or changed", name)
		}
	}
}

// The table of RFC 6040, figure 4, row by row.
func TestPayloadTOS(t *testing.T) {
	t.Parallel()
	const drop = 0xff
	table := [4][4]uint8{ // a row for each inner codepoint 0 to 3, a column for each of the delivery header
		0: {0, 0, 0, drop},
		1: {1, 1, 1, 3},
		2: {2, 1, 2, 3},
		3: {3, 3, 3, 3},
	}
	for inner := range uint8(4) {
		for delivery := range uint8(4) {
			want := table[inner][delivery]
			got, ok := PayloadTOS(0x28|delivery, 0xb8|inner)
			if ok != (want != drop) || (ok && got != 0xb8|want) {
				t.Errorf("inner %d, delivery %d: %02x, %v, want ECN %d", inner, delivery, got, ok, want)
			}
		}
	}
	if got := DeliveryTOS(0xc2); got != 0xc2 {
		t.Errorf("DeliveryTOS(c2) = %02x", got)
	}
}

// frames yields what follows the link header of an Ethernet capture.
func frames(t *testing.T, name string) [][]byte {
	t.Helper()
	r, err := pcapgo.NewReader(bytes.NewReader(testvectors.Read(t, testvectors.Path(t, name))))
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for {
		frame, _, err := r.ReadPacketData()
		if err != nil {
			return all
		}
		if len(frame) > 14 {
			all = append(all, frame[14:])
		}
	}
}

func TestCaptureOfRealTunnel(t *testing.T) {
	t.Parallel()
	n := 0
	for i, frame := range frames(t, "captures/zeek/gre-sample.pcap") {
		outer, body, err := ipv4.Parse(frame)
		if err != nil || outer.Protocol() != ipv4.ProtocolGRE {
			t.Fatalf("packet %d: %v", i, err)
		}
		h, payload, err := Parse(body)
		if err != nil || h != New(nil) {
			t.Errorf("packet %d: %+v, %v", i, h, err)
		}
		if inner, _, err := ipv4.Parse(payload); err != nil || !inner.ChecksumOK() {
			t.Errorf("packet %d: payload: %v", i, err)
		}
		if again := append(h.Append(nil), payload...); !bytes.Equal(again, body) {
			t.Errorf("packet %d: appended again it differs", i)
		}
		n++
	}
	if n != 40 {
		t.Errorf("%d packets, want 40", n)
	}
}

func TestCaptureOfWCCP(t *testing.T) {
	t.Parallel()
	all := frames(t, "captures/tcpdump/wccp_redirect_gre.pcap")
	if len(all) != 1 {
		t.Fatalf("%d packets, want 1", len(all))
	}
	_, body, err := ipv4.Parse(all[0])
	if err != nil {
		t.Fatal(err)
	}
	if h, payload, err := Parse(body); err != nil || h != (Header{Protocol: 0x883e}) || len(payload) != 244 {
		t.Errorf("Parse = %+v, %d bytes, %v, want protocol 0x883e and 244 bytes", h, len(payload), err)
	}
}

// A capture that broke another parser: its bytes, at every offset, must only ever be refused or parsed.
func TestCaptureOfFuzzer(t *testing.T) {
	t.Parallel()
	b := testvectors.Read(t, testvectors.Path(t, "captures/tcpdump/gre-heapoverflow-1.pcap"))
	refused := 0
	for i := range b {
		h, payload, err := Parse(b[i:])
		if err != nil {
			refused++
		} else if len(payload) > len(b)-i-h.Len() {
			t.Fatalf("offset %d: payload of %d bytes out of %d", i, len(payload), len(b)-i)
		}
	}
	if refused == 0 || refused == len(b) {
		t.Errorf("%d of %d were refused: the test has no teeth", refused, len(b))
	}
}

func TestParseDoesNotAllocate(t *testing.T) {
	b := append(New(&key).Append(nil), make([]byte, 100)...)
	if n := testing.AllocsPerRun(100, func() { _, _, _ = Parse(b) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("\x00\x00\x08\x00"))
	f.Add(append(New(&key).Append(nil), 1, 2, 3))
	f.Add([]byte("\x80\x00\x08\x00\x55\xbb\x00\x00\x11\x22\x11\x22"))
	f.Add([]byte("\x30\x00\x08\x00\x11\x22\x33\x44\x55\x66\x77\x88"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, payload, err := Parse(b)
		if err != nil {
			return
		}
		want := h
		want.HasSequence, want.Sequence = false, 0 // never sent
		again, rest, err := Parse(append(h.Append(nil), payload...))
		if err != nil || again != want || !bytes.Equal(rest, payload) {
			t.Errorf("Parse(Append(%+v)) = %+v, %v", h, again, err)
		}
	})
}

func FuzzReturnKeepalive(f *testing.F) {
	f.Add(Keepalive{Local: peer, Remote: us, TTL: 64}.Append(nil))
	f.Add(Keepalive{Local: peer, Remote: us, TTL: 1, Key: &key, Payload: []byte("payload")}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		if !ReturnKeepalive(b, us, peer) {
			if !bytes.Equal(b, before) {
				t.Errorf("%x was refused and changed", before)
			}
			return
		}
		h, _, err := ipv4.Parse(b)
		if err != nil || !h.ChecksumOK() || h.Dst() != peer || h.TTL() != before[8]-1 {
			t.Errorf("%x goes back as %x: %v", before, b, err)
		}
	})
}

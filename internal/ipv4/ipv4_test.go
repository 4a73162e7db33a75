package ipv4

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"

	"meshrouter/internal/testvectors"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

var (
	hostA = netip.MustParseAddr("192.0.2.1")
	hostB = netip.MustParseAddr("198.51.100.2")
)

// packet builds an IPv4 packet with a payload of consecutive bytes.
func packet(f Fields, n int) []byte {
	b := AppendHeader(nil, f, n)
	for i := range n {
		b = append(b, byte(i))
	}
	return b
}

func udpFields(id uint16) Fields {
	return Fields{TTL: 64, Protocol: ProtocolUDP, ID: id, Src: hostA, Dst: hostB}
}

// slowChecksum is RFC 1071 word by word.
func slowChecksum(b []byte, initial uint32) uint16 {
	sum := initial
	for i := 0; i < len(b); i += 2 {
		w := uint32(b[i]) << 8
		if i+1 < len(b) {
			w |= uint32(b[i+1])
		}
		sum += w
		sum = sum>>16 + sum&0xffff
	}
	sum = sum>>16 + sum&0xffff
	return ^uint16(sum)
}

func TestChecksumAgainstSlowTwin(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	for n := range 300 {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
			if r.IntN(4) == 0 {
				b[i] = 0xff // carries
			}
		}
		initial := r.Uint32N(1 << 20)
		if got, want := Checksum(b, initial), slowChecksum(b, initial); got != want {
			t.Fatalf("Checksum(%x, %d) = %04x, want %04x", b, initial, got, want)
		}
	}
}

func TestParseFieldsOfBuiltHeader(t *testing.T) {
	t.Parallel()
	f := Fields{TOS: 0xc0, TTL: 7, Protocol: ProtocolOSPF, ID: 0xbeef, DF: true, Src: hostA, Dst: hostB}
	pkt := append(packet(f, 9), "trailing bytes"...)
	h, payload, err := Parse(pkt)
	if err != nil {
		t.Fatal(err)
	}
	got := Fields{h.TOS(), h.TTL(), h.Protocol(), h.ID(), h.DF(), h.Src(), h.Dst()}
	if got != f || h.TotalLen() != 29 || h.MF() || h.FragOffset() != 0 || h.IsFragment() || !h.ChecksumOK() {
		t.Errorf("Parse(AppendHeader(%+v)) = %+v, total length %d, checksum right: %v", f, got, h.TotalLen(), h.ChecksumOK())
	}
	if len(payload) != 9 || payload[8] != 8 {
		t.Errorf("payload is %x, want the 9 bytes 00 to 08", payload)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	good := packet(udpFields(1), 8)
	for name, tt := range map[string]struct {
		change func(b []byte) []byte
		want   error
	}{
		"empty":                      {func([]byte) []byte { return nil }, ErrTruncated},
		"19 bytes":                   {func(b []byte) []byte { return b[:19] }, ErrTruncated},
		"version 6":                  {func(b []byte) []byte { b[0] = 0x65; return b }, ErrVersion},
		"header of 16":               {func(b []byte) []byte { b[0] = 0x44; return b }, ErrHeaderLength},
		"total length 19":            {func(b []byte) []byte { b[3] = 19; return b }, ErrTotalLength},
		"options beyond the total":   {func(b []byte) []byte { b[0] = 0x4f; return b }, ErrTotalLength},
		"total length beyond packet": {func(b []byte) []byte { b[3]++; return b }, ErrTruncated},
	} {
		if _, _, err := Parse(tt.change(bytes.Clone(good))); !errors.Is(err, tt.want) {
			t.Errorf("%s: error is %v, want %v", name, err, tt.want)
		}
	}
}

func TestSettersKeepChecksum(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 5))
	for range 2000 {
		f := udpFields(uint16(r.Uint32()))
		f.TTL, f.TOS = uint8(r.Uint32()), uint8(r.Uint32())
		h := Header(AppendHeader(nil, f, r.IntN(1000)))
		h.SetTTL(uint8(r.Uint32()))
		h.SetTOS(uint8(r.Uint32()))
		h.SetID(uint16(r.Uint32()))
		h.DecrementTTL()
		if !h.ChecksumOK() {
			t.Fatalf("after the setters the checksum of %x is wrong", []byte(h))
		}
	}
}

func TestCorruptChecksumStaysCorrupt(t *testing.T) {
	t.Parallel()
	h := Header(AppendHeader(nil, udpFields(1), 0))
	h[10] ^= 0x10
	h.DecrementTTL()
	if h.ChecksumOK() {
		t.Error("DecrementTTL made a corrupt header look right")
	}
}

func TestDecrementTTL(t *testing.T) {
	t.Parallel()
	for ttl, want := range map[uint8]bool{0: false, 1: false, 2: true, 255: true} {
		f := udpFields(1)
		f.TTL = ttl
		h := Header(AppendHeader(nil, f, 0))
		wantTTL := ttl
		if want {
			wantTTL--
		}
		if got := h.DecrementTTL(); got != want || h.TTL() != wantTTL {
			t.Errorf("TTL %d: DecrementTTL is %v and leaves %d, want %v and %d", ttl, got, h.TTL(), want, wantTTL)
		}
	}
}

func withOptions(t *testing.T, options []byte, n int) []byte {
	t.Helper()
	if len(options)%4 != 0 {
		t.Fatalf("options of %d bytes", len(options))
	}
	b := AppendHeader(nil, udpFields(9), len(options)+n)
	b[0] = 0x40 | byte(HeaderLen+len(options))/4
	b = append(b, options...)
	Header(b).UpdateChecksum()
	for i := range n {
		b = append(b, byte(i))
	}
	return b
}

func TestFragmentRepeatsOnlyCopiedOptions(t *testing.T) {
	t.Parallel()
	routerAlert := []byte{0x94, 4, 0, 0}         // copied
	timestamp := []byte{68, 8, 5, 0, 0, 0, 0, 0} // not copied
	pkt := withOptions(t, append(timestamp, routerAlert...), 100)
	var lens []int
	err := Fragment(pkt, 80, func(f []byte) {
		h, _, err := Parse(f)
		if err != nil || !h.ChecksumOK() {
			t.Fatalf("fragment %x: %v, checksum right: %v", f, err, h.ChecksumOK())
		}
		lens = append(lens, len(h))
		if !bytes.Contains(h[HeaderLen:], routerAlert) {
			t.Errorf("fragment at %d lacks the copied option", h.FragOffset())
		}
	})
	if err != nil || len(lens) != 2 || lens[0] != 32 || lens[1] != 24 {
		t.Errorf("header lengths are %v, error %v, want 32 and 24", lens, err)
	}
}

func TestFragmentRefuses(t *testing.T) {
	t.Parallel()
	never := func(f []byte) { t.Errorf("emitted %x", f) }
	df := udpFields(1)
	df.DF = true
	if err := Fragment(packet(df, 100), 100, never); !errors.Is(err, ErrDontFragment) {
		t.Errorf("with DF: error is %v", err)
	}
	if err := Fragment(packet(udpFields(1), 100), 27, never); !errors.Is(err, ErrMTU) {
		t.Errorf("MTU 27: error is %v", err)
	}
	if err := Fragment([]byte{0x45}, 100, never); !errors.Is(err, ErrTruncated) {
		t.Errorf("one byte: error is %v", err)
	}
}

func TestFragmentReturnsPacketThatFits(t *testing.T) {
	t.Parallel()
	df := udpFields(1)
	df.DF = true
	pkt := packet(df, 80)
	n := 0
	if err := Fragment(pkt, 100, func(f []byte) {
		n++
		if &f[0] != &pkt[0] || len(f) != len(pkt) {
			t.Error("a packet of just the MTU was copied or cut")
		}
	}); err != nil || n != 1 {
		t.Errorf("emitted %d pieces, error %v", n, err)
	}
}

// Fragments of random packets, some cut twice, arrive in random order, doubled, and give the packet.
func TestReassembleWhatFragmentCuts(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 7))
	for range 300 {
		pkt := packet(udpFields(uint16(r.Uint32())), 1+r.IntN(9000))
		mtu := 28 + r.IntN(1500)
		var parts [][]byte
		keep := func(f []byte) { parts = append(parts, bytes.Clone(f)) }
		if err := Fragment(pkt, mtu, func(f []byte) {
			if len(f) > mtu {
				t.Fatalf("fragment of %d bytes for MTU %d", len(f), mtu)
			}
			if err := Fragment(f, max(28, mtu-r.IntN(200)), keep); err != nil {
				t.Fatal(err)
			}
		}); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			parts = append(parts, parts[r.IntN(len(parts))])
		}
		r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		re := NewReassembler(1<<20, timeout)
		var got []byte
		for _, p := range parts {
			if whole, ok := re.Add(t0, p); ok {
				got = whole
			}
		}
		if !bytes.Equal(got, pkt) {
			t.Fatalf("packet of %d bytes cut to %d: reassembled %d bytes, stats %+v", len(pkt), mtu, len(got), re.Stats)
		}
	}
}

func TestEchoReply(t *testing.T) {
	t.Parallel()
	icmp := []byte{8, 0, 0, 0, 0x12, 0x34, 0, 1, 'h', 'e', 'l', 'l', 'o'}
	binary.BigEndian.PutUint16(icmp[2:], slowChecksum(icmp, 0))
	request := append(AppendHeader(nil, Fields{TTL: 9, Protocol: ProtocolICMP, Src: hostA, Dst: hostB}, len(icmp)), icmp...)
	reply := bytes.Clone(request)
	if !EchoReply(reply) {
		t.Fatal("a good request was not answered")
	}
	p := gopacket.NewPacket(reply, layers.LayerTypeIPv4, gopacket.Default)
	ip, _ := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	echo, _ := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
	if ip == nil || echo == nil || ip.SrcIP.String() != "198.51.100.2" || ip.DstIP.String() != "192.0.2.1" || ip.TTL != 64 ||
		echo.TypeCode.Type() != layers.ICMPv4TypeEchoReply || echo.Id != 0x1234 || echo.Seq != 1 || string(echo.Payload) != "hello" {
		t.Errorf("reply is %v", p)
	}
	h, payload, _ := Parse(reply)
	if !h.ChecksumOK() || slowChecksum(payload, 0) != 0 {
		t.Errorf("checksums of the reply %x are wrong", reply)
	}
	for name, change := range map[string]func(b []byte){
		"a reply":             func(b []byte) { b[20] = 0 },
		"wrong ICMP checksum": func(b []byte) { b[30] ^= 1 },
		"wrong IP checksum":   func(b []byte) { b[8]++ },
		"a fragment":          func(b []byte) { b[6] = 0x20; Header(b[:20]).UpdateChecksum() },
		"to a group":          func(b []byte) { b[16] = 224; Header(b[:20]).UpdateChecksum() },
		"UDP":                 func(b []byte) { b[9] = ProtocolUDP; Header(b[:20]).UpdateChecksum() },
	} {
		b := bytes.Clone(request)
		change(b)
		want := bytes.Clone(b)
		if EchoReply(b) || !bytes.Equal(b, want) {
			t.Errorf("%s: answered or changed", name)
		}
	}
}

func TestICMPErrors(t *testing.T) {
	t.Parallel()
	router := netip.MustParseAddr("10.255.0.1")
	orig := packet(udpFields(3), 1400)
	for name, tt := range map[string]struct {
		got    []byte
		typ    uint8
		code   uint8
		nextMT uint16
	}{
		"fragmentation needed": {ICMPFragNeeded(nil, orig, router, 1422), 3, 4, 1422},
		"time exceeded":        {ICMPTimeExceeded(nil, orig, router), 11, 0, 0},
		"net unreachable":      {ICMPUnreachable(nil, orig, router, CodeNetUnreachable), 3, 0, 0},
	} {
		h, payload, err := Parse(tt.got)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(tt.got) != 576 || h.Src() != router || h.Dst() != hostA || h.Protocol() != ProtocolICMP || h.TOS() != 0xc0 || !h.ChecksumOK() {
			t.Errorf("%s: header is %x, packet %d bytes", name, []byte(h), len(tt.got))
		}
		if payload[0] != tt.typ || payload[1] != tt.code || binary.BigEndian.Uint16(payload[6:]) != tt.nextMT || slowChecksum(payload, 0) != 0 {
			t.Errorf("%s: ICMP is %x", name, payload[:8])
		}
		if !bytes.Equal(payload[8:], orig[:548]) {
			t.Errorf("%s: quotes another packet", name)
		}
	}
}

// RFC 1812, 4.3.2.7: what must not be answered.
func TestICMPErrorsWithheld(t *testing.T) {
	t.Parallel()
	router := netip.MustParseAddr("10.255.0.1")
	icmp := func(typ byte) []byte {
		b := packet(Fields{TTL: 1, Protocol: ProtocolICMP, Src: hostA, Dst: hostB}, 8)
		b[20] = typ
		return b
	}
	with := func(src, dst string) []byte {
		return packet(Fields{TTL: 1, Protocol: ProtocolUDP, Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst)}, 8)
	}
	later := packet(udpFields(1), 8)
	later[7] = 1
	for name, orig := range map[string][]byte{
		"unreachable": icmp(3), "source quench": icmp(4), "redirect": icmp(5), "time exceeded": icmp(11), "parameter problem": icmp(12),
		"ICMP without a type": packet(Fields{Protocol: ProtocolICMP, Src: hostA, Dst: hostB}, 0),
		"to a group":          with("192.0.2.1", "224.0.0.5"),
		"to everyone":         with("192.0.2.1", "255.255.255.255"),
		"from a group":        with("239.1.1.1", "192.0.2.1"),
		"from nowhere":        with("0.0.0.0", "192.0.2.1"),
		"later fragment":      later,
		"malformed":           {0x45, 0},
	} {
		if got := ICMPTimeExceeded(nil, orig, router); got != nil {
			t.Errorf("%s: answered with %x", name, got)
		}
	}
	if ICMPTimeExceeded(nil, icmp(8), router) == nil {
		t.Error("an echo request whose TTL ran out was not answered: traceroute would not work")
	}
}

// syn builds a TCP segment with the given options by gopacket, which computes its checksum.
func syn(t *testing.T, flags func(*layers.TCP), options ...layers.TCPOption) []byte {
	t.Helper()
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: hostA.AsSlice(), DstIP: hostB.AsSlice()}
	tcp := &layers.TCP{SrcPort: 1000, DstPort: 80, Seq: 7, Window: 1000, Options: options, SYN: true}
	flags(tcp)
	if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, ip, tcp, gopacket.Payload("data")); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestClampMSS(t *testing.T) {
	t.Parallel()
	same := func(*layers.TCP) {}
	mss := layers.TCPOption{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{0x05, 0xb4}} // 1460
	nop := layers.TCPOption{OptionType: layers.TCPOptionKindNop, OptionLength: 1}
	end := layers.TCPOption{OptionType: layers.TCPOptionKindEndList, OptionLength: 1}
	for name, tt := range map[string]struct {
		pkt  []byte
		at   int // where the value stands in the packet
		want bool
	}{
		"SYN":             {syn(t, same, mss), 42, true},
		"SYN ACK":         {syn(t, func(p *layers.TCP) { p.ACK = true }, mss), 42, true},
		"at an odd place": {syn(t, same, nop, mss), 43, true},
		"no SYN":          {syn(t, func(p *layers.TCP) { p.SYN = false; p.ACK = true }, mss), 42, false},
		"no options":      {syn(t, same), 0, false},
		"after the end":   {syn(t, same, end, mss), 43, false},
	} {
		before := bytes.Clone(tt.pkt)
		if got := ClampMSS(tt.pkt, 1382); got != tt.want {
			t.Errorf("%s: ClampMSS is %v, want %v", name, got, tt.want)
			continue
		}
		h, tcp, _ := Parse(tt.pkt)
		if Checksum(tcp, PseudoHeaderSum(h.Src(), h.Dst(), ProtocolTCP, len(tcp))) != 0 {
			t.Errorf("%s: TCP checksum is wrong afterwards", name)
		}
		if !tt.want {
			if !bytes.Equal(before, tt.pkt) {
				t.Errorf("%s: changed", name)
			}
			continue
		}
		if got := binary.BigEndian.Uint16(tt.pkt[tt.at:]); got != 1382 {
			t.Errorf("%s: MSS is %d, want 1382", name, got)
		}
		if ClampMSS(tt.pkt, 1400) {
			t.Errorf("%s: raised the MSS", name)
		}
	}
}

func TestFlowHash(t *testing.T) {
	t.Parallel()
	base := packet(udpFields(1), 20)
	same := packet(Fields{TTL: 3, TOS: 8, Protocol: ProtocolUDP, ID: 77, Src: hostA, Dst: hostB}, 200)
	if FlowHash(base) != FlowHash(same) {
		t.Error("TTL, TOS, ID or length change the hash")
	}
	port := bytes.Clone(base)
	port[23]++
	swapped := packet(Fields{Protocol: ProtocolUDP, Src: hostB, Dst: hostA}, 20)
	for name, other := range map[string][]byte{"port": port, "direction": swapped} {
		if FlowHash(base) == FlowHash(other) {
			t.Errorf("another %s gives the same hash", name)
		}
	}
	var hashes []uint32
	if err := Fragment(packet(udpFields(5), 4000), 1400, func(f []byte) { hashes = append(hashes, FlowHash(f)) }); err != nil {
		t.Fatal(err)
	}
	for _, h := range hashes {
		if h != hashes[0] {
			t.Errorf("fragments of one packet hash to %x", hashes)
		}
	}
	if FlowHash([]byte("nothing")) != 0 {
		t.Error("no packet has a hash")
	}
	buckets := [4]int{}
	for i := range 4096 {
		binary.BigEndian.PutUint16(port[20:], uint16(i))
		buckets[FlowHash(port)%4]++
	}
	for i, n := range buckets {
		if n < 900 || n > 1150 {
			t.Errorf("bucket %d of 4 has %d of 4096 source ports", i, n)
		}
	}
}

func TestNoAllocationPerPacket(t *testing.T) {
	pkt := packet(udpFields(1), 1000)
	if n := testing.AllocsPerRun(100, func() {
		h, _, _ := Parse(pkt)
		h.SetTTL(h.TTL() + 1)
		h.DecrementTTL()
		_, _ = h.Src(), h.Dst()
		FlowHash(pkt)
		ClampMSS(pkt, 1300)
		EchoReply(pkt)
		Checksum(pkt, 0)
	}); n != 0 {
		t.Errorf("%v allocations a packet, want 0", n)
	}
}

// Packets from a third party's GRE tunnel: every header parses with a right checksum.
func TestParseCapturedPackets(t *testing.T) {
	t.Parallel()
	r, err := pcapgo.NewReader(bytes.NewReader(testvectors.Read(t, testvectors.Path(t, "captures/zeek/gre-sample.pcap"))))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		frame, _, err := r.ReadPacketData()
		if err != nil {
			break
		}
		h, payload, err := Parse(frame[14:])
		if err != nil || !h.ChecksumOK() || h.Protocol() != ProtocolGRE || len(payload) != h.TotalLen()-len(h) {
			t.Errorf("packet %d: %v, header %x", n, err, []byte(h))
		}
		n++
	}
	if n != 40 {
		t.Errorf("read %d packets, want 40", n)
	}
}

func BenchmarkChecksum(b *testing.B) {
	pkt := packet(udpFields(1), 1400)
	b.SetBytes(1420)
	for b.Loop() {
		Checksum(pkt, 0)
	}
}

func BenchmarkFlowHash(b *testing.B) {
	pkt := packet(udpFields(1), 100)
	for b.Loop() {
		FlowHash(pkt)
	}
}

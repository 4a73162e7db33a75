package ospf

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"meshrouter/internal/testvectors"
)

// A captured packet is an OSPF packet from a recording.
type captured struct {
	at       time.Duration
	src, dst netip.Addr
	payload  []byte
}

func readCapture(t *testing.T, path string) []captured {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	var source interface {
		gopacket.PacketDataSource
		LinkType() layers.LinkType
	}
	if strings.HasSuffix(path, "ng") {
		source, err = pcapgo.NewNgReader(f, pcapgo.DefaultNgReaderOptions)
	} else {
		source, err = pcapgo.NewReader(f)
	}
	if err != nil {
		t.Fatal(err)
	}
	var list []captured
	var start time.Time
	for {
		data, info, err := source.ReadPacketData()
		if err == io.EOF { //nolint:errorlint // the reader returns it bare
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		if start.IsZero() {
			start = info.Timestamp
		}
		ip, ok := gopacket.NewPacket(data, source.LinkType(), gopacket.NoCopy).NetworkLayer().(*layers.IPv4)
		if !ok || ip.Protocol != layers.IPProtocolOSPF {
			continue
		}
		src, _ := netip.AddrFromSlice(ip.SrcIP.To4())
		dst, _ := netip.AddrFromSlice(ip.DstIP.To4())
		list = append(list, captured{info.Timestamp.Sub(start), src, dst, ip.Payload})
	}
}

// reappend decodes a body and encodes it again.
func reappend(h Header, b []byte) ([]byte, error) {
	var p body
	var err error
	switch h.Type {
	case HelloPacket:
		p, err = ParseHello(b)
	case DatabaseDescriptionPacket:
		p, err = ParseDatabaseDescription(b)
	case LSRequestPacket:
		p, err = ParseLinkStateRequest(b)
	case LSUpdatePacket:
		p, err = ParseLinkStateUpdate(b)
	case LSAckPacket:
		p, err = ParseLinkStateAck(b)
	default:
		return nil, fmt.Errorf("%v", h.Type)
	}
	if err != nil {
		return nil, err
	}
	return p.Append(h.Append(nil)), nil
}

// TestCapturesByteForByte: every recorded packet parses and appends to the same bytes; checksums, digests and the
// checksums of the LSAs are right, and our router-LSAs and external LSAs encode as theirs do.
func TestCapturesByteForByte(t *testing.T) {
	t.Parallel()
	keys := Auth{CryptographicAuth, []Key{{ID: 7, Key: []byte("meshkey")}}}
	for name, want := range map[string]struct {
		auth    Auth
		packets int
	}{
		"frr-bird-p2p": {Auth{}, 48}, "frr-bird-bcast-md5": {keys, 51}, "bird-bird-p2p-sha256": {Auth{Type: CryptographicAuth}, 47},
	} {
		packets := readCapture(t, testvectors.Data(t, "captures/ospf/"+name+".pcap"))
		if len(packets) != want.packets {
			t.Errorf("%s: %d packets, want %d", name, len(packets), want.packets)
		}
		for i, p := range packets {
			h, b, trailer, err := ParsePacket(p.payload)
			if err != nil {
				t.Fatalf("%s %d: %v", name, i, err)
			}
			again, err := reappend(h, b)
			if err != nil || !bytes.Equal(again, p.payload[:h.Length]) {
				t.Errorf("%s %d: %v: %x appends as %x", name, i, err, p.payload, again)
			}
			if len(want.auth.Keys) > 0 || want.auth.Type == NullAuth {
				seq, refused := want.auth.verify("capture", h, p.payload[:h.Length], trailer)
				if refused != nil {
					t.Errorf("%s %d: %v", name, i, refused.err)
				}
				plain := h
				plain.Authentication, plain.Checksum = [8]byte{}, 0
				if sealed := want.auth.Seal(append(plain.Append(nil), b...), seq); !bytes.Equal(sealed, p.payload) {
					t.Errorf("%s %d: %x seals as %x", name, i, p.payload, sealed)
				}
			}
			checkLSAs(t, h, b)
		}
	}
}

// checkLSAs verifies each LSA of an update and builds it again from its decoded body.
func checkLSAs(t *testing.T, h Header, b []byte) {
	t.Helper()
	if h.Type != LSUpdatePacket {
		return
	}
	u, err := ParseLinkStateUpdate(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range u.LSAs {
		parsed, counter, err := inspectLSA(l.Header(), l)
		if err != nil {
			t.Errorf("%v: %s %v", l.Header(), counter, err)
			continue
		}
		var again []byte
		switch {
		case parsed.router != nil:
			again = parsed.router.Append(nil)
		case parsed.network != nil:
			again = parsed.network.Append(nil)
		case parsed.external != nil:
			again = parsed.external.Append(nil)
		}
		if built := NewLSA(l.Header(), again); !bytes.Equal(built, l) {
			t.Errorf("%v: %x builds as %x", l.Header().LSAKey, l, built)
		}
	}
}

// TestTcpdumpCaptures: recordings of many implementations, some broken, parse or fail without a panic, and the healthy
// ones append to the same bytes.
func TestTcpdumpCaptures(t *testing.T) {
	t.Parallel()
	healthy := map[string]int{"OSPFv2_Capture_FINAL.pcapng": 30, "ospf-ack.pcap": 1, "ospf-nssa-bitnt.pcap": 1, "ospf_graceful_restart_rfc3623.pcap": 1, "ospf-sr.pcapng": 1}
	for name, want := range healthy {
		packets := readCapture(t, testvectors.Path(t, "captures/tcpdump/"+name))
		if len(packets) != want {
			t.Errorf("%s: %d packets, want %d", name, len(packets), want)
		}
		for i, p := range packets {
			h, b, _, err := ParsePacket(p.payload)
			if err != nil {
				t.Errorf("%s %d: %v", name, i, err)
				continue
			}
			if again, err := reappend(h, b); err != nil || !bytes.Equal(again, p.payload[:h.Length]) {
				t.Errorf("%s %d: %v: %x appends as %x", name, i, err, p.payload[:h.Length], again)
			}
			if h.Type == LSUpdatePacket {
				u, _ := ParseLinkStateUpdate(b)
				for _, l := range u.LSAs {
					// The Grace-LSA was made with the reserved sequence number.
					if _, counter, err := inspectLSA(l.Header(), l); err != nil && counter != "lsa_bad_sequence" {
						t.Errorf("%s %d: %v: %s %v", name, i, l.Header().LSAKey, counter, err)
					}
				}
			}
		}
	}
}

// An lsadbLine is a row of BIRD's `show ospf lsadb`.
type lsadbLine struct {
	key      LSAKey
	sequence uint32
	checksum uint16
}

func readLSADB(t *testing.T, path string) []lsadbLine {
	t.Helper()
	row := regexp.MustCompile(`(?m)^ ([0-9a-f]{4}) +(\S+) +(\S+) +([0-9a-f]{8}) +\d+ +([0-9a-f]{4})`)
	var lines []lsadbLine
	for _, m := range row.FindAllStringSubmatch(string(testvectors.Read(t, path)), -1) {
		var l lsadbLine
		var typ uint8
		if _, err := fmt.Sscanf(m[1]+" "+m[4]+" "+m[5], "%x %x %x", &typ, &l.sequence, &l.checksum); err != nil {
			t.Fatal(err)
		}
		l.key = LSAKey{LSType(typ), LinkStateID(number(netip.MustParseAddr(m[2]))), RouterID(number(netip.MustParseAddr(m[3])))}
		lines = append(lines, l)
	}
	return lines
}

// TestReplay puts our instance in the place of either end of the recordings: fed with what the other end sent, it comes
// to Full, keeps the other end's LSAs as BIRD's database has them, and says of itself what the recorded end said.
func TestReplay(t *testing.T) {
	t.Parallel()
	left, right := RouterID(0xc6336401), RouterID(0xc6336402)
	for _, name := range []string{"frr-bird-p2p", "frr-bird-bcast-md5"} {
		packets := readCapture(t, testvectors.Data(t, "captures/ospf/"+name+".pcap"))
		lines := readLSADB(t, testvectors.Data(t, "captures/ospf/"+name+".lsadb.txt"))
		ends := []RouterID{left, right}
		if name == "frr-bird-bcast-md5" {
			ends = ends[:1] // FRR asks the right end for an external LSA, which we do not originate
		}
		for _, own := range ends {
			t.Run(fmt.Sprintf("%s/%v", name, own), func(t *testing.T) {
				t.Parallel()
				r := newReplay(packets, own)
				r.run(19*time.Second, t)
				if n := r.in.Neighbors(r.now); len(n) != 1 || n[0].State != Full {
					t.Fatalf("%+v\n%v", n, r.in.Counters())
				}
				r.compare(t, name, lines)
				r.run(27*time.Second, t)
			})
		}
	}
}

type replay struct {
	in      *Instance
	own     RouterID
	base    time.Time
	now     time.Time
	packets []captured
	sent    []captured // by the recorded end that we replace
}

func newReplay(all []captured, own RouterID) *replay {
	r := &replay{in: New(), own: own}
	last := byte(own) // 10.9.0.1 and 10.9.0.2
	auth := Auth{}
	var first uint32 // the DD sequence number of the master
	for _, p := range all {
		if p.src.As4()[3] == last {
			r.sent = append(r.sent, p)
		} else {
			r.packets = append(r.packets, p)
		}
		h, b, _, _ := ParsePacket(p.payload)
		if h.AuType == CryptographicAuth {
			auth = Auth{CryptographicAuth, []Key{{7, []byte("meshkey")}}}
		}
		if h.Type == DatabaseDescriptionPacket && p.src.As4()[3] == 2 && first == 0 {
			d, _ := ParseDatabaseDescription(b)
			first = d.Sequence
		}
	}
	// The recorded slave answers with the recorded master's numbers. Ours come from the clock: set it so
	// that they are the same when the exchange begins.
	begin := slices.IndexFunc(r.packets, func(p captured) bool { return PacketType(p.payload[1]) == DatabaseDescriptionPacket })
	hello := slices.IndexFunc(r.packets, func(p captured) bool {
		h, b, _, _ := ParsePacket(p.payload)
		d, _ := ParseHello(b)
		return h.Type == HelloPacket && slices.Contains(d.Neighbors, own)
	})
	if begin > hello && hello >= 0 {
		begin = hello
	}
	r.base = time.Unix(int64(first)-1, 0).Add(-r.packets[begin].at)
	r.now = r.base
	lan := fmt.Sprintf("10.9.%d.1/24", 11*last)
	cfg := Config{RouterID: own, Interfaces: []InterfaceConfig{
		{Name: "v0", Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 9, 0, last}), 30), HelloInterval: 2 * time.Second,
			RouterDeadInterval: 8 * time.Second, DDMTU: 1500, Cost: 10, Auth: auth},
		{Name: "z-lan", Passive: true, Address: netip.MustParsePrefix(lan), Cost: 10},
	}}
	if last == 2 {
		cfg.Interfaces[1].Cost = 5
	}
	r.in.Step(r.now, Configure{cfg}, nil)
	r.in.Step(r.now, InterfaceUp{"v0"}, nil)
	r.in.Step(r.now, InterfaceUp{"z-lan"}, nil)
	return r
}

// run feeds what was recorded until then.
func (r *replay) run(until time.Duration, t *testing.T) {
	t.Helper()
	tick := func(to time.Time) {
		for at := r.in.Deadline(); !at.IsZero() && at.Before(to); at = r.in.Deadline() {
			r.now = at
			r.in.Step(at, Tick{}, nil)
		}
		r.now = to
	}
	for len(r.packets) > 0 && r.packets[0].at <= until {
		p := r.packets[0]
		r.packets = r.packets[1:]
		tick(r.base.Add(p.at))
		for _, o := range r.in.Step(r.now, Packet{"v0", p.src, p.dst, p.payload}, nil) {
			if e, ok := o.(Event); ok && e.Warning {
				t.Errorf("%v: %v", p.at, e)
			}
		}
	}
	tick(r.base.Add(until))
}

// compare looks for BIRD's rows in our database. Our own LSA has numbers of its own; on the point-to-point link it must
// list the links that the recorded end listed.
func (r *replay) compare(t *testing.T, name string, lines []lsadbLine) {
	t.Helper()
	ours := map[LSAKey]LSAHeader{}
	for _, l := range r.in.Database(r.now) {
		ours[LSA(l.Raw).Header().LSAKey] = LSA(l.Raw).Header()
	}
	for _, want := range lines {
		got, ok := ours[want.key]
		if want.key.AdvRouter == r.own {
			if want.key.Type == RouterLSAType && !ok {
				t.Errorf("our own LSA is missing")
			}
			continue
		}
		if !ok || uint32(got.Sequence) != want.sequence || got.Checksum != want.checksum {
			t.Errorf("%v: have %08x %04x, present %t, BIRD has %08x %04x", want.key, uint32(got.Sequence), got.Checksum, ok, want.sequence, want.checksum)
		}
	}
	if name != "frr-bird-p2p" {
		return
	}
	var last []RouterLink
	for _, p := range r.sent {
		h, b, _, _ := ParsePacket(p.payload)
		if h.Type != LSUpdatePacket || p.at > 10*time.Second {
			continue
		}
		u, _ := ParseLinkStateUpdate(b)
		for _, l := range u.LSAs {
			if k := l.Header(); k.AdvRouter == r.own && k.Age < MaxAge {
				body, _ := ParseRouterLSA(l.Body())
				last = body.Links
			}
		}
	}
	mine, _ := r.in.routerLSA()
	sortLinks := func(l []RouterLink) []RouterLink {
		l = slices.Clone(l)
		slices.SortFunc(l, func(a, b RouterLink) int { return int(int64(a.ID)) - int(int64(b.ID)) })
		return l
	}
	if !slices.Equal(sortLinks(mine.Links), sortLinks(last)) {
		t.Errorf("we announce %v, the recorded end %v", mine.Links, last)
	}
}

// FuzzCapture starts from recorded packets.
func FuzzCapture(f *testing.F) {
	files, err := filepath.Glob("../testdata/captures/ospf/*.pcap")
	if err != nil || len(files) == 0 {
		f.Fatal("no captures", err)
	}
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			f.Fatal(err)
		}
		r, err := pcapgo.NewReader(file)
		if err != nil {
			f.Fatal(err)
		}
		for {
			data, _, err := r.ReadPacketData()
			if err != nil {
				break
			}
			if len(data) > 34 {
				f.Add(data[34:])
			}
		}
		if err := file.Close(); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, body, _, err := ParsePacket(b)
		if err != nil {
			return
		}
		again, err := reappend(h, body)
		if err == nil && !bytes.Equal(again, b[:h.Length]) {
			t.Fatalf("%x appends as %x", b, again)
		}
	})
}

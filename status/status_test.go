package status

import (
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the tables to testdata; read each difference before you commit it")

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func port(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// documents are those of london in the lab: what the files in testdata show.
func documents() map[string]Document {
	return map[string]Document{
		"neighbors": &NeighborsDoc{Silent: []SilentInterface{{"london-kyoto", "kyoto", "IKE: no SA"}}, Neighbors: []Neighbor{
			{ID: addr("0.0.0.2"), Priority: 1, State: "FULL", InterfaceState: "P2P", DeadInSeconds: 3.9, Address: addr("10.255.0.2"), Interface: "london-tokyo", UptimeSeconds: 3723.4},
			{ID: addr("0.0.0.3"), Priority: 1, State: "EXSTA", InterfaceState: "P2P", DeadInSeconds: 4, Address: addr("10.255.0.5"), Interface: "gre0", UptimeSeconds: 0, Reason: "its DD packets have MTU 1500, ours is 1422 and mtu-check is strict"},
			{ID: addr("10.255.100.100"), Priority: 1, State: "FULL", InterfaceState: "P2P", DeadInSeconds: 35, Address: addr("10.255.100.101"), Interface: "gre1", UptimeSeconds: 8*86400 + 7200},
		}},
		"neighbors-empty": &NeighborsDoc{},
		"interfaces": &InterfacesDoc{[]Interface{
			{Name: "gre0", Address: prefix("10.255.0.1/30"), State: "P2P", HelloInSeconds: 9.2, LinkState: "active", UptimeSeconds: 86400 + 2*3600 + 180, Neighbors: 1, Adjacent: 1},
			{Name: "gre1", Address: prefix("10.255.0.5/32"), State: "DOWN", LinkState: "down", Reason: "no SA: the peer does not answer"},
			{Name: "em1", Address: prefix("10.1.0.1/24"), State: "DR", Passive: true, LinkState: "unknown", UptimeSeconds: 61},
		}},
		"rib": &RIBDoc{[]Route{
			{Destination: prefix("0.0.0.2/32"), Nexthop: addr("10.255.0.2"), PathType: "Intra-Area", Type: "Router", Cost: 10, UptimeSeconds: 59},
			{Destination: prefix("10.1.0.0/24"), Nexthop: addr("10.1.0.1"), Connected: true, PathType: "Intra-Area", Type: "Network", Cost: 10},
			{Destination: prefix("10.2.0.0/24"), Nexthop: addr("10.255.0.2"), PathType: "Intra-Area", Type: "Network", Cost: 20, UptimeSeconds: 604800},
		}},
		"fib": &FIBDoc{[]FIBEntry{
			{Destination: prefix("10.1.0.0/24"), Interface: "link#2", Origin: "connected", Priority: 4, InRIB: true, InFIB: true, InKernel: true},
			{Destination: prefix("10.2.0.0/24"), Nexthop: addr("10.255.0.2"), Origin: "ospf", Priority: 32, InRIB: true, InFIB: true, InKernel: true},
		}},
		"fib-differs": &FIBDoc{[]FIBEntry{
			{Destination: prefix("10.2.0.0/24"), Nexthop: addr("10.255.0.2"), Origin: "ospf", Priority: 32, InRIB: true, InFIB: true, InKernel: true},
			{Destination: prefix("10.3.0.0/24"), Nexthop: addr("10.255.0.6"), Origin: "ospf", Priority: 32, InRIB: true, InFIB: true},
			{Destination: prefix("10.4.0.0/24"), Nexthop: addr("10.255.0.6"), Origin: "static", Priority: 8, InKernel: true, Difference: "the kernel has it by another device: em0"},
		}},
		"flows": &FlowsDoc{[]Flow{
			{Direction: "in", From: prefix("192.0.2.2/32"), To: prefix("192.0.2.1/32"), Peer: addr("192.0.2.2"), SrcID: "192.0.2.1/32", DstID: "192.0.2.2/32", Type: "require"},
			{Direction: "out", From: prefix("192.0.2.1/32"), To: prefix("192.0.2.2/32"), Peer: addr("192.0.2.2"), SrcID: "192.0.2.1/32", DstID: "192.0.2.2/32", Type: "require"},
			{Direction: "out", Protocol: 47, From: prefix("10.1.0.0/24"), To: prefix("0.0.0.0/0"), Local: addr("192.0.2.1"), Peer: addr("192.0.2.3")},
		}},
		"flows-empty": &FlowsDoc{},
		"sad": &SADDoc{[]SA{
			{SPI: 0xe37791d3, Mode: "tunnel", From: port("192.0.2.1:0"), To: port("192.0.2.2:0"), Encryption: "3des-cbc", Authentication: "hmac-sha1"},
			{SPI: 0x0000abcd, Mode: "tunnel", From: port("192.0.2.2:4500"), To: port("192.0.2.1:4500"), Encryption: "3des-cbc", Authentication: "hmac-sha1", UDP: true},
			{SPI: 0x00010000, Mode: "transport", From: port("192.0.2.3:0"), To: port("192.0.2.1:0"), Encryption: "aes-128-gcm"},
		}},
		"sad-empty": &SADDoc{},
		"tunnels": &TunnelsDoc{[]Tunnel{
			{Link: "london-tokyo", Peer: "tokyo", Up: true, Local: addr("192.0.2.1"), Remote: addr("192.0.2.2"), GRELocal: addr("192.0.2.1"), GRERemote: addr("192.0.2.2"), TunnelLocal: prefix("10.255.0.1/30"), TunnelRemote: prefix("10.255.0.2/30"), Suite: "legacy", Mode: "tunnel", MTUBytes: 1422, MTUSum: "1500 - 20 outer IP - 8 ESP - 8 IV - 12 ICV - 6 padding - 20 inner IP - 4 GRE = 1422", PathMTUBytes: 1390, PacketsIn: 7, BytesIn: 700, PacketsOut: 8, BytesOut: 800},
			{Link: "london-osaka", Peer: "osaka", Reason: "no answer to main mode", Local: addr("192.0.2.1"), Remote: addr("192.0.2.3"), GRELocal: addr("192.0.2.1"), GRERemote: addr("192.0.2.3"), TunnelLocal: prefix("10.255.0.5/32"), TunnelRemote: prefix("10.255.0.6/32"), GREKey: new(uint32(42)), Suite: "legacy", Mode: "transport", MTUBytes: 1438, MTUSum: "..."},
		}},
		"ike": &IKEDoc{[]IKEPeer{
			{Link: "london-tokyo", State: "up", Role: "initiator", InitiatorCookie: "0123456789abcdef", ResponderCookie: "fedcba9876543210", Phase1: "3des-sha1-modp1024", NAT: "none", ExpiresInSeconds: 28000, SAs: 2, NHTB: addr("10.255.0.2")},
			{Link: "london-osaka", State: "negotiating", NAT: "none", Reason: "waiting for message 2; isakmpd may be deaf for 120 s after its last main mode"},
		}},
		"database": &DatabaseDoc{Area: addr("0.0.0.0"), LSAs: []LSA{
			{Type: 5, ID: addr("10.9.0.0"), AdvRouter: addr("0.0.0.2"), AgeSeconds: 3600, Sequence: 0x80000001, Checksum: 0xbeef},
			{Type: 1, ID: addr("0.0.0.1"), AdvRouter: addr("0.0.0.1"), AgeSeconds: 12, Sequence: 0x80000003, Checksum: 0x00a1},
			{Type: 1, ID: addr("0.0.0.2"), AdvRouter: addr("0.0.0.2"), AgeSeconds: 1, Sequence: 0x8000000a, Checksum: 0x1234},
		}},
		"summary": &SummaryDoc{RouterID: addr("0.0.0.1"), UptimeSeconds: 100, SPFDelayMsec: 50, SPFHoldMsec: 200, ExternalLSAs: 1, ExternalChecksum: 0xbeef,
			Areas:    []Area{{ID: addr("0.0.0.0"), Interfaces: 3, Adjacent: 2, SPFRuns: 9, LSAs: 3, ChecksumSum: 0x12d5}},
			Offloads: []Offload{{Name: "tun-tcp", On: true}, {Name: "protocol-50", On: true, Reason: "raw sockets; AF_XDP: another program is attached"}, {Name: "udp-gro", Reason: "switched off"}},
			Workers:  []Worker{{Name: "TUN queue 0", Packets: 123456, Batches: 2345, BusyMsec: 0.21, MaxBusyMsec: 1.5}, {Name: "receiver 2", Packets: 7, Batches: 7, BusyMsec: 0.01, MaxBusyMsec: 0.02, WaitMsec: 0.3, MaxWaitMsec: 5.25}}},
		"counters": &CountersDoc{[]Counter{{"dataplane", "replay", 3}, {"ike", "no_proposal_chosen", 1}, {"ospf", "hello_interval_mismatch", 12345678901}}},
	}
}

// TestTables compares each table with the text that ospfctl or ipsecctl would print, written by
// hand after openbsd-facts.md, 6 and 8.
func TestTables(t *testing.T) {
	t.Parallel()
	docs := documents()
	for name, doc := range docs {
		var got strings.Builder
		doc.Table(&got)
		file := filepath.Join("testdata", name+".txt")
		if *update {
			if err := os.WriteFile(file, []byte(got.String()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for _, view := range Views() {
		if docs[view] == nil {
			t.Errorf("no golden table for the view %s", view)
		}
	}
}

// TestJSON holds that a document survives the socket: decoded again it prints the same table.
func TestJSON(t *testing.T) {
	t.Parallel()
	for name, doc := range documents() {
		b, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		view, _, _ := strings.Cut(name, "-")
		back := New(view)
		if err := json.Unmarshal(b, back); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var want, got strings.Builder
		doc.Table(&want)
		back.Table(&got)
		if want.String() != got.String() {
			t.Errorf("%s after JSON:\n%s\nbefore:\n%s", name, got.String(), want.String())
		}
	}
}

// TestJSONNames holds the conventions of the names: snake case, lists in the plural.
func TestJSONNames(t *testing.T) {
	t.Parallel()
	for _, view := range Views() {
		var walk func(reflect.Type)
		walk = func(typ reflect.Type) {
			for f := range typ.Fields() {
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				if name == "" || name != strings.ToLower(name) || strings.Contains(name, "-") {
					t.Errorf("%s.%s is called %q in JSON", typ, f.Name, name)
				}
				if f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct {
					if !strings.HasSuffix(name, "s") && name != "entries" {
						t.Errorf("the list %s.%s is called %q, not in the plural", typ, f.Name, name)
					}
					walk(f.Type.Elem())
				}
			}
		}
		walk(reflect.TypeOf(New(view)).Elem())
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	for word, want := range map[string][]string{
		"neighbors": {"neighbors"}, "neighbor": {"neighbors"}, "nei": {"neighbors"},
		"interface": {"interfaces"}, "fib": {"fib"}, "rib": {"rib"}, "flow": {"flows"}, "sa": {"sad"},
		"f": {"fib", "flows"}, "s": {"sad", "summary"}, "i": {"ike", "interfaces"}, "x": nil, "": nil, "sadd": nil,
	} {
		if got := Resolve(word); !slices.Equal(got, want) {
			t.Errorf("Resolve(%q) = %v, want %v", word, got, want)
		}
	}
	if New("neighbor") != nil {
		t.Error("New takes a name that is no view")
	}
}

// TestTimeframe follows openbsd-facts.md, 8.
func TestTimeframe(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[float64]string{
		-1: "00:00:00", 0: "00:00:00", 0.9: "00:00:00", 59.99: "00:00:59", 3661: "01:01:01", 86399: "23:59:59",
		86400: "1d00h00m", 6*86400 + 23*3600 + 59*60 + 59: "6d23h59m", 604800: "01w0d00h", 120 * 604800: "120w0d00h",
	} {
		if got := timeframe(seconds); got != want {
			t.Errorf("timeframe(%v) = %s, want %s", seconds, got, want)
		}
	}
}

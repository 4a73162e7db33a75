package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"meshrouter/dataplane/esp"
	"meshrouter/ospf"
)

// filled is a document in which every part has figures.
func filled() *Document {
	load, steal := 0.5, 0.25
	d := newDocument(time.Date(2026, time.January, 2, 3, 4, 5, 6, time.UTC), Options{Version: "1.0", Quick: true})
	d.Machine = Machine{CPU: "a processor", Model: "a model", Features: []string{"aes"}, Cores: 2, System: "linux/amd64", Kernel: "6.1", Go: "go1.26", Load: &load, Steal: &steal}
	d.Implementations = map[string]string{"des3": "vbmi", "level": "avx512"}
	d.Peers = []Peer{{Part: Tunnel, Name: "strongswan", Missing: "there is no charon"}}
	d.DES3 = map[string]float64{"encrypt_vs_crypto_des": d.note("des3.encrypt_vs_crypto_des", []float64{1, 1.5, 2}), "decrypt_vs_crypto_des": 1.25}
	d.Crypto = []CryptoRow{
		{Work: des3Encrypt, By: ours, Bytes: 1408, Batch: 64, Mbyte: Sample{900, 890, 910, 5}},
		{Work: des3Encrypt, By: goBy, Bytes: 1408, Batch: 64, Mbyte: Sample{30, 29, 31, 5}, Ours: &Sample{30, 29, 31, 5}},
		{Work: des3Encrypt, By: "meshrouter-avx2", Bytes: 1408, Batch: 11, Mbyte: Sample{60, 59, 61, 5}},
	}
	d.SPF = []SPFRow{{Routers: 100, Links: 200, LSABytes: 8400, Routes: 99, Full: Sample{0.1, 0.09, 0.11, 5}, Load: Sample{0.06, 0.05, 0.07, 5}}}
	d.IKE = []IKERow{{Phase1: "3des-sha1-modp1024", Phase2: "3des-sha1", Handshakes: Sample{500, 490, 510, 5}, Initiator: 1000, Responder: 1001}}
	d.Scale = &Scale{Rows: []ScaleRow{{What: "tunnels", Count: 1000, NS: Sample{700, 690, 710, 5}, VsLeast: Sample{1.05, 1, 1.1, 5}}}, TunnelBytes: 3500, TunnelsMbyte: 35}
	ratio := 1.75
	d.Traffic = &Traffic{
		TCP3DES: 100, TCPGCM: 1000, TCPVeth: 20000, TCPVsWireGuard: &ratio, UDP64VsWireGuard: &ratio, Iperf: "3.12", Congestion: "cubic", Pinning: "nobody", Void: 1,
		Comparisons: []Comparison{{Name: "tcp_vs_wireguard_go", Ours: gcmUDP, Theirs: wireguardPath, Ratio: Sample{1.75, 1.7, 1.8, 5}}, {Name: "tcp_gcm_vs_strongswan", Ratio: Sample{Median: 60}, Suspect: true}},
		Rows:        []TunnelRow{{Path: des3UDP, Streams: 1, Mbit: Sample{90, 80, 100, 5}, VsVeth: Sample{0.005, 0.004, 0.006, 5}, Load: Load{SenderCPU: 95, ReceiverCPU: 60, Limit: "all cores"}}},
		UDP:         []UDPRow{{Path: wireguardPath, Bytes: 64, Packets: Sample{8000, 7900, 8100, 5}}},
		Latency:     []LatencyRow{{Path: gcmUDP, Bytes: 64, P99: Sample{123, 120, 130, 5}}},
	}
	d.Profile = &Profile{Suite: "aes128gcm16", Sides: []ProfileSide{{Side: "sender", Stages: []ProfileStage{{"seal", 432, 50}}}}}
	return d
}

// The names in the document are an interface: scripts and the next figures depend on them.
func TestDocumentShape(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(filled())
	if err != nil {
		t.Fatal(err)
	}
	var d map[string]any
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"comparisons", "cores", "cpu", "cpu_features", "cpu_model", "crypto", "date", "des3", "go", "ike", "implementations", "iperf3", "kernel",
		"latency", "load_average_1m", "peers", "pinning", "profile", "quick", "scale", "seconds", "spf", "spread", "steal_percent", "system",
		"tcp_3des_mbit", "tcp_aes_gcm_128_mbit", "tcp_congestion", "tcp_veth_mbit", "tcp_vs_wireguard_go", "tunnel", "udp",
		"udp64_vs_wireguard_go", "version", "void_rounds",
	}
	if diff := cmp.Diff(want, sorted(d)); diff != "" {
		t.Errorf("names of the document (-want +got):\n%s", diff)
	}
	for path, want := range map[string]any{
		"cpu":                                    "a processor",
		"date":                                   "2026-01-02T03:04:05Z",
		"des3.encrypt_vs_crypto_des":             1.5,
		"des3.decrypt_vs_crypto_des":             1.25,
		"spf.0.full_ms.median":                   0.1,
		"ike.0.handshakes_per_second.p90":        510.0,
		"crypto.0.mbyte_per_second.n":            5.0,
		"tcp_vs_wireguard_go":                    1.75,
		"tunnel.0.sender_cpu_percent":            95.0,
		"tcp_3des_mbit":                          100.0,
		"spread/des3.encrypt_vs_crypto_des/p10":  1.1,
		"spread/des3.encrypt_vs_crypto_des/n":    3.0,
		"spread/des3.encrypt_vs_crypto_des/nope": nil,
	} {
		if got := at(d, path); got != want {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
}

// A part that did not run leaves no figures that look measured.
func TestDocumentOfOnePart(t *testing.T) {
	t.Parallel()
	full := filled()
	full.Traffic, full.SPF, full.IKE, full.Peers = nil, nil, nil, nil
	text, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tcp_3des_mbit", "tunnel", "spf", "ike"} {
		if strings.Contains(string(text), `"`+name+`"`) {
			t.Errorf("the document of the part crypto holds %s: %s", name, text)
		}
	}
}

// at walks into a document; a path with slashes has names with dots.
func at(v any, path string) any {
	separator := "."
	if strings.Contains(path, "/") {
		separator = "/"
	}
	for name := range strings.SplitSeq(path, separator) {
		switch x := v.(type) {
		case map[string]any:
			v = x[name]
		case []any:
			v = x[0]
		default:
			return nil
		}
	}
	return v
}

func TestTable(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	filled().Table(&out)
	for _, want := range []string{
		"a model, 2 cores, linux/amd64 6.1", "1 rounds void", "1.50   1.10..1.90", "3des-cbc-encrypt", "8400", "490..510", "95 > 60",
		"there is no charon", "suspect", "1.05", "3.50 KB", "432", "8000", "123", "0.5 ",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the tables lack %q:\n%s", want, out.String())
		}
	}
}

func TestUnknownPart(t *testing.T) {
	t.Parallel()
	if err := Run(t.Context(), Options{Parts: []string{"crypt"}}); err == nil || !strings.Contains(err.Error(), "crypto spf ike scale tunnel profile") {
		t.Errorf("error %v, want one that lists the parts", err)
	}
}

// Without root the tunnel is refused before anything is measured.
func TestTunnelNeedsRoot(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		if err := tunnelPossible(); err != nil && !errors.Is(err, ErrUnsupported) {
			t.Errorf("error %v, want none or %v", err, ErrUnsupported)
		}
		return
	}
	var out bytes.Buffer
	if err := Run(t.Context(), Options{Stdout: &out, Stderr: &out}); !errors.Is(err, ErrUnsupported) || out.Len() > 0 {
		t.Errorf("error %v after %q, want %v at once", err, out.String(), ErrUnsupported)
	}
}

// Each suite is checked against the standard library, and the check sees a wrong packet.
func TestVerifySuites(t *testing.T) {
	t.Parallel()
	for name, s := range suiteTable {
		for _, size := range []int{0, 1, 64, 1408} {
			b, err := newBatch(s, size, 3)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.verify(s); err != nil {
				t.Errorf("%d bytes: %v", size, err)
			}
			b.packets[1][len(b.packets[1])-1] ^= 1
			if err := b.verify(s); err == nil {
				t.Errorf("%s, %d bytes: a changed ICV went unseen", name, size)
			}
		}
	}
}

// A batch can be sealed and opened again and again.
func TestBatchRepeats(t *testing.T) {
	t.Parallel()
	for _, s := range suiteTable {
		b, err := newBatch(s, 256, 8)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if b.seal(); len(b.sealed) != 8 {
				t.Fatalf("%s: %d packets sealed, want 8: %v", b.out.Suite(), len(b.sealed), b.jobs[0].Err)
			}
			b.open()
			for i, j := range b.jobs {
				if j.Err != nil || !bytes.Equal(j.Pkt, payload(256, i)) {
					t.Fatalf("%s: packet %d: %v", b.out.Suite(), i, j.Err)
				}
			}
		}
	}
	if _, err := newPlain(suite{cipher: esp.NullCipher}); err == nil {
		t.Error("a suite without a plain twin is not refused")
	}
}

func TestGraph(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 10, 300} {
		g := newGraph(n)
		lsas, size := g.lsas()
		if len(lsas) != n {
			t.Fatalf("%d LSAs, want %d", len(lsas), n)
		}
		total := 0
		for _, l := range lsas {
			if !l.ChecksumOK() {
				t.Fatalf("%v has a wrong checksum", l.Header().LSAKey)
			}
			total += len(l)
		}
		if total != size {
			t.Errorf("%d bytes of LSAs, told %d", total, size)
		}
		routes := g.calculation(lsas).Routes()
		if err := g.verify(routes); err != nil {
			t.Error(err)
		}
		if again, _ := newGraph(n).lsas(); !cmp.Equal(lsas, again) {
			t.Errorf("two graphs of %d routers differ", n)
		}
		last := slices.IndexFunc(routes, func(r ospf.Route) bool { return r.Prefix == netip.PrefixFrom(address(n), 32) })
		routes[last].Cost++
		if err := g.verify(routes); err == nil {
			t.Errorf("a wrong cost among %d routes went unseen", len(routes))
		}
	}
}

func TestHandshakes(t *testing.T) {
	t.Parallel()
	for _, n := range negotiationTable {
		used, err := n.handshake()
		if err != nil {
			t.Errorf("%s: %v", n.name1, err)
		}
		if used[0] <= 0 || used[1] <= 0 {
			t.Errorf("%s: the ends have used %v, want more", n.name1, used)
		}
	}
}

func TestParseIperf(t *testing.T) {
	t.Parallel()
	tcp := `{"start":{"version":"iperf 3.12"},"end":{"sum_sent":{"seconds":2,"bytes":300000000,"retransmits":6},
		"sum_received":{"seconds":2,"bytes":250000000},"sender_tcp_congestion":"cubic"}}`
	tests := []struct {
		document string
		want     iperfResult
	}{
		{tcp, iperfResult{mbit: 1000, bytes: 250e6, retransmits: 3, congestion: "cubic", version: "3.12"}},
	}
	for _, test := range tests {
		got, err := parseIperf([]byte(test.document))
		if err != nil || got != test.want {
			t.Errorf("parseIperf = %+v, %v, want %+v", got, err, test.want)
		}
	}
	for _, bad := range []string{"", "{}", `{"error":"unable to connect to server"}`, `{"end":{"sum_received":{"seconds":1}}}`} {
		if _, err := parseIperf([]byte(bad)); !errors.Is(err, errIperf) {
			t.Errorf("parseIperf(%q) has the error %v, want %v", bad, err, errIperf)
		}
	}
}

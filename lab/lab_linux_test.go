package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meshrouter/mesh"
	"meshrouter/status"
)

func TestLANAddresses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ lan, router, host string }{
		{"10.1.0.0/24", "10.1.0.1", "10.1.0.10"},
		{"10.1.0.0/16", "10.1.0.1", "10.1.0.10"},
		{"10.1.0.77/24", "10.1.0.1", "10.1.0.10"},
		{"10.1.0.16/28", "10.1.0.17", "10.1.0.26"},
		{"10.1.0.8/29", "10.1.0.9", "10.1.0.10"},
		{"10.1.0.4/30", "10.1.0.5", "10.1.0.6"},
		{"10.1.0.4/31", "10.1.0.4", "10.1.0.5"},
		{"10.1.0.4/32", "10.1.0.4", "invalid IP"},
	} {
		router, host := lanAddresses(netip.MustParsePrefix(tt.lan))
		if router.String() != tt.router || host.String() != tt.host {
			t.Errorf("lanAddresses(%s) = %s, %s, want %s, %s", tt.lan, router, host, tt.router, tt.host)
		}
	}
}

func TestParseStat(t *testing.T) {
	t.Parallel()
	state, start, ok := parseStat("42 (a) (b c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3")
	if !ok || state != "S" || start != 987654 {
		t.Errorf("state %q, start %d, %t", state, start, ok)
	}
	for _, s := range []string{"", "42 (a) S 1", "42 a"} {
		if _, _, ok := parseStat(s); ok {
			t.Errorf("%q is taken for a stat line", s)
		}
	}
}

func TestMatchingSA(t *testing.T) {
	t.Parallel()
	out := status.SA{Link: "a-b", SPI: 7, Direction: "out", Mode: "tunnel", Encryption: "3des-cbc", Authentication: "hmac-sha1", Current: true}
	in := out
	in.Direction, in.Current = "in", false
	change := func(sa status.SA, f func(*status.SA)) status.SA { f(&sa); return sa }
	for _, tt := range []struct {
		name     string
		from, to status.SA
		want     string
	}{
		{"agree", out, in, ""},
		{"another SPI", out, change(in, func(s *status.SA) { s.SPI = 8 }), "no inbound SA with SPI 0x00000007"},
		{"another link", change(out, func(s *status.SA) { s.Link = "b-c" }), in, "no outbound SA"},
		{"not in use", change(out, func(s *status.SA) { s.Current = false }), in, "no outbound SA"},
		{"another cipher", out, change(in, func(s *status.SA) { s.Encryption = "aes" }), "aes/hmac-sha1"},
		{"another mode", out, change(in, func(s *status.SA) { s.Mode = "transport" }), "transport"},
	} {
		_, err := matchingSA("a-b", []status.SA{tt.from}, []status.SA{tt.to})
		if got := errText(err); tt.want == "" && err != nil || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestPathFollowsTheTables(t *testing.T) {
	t.Parallel()
	inv := inventory("a-b", "b-c", "a-c")
	l := &lab{inv: inv}
	fibs := make(map[*site]status.FIBDoc)
	addr := map[string]netip.Addr{}
	for i, s := range inv.Sites {
		addr[s.Name] = netip.AddrFrom4([4]byte{10, byte(i + 1), 0, 10})
		s.LAN = []netip.Prefix{netip.PrefixFrom(addr[s.Name], 24)}
		st := &site{Site: s}
		for _, link := range inv.Links {
			if peer := otherEnd(link, s); peer != nil {
				st.ends = append(st.ends, mesh.End{Link: link.Name, Peer: peer})
			}
		}
		l.sites = append(l.sites, st)
	}
	a, b, c := l.sites[0], l.sites[1], l.sites[2]
	route := func(s *site, to, by string, bits int) {
		e := status.FIBEntry{Destination: netip.PrefixFrom(addr[to], bits).Masked(), Interface: by, InFIB: true}
		fibs[s] = status.FIBDoc{Entries: append(fibs[s].Entries, e)}
	}
	route(a, "b", "a-b", 16)
	route(a, "b", "a-c", 24) // longer: wins
	route(c, "b", "b-c", 24)
	if got := strings.Join(names(l.path(fibs, a, b)), " "); got != "a c b" {
		t.Errorf("path %q, want a c b", got)
	}
	route(c, "b", "a-c", 32) // back again
	if got := l.path(fibs, a, b); got != nil {
		t.Errorf("a loop gives the path %v", names(got))
	}
	if got := l.path(fibs, b, a); got != nil {
		t.Errorf("no route gives the path %v", names(got))
	}
}

func TestMergeKeyLogs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a/esp_sa": "one\ntwo\n", "b/esp_sa": "two\nthree\n", "a/preferences": "x: TRUE\n", "b/preferences": "x: TRUE\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	merged := filepath.Join(dir, "merged")
	if err := mergeKeyLogs(merged, []string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"esp_sa": "one\ntwo\nthree\n", "preferences": "x: TRUE\n"} {
		if got, err := os.ReadFile(filepath.Join(merged, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
	if err := mergeKeyLogs(merged, []string{filepath.Join(dir, "missing")}); err == nil {
		t.Error("a missing key log is no error")
	}
}

func TestDecryptedVerdict(t *testing.T) {
	t.Parallel()
	whole := func() decrypted {
		return decrypted{esp: 9, echoes: map[echoKey]int{{false, 1}: 1, {true, 1}: 1, {false, 2}: 1, {true, 2}: 2}}
	}
	for _, tt := range []struct {
		name   string
		change func(*decrypted)
		want   string
	}{
		{"whole", func(*decrypted) {}, ""},
		{"a request is missing", func(d *decrypted) { delete(d.echoes, echoKey{false, 2}) }, "1 of 4 echoes"},
		{"a reply is missing", func(d *decrypted) { delete(d.echoes, echoKey{true, 1}) }, "1 of 4 echoes"},
		{"malformed", func(d *decrypted) { d.bad = []string{"7 eth:ip:esp"} }, "1 malformed frames, first: 7 eth"},
		{"an echo of somebody else", func(d *decrypted) { d.without = 1 }, "not the lab's"},
		{"closed ESP", func(d *decrypted) { d.opaque = 3 }, "3 of 9 ESP packets do not open"},
	} {
		d := whole()
		tt.change(&d)
		err := d.verdict(2)
		if got := errText(err); tt.want == "" && err != nil || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestReportOfStages(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := &lab{o: Options{JSON: true, Stdout: &out}, inv: &mesh.Inventory{}, show: newProgress(&bytes.Buffer{}, false)}
	l.report.Stages = []Stage{}
	ctx, cancel := context.WithCancel(t.Context())
	if err := l.runStage(ctx, step{"one", time.Second, func(context.Context) (string, error) { return "fine", nil }}); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	err := l.runStage(ctx, step{"two", time.Second, func(context.Context) (string, error) { return "", broken }})
	var stage *StageError
	if !errors.As(err, &stage) || stage.Stage != "two" || !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	cancel()
	err = l.runStage(ctx, step{"three", time.Second, func(ctx context.Context) (string, error) { return "", ctx.Err() }})
	if err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("error %v, want one that says interrupted", err)
	}
	if err := l.publish(err); err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(out.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if doc["failed"] != "two" || doc["ok"] != false || len(doc["stages"].([]any)) != 3 {
		t.Errorf("document %s", out.String())
	}
	for _, key := range []string{"reroute_ms", "lost"} { // there, and null: not measured
		if v, ok := doc[key]; !ok || v != nil {
			t.Errorf("%s is %v", key, v)
		}
	}
}

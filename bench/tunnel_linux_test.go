package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"meshrouter/mesh"
)

// The mesh file of each negotiation is a good one, and its link has the suite and the way that are asked for.
func TestMeshText(t *testing.T) {
	t.Parallel()
	for _, n := range negotiationTable {
		for _, udp := range []bool{false, true} {
			secrets, err := mesh.ParseSecrets("mesh.secrets.yaml", []byte(secretsText))
			if err != nil {
				t.Fatal(err)
			}
			m := meshTunnel{negotiation: n, udp: udp}
			inv, err := mesh.Load("mesh.yaml", m.mesh(), secrets)
			if err != nil {
				t.Fatal(err)
			}
			for _, site := range []string{"left", "right"} {
				ends := inv.Ends(site)
				if len(ends) != 1 || ends[0].Suite.ESP.String() != n.name2 || ends[0].Suite.IKE.String() != n.name1 || (ends[0].NATT == mesh.NATTForce) != udp {
					t.Errorf("the ends of %s are %v, want one with %s and %s", site, ends, n.name1, n.name2)
				}
			}
		}
	}
}

// A comparison with strongSwan is refused unless an accelerated plugin does the work.
func TestChosenPlugins(t *testing.T) {
	t.Parallel()
	const list = "encryption:\n  AES_CBC[aesni]\n  3DES_CBC[openssl]\naead:\n  AES_GCM_16[gcm]\nintegrity:\n  HMAC_SHA1_96[openssl]\n"
	gcm := strongSwanTable[2]
	if _, err := chosenPlugins(list, gcm.algorithms, gcm.accelerated); err == nil || !strings.Contains(err.Error(), "gcm") {
		t.Errorf("the portable GCM is not refused: %v", err)
	}
	got, err := chosenPlugins(strings.ReplaceAll(list, "[gcm]", "[aesni]"), gcm.algorithms, gcm.accelerated)
	if err != nil || got != "AES_GCM_16[aesni]" {
		t.Errorf("%q, %v, want AES_GCM_16[aesni]", got, err)
	}
	if _, err := chosenPlugins("aead:\n", gcm.algorithms, gcm.accelerated); err == nil {
		t.Error("a list without the algorithm is not refused")
	}
	cbc := strongSwanTable[1]
	if got, err := chosenPlugins(list, cbc.algorithms, cbc.accelerated); err != nil || got != "AES_CBC[aesni] HMAC_SHA1_96[openssl]" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestParseUDP(t *testing.T) {
	t.Parallel()
	const text = "Ip: Forwarding DefaultTTL\nIp: 1 64\nUdp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors\nUdp: 7 0 5 8 5\nUdpLite: RcvbufErrors\nUdpLite: 9\n"
	if got := parseUDP(text, "RcvbufErrors"); got != 5 {
		t.Errorf("RcvbufErrors is %d, want 5", got)
	}
	if got := parseUDP(text, "Nothing") + parseUDP("", "RcvbufErrors"); got != 0 {
		t.Errorf("what is not there is %d, want 0", got)
	}
}

func TestListens(t *testing.T) {
	t.Parallel()
	const head = "  sl  local_address rem_address   st tx_queue rx_queue\n"
	for line, want := range map[string]bool{
		"   0: 00000000:1451 00000000:0000 0A 00000000:00000000\n": true,
		"   0: 0100007F:1451 0100007F:D431 01 00000000:00000000\n": false, // established
		"   0: 00000000:0016 00000000:1451 0A 00000000:00000000\n": false, // another port
		"": false,
	} {
		if got := listens([]byte(head + line)); got != want {
			t.Errorf("listens(%q) = %t, want %t", line, got, want)
		}
	}
}

// A win that is too good is told as suspect unless it has an explanation; for latency a win is less.
func TestSuspect(t *testing.T) {
	t.Parallel()
	tr := &tunnelRun{run: &run{doc: filled()}, t: &Traffic{}}
	for _, c := range []struct {
		name    string
		ratio   float64
		suspect bool
	}{{"tcp_new", 6, true}, {"tcp_new", 4, false}, {"tcp_new", 0.1, false}, {"tcp_gcm_vs_strongswan", 8, false}, {"latency_new", 6, false}, {"latency_new", 0.1, false}} {
		tr.compare(c.name, "a", "b", []float64{c.ratio}, []float64{1})
		got := tr.t.Comparisons[len(tr.t.Comparisons)-1]
		if got.Suspect != c.suspect {
			t.Errorf("%s %v: suspect is %t, want %t", c.name, c.ratio, got.Suspect, c.suspect)
		}
	}
}

// Sender and receiver understand each other over the loopback device, and the counts add up.
func TestBlastWorkers(t *testing.T) {
	t.Parallel()
	const at, from = "127.0.0.1:45300", "127.0.0.1:45301"
	ask := make(chan string)
	answers := make(chan string, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- serveReceiver([]string{at}, &lines{ctx: t.Context(), in: ask}, &lines{ctx: t.Context(), out: answers})
	}()
	ask <- "begin 7 1000000000\n"
	if got := <-answers; got != "begun\n" {
		t.Fatalf("the receiver answers %q", got)
	}
	var out bytes.Buffer
	if err := serveSender([]string{from, at}, strings.NewReader("7 64 2000 50\n"), &out); err != nil {
		t.Fatal(err)
	}
	var sent, ns int
	if _, err := fmt.Sscan(out.String(), &sent, &ns); err != nil || sent < 1 || sent > 101 || ns < 50_000_000 {
		t.Fatalf("the sender answers %q, want at most 101 packets", out.String())
	}
	// What the loopback device carries has arrived when the sender is done; the receiver may still count.
	received := 0
	for range 200 {
		ask <- "end\n"
		if _, err := fmt.Sscan(<-answers, &received); err != nil {
			t.Fatal(err)
		}
		if received == sent {
			break
		}
	}
	if received != sent {
		t.Errorf("%d of %d packets received", received, sent)
	}
	close(ask)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"7 64 2000\n", "7 8 2000 50\n", "7 64 -1 50\n"} {
		if err := serveSender([]string{from, at}, strings.NewReader(bad), &out); err == nil {
			t.Errorf("the request %q is not refused", bad)
		}
	}
}

// lines is a reader and a writer of lines over channels.
type lines struct {
	ctx context.Context
	in  <-chan string
	out chan<- string
}

func (l *lines) Read(b []byte) (int, error) {
	select {
	case line, ok := <-l.in:
		if !ok {
			return 0, io.EOF
		}
		return copy(b, line), nil
	case <-l.ctx.Done():
		return 0, l.ctx.Err()
	}
}

func (l *lines) Write(b []byte) (int, error) {
	l.out <- string(b)
	return len(b), nil
}

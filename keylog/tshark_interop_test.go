//go:build interop

package keylog_test

import (
	"encoding/binary"
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"meshrouter/ike/isakmp"
	"meshrouter/internal/recordings"
	"meshrouter/internal/testvectors"
)

// tshark reads a capture with nothing but the key directory to help it, and returns its output's lines.
func tshark(t *testing.T, dir, pcap string, args ...string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "tshark", append([]string{"-n", "-r", pcap}, args...)...)
	cmd.Env = append(os.Environ(), "WIRESHARK_CONFIG_DIR="+dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v\n%s", err, stderr.String())
	}
	for line := range strings.Lines(stderr.String()) {
		if !strings.HasPrefix(line, "Running as user") {
			t.Errorf("tshark complains: %s", line)
		}
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

// TestTsharkIKEv1 has tshark open recorded exchanges, 3DES and AES, two ISAKMP SAs in one capture.
func TestTsharkIKEv1(t *testing.T) {
	t.Parallel()
	numbers := map[string]string{"SA": "1", "KE": "4", "ID": "5", "HASH": "8", "NONCE": "10", "N": "11", "D": "12", "VID": "13", "NAT-D": "20"}
	for _, r := range recordings.Isakmpd(t, "main-quick", "aes", "rekey-both", "swan-initiator-natt") {
		t.Run(r.Scenario, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			l := open(t, dir)
			for _, p := range r.Phase1 {
				for range 2 { // both ends share the directory
					if err := l.IKEv1([8]byte(p.InitiatorCookie), p.EncryptionKey); err != nil {
						t.Fatal(err)
					}
				}
			}
			got := tshark(t, dir, testvectors.Data(t, "isakmpd/"+r.Scenario+".pcap"), "-T", "fields", "-e", "isakmp.typepayload")
			if len(got) != len(r.Messages) {
				t.Fatalf("%d frames, want %d", len(got), len(r.Messages))
			}
			for i, m := range r.Messages {
				var want []string
				for _, p := range m.Payloads {
					want = append(want, numbers[p.Type])
					for _, proposal := range p.Proposals {
						want = append(want, "2")
						for range proposal.Transforms {
							want = append(want, "3")
						}
					}
				}
				if got[i] != strings.Join(want, ",") {
					t.Errorf("frame %d: payloads %s, want %s", m.Frame, got[i], strings.Join(want, ","))
				}
			}
		})
	}
}

// TestTsharkESP has tshark open UDP-encapsulated ESP: every packet must have a good ICV and show the ping inside.
func TestTsharkESP(t *testing.T) {
	t.Parallel()
	for name, suite := range map[string]struct {
		transform isakmp.ESPTransform
		auth      isakmp.AuthAlgorithm
	}{
		"v1-main-3des":    {isakmp.ESP3DES, isakmp.HMACSHA},
		"v1-main-aes-pfs": {isakmp.ESPAES, isakmp.HMACSHA},
		"v1-aggr-3des":    {isakmp.ESP3DES, isakmp.HMACMD5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := recordings.StrongSwan(t, name)[0]
			dir := t.TempDir()
			l := open(t, dir)
			initiator, responder := netip.MustParseAddr(s.Initiator), netip.MustParseAddr(s.Responder)
			values := s.InitiatorValues
			for n, seed := range values.All("initiator SA seed") {
				other := values.All("responder SA seed")[n]
				const nonces = 32 + 32 // the seeds are [g^xy] protocol SPI Ni Nr
				for end, x := range map[string]struct {
					seed     []byte
					src, dst netip.Addr
				}{"initiator": {seed, initiator, responder}, "responder": {other, responder, initiator}} {
					spi := binary.BigEndian.Uint32(x.seed[len(x.seed)-nonces-4:])
					err := l.ESP(x.src, x.dst, spi, suite.transform, suite.auth,
						values.All("encryption " + end + " key")[n], values.All("integrity " + end + " key")[n])
					if err != nil {
						t.Fatal(err)
					}
				}
			}
			pcap := testvectors.Data(t, "captures/ike/"+name+".pcap")
			esp := 0
			for _, p := range s.Packets {
				if p.Kind == "esp" {
					esp++
				}
			}
			good := tshark(t, dir, pcap, "-Y", "esp.icv_good == 1 && icmp.type in {0, 8}", "-T", "fields", "-e", "icmp.seq")
			if len(good) != esp {
				t.Errorf("%d of %d ESP packets show a ping under a good ICV", len(good), esp)
			}
			if out := tshark(t, t.TempDir(), pcap, "-Y", "icmp"); len(out) != 1 || out[0] != "" {
				t.Errorf("without the keys tshark shows %d pings", len(out))
			}
		})
	}
}

// TestTsharkSuites has tshark open the ESP vectors, bare protocol 50, with GRE in transport mode and an IP packet in
// tunnel mode, in every suite that IKEv1 can negotiate here.
func TestTsharkSuites(t *testing.T) {
	t.Parallel()
	suites := map[string]struct {
		transform isakmp.ESPTransform
		auth      isakmp.AuthAlgorithm
	}{
		"NULL/HMAC-SHA1-96":          {isakmp.ESPNull, isakmp.HMACSHA},
		"3DES-CBC/HMAC-MD5-96":       {isakmp.ESP3DES, isakmp.HMACMD5},
		"3DES-CBC/HMAC-SHA1-96":      {isakmp.ESP3DES, isakmp.HMACSHA},
		"AES128-CBC/HMAC-SHA1-96":    {isakmp.ESPAES, isakmp.HMACSHA},
		"AES256-CBC/HMAC-SHA256-128": {isakmp.ESPAES, isakmp.HMACSHA2_256},
		"AES256-CBC/HMAC-SHA512-256": {isakmp.ESPAES, isakmp.HMACSHA2_512},
		"AES128-GCM16":               {isakmp.ESPAESGCM16, isakmp.NoAuth},
		"AES256-GCM16":               {isakmp.ESPAESGCM16, isakmp.NoAuth},
	}
	var file struct {
		Tests []struct {
			Suite   string
			Mode    string
			SPI     uint32
			EncKey  recordings.Hex `json:"enc_key"`
			AuthKey recordings.Hex `json:"auth_key"`
			Packet  recordings.Hex
		}
	}
	if err := json.Unmarshal(testvectors.Read(t, testvectors.Data(t, "esp-gre.json")), &file); err != nil {
		t.Fatal(err)
	}
	dir, pcap := t.TempDir(), filepath.Join(t.TempDir(), "esp.pcap")
	l := open(t, dir)
	capture := []byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 101, 0, 0, 0} // raw IP
	var names, want []string
	for _, test := range file.Tests {
		suite, ok := suites[test.Suite]
		if !ok {
			continue // ChaCha20-Poly1305 has no IKEv1 number
		}
		src, dst := netip.AddrFrom4([4]byte(test.Packet[12:])), netip.AddrFrom4([4]byte(test.Packet[16:]))
		if err := l.ESP(src, dst, test.SPI, suite.transform, suite.auth, test.EncKey, test.AuthKey); err != nil {
			t.Fatal(err)
		}
		names = append(names, test.Suite+" "+test.Mode)
		want = append(want, "1\traw:ip:esp:"+map[string]string{"transport": "gre:ip", "tunnel": "ip"}[test.Mode])
		capture = append(capture, make([]byte, 8)...) // time
		capture = binary.LittleEndian.AppendUint32(capture, uint32(len(test.Packet)))
		capture = binary.LittleEndian.AppendUint32(capture, uint32(len(test.Packet)))
		capture = append(capture, test.Packet...)
	}
	// No vector has SHA2-384; tshark complains about a row whose algorithm it does not know.
	if err := l.ESP(netip.Addr{}, netip.Addr{}, 1, isakmp.ESPAES, isakmp.HMACSHA2_384, make([]byte, 16), make([]byte, 48)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(pcap, capture, 0o600); err != nil {
		t.Fatal(err)
	}
	got := tshark(t, dir, pcap, "-T", "fields", "-e", "esp.icv_good", "-e", "frame.protocols")
	if len(got) != len(names) || len(names) != 80 {
		t.Fatalf("%d frames of %d packets, want 80", len(got), len(names))
	}
	for i, line := range got {
		if !strings.HasPrefix(line, want[i]) {
			t.Errorf("packet %d, %s: ICV and protocols %q, want %q…", i+1, names[i], line, want[i])
		}
	}
}

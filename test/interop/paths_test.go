//go:build interop

package interop

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"meshrouter/status"
	"meshrouter/test/peer"
)

// The tests of this file carry bulk data by each way that packets can take through the data plane, and
// look at the sums of what arrives.

// offloads are the fast ways as the router announces them.
func (s *stack) offloads() map[string]status.Offload {
	s.t.Helper()
	var doc status.SummaryDoc
	if err := s.Show("summary", &doc); err != nil {
		s.t.Fatal(err)
	}
	all := make(map[string]status.Offload)
	for _, o := range doc.Offloads {
		all[o.Name] = o
	}
	return all
}

// announces checks what `show summary` says of the fast ways: "name" is on, "name: words" is on and its
// reason has the words, "-name: words" is off for that reason. What is off always has a reason.
func (s *stack) announces(want ...string) {
	s.t.Helper()
	all := s.offloads()
	for _, o := range all {
		if !o.On && o.Reason == "" {
			s.t.Errorf("%s: %s is off without a reason", s.Site, o.Name)
		}
	}
	for _, w := range want {
		name, words, _ := strings.Cut(w, ": ")
		name, off := strings.CutPrefix(name, "-")
		o, ok := all[name]
		if !ok || o.On == off || !strings.Contains(o.Reason, words) {
			s.t.Errorf("%s: %s is announced as on %t, %q; want %q", s.Site, name, o.On, o.Reason, w)
		}
	}
}

// tunnelMTU is the largest packet that enters our one tunnel.
func (s *stack) tunnelMTU() int {
	s.t.Helper()
	var doc status.TunnelsDoc
	if err := s.Show("tunnels", &doc); err != nil || len(doc.Tunnels) != 1 {
		s.t.Fatalf("tunnels: %+v, %v", doc, err)
	}
	return doc.Tunnels[0].MTUBytes
}

// refused are the counters of packets that we took for broken or forged; on a clean wire there are none.
var refused = []string{
	"auth", "replay", "esp_format", "unknown_spi", "encapsulation", "outer_address", "outer_malformed", "inner_malformed",
	"payload_malformed", "malformed", "segment", "selector", "next_header", "inner_protocol", "gre_malformed", "gre_key",
	"gre_protocol", "ecn", "fragment_overlap", "fragment_malformed", "seal", "send", "tun_read", "tun_write", "receive",
	"control_socket_full",
}

// noGREYet is what is counted when a peer's kernel refuses our hellos, until GRE is there: its ICMP errors
// come through the tunnel.
const noGREYet = "inner_protocol"

// clean checks that nothing was refused, except for these reasons.
func (s *stack) clean(except ...string) {
	s.t.Helper()
	counts := s.counters("dataplane", "underlay")
	for _, name := range refused {
		n, ok := counts[name]
		if !ok || n > 0 && !slices.Contains(except, name) {
			s.t.Errorf("%s: counter %s is %d, known %t", s.Site, name, n, ok)
		}
	}
}

// counters are those of some subsystems.
func (s *stack) counters(subsystems ...string) map[string]uint64 {
	s.t.Helper()
	var doc status.CountersDoc
	if err := s.Show("counters", &doc); err != nil {
		s.t.Fatal(err)
	}
	counts := make(map[string]uint64)
	for _, c := range doc.Counters {
		if slices.Contains(subsystems, c.Subsystem) {
			counts[c.Name] = c.Value
		}
	}
	return counts
}

// leaving are the packets that left the interface eth0, a run that the kernel was to cut counted once, and
// those that left our SAs.
func (s *stack) leaving() (frames, packets uint64) {
	s.t.Helper()
	var links []struct {
		Stats struct{ TX struct{ Packets uint64 } } `json:"stats64"`
	}
	if err := json.Unmarshal([]byte(s.Run("ip", "-s", "-j", "link", "show", "eth0")), &links); err != nil || len(links) != 1 {
		s.t.Fatalf("ip link: %v, %v", links, err)
	}
	list, err := s.sas("out")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, sa := range list {
		packets += sa.Packets
	}
	return links[0].Stats.TX.Packets, packets
}

// carriesBulk sends size bytes by TCP each way between two addresses, datagrams of all kinds of sizes, and
// pings up to the MTU with DF. All comes back unharmed.
func (s *stack) carriesBulk(near, far peer.Host, size int) {
	s.t.Helper()
	if err := peer.Exchange(near, far, size); err != nil {
		s.t.Error(err)
	}
	mtu := s.tunnelMTU()
	whole := mtu - 28
	if err := errors.Join(
		peer.Datagrams(near, far, mtu, 0, 1, 2, 63, 64, 511, 512, whole-9, whole-8, whole-1, whole, whole+1, 4000),
		peer.Datagrams(far, near, mtu, 1, 64, 512, whole, whole+1, 9000),
	); err != nil {
		s.t.Error(err)
	}
	s.pingsUpTo(near.Address, far.Address, mtu)
}

// pingsUpTo sends echo requests with DF, up to the MTU and no further.
func (s *stack) pingsUpTo(near, far string, mtu int) {
	s.t.Helper()
	for _, size := range []int{60, mtu / 2, mtu - 1, mtu} {
		if _, err := s.Try("ping", "-n", "-q", "-M", "do", "-s", fmt.Sprint(size-28), "-c", "3", "-i", "0.05", "-w", "5", "-I", near, far); err != nil {
			s.t.Errorf("pings of %d bytes: %v", size, err)
		}
	}
	if out, err := s.Try("ping", "-n", "-q", "-M", "do", "-s", fmt.Sprint(mtu+1-28), "-c", "1", "-W", "1", "-I", near, far); err == nil {
		s.t.Errorf("a ping of %d bytes with DF passed a tunnel of %d:\n%s", mtu+1, mtu, out)
	}
}

// A way is how packets travel between two of our routers.
type way struct {
	name         string
	suite        string // in words of the mesh file
	ours, theirs string // offload:
	link         string
	env          []string
	announced    []string // see announces; by us
	answered     []string // and by them
	leave        string   // "in runs", "one by one"; empty: that depends on when the host sends
}

const (
	suite3DES    = "ike: 3des-sha1-modp1024, esp: 3des-sha1"
	suiteCBC     = "ike: aes128-sha1-modp1024, esp: aes128-sha1"
	suiteSHA256  = "ike: aes256-sha256-modp1024, esp: aes256-sha256"
	suiteGCM     = "ike: aes128-sha256-modp1024, esp: aes256gcm16"
	plain        = "natt: off"
	encapsulated = "natt: force"
)

// Lists for announces.
var (
	everythingOn  = []string{"tun-tcp", "udp-segment", "udp-gro", "timestamps", "steering"}
	everythingOff = []string{
		"-tun-tcp: switched off", "-tun-udp: switched off", "-udp-segment: switched off", "-udp-gro: switched off",
		"-timestamps: switched off", "-steering: switched off", "-protocol-50: switched off",
	}
)

// withOffload is a mesh file in which our site says what of the fast ways it wants.
func withOffload(mesh, offload string) string {
	return strings.Replace(mesh, "lan: [10.1.0.0/24]}", "lan: [10.1.0.0/24], offload: "+offload+"}", 1)
}

// Two of our routers by every way, with every suite and with every level of the ciphers' machine code.
func TestWays(t *testing.T) {
	t.Parallel()
	for _, w := range []way{
		{name: "everything on", suite: suiteGCM, ours: "on", theirs: "on", link: "cost: 10", announced: slices.Concat(everythingOn, []string{"-protocol-50: not yet needed"}), leave: "in runs"},
		{name: "everything off", suite: suite3DES, ours: "off", theirs: "off", link: plain, announced: everythingOff, leave: "one by one"},
		{name: "off, UDP", suite: suiteSHA256, ours: "off", theirs: "off", link: encapsulated, leave: "one by one"},
		{name: "on to off, UDP", suite: suite3DES, ours: "on", theirs: "off", link: encapsulated, leave: "in runs"},
		{name: "no UDP_SEGMENT, no UDP_GRO", suite: suiteCBC, ours: "{udp-segment: off}", theirs: "{udp-gro: off}", link: encapsulated, announced: []string{"-udp-segment: switched off", "udp-gro"}, answered: []string{"udp-segment", "-udp-gro: switched off"}, leave: "one by one"},
		{name: "no tun offload", suite: suiteGCM, ours: "{tun: off}", theirs: "on", link: encapsulated, announced: []string{"-tun-tcp: switched off", "udp-segment"}, answered: []string{"tun-tcp"}},
		{name: "protocol 50, auto", suite: suite3DES, ours: "on", theirs: "on", link: plain, announced: []string{"protocol-50: AF_XDP"}},
		{name: "AF_XDP", suite: suiteSHA256, ours: "{protocol-50: xdp}", theirs: "{protocol-50: xdp}", link: plain, announced: []string{"protocol-50: AF_XDP"}},
		{name: "rings", suite: suiteCBC, ours: "{protocol-50: ring}", theirs: "{protocol-50: ring}", link: plain, announced: []string{"protocol-50: ring"}},
		{name: "AF_XDP to raw", suite: suiteGCM, ours: "{protocol-50: xdp}", theirs: "{protocol-50: raw}", link: plain, announced: []string{"protocol-50: AF_XDP"}, answered: []string{"-protocol-50: switched off"}},
		{name: "two queues, transport mode", suite: suite3DES, ours: "{queues: 2}", theirs: "{queues: 2, steering: off}", link: plain + ", mode: transport, gre: {key: 7}", announced: []string{"steering"}, answered: []string{"-steering: switched off"}},
		{name: "AVX2 at most", suite: suite3DES, ours: "on", theirs: "on", link: encapsulated, env: []string{"MESHROUTER_CPU=avx2"}, leave: "in runs"},
		{name: "no machine code", suite: suiteSHA256, ours: "on", theirs: "on", link: encapsulated, env: []string{"MESHROUTER_CPU=portable"}, leave: "in runs"},
	} {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			w.run(t)
		})
	}
}

func (w way) run(t *testing.T) {
	n := peer.NewNet(t)
	mesh := fmt.Sprintf(`mesh: ways
tunnels: 10.255.0.0/16
secrets: mesh.secrets.yaml
ospf: {area: 0.0.0.0, auth: {md5: {id: 1, key: $ospf}}, hello: 1s, dead: 8s}
suites:
  chosen: {%s}
sites:
  theirs: {number: 1, address: 192.0.2.1, lan: [172.16.1.0/24], offload: %s}
  ours: {number: 2, address: 192.0.2.2, lan: [10.1.0.0/24], offload: %s}
links:
  - {between: [theirs, ours], suite: chosen, %s}
`, w.suite, w.theirs, w.ours, w.link)
	them, us := n.Namespace("s", outerTheirs+"/24"), n.Namespace("r", outerOurs+"/24")
	them.AddLAN("172.16.1.1/24")
	us.AddLAN(ourHost + "/24")
	theirs := &stack{them.Router("theirs", mesh, stackSecrets), t}
	ours := &stack{us.Router("ours", mesh, stackSecrets, w.env...), t}
	ours.up()
	begun := time.Now()
	ours.carriesBulk(peer.Host{Namespace: us, Address: ourHost}, peer.Host{Namespace: them, Address: "172.16.1.1"}, 12<<20)
	frames, packets := ours.leaving()
	t.Logf("carried in %v; %d ESP packets left in %d frames", time.Since(begun).Round(10*time.Millisecond), packets, frames)
	if runs := map[string]bool{"in runs": true, "one by one": false}; w.leave != "" && runs[w.leave] != (frames < packets/4) {
		t.Errorf("%d ESP packets left in %d frames, want them to leave %s", packets, frames, w.leave)
	}
	ours.announces(w.announced...)
	theirs.announces(w.answered...)
	ours.clean()
	theirs.clean()
}

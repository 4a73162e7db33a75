//go:build interop

package interop

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"meshrouter/status"
	"meshrouter/test/peer"
)

// The addresses of the full-stack tests: the peer is site 1, we are site 2. They are the defaults of the
// peers' scripts.
const (
	outerTheirs, outerOurs   = "192.0.2.1", "192.0.2.2"
	innerTheirs, innerOurs   = "10.99.0.1", "10.99.0.2" // GRE ends and proxy ids in tunnel mode
	tunnelTheirs, tunnelOurs = "10.255.0.1", "10.255.0.2"
	stackSecrets             = "psk: meshrouter-test-psk\nospf: meshrouter\n"
)

// stackMesh is the mesh file of two sites; link is what the link says beside its ends, in YAML's flow style.
func stackMesh(lifetime, link string) string {
	return fmt.Sprintf(`mesh: interop
tunnels: 10.255.0.0/16
secrets: mesh.secrets.yaml
ospf: {area: 0.0.0.0, auth: {md5: {id: 1, key: $ospf}}, hello: 1s, dead: 4s}
suites:
  legacy: {ike: 3des-sha1-modp1024, esp: 3des-sha1, pfs: none, lifetime: %s}
sites:
  theirs: {number: 1, address: 192.0.2.1, lan: [172.16.1.0/24], system: strongswan}
  ours: {number: 2, address: 192.0.2.2, lan: [10.1.0.0/24]}
links:
  - {between: [theirs, ours], suite: legacy, %s}
`, lifetime, link)
}

// tunnelMode is a link with addresses of its own at the ends of GRE.
const tunnelMode = "gre: {endpoints: {theirs: 10.99.0.1, ours: 10.99.0.2}}"

// A stack is our router in a namespace of its own, with a LAN.
type stack struct {
	*peer.Router
	t *testing.T
}

func startStack(t *testing.T, n *peer.Net, mesh string) *stack {
	t.Helper()
	ns := n.Namespace("r", outerOurs+"/24")
	ns.AddLAN("10.1.0.1/24")
	// A veth would hand over a run of packets as one, which no wire can carry and tshark does not take apart.
	ns.Run("ip", "link", "set", "eth0", "gso_max_segs", "1")
	return &stack{ns.Router("ours", mesh, stackSecrets), t}
}

// sas are the SAs of a direction ("in", "out"), the newest last.
func (s *stack) sas(direction string) ([]status.SA, error) {
	var doc status.SADDoc
	if err := s.Show("sad", &doc); err != nil {
		return nil, err
	}
	list := slices.DeleteFunc(doc.SAs, func(sa status.SA) bool { return sa.Direction != direction })
	slices.SortFunc(list, func(a, b status.SA) int { return int(b.AgeSeconds - a.AgeSeconds) })
	return list, nil
}

// secured is nil when there is an SA in each direction.
func (s *stack) secured() error {
	for _, direction := range []string{"in", "out"} {
		list, err := s.sas(direction)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return fmt.Errorf("no SA %s", direction)
		}
	}
	return nil
}

// outboundSPI is the SPI of the outbound SA in use.
func (s *stack) outboundSPI() (uint32, error) {
	list, err := s.sas("out")
	if err != nil {
		return 0, err
	}
	for _, sa := range list {
		if sa.Current {
			return sa.SPI, nil
		}
	}
	return 0, fmt.Errorf("no outbound SA in use among %v", list)
}

// newOutbound is nil when the outbound SA in use is not the one called old.
func (s *stack) newOutbound(old uint32) error {
	spi, err := s.outboundSPI()
	if err == nil && spi == old {
		err = fmt.Errorf("SPI %#x is still in use", old)
	}
	return err
}

// cookie is the initiator's cookie of the ISAKMP SA.
func (s *stack) cookie() (string, error) {
	var doc status.IKEDoc
	if err := s.Show("ike", &doc); err != nil {
		return "", err
	}
	if len(doc.Peers) != 1 || doc.Peers[0].State != "up" {
		return "", fmt.Errorf("peers: %+v", doc.Peers)
	}
	return doc.Peers[0].InitiatorCookie, nil
}

// neighborIs is nil when our one neighbor is in the state (ospfctl's word), or with "" when there is none.
func (s *stack) neighborIs(state string) error {
	var doc status.NeighborsDoc
	if err := s.Show("neighbors", &doc); err != nil {
		return err
	}
	switch {
	case len(doc.Neighbors) == 0 && state == "":
		return nil
	case len(doc.Neighbors) == 1 && doc.Neighbors[0].State == state:
		return nil
	case state == "" && doc.Neighbors[0].State == "DOWN":
		return nil
	}
	return fmt.Errorf("neighbors: %+v, want one in state %q", doc.Neighbors, state)
}

// routed is nil when fib holds dst in all three tables, or with want false in none.
func (s *stack) routed(dst string, want bool) error {
	var doc status.FIBDoc
	if err := s.Show("fib", &doc); err != nil {
		return err
	}
	for _, e := range doc.Entries {
		if e.Destination != netip.MustParsePrefix(dst) {
			continue
		}
		if want && e.InRIB && e.InFIB && e.InKernel && e.Difference == "" {
			return nil
		}
		return fmt.Errorf("%s is there: %+v, want %v", dst, e, want)
	}
	if want {
		return fmt.Errorf("no route to %s", dst)
	}
	return nil
}

// answers is nil when one echo request from our LAN is answered by to.
func (s *stack) answers(to string) error {
	n, err := s.Ping(ourHost, to, 1)
	if err == nil && n != 1 {
		err = fmt.Errorf("no answer from %s", to)
	}
	return err
}

// up waits until everything stands: SAs, Full, routes, LAN to LAN.
func (s *stack) up() {
	s.t.Helper()
	peer.Eventually(s.t, 20*time.Second, "SAs both ways", s.secured)
	peer.Eventually(s.t, 30*time.Second, "OSPF FULL", func() error { return s.neighborIs("FULL") })
	peer.Eventually(s.t, 20*time.Second, "our route to their LAN", func() error { return s.routed("172.16.1.0/24", true) })
	peer.Eventually(s.t, 20*time.Second, "LAN to LAN", func() error { return s.answers("172.16.1.1") })
}

// withoutLoss pings LAN to LAN, 10 a second, while f runs and for a second more; every ping is answered.
func (s *stack) withoutLoss(what string, seconds int, f func()) {
	s.t.Helper()
	type result struct {
		answered int
		err      error
	}
	done := make(chan result)
	count := 10 * seconds
	go func() {
		answered, err := s.Ping(ourHost, "172.16.1.1", count)
		done <- result{answered, err}
	}()
	f()
	if r := <-done; r.err != nil || r.answered != count {
		s.t.Errorf("%s: %d of %d pings answered, %v", what, r.answered, count, r.err)
	}
}

// onTheWire checks a finished capture: GRE and OSPF never in clear, nothing malformed, and with the key
// log tshark finds OSPF and the pings inside.
func (s *stack) onTheWire(c *peer.Capture) {
	s.t.Helper()
	c.Stop()
	between := "ip.addr == 192.0.2.1 and ip.addr == 192.0.2.2"
	if other := c.Tshark("", "-Y", between+" and not (udp.port == 500 or udp.port == 4500 or ip.proto == 50)"); len(other) > 0 {
		s.t.Errorf("neither IKE nor ESP:\n%s", strings.Join(other, "\n"))
	}
	if bad := c.Tshark(s.KeyLog, "-Y", "_ws.malformed or _ws.expert.severity >= 0x600000"); len(bad) > 0 {
		s.t.Errorf("tshark complains:\n%s", strings.Join(bad[:min(len(bad), 20)], "\n"))
	}
	for _, want := range []string{"esp and gre and ospf.msg.hello", "esp and gre and icmp.type == 8", "esp and gre and icmp.type == 0", "isakmp and isakmp.id.type"} {
		if len(c.Tshark(s.KeyLog, "-c", "2000", "-Y", want)) == 0 {
			s.t.Errorf("tshark finds no %s with our key log", want)
		}
	}
}

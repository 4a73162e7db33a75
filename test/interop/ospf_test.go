//go:build interop

package interop

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"meshrouter/ospf"
	"meshrouter/test/peer"
)

// The settings that all these tests share; each peer's script says what else there is.
const (
	key      = "meshrouter" // the scripts' default
	ourID    = "192.0.2.1"
	ourLAN   = "10.1.0.0/24"
	ourHost  = "10.1.0.1"
	theirID  = "192.0.2.11"
	theirLAN = "172.16.11.0/24"
	theirCID = "192.0.2.11/24"
)

var timers = peer.Settings{"OSPF_HELLO": "1", "OSPF_DEAD": "4", "LAN": "172.16.11.1/24"}

// An lsa names one instance of an LSA: equal sequence and checksum mean equal contents.
type lsa struct {
	Type       int
	ID, Router string
	Sequence   uint32
	Checksum   uint16
}

// An ospfRouter is a peer of this file.
type ospfRouter interface {
	lsdb() ([]lsa, error)
	full(id string) error // nil when the peer has neighbor id in state Full
	routes() (map[string]peer.Route, error)
	Restart(kill bool)
}

type (
	frr  struct{ *peer.FRR }
	bird struct{ *peer.BIRD }
)

// peers are the implementations that each test of this file runs against, at theirCID.
var peers = []struct {
	name  string
	start func(*peer.Net, peer.Settings) ospfRouter
}{
	{"FRR", func(n *peer.Net, s peer.Settings) ospfRouter { return frr{n.FRR("p", theirCID, s)} }},
	{"BIRD", func(n *peer.Net, s peer.Settings) ospfRouter { return bird{n.BIRD("p", theirCID, s)} }},
}

// lsaTypes are the names that FRR's JSON gives to the lists of each type.
var lsaTypes = map[string]int{
	"routerLinkStates": 1, "networkLinkStates": 2, "summaryLinkStates": 3, "asbrSummaryLinkStates": 4,
}

func (f frr) lsdb() ([]lsa, error) {
	var doc struct {
		Areas map[string]map[string]any
	}
	if err := f.JSON("show ip ospf database", &doc); err != nil {
		return nil, err
	}
	var all []lsa
	for name, rows := range doc.Areas["0.0.0.0"] {
		list, ok := rows.([]any)
		if !ok {
			continue // a count
		}
		for _, row := range list {
			row, ok := row.(map[string]any)
			if !ok || lsaTypes[name] == 0 {
				return nil, fmt.Errorf("show ip ospf database: unexpected %s: %v", name, row)
			}
			l := lsa{Type: lsaTypes[name], ID: fmt.Sprint(row["lsId"]), Router: fmt.Sprint(row["advertisedRouter"])}
			if err := l.numbers(fmt.Sprint(row["sequenceNumber"]), fmt.Sprint(row["checksum"])); err != nil {
				return nil, err
			}
			all = append(all, l)
		}
	}
	return all, nil
}

func (f frr) full(id string) error {
	var doc struct {
		Neighbors map[string][]struct{ NbrState string }
	}
	if err := f.JSON("show ip ospf neighbor", &doc); err != nil {
		return err
	}
	for _, n := range doc.Neighbors[id] {
		if strings.HasPrefix(n.NbrState, "Full") {
			return nil
		}
	}
	return fmt.Errorf("FRR's neighbors: %v", doc.Neighbors)
}

func (f frr) routes() (map[string]peer.Route, error) { return f.Routes("ospf") }

func (b bird) lsdb() ([]lsa, error) {
	out, err := b.Birdc("show ospf lsadb")
	if err != nil {
		return nil, err
	}
	var all []lsa
	for line := range strings.Lines(out) { // type, id, router, sequence, age, checksum
		f := strings.Fields(line)
		if len(f) != 6 || f[0] == "Type" {
			continue
		}
		l := lsa{ID: f[1], Router: f[2]}
		kind, err := strconv.ParseUint(f[0], 16, 8)
		if err != nil {
			continue
		}
		l.Type = int(kind)
		if err := l.numbers(f[3], f[5]); err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

func (b bird) full(id string) error {
	out, err := b.Birdc("show ospf neighbors")
	if err != nil {
		return err
	}
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == id && strings.HasPrefix(f[2], "Full") {
			return nil
		}
	}
	return fmt.Errorf("BIRD's neighbors: %s", out)
}

func (b bird) routes() (map[string]peer.Route, error) { return b.Routes("bird") }

// numbers sets the fields that the peers print in hexadecimal.
func (l *lsa) numbers(sequence, checksum string) error {
	seq, err := strconv.ParseUint(sequence, 16, 32)
	if err != nil {
		return err
	}
	sum, err := strconv.ParseUint(checksum, 16, 16)
	l.Sequence, l.Checksum = uint32(seq), uint16(sum)
	return err
}

// sameLSDB is nil when the peer has exactly our database.
func sameLSDB(s *speaker, p ospfRouter) error {
	theirs, err := p.lsdb()
	if err != nil {
		return err
	}
	ours := s.lsdb()
	for _, list := range [][]lsa{ours, theirs} {
		slices.SortFunc(list, func(a, b lsa) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	}
	if d := cmp.Diff(ours, theirs); d != "" {
		return fmt.Errorf("databases differ (-ours +theirs):\n%s", d)
	}
	return nil
}

// both is nil when both ends call each other Full.
func both(s *speaker, p ospfRouter, id string) error {
	if err := s.neighbor(id, ospf.Full); err != nil {
		return err
	}
	return p.full(ourID)
}

// hasRoute is nil when the kernel has, or with want false has not, a route to dst.
func hasRoute(list func() (map[string]peer.Route, error), dst, gateway string, want bool) error {
	routes, err := list()
	if err != nil {
		return err
	}
	r, ok := routes[dst]
	if ok != want || ok && r.Gateway != gateway {
		return fmt.Errorf("routes: %v, want %s via %s: %v", routes, dst, gateway, want)
	}
	return nil
}

// ourRoutes lists what the speaker has put into the kernel.
func (s *speaker) ourRoutes() (map[string]peer.Route, error) { return s.ns.Routes("ospf") }

// pings is nil when one echo request from our LAN is answered by to.
func (s *speaker) pings(to string) error {
	n, err := s.ns.Ping(ourHost, to, 1)
	if err == nil && n != 1 {
		err = fmt.Errorf("no answer from %s", to)
	}
	return err
}

// converged waits until the two are Full, agree on the database, route to each other's LAN and ping.
func converged(t *testing.T, s *speaker, p ospfRouter, within time.Duration) {
	t.Helper()
	peer.Eventually(t, within, "Full on both sides", func() error { return both(s, p, theirID) })
	peer.Eventually(t, 15*time.Second, "equal databases", func() error { return sameLSDB(s, p) })
	peer.Eventually(t, 10*time.Second, "their route to our LAN", func() error { return hasRoute(p.routes, ourLAN, ourID, true) })
	peer.Eventually(t, 10*time.Second, "our route to their LAN", func() error {
		if err := s.knows(theirLAN); err != nil { // the kernel's may be what a crash has left
			return err
		}
		return hasRoute(s.ourRoutes, theirLAN, theirID, true)
	})
	peer.Eventually(t, 5*time.Second, "LAN to LAN", func() error { return s.pings("172.16.11.1") })
}

// ours makes the namespace in which the speaker of a test runs.
func ours(n *peer.Net) *peer.Namespace {
	ns := n.Namespace("r", "192.0.2.1/24")
	ns.AddLAN("10.1.0.1/24")
	return ns
}

// eachPeer runs a test against every implementation, side by side: most of the time is waiting.
func eachPeer(t *testing.T, test func(t *testing.T, n *peer.Net, ns *peer.Namespace, start func(peer.Settings) ospfRouter)) {
	t.Parallel()
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			n := peer.NewNet(t)
			test(t, n, ours(n), func(s peer.Settings) ospfRouter { return p.start(n, s) })
		})
	}
}

// From nothing to LAN-to-LAN ping, with nothing malformed on the wire; then the peer leaves and comes
// back, once with and once without a word; then the wire is cut silently and mended.
func TestOSPFAdjacency(t *testing.T) {
	eachPeer(t, func(t *testing.T, n *peer.Net, ns *peer.Namespace, start func(peer.Settings) ospfRouter) {
		capture := n.Capture()
		s := startSpeaker(t, ns, config(key, wired("eth0", "192.0.2.1/24")))
		p := start(timers)
		converged(t, s, p, 20*time.Second)

		t.Run("killed and started again", func(t *testing.T) {
			p.Restart(true)
			converged(t, s, p, 30*time.Second)
		})
		t.Run("stopped and started again", func(t *testing.T) {
			p.Restart(false)
			converged(t, s, p, 30*time.Second)
		})
		t.Run("cut and mended", func(t *testing.T) {
			n.Cut("p", true)
			peer.Eventually(t, 6*time.Second, "we lose the neighbor", func() error { return s.neighbor(theirID, ospf.Down) })
			peer.Eventually(t, 6*time.Second, "our route to their LAN goes", func() error { return hasRoute(s.ourRoutes, theirLAN, "", false) })
			peer.Eventually(t, 10*time.Second, "their route to our LAN goes", func() error { return hasRoute(p.routes, ourLAN, "", false) })
			n.Cut("p", false)
			converged(t, s, p, 20*time.Second)
		})

		capture.Stop()
		if bad := capture.Tshark("", "-Y", "_ws.malformed or _ws.expert.severity >= 0x600000"); len(bad) > 0 {
			t.Errorf("tshark complains:\n%s", strings.Join(bad, "\n"))
		}
		if clear := capture.Tshark("", "-Y", "ospf and not ospf.auth.type == 2"); len(clear) > 0 {
			t.Errorf("OSPF without MD5:\n%s", strings.Join(clear, "\n"))
		}
	})
}

// When we leave politely the peer drops our networks at once; when we crash and come back, it takes our
// new sequence numbers and LSAs (12.1.6, 13.4, D.3).
func TestOSPFOurRestart(t *testing.T) {
	eachPeer(t, func(t *testing.T, _ *peer.Net, ns *peer.Namespace, start func(peer.Settings) ospfRouter) {
		cfg := config(key, wired("eth0", "192.0.2.1/24"))
		cfg.Interfaces[0].RouterDeadInterval = 20 * time.Second
		first := startSpeaker(t, ns, cfg)
		p := start(peer.Settings{"OSPF_HELLO": "1", "OSPF_DEAD": "20", "LAN": timers["LAN"]})
		converged(t, first, p, 20*time.Second)

		first.stop()
		cfg.FirstSequence = first.reserved + 1
		second := startSpeaker(t, ns, cfg)
		converged(t, second, p, 20*time.Second)

		second.close()
		// A peer that takes the flushed LSA as one too many (MinLSArrival) still hears the empty Hello, but may
		// hold its own LSA back for MinLSInterval, 5 s.
		peer.Eventually(t, 8*time.Second, "their route to our LAN goes before the dead interval", func() error {
			return hasRoute(p.routes, ourLAN, "", false)
		})
		if left, err := ns.Routes("ospf"); err != nil || len(left) > 0 {
			t.Errorf("routes left after the end: %v, %v", left, err)
		}
	})
}

// A neighbor with another key is refused by name and number; with the right one it is taken at once.
func TestOSPFWrongKey(t *testing.T) {
	eachPeer(t, func(t *testing.T, _ *peer.Net, ns *peer.Namespace, start func(peer.Settings) ospfRouter) {
		cfg := config("not the key", wired("eth0", "192.0.2.1/24"))
		s := startSpeaker(t, ns, cfg)
		p := start(timers)
		peer.Eventually(t, 10*time.Second, "their digest is refused three times", func() error {
			if n := s.count("auth_digest_mismatch"); n < 3 {
				return fmt.Errorf("auth_digest_mismatch is %d", n)
			}
			return nil
		})
		if err := s.neighbor(theirID, ospf.Down); err != nil {
			t.Error(err)
		}
		cfg.Interfaces[0].Auth = auth(key)
		s.loop.Post(ospf.Configure{Config: cfg})
		converged(t, s, p, 20*time.Second)
	})
}

// A router LSA that needs several IP fragments reaches the peer, and all of its networks its table.
func TestOSPFLargeRouterLSA(t *testing.T) {
	const networks = 200
	eachPeer(t, func(t *testing.T, _ *peer.Net, ns *peer.Namespace, start func(peer.Settings) ospfRouter) {
		cfg := config(key, wired("eth0", "192.0.2.1/24"))
		for i := range networks {
			cfg.Interfaces = append(cfg.Interfaces, ospf.InterfaceConfig{
				Name: fmt.Sprintf("stub%d", i), Passive: true, Cost: 10,
				Address: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 7, byte(i), 1}), 24),
			})
		}
		s := startSpeaker(t, ns, cfg)
		p := start(timers)
		converged(t, s, p, 20*time.Second)
		peer.Eventually(t, 10*time.Second, "all networks in their kernel", func() error {
			routes, err := p.routes()
			n := 0
			for dst := range routes {
				if strings.HasPrefix(dst, "10.7.") {
					n++
				}
			}
			if err == nil && n != networks {
				err = fmt.Errorf("%d of %d", n, networks)
			}
			return err
		})
	})
}

// We in the middle: FRR's LSAs reach BIRD through us and the other way round, and so do packets.
func TestOSPFTransit(t *testing.T) {
	t.Parallel()
	n := peer.NewNet(t)
	ns := ours(n)
	b := n.Namespace("b", "198.18.0.2/24")
	n.Link(ns, "east", "198.51.100.1/30", b, "west", "198.51.100.2/30")
	s := startSpeaker(t, ns, config(key,
		wired("eth0", "192.0.2.1/24"), wired("east", "198.51.100.1/30")))
	left := frr{n.FRR("p", theirCID, timers)}
	right := bird{n.BIRDOn("b", peer.Settings{
		"OSPF_HELLO": "1", "OSPF_DEAD": "4", "IFACE": "west", "ROUTER_ID": "192.0.2.12", "LAN": "172.16.12.1/24",
	})}
	converged(t, s, left, 20*time.Second)
	peer.Eventually(t, 20*time.Second, "Full with BIRD", func() error { return both(s, right, "192.0.2.12") })
	peer.Eventually(t, 15*time.Second, "three equal databases", func() error {
		if err := sameLSDB(s, left); err != nil {
			return err
		}
		return sameLSDB(s, right)
	})
	peer.Eventually(t, 10*time.Second, "BIRD's route to FRR's LAN", func() error {
		return hasRoute(right.routes, theirLAN, "198.51.100.1", true)
	})
	peer.Eventually(t, 10*time.Second, "FRR's LAN pings BIRD's", func() error {
		answered, err := left.Ping("172.16.11.1", "172.16.12.1", 1)
		if err == nil && answered != 1 {
			err = fmt.Errorf("no answer")
		}
		return err
	})
}

package router

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"meshrouter/dataplane/fib"
	"meshrouter/examples"
	"meshrouter/ike"
	"meshrouter/mesh"
	"meshrouter/ospf"
)

// triangle is the example's inventory, changed by pairs of old and new text.
func triangle(t *testing.T, changes ...string) *mesh.Inventory {
	t.Helper()
	secrets, err := mesh.ParseSecrets("secrets.yaml", []byte("ospf: ospf-key\npsk: a-pre-shared-key\n"))
	if err != nil {
		t.Fatal(err)
	}
	src := strings.NewReplacer(changes...).Replace(string(examples.Triangle))
	inv, err := mesh.Load("triangle.yaml", []byte(src), secrets)
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

func TestPlanOfASite(t *testing.T) {
	t.Parallel()
	p := newPlan(triangle(t), "london", nil)
	if len(p.order) != 2 || p.links["london-tokyo"] == nil || p.links["london-osaka"] == nil {
		t.Fatalf("london has links %v", p.links)
	}
	// openbsd-facts.md, 9: 1422 bytes fit through 3DES/SHA1 in tunnel mode on a link of 1500.
	if l := p.links["london-tokyo"]; l.mtu != 1422 || !strings.Contains(l.mtuSum, "= 1422") {
		t.Errorf("MTU is %d (%s), want 1422", l.mtu, l.mtuSum)
	}
	routes := p.staticRoutes()
	for prefix, want := range map[string]fib.NextHop{
		"10.1.0.0/24":   {Local: true},
		"10.255.0.1/32": {Local: true},
		"10.255.0.2/32": {Tunnel: p.links["london-tokyo"].id},
	} {
		r, ok := routes[netip.MustParsePrefix(prefix)]
		if !ok || !slices.Equal(r.NextHops, []fib.NextHop{want}) {
			t.Errorf("static route %s: %v, want %v", prefix, r.NextHops, want)
		}
	}
}

// A reload must not move a tunnel: its number is in routes, SAs and counters.
func TestReloadKeepsTunnelNumbers(t *testing.T) {
	t.Parallel()
	old := newPlan(triangle(t), "london", nil)
	p := newPlan(triangle(t, "tokyo:  {number: 2, address: 192.0.2.2, lan: [10.2.0.0/24], system: screenos}",
		"berlin: {number: 4, address: 192.0.2.4, lan: [10.4.0.0/24]}"), "london", old)
	if p.links["london-osaka"].id != old.links["london-osaka"].id {
		t.Errorf("london-osaka has moved from tunnel %d to %d", old.links["london-osaka"].id, p.links["london-osaka"].id)
	}
	if gone := old.links["london-tokyo"].id; p.links["london-berlin"].id == gone {
		t.Errorf("london-berlin got tunnel %d, which is in use until london-tokyo is removed", gone)
	}
	added, changed, removed := p.compare(old)
	if !slices.Equal(added, []string{"london-berlin"}) || len(changed) != 0 || !slices.Equal(removed, []string{"london-tokyo"}) {
		t.Errorf("added %v, changed %v, removed %v", added, changed, removed)
	}
}

func TestIKEConfigOfAPlan(t *testing.T) {
	t.Parallel()
	c := newPlan(triangle(t), "london", nil).ikeConfig()
	i := slices.IndexFunc(c.Peers, func(p ike.PeerConfig) bool { return p.ID == "london-osaka" })
	if i < 0 {
		t.Fatalf("no peer london-osaka in %d peers", len(c.Peers))
	}
	p := c.Peers[i]
	if p.Profile != ike.ProfileOpenBSD || p.Phase1Lifetime != 8*time.Hour || p.Phase2Lifetime != time.Hour || len(p.Phase2) != 1 {
		t.Errorf("peer is %+v", p)
	}
	// What to change stands in three places: the link, its suite, and the secrets file.
	if p.Source == p.SuiteSource || !strings.HasPrefix(p.SuiteSource, "triangle.yaml:") || !strings.HasPrefix(p.PSKSource, "secrets.yaml:2:") {
		t.Errorf("the places to change are link %s, suite %s, psk %s", p.Source, p.SuiteSource, p.PSKSource)
	}
	if got := phase1Name(p.Phase1[0]); got != "3des-sha1-modp1024" {
		t.Errorf("phase 1 is %s", got)
	}
}

func TestOSPFConfigOfAPlan(t *testing.T) {
	t.Parallel()
	c := newPlan(triangle(t), "london", nil).ospfConfig(17)
	if c.RouterID != 1 || c.Area != 0 || c.FirstSequence != 17 || len(c.Interfaces) != 3 {
		t.Fatalf("configuration is %+v", c)
	}
	for _, i := range c.Interfaces {
		switch i.Name {
		case "london-tokyo": // screenos-facts.md, 7.9: hello mask /30, DD MTU 1500
			if i.DDMTU != 1500 || i.HelloMask != [4]byte{255, 255, 255, 252} || i.HostRoutes {
				t.Errorf("interface towards ScreenOS is %+v", i)
			}
		case "london-osaka": // openbsd-facts.md, 7: DD MTU 1476, the neighbor as a host route
			if i.DDMTU != 1476 || !i.HostRoutes {
				t.Errorf("interface towards OpenBSD is %+v", i)
			}
		default:
			if !i.Passive || i.Type != ospf.Broadcast || i.Name != "10.1.0.0/24" {
				t.Errorf("LAN interface is %+v", i)
			}
		}
		if !i.Passive && (i.HelloInterval != time.Second || i.RouterDeadInterval != 4*time.Second || i.Auth.Type != ospf.CryptographicAuth) {
			t.Errorf("interface is %+v", i)
		}
	}
}

func TestLimitedLoggerKeepsBack(t *testing.T) {
	t.Parallel()
	l := &limitedLogger{kinds: map[string]*limit{}}
	now := time.Unix(1_000_000, 0)
	passed := 0
	for range 1000 {
		if _, ok := l.pass(now, "ike/bad_cookie/"); ok {
			passed++
		}
	}
	if passed != 1 {
		t.Errorf("%d messages of one kind in one instant, want 1", passed)
	}
	if kept, ok := l.pass(now.Add(limitedInterval), "ike/bad_cookie/"); !ok || kept != 999 {
		t.Errorf("later: kept %d, passed %v; want 999, true", kept, ok)
	}
	for i := range 3 * maxLimits {
		l.pass(now, string(rune(i)))
	}
	if len(l.kinds) > maxLimits {
		t.Errorf("%d kinds remembered, want at most %d", len(l.kinds), maxLimits)
	}
}

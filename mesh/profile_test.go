package mesh

import (
	"strings"
	"testing"
	"time"
)

// The tests of this file hold the lines marked **We:** (openbsd-facts.md, isakmpd-wire.md) and the
// rules of screenos-facts.md, 7, as far as the mesh file decides them. london runs meshrouter, tokyo
// ScreenOS, osaka OpenBSD.

// openbsd-facts.md, 2: "have a knob id-type host|subnet32"; screenos-facts.md, 7.1: "send type chosen
// per peer profile (screenos: 4 by default)".
func TestIDTypeByProfile(t *testing.T) {
	t.Parallel()
	inv := mustLoad(t)
	for link, subnet := range map[string]bool{"london-tokyo": true, "london-osaka": false, "tokyo-osaka": true} {
		l := inv.Links[linkIndex(t, inv, link)]
		for _, e := range []End{l.EndA, l.EndB} {
			if e.LocalTS.Subnet != subnet || e.RemoteTS.Subnet != subnet {
				t.Errorf("%s at %s: subnet %v and %v, want %v", link, e.Site.Name, e.LocalTS.Subnet, e.RemoteTS.Subnet, subnet)
			}
		}
	}
	inv = mustLoad(t, "links: full", "defaults: {id-type: subnet32}\nlinks: full")
	if e := end(t, inv, "london", "london-osaka"); !e.LocalTS.Subnet {
		t.Error("the knob id-type has no effect")
	}
}

func linkIndex(t *testing.T, inv *Inventory, name string) int {
	t.Helper()
	for i, l := range inv.Links {
		if l.Name == name {
			return i
		}
	}
	t.Fatalf("no link %s", name)
	return -1
}

// openbsd-facts.md, 7: "on old peers our OSPF source address must be exactly what their hostname.gre0
// has as dest": the pair is fixed by the site numbers, and /32 as in section 10.
func TestAddressingByProfile(t *testing.T) {
	t.Parallel()
	inv := mustLoad(t)
	for link, want := range map[string]string{
		"london-tokyo": "10.255.0.1/30 10.255.0.2/30", "london-osaka": "10.255.0.5/32 10.255.0.6/32", "tokyo-osaka": "10.255.0.9/32 10.255.0.10/32",
	} {
		l := inv.Links[linkIndex(t, inv, link)]
		if got := l.EndA.TunnelLocal.String() + " " + l.EndA.TunnelRemote.String(); got != want {
			t.Errorf("%s has %s, want %s", link, got, want)
		}
		if l.EndA.HostRoutes != strings.HasSuffix(want, "/32") || l.EndB.HostRoutes != l.EndA.HostRoutes {
			t.Errorf("%s: host routes %v", link, l.EndA.HostRoutes)
		}
	}
}

// openbsd-facts.md, 7: "the DD MTU that we send is a profile value (openbsd 1476, screenos 1500, else
// the tunnel's own) ... any value is accepted by default (mtu-check: strict for the RFC's rule)";
// screenos-facts.md, 7.6 and 7.9: DD MTU 1500 and hello mask /30, per-interface knobs.
func TestOSPFByProfile(t *testing.T) {
	t.Parallel()
	inv := mustLoad(t, "links: full", "  delhi: {number: 4, address: 192.0.2.4}\n  lima: {number: 5, address: 192.0.2.5, system: strongswan}\nlinks: full")
	for _, tc := range []struct {
		site, link string
		ddMTU      int
		mask       byte
	}{
		{"london", "london-tokyo", 1500, 252}, {"london", "london-osaka", 1476, 255}, {"london", "london-delhi", 0, 252}, {"london", "london-lima", 0, 252},
		{"tokyo", "london-tokyo", 0, 252}, {"osaka", "london-osaka", 0, 255}, {"osaka", "tokyo-osaka", 1500, 252}, {"tokyo", "tokyo-osaka", 1476, 255},
	} {
		e := end(t, inv, tc.site, tc.link)
		if e.DDMTU != tc.ddMTU || e.HelloMask != [4]byte{255, 255, 255, tc.mask} || e.StrictMTU {
			t.Errorf("%s of %s: DD MTU %d, hello mask %v, strict %v", tc.link, tc.site, e.DDMTU, e.HelloMask, e.StrictMTU)
		}
	}
}

// isakmpd-wire.md, 9.2: "Prefer that isakmpd initiates (configure it active, us passive)". ScreenOS
// starts only when traffic comes, so we start there; between equals the smaller number does.
func TestInitiateByProfile(t *testing.T) {
	t.Parallel()
	inv := mustLoad(t, "links: full", "  delhi: {number: 4, address: 192.0.2.4}\n  lima: {number: 5, address: 192.0.2.5, system: strongswan}\nlinks: full")
	for link, starter := range map[string]string{
		"london-tokyo": "london", "london-osaka": "osaka", "tokyo-osaka": "osaka", "london-delhi": "london", "tokyo-delhi": "delhi", "osaka-delhi": "osaka", "delhi-lima": "delhi",
	} {
		l := inv.Links[linkIndex(t, inv, link)]
		for _, e := range []End{l.EndA, l.EndB} {
			want := InitiateStandby
			if e.Site.Name == starter {
				want = InitiateAlways
			}
			if e.Initiate != want {
				t.Errorf("%s at %s: %d, want %d", link, e.Site.Name, e.Initiate, want)
			}
		}
	}
}

// isakmpd-wire.md, 9.3: "Phase 1 lifetime: offer what the peer has, or a value within 60..86400 if it
// has none"; screenos-facts.md, 7.9: 28800/3600.
func TestLifetimesByProfile(t *testing.T) {
	t.Parallel()
	inv := mustLoad(t, ", lifetime: {ike: 8h, esp: 1h}", "", "links: full", "  delhi: {number: 4, address: 192.0.2.4}\nlinks: full")
	for link, want := range map[string][2]time.Duration{
		"london-tokyo": {8 * time.Hour, time.Hour}, "london-osaka": {time.Hour, 20 * time.Minute},
		"tokyo-osaka": {8 * time.Hour, time.Hour}, "london-delhi": {8 * time.Hour, time.Hour},
	} {
		s := inv.Links[linkIndex(t, inv, link)].EndB.Suite
		if s.IKELifetime != want[0] || s.ESPLifetime != want[1] {
			t.Errorf("%s: %v and %v, want %v", link, s.IKELifetime, s.ESPLifetime, want)
		}
	}
	for life, ok := range map[string]bool{"60s": true, "24h": true, "59s": false, "24h1s": false} {
		src := changed(t, "ike: 8h", "ike: "+life, "links: full", "links: [{between: [london, osaka]}]")
		if _, err := Load("mesh.yaml", []byte(src), secretsOf(t, baseSecrets)); (err == nil) != ok {
			t.Errorf("a phase 1 lifetime of %s towards isakmpd: %v", life, err)
		}
	}
}

// isakmpd-wire.md, 9.4: "As initiator offer exactly one phase 2 transform"; screenos-facts.md, 7.2:
// "always tunnel mode to ScreenOS; never PFS with a compatible peer unless configured": a suite has
// one transform, and legacy, the default of old peers' meshes, has no PFS.
func TestSuites(t *testing.T) {
	t.Parallel()
	src := changed(t, "suites:\n", "suite: legacy\n", "  legacy: {ike: 3des-sha1-modp1024, esp: 3des-sha1, pfs: none, lifetime: {ike: 8h, esp: 1h}}\n", "")
	inv, err := Load("mesh.yaml", []byte(src), secretsOf(t, baseSecrets))
	if err != nil {
		t.Fatal(err)
	}
	e := end(t, inv, "london", "london-tokyo")
	if e.Suite.IKE != (IKETransform{5, 0, 2, 2}) || e.Suite.ESP != (ESPTransform{3, 0, 2}) || e.Suite.PFS != 0 || e.Mode != Tunnel {
		t.Errorf("predefined legacy: %+v", e.Suite)
	}
	for text, want := range map[string]IKETransform{
		"3des-sha1-modp1024": {5, 0, 2, 2}, "aes128-sha1-modp1536": {7, 128, 2, 5}, "aes256-sha256-modp2048": {7, 256, 4, 14}, "aes192-sha512-modp4096": {7, 192, 6, 16}, "3des-sha384-modp3072": {5, 0, 5, 15},
	} {
		if got, err := parseIKE(text); err != nil || got != want || got.String() != text {
			t.Errorf("%s: %+v %v %v", text, got, got, err)
		}
	}
	for text, want := range map[string]ESPTransform{
		"3des-sha1": {3, 0, 2}, "aes128gcm16": {20, 128, 0}, "aes256-sha256": {12, 256, 5}, "aes192-sha512": {12, 192, 7}, "aes256gcm16": {20, 256, 0},
	} {
		if got, err := parseESP(text); err != nil || got != want || got.String() != text {
			t.Errorf("%s: %+v %v %v", text, got, got, err)
		}
	}
}

// A suite in the file may redefine a part of a predefined one.
func TestSuiteRedefined(t *testing.T) {
	t.Parallel()
	inv := mustLoad(t, "{ike: 3des-sha1-modp1024, esp: 3des-sha1, pfs: none, lifetime: {ike: 8h, esp: 1h}}", "{pfs: modp1536, lifetime: {esp: 30m, kilobytes: 4608000}}")
	s := end(t, inv, "london", "london-osaka").Suite
	if s.IKE.String() != "3des-sha1-modp1024" || s.PFS != 5 || s.ESPLifetime != 30*time.Minute || s.IKELifetime != time.Hour || s.Kilobytes != 4608000 || s.Source != "mesh.yaml:5:3" {
		t.Errorf("%+v", s)
	}
}

// openbsd-facts.md, 2, and isakmpd-wire.md, 3: a srcid as address, /32 subnet or FQDN text.
func TestIdentities(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Identity{
		"192.0.2.1":         {1, []byte{192, 0, 2, 1}},
		"192.0.2.1/32":      {4, []byte{192, 0, 2, 1, 255, 255, 255, 255}},
		"10.1.0.0/16":       {4, []byte{10, 1, 0, 0, 255, 255, 0, 0}},
		"fqdn:192.0.2.1/32": {2, []byte("192.0.2.1/32")},
		"gw.example":        {2, []byte("gw.example")},
		"admin@example":     {3, []byte("admin@example")},
		"user:admin":        {3, []byte("admin")},
		"fqdn:a@b":          {2, []byte("a@b")},
		"any":               {},
	} {
		got, err := parseIdentity(text)
		if err != nil || got.Type != want.Type || string(got.Data) != string(want.Data) || got.String() != text {
			t.Errorf("%s: type %d, %q, written %q, %v", text, got.Type, got.Data, got.String(), err)
		}
	}
	for _, text := range []string{"", "a b", "fqdn:", "ä", strings.Repeat("x", 256), "a\x00"} {
		if got, err := parseIdentity(text); err == nil {
			t.Errorf("%q is accepted: %v", text, got)
		}
	}
}

// screenos-facts.md, 1: DPD is off unless set, "never require it of the peer".
func TestDPDByProfile(t *testing.T) {
	t.Parallel()
	inv := mustLoad(t)
	if d := end(t, inv, "london", "london-tokyo").DPD; d != 0 {
		t.Errorf("we probe ScreenOS after %v", d)
	}
	if d := end(t, inv, "london", "london-osaka").DPD; d != 30*time.Second {
		t.Errorf("we probe isakmpd after %v", d)
	}
}

// The names of system and profile are those of the documents; each has its own profile.
func TestProfiles(t *testing.T) {
	t.Parallel()
	for _, s := range []System{Meshrouter, OpenBSD, ScreenOS, StrongSwan} {
		p := profileOf(s)
		if p.shortest < minLifetime || p.longest > maxLifetime || p.shortest >= p.longest {
			t.Errorf("%s: lifetimes %v to %v", s, p.shortest, p.longest)
		}
		for _, other := range []System{Meshrouter, OpenBSD, ScreenOS, StrongSwan} {
			if merge(s, other).ikeLifetime != merge(other, s).ikeLifetime || merge(s, other).subnet32 != merge(other, s).subnet32 {
				t.Errorf("%s with %s depends on their order", s, other)
			}
			a, b := &Site{System: s, Number: 1}, &Site{System: other, Number: 2}
			if starts(a, b) == starts(b, a) {
				t.Errorf("%s and %s do not agree who starts", s, other)
			}
		}
	}
}

package mesh

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// base is the mesh file of the issue; the tests change a piece of it.
const base = `mesh: example
tunnels: 10.255.0.0/16
ospf: {area: 0.0.0.0, auth: {md5: {id: 1, key: $ospf}}}
suites:
  legacy: {ike: 3des-sha1-modp1024, esp: 3des-sha1, pfs: none, lifetime: {ike: 8h, esp: 1h}}
sites:
  london: {number: 1, address: 192.0.2.1, lan: [10.1.0.0/24]}
  tokyo:  {number: 2, address: 192.0.2.2, lan: [10.2.0.0/24], system: screenos}
  osaka:  {number: 3, address: 192.0.2.3, lan: [10.3.0.0/24], system: openbsd}
links: full
`

const baseSecrets = "ospf: lab-md5-key\npsk: a shared secret\n"

func secretsOf(t testing.TB, src string) *Secrets {
	t.Helper()
	s, err := ParseSecrets("secrets.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// mustLoad loads base with changes.
func mustLoad(t testing.TB, changes ...string) *Inventory {
	t.Helper()
	inv, err := Load("mesh.yaml", []byte(changed(t, changes...)), secretsOf(t, baseSecrets))
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

// changed is base with old text replaced by new, pair by pair.
func changed(t testing.TB, changes ...string) string {
	t.Helper()
	src := base
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(src, changes[i]) {
			t.Fatalf("nothing to change: %q", changes[i])
		}
		src = strings.Replace(src, changes[i], changes[i+1], 1)
	}
	return src
}

// end returns the end of a link at a site.
func end(t testing.TB, inv *Inventory, site, link string) End {
	t.Helper()
	for _, e := range inv.Ends(site) {
		if e.Link == link {
			return e
		}
	}
	t.Fatalf("%s has no end of %s", site, link)
	return End{}
}

func TestDerived(t *testing.T) {
	t.Parallel()
	inv := mustLoad(t)
	if inv.Name != "example" || len(inv.Sites) != 3 || len(inv.Links) != 3 || inv.OSPF.Area != netip.MustParseAddr("0.0.0.0") {
		t.Fatalf("inventory: %+v", inv)
	}
	var links []string
	for _, e := range inv.Ends("london") {
		links = append(links, e.Link)
	}
	if !slices.Equal(links, []string{"london-osaka", "london-tokyo"}) {
		t.Errorf("ends of london: %v", links)
	}
	e := end(t, inv, "london", "london-tokyo")
	for name, got := range map[string][2]any{
		"site":      {e.Site.Name, "london"},
		"peer":      {e.Peer.Name, "tokyo"},
		"id":        {e.ID, 0},
		"local":     {e.Local.String(), "192.0.2.1"},
		"remote":    {e.Remote.String(), "192.0.2.2"},
		"gre":       {e.GRELocal.String() + " " + e.GRERemote.String(), "192.0.2.1 192.0.2.2"},
		"tunnel":    {e.TunnelLocal.String() + " " + e.TunnelRemote.String(), "10.255.0.1/30 10.255.0.2/30"},
		"suite":     {e.Suite.IKE.String() + " " + e.Suite.ESP.String(), "3des-sha1-modp1024 3des-sha1"},
		"pfs":       {e.Suite.PFS, uint16(0)},
		"lifetimes": {e.Suite.IKELifetime + e.Suite.ESPLifetime, 9 * time.Hour},
		"psk":       {string(e.PSK), "a shared secret"},
		"spf":       {inv.OSPF.SPFDelay + inv.OSPF.SPFHold, 250 * time.Millisecond},
		"ids":       {e.LocalID.String() + " " + e.RemoteID.String(), "any any"},
		"selectors": {fmt.Sprint(e.LocalTS.Prefix, e.RemoteTS.Prefix, e.LocalTS.Protocol), "192.0.2.1/32 192.0.2.2/32 0"},
		"mode":      {e.Mode, Tunnel},
		"natt":      {e.NATT, NATTAuto},
		"hello":     {e.Hello, 10 * time.Second},
		"dead":      {e.Dead, 40 * time.Second},
		"auth":      {fmt.Sprint(e.Auth.Type, len(e.Auth.Keys), e.Auth.Keys[0].ID, " ", string(e.Auth.Keys[0].Key)), "2 1 1 lab-md5-key"},
		"cost":      {e.Cost, 10},
		"link mtu":  {e.LinkMTU, 1500},
		"mtu":       {e.MTU, 0},
		"source":    {e.Source, "mesh.yaml:10:8"},
		"router id": {e.Site.RouterID.String(), "0.0.0.1"},
		"tun":       {e.Site.TUN, "mr1"},
		"place":     {e.Site.Source, "mesh.yaml:7:3"},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %v, want %v", name, got[0], got[1])
		}
	}
	o := end(t, inv, "tokyo", "london-tokyo")
	if o.TunnelLocal != e.TunnelRemote || o.TunnelRemote != e.TunnelLocal || o.LocalTS != e.RemoteTS || o.Remote != e.Local || !o.PSK.Equal(e.PSK) {
		t.Errorf("the ends do not mirror each other:\n%+v\n%+v", e, o)
	}
}

// TestNothingIsRenumbered holds that a new site, wherever it stands and whatever its number, leaves
// every link of the others as it is.
func TestNothingIsRenumbered(t *testing.T) {
	t.Parallel()
	before := mustLoad(t)
	for _, line := range []string{
		"  aachen: {number: 4, address: 192.0.2.4}\n",
		"  zwolle: {number: 150, address: 192.0.2.4}\n",
	} {
		for _, after := range []*Inventory{
			mustLoad(t, "sites:\n", "sites:\n"+line),
			mustLoad(t, "links:", line+"links:"),
		} {
			for _, l := range before.Links {
				for _, s := range []*Site{l.A, l.B} {
					if diff := Diff(end(t, before, s.Name, l.Name), end(t, after, s.Name, l.Name)); len(diff) > 0 {
						t.Errorf("with %s %s changes at %s: %v", strings.TrimSpace(line), l.Name, s.Name, diff)
					}
				}
			}
		}
	}
}

// TestLinkID holds that the index of a pair is a bijection: no two pairs share a network, none is
// wasted.
func TestLinkID(t *testing.T) {
	t.Parallel()
	want := 0
	for j := 2; j <= 300; j++ {
		for i := 1; i < j; i++ {
			if got := linkID(i, j); got != want {
				t.Fatalf("linkID(%d, %d) = %d, want %d", i, j, got, want)
			}
			want++
		}
	}
}

func TestLinkForms(t *testing.T) {
	t.Parallel()
	names := func(inv *Inventory) string {
		var s []string
		for _, l := range inv.Links {
			s = append(s, l.Name)
		}
		return strings.Join(s, " ")
	}
	fourth := []string{"links: full", "  nagoya: {number: 4, address: 192.0.2.4}\nlinks: LINKS"}
	for links, want := range map[string]string{
		"full":                         "london-nagoya london-osaka london-tokyo osaka-nagoya tokyo-nagoya tokyo-osaka",
		"{hub: [london]}":              "london-nagoya london-osaka london-tokyo",
		"{hub: tokyo}":                 "london-tokyo tokyo-nagoya tokyo-osaka",
		"{hub: [london, tokyo]}":       "london-nagoya london-osaka london-tokyo tokyo-nagoya tokyo-osaka",
		"\n  hub:\n    - nagoya":       "london-nagoya osaka-nagoya tokyo-nagoya",
		"[{between: [tokyo, london]}]": "london-tokyo",
		"\n  - between: [osaka, tokyo]\n    cost: 7": "tokyo-osaka",
	} {
		if got := names(mustLoad(t, append(slices.Clone(fourth), "LINKS", links)...)); got != want {
			t.Errorf("links: %s gives %s, want %s", links, got, want)
		}
	}
}

// TestSettings sets each setting of a link and looks at both ends.
func TestSettings(t *testing.T) {
	t.Parallel()
	for setting, check := range map[string]func(a, b End) bool{
		"cost: 7":                     func(a, b End) bool { return a.Cost == 7 && b.Cost == 7 },
		"cost: {london: 7, osaka: 9}": func(a, b End) bool { return a.Cost == 7 && b.Cost == 9 },
		"cost: {osaka: 9}":            func(a, b End) bool { return a.Cost == 10 && b.Cost == 9 },
		"suite: modern":               func(a, b End) bool { return a.Suite.Name == "modern" && b.Suite.PFS == 14 && a.Suite.ESP.ID == 20 },
		"mode: transport":             func(a, b End) bool { return a.Mode == Transport && b.Mode == Transport },
		"protocol: gre":               func(a, b End) bool { return a.LocalTS.Protocol == 47 && b.RemoteTS.Protocol == 47 },
		"id-type: subnet32":           func(a, b End) bool { return a.LocalTS.Subnet && b.LocalTS.Subnet && a.RemoteTS.Subnet },
		"id-type: host":               func(a, b End) bool { return !a.LocalTS.Subnet && !b.LocalTS.Subnet },
		"addressing: /30":             func(a, b End) bool { return a.TunnelLocal.Bits() == 30 && !a.HostRoutes && a.HelloMask[3] == 252 },
		"addressing: /32":             func(a, b End) bool { return b.TunnelLocal.Bits() == 32 && b.HostRoutes && a.HelloMask[3] == 255 },
		"initiate: both":              func(a, b End) bool { return a.Initiate == InitiateAlways && b.Initiate == InitiateAlways },
		"initiate: london":            func(a, b End) bool { return a.Initiate == InitiateAlways && b.Initiate == InitiateNever },
		"initiate: osaka":             func(a, b End) bool { return a.Initiate == InitiateNever && b.Initiate == InitiateAlways },
		"initiate: {london: standby, osaka: never}": func(a, b End) bool { return a.Initiate == InitiateStandby && b.Initiate == InitiateNever },
		"natt: force":         func(a, b End) bool { return a.NATT == NATTForce && b.NATT == NATTForce },
		"natt: {london: off}": func(a, b End) bool { return a.NATT == NATTOff && b.NATT == NATTAuto },
		"dpd: 5s":             func(a, b End) bool { return a.DPD == 5*time.Second && b.DPD == 5*time.Second },
		"dpd: off":            func(a, b End) bool { return a.DPD == 0 && b.DPD == 0 },
		"ids: {london: l.example, osaka: o@example}": func(a, b End) bool {
			return a.LocalID.Type == 2 && a.RemoteID.Type == 3 && string(b.RemoteID.Data) == "l.example"
		},
		"ids: {osaka: 'fqdn:192.0.2.3/32'}": func(a, b End) bool {
			return a.RemoteID.Type == 2 && string(b.LocalID.Data) == "192.0.2.3/32" && a.LocalID.Type == 0
		},
		"ids: {osaka: 192.0.2.3/32}": func(a, b End) bool {
			return a.RemoteID.Type == 4 && string(a.RemoteID.Data) == "\xc0\x00\x02\x03\xff\xff\xff\xff"
		},
		"proxy-ids: {london: 0.0.0.0/0}": func(a, b End) bool {
			return a.LocalTS.Prefix.Bits() == 0 && a.LocalTS.Subnet && b.RemoteTS.Prefix.Bits() == 0 && !b.LocalTS.Subnet
		},
		"gre: {key: 0x2a}": func(a, b End) bool { return *a.GREKey == 42 && *b.GREKey == 42 },
		"gre: {keepalive: 10s}": func(a, b End) bool {
			return a.Keepalive == Keepalive{10 * time.Second, 3} && b.Keepalive == a.Keepalive
		},
		"gre: {keepalive: {london: 10s}, count: 5}": nil,
		"gre: {endpoints: {osaka: 10.99.0.3}}": func(a, b End) bool {
			return a.GRERemote == b.GRELocal && b.GRELocal.String() == "10.99.0.3" && a.RemoteTS.Prefix.String() == "10.99.0.3/32" && a.Remote.String() == "192.0.2.3"
		},
		"mtu: 1400":                            func(a, b End) bool { return a.MTU == 1400 && b.MTU == 1400 },
		"{hello: 2s, dead: 10s}":               func(a, b End) bool { return a.Hello == 2*time.Second && b.Dead == 10*time.Second },
		"retransmit: 3s":                       func(a, b End) bool { return a.Retransmit == 3*time.Second },
		"transmit-delay: 2s":                   func(a, b End) bool { return b.TransmitDelay == 2*time.Second },
		"hello-mask: 0.0.0.0":                  func(a, b End) bool { return a.HelloMask == [4]byte{} },
		"hello-mask: /24":                      func(a, b End) bool { return a.HelloMask == [4]byte{255, 255, 255, 0} },
		"hello-mask: {osaka: 255.255.255.252}": func(a, b End) bool { return a.HelloMask[3] == 255 && b.HelloMask[3] == 252 },
		"dd-mtu: 1400":                         func(a, b End) bool { return a.DDMTU == 1400 && b.DDMTU == 1400 },
		"dd-mtu: {london: tunnel}":             func(a, b End) bool { return a.DDMTU == 0 },
		"mtu-check: strict":                    func(a, b End) bool { return a.StrictMTU && b.StrictMTU },
		"auth: none":                           func(a, b End) bool { return a.Auth.Type == AuthNone && len(b.Auth.Keys) == 0 },
		"auth: {md5: [{id: 9, key: $ospf}, {id: 1, key: $psk}]}": func(a, b End) bool {
			return len(a.Auth.Keys) == 2 && a.Auth.Keys[0].ID == 9 && sameAuth(a.Auth, b.Auth)
		},
		"auth: {simple: $none}": nil,
		"auth: {simple: $ospf}": nil,
		"addresses: {london: 10.254.0.1/30, osaka: 10.254.0.2/30}": func(a, b End) bool { return a.TunnelLocal.String() == "10.254.0.1/30" && !a.HostRoutes },
		"addresses: {london: 10.254.0.1, osaka: 10.250.7.2}":       func(a, b End) bool { return b.TunnelRemote.String() == "10.254.0.1/32" && b.HostRoutes },
		"psk: $psk": func(a, b End) bool { return string(a.PSK) == "a shared secret" },
	} {
		item := setting
		if !strings.HasPrefix(item, "{") {
			item = "{" + item + "}"
		}
		src := changed(t, "links: full", "links:\n  - {between: [london, osaka], "+item[1:])
		inv, err := Load("mesh.yaml", []byte(src), secretsOf(t, "ospf: lab-md5-key\npsk: a shared secret\n"))
		if check == nil { // what cannot be right
			if err == nil {
				t.Errorf("%s is accepted", setting)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", setting, err)
			continue
		}
		if a, b := end(t, inv, "london", "london-osaka"), end(t, inv, "osaka", "london-osaka"); !check(a, b) {
			t.Errorf("%s gives\n%+v\n%+v", setting, a, b)
		}
	}
}

// TestDefaults holds the order: profile, ospf, defaults, link.
func TestDefaults(t *testing.T) {
	t.Parallel()
	inv := mustLoad(t,
		"auth:", "cost: 30, hello: 3s, auth:",
		"links: full", "defaults: {cost: 20, initiate: london, dd-mtu: 1300, natt: {tokyo: force}}\nlinks:\n  - {between: [london, tokyo]}\n  - {between: [london, osaka], cost: 15}\n  - {between: [tokyo, osaka], initiate: both}")
	lt, lo, to := end(t, inv, "london", "london-tokyo"), end(t, inv, "london", "london-osaka"), end(t, inv, "tokyo", "tokyo-osaka")
	if lt.Cost != 20 || lo.Cost != 15 || lt.Hello != 3*time.Second || lt.Dead != 12*time.Second {
		t.Errorf("costs %d and %d, hello %v, dead %v", lt.Cost, lo.Cost, lt.Hello, lt.Dead)
	}
	if lo.Initiate != InitiateAlways || to.Initiate != InitiateAlways || lt.DDMTU != 1300 {
		t.Errorf("initiate %v and %v, dd-mtu %d", lo.Initiate, to.Initiate, lt.DDMTU)
	}
	if lt.NATT != NATTAuto || to.NATT != NATTForce {
		t.Errorf("natt %v and %v", lt.NATT, to.NATT)
	}
}

// Between meshrouters UDP is the faster way, so it is the default there and can be refused.
func TestMeshroutersEncapsulateInUDP(t *testing.T) {
	t.Parallel()
	for settings, want := range map[string]NATT{"": NATTForce, "defaults: {natt: auto}\n": NATTAuto, "defaults: {natt: off}\n": NATTOff} {
		inv := mustLoad(t, ", system: screenos", "", "links: full", settings+"links: full")
		if a, b := end(t, inv, "london", "london-tokyo"), end(t, inv, "tokyo", "london-tokyo"); a.NATT != want || b.NATT != want {
			t.Errorf("%q: natt %v and %v, want %v", settings, a.NATT, b.NATT, want)
		}
	}
}

func TestOffloadSettings(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Offload{
		"":               {true, true, true, true, true, "auto", 0},
		", offload: on":  {true, true, true, true, true, "auto", 0},
		", offload: off": {Protocol50: "raw", Queues: 1},
		", offload: {tun: off, protocol-50: xdp, queues: 4}":           {false, true, true, true, true, "xdp", 4},
		", offload: {udp-segment: off, udp-gro: off, timestamps: off}": {true, false, false, false, true, "auto", 0},
	} {
		inv := mustLoad(t, "{number: 1,", "{number: 1"+text+",")
		if s, _ := inv.Site("london"); s.Offload != want {
			t.Errorf("%q: %+v, want %+v", text, s.Offload, want)
		}
	}
}

func TestSiteSettings(t *testing.T) {
	t.Parallel()
	inv := mustLoad(t, "lan: [10.1.0.0/24]}", "bind: 172.16.0.9, router-id: 10.9.9.9, tun: wan0, mtu: 1492, "+
		"lan: [10.1.0.0/24, {prefix: 10.1.1.0/24, interface: eth1, cost: 3}]}")
	s, _ := inv.Site("london")
	if s.Bind.String() != "172.16.0.9" || s.RouterID.String() != "10.9.9.9" || s.TUN != "wan0" || s.LinkMTU != 1492 || len(s.LAN) != 2 {
		t.Errorf("site: %+v", s)
	}
	if want := (LANInterface{"eth1", netip.MustParsePrefix("10.1.1.0/24"), 3}); len(s.LANInterfaces) != 1 || s.LANInterfaces[0] != want {
		t.Errorf("interfaces: %+v", s.LANInterfaces)
	}
	e := end(t, inv, "london", "london-osaka")
	if e.Local.String() != "172.16.0.9" || e.GRELocal.String() != "192.0.2.1" || e.LinkMTU != 1492 {
		t.Errorf("behind NAT: local %v, gre %v, mtu %d", e.Local, e.GRELocal, e.LinkMTU)
	}
	if o := end(t, inv, "osaka", "london-osaka"); o.Remote.String() != "192.0.2.1" || o.LinkMTU != 1492 {
		t.Errorf("the peer's remote is %v, mtu %d", o.Remote, o.LinkMTU)
	}
	if _, ok := inv.Site("paris"); ok {
		t.Error("there is a site paris")
	}
}

// write puts the files into a directory of their own.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoadFile(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{"mesh.yaml": base + "secrets: s.yaml\n", "s.yaml": baseSecrets})
	inv, err := LoadFile(filepath.Join(dir, "mesh.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if inv.File != filepath.Join(dir, "mesh.yaml") || string(end(t, inv, "tokyo", "tokyo-osaka").PSK) != "a shared secret" {
		t.Errorf("%+v", inv)
	}
	for mode, want := range map[fs.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o604: false, 0o620: false, 0o644: false} {
		secrets := filepath.Join(dir, "s.yaml")
		if err := os.Chmod(secrets, mode); err != nil {
			t.Fatal(err)
		}
		_, err := LoadFile(filepath.Join(dir, "mesh.yaml"))
		refusal := fmt.Sprintf("mesh.yaml:11:10: others can read the secrets in %s (mode %#o): chmod 600 %s", secrets, mode, secrets)
		if want != (err == nil) || err != nil && !strings.HasSuffix(err.Error(), refusal) {
			t.Errorf("mode %#o: %v", mode, err)
		}
	}
}

func TestLoadFileMissing(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{"mesh.yaml": base + "secrets: s.yaml\n"})
	path := filepath.Join(dir, "mesh.yaml")
	if _, err := LoadFile(path); err == nil || !strings.Contains(err.Error(), path+":11:10: the secrets file "+filepath.Join(dir, "s.yaml")+" cannot be read: no such file") || len(err.(Problems)) != 1 { //nolint:errorlint // the type is the contract
		t.Errorf("missing secrets: %v", err)
	}
	for name, want := range map[string]string{"none.yaml": "cannot be read: no such file", "": "cannot be read: is a directory"} {
		if _, err := LoadFile(filepath.Join(dir, name)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestLoadSite holds that a site's router needs the keys of its own links only.
func TestLoadSite(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{"mesh.yaml": base + "secrets: s.yaml\n", "s.yaml": "ospf: k\nlondon-tokyo: one\nosaka-london: two\n"})
	path := filepath.Join(dir, "mesh.yaml")
	inv, err := LoadSite(path, "london")
	if err != nil {
		t.Fatal(err)
	}
	if a, b := end(t, inv, "london", "london-tokyo"), end(t, inv, "london", "london-osaka"); string(a.PSK) != "one" || string(b.PSK) != "two" {
		t.Errorf("keys %q and %q", string(a.PSK), string(b.PSK))
	}
	if _, err := LoadSite(path, "tokyo"); err == nil || !strings.Contains(err.Error(), "there is no pre-shared key for tokyo-osaka: write tokyo-osaka:") {
		t.Errorf("tokyo: %v", err)
	}
	if _, err := LoadFile(path); err == nil {
		t.Error("LoadFile does not miss the key of tokyo-osaka")
	}
	if _, err := LoadSite(path, "londn"); err == nil || !strings.Contains(err.Error(), `there is no site "londn": did you mean london?`) {
		t.Errorf("londn: %v", err)
	}
}

func TestCredentials(t *testing.T) {
	creds := write(t, map[string]string{"ospf": "k\n", "psk": "0x00ff\n", "unrelated": "x"})
	dir := write(t, map[string]string{"mesh.yaml": base, "explicit.yaml": base + "secrets: credentials\n", "file.yaml": base + "secrets: s.yaml\n"})
	if _, err := LoadFile(filepath.Join(dir, "explicit.yaml")); err == nil || !strings.Contains(err.Error(), "explicit.yaml:11:10: there are no credentials: CREDENTIALS_DIRECTORY is not set") {
		t.Errorf("without credentials: %v", err)
	}
	t.Setenv(CredentialsVariable, creds)
	for _, name := range []string{"mesh.yaml", "explicit.yaml"} {
		inv, err := LoadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if e := inv.Links[0].EndA; string(e.PSK) != "\x00\xff" || string(e.Auth.Keys[0].Key) != "k" {
			t.Errorf("%s: keys %q and %q", name, string(e.PSK), string(e.Auth.Keys[0].Key))
		}
	}
	// A whole secrets file as a credential; systemd makes it readable as it sees fit.
	if err := os.WriteFile(filepath.Join(creds, "s.yaml"), []byte(baseSecrets), 0o644); err != nil {
		t.Fatal(err)
	}
	if inv, err := LoadFile(filepath.Join(dir, "file.yaml")); err != nil || string(inv.Links[0].EndA.PSK) != "a shared secret" {
		t.Errorf("a secrets file as credential: %v", err)
	}
	if err := os.WriteFile(filepath.Join(creds, "psk"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadFile(filepath.Join(dir, "mesh.yaml")); err == nil || !strings.Contains(err.Error(), "psk: the key is empty") {
		t.Errorf("an empty credential: %v", err)
	}
}

// example loads a mesh of examples with its secrets made private, as git cannot keep them.
func example(t *testing.T, name string) *Inventory {
	t.Helper()
	files := make(map[string]string)
	for _, file := range []string{name + ".yaml", name + ".secrets.yaml"} {
		b, err := os.ReadFile(filepath.Join("..", "examples", file))
		if err != nil {
			t.Fatal(err)
		}
		files[file] = string(b)
	}
	inv, err := LoadFile(filepath.Join(write(t, files), name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

func TestTriangle(t *testing.T) {
	t.Parallel()
	inv := example(t, "triangle")
	e := end(t, inv, "london", "london-osaka")
	if len(inv.Links) != 3 || e.Hello != time.Second || e.Dead != 4*time.Second || e.Suite.Name != "legacy" {
		t.Errorf("%d links; %+v", len(inv.Links), e)
	}
}

// TestEverySetting holds that examples/settings.yaml is right, and that it names every key that the
// loader knows.
func TestEverySetting(t *testing.T) {
	t.Parallel()
	inv := example(t, "settings")
	if e := end(t, inv, "lima", "london-lima"); e.Cost != 20 || *e.GREKey != 42 || e.Remote.String() != "192.0.2.1" || e.Initiate != InitiateNever {
		t.Errorf("%+v", e)
	}
	text, err := os.ReadFile(filepath.Join("..", "examples", "settings.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	taken := regexp.MustCompile(`(?:take|read)\((?:l?f, )?"([a-z0-9-]+)"`)
	keys := 0
	for _, source := range sources {
		code, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range taken.FindAllSubmatch(code, -1) {
			keys++
			if !regexp.MustCompile(`\b` + string(m[1]) + `:`).Match(text) {
				t.Errorf("%s reads %q, which the example does not show", source, m[1])
			}
		}
	}
	if keys < 60 {
		t.Errorf("only %d keys found in the sources", keys)
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	old := end(t, mustLoad(t), "london", "london-osaka")
	for _, tc := range []struct {
		changes []string
		want    []string
	}{
		{nil, nil},
		{[]string{"mesh:", "# a comment\nmesh:", "lan: [10.1.0.0/24]", "lan: [10.11.0.0/24]"}, nil},
		{[]string{"legacy:", "veteran:"}, nil},
		{[]string{"area:", "cost: 20, area:"}, []string{"Cost"}},
		{[]string{"area:", "hello: 5s, area:"}, []string{"Hello", "Dead"}},
		{[]string{"esp: 3des-sha1", "esp: aes128-sha1"}, []string{"Suite"}},
		{[]string{"192.0.2.3", "192.0.2.9"}, []string{"Remote", "RemoteTS", "GRERemote"}},
		{[]string{"id: 1", "id: 2"}, []string{"Auth"}},
		{[]string{"key: $ospf", "key: $psk"}, []string{"Auth"}},
		{[]string{"links: full", "defaults: {gre: {key: 1}}\nlinks: full"}, []string{"GREKey"}},
	} {
		src := changed(t, tc.changes...)
		secrets := "ospf: lab-md5-key\npsk: a shared secret\n"
		if strings.Contains(src, "$psk") {
			secrets = "psk: a shared secret\n"
		}
		inv, err := Load("mesh.yaml", []byte(src), secretsOf(t, secrets))
		if err != nil {
			t.Fatal(err)
		}
		e := end(t, inv, "london", "london-osaka")
		if got := Diff(old, e); !slices.Equal(got, tc.want) {
			t.Errorf("%q: %v, want %v", tc.changes, got, tc.want)
		}
		if Changed(old, e) != (len(tc.want) > 0) {
			t.Errorf("%q: Changed is %v", tc.changes, Changed(old, e))
		}
	}
	other, err := Load("mesh.yaml", []byte(base), secretsOf(t, "ospf: lab-md5-key\npsk: another secret\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := Diff(old, end(t, other, "london", "london-osaka")); !slices.Equal(got, []string{"PSK"}) {
		t.Errorf("another PSK: %v", got)
	}
}

// TestNoSecretInErrors feeds secrets that are wrong in every way and looks for them in the errors.
func TestNoSecretInErrors(t *testing.T) {
	t.Parallel()
	for _, secrets := range []string{
		"ospf: sesame-sesame-sesame\npsk: x\n",
		"ospf: 0xsesame\npsk: x\n", "ospf: {a: sesame}\npsk: x\n", "ospf: [sesame]\n", "ospf: sesame\nospf: sesame\n",
		"ospf: \"sesame\n", "ospf: &sesame x\npsk: *sesame\n", "ospf: !!binary sesame\n", "sesame\n", "- sesame\n", "ospf: sesame: sesame\n",
	} {
		s, err := ParseSecrets("secrets.yaml", []byte(secrets))
		if err == nil {
			_, err = Load("mesh.yaml", []byte(base), s)
		}
		if err == nil {
			t.Errorf("%q is accepted", secrets)
		} else if strings.Contains(err.Error(), "sesame") {
			t.Errorf("%q: %v", secrets, err)
		}
	}
	_, err := Load("mesh.yaml", []byte(changed(t, "$ospf", "sesame")), secretsOf(t, "psk: x\n"))
	if err == nil || strings.Contains(err.Error(), "sesame") {
		t.Errorf("a key in the mesh file: %v", err)
	}
}

// TestProblemsAreErrors holds that callers can take the problems one by one.
func TestProblemsAreErrors(t *testing.T) {
	t.Parallel()
	_, err := Load("mesh.yaml", []byte(changed(t, "number: 1, ", "", "links: full", "links: ful")), secretsOf(t, baseSecrets))
	ps, ok := errors.AsType[Problems](err)
	if !ok || len(ps) != 2 {
		t.Fatalf("%v", err)
	}
	if p, ok := errors.AsType[Problem](err); !ok || p != ps[0] || p.Line != 7 || p.Column != 3 {
		t.Errorf("first problem: %+v", p)
	}
}

func generated(sites int, list bool) []byte {
	var b strings.Builder
	b.WriteString("mesh: large\ntunnels: 10.240.0.0/12\nsites:\n")
	for i := 1; i <= sites; i++ {
		fmt.Fprintf(&b, "  site%d: {number: %d, address: 192.0.%d.%d, lan: [10.%d.%d.0/24]}\n", i, i, i/250, 1+i%250, i/250, i%250)
	}
	if !list {
		b.WriteString("links: full\n")
		return []byte(b.String())
	}
	b.WriteString("links:\n")
	for i := 2; i <= sites; i++ {
		fmt.Fprintf(&b, "  - {between: [site1, site%d], cost: %d, dd-mtu: 1476}\n", i, i)
	}
	return []byte(b.String())
}

// BenchmarkLoad reads 100 sites: as a full mesh of 4,950 links, and as a list of 99.
func BenchmarkLoad(b *testing.B) {
	secrets := secretsOf(b, "psk: x\n")
	for _, list := range []bool{false, true} {
		src := generated(100, list)
		b.Run(fmt.Sprintf("sites=100/list=%v", list), func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				if _, err := Load("mesh.yaml", src, secrets); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// FuzzLoad feeds any text as mesh and secrets: no panic, no endless loop, and every problem has a
// place and a remedy.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(base), []byte(baseSecrets))
	f.Add(generated(4, true), []byte("psk: x"))
	for _, tc := range problemCases() {
		f.Add([]byte(changed(f, tc.changes...)), []byte(baseSecrets))
	}
	f.Fuzz(func(t *testing.T, src, secrets []byte) {
		s, err := ParseSecrets("secrets.yaml", secrets)
		if err != nil {
			s = nil
		}
		inv, err := Load("mesh.yaml", src, s)
		if err == nil {
			for _, site := range inv.Sites {
				for _, e := range inv.Ends(site.Name) {
					if Changed(e, e) || !e.TunnelLocal.IsValid() || e.TunnelLocal == e.TunnelRemote || len(e.PSK) == 0 || e.Suite.IKELifetime == 0 {
						t.Fatalf("a bad end was accepted: %+v", e)
					}
				}
			}
			return
		}
		ps, ok := errors.AsType[Problems](err)
		if !ok || len(ps) == 0 {
			t.Fatalf("not problems: %v", err)
		}
		for _, p := range ps {
			if p.What == "" || p.Fix == "" || p.File == "" {
				t.Fatalf("a problem without words: %+v", p)
			}
		}
	})
}

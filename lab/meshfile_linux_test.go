package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meshrouter/examples"
	"meshrouter/mesh"
)

// reload writes the configuration as a run does and loads it as a router does.
func reload(t *testing.T, c config) *mesh.Inventory {
	t.Helper()
	path, err := c.write(filepath.Join(t.TempDir(), "config"))
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(filepath.Dir(path), secretsName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("secrets file: %v, %v; want mode 0600", info, err)
	}
	inv, err := mesh.LoadFile(path)
	if err != nil {
		t.Fatalf("the routers cannot load it: %v\n%s", err, c.src)
	}
	return inv
}

func TestConfigOfTheTriangle(t *testing.T) {
	t.Parallel()
	c, inv, err := newConfig("triangle.yaml", examples.Triangle, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	got := reload(t, c)
	if len(got.Sites) != 3 || len(got.Links) != 3 || got.Name != inv.Name {
		t.Errorf("%d sites, %d links, %q", len(got.Sites), len(got.Links), got.Name)
	}
	seen := make(map[string]bool)
	for _, l := range got.Links {
		key := string(l.EndA.PSK)
		if len(key) < 24 || seen[key] {
			t.Errorf("%s: a pre-shared key of %d bytes, used before: %t", l.Name, len(key), seen[key])
		}
		seen[key] = true
		if auth := l.EndA.Auth; auth.Type != mesh.AuthMD5 || len(auth.Keys) != 1 || len(auth.Keys[0].Key) != 16 {
			t.Errorf("%s: OSPF authentication %+v", l.Name, auth.Type)
		}
		if strings.Contains(string(c.src), key) {
			t.Errorf("%s: the key stands in the mesh file", l.Name)
		}
	}
}

func TestConfigMakesSecretsOfAllKinds(t *testing.T) {
	t.Parallel()
	src := `
mesh: kinds
tunnels: 10.255.0.0/16
secrets: /nowhere/secret.yaml # not read: $unused
ospf: {area: 0.0.0.0, auth: {simple: $short}}
sites:
  a: {number: 1, address: 192.0.2.1, lan: [10.1.0.0/24]}
  b: {number: 2, address: 192.0.2.2, lan: [10.2.0.0/24]}
  c: {number: 3, address: 192.0.2.3, bind: 10.9.9.9, lan: [10.3.0.0/24]}
links:
  - {between: [a, b], psk: $own}
  - {between: [b, c]}
`
	c, _, err := newConfig("kinds.yaml", []byte(src), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	inv := reload(t, c)
	if got, want := strings.Join(sortedKeys(c.secrets), " "), "b-c own short"; got != want {
		t.Errorf("secrets %q, want %q", got, want)
	}
	if key := inv.Links[0].EndA.Auth.Keys[0].Key; len(key) != 8 {
		t.Errorf("a simple password of %d bytes", len(key))
	}
	if s := inv.Sites[2]; s.Bind != s.Address {
		t.Errorf("%s binds %s: the lab has no NAT", s.Name, s.Bind)
	}
}

func TestConfigReportsTheMeshFilesErrors(t *testing.T) {
	t.Parallel()
	_, _, err := newConfig("bad.yaml", []byte("mesh: bad\nsites:\n  a: {number: 1, addr: 192.0.2.1}\n"), t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "bad.yaml:3:") {
		t.Errorf("error %v, want one with bad.yaml:3:", err)
	}
}

// Each fault of the configuration loads: it is the lab that must notice it, not the parser.
func TestSabotagedConfigs(t *testing.T) {
	t.Parallel()
	for _, fault := range []string{wrongPSK, wrongMD5, wrongSuite, greKey} {
		c, inv, err := newConfig("triangle.yaml", examples.Triangle, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		l := &lab{o: Options{Sabotage: fault}, config: c, inv: inv, dir: &runDir{path: t.TempDir()}}
		for _, s := range inv.Sites {
			l.sites = append(l.sites, &site{Site: s, ends: inv.Ends(s.Name)})
		}
		var ends []mesh.End
		shared, first, err := l.writeConfigs()
		if err != nil {
			t.Fatalf("%s: %v", fault, err)
		}
		for _, path := range []string{first, shared} {
			got, err := mesh.LoadFile(path)
			if err != nil {
				t.Fatalf("%s: %v", fault, err)
			}
			i := 0
			for got.Links[i].Name != l.sites[0].ends[0].Link {
				i++
			}
			ends = append(ends, got.Links[i].EndA)
		}
		differs := map[string]bool{
			wrongPSK:   string(ends[0].PSK) != string(ends[1].PSK),
			wrongMD5:   string(ends[0].Auth.Keys[0].Key) != string(ends[1].Auth.Keys[0].Key),
			wrongSuite: ends[0].Suite.ESP != ends[1].Suite.ESP,
			greKey:     ends[0].GREKey != nil != (ends[1].GREKey != nil),
		}
		for name, d := range differs {
			if d != (name == fault) {
				t.Errorf("%s: %s differs: %t", fault, name, d)
			}
		}
	}
}

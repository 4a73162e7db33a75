package docscheck

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"meshrouter/internal/testvectors"
	"meshrouter/mesh"
)

// TestRequirements: each requirement of a peer has an id of its own and names tests, all of which exist
// (TestNamedTestsExist), and each rule that is to be there is there.
func TestRequirements(t *testing.T) {
	t.Parallel()
	id := regexp.MustCompile(`^(OB|W|SC)-\d+\.\d+$`)
	for page, want := range map[string][]string{
		"docs/peers/openbsd.md": {
			"OB-2.1", "OB-2.2", "OB-2.3", "OB-3.1", "OB-4.1", "OB-4.2", "OB-4.3", "OB-5.1", "OB-5.2",
			"OB-7.1", "OB-7.2", "OB-7.3", "OB-7.4", "OB-7.5", "OB-7.6", "OB-9.1", "OB-9.2", "OB-9.3",
			"W-9.1", "W-9.2", "W-9.3", "W-9.4", "W-9.5", "W-9.6",
		},
		"docs/peers/screenos.md": {
			"SC-1.1", "SC-1.2", "SC-1.3", "SC-1.4", "SC-1.5", "SC-1.6", "SC-2.1", "SC-2.2", "SC-3.1",
			"SC-4.1", "SC-4.2", "SC-4.3", "SC-4.4", "SC-4.5",
			"SC-7.1", "SC-7.2", "SC-7.3", "SC-7.4", "SC-7.5", "SC-7.6", "SC-7.7", "SC-7.8", "SC-7.9",
		},
	} {
		var ids []string
		for _, tab := range read(t, page).tables {
			if tab.header[0] != "id" {
				continue
			}
			for _, row := range tab.rows {
				if len(row) != 3 || !id.MatchString(row[0]) || row[1] == "" {
					t.Errorf("%s: a row %q that is no requirement", page, row)
					continue
				}
				ids = append(ids, row[0])
				tests := quoted(row[2])
				if len(tests) == 0 || slices.ContainsFunc(tests, func(s string) bool { return !isTest(s) }) {
					t.Errorf("%s: %s is held by %v, want names of tests", page, row[0], tests)
				}
			}
		}
		for i, a := range ids {
			if slices.Contains(ids[:i], a) {
				t.Errorf("%s has %s twice", page, a)
			}
		}
		for _, w := range want {
			if !slices.Contains(ids, w) {
				t.Errorf("%s lacks %s", page, w)
			}
		}
	}
}

// TestPeersAreTheTriangle: the peers' configurations are those of the links of examples/triangle.yaml, and the mesh file
// of each page gives the same link.
func TestPeersAreTheTriangle(t *testing.T) {
	t.Parallel()
	src, err := os.ReadFile(filepath.Join(testvectors.Root(t), "examples", "triangle.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	triangle, err := load(t, string(src))
	if err != nil {
		t.Fatal(err)
	}
	for page, site := range map[string]string{"docs/peers/openbsd.md": "osaka", "docs/peers/screenos.md": "tokyo"} {
		d := read(t, page)
		theirs := endOf(t, triangle, site)
		var text strings.Builder
		for _, f := range d.fences {
			if !isMesh(f) {
				text.WriteString(f.text)
				continue
			}
			inv, err := load(t, f.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := mesh.Diff(endOf(t, inv, site), theirs); len(diff) > 0 {
				t.Errorf("%s:%d: its link differs from that of examples/triangle.yaml in %v", page, f.line, diff)
			}
		}
		hello, dead := strconv.Itoa(int(theirs.Hello.Seconds())), strconv.Itoa(int(theirs.Dead.Seconds()))
		var want []string
		if site == "osaka" {
			want = []string{
				"from " + theirs.Local.String() + " to " + theirs.Remote.String(),
				"tunnel " + theirs.GRELocal.String() + " " + theirs.GRERemote.String(),
				"inet " + theirs.TunnelLocal.Addr().String() + " 255.255.255.255 " + theirs.TunnelRemote.Addr().String(),
				"router-id " + theirs.Site.RouterID.String(), "hello-interval " + hello, "router-dead-time " + dead,
				"metric " + strconv.Itoa(theirs.Cost), "auth-md " + strconv.Itoa(int(theirs.Auth.Keys[0].ID)) + " ",
				"enc 3des group " + mesh.GroupName(theirs.Suite.IKE.Group), "quick auth hmac-sha1 enc 3des group none",
			}
		} else {
			want = []string{
				"tunnel.1 ip " + theirs.TunnelLocal.String(), "dst-ip " + theirs.GRERemote.String(),
				"gateway \"london\" address " + theirs.Remote.String(),
				"proxy-id local-ip " + theirs.LocalTS.Prefix.String() + " remote-ip " + theirs.RemoteTS.Prefix.String(),
				"set router-id " + theirs.Site.RouterID.String(), "ospf hello-interval " + hello, "ospf dead-interval " + dead,
				"ospf cost " + strconv.Itoa(theirs.Cost), "key-id " + strconv.Itoa(int(theirs.Auth.Keys[0].ID)),
				"preshare group" + strconv.Itoa(int(theirs.Suite.IKE.Group)) + " esp 3des sha-1 second " + strconv.Itoa(int(theirs.Suite.IKELifetime.Seconds())),
				"no-pfs esp 3des sha-1 second " + strconv.Itoa(int(theirs.Suite.ESPLifetime.Seconds())),
			}
		}
		for _, w := range want {
			if !strings.Contains(text.String(), w) {
				t.Errorf("%s does not say %q", page, w)
			}
		}
		for _, tab := range d.tables {
			if tab.header[0] == "" && !slices.Equal(column(tab, 2), []string{
				theirs.Local.String(), theirs.TunnelLocal.String(), theirs.Site.LAN[0].String(), theirs.Site.RouterID.String(),
			}) {
				t.Errorf("%s:%d: the addresses are %v", page, tab.line, column(tab, 2))
			}
		}
	}
}

// endOf is a site's end of its link with london.
func endOf(t *testing.T, inv *mesh.Inventory, site string) mesh.End {
	t.Helper()
	for _, e := range inv.Ends(site) {
		if e.Peer.Name == "london" {
			return e
		}
	}
	t.Fatalf("%s has no link with london", site)
	return mesh.End{}
}

func column(tab table, i int) []string {
	var c []string
	for _, row := range tab.rows {
		c = append(c, row[i])
	}
	return c
}

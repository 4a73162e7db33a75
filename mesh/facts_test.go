package mesh

import (
	"strings"
	"testing"
	"time"
)

// SC-7.9 (screenos-facts.md, 7): what `system: screenos` brings to a link, with nothing but a suite, an OSPF key and the two sites
// written down. The key id is 1 where none is given.
func TestScreenOSBundle(t *testing.T) {
	t.Parallel()
	inv, err := Load("mesh.yaml", []byte(`mesh: pair
tunnels: 10.255.0.0/16
suite: legacy
ospf: {auth: {md5: {key: $ospf}}}
sites:
  london: {number: 1, address: 192.0.2.1}
  tokyo:  {number: 2, address: 192.0.2.2, system: screenos}
links: full
`), secretsOf(t, baseSecrets))
	if err != nil {
		t.Fatal(err)
	}
	e := end(t, inv, "london", "london-tokyo")
	switch {
	case e.Suite.IKE.String() != "3des-sha1-modp1024" || e.Suite.ESP.String() != "3des-sha1" || e.Suite.PFS != 0:
		t.Errorf("suite %v, %v, PFS %d", e.Suite.IKE, e.Suite.ESP, e.Suite.PFS)
	case e.Suite.IKELifetime != 28800*time.Second || e.Suite.ESPLifetime != 3600*time.Second || e.Suite.Kilobytes != 0:
		t.Errorf("lifetimes %s, %s, %d kB", e.Suite.IKELifetime, e.Suite.ESPLifetime, e.Suite.Kilobytes)
	case !e.LocalTS.Subnet || !e.RemoteTS.Subnet || e.LocalTS.Prefix.Bits() != 32 || e.LocalTS.Protocol != 0:
		t.Errorf("proxy ids %+v and %+v", e.LocalTS, e.RemoteTS)
	case e.Mode != Tunnel || e.TunnelLocal.Bits() != 30 || e.HelloMask != [4]byte{255, 255, 255, 252} || e.DDMTU != 1500 || e.StrictMTU:
		t.Errorf("mode %d, %s, hello mask %v, DD MTU %d, strict %t", e.Mode, e.TunnelLocal, e.HelloMask, e.DDMTU, e.StrictMTU)
	case e.Auth.Type != AuthMD5 || len(e.Auth.Keys) != 1 || e.Auth.Keys[0].ID != 1:
		t.Errorf("authentication type %d with %d keys", e.Auth.Type, len(e.Auth.Keys))
	}
}

// SC-4.1 (screenos-facts.md, 4): the defaults for the cost of a tunnel differ between systems, so each end has one, whoever is the peer.
func TestCostIsAlwaysSet(t *testing.T) {
	t.Parallel()
	for _, ospf := range []string{"", "cost: 30, "} {
		inv := mustLoad(t, "ospf: {", "ospf: {"+ospf)
		for _, l := range inv.Links {
			want := 10
			if ospf != "" {
				want = 30
			}
			if l.EndA.Cost != want || l.EndB.Cost != want {
				t.Errorf("%s: costs %d and %d, want %d", l.Name, l.EndA.Cost, l.EndB.Cost, want)
			}
		}
	}
	if _, err := Load("mesh.yaml", []byte(changed(t, "ospf: {", "ospf: {cost: 0, ")), secretsOf(t, baseSecrets)); err == nil || !strings.Contains(err.Error(), "1 to 65535") {
		t.Errorf("a cost of 0: %v", err)
	}
}

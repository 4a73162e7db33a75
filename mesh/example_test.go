package mesh_test

import (
	"fmt"

	"meshrouter/mesh"
)

// A router asks for its ends of the links: both addresses of a tunnel follow from the numbers of its
// two sites, and what the peer's system needs is filled in.
func ExampleLoad() {
	secrets, err := mesh.ParseSecrets("mesh.secrets.yaml", []byte("psk: a shared secret\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	inv, err := mesh.Load("mesh.yaml", []byte(`
mesh: example
tunnels: 10.255.0.0/16
suite: legacy
sites:
  london: {number: 1, address: 192.0.2.1, lan: [10.1.0.0/24]}
  tokyo:  {number: 2, address: 192.0.2.2, lan: [10.2.0.0/24], system: screenos}
  osaka:  {number: 3, address: 192.0.2.3, lan: [10.3.0.0/24], system: openbsd}
links: full
`), secrets)
	if err != nil {
		fmt.Println(err) // every problem, one a line
		return
	}
	for _, e := range inv.Ends("london") {
		fmt.Println(e.Link, e.TunnelLocal, e.TunnelRemote, e.Suite.IKE, e.DDMTU)
	}
	// Output:
	// london-osaka 10.255.0.5/32 10.255.0.6/32 3des-sha1-modp1024 1476
	// london-tokyo 10.255.0.1/30 10.255.0.2/30 3des-sha1-modp1024 1500
}

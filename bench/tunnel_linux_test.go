package bench

import (
	"testing"

	"meshrouter/mesh"
	"meshrouter/status"
)

// The mesh file of each negotiation is a good one, and its link has the suite that is asked for.
func TestMeshText(t *testing.T) {
	t.Parallel()
	for _, n := range negotiationTable {
		secrets, err := mesh.ParseSecrets("mesh.secrets.yaml", []byte(secretsText))
		if err != nil {
			t.Fatal(err)
		}
		inv, err := mesh.Load("mesh.yaml", n.mesh(), secrets)
		if err != nil {
			t.Fatal(err)
		}
		for _, site := range []string{"left", "right"} {
			ends := inv.Ends(site)
			if len(ends) != 1 || ends[0].Suite.ESP.String() != n.name2 || ends[0].Suite.IKE.String() != n.name1 {
				t.Errorf("the ends of %s are %v, want one with %s and %s", site, ends, n.name1, n.name2)
			}
		}
	}
}

// A figure counts only if ESP carried its bytes.
func TestCarried(t *testing.T) {
	t.Parallel()
	before := status.SA{SPI: 1, Encryption: "3des-cbc", Bytes: 1000}
	tests := []struct {
		name  string
		after status.SA
		ok    bool
	}{
		{"all", status.SA{SPI: 1, Encryption: "3des-cbc", Bytes: 11500}, true},
		{"in clear", status.SA{SPI: 1, Encryption: "3des-cbc", Bytes: 1500}, false},
		{"another cipher", status.SA{SPI: 1, Encryption: "aes", Bytes: 11500}, false},
		{"another SA", status.SA{SPI: 2, Encryption: "3des-cbc", Bytes: 11500}, false},
	}
	for _, test := range tests {
		if err := carried(before, test.after, "3des-cbc", 10000); (err == nil) != test.ok {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestListens(t *testing.T) {
	t.Parallel()
	const head = "  sl  local_address rem_address   st tx_queue rx_queue\n"
	for line, want := range map[string]bool{
		"   0: 00000000:1451 00000000:0000 0A 00000000:00000000\n": true,
		"   0: 0100007F:1451 0100007F:D431 01 00000000:00000000\n": false, // established
		"   0: 00000000:0016 00000000:1451 0A 00000000:00000000\n": false, // another port
		"": false,
	} {
		if got := listens([]byte(head + line)); got != want {
			t.Errorf("listens(%q) = %t, want %t", line, got, want)
		}
	}
}

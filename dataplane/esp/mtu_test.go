package esp

import (
	"fmt"
	"strings"
	"testing"
)

// openbsd-facts.md, 9: MTU over 3DES/SHA1 ESP, link 1500.
func TestMTUOfTheFacts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		mode Mode
		udp  bool
		key  bool
		want int
		sum  string
	}{
		{Tunnel, false, false, 1422, "1500 - 20 outer IP - 8 ESP - 8 IV - 12 ICV - 4 to whole blocks of 8 - 2 ESP trailer - 20 inner IP - 4 GRE = 1422"},
		{Transport, false, false, 1442, "1500 - 20 outer IP - 8 ESP - 8 IV - 12 ICV - 4 to whole blocks of 8 - 2 ESP trailer - 4 GRE = 1442"},
		{Tunnel, true, false, 1414, "1500 - 20 outer IP - 8 UDP - 8 ESP - 8 IV - 12 ICV - 4 to whole blocks of 8 - 2 ESP trailer - 20 inner IP - 4 GRE = 1414"},
		{Tunnel, false, true, 1418, "1500 - 20 outer IP - 8 ESP - 8 IV - 12 ICV - 4 to whole blocks of 8 - 2 ESP trailer - 20 inner IP - 4 GRE - 4 GRE key = 1418"},
	} {
		if mtu, sum := MTU(1500, tt.mode, tt.udp, TripleDESCBC, HMACSHA1, tt.key); mtu != tt.want || sum != tt.sum {
			t.Errorf("%v, udp %v, key %v:\n got %s\nwant %s", tt.mode, tt.udp, tt.key, sum, tt.sum)
		}
	}
}

// For every suite, mode and link: a packet of the MTU, really sealed, fits the link, and one byte more does not.
func TestMTUIsExact(t *testing.T) {
	t.Parallel()
	for _, s := range allSuites() {
		for _, mode := range []Mode{Tunnel, Transport} {
			for _, udp := range []bool{false, true} {
				for link := 1280; link < 1300; link++ {
					mtu, sum := MTU(link, mode, udp, s.cipher.id, s.auth.id, true)
					out := mustSA(t, s.params(0x1000, mode), true)
					size := func(packet int) int {
						payload := packet + greHeader + greKey
						if mode == Tunnel {
							payload += ipv4Header
						}
						n := ipv4Header + len(sealOnePacket(t, out, make([]byte, payload), 4))
						if udp {
							n += udpHeader
						}
						return n
					}
					if size(mtu) > link || size(mtu+1) <= link {
						t.Errorf("%s: %s: %d bytes become %d, %d become %d", s.name, sum, mtu, size(mtu), mtu+1, size(mtu+1))
					}
				}
			}
		}
	}
}

// The sum adds up: whoever checks it by hand gets the same.
func TestMTUSumAddsUp(t *testing.T) {
	t.Parallel()
	for _, s := range allSuites() {
		mtu, sum := MTU(1500, Tunnel, true, s.cipher.id, s.auth.id, true)
		left, _, _ := strings.Cut(sum, " = ")
		total := 0
		for i, term := range strings.Split(left, " - ") {
			var n int
			if _, err := fmt.Sscan(term, &n); err != nil {
				t.Fatalf("%s: %q: %v", s.name, term, err)
			}
			if i == 0 {
				total = n
			} else {
				total -= n
			}
		}
		if total != mtu {
			t.Errorf("%s: %s adds up to %d", s.name, sum, total)
		}
	}
}

func TestMTURefuses(t *testing.T) {
	t.Parallel()
	if mtu, why := MTU(1500, Tunnel, false, AESCBC, NoAuth, false); mtu != 0 || !strings.Contains(why, "no suite") {
		t.Errorf("encryption without integrity: %d, %q", mtu, why)
	}
	if mtu, _ := MTU(40, Tunnel, false, AESCBC, HMACSHA1, false); mtu != 0 {
		t.Errorf("a link of 40 bytes has MTU %d", mtu)
	}
}

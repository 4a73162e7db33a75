package esp

import (
	"fmt"
	"strings"
)

// Sizes of the headers around ESP and inside it, bytes.
const (
	ipv4Header = 20
	udpHeader  = 8
	greHeader  = 4
	greKey     = 4
)

// MTU is the largest IPv4 packet that fits into GRE inside ESP on a link, so that the outer packet
// is not fragmented, and the sum that shows it: "1500 - 20 outer IP - 8 ESP ... = 1422". It is 0 with
// the reason for algorithms that make no suite or a link too small.
func MTU(link int, mode Mode, udp bool, c Cipher, a Auth, withGREKey bool) (mtu int, sum string) {
	s := anySuite(c, a)
	if s == nil {
		return 0, fmt.Sprintf("no suite of Cipher %d with Auth %d", c, a)
	}
	var b strings.Builder
	left := link
	fmt.Fprintf(&b, "%d", link)
	minus := func(n int, what string) {
		if n > 0 {
			left -= n
			fmt.Fprintf(&b, " - %d %s", n, what)
		}
	}
	minus(ipv4Header, "outer IP")
	if udp {
		minus(udpHeader, "UDP")
	}
	minus(headerLen, "ESP")
	minus(s.cipher.iv, "IV")
	minus(s.icv, "ICV")
	minus(left&(s.cipher.block-1), fmt.Sprintf("to whole blocks of %d", s.cipher.block))
	minus(trailerLen, "ESP trailer")
	if mode == Tunnel {
		minus(ipv4Header, "inner IP")
	}
	minus(greHeader, "GRE")
	if withGREKey {
		minus(greKey, "GRE key")
	}
	fmt.Fprintf(&b, " = %d", left)
	return max(left, 0), b.String()
}

// anySuite is a suite of these algorithms with any key length, which sizes do not depend on.
func anySuite(c Cipher, a Auth) *suite {
	for i := range suiteTable {
		for j := range suiteTable[i] {
			if s := &suiteTable[i][j]; s.cipher.id == c && s.auth.id == a && s.name != "" {
				return s
			}
		}
	}
	return nil
}

package ospf

import (
	"net/netip"
	"time"
)

func mustAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

func addrOf(b []byte) netip.Addr { return netip.AddrFrom4([4]byte(b)) }

func mustTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

func mustPrefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

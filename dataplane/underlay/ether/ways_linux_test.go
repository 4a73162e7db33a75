package ether

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// message is the payload of a route message: struct rtmsg, and the destination if any.
func message(family, bits uint8, dst ...byte) []byte {
	b := make([]byte, unix.SizeofRtMsg)
	b[0], b[1] = family, bits
	if len(dst) != 0 {
		b = append(b, byte(4+len(dst)), 0, unix.RTA_DST, 0)
		b = append(b, dst...)
	}
	return b
}

func TestRouteDst(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		message []byte
		want    string // "": none
	}{
		{"default", message(unix.AF_INET, 0), "0.0.0.0/0"},
		{"prefix", message(unix.AF_INET, 24, 192, 0, 2, 0), "192.0.2.0/24"},
		{"IPv6", message(unix.AF_INET6, 0), ""},
		{"too long", message(unix.AF_INET, 33, 192, 0, 2, 0), ""},
		{"cut off", message(unix.AF_INET, 0)[:5], ""},
	} {
		to, ok := routeDst(tt.message)
		if ok != (tt.want != "") || (ok && to != netip.MustParsePrefix(tt.want)) {
			t.Errorf("%s: %v, %v; want %q", tt.name, to, ok, tt.want)
		}
	}
}

func FuzzRouteDst(f *testing.F) {
	f.Add(message(unix.AF_INET, 24, 192, 0, 2, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		if to, ok := routeDst(b); ok && (!to.IsValid() || !to.Addr().Is4()) {
			t.Errorf("% x is to %v", b, to)
		}
	})
}

package status

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"slices"
)

// The formats of ipsecctl(8), `-s flow` and `-s sa`.

// host writes a prefix, and one of 32 bits as an address.
func host(p netip.Prefix) string {
	switch {
	case !p.IsValid():
		return "any"
	case p.IsSingleIP():
		return p.Addr().String()
	}
	return p.String()
}

// Table prints `ipsecctl -s flow`.
func (d FlowsDoc) Table(w io.Writer) {
	if len(d.Flows) == 0 {
		printf(w, "No flows\n")
	}
	for _, f := range d.Flows {
		printf(w, "flow esp %s", f.Direction)
		if f.Protocol != 0 {
			printf(w, " proto %s", protocolName(f.Protocol))
		}
		printf(w, " from %s to %s", host(f.From), host(f.To))
		for _, a := range []struct {
			word string
			addr netip.Addr
		}{{"local", f.Local}, {"peer", f.Peer}} {
			if a.addr.IsValid() {
				printf(w, " %s %s", a.word, a.addr)
			}
		}
		if f.SrcID != "" {
			printf(w, " srcid %s", f.SrcID)
		}
		if f.DstID != "" {
			printf(w, " dstid %s", f.DstID)
		}
		printf(w, " type %s\n", cmp.Or(f.Type, "require"))
	}
}

// protocolName is the name of /etc/protocols for what flows can have here.
func protocolName(p uint8) string {
	switch p {
	case 1:
		return "icmp"
	case 4:
		return "ipencap"
	case 6:
		return "tcp"
	case 17:
		return "udp"
	case 47:
		return "gre"
	case 89:
		return "ospf"
	}
	return fmt.Sprint(p)
}

// Table prints `ipsecctl -s sa`, by SPI.
func (d SADDoc) Table(w io.Writer) {
	if len(d.SAs) == 0 {
		printf(w, "No entries\n")
	}
	sas := slices.Clone(d.SAs)
	slices.SortStableFunc(sas, func(a, b SA) int { return cmp.Compare(a.SPI, b.SPI) })
	for _, s := range sas {
		printf(w, "esp %s from %s to %s spi 0x%08x", s.Mode, address(s.From.Addr()), address(s.To.Addr()), s.SPI)
		if s.Authentication != "" {
			printf(w, " auth %s", s.Authentication)
		}
		if s.Encryption != "" {
			printf(w, " enc %s", s.Encryption)
		}
		printf(w, "\n")
	}
}

package ospf

import (
	"encoding/binary"

	"meshrouter/internal/wire"
)

// RouterFlags are the V, E and B bits of a router-LSA.
type RouterFlags uint8

// The flags (RFC 2328, A.4.2).
const (
	FlagB RouterFlags = 1 << iota // area border router
	FlagE                         // AS boundary router
	FlagV                         // end of a virtual link
)

// LinkType says what a link of a router-LSA connects to (RFC 2328, A.4.2).
type LinkType uint8

// The link types.
const (
	PointToPointLink LinkType = iota + 1 // ID: the neighbor's router id; Data: our interface address
	TransitLink                          // ID: the designated router's address; Data: our interface address
	StubLink                             // ID: the network; Data: its mask
	VirtualLink                          // ID: the neighbor's router id; Data: our interface address
)

// A RouterLink is one link of a router-LSA.
type RouterLink struct {
	ID     uint32
	Data   uint32
	Type   LinkType
	Metric uint16
}

// A RouterLSA is the body of a router-LSA (RFC 2328, A.4.2). TOS metrics are not kept.
type RouterLSA struct {
	Flags RouterFlags
	Links []RouterLink
}

const (
	routerLSAFixedSize = 4
	routerLinkSize     = 12
)

// Append appends the body of the LSA.
func (l RouterLSA) Append(b []byte) []byte {
	b = append(b, uint8(l.Flags), 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(l.Links))) //nolint:gosec // originate bounds the links
	for _, k := range l.Links {
		b = binary.BigEndian.AppendUint32(b, k.ID)
		b = binary.BigEndian.AppendUint32(b, k.Data)
		b = append(b, uint8(k.Type), 0)
		b = binary.BigEndian.AppendUint16(b, k.Metric)
	}
	return b
}

// ParseRouterLSA decodes the body of a router-LSA (RFC 2328, A.4.2).
func ParseRouterLSA(b []byte) (RouterLSA, error) {
	r := wire.NewReader("router-LSA", b)
	l := RouterLSA{Flags: RouterFlags(r.Uint8("Flags"))}
	r.Uint8("0")
	n := int(r.Uint16("Links"))
	if n*routerLinkSize > r.Len() {
		r.Fail("Links", "%d links need %d bytes, have %d", n, n*routerLinkSize, r.Len())
		return l, r.Err()
	}
	if n > 0 {
		l.Links = make([]RouterLink, 0, n)
	}
	for ; n > 0 && r.Err() == nil; n-- {
		k := RouterLink{ID: r.Uint32("LinkID"), Data: r.Uint32("LinkData"), Type: LinkType(r.Uint8("Type"))}
		tos := int(r.Uint8("TOS"))
		k.Metric = r.Uint16("Metric")
		r.Bytes("TOSMetrics", 4*tos)
		l.Links = append(l.Links, k)
	}
	if r.More() {
		r.Fail("Links", "%d bytes follow the last of them", r.Len())
	}
	return l, r.Err()
}

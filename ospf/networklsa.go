package ospf

import (
	"encoding/binary"

	"meshrouter/internal/wire"
)

// A NetworkLSA is the body of a network-LSA (RFC 2328, A.4.3).
type NetworkLSA struct {
	Mask     uint32
	Attached []RouterID
}

// Append appends the body of the LSA.
func (l NetworkLSA) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, l.Mask)
	for _, a := range l.Attached {
		b = binary.BigEndian.AppendUint32(b, uint32(a))
	}
	return b
}

// ParseNetworkLSA decodes the body of a network-LSA (RFC 2328, A.4.3).
func ParseNetworkLSA(b []byte) (NetworkLSA, error) {
	r := wire.NewReader("network-LSA", b)
	l := NetworkLSA{Mask: r.Uint32("NetworkMask")}
	for r.More() {
		l.Attached = append(l.Attached, RouterID(r.Uint32("AttachedRouter")))
	}
	return l, r.Err()
}

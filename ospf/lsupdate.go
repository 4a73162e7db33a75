package ospf

import (
	"encoding/binary"

	"meshrouter/internal/wire"
)

// A LinkStateUpdate is the body of a Link State Update packet (RFC 2328, A.3.5).
type LinkStateUpdate struct {
	LSAs []LSA
}

const lsUpdateFixedSize = 4

// Append appends the body of the packet.
func (u LinkStateUpdate) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(u.LSAs))) //nolint:gosec // a packet holds few
	for _, l := range u.LSAs {
		b = append(b, l...)
	}
	return b
}

// ParseLinkStateUpdate decodes the body of a Link State Update packet (RFC 2328, A.3.5). The LSAs point
// into b and are not verified beyond their lengths. With an error come the LSAs in front of it.
func ParseLinkStateUpdate(b []byte) (LinkStateUpdate, error) {
	r := wire.NewReader("Link State Update", b)
	n := r.Uint32("LSAs")
	var u LinkStateUpdate
	for ; n > 0 && r.Err() == nil; n-- {
		if l := readLSA(r); l != nil {
			u.LSAs = append(u.LSAs, l)
		}
	}
	if r.More() {
		r.Fail("LSAs", "%d bytes follow the last of them", r.Len())
	}
	return u, r.Err()
}

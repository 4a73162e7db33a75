package ospf

import (
	"encoding/binary"

	"meshrouter/internal/wire"
)

// A LinkStateRequest is the body of a Link State Request packet (RFC 2328, A.3.4): the LSAs wanted.
type LinkStateRequest struct {
	LSAs []LSAKey
}

const lsRequestSize = 12 // bytes for each LSA asked for

// Append appends the body of the packet.
func (q LinkStateRequest) Append(b []byte) []byte {
	for _, k := range q.LSAs {
		b = binary.BigEndian.AppendUint32(b, uint32(k.Type))
		b = binary.BigEndian.AppendUint32(b, uint32(k.ID))
		b = binary.BigEndian.AppendUint32(b, uint32(k.AdvRouter))
	}
	return b
}

// ParseLinkStateRequest decodes the body of a Link State Request packet (RFC 2328, A.3.4).
func ParseLinkStateRequest(b []byte) (LinkStateRequest, error) {
	r := wire.NewReader("Link State Request", b)
	var q LinkStateRequest
	for r.More() {
		t := r.Uint32("LSType")
		if t > 255 {
			r.Fail("LSType", "is %d, an LSA header has room for 255", t)
		}
		q.LSAs = append(q.LSAs, LSAKey{LSType(t), LinkStateID(r.Uint32("LinkStateID")), RouterID(r.Uint32("AdvertisingRouter"))}) //nolint:gosec // checked above
	}
	return q, r.Err()
}

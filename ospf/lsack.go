package ospf

import "meshrouter/internal/wire"

// A LinkStateAck is the body of a Link State Acknowledgment packet (RFC 2328, A.3.6).
type LinkStateAck struct {
	Headers []LSAHeader
}

// Append appends the body of the packet.
func (a LinkStateAck) Append(b []byte) []byte {
	for _, h := range a.Headers {
		b = h.Append(b)
	}
	return b
}

// ParseLinkStateAck decodes the body of a Link State Acknowledgment packet (RFC 2328, A.3.6).
func ParseLinkStateAck(b []byte) (LinkStateAck, error) {
	r := wire.NewReader("Link State Acknowledgment", b)
	var a LinkStateAck
	for r.More() {
		a.Headers = append(a.Headers, readLSAHeader(r))
	}
	return a, r.Err()
}

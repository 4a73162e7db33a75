// Package ipv4 looks at and builds IPv4 packets: header views, checksums, fragments, ICMP errors.
//
//	packet ─► Parse ─► Header view, payload        AppendHeader ─► new packet
//	       ─► Fragment ─► fragments ─► Reassembler ─► packet
//	       ─► ClampMSS, DecrementTTL, EchoReply, FlowHash: in place, without allocation
//
// A Header is the packet's own bytes with names; setters keep the header checksum right
// incrementally (RFC 1624), so that a corrupt header stays corrupt. Everything that comes from the
// wire goes through Parse first; the functions that take a whole packet do that themselves.
//
// Read header.go, checksum.go, fragment.go, reassemble.go, icmp.go, tcp.go, flow.go.
//
// Follows RFC 791, 792, 1071, 1122, 1191, 1624, 1812 and 6864, with one deviation: a datagram whose
// fragments overlap is discarded, as RFC 5722 has it for IPv6, instead of being patched together.
package ipv4

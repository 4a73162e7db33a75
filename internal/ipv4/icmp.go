package ipv4

import (
	"encoding/binary"
	"net/netip"
)

// ICMP types and codes (RFC 792).
const (
	icmpEchoReply        = 0
	icmpUnreachable      = 3
	icmpSourceQuench     = 4
	icmpRedirect         = 5
	icmpEcho             = 8
	icmpTimeExceeded     = 11
	icmpParameterProblem = 12

	// CodeNetUnreachable and CodeHostUnreachable are for ICMPUnreachable.
	CodeNetUnreachable  = 0
	CodeHostUnreachable = 1
	codeFragNeeded      = 4
)

const (
	icmpHeaderLen = 8
	// icmpErrorMax is the size of an ICMP error at most (RFC 1812, 4.3.2.3).
	icmpErrorMax = 576
	// icmpTOS is precedence 6 (RFC 1812, 4.3.2.5).
	icmpTOS = 0xc0
	icmpTTL = 64
)

// ICMPFragNeeded appends to dst the ICMP error that tells the sender of orig the MTU of the next hop
// (RFC 1191, 4). Like the other builders it returns nil when orig must not be answered with an ICMP
// error (RFC 1812, 4.3.2.7): it is malformed, an ICMP error itself, a fragment other than the first,
// to or from a multicast or broadcast address.
func ICMPFragNeeded(dst, orig []byte, src netip.Addr, mtu int) []byte {
	return icmpError(dst, orig, src, icmpUnreachable, codeFragNeeded, uint32(min(max(mtu, 0), MaxPacket)))
}

// ICMPTimeExceeded appends to dst the ICMP error for a packet whose TTL ran out; see ICMPFragNeeded.
func ICMPTimeExceeded(dst, orig []byte, src netip.Addr) []byte {
	return icmpError(dst, orig, src, icmpTimeExceeded, 0, 0)
}

// ICMPUnreachable appends to dst the ICMP error for a packet without a route; see ICMPFragNeeded.
func ICMPUnreachable(dst, orig []byte, src netip.Addr, code uint8) []byte {
	return icmpError(dst, orig, src, icmpUnreachable, code, 0)
}

func icmpError(dst, orig []byte, src netip.Addr, icmpType, code uint8, rest uint32) []byte {
	h, payload, err := Parse(orig)
	if err != nil || !mayAnswer(h, payload) || !src.Is4() {
		return nil
	}
	quote := orig[:min(h.TotalLen(), icmpErrorMax-HeaderLen-icmpHeaderLen)]
	dst = AppendHeader(dst, Fields{TOS: icmpTOS, TTL: icmpTTL, Protocol: ProtocolICMP, Src: src, Dst: h.Src()}, icmpHeaderLen+len(quote))
	n := len(dst)
	dst = append(dst, icmpType, code, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, rest)
	dst = append(dst, quote...)
	binary.BigEndian.PutUint16(dst[n+2:], Checksum(dst[n:], 0))
	return dst
}

// mayAnswer is the list of RFC 1812, 4.3.2.7.
func mayAnswer(h Header, payload []byte) bool {
	if h.FragOffset() != 0 || !unicast(h.Src()) || !unicast(h.Dst()) {
		return false
	}
	if h.Protocol() != ProtocolICMP {
		return true
	}
	if len(payload) == 0 {
		return false
	}
	switch payload[0] {
	case icmpUnreachable, icmpSourceQuench, icmpRedirect, icmpTimeExceeded, icmpParameterProblem:
		return false
	}
	return true
}

// unicast reports whether a is the address of one host, as far as one can see: not 0/8, 127/8,
// multicast or class E with the limited broadcast.
func unicast(a netip.Addr) bool {
	b := a.As4()
	return b[0] != 0 && b[0] != 127 && b[0] < 224
}

// EchoReply turns an ICMP echo request into its reply, in place, and reports whether pkt was one: not
// a fragment, both checksums right, from and to a host. Options go unchanged.
func EchoReply(pkt []byte) bool {
	h, payload, err := Parse(pkt)
	if err != nil || h.Protocol() != ProtocolICMP || h.IsFragment() || len(payload) < icmpHeaderLen ||
		payload[0] != icmpEcho || payload[1] != 0 || !unicast(h.Src()) || !unicast(h.Dst()) ||
		!h.ChecksumOK() || Checksum(payload, 0) != 0 {
		return false
	}
	var src [4]byte
	copy(src[:], h[12:16])
	copy(h[12:16], h[16:20])
	copy(h[16:20], src[:])
	h.SetTTL(icmpTTL)
	payload[0] = icmpEchoReply
	sum := binary.BigEndian.Uint16(payload[2:])
	binary.BigEndian.PutUint16(payload[2:], adjust(sum, icmpEcho<<8, icmpEchoReply<<8))
	return true
}

// Package gre reads and writes GRE headers, keepalives, and the TOS rules of the two IP headers
// around them.
//
//	│ delivery IPv4, protocol 47 │ C.KS flags, version 0 │ protocol │ [checksum 4] │ [key 4] │ [sequence 4] │ payload │
//
//	A ─► │ A→B GRE 0x0800 │ B→A GRE 0x0000 │ ─► B   a keepalive: B takes off the outer GRE, and
//	A ◄─────────────────── │ B→A GRE 0x0000 │ ◄─ B   forwards what was inside back to A
//
// We send the key where one is configured, never checksum or sequence number: OpenBSD declines them.
// On receive a checksum is verified and a sequence number is read and not enforced; routing, version
// 1 (PPTP) and RFC 1701's other bits are refused, as RFC 2784, 2.2 demands.
//
// Nothing here allocates or knows sockets. Read gre.go, keepalive.go, tos.go.
//
// Follows RFC 2784, 2890 and 6040.
package gre

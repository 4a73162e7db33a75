// Package ether carries ESP packets (IP protocol 50) in Ethernet frames of one interface, for the
// ways past the kernel's IP stack: packages xdp (AF_XDP) and ring (AF_PACKET).
//
//	Interface ── which interface has the outer address; is it one whose frames we can make?
//	Ways ─────── destination ─► Way: next hop's MAC, MTU, the 34 bytes in front of ESP
//	               ▲ routes, neighbors and links from netlink, followed as they change
//	Parse ────── frame ─► Packet, with the checks that the kernel's ip_rcv would have made
//
// Both paths have the same small shape, which their consumer declares as its interface:
//
//	Receivers() int
//	Receive(i int) ([]Packet, error)  // waits; valid until the next call with the same i
//	Send(ps, rest []esp.Sealed) (n int, left []esp.Sealed, err error)
//	Describe() string                 // for the log
//	Drops(f func(reason string, n uint64))
//	Close() error
//
// A path takes packets, and so receives them, only of the plain kind: no fragment, no IP options,
// TOS below 0xc0. All else stays with the raw socket that is open beside it: packets of class CS6 and
// above, so that they have a queue of their own; fragments, which the kernel puts together;
// destinations whose route or neighbor is not known yet, where the raw socket's packet makes the kernel
// ask ARP. Send appends such packets to rest. So nothing is lost when a path cannot serve a destination.
//
// Read packet.go, way.go, then interface_linux.go and ways_linux.go. Package veth is for tests.
// Follows RFC 791, 894 and 1812, 5.2.2; routes and neighbors as in rtnetlink(7).
package ether

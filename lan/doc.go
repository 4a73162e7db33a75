// Package lan carries OSPF packets (IP protocol 89) over real interfaces.
//
//	ospf.Send ──► Conn.WriteTo ──► raw socket ──► device ══ 224.0.0.5, 224.0.0.6, neighbor
//	ospf.Packet ◄── Conn.ReadFrom ◄── raw socket ◄── device
//
// One Conn belongs to one interface: it joins AllSPFRouters and AllDRouters there (RFC 2328, A.1),
// sends with TTL 1 and TOS 0xc0 (Internetwork Control, RFC 2328, A.1) and never hears itself. On
// Linux the socket is bound to the device, so that it neither hears nor reaches another one; on the
// BSDs and macOS what arrived elsewhere is recognised by the control message and left out.
// Payloads are what follows the IP header; the kernel makes the header, fragments what is larger
// than the device's MTU and reassembles.
//
// Segment is the in-memory twin: a LAN whose ports have Conn's methods, for tests without root.
//
// Start with conn.go. The package knows nothing about OSPF packets but their addresses.
package lan

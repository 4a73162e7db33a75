// Package underlay moves ESP packets and IKE messages between this site's outer address and its peers.
//
//	Send([]esp.Sealed) ─┬─► xdp, ring or raw socket, IP protocol 50 ─┐
//	                    └─► UDP 4500 (RFC 3948), runs as one ─────── ├─ internet
//	SendIKE ───────────┬──► UDP 4500, after 4 zero bytes ─────────── ┤
//	                   └──► UDP 500 ──────────────────────────────── ┘
//	Receive(i) ◄── ESP, IKE or keepalive, as its Kind says
//
// Send is the only way out for tunnel packets and takes only what package esp sealed, so no code
// path here can put a clear packet on the wire. Outer packets leave without DF and may be fragmented
// on their way; fragments that arrive are put together by the kernel. SendProbe alone sets DF.
//
// Port 4500: a run of equal packets to one peer is one message that the kernel or the device cuts
// (UDP_SEGMENT), and joined datagrams are cut here (UDP_GRO). Where the system refuses, packets leave one
// by one. The sockets are plain ones: UDP_ENCAP would hand ESP to the kernel.
//
// Protocol 50: package xdp, ring, or a raw socket, the first that works, opened when the first packet is
// to be sent that way. Under an XDP program interfaces of virtual machines and containers pass no joined
// packets, or slower, so that none is attached where data leaves by UDP already; then it is ring.
//
// Control: packets of class CS6, IKE and keepalives have sockets of their own, to which the kernel
// steers what arrives, and which do not wait behind data to leave. TOS is not authenticated: who forges
// it competes with OSPF for that socket, not with data for the other.
//
// Receivers: one goroutine each. Data of an SA on port 4500 arrives at one receiver, but any receiver
// can get packets of any SA: control packets, packets of two SAs that the kernel has joined, fragments and
// whatever came before a way opened. Who uses an SA's replay window must lock it.
// A receiver whose way has not opened waits.
//
// Hub is the twin in memory: an internet of sites, with a filter that may lose, change or record.
//
// Read underlay.go, options.go and cut.go, then sockets_linux.go with the files that it names: socket,
// receive, send, segmentation, probe and bypass; memory.go. Linux has the sockets; elsewhere Open says that
// they are missing. Follows RFC 3948, 2.1 to 2.3, and 8899, 3; deviation: UDP checksums are sent, as they
// are needed for segmentation offload (RFC 3948, 2.1 prefers zero).
package underlay

// Package underlay moves ESP packets and IKE messages between this site's outer address and its peers.
//
//	Send([]esp.Sealed) ─┬─► raw socket, IP protocol 50 ─────┐
//	                    └─► UDP 4500 (RFC 3948) ──────────── ├─ internet
//	SendIKE ───────────┬──► UDP 4500, after 4 zero bytes ──── ┤
//	                   └──► UDP 500 ─────────────────────────┘
//	Receive(i) ◄── ESP, IKE or keepalive, as its Kind says
//
// Send is the only way out for tunnel packets and takes only what package esp sealed, so no code
// path here can put a clear packet on the wire. The UDP sockets are plain ones: UDP_ENCAP would hand
// ESP to the kernel. Outer packets leave without DF and may be fragmented on their way; fragments
// that arrive are put together by the kernel.
//
// Hub is the twin in memory: an internet of sites, with a filter that may lose, change or record.
//
// Read underlay.go, then sockets_linux.go and memory.go. Linux has the sockets; elsewhere Open says
// that they are missing. Follows RFC 3948, 2.1 to 2.3; deviation: UDP checksums are sent, as they
// are needed for segmentation offload (RFC 3948, 2.1 prefers zero).
package underlay

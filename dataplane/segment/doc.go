// Package segment cuts the host's large packets into ones that fit a tunnel, and joins a tunnel's packets into
// large ones for the host: segmentation and receive offload, done by us.
//
//	host ─► Packet ─► Cut ─► Cutter: Len, Size(i), Put(i, dst)      one copy, with the checksum in the same pass
//	host ◄─ Groups ◄─ Merger ◄─ Add(pkt), Add(pkt), …               no copy: a Group is a list of pieces
//
// What leaves here is, byte for byte, what the host would have sent without offloads; what the host cuts a
// Group into again are the packets that were joined. A checksum that was wrong stays wrong: a Cutter works
// from the checksums that it is given, and a Merger joins only packets whose checksums it has verified.
// Package tun moves Packets and Groups between us and the kernel.
//
// Read segment.go, cut.go, merge.go.
//
// Follows virtio 1.2, 5.1.6 (the offload header), RFC 9293, 3.9.1 (what a segment of a larger one looks
// like), RFC 3168 (CWR), RFC 768, 1071, 1624, and the rules of Linux's GSO and GRO for IPv4.
package segment

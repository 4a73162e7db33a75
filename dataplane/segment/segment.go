// Package segment cuts the host's large packets into ones that fit a tunnel, and joins a tunnel's packets into
// large ones for the host: segmentation and receive offload, done by us.
package segment

// An Offload says how one large packet stands for many, or that its checksum is not complete: the
// fields of struct virtio_net_hdr (virtio 1.2, 5.1.6), which the TUN device puts in front of a packet.
// The zero value is a packet that is what it seems.
type Offload struct {
	Flags      uint8
	GSOType    uint8
	HdrLen     uint16 // bytes of headers before the payload that is cut
	GSOSize    uint16 // bytes of payload in each segment but the last
	CsumStart  uint16 // where the checksummed part begins, from the IP header's first byte
	CsumOffset uint16 // where in it the checksum field lies
}

// A Packet is what the host sends in one piece.
type Packet struct {
	Buf        []byte // the memory, of its reader
	Start, End int    // where in Buf the IP packet lies
	Offload    Offload
}

// A Group is what the host receives in one piece: the Pieces one after another.
type Group struct {
	Offload Offload
	Pieces  [][]byte
}

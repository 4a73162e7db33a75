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

// NeedsChecksum (VIRTIO_NET_HDR_F_NEEDS_CSUM) is the flag of a packet whose checksum field holds the sum
// of the pseudo header: the sum from CsumStart on, complemented, has to be put there.
const NeedsChecksum = 1

// The values of GSOType that the kernel was asked for. GSOECN is added to GSOTCPv4 when the first
// segment's CWR flag is set.
const (
	GSONone  = 0
	GSOTCPv4 = 1
	GSOUDPL4 = 5
	GSOECN   = 0x80
)

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

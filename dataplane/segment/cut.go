package segment

import (
	"encoding/binary"
	"errors"

	"meshrouter/internal/ipv4"
)

// The ways in which a packet of the host cannot be cut. They are returned as they are: on this path an
// error is a reason to count.
var (
	ErrIPv6          = errors.New("segment: an IPv6 packet")
	ErrGSOType       = errors.New("segment: no kind of large packet that was asked for")
	ErrGSOSize       = errors.New("segment: segments of 0 bytes")
	ErrNeedsChecksum = errors.New("segment: a large packet that does not ask for checksums")
	ErrChecksumPlace = errors.New("segment: the checksum's place is not in the transport header")
	ErrFragment      = errors.New("segment: a large packet that is a fragment")
	ErrLength        = errors.New("segment: total length or UDP length is not the packet's")
	ErrTransport     = errors.New("segment: transport header incomplete or of another protocol")
)

// A Cutter writes the segments of one packet. The zero value is ready for Packet.Cut; it holds the
// packet's memory until the next one.
type Cutter struct {
	pkt       []byte
	put       kind
	header    int // bytes in front of each segment's payload; 0: the packet stays whole
	transport int // where the transport header, or what is checksummed, begins
	checksum  int // where the checksum lies
	size      int // bytes of payload in each segment but the last
	segments  int

	id    uint16 // of the first segment
	seq   uint32
	flags uint8
	ipSum uint64 // of the IP header without total length, identification and checksum
	sum   uint64 // of pseudo header and transport header, without what differs between segments
}

// kind is how a segment is made.
type kind uint8

const (
	whole    kind = iota // as it is
	complete             // whole, with its checksum completed
	tcp
	udp
)

const (
	tcpHeaderLen, udpHeaderLen                                     = 20, 8
	tcpChecksum, udpChecksum                                       = 16, 6
	tcpFIN, tcpSYN, tcpRST, tcpPSH, tcpACK, tcpURG, tcpECE, tcpCWR = 1, 2, 4, 8, 16, 32, 64, 128
)

// Cut validates the packet and prepares c to write its segments. What the host says beside the packet is
// believed only where it agrees with the packet's own headers; HdrLen is not needed at all.
//
// A packet that is not large is one segment: without NeedsChecksum a copy of what its total length covers,
// however wrong its checksums are; with it, a copy with the checksum completed. Whoever changes a packet and
// adjusts its checksum, as ipv4.ClampMSS does, has to do so to the segments.
func (p *Packet) Cut(c *Cutter) error {
	pkt := p.Buf[p.Start:p.End]
	h, payload, err := ipv4.Parse(pkt)
	if err != nil {
		if len(pkt) > 0 && pkt[0]>>4 == 6 {
			return ErrIPv6
		}
		return err
	}
	o := &p.Offload
	*c = Cutter{pkt: pkt[:h.TotalLen()], segments: 1, transport: int(o.CsumStart), checksum: int(o.CsumStart) + int(o.CsumOffset)}
	needs := o.Flags&NeedsChecksum != 0
	switch {
	case o.GSOType == GSONone && !needs:
		return nil
	case h.TotalLen() != len(pkt):
		return ErrLength
	case !needs:
		return ErrNeedsChecksum
	case c.transport < len(h), c.checksum+2 > len(pkt):
		return ErrChecksumPlace
	case o.GSOType == GSONone:
		c.put = complete
		return nil
	case o.GSOSize == 0:
		return ErrGSOSize
	case h.IsFragment():
		return ErrFragment
	case c.transport != len(h):
		return ErrChecksumPlace
	}
	c.size = int(o.GSOSize)
	switch o.GSOType {
	case GSOTCPv4, GSOTCPv4 | GSOECN:
		err = c.cutTCP(h, payload)
	case GSOUDPL4:
		err = c.cutUDP(h, payload)
	default:
		err = ErrGSOType
	}
	if err != nil {
		return err
	}
	c.segments = max(1, (len(pkt)-c.header+c.size-1)/c.size)
	c.id = h.ID()
	// The old checksum is the complement of the sum of everything (RFC 1624): if it is wrong, so are those
	// that are made from it.
	c.ipSum = uint64(^binary.BigEndian.Uint16(h[10:])) + uint64(^binary.BigEndian.Uint16(h[2:])) + uint64(^h.ID())
	return nil
}

// In a packet that needs checksums, the checksum field holds the sum of the pseudo header. It is taken from
// there with the old length subtracted, and not computed afresh, so that a wrong one stays wrong.

func (c *Cutter) cutTCP(h ipv4.Header, b []byte) error {
	if h.Protocol() != ipv4.ProtocolTCP || len(b) < tcpHeaderLen {
		return ErrTransport
	}
	n := int(b[12]>>4) * 4
	if n < tcpHeaderLen || n > len(b) {
		return ErrTransport
	}
	if c.checksum != c.transport+tcpChecksum {
		return ErrChecksumPlace
	}
	c.put, c.header = tcp, len(h)+n
	c.seq, c.flags = binary.BigEndian.Uint32(b[4:]), b[13]
	c.sum = uint64(^uint16(len(b)&0xffff)) + uint64(ipv4.Sum(b[:4])) + uint64(ipv4.Sum(b[8:12])) +
		uint64(b[12])<<8 + uint64(ipv4.Sum(b[14:n]))
	return nil
}

func (c *Cutter) cutUDP(h ipv4.Header, b []byte) error {
	if h.Protocol() != ipv4.ProtocolUDP || len(b) < udpHeaderLen {
		return ErrTransport
	}
	if c.checksum != c.transport+udpChecksum {
		return ErrChecksumPlace
	}
	if int(binary.BigEndian.Uint16(b[4:])) != len(b) {
		return ErrLength
	}
	c.put, c.header = udp, len(h)+udpHeaderLen
	c.sum = uint64(^uint16(len(b)&0xffff)) + uint64(ipv4.Sum(b[:4])) + uint64(ipv4.Sum(b[6:8]))
	return nil
}

// Len is the number of segments, 1 to 65,515.
func (c *Cutter) Len() int { return c.segments }

// Size is the length of segment i, bytes.
func (c *Cutter) Size(i int) int {
	if c.header == 0 {
		return len(c.pkt)
	}
	return c.header + min(c.size, len(c.pkt)-c.header-i*c.size)
}

// Put writes segment i to dst, whose length is Size(i). Segments may be written in any order, and more
// than once. dst must not overlap with the packet.
func (c *Cutter) Put(i int, dst []byte) {
	switch c.put {
	case whole:
		copy(dst, c.pkt)
		return
	case complete:
		copy(dst, c.pkt[:c.transport])
		sum := ^ipv4.CopySum(dst[c.transport:], c.pkt[c.transport:])
		binary.BigEndian.PutUint16(dst[c.checksum:], notZero(sum))
		return
	case tcp, udp:
	}
	at := c.header + i*c.size
	header := dst[:c.header]
	copy(header, c.pkt)
	sum := c.sum + uint64(ipv4.CopySum(dst[c.header:], c.pkt[at:at+len(dst)-c.header]))

	id := c.id + uint16(i&0xffff)
	total := uint16(len(dst) & 0xffff)
	binary.BigEndian.PutUint16(header[2:], total)
	binary.BigEndian.PutUint16(header[4:], id)
	binary.BigEndian.PutUint16(header[10:], ^ipv4.Fold(c.ipSum+uint64(total)+uint64(id)))

	l4 := header[c.transport:]
	length := uint16((len(dst) - c.transport) & 0xffff)
	sum += uint64(length)
	if c.put == udp {
		binary.BigEndian.PutUint16(l4[4:], length)
		binary.BigEndian.PutUint16(l4[6:], notZero(^ipv4.Fold(sum+uint64(length))))
		return
	}
	seq, flags := c.seq+uint32(i*c.size), c.flags //nolint:gosec // sequence numbers wrap
	if i > 0 {
		flags &^= tcpCWR // RFC 3168, 6.1.2: once is enough
	}
	if i < c.segments-1 {
		flags &^= tcpFIN | tcpPSH
	}
	binary.BigEndian.PutUint32(l4[4:], seq)
	l4[13] = flags
	binary.BigEndian.PutUint16(l4[16:], ^ipv4.Fold(sum+uint64(seq)+uint64(flags)))
}

// notZero is the checksum of UDP (RFC 768): 0 would mean none.
func notZero(checksum uint16) uint16 {
	if checksum == 0 {
		return 0xffff
	}
	return checksum
}

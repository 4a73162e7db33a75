package ipv4

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// HeaderLen is the length of a header without options, and MaxHeaderLen with the most of them, bytes.
const (
	HeaderLen    = 20
	MaxHeaderLen = 60
)

// MaxPacket is the largest IPv4 packet, bytes.
const MaxPacket = 65535

// IP protocol numbers that this router treats by name.
const (
	ProtocolICMP = 1
	ProtocolIPv4 = 4
	ProtocolTCP  = 6
	ProtocolUDP  = 17
	ProtocolGRE  = 47
	ProtocolESP  = 50
	ProtocolOSPF = 89
)

const (
	flagDF     = 0x4000
	flagMF     = 0x2000
	offsetMask = 0x1fff
)

// The ways in which a packet is not an IPv4 packet. They are returned as they are, without the
// offending bytes: on this path an error is a reason to count.
var (
	ErrTruncated    = errors.New("ipv4: packet shorter than its header or its total length")
	ErrVersion      = errors.New("ipv4: version is not 4")
	ErrHeaderLength = errors.New("ipv4: header length below 20 bytes")
	ErrTotalLength  = errors.New("ipv4: total length below the header length")
)

// A Header is a view of an IPv4 header with its options, in place. Only Parse and AppendHeader make
// one that is long enough for its methods.
type Header []byte

// Parse checks version, header length and total length of a packet (RFC 1812, 5.2.2), and returns the
// header and the payload, both inside pkt; bytes after the total length are left out. The checksum
// is a matter of ChecksumOK.
func Parse(pkt []byte) (h Header, payload []byte, err error) {
	if len(pkt) < HeaderLen {
		return nil, nil, ErrTruncated
	}
	if pkt[0]>>4 != 4 {
		return nil, nil, ErrVersion
	}
	headerLen := int(pkt[0]&15) * 4
	total := int(binary.BigEndian.Uint16(pkt[2:]))
	switch {
	case headerLen < HeaderLen:
		return nil, nil, ErrHeaderLength
	case total < headerLen:
		return nil, nil, ErrTotalLength
	case total > len(pkt):
		return nil, nil, ErrTruncated
	}
	return Header(pkt[:headerLen:headerLen]), pkt[headerLen:total:total], nil
}

// TOS is the type of service byte: DSCP and ECN.
func (h Header) TOS() uint8 { return h[1] }

// TotalLen is the length of header and payload, bytes.
func (h Header) TotalLen() int { return int(binary.BigEndian.Uint16(h[2:])) }

// ID is the identification, which fragments of one packet share.
func (h Header) ID() uint16 { return binary.BigEndian.Uint16(h[4:]) }

// DF reports whether the packet must not be fragmented.
func (h Header) DF() bool { return h.fragment()&flagDF != 0 }

// MF reports whether more fragments follow.
func (h Header) MF() bool { return h.fragment()&flagMF != 0 }

// FragOffset is the place of a fragment's payload in the whole payload, bytes.
func (h Header) FragOffset() int { return int(h.fragment()&offsetMask) * 8 }

// IsFragment reports whether the packet is a part of another.
func (h Header) IsFragment() bool { return h.fragment()&(flagMF|offsetMask) != 0 }

func (h Header) fragment() uint16 { return binary.BigEndian.Uint16(h[6:]) }

// TTL is the time to live.
func (h Header) TTL() uint8 { return h[8] }

// Protocol is the protocol of the payload.
func (h Header) Protocol() uint8 { return h[9] }

// Src is the source address.
func (h Header) Src() netip.Addr { return netip.AddrFrom4([4]byte(h[12:16])) }

// Dst is the destination address.
func (h Header) Dst() netip.Addr { return netip.AddrFrom4([4]byte(h[16:20])) }

// SetTTL sets the time to live and adjusts the checksum.
func (h Header) SetTTL(ttl uint8) { h.set16(8, uint16(ttl)<<8|uint16(h[9])) }

// SetTOS sets the type of service byte and adjusts the checksum.
func (h Header) SetTOS(tos uint8) { h.set16(0, uint16(h[0])<<8|uint16(tos)) }

// SetID sets the identification and adjusts the checksum.
func (h Header) SetID(id uint16) { h.set16(4, id) }

// DecrementTTL counts one hop. It reports false, and changes nothing, when the packet may not go on
// (RFC 1812, 5.3.1).
func (h Header) DecrementTTL() bool {
	if h[8] <= 1 {
		return false
	}
	h.SetTTL(h[8] - 1)
	return true
}

// set16 changes the 16-bit word at an even offset and the checksum with it.
func (h Header) set16(offset int, v uint16) {
	old := binary.BigEndian.Uint16(h[offset:])
	binary.BigEndian.PutUint16(h[offset:], v)
	binary.BigEndian.PutUint16(h[10:], adjust(binary.BigEndian.Uint16(h[10:]), old, v))
}

// UpdateChecksum computes the checksum afresh.
func (h Header) UpdateChecksum() {
	h[10], h[11] = 0, 0
	binary.BigEndian.PutUint16(h[10:], Checksum(h, 0))
}

// ChecksumOK verifies the checksum of the header.
func (h Header) ChecksumOK() bool { return Checksum(h, 0) == 0 }

// Fields are what AppendHeader cannot know.
type Fields struct {
	TOS, TTL, Protocol uint8
	ID                 uint16
	DF                 bool
	Src, Dst           netip.Addr
}

// AppendHeader appends the 20-byte header of a packet with that much payload, checksum included. It
// panics if the addresses are not IPv4 or the packet would be larger than MaxPacket.
func AppendHeader(b []byte, f Fields, payloadLen int) []byte {
	if payloadLen < 0 || payloadLen > MaxPacket-HeaderLen {
		panic("ipv4: AppendHeader: payload does not fit a packet")
	}
	src, dst := f.Src.As4(), f.Dst.As4()
	var frag uint16
	if f.DF {
		frag = flagDF
	}
	n := len(b)
	b = append(b, 0x45, f.TOS)
	b = binary.BigEndian.AppendUint16(b, uint16(HeaderLen+payloadLen))
	b = binary.BigEndian.AppendUint16(b, f.ID)
	b = binary.BigEndian.AppendUint16(b, frag)
	b = append(b, f.TTL, f.Protocol, 0, 0)
	b = append(b, src[:]...)
	b = append(b, dst[:]...)
	Header(b[n:]).UpdateChecksum()
	return b
}

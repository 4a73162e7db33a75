package ospf

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"meshrouter/internal/wire"
)

// PacketType is the Type field of the packet header (RFC 2328, A.3.1).
type PacketType uint8

// The packet types.
const (
	HelloPacket PacketType = iota + 1
	DatabaseDescriptionPacket
	LSRequestPacket
	LSUpdatePacket
	LSAckPacket
)

func (t PacketType) String() string {
	switch t {
	case HelloPacket:
		return "Hello"
	case DatabaseDescriptionPacket:
		return "Database Description"
	case LSRequestPacket:
		return "Link State Request"
	case LSUpdatePacket:
		return "Link State Update"
	case LSAckPacket:
		return "Link State Acknowledgment"
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// Options is the Options field of Hellos, Database Descriptions and LSAs (RFC 2328, A.2; RFC 5250).
type Options uint8

// The option bits.
const (
	OptionMT Options = 1 << iota
	OptionE          // external routes are taken in
	OptionMC
	OptionNP
	OptionL // a link-local signaling block follows the packet
	OptionDC
	OptionO // opaque LSAs are taken in
	OptionDN
)

// Sizes in bytes.
const (
	HeaderSize    = 24 // the OSPF packet header
	LSAHeaderSize = 20
	digestSize    = 16 // MD5, behind the packet
	ipHeaderSize  = 20
)

const version = 2

// A Header is the OSPF packet header (RFC 2328, A.3.1).
type Header struct {
	Version        uint8
	Type           PacketType
	Length         uint16 // header and body, without a digest
	RouterID       RouterID
	Area           AreaID
	Checksum       uint16
	AuType         AuthType
	Authentication [8]byte
}

// Append appends the 24 bytes of h.
func (h Header) Append(b []byte) []byte {
	b = append(b, h.Version, uint8(h.Type))
	b = binary.BigEndian.AppendUint16(b, h.Length)
	b = binary.BigEndian.AppendUint32(b, uint32(h.RouterID))
	b = binary.BigEndian.AppendUint32(b, uint32(h.Area))
	b = binary.BigEndian.AppendUint16(b, h.Checksum)
	b = binary.BigEndian.AppendUint16(b, uint16(h.AuType))
	return append(b, h.Authentication[:]...)
}

// ParsePacket splits b into header, body and what follows the length in the header: a digest, a
// link-local signaling block (RFC 5613), or nothing. Both slices point into b.
func ParsePacket(b []byte) (h Header, body, trailer []byte, err error) {
	r := wire.NewReader("OSPF packet", b)
	h.Version = r.Uint8("Version")
	h.Type = PacketType(r.Uint8("Type"))
	h.Length = r.Uint16("Length")
	h.RouterID = RouterID(r.Uint32("RouterID"))
	h.Area = AreaID(r.Uint32("AreaID"))
	h.Checksum = r.Uint16("Checksum")
	h.AuType = AuthType(r.Uint16("AuType"))
	copy(h.Authentication[:], r.Bytes("Authentication", len(h.Authentication)))
	if r.Err() == nil && h.Length < HeaderSize {
		r.Fail("Length", "is %d, the header alone takes %d", h.Length, HeaderSize)
	}
	body = r.Bytes("body", int(h.Length)-HeaderSize)
	trailer = r.Rest()
	return h, body, trailer, r.Err()
}

// String is the dotted quad.
func (id RouterID) String() string { return addr(uint32(id)).String() }

// String is the dotted quad.
func (a AreaID) String() string { return addr(uint32(a)).String() }

// addr is the IPv4 address with the number v.
func addr(v uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], v)
	return netip.AddrFrom4(b)
}

// number is the inverse of addr; 0 for what is no IPv4 address.
func number(a netip.Addr) uint32 {
	if !a.Is4() {
		return 0
	}
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// mask is the network mask of a prefix length.
func mask(bits int) uint32 { return ^uint32(0) << (32 - bits) }

// allSPFRouters and allDRouters are the multicast groups (RFC 2328, A.1).
func allSPFRouters() netip.Addr { return netip.AddrFrom4([4]byte{224, 0, 0, 5}) }
func allDRouters() netip.Addr   { return netip.AddrFrom4([4]byte{224, 0, 0, 6}) }

// A MismatchError is a well-formed packet refused because a field differs from ours.
type MismatchError struct {
	Where, Field string // "Hello from 10.255.0.2 on tun3", "RouterDeadInterval"
	Got, Want    any
	Ref          string // "RFC 2328, 10.5"
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("%s: %s is %v, want %v (%s)", e.Where, e.Field, e.Got, e.Want, e.Ref)
}

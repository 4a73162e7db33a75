package isakmp

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"meshrouter/internal/wire"
)

// An ID is the body of an identification payload (RFC 2407, 4.6.2).
type ID struct {
	Type     IDType
	Protocol uint8 // IP protocol; 0: any
	Port     uint16
	Data     []byte // address, address and mask, or text
}

// ParseID decodes the body of an identification payload. Data must have the length that its type
// asks for. It shares b's memory.
func ParseID(b []byte) (ID, error) {
	r := wire.NewReader("ID payload", b)
	id := ID{
		Type:     IDType(r.Uint8("ID Type")),
		Protocol: r.Uint8("Protocol ID"),
		Port:     r.Uint16("Port"),
		Data:     r.Rest(),
	}
	want, fixed := id.Type.dataLength()
	if r.Err() == nil && (fixed && len(id.Data) != want || len(id.Data) == 0) {
		r.Fail("Identification Data", "%s with %d bytes (RFC 2407, 4.6.2)", id.Type, len(id.Data))
	}
	return id, r.Err()
}

// dataLength is how long the data of an identity that holds addresses is, bytes.
func (t IDType) dataLength() (n int, fixed bool) {
	switch t {
	case IDIPv4Addr:
		return 4, true
	case IDIPv4AddrSubnet, IDIPv4AddrRange:
		return 8, true
	case IDIPv6Addr:
		return 16, true
	case IDIPv6AddrSubnet, IDIPv6AddrRange:
		return 32, true
	default:
		return 0, false
	}
}

// Append appends the body of the payload.
func (id ID) Append(b []byte) []byte {
	b = append(b, uint8(id.Type), id.Protocol)
	b = binary.BigEndian.AppendUint16(b, id.Port)
	return append(b, id.Data...)
}

// AddrID is the identity of the IPv4 address a, for any protocol and port.
func AddrID(a netip.Addr) ID {
	return ID{Type: IDIPv4Addr, Data: a.AsSlice()}
}

// SubnetID is the identity of the IPv4 network p, as address and mask.
func SubnetID(p netip.Prefix) ID {
	data := p.Addr().AsSlice()
	mask := ^uint32(0) << (32 - p.Bits())
	return ID{Type: IDIPv4AddrSubnet, Data: binary.BigEndian.AppendUint32(data, mask)}
}

// Prefix is the network that an IPV4_ADDR or IPV4_ADDR_SUBNET identity stands for; ok is false for
// other types and for masks with holes. A host is a /32.
func (id ID) Prefix() (p netip.Prefix, ok bool) {
	switch {
	case id.Type == IDIPv4Addr && len(id.Data) == 4:
		return netip.PrefixFrom(netip.AddrFrom4([4]byte(id.Data)), 32), true
	case id.Type == IDIPv4AddrSubnet && len(id.Data) == 8:
		mask := binary.BigEndian.Uint32(id.Data[4:])
		bits := 0
		for bits < 32 && mask&(1<<(31-bits)) != 0 {
			bits++
		}
		if mask != uint32(^uint64(0)<<(32-bits)&0xffffffff) {
			return netip.Prefix{}, false
		}
		return netip.PrefixFrom(netip.AddrFrom4([4]byte(id.Data)), bits), true
	default:
		return netip.Prefix{}, false
	}
}

// String is the identity for people: "192.0.2.1", "10.1.0.0/16 proto 47", `FQDN "gw.example"`.
func (id ID) String() string {
	var s string
	switch p, ok := id.Prefix(); {
	case ok && id.Type == IDIPv4Addr:
		s = p.Addr().String()
	case ok:
		s = p.String()
	case id.Type == IDFQDN || id.Type == IDUserFQDN:
		s = fmt.Sprintf("%s %q", id.Type, id.Data)
	default:
		s = fmt.Sprintf("%s 0x%x", id.Type, id.Data)
	}
	if id.Protocol != 0 {
		s += fmt.Sprintf(" proto %d", id.Protocol)
	}
	if id.Port != 0 {
		s += fmt.Sprintf(" port %d", id.Port)
	}
	return s
}

package ospf

import (
	"encoding/binary"
	"strings"

	"meshrouter/internal/wire"
)

// DDFlags are the I, M and MS bits of a Database Description packet.
type DDFlags uint8

// The flags (RFC 2328, A.3.3).
const (
	FlagMS DDFlags = 1 << iota // the sender is the master
	FlagM                      // more packets follow
	FlagI                      // the first of the sequence
)

func (f DDFlags) String() string {
	var on []string
	for _, bit := range []struct {
		flag DDFlags
		name string
	}{{FlagI, "I"}, {FlagM, "M"}, {FlagMS, "MS"}} {
		if f&bit.flag != 0 {
			on = append(on, bit.name)
		}
	}
	if on == nil {
		return "none"
	}
	return strings.Join(on, "|")
}

// A DatabaseDescription is the body of a Database Description packet (RFC 2328, A.3.3).
type DatabaseDescription struct {
	MTU      uint16 // Interface MTU
	Options  Options
	Flags    DDFlags
	Sequence uint32
	Headers  []LSAHeader
}

const ddFixedSize = 8

// Append appends the body of the packet.
func (d DatabaseDescription) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, d.MTU)
	b = append(b, uint8(d.Options), uint8(d.Flags))
	b = binary.BigEndian.AppendUint32(b, d.Sequence)
	for _, h := range d.Headers {
		b = h.Append(b)
	}
	return b
}

// ParseDatabaseDescription decodes the body of a Database Description packet (RFC 2328, A.3.3).
func ParseDatabaseDescription(b []byte) (DatabaseDescription, error) {
	r := wire.NewReader("Database Description", b)
	d := DatabaseDescription{
		MTU:      r.Uint16("InterfaceMTU"),
		Options:  Options(r.Uint8("Options")),
		Flags:    DDFlags(r.Uint8("Flags")),
		Sequence: r.Uint32("DDSequenceNumber"),
	}
	for r.More() {
		d.Headers = append(d.Headers, readLSAHeader(r))
	}
	return d, r.Err()
}

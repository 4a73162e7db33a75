package ospf

import (
	"encoding/binary"

	"meshrouter/internal/wire"
)

// A Hello is the body of a Hello packet (RFC 2328, A.3.2).
type Hello struct {
	NetworkMask            uint32
	HelloInterval          uint16 // seconds
	Options                Options
	Priority               uint8
	RouterDeadInterval     uint32 // seconds
	DesignatedRouter       uint32 // interface addresses, 0 for none
	BackupDesignatedRouter uint32
	Neighbors              []RouterID
}

// Append appends the body of the Hello packet.
func (h Hello) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, h.NetworkMask)
	b = binary.BigEndian.AppendUint16(b, h.HelloInterval)
	b = append(b, uint8(h.Options), h.Priority)
	b = binary.BigEndian.AppendUint32(b, h.RouterDeadInterval)
	b = binary.BigEndian.AppendUint32(b, h.DesignatedRouter)
	b = binary.BigEndian.AppendUint32(b, h.BackupDesignatedRouter)
	for _, n := range h.Neighbors {
		b = binary.BigEndian.AppendUint32(b, uint32(n))
	}
	return b
}

// ParseHello decodes the body of a Hello packet (RFC 2328, A.3.2).
func ParseHello(b []byte) (Hello, error) {
	r := wire.NewReader("Hello", b)
	h := Hello{
		NetworkMask:            r.Uint32("NetworkMask"),
		HelloInterval:          r.Uint16("HelloInterval"),
		Options:                Options(r.Uint8("Options")),
		Priority:               r.Uint8("RtrPri"),
		RouterDeadInterval:     r.Uint32("RouterDeadInterval"),
		DesignatedRouter:       r.Uint32("DesignatedRouter"),
		BackupDesignatedRouter: r.Uint32("BackupDesignatedRouter"),
	}
	for r.More() {
		h.Neighbors = append(h.Neighbors, RouterID(r.Uint32("Neighbor")))
	}
	return h, r.Err()
}

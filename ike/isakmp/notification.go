package isakmp

import (
	"encoding/binary"

	"meshrouter/internal/wire"
)

// A Notification is the body of a notification payload (RFC 2408, 3.14).
type Notification struct {
	DOI      uint32
	Protocol uint8
	SPI      []byte // empty, an ESP SPI, or the two cookies
	Type     NotifyType
	Data     []byte
}

// ParseNotification decodes the body of a notification payload. It shares b's memory.
func ParseNotification(b []byte) (Notification, error) {
	r := wire.NewReader("N payload", b)
	n := Notification{DOI: r.Uint32("DOI"), Protocol: r.Uint8("Protocol-ID")}
	spiSize := int(r.Uint8("SPI Size"))
	if spiSize > MaxSPI {
		r.Fail("SPI Size", "is %d, want at most %d", spiSize, MaxSPI)
	}
	n.Type = NotifyType(r.Uint16("Notify Message Type"))
	n.SPI = r.Bytes("SPI", spiSize)
	n.Data = r.Rest()
	return n, r.Err()
}

// Append appends the body of the payload.
func (n Notification) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, n.DOI)
	b = append(b, n.Protocol, length8(len(n.SPI)))
	b = binary.BigEndian.AppendUint16(b, uint16(n.Type))
	return append(append(b, n.SPI...), n.Data...)
}

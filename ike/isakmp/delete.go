package isakmp

import (
	"encoding/binary"

	"meshrouter/internal/wire"
)

// A Delete is the body of a delete payload (RFC 2408, 3.15). Its SPIs are those that the sender receives
// with; for an ISAKMP SA, the two cookies.
type Delete struct {
	DOI      uint32
	Protocol uint8
	SPIs     [][]byte // all of the same length
}

// ParseDelete decodes the body of a delete payload, which must hold exactly the SPIs that it counts.
// No SPI at all is well-formed: isakmpd ignores it. It shares b's memory.
func ParseDelete(b []byte) (Delete, error) {
	r := wire.NewReader("D payload", b)
	d := Delete{DOI: r.Uint32("DOI"), Protocol: r.Uint8("Protocol-Id")}
	spiSize := int(r.Uint8("SPI Size"))
	count := int(r.Uint16("# of SPIs"))
	if spiSize > MaxSPI || spiSize == 0 && count > 0 {
		r.Fail("SPI Size", "is %d, want 1 to %d", spiSize, MaxSPI)
	}
	if r.Err() == nil && count*spiSize != r.Len() {
		r.Fail("# of SPIs", "%d SPIs of %d bytes, have %d bytes", count, spiSize, r.Len())
	}
	for r.More() {
		d.SPIs = append(d.SPIs, r.Bytes("SPI", spiSize))
	}
	return d, r.Err()
}

// Append appends the body of the payload.
func (d Delete) Append(b []byte) []byte {
	spiSize := 0
	if len(d.SPIs) > 0 {
		spiSize = len(d.SPIs[0])
	}
	b = binary.BigEndian.AppendUint32(b, d.DOI)
	b = append(b, d.Protocol, length8(spiSize))
	b = binary.BigEndian.AppendUint16(b, length16(len(d.SPIs)))
	for _, spi := range d.SPIs {
		b = append(b, spi...)
	}
	return b
}

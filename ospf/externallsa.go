package ospf

import (
	"encoding/binary"

	"meshrouter/internal/wire"
)

// An ExternalLSA is the body of an AS-external-LSA (RFC 2328, A.4.5). TOS metrics are not kept.
type ExternalLSA struct {
	Mask       uint32
	Type2      bool   // the E bit: the metric outweighs any path inside
	Metric     Metric // 24 bits
	Forwarding uint32 // address to send to instead of the originator, or 0
	Tag        uint32
}

// Append appends the body of the LSA.
func (l ExternalLSA) Append(b []byte) []byte {
	metric := uint32(l.Metric) & lsInfinity
	if l.Type2 {
		metric |= 1 << 31
	}
	b = binary.BigEndian.AppendUint32(b, l.Mask)
	b = binary.BigEndian.AppendUint32(b, metric)
	b = binary.BigEndian.AppendUint32(b, l.Forwarding)
	return binary.BigEndian.AppendUint32(b, l.Tag)
}

// ParseExternalLSA decodes the body of an AS-external-LSA (RFC 2328, A.4.5).
func ParseExternalLSA(b []byte) (ExternalLSA, error) {
	r := wire.NewReader("AS-external-LSA", b)
	l := ExternalLSA{Mask: r.Uint32("NetworkMask")}
	l.Type2 = r.Uint8("E")&0x80 != 0
	l.Metric = Metric(r.Uint24("Metric"))
	l.Forwarding = r.Uint32("ForwardingAddress")
	l.Tag = r.Uint32("ExternalRouteTag")
	for r.More() {
		r.Bytes("TOSMetric", 12)
	}
	return l, r.Err()
}

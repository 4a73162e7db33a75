package ospf

import (
	"encoding/binary"

	"meshrouter/internal/wire"
)

// A SummaryLSA is the body of a summary-LSA, type 3 or 4 (RFC 2328, A.4.4). TOS metrics are not kept.
type SummaryLSA struct {
	Mask   uint32 // without meaning in type 4
	Metric Metric // 24 bits
}

// Append appends the body of the LSA.
func (l SummaryLSA) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, l.Mask)
	return binary.BigEndian.AppendUint32(b, uint32(l.Metric)&lsInfinity)
}

// ParseSummaryLSA decodes the body of a summary-LSA (RFC 2328, A.4.4).
func ParseSummaryLSA(b []byte) (SummaryLSA, error) {
	r := wire.NewReader("summary-LSA", b)
	l := SummaryLSA{Mask: r.Uint32("NetworkMask")}
	r.Uint8("0")
	l.Metric = Metric(r.Uint24("Metric"))
	for r.More() {
		r.Uint32("TOSMetric")
	}
	return l, r.Err()
}

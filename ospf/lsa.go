package ospf

import (
	"cmp"
	"encoding/binary"
	"fmt"

	"meshrouter/internal/wire"
)

// LSType is the LS type field of an LSA (RFC 2328, A.4.1; RFC 3101; RFC 5250).
type LSType uint8

// The LSA types that are kept.
const (
	RouterLSAType      LSType = 1
	NetworkLSAType     LSType = 2
	SummaryLSAType     LSType = 3 // of a network
	ASBRSummaryLSAType LSType = 4 // of an AS boundary router
	ExternalLSAType    LSType = 5
	NSSALSAType        LSType = 7
	OpaqueLinkType     LSType = 9 // opaque, not past the link
	OpaqueAreaType     LSType = 10
	OpaqueASType       LSType = 11
)

func (t LSType) known() bool {
	return t >= RouterLSAType && t <= ExternalLSAType || t == NSSALSAType || t.opaque()
}

func (t LSType) opaque() bool { return t >= OpaqueLinkType && t <= OpaqueASType }

func (t LSType) String() string {
	switch t {
	case RouterLSAType:
		return "router"
	case NetworkLSAType:
		return "network"
	case SummaryLSAType:
		return "summary"
	case ASBRSummaryLSAType:
		return "asbr-summary"
	case ExternalLSAType:
		return "external"
	case NSSALSAType:
		return "nssa"
	case OpaqueLinkType, OpaqueAreaType, OpaqueASType:
		return fmt.Sprintf("opaque-%d", uint8(t))
	}
	return fmt.Sprintf("type-%d", uint8(t))
}

// LinkStateID tells the LSAs of one router and type apart (RFC 2328, 12.1.4).
type LinkStateID uint32

// String is the dotted quad.
func (id LinkStateID) String() string { return addr(uint32(id)).String() }

// An LSAKey identifies an LSA; its instances follow one another (RFC 2328, 12.1).
type LSAKey struct {
	Type      LSType
	ID        LinkStateID
	AdvRouter RouterID
}

func (k LSAKey) String() string {
	return fmt.Sprintf("%v LSA %v of %v", k.Type, k.ID, k.AdvRouter)
}

// Compare orders keys by type, link state id and advertising router.
func (k LSAKey) Compare(o LSAKey) int {
	return cmp.Or(cmp.Compare(k.Type, o.Type), cmp.Compare(k.ID, o.ID), cmp.Compare(k.AdvRouter, o.AdvRouter))
}

// Sequence is the LS sequence number, a signed number (RFC 2328, 12.1.6).
type Sequence int32

// The ends of the sequence space; its smallest value, -2^31, is reserved.
const (
	InitialSequenceNumber Sequence = -0x7fffffff
	MaxSequenceNumber     Sequence = 0x7fffffff
	reservedSequence      Sequence = -0x80000000
)

// Architectural constants (RFC 2328, B), in seconds where they are ages.
const (
	MaxAge     = 3600
	MaxAgeDiff = 900
	doNotAge   = 0x8000 // the bit of the age field (RFC 1793, 2.2)
	lsInfinity = 0xffffff
)

// An LSAHeader is the 20 bytes in front of every LSA (RFC 2328, A.4.1).
type LSAHeader struct {
	Age uint16 // seconds, with the DoNotAge bit
	Options
	LSAKey
	Sequence Sequence
	Checksum uint16
	Length   uint16 // with the header
}

// Append appends the 20 bytes of h.
func (h LSAHeader) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, h.Age)
	b = append(b, uint8(h.Options), uint8(h.Type))
	b = binary.BigEndian.AppendUint32(b, uint32(h.ID))
	b = binary.BigEndian.AppendUint32(b, uint32(h.AdvRouter))
	b = binary.BigEndian.AppendUint32(b, uint32(h.Sequence)) //nolint:gosec // two's complement is the encoding
	b = binary.BigEndian.AppendUint16(b, h.Checksum)
	return binary.BigEndian.AppendUint16(b, h.Length)
}

func readLSAHeader(r *wire.Reader) LSAHeader {
	return LSAHeader{
		Age:     r.Uint16("LSAge"),
		Options: Options(r.Uint8("Options")),
		LSAKey: LSAKey{
			Type:      LSType(r.Uint8("LSType")),
			ID:        LinkStateID(r.Uint32("LinkStateID")),
			AdvRouter: RouterID(r.Uint32("AdvertisingRouter")),
		},
		Sequence: Sequence(r.Uint32("LSSequenceNumber")), //nolint:gosec // two's complement is the encoding
		Checksum: r.Uint16("LSChecksum"),
		Length:   r.Uint16("Length"),
	}
}

// age is the age in seconds, at most MaxAge, without the DoNotAge bit.
func (h LSAHeader) age() uint16 { return min(h.Age&^doNotAge, MaxAge) }

// age is the same, straight from the bytes.
func (l LSA) age() uint16 { return min(binary.BigEndian.Uint16(l)&^doNotAge, MaxAge) }

// aged is h with an age of at least 1 second: OpenBSD's ospfd takes no 0, in acknowledgments neither.
func (h LSAHeader) aged() LSAHeader {
	h.Age = max(h.Age, 1)
	return h
}

// compare says whether h is a more recent instance than o (> 0), an older one (< 0) or the same
// (RFC 2328, 13.1).
func (h LSAHeader) compare(o LSAHeader) int {
	if c := cmp.Or(cmp.Compare(h.Sequence, o.Sequence), cmp.Compare(h.Checksum, o.Checksum)); c != 0 {
		return c
	}
	a, b := int(h.age()), int(o.age())
	switch {
	case a == MaxAge && b != MaxAge:
		return 1
	case b == MaxAge && a != MaxAge:
		return -1
	case a-b > MaxAgeDiff || b-a > MaxAgeDiff: // the younger one is more recent
		return b - a
	}
	return 0
}

// An LSA is the bytes of one LSA, header first: a view, not a copy.
type LSA []byte

// ParseLSA returns the LSA at the beginning of b and what follows it. The LSA points into b; its length is
// verified, its checksum is not.
func ParseLSA(b []byte) (l LSA, rest []byte, err error) {
	r := wire.NewReader("LSA", b)
	l = readLSA(r)
	return l, r.Rest(), r.Err()
}

// readLSA reads one LSA whole: a header that says how long it is, and its body.
func readLSA(r *wire.Reader) LSA {
	ahead := *r // a copy, to look at the length first
	ahead.Bytes("LSAHeader", LSAHeaderSize-2)
	n := int(ahead.Uint16("Length"))
	if err := ahead.Err(); err == nil && n < LSAHeaderSize {
		r.Fail("Length", "is %d, the header alone takes %d", n, LSAHeaderSize)
		return nil
	}
	return r.Bytes("LSA", max(n, LSAHeaderSize))
}

// Header decodes the header.
func (l LSA) Header() LSAHeader {
	return readLSAHeader(wire.NewReader("LSA", l[:LSAHeaderSize]))
}

// Body is what follows the header.
func (l LSA) Body() []byte { return l[LSAHeaderSize:] }

func (l LSA) setAge(age uint16) { binary.BigEndian.PutUint16(l, age) }

// NewLSA builds an LSA around body: h with its Length and Checksum computed.
func NewLSA(h LSAHeader, body []byte) LSA {
	h.Length = uint16(LSAHeaderSize + len(body)) //nolint:gosec // originate bounds bodies to a packet
	h.Checksum = 0
	l := LSA(append(h.Append(make([]byte, 0, LSAHeaderSize+len(body))), body...))
	binary.BigEndian.PutUint16(l[16:], fletcher(l[2:], 14))
	return l
}

// ChecksumOK verifies the Fletcher checksum (RFC 2328, 12.1.7).
func (l LSA) ChecksumOK() bool {
	return len(l) >= LSAHeaderSize && fletcherOK(l[2:])
}

package isakmp

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"meshrouter/internal/wire"
)

// Bounds of an SA payload. The largest real offers have about 100 transforms of 7 attributes.
const (
	MaxProposals  = 32
	MaxTransforms = 255 // per proposal: the count is one byte
	MaxAttributes = 32  // per transform
)

// MaxSPI is the longest SPI of a proposal, notification or delete, bytes: the two cookies.
const MaxSPI = 16

// An SA is the body of a security association payload (RFC 2408, 3.4; RFC 2407, 4.6.1).
type SA struct {
	DOI       uint32
	Situation uint32
	Proposals []Proposal
}

// A Proposal is one proposal payload (RFC 2408, 3.5). Proposals with equal numbers belong together.
type Proposal struct {
	Number     uint8
	Protocol   uint8  // ProtocolISAKMP or ProtocolESP
	SPI        []byte // in which the sender wants to receive; empty in phase 1
	Transforms []Transform
}

// A Transform is one transform payload (RFC 2408, 3.6). It keeps the order and the form of its
// attributes, so an echoed one is the same bytes.
type Transform struct {
	Number     uint8 // from 0 or from 1; never to be relied on
	ID         uint8 // TransformKeyIKE, or an ESPTransform
	Attributes []Attribute
}

// An Attribute is a data attribute (RFC 2408, 3.3).
type Attribute struct {
	Type  uint16 // without the format bit
	Basic bool   // TV form: the value is Data's two bytes in the place of the length
	Data  []byte
}

// attributeBasic is the format bit of a basic attribute.
const attributeBasic = 0x8000

// NewAttribute is a number as isakmpd encodes it: basic up to 65535, otherwise four bytes long.
func NewAttribute(typ uint16, value uint32) Attribute {
	data := binary.BigEndian.AppendUint32(nil, value)
	if value > 0xffff {
		return Attribute{Type: typ, Data: data}
	}
	return Attribute{Type: typ, Basic: true, Data: data[2:]}
}

// Uint32 is the value as a number: that of a basic attribute, or of one of two or four bytes. Other
// lengths are no number; isakmpd refuses them as well.
func (a Attribute) Uint32() (value uint32, ok bool) {
	switch len(a.Data) {
	case 2:
		return uint32(binary.BigEndian.Uint16(a.Data)), true
	case 4:
		return binary.BigEndian.Uint32(a.Data), true
	default:
		return 0, false
	}
}

func (a Attribute) String() string {
	if v, ok := a.Uint32(); ok {
		return fmt.Sprintf("%d=%d", a.Type, v)
	}
	return fmt.Sprintf("%d=0x%x", a.Type, a.Data)
}

// sameValue compares type and value, not the form.
func (a Attribute) sameValue(o Attribute) bool {
	v, isNumber := a.Uint32()
	w, otherIsNumber := o.Uint32()
	if isNumber && otherIsNumber {
		return a.Type == o.Type && v == w
	}
	return a.Type == o.Type && slices.Equal(a.Data, o.Data)
}

// Same reports whether t and o have the same id and, in whatever order and form, the same attributes:
// whether an answer is what was offered. strongSwan reorders and renumbers what it answers with. Life
// types repeat, each followed by its duration; these pairs must be in the same order.
func (t Transform) Same(o Transform) bool {
	return t.ID == o.ID && slices.EqualFunc(t.byType(), o.byType(), Attribute.sameValue)
}

func (t Transform) byType() []Attribute {
	return slices.SortedStableFunc(slices.Values(t.Attributes), func(a, b Attribute) int { return cmp.Compare(a.Type, b.Type) })
}

// ParseSA decodes the body of a security association payload. It shares b's memory.
func ParseSA(b []byte) (SA, error) {
	r := wire.NewReader("SA payload", b)
	sa := SA{DOI: r.Uint32("DOI"), Situation: r.Uint32("Situation")}
	if r.Err() == nil && (sa.DOI != DOIIPsec || sa.Situation != SituationIdentityOnly) {
		r.Fail("DOI", "DOI %d and situation %#x, want 1 and 1 (RFC 2407, 4.2)", sa.DOI, sa.Situation)
	}
	for next := PayloadProposal; next != PayloadNone && r.Err() == nil; {
		if next != PayloadProposal {
			r.Fail("Next Payload", "is %s inside an SA payload, want P or none (RFC 2408, 3.5)", next)
		}
		if len(sa.Proposals) == MaxProposals {
			r.Fail("Next Payload", "more than %d proposals", MaxProposals)
		}
		var raw []byte
		if next, raw = readGeneric(r, b); r.Err() != nil {
			break
		}
		p, err := parseProposal(raw)
		if err != nil {
			return SA{}, err
		}
		sa.Proposals = append(sa.Proposals, p)
	}
	if r.More() {
		r.Fail("Proposals", "%d bytes after the last proposal", r.Len())
	}
	if r.Err() != nil {
		return SA{}, r.Err()
	}
	return sa, nil
}

// parseProposal decodes a proposal payload, generic header included.
func parseProposal(raw []byte) (Proposal, error) {
	r := wire.NewReader("Proposal payload", raw)
	r.Bytes("generic header", GenericHeaderSize)
	p := Proposal{Number: r.Uint8("Proposal #"), Protocol: r.Uint8("Protocol-Id")}
	spiSize := int(r.Uint8("SPI Size"))
	count := int(r.Uint8("# of Transforms"))
	if spiSize > MaxSPI {
		r.Fail("SPI Size", "is %d, want at most %d", spiSize, MaxSPI)
	}
	p.SPI = r.Bytes("SPI", spiSize)
	if r.Err() == nil && count == 0 {
		r.Fail("# of Transforms", "is 0: a proposal has at least one (RFC 2408, 3.5)")
	}
	for i := range count {
		next, t := readGeneric(r, raw)
		if last := i+1 == count; r.Err() == nil && next != transformChain(last) {
			r.Fail("Next Payload", "is %s in transform %d of %d (RFC 2408, 3.6)", next, i+1, count)
		}
		if r.Err() != nil {
			return Proposal{}, r.Err()
		}
		transform, err := parseTransform(t)
		if err != nil {
			return Proposal{}, err
		}
		p.Transforms = append(p.Transforms, transform)
	}
	if r.More() {
		r.Fail("Transforms", "%d bytes after the last transform", r.Len())
	}
	return p, r.Err()
}

// transformChain is the next payload that a transform announces.
func transformChain(last bool) PayloadType {
	if last {
		return PayloadNone
	}
	return PayloadTransform
}

// parseTransform decodes a transform payload, generic header included.
func parseTransform(raw []byte) (Transform, error) {
	r := wire.NewReader("Transform payload", raw)
	r.Bytes("generic header", GenericHeaderSize)
	t := Transform{Number: r.Uint8("Transform #"), ID: r.Uint8("Transform-Id")}
	if reserved := r.Uint16("RESERVED2"); reserved != 0 {
		r.Fail("RESERVED2", "is %#04x, want 0 (RFC 2408, 3.6)", reserved)
	}
	t.Attributes = make([]Attribute, 0, min(r.Len()/4, MaxAttributes)) // an attribute has at least four bytes
	for r.More() {
		if len(t.Attributes) == MaxAttributes {
			r.Fail("SA Attributes", "more than %d attributes", MaxAttributes)
			break
		}
		typ := r.Uint16("Attribute Type")
		a := Attribute{Type: typ &^ attributeBasic, Basic: typ&attributeBasic != 0}
		length := 2
		if !a.Basic {
			length = int(r.Uint16("Attribute Length"))
		}
		a.Data = r.Bytes("Attribute Value", length)
		t.Attributes = append(t.Attributes, a)
	}
	return t, r.Err()
}

// Append appends the body of the payload.
func (sa SA) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, sa.DOI)
	b = binary.BigEndian.AppendUint32(b, sa.Situation)
	for i, p := range sa.Proposals {
		next := PayloadProposal
		if i+1 == len(sa.Proposals) {
			next = PayloadNone
		}
		body := p.append(nil)
		b = append(appendGeneric(b, next, len(body)), body...)
	}
	return b
}

func (p Proposal) append(b []byte) []byte {
	b = append(b, p.Number, p.Protocol, length8(len(p.SPI)), length8(len(p.Transforms)))
	b = append(b, p.SPI...)
	for i, t := range p.Transforms {
		body := t.append(nil)
		b = append(appendGeneric(b, transformChain(i+1 == len(p.Transforms)), len(body)), body...)
	}
	return b
}

func (t Transform) append(b []byte) []byte {
	b = append(b, t.Number, t.ID, 0, 0)
	for _, a := range t.Attributes {
		if a.Basic {
			b = binary.BigEndian.AppendUint16(b, a.Type|attributeBasic)
		} else {
			b = binary.BigEndian.AppendUint16(b, a.Type)
			b = binary.BigEndian.AppendUint16(b, length16(len(a.Data)))
		}
		b = append(b, a.Data...)
	}
	return b
}

// length8 is n for a length or a count of one byte.
func length8(n int) uint8 {
	if n < 0 || n > 0xff {
		panic(fmt.Sprintf("isakmp: %d does not fit a one-byte length", n))
	}
	return uint8(n)
}

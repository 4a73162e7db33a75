package isakmp

import "fmt"

// Attribute types of phase 1 (RFC 2409, Appendix A).
const (
	attrEncryption      = 1
	attrHash            = 2
	attrAuthMethod      = 3
	attrGroup           = 4
	attrPhase1LifeType  = 11
	attrPhase1Duration  = 12
	attrPhase1KeyLength = 14
)

// Attribute types of phase 2 (RFC 2407, 4.5).
const (
	attrPhase2LifeType  = 1
	attrPhase2Duration  = 2
	attrPhase2Group     = 3
	attrEncapsulation   = 4
	attrAuthAlgorithm   = 5
	attrPhase2KeyLength = 6
)

// A Lifetime is what a transform says of the SA's end. Zero: the unit is not mentioned.
type Lifetime struct {
	Seconds   uint32
	Kilobytes uint32
}

// A Phase1Offer is what a phase 1 transform says.
type Phase1Offer struct {
	Encryption Encryption
	KeyLength  uint16 // bits; 0: not mentioned
	Hash       Hash
	Auth       AuthMethod
	Group      Group
	Life       Lifetime
	Unknown    []Attribute // of other types; isakmpd refuses a transform that has any
}

// Attributes lists the offer as isakmpd does: encryption, hash, authentication, group, lifetime, key length.
func (o Phase1Offer) Attributes() []Attribute {
	as := []Attribute{
		NewAttribute(attrEncryption, uint32(o.Encryption)),
		NewAttribute(attrHash, uint32(o.Hash)),
		NewAttribute(attrAuthMethod, uint32(o.Auth)),
		NewAttribute(attrGroup, uint32(o.Group)),
	}
	as = o.Life.append(as, attrPhase1LifeType, attrPhase1Duration)
	if o.KeyLength != 0 {
		as = append(as, NewAttribute(attrPhase1KeyLength, uint32(o.KeyLength)))
	}
	return append(as, o.Unknown...)
}

// ParsePhase1Offer reads a transform of an ISAKMP proposal. It fails when an attribute stands twice or
// has a value of an odd length, and when a duration comes without its type.
func ParsePhase1Offer(t Transform) (Phase1Offer, error) {
	var o Phase1Offer
	p := offerParser{phase: "phase 1"}
	for _, a := range t.Attributes {
		switch a.Type {
		case attrEncryption:
			o.Encryption = Encryption(p.number("encryption algorithm", a))
		case attrHash:
			o.Hash = Hash(p.number("hash algorithm", a))
		case attrAuthMethod:
			o.Auth = AuthMethod(p.number("authentication method", a))
		case attrGroup:
			o.Group = Group(p.number("group description", a))
		case attrPhase1KeyLength:
			o.KeyLength = p.number("key length", a)
		case attrPhase1LifeType:
			p.lifeType(a)
		case attrPhase1Duration:
			p.duration(a, &o.Life)
		default:
			o.Unknown = append(o.Unknown, a)
		}
	}
	return o, p.err
}

// A Phase2Offer is what an ESP transform of phase 2 says besides its id.
type Phase2Offer struct {
	Transform     ESPTransform
	KeyLength     uint16 // bits; 0: not mentioned
	Auth          AuthAlgorithm
	Group         Group // of PFS; NoGroup: not mentioned
	Encapsulation EncapsulationMode
	Life          Lifetime
	Unknown       []Attribute
}

// Attributes lists the offer as isakmpd does: lifetime, encapsulation, authentication, group, key length.
func (o Phase2Offer) Attributes() []Attribute {
	as := o.Life.append(nil, attrPhase2LifeType, attrPhase2Duration)
	if o.Encapsulation != 0 {
		as = append(as, NewAttribute(attrEncapsulation, uint32(o.Encapsulation)))
	}
	if o.Auth != NoAuth {
		as = append(as, NewAttribute(attrAuthAlgorithm, uint32(o.Auth)))
	}
	if o.Group != NoGroup {
		as = append(as, NewAttribute(attrPhase2Group, uint32(o.Group)))
	}
	if o.KeyLength != 0 {
		as = append(as, NewAttribute(attrPhase2KeyLength, uint32(o.KeyLength)))
	}
	return append(as, o.Unknown...)
}

// ParsePhase2Offer reads a transform of an ESP proposal. It fails as ParsePhase1Offer does.
func ParsePhase2Offer(t Transform) (Phase2Offer, error) {
	o := Phase2Offer{Transform: ESPTransform(t.ID)}
	p := offerParser{phase: "phase 2"}
	for _, a := range t.Attributes {
		switch a.Type {
		case attrPhase2LifeType:
			p.lifeType(a)
		case attrPhase2Duration:
			p.duration(a, &o.Life)
		case attrPhase2Group:
			o.Group = Group(p.number("group description", a))
		case attrEncapsulation:
			o.Encapsulation = EncapsulationMode(p.number("encapsulation mode", a))
		case attrAuthAlgorithm:
			o.Auth = AuthAlgorithm(p.number("authentication algorithm", a))
		case attrPhase2KeyLength:
			o.KeyLength = p.number("key length", a)
		default:
			o.Unknown = append(o.Unknown, a)
		}
	}
	return o, p.err
}

// append adds the life types that are mentioned, each with its duration.
func (l Lifetime) append(as []Attribute, lifeType, duration uint16) []Attribute {
	if l.Seconds != 0 {
		as = append(as, NewAttribute(lifeType, uint32(Seconds)), NewAttribute(duration, l.Seconds))
	}
	if l.Kilobytes != 0 {
		as = append(as, NewAttribute(lifeType, uint32(Kilobytes)), NewAttribute(duration, l.Kilobytes))
	}
	return as
}

// An offerParser remembers what the next duration counts, which attributes it has seen, and the first failure.
type offerParser struct {
	phase string
	unit  LifeType // 0: no life type seen since the last duration
	seen  uint32   // a bit for each attribute type that may stand once
	err   error
}

func (p *offerParser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("transform of %s: %s", p.phase, fmt.Sprintf(format, args...))
	}
}

// number is the value of an attribute of at most 16 bits that may stand once.
func (p *offerParser) number(name string, a Attribute) uint16 {
	v, ok := a.Uint32()
	if !ok || v > 0xffff {
		p.fail("%s: a value of %d bytes, want a number of 16 bits (RFC 2409, Appendix A)", name, len(a.Data))
		return 0
	}
	if p.seen&(1<<a.Type) != 0 {
		p.fail("%s stands twice", name)
	}
	p.seen |= 1 << a.Type
	return uint16(v)
}

func (p *offerParser) lifeType(a Attribute) {
	v, ok := a.Uint32()
	if !ok || v != uint32(Seconds) && v != uint32(Kilobytes) {
		p.fail("life type is %s, want 1 (seconds) or 2 (kilobytes)", a)
		return
	}
	p.unit = LifeType(v)
}

func (p *offerParser) duration(a Attribute, l *Lifetime) {
	v, ok := a.Uint32()
	into := &l.Seconds
	if p.unit == Kilobytes {
		into = &l.Kilobytes
	}
	switch {
	case !ok:
		p.fail("life duration has %d bytes, want 2 or 4", len(a.Data))
	case p.unit == 0:
		p.fail("a life duration without its life type (RFC 2407, 4.5)")
	case v == 0:
		p.fail("a life duration of 0 %s", p.unit)
	case *into != 0:
		p.fail("the life duration in %s stands twice", p.unit)
	}
	*into, p.unit = v, 0
}

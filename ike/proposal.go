package ike

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"meshrouter/ike/isakmp"
	"meshrouter/ike/keys"
	"meshrouter/internal/wire"
)

// String is the suite as people write it: "3des-cbc/sha1/modp1024", "aes-cbc-128/sha2-256/modp2048".
func (t Phase1Transform) String() string {
	return withBits(t.Encryption.String(), t.KeyLength) + "/" + t.Hash.String() + "/" + t.Group.String()
}

// String is the suite as people write it: "3des/hmac-sha1", "aes-gcm-16-128".
func (t Phase2Transform) String() string {
	s := withBits(t.ID.String(), t.KeyLength)
	if t.Auth != isakmp.NoAuth {
		s += "/" + t.Auth.String()
	}
	return s
}

func withBits(name string, bits uint16) string {
	if bits == 0 {
		return name
	}
	return fmt.Sprintf("%s-%d", name, bits)
}

// bits is the key length that a transform stands for: AES without the attribute has 128 bits.
func (t Phase1Transform) bits() uint16 {
	if t.Encryption == isakmp.AESCBC && t.KeyLength == 0 {
		return 128
	}
	return t.KeyLength
}

func (t Phase2Transform) bits() uint16 {
	if (t.ID == isakmp.ESPAES || t.ID == isakmp.ESPAESGCM16) && t.KeyLength == 0 {
		return 128
	}
	return t.KeyLength
}

// seconds is a lifetime for the wire.
func seconds(d time.Duration) uint32 {
	return uint32(min(max(d/time.Second, 1), 0x7fffffff))
}

// offerPhase1 is the SA payload of message 1: one proposal with all transforms (RFC 2409, 5).
func (c *PeerConfig) offerPhase1() isakmp.SA {
	var ts []isakmp.Transform
	for i, t := range c.Phase1 {
		o := isakmp.Phase1Offer{
			Encryption: t.Encryption, Hash: t.Hash, Auth: isakmp.PreSharedKey, Group: t.Group, KeyLength: t.bits(),
			Life: isakmp.Lifetime{Seconds: seconds(c.Phase1Lifetime)},
		}
		ts = append(ts, isakmp.Transform{
			Number: c.Profile.habits().firstTransform + uint8(i),
			ID:     isakmp.TransformKeyIKE, Attributes: o.Attributes(),
		})
	}
	return proposalOf(isakmp.Proposal{Number: 1, Protocol: isakmp.ProtocolISAKMP, Transforms: ts})
}

// offerPhase2 is the SA payload of quick mode 1. It returns what each transform stands for beside it.
func (c *PeerConfig) offerPhase2(nat natState, spi uint32) isakmp.SA {
	var ts []isakmp.Transform
	for i, t := range c.Phase2 {
		if i > 0 && c.Profile.habits().oneTransform {
			break // isakmpd takes the first that it knows, whatever its configuration says
		}
		o := isakmp.Phase2Offer{
			Transform: t.ID, KeyLength: t.bits(), Auth: t.Auth, Group: c.PFS, Encapsulation: nat.encapsulation(c.Mode),
			Life: isakmp.Lifetime{Seconds: seconds(c.Phase2Lifetime), Kilobytes: c.Phase2Kilobytes},
		}
		ts = append(ts, isakmp.Transform{Number: uint8(i + 1), ID: uint8(t.ID), Attributes: o.Attributes()})
	}
	return proposalOf(isakmp.Proposal{Number: 1, Protocol: isakmp.ProtocolESP, SPI: spiBytes(spi), Transforms: ts})
}

func proposalOf(p isakmp.Proposal) isakmp.SA {
	return isakmp.SA{DOI: isakmp.DOIIPsec, Situation: isakmp.SituationIdentityOnly, Proposals: []isakmp.Proposal{p}}
}

func spiBytes(spi uint32) []byte { return binary.BigEndian.AppendUint32(nil, spi) }

// A phase1Choice is what the responder chose.
type phase1Choice struct {
	suite Phase1Transform
	life  time.Duration // the smaller of theirs and ours
	reply isakmp.SA     // their transform, unedited: isakmpd compares it attribute by attribute
}

// choosePhase1 takes the first transform that we allow and steps over the others one by one.
func (c *PeerConfig) choosePhase1(offer isakmp.SA) (phase1Choice, *failure) {
	var rows refusedRows
	for _, p := range offer.Proposals {
		if p.Protocol != isakmp.ProtocolISAKMP {
			continue
		}
		for _, t := range p.Transforms {
			o, err := isakmp.ParsePhase1Offer(t)
			if err != nil || t.ID != isakmp.TransformKeyIKE {
				rows.add(func() Difference { return unreadable(t, err) })
				continue
			}
			suite, d := c.comparePhase1(o, rows.full())
			if d.count == 0 {
				p.Transforms = []isakmp.Transform{t}
				return phase1Choice{suite, smallerLife(o.Life.Seconds, c.Phase1Lifetime), proposalOf(p)}, nil
			}
			rows.add(func() Difference { return d.row(t.Number, phase1Text(o)) })
		}
	}
	return phase1Choice{}, c.mismatch("phase 1", phase1List(c.Phase1), rows)
}

// comparePhase1 finds the configured transform that o is, or how o differs from the one that is closest.
func (c *PeerConfig) comparePhase1(o isakmp.Phase1Offer, quiet bool) (suite Phase1Transform, best differ) {
	best.count = math.MaxInt
	for _, t := range c.Phase1 {
		d := differ{quiet: quiet}
		d.compare("encryption", sized{o.Encryption, Phase1Transform{Encryption: o.Encryption, KeyLength: o.KeyLength}.bits()}, sized{t.Encryption, t.bits()})
		d.compare("hash", o.Hash, t.Hash)
		d.compare("authentication", o.Auth, isakmp.PreSharedKey)
		d.compare("group", o.Group, t.Group)
		if life := time.Duration(o.Life.Seconds) * time.Second; life != 0 && (life < c.Phase1Min || life > c.Phase1Max) {
			d.add("lifetime %s, we want %s to %s", life, c.Phase1Min, c.Phase1Max)
		}
		d.unknown(o.Unknown)
		if d.count < best.count {
			best, suite = d, t
		}
	}
	return suite, best
}

// A phase2Choice is what the responder chose.
type phase2Choice struct {
	transform Phase2Transform
	offer     isakmp.Phase2Offer
	spi       uint32 // that the initiator receives with
	proposal  isakmp.Proposal
}

// choosePhase2 takes the first transform that we allow. Proposals of one number belong together and would
// bundle protocols, which we do not do.
func (c *PeerConfig) choosePhase2(offer isakmp.SA, nat natState) (phase2Choice, *failure) {
	var rows refusedRows
	numbers := make(map[uint8]int)
	for _, p := range offer.Proposals {
		numbers[p.Number]++
	}
	for _, p := range offer.Proposals {
		if p.Protocol != isakmp.ProtocolESP || numbers[p.Number] > 1 || !validSPI(p.SPI) {
			rows.add(func() Difference {
				return Difference{fmt.Sprintf("proposal %d", p.Number), fmt.Sprintf("protocol %d, SPI %x", p.Protocol, p.SPI), "ESP alone"}
			})
			continue
		}
		for _, t := range p.Transforms {
			o, err := isakmp.ParsePhase2Offer(t)
			if err != nil {
				rows.add(func() Difference { return unreadable(t, err) })
				continue
			}
			transform, d := c.comparePhase2(o, nat, rows.full())
			if d.count == 0 {
				spi := binary.BigEndian.Uint32(p.SPI)
				p.Transforms = []isakmp.Transform{t}
				return phase2Choice{transform, o, spi, p}, nil
			}
			rows.add(func() Difference { return d.row(t.Number, phase2Text(o)) })
		}
	}
	return phase2Choice{}, c.mismatch("phase 2", phase2List(c, nat), rows)
}

// comparePhase2 finds the configured transform that o is, or how o differs from the one that is closest.
func (c *PeerConfig) comparePhase2(o isakmp.Phase2Offer, nat natState, quiet bool) (transform Phase2Transform, best differ) {
	best.count = math.MaxInt
	for _, t := range c.Phase2 {
		d := differ{quiet: quiet}
		d.compare("cipher", sized{o.Transform, Phase2Transform{ID: o.Transform, KeyLength: o.KeyLength}.bits()}, sized{t.ID, t.bits()})
		d.compare("authentication", o.Auth, t.Auth)
		d.compare("PFS group", o.Group, c.PFS)
		mode, udp := plain(o.Encapsulation)
		if mode != c.Mode || udp != nat.found() {
			d.compare("encapsulation", o.Encapsulation, nat.encapsulation(c.Mode))
		}
		d.unknown(o.Unknown)
		if d.count < best.count {
			best, transform = d, t
		}
	}
	return transform, best
}

// answered finds the offered transform that the responder's SA payload answers with. It may be renumbered
// and its attributes reordered (strongSwan), but it must be one that we offered.
func answered(offered, reply isakmp.SA) (t isakmp.Transform, spi []byte, f *failure) {
	if len(reply.Proposals) != 1 || len(reply.Proposals[0].Transforms) != 1 {
		return t, nil, drop(EventAlteredProposal, "the answer has %d proposals, want one with one transform", len(reply.Proposals))
	}
	p := reply.Proposals[0]
	for _, o := range offered.Proposals[0].Transforms {
		if p.Protocol == offered.Proposals[0].Protocol && o.Same(p.Transforms[0]) {
			return o, p.SPI, nil
		}
	}
	return t, nil, trouble(EventAlteredProposal, "the peer answers with a transform that we did not offer: %s", attributesText(p.Transforms[0]))
}

// smallerLife is the lifetime that our own timer follows (screenos-facts.md, 7).
func smallerLife(theirs uint32, ours time.Duration) time.Duration {
	if life := time.Duration(theirs) * time.Second; theirs != 0 && life < ours {
		return life
	}
	return ours
}

// smallerVolume is the smaller of two limits in kilobytes, of which zero is none.
func smallerVolume(a, b uint32) uint32 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// responderLifetime reads the data of a RESPONDER-LIFETIME notification: life types with their durations
// (RFC 2407, 4.6.3.1).
func responderLifetime(data []byte, phase2 bool) (isakmp.Lifetime, error) {
	r := wire.NewReader("RESPONDER-LIFETIME", data)
	t := isakmp.Transform{}
	for r.More() && len(t.Attributes) < isakmp.MaxAttributes {
		typ := r.Uint16("Attribute Type")
		a := isakmp.Attribute{Type: typ & 0x7fff, Basic: typ&0x8000 != 0}
		n := 2
		if !a.Basic {
			n = int(r.Uint16("Attribute Length"))
		}
		a.Data = r.Bytes("Attribute Value", n)
		t.Attributes = append(t.Attributes, a)
	}
	if r.Err() != nil {
		return isakmp.Lifetime{}, r.Err()
	}
	if phase2 {
		o, err := isakmp.ParsePhase2Offer(t)
		return o.Life, err
	}
	o, err := isakmp.ParsePhase1Offer(t)
	return o.Life, err
}

// keysSuite is the suite in the words of package keys.
func (t Phase1Transform) keysSuite() keys.Suite {
	return keys.Suite{Encryption: t.Encryption, KeyLength: t.bits(), Hash: t.Hash}
}

package keys

import (
	"bytes"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"filippo.io/bigmod"

	"meshrouter/ike/isakmp"
	"meshrouter/internal/secret"
)

// ErrPublicValue says that a peer's public value is none: of the wrong length, 0, 1, p-1, or not below p.
// Such values make the shared secret one of a few known numbers.
var ErrPublicValue = errors.New("the peer's Diffie-Hellman public value is not in 2..p-2 or not as long as the prime")

// Supported reports whether Generate knows the group.
func Supported(g isakmp.Group) bool { return PublicSize(g) > 0 }

// PublicSize is the length of the group's public values and shared secrets, bytes; 0 for a group that is not supported.
func PublicSize(g isakmp.Group) int {
	m, ok := find(g)
	if !ok {
		return 0
	}
	return len(m.prime) / 2
}

// ExponentSize is the length of the private exponents that Generate draws, bytes; 0 for a group that is not supported.
func ExponentSize(g isakmp.Group) int {
	m, _ := find(g)
	return m.exponent
}

func find(g isakmp.Group) (modpGroup, bool) {
	i := slices.IndexFunc(groupTable, func(m modpGroup) bool { return m.group == g })
	if i < 0 {
		return modpGroup{}, false
	}
	return groupTable[i], true
}

// ValidPublic reports whether y may be a public value of the group: as long as the prime, and in 2..p-2. It costs
// nothing beside the exponentiation that it saves.
func ValidPublic(g isakmp.Group, y []byte) bool {
	m, ok := find(g)
	if !ok {
		return false
	}
	last, err := hex.DecodeString(m.prime)
	if err != nil {
		panic(err) // groupTable is broken
	}
	last[len(last)-1]-- // p-1: the prime is odd
	one := make([]byte, len(last))
	one[len(one)-1] = 1
	return len(y) == len(last) && bytes.Compare(y, one) > 0 && bytes.Compare(y, last) < 0
}

// modulus is the group's prime, ready for arithmetic.
func (m modpGroup) modulus() *bigmod.Modulus {
	b, err := hex.DecodeString(m.prime)
	if err != nil {
		panic(err) // groupTable is broken
	}
	p, err := bigmod.NewModulus(b)
	if err != nil {
		panic(err)
	}
	return p
}

// A PrivateKey is one end's half of a Diffie-Hellman exchange.
type PrivateKey struct {
	group    modpGroup
	exponent secret.Key
	public   []byte
}

// Generate draws a private exponent from rand and computes its public value.
func Generate(group isakmp.Group, rand io.Reader) (*PrivateKey, error) {
	exponent := make([]byte, ExponentSize(group))
	if _, err := io.ReadFull(rand, exponent); err != nil {
		return nil, fmt.Errorf("drawing a Diffie-Hellman exponent: %w", err)
	}
	return NewPrivateKey(group, exponent)
}

// NewPrivateKey makes a key of an exponent that was drawn before, so that only the arithmetic is left for another
// goroutine. The exponent is big-endian, of any length, ExponentSize bytes when it is ours; it is not copied.
func NewPrivateKey(group isakmp.Group, exponent []byte) (*PrivateKey, error) {
	m, ok := find(group)
	if !ok {
		return nil, fmt.Errorf("group %s is not supported", group)
	}
	p := m.modulus()
	two := bigmod.NewNat().SetUint(2).ExpandFor(p)
	k := &PrivateKey{m, exponent, bigmod.NewNat().Exp(two, exponent, p).Bytes(p)}
	if !inRange(k.public, p) {
		return nil, fmt.Errorf("group %s: the private exponent has too few bits", group)
	}
	return k, nil
}

// Group is the key's group.
func (k *PrivateKey) Group() isakmp.Group { return k.group.group }

// Public is g^x, as long as the prime: the body of the KE payload.
func (k *PrivateKey) Public() []byte { return k.public }

// Shared computes g^xy, as long as the prime, from the peer's public value. The error is ErrPublicValue.
func (k *PrivateKey) Shared(peer []byte) (secret.Key, error) {
	p := k.group.modulus()
	if !inRange(peer, p) {
		return nil, ErrPublicValue
	}
	y, err := bigmod.NewNat().SetBytes(peer, p)
	if err != nil {
		return nil, ErrPublicValue
	}
	return bigmod.NewNat().Exp(y, k.exponent, p).Bytes(p), nil
}

// inRange reports whether the public value y is as long as p and in 2..p-2.
func inRange(y []byte, p *bigmod.Modulus) bool {
	if len(y) != p.Size() {
		return false
	}
	n, err := bigmod.NewNat().SetBytes(y, p)
	return err == nil && n.IsZero()|n.IsOne()|n.IsMinusOne(p) == 0
}

// Equal compares two hashes or keys in time that depends on their lengths only.
func Equal(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

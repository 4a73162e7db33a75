package des3

import (
	"encoding/binary"
	"math/bits"
)

// The scalar block: one block at a time, for packets that are too few to fill the lanes. All outputs of the eight
// S-boxes are computed side by side in the bits of one word: bit p of byte s is a function of its own of the six
// inputs of S-box s+1, evaluated by its algebraic normal form. No address and no branch depends on a secret.

// A scalarKey has the round keys in the order in which they are used, as scalarHalf has halves.
type scalarKey [rounds]uint64

// expand makes the keys of an encryption of k.
func (s *scalarKey) expand(k *Key) {
	for r, x := range k.rounds {
		s[r] = scalarSwapped(x)
	}
}

// scalarSwapped exchanges the bits of Key.rounds, or of what E makes of a half, that are elsewhere in a scalar half,
// and back.
func scalarSwapped(x uint64) uint64 {
	d := (x ^ x>>1) & scalarSwap
	return x ^ d ^ d<<1
}

// scalarHalf expands half a block: byte s has the inputs of S-box s+1.
func scalarHalf(half uint32) (x uint64) {
	for s := range 8 {
		x |= uint64(bits.RotateLeft32(half, 4*s+5)&0x3f) << (8 * s)
	}
	return scalarSwapped(x)
}

// scalarBits is the half of which scalarHalf made x.
func scalarBits(x uint64) (half uint32) {
	x = scalarSwapped(x)
	for s := range 8 {
		half |= uint32(x>>(8*s+1)&15) << (28 - 4*s)
	}
	return half
}

// block encrypts or decrypts a block: the key of the first round is key first, the next one first+step.
func (s *scalarKey) block(b uint64, first, step int) uint64 {
	l, r := initialPermutation(b)
	left, right := scalarHalf(l), scalarHalf(r)
	for range 3 {
		for range 16 {
			left, right = right, left^scalarRound(right^s[first])
			first += step
		}
		left, right = right, left
	}
	return finalPermutation(scalarBits(left), scalarBits(right))
}

func (s *scalarKey) encrypt(b uint64) uint64 { return s.block(b, 0, 1) }

func (s *scalarKey) decrypt(b uint64) uint64 { return s.block(b, rounds-1, -1) }

// initialPermutation is IP of FIPS 46-3 of a block that was loaded as a big-endian number.
func initialPermutation(b uint64) (left, right uint32) {
	l, r := uint32(b>>32), uint32(b) //nolint:gosec // G115: its halves
	l, r = exchange(l, r, 4, 0x0f0f0f0f)
	l, r = exchange(l, r, 16, 0x0000ffff)
	r, l = exchange(r, l, 2, 0x33333333)
	r, l = exchange(r, l, 8, 0x00ff00ff)
	l, r = exchange(l, r, 1, 0x55555555)
	return l, r
}

// finalPermutation is the inverse of initialPermutation.
func finalPermutation(l, r uint32) uint64 {
	l, r = exchange(l, r, 1, 0x55555555)
	r, l = exchange(r, l, 8, 0x00ff00ff)
	r, l = exchange(r, l, 2, 0x33333333)
	l, r = exchange(l, r, 16, 0x0000ffff)
	l, r = exchange(l, r, 4, 0x0f0f0f0f)
	return uint64(l)<<32 | uint64(r)
}

// exchange exchanges the bits of a that are by higher than those of mask with the bits of b that mask has.
func exchange(a, b uint32, by int, mask uint32) (uint32, uint32) {
	t := (a>>by ^ b) & mask
	return a ^ t<<by, b ^ t
}

// encryptScalar encrypts data in place; before is what is XORed to its first block, as lanes.blocks has it.
func encryptScalar(k *Key, before uint64, data []byte) {
	var s scalarKey
	s.expand(k)
	x := bits.ReverseBytes64(before)
	for ; len(data) >= BlockSize; data = data[BlockSize:] {
		x = s.encrypt(x ^ binary.BigEndian.Uint64(data))
		binary.BigEndian.PutUint64(data, x)
	}
}

// decryptScalar is the inverse of encryptScalar.
func decryptScalar(k *Key, before uint64, data []byte) {
	var s scalarKey
	s.expand(k)
	last := bits.ReverseBytes64(before)
	for ; len(data) >= BlockSize; data = data[BlockSize:] {
		x := binary.BigEndian.Uint64(data)
		binary.BigEndian.PutUint64(data, last^s.decrypt(x))
		last = x
	}
}

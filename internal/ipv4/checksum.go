package ipv4

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// Checksum is the Internet checksum of b (RFC 1071), where initial is a sum to begin with, such as
// PseudoHeaderSum. Over data that holds its own right checksum it is 0.
func Checksum(b []byte, initial uint32) uint16 {
	return ^Fold(uint64(initial) + uint64(Sum(b)))
}

// Sum is the ones' complement sum of the 16-bit words of b (RFC 1071, 1), not complemented. An odd byte
// at the end counts as the high half of a word. It is 0 only if every byte is.
func Sum(b []byte) uint16 { return sum(b) }

// CopySum copies src to the beginning of dst, which must be as long at least and must not overlap with
// it, and returns the Sum of what it copied.
func CopySum(dst, src []byte) uint16 { return copySum(dst[:len(src)], src) }

// Fold brings a sum down to 16 bits with end-around carry.
func Fold(sum uint64) uint16 {
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	return uint16(sum & 0xffff)
}

// PseudoHeaderSum is the sum of the pseudo header of TCP and UDP, to begin a Checksum with.
func PseudoHeaderSum(src, dst netip.Addr, protocol uint8, length int) uint32 {
	s, d := src.As4(), dst.As4()
	sum := uint64(binary.BigEndian.Uint32(s[:])) + uint64(binary.BigEndian.Uint32(d[:]))
	return uint32(Fold(sum + uint64(protocol) + uint64(length&0xffff)))
}

// adjust is the checksum after one 16-bit word changed (RFC 1624, equation 3).
func adjust(checksum, from, to uint16) uint16 {
	return ^Fold(uint64(^checksum) + uint64(^from) + uint64(to))
}

// sumGo and copySumGo are for every machine. The first adds 64-bit words with end-around carry, which folds
// to the same 16 bits, in the byte order that loads fastest: the sum of swapped words is the swapped
// sum (RFC 1071, 2.B).
func sumGo(b []byte) uint16 {
	sum, carry := uint64(0), uint64(0)
	for len(b) >= 32 {
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b[8:]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b[16:]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b[24:]), carry)
		b = b[32:]
	}
	for len(b) >= 8 {
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b), carry)
		b = b[8:]
	}
	last := uint64(0)
	if len(b) >= 4 {
		last = uint64(binary.LittleEndian.Uint32(b)) << 32
		b = b[4:]
	}
	switch len(b) { // what is left, filled up with zeros
	case 3:
		last |= uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16
	case 2:
		last |= uint64(b[0]) | uint64(b[1])<<8
	case 1:
		last |= uint64(b[0])
	}
	sum, carry = bits.Add64(sum, last, carry)
	sum, carry = bits.Add64(sum, 0, carry)
	return bits.ReverseBytes16(Fold(sum + carry))
}

func copySumGo(dst, src []byte) uint16 {
	copy(dst, src) // into the first-level cache, so that reading it again costs little
	return sumGo(src)
}

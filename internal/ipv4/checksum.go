package ipv4

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// Checksum is the Internet checksum of b (RFC 1071), where initial is a sum to begin with, such as
// PseudoHeaderSum. Over data that holds its own right checksum it is 0.
func Checksum(b []byte, initial uint32) uint16 {
	// A sum of 64-bit words with end-around carry folds to the same 16 bits.
	sum, carry := uint64(initial), uint64(0)
	for len(b) >= 32 {
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b), carry)
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b[8:]), carry)
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b[16:]), carry)
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b[24:]), carry)
		b = b[32:]
	}
	for len(b) >= 8 {
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b), carry)
		b = b[8:]
	}
	if len(b) > 0 {
		var last [8]byte
		copy(last[:], b)
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(last[:]), carry)
	}
	sum, carry = bits.Add64(sum, 0, carry)
	return ^fold(sum + carry)
}

// fold brings a sum down to 16 bits with end-around carry.
func fold(sum uint64) uint16 {
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
	return uint32(fold(sum + uint64(protocol) + uint64(length&0xffff)))
}

// adjust is the checksum after one 16-bit word changed (RFC 1624, equation 3).
func adjust(checksum, from, to uint16) uint16 {
	return ^fold(uint64(^checksum) + uint64(^from) + uint64(to))
}

package ipv4

import (
	"math/bits"

	"meshrouter/internal/cpu"
)

//go:generate go run ./gensum

// These return the sum of the little-endian 32-bit words of n bytes, the last one filled up with zeros. Those with
// AVX2 leave out the last n%32 bytes. n is at most 1<<32.

//go:noescape
func sumAVX2(src *byte, n int) uint64

//go:noescape
func copySumAVX2(dst, src *byte, n int) uint64

//go:noescape
func sumAVX512(src *byte, n int) uint64

//go:noescape
func copySumAVX512(dst, src *byte, n int) uint64

// vectorMin is the length from which on vectors are faster.
const vectorMin = 64

func sum(b []byte) uint16 {
	if len(b) >= vectorMin {
		switch cpu.Max() {
		case cpu.AVX512:
			return swapped(sumAVX512(&b[0], len(b)))
		case cpu.AVX2:
			return sumVectors(b)
		case cpu.Portable:
		}
	}
	return sumGo(b)
}

func copySum(dst, src []byte) uint16 {
	if len(src) >= vectorMin {
		switch cpu.Max() {
		case cpu.AVX512:
			return swapped(copySumAVX512(&dst[0], &src[0], len(src)))
		case cpu.AVX2:
			return copySumVectors(dst, src)
		case cpu.Portable:
		}
	}
	return copySumGo(dst, src)
}

func sumVectors(b []byte) uint16 {
	last := len(b) &^ 31
	return Fold(uint64(swapped(sumAVX2(&b[0], len(b)))) + uint64(sumGo(b[last:])))
}

func copySumVectors(dst, src []byte) uint16 {
	last := len(src) &^ 31
	return Fold(uint64(swapped(copySumAVX2(&dst[0], &src[0], len(src)))) + uint64(copySumGo(dst[last:], src[last:])))
}

// swapped folds a sum of little-endian words.
func swapped(sum uint64) uint16 { return bits.ReverseBytes16(Fold(sum)) }

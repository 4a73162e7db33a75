package ipv4

import "meshrouter/internal/cpu"

// implementations are the sums that this machine has, held to no length.
func implementations() []implementation {
	all := []implementation{{"chosen", sum, copySum}, {"portable", sumGo, copySumGo}}
	if cpu.Max() >= cpu.AVX2 {
		all = append(all, implementation{"avx2", guarded(sumVectors), guardedCopy(copySumVectors)})
	}
	if cpu.Max() >= cpu.AVX512 {
		all = append(all, implementation{
			"avx512",
			guarded(func(b []byte) uint16 { return swapped(sumAVX512(&b[0], len(b))) }),
			guardedCopy(func(dst, src []byte) uint16 { return swapped(copySumAVX512(&dst[0], &src[0], len(src))) }),
		})
	}
	return all
}

// guarded leaves out the empty slice, which has no first byte.
func guarded(f func([]byte) uint16) func([]byte) uint16 {
	return func(b []byte) uint16 {
		if len(b) == 0 {
			return 0
		}
		return f(b)
	}
}

func guardedCopy(f func(dst, src []byte) uint16) func(dst, src []byte) uint16 {
	return func(dst, src []byte) uint16 {
		if len(src) == 0 {
			return 0
		}
		return f(dst, src)
	}
}

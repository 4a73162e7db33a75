package hmacs

import (
	"fmt"
	"math"

	"meshrouter/internal/cpu"
)

// A kernel is a compression function of the machine code.
type kernel uint8

const (
	none kernel = iota
	md5AVX2
	md5AVX512
	sha1AVX2
	sha1AVX512
	sha1SHANI // one or two lanes
	sha256AVX2
	sha256AVX512
	sha256SHANI // one or two lanes
	sha512AVX2
	sha512AVX512
)

// A method is a way to compute one hash. The zero value is the standard library.
type method struct {
	wide  kernel // runs `lanes` lanes in one step
	lanes int
	from  int    // wide is used while so many packets are there to fill lanes
	pair  kernel // runs one or two lanes; where it is none, the standard library takes fewer than from
}

// From which number of packets on the wide kernels are faster was measured on Zen 4 (BenchmarkSum). The
// tables are for machines without the SHA instructions, where the standard library is slower than here.
var (
	avx2Table = implementation{
		MD5:    {md5AVX2, 8, 2, none},
		SHA1:   {sha1AVX2, 8, 3, none},
		SHA256: {sha256AVX2, 8, 3, none},
		SHA384: {sha512AVX2, 4, 3, none},
		SHA512: {sha512AVX2, 4, 3, none},
	}
	avx512Table = implementation{
		MD5:    {md5AVX512, 16, 2, none},
		SHA1:   {sha1AVX512, 16, 3, none},
		SHA256: {sha256AVX512, 16, 3, none},
		SHA384: {sha512AVX512, 8, 3, none},
		SHA512: {sha512AVX512, 8, 3, none},
	}
)

// never is a from that no batch reaches.
const never = math.MaxInt

// withSHANI gives an implementation the SHA instructions for what the wide kernels are not better at.
func (im implementation) withSHANI() implementation {
	im[SHA1].pair, im[SHA256].pair = sha1SHANI, sha256SHANI
	im[SHA1].from = 8
	if im[SHA256].wide == sha256AVX512 {
		im[SHA256].from = 15
	} else {
		im[SHA256].from = never
	}
	return im
}

// available lists the implementations that this machine has and the environment allows, the best last.
func available() []*implementation {
	list := []*implementation{{}}
	for _, t := range []struct {
		level cpu.Level
		table implementation
	}{{cpu.AVX2, avx2Table}, {cpu.AVX512, avx512Table}} {
		if cpu.Max() < t.level {
			break
		}
		list = append(list, &t.table)
		if hasSHA() {
			faster := t.table.withSHANI()
			list = append(list, &faster)
		}
	}
	return list
}

func best() *implementation {
	list := available()
	return list[len(list)-1]
}

// hasSHA says whether the processor has the SHA extensions. It has AVX2, so it has CPUID leaf 7.
func hasSHA() bool

// isa names the instructions of a kernel.
func (k kernel) isa() string {
	switch k {
	case md5AVX2, sha1AVX2, sha256AVX2, sha512AVX2:
		return "avx2"
	case md5AVX512, sha1AVX512, sha256AVX512, sha512AVX512:
		return "avx512"
	case sha1SHANI, sha256SHANI:
		return "sha-ni"
	default:
		return "portable"
	}
}

func (m method) String() string {
	switch {
	case m.wide == none:
		return "portable"
	case m.pair == none:
		return fmt.Sprintf("%s x%d, portable", m.wide.isa(), m.lanes)
	case m.from > m.lanes:
		return m.pair.isa() + " x2"
	}
	return fmt.Sprintf("%s x%d, %s x2", m.wide.isa(), m.lanes, m.pair.isa())
}

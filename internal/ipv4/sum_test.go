package ipv4

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

type implementation struct {
	name    string
	sum     func(b []byte) uint16
	copySum func(dst, src []byte) uint16
}

// checkSums compares every implementation with the slow twin, and looks at what lies around the copy.
func checkSums(t *testing.T, src []byte, at int) {
	t.Helper()
	want := ^slowChecksum(src, 0)
	const around = 80
	dst := make([]byte, around+at+len(src)+around)
	for _, im := range implementations() {
		if got := im.sum(src); got != want {
			t.Fatalf("%s: Sum(%x) = %04x, want %04x", im.name, src, got, want)
		}
		for i := range dst {
			dst[i] = 0xa5
		}
		part := dst[around+at : around+at+len(src)]
		if got := im.copySum(part, src); got != want || !bytes.Equal(part, src) {
			t.Fatalf("%s: CopySum(%x) = %04x and %x, want %04x", im.name, src, got, part, want)
		}
		clear(part)
		copy(part, bytes.Repeat([]byte{0xa5}, len(part)))
		if i := bytes.IndexFunc(dst, func(r rune) bool { return r != 0xfffd }); i >= 0 {
			t.Fatalf("%s: CopySum of %d bytes wrote to %d bytes from its beginning", im.name, len(src), i-around-at)
		}
	}
}

func TestSumsAgainstSlowTwin(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(2, 2))
	data := make([]byte, 70000)
	for _, fill := range []func() byte{
		func() byte { return byte(r.Uint32()) },
		func() byte { return 0xff }, // every addition carries
		func() byte { return 0 },
		func() byte { return []byte{0, 0xff, 1, 0x80}[r.IntN(4)] },
	} {
		for i := range data {
			data[i] = fill()
		}
		for n := range 700 {
			at := r.IntN(64)
			checkSums(t, data[at:at+n], r.IntN(64))
		}
		for _, n := range []int{1388, 1408, 1448, 1500, 9000, 65494, 65535} {
			checkSums(t, data[:n], 0)
			checkSums(t, data[3:3+n], 1)
		}
	}
}

func FuzzSum(f *testing.F) {
	f.Add([]byte{}, uint8(0))
	f.Add(bytes.Repeat([]byte{0xff}, 300), uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, at uint8) { checkSums(t, b, int(at)) })
}

func TestSumDoesNotAllocate(t *testing.T) {
	src, dst := make([]byte, 1408), make([]byte, 1408)
	for _, im := range implementations() {
		if n := testing.AllocsPerRun(100, func() { im.sum(src); im.copySum(dst, src) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", im.name, n)
		}
	}
}

func BenchmarkSum(b *testing.B) {
	for _, n := range []int{20, 40, 64, 128, 256, 1408, 65000} {
		src, dst := make([]byte, n), make([]byte, n)
		for _, im := range implementations() {
			b.Run(fmt.Sprintf("sum/size=%d/%s", n, im.name), func(b *testing.B) {
				b.SetBytes(int64(n))
				for range b.N {
					im.sum(src)
				}
			})
			b.Run(fmt.Sprintf("copysum/size=%d/%s", n, im.name), func(b *testing.B) {
				b.SetBytes(int64(n))
				for range b.N {
					im.copySum(dst, src)
				}
			})
		}
	}
}

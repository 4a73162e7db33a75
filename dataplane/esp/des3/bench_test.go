package des3

import (
	"crypto/cipher"
	"crypto/des"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// The benchmarks run each implementation by turns with crypto/des on the same packets of benchmarkSize bytes, and report
// the median of the ratios of the two times, "x-crypto/des", beside the implementation's bytes per second:
//
//	go test -run '^$' -bench 'Encrypt/vbmi/key=one' -benchtime 200x ./dataplane/esp/des3
//
// The time per operation is that of a batch with both, and says nothing.
const benchmarkSize = 1408

// curve is n = 1 to 64, and two larger batches.
func curve() (ns []int) {
	for n := 1; n <= 64; n++ {
		ns = append(ns, n)
	}
	return append(ns, 128, 256)
}

func BenchmarkEncrypt(b *testing.B) {
	benchmark(b, func(im implementation) func([]Op) { return im.encrypt }, cipher.NewCBCEncrypter)
}

func BenchmarkDecrypt(b *testing.B) {
	benchmark(b, func(im implementation) func([]Op) { return im.decrypt }, cipher.NewCBCDecrypter)
}

func benchmark(b *testing.B, of func(implementation) func([]Op), mode func(cipher.Block, []byte) cipher.BlockMode) {
	for _, im := range implementations {
		if !im.usable {
			continue
		}
		for _, mixed := range []bool{false, true} {
			for _, n := range curve() {
				name := fmt.Sprintf("%s/key=%s/n=%d", im.name, map[bool]string{false: "one", true: "each"}[mixed], n)
				b.Run(name, func(b *testing.B) { pair(b, n, mixed, of(im), mode) })
			}
		}
	}
}

// pair runs do on a batch of n packets and crypto/des on some of them by turns.
func pair(b *testing.B, n int, mixed bool, do func([]Op), mode func(cipher.Block, []byte) cipher.BlockMode) {
	r := rand.New(rand.NewPCG(1, 1))
	raw := make([]byte, KeySize)
	var ops []Op
	var blocks []cipher.Block
	for i := range n {
		if i == 0 || mixed {
			fill(r, raw)
		}
		k, err := NewKey(raw)
		if err != nil {
			b.Fatal(err)
		}
		if i > 0 && !mixed {
			k = ops[0].Key
		}
		block, err := des.NewTripleDESCipher(raw)
		if err != nil {
			b.Fatal(err)
		}
		blocks = append(blocks, block)
		ops = append(ops, Op{Key: k, IV: make([]byte, BlockSize), Data: make([]byte, benchmarkSize)})
	}
	some := min(n, 8)     // crypto/des takes the same time for each
	times := max(1, 16/n) // so that a turn is long enough for the clock
	var ratios, speeds []float64
	for b.Loop() {
		start := time.Now()
		for range times {
			do(ops)
		}
		ours := float64(time.Since(start)) / float64(n*times)
		start = time.Now()
		for i := range some {
			mode(blocks[i], ops[i].IV).CryptBlocks(ops[i].Data, ops[i].Data)
		}
		theirs := float64(time.Since(start)) / float64(some)
		ratios, speeds = append(ratios, theirs/ours), append(speeds, benchmarkSize/ours*1e3)
	}
	slices.Sort(ratios)
	slices.Sort(speeds)
	b.ReportMetric(ratios[len(ratios)/2], "x-crypto/des")
	b.ReportMetric(speeds[len(speeds)/2], "MB/s")
}

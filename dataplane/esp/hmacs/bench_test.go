package hmacs

import (
	"crypto/hmac"
	"fmt"
	"hash"
	"math"
	"testing"
	"time"
)

// BenchmarkSum compares each implementation, its kernels also forced, with crypto/hmac reset for each
// packet, in turns within one run, by the fastest turn: "ratio" is how many times as fast it is, "MB/s" its own rate.
func BenchmarkSum(b *testing.B) {
	for _, h := range all {
		seen := map[method]bool{}
		for _, im := range everyImplementation() {
			if seen[im[h]] {
				continue
			}
			seen[im[h]] = true
			for _, size := range []int{64, 256, 1408, mixed} {
				for _, n := range []int{1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 64, 128} {
					b.Run(fmt.Sprintf("hash=%v/impl=%s/size=%d/n=%d", h, describe(im[h]), size, n), func(b *testing.B) {
						pair(b, im, h, size, n)
					})
				}
			}
		}
	}
}

// mixed stands for sizes spread from 64 to 1408 bytes within a batch.
const mixed = 0

func sizes(size, n int) []int {
	all := make([]int, n)
	for i := range all {
		if all[i] = size; size == mixed {
			all[i] = 64 + i*448%1345
		}
	}
	return all
}

func pair(b *testing.B, im *implementation, h Hash, size, n int) {
	key := make([]byte, functionTable[h].size)
	k := NewKey(h, key)
	ops, theirs := make([]Op, n), make([]hash.Hash, n)
	total := 0
	for i, size := range sizes(size, n) {
		total += size
		ops[i] = Op{k, make([]byte, size), make([]byte, 12)}
		theirs[i] = hmac.New(functionTable[h].new, key)
	}
	var sum [maxState]byte
	us, them := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
	for b.Loop() {
		start := time.Now()
		for range 8 {
			im.sum(ops)
		}
		us = min(us, time.Since(start))
		start = time.Now()
		for i := range ops {
			theirs[i].Reset()
			theirs[i].Write(ops[i].Data)
			theirs[i].Sum(sum[:0])
		}
		them = min(them, time.Since(start))
	}
	b.ReportMetric(8*float64(total)/us.Seconds()/1e6, "MB/s")
	b.ReportMetric(8*them.Seconds()/us.Seconds(), "ratio")
}

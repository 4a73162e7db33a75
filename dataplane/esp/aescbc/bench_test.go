package aescbc

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// BenchmarkEncrypt and BenchmarkDecrypt compare each implementation with crypto/cipher, in turns within one
// run, by the fastest turn: "ratio" is how many times as fast it is, "MB/s" its own rate.
func BenchmarkEncrypt(b *testing.B) {
	benchmark(b, implementation.encrypt, func(c cipher.Block, op *Op) {
		cipher.NewCBCEncrypter(c, op.IV).CryptBlocks(op.Data, op.Data)
	})
}

func BenchmarkDecrypt(b *testing.B) {
	benchmark(b, implementation.decrypt, func(c cipher.Block, op *Op) {
		cipher.NewCBCDecrypter(c, op.IV).CryptBlocks(op.Data, op.Data)
	})
}

func benchmark(b *testing.B, ours func(implementation, []Op), theirs func(cipher.Block, *Op)) {
	for _, im := range available() {
		for _, bits := range []int{128, 256} {
			for _, size := range []int{64, 256, 1408, mixed} {
				for _, n := range []int{1, 2, 4, 8, 16, 64, 128} {
					for _, keys := range []int{1, n} {
						if keys == 1 && n > 1 && bits == 256 {
							continue
						}
						b.Run(fmt.Sprintf("impl=%v/bits=%d/size=%d/n=%d/keys=%d", im, bits, size, n, keys), func(b *testing.B) {
							pair(b, im, bits, size, n, keys, ours, theirs)
						})
						if n == 1 {
							break
						}
					}
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
			all[i] = 64 + i*448%1345/BlockSize*BlockSize
		}
	}
	return all
}

func pair(b *testing.B, im implementation, bits, size, n, keys int, ours func(implementation, []Op), theirs func(cipher.Block, *Op)) {
	random := rand.New(rand.NewPCG(6, 6))
	ops, blocks := make([]Op, n), make([]cipher.Block, n)
	total := 0
	for i, size := range sizes(size, n) {
		total += size
		if i >= keys {
			ops[i].Key, blocks[i] = ops[0].Key, blocks[0]
		} else {
			key := make([]byte, bits/8)
			fill(random, key)
			var err error
			if ops[i].Key, err = im.newKey(key); err != nil {
				b.Fatal(err)
			}
			if blocks[i], err = aes.NewCipher(key); err != nil {
				b.Fatal(err)
			}
		}
		ops[i].IV, ops[i].Data = make([]byte, BlockSize), make([]byte, size)
	}
	us, them := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
	for b.Loop() {
		start := time.Now()
		for range 16 {
			ours(im, ops)
		}
		us = min(us, time.Since(start))
		start = time.Now()
		for i := range ops {
			theirs(blocks[i], &ops[i])
		}
		them = min(them, time.Since(start))
	}
	b.ReportMetric(16*float64(total)/us.Seconds()/1e6, "MB/s")
	b.ReportMetric(16*them.Seconds()/us.Seconds(), "ratio")
}

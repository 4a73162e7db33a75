package des3

import (
	xcpu "golang.org/x/sys/cpu"

	"meshrouter/internal/cpu"
)

// avx2 is 256 lanes in registers of 256 bits: four words make a plane.
var avx2 = implementation{ //nolint:gochecknoglobals // a row of the table of implementations
	name:    "avx2",
	level:   cpu.AVX2,
	usable:  xcpu.X86.HasAVX2,
	encrypt: encryptAVX2,
	decrypt: decryptAVX2,
}

// fewAVX2 is the number of blocks from which on 256 lanes are less work than one block after another.
const fewAVX2 = 5

func encryptAVX2(ops []Op) { encryptSliced(ops, 4, fewAVX2) }

func decryptAVX2(ops []Op) { decryptSliced(ops, 4, fewAVX2) }

// transpose256 makes the rows of four matrices of 64 by 64 bits their columns: row i of matrix j is word 4i+j.
//
//go:noescape
func transpose256(rows *[maxLanes]uint64)

// rounds256 does the 48 rounds on 64 planes of four words. The bits of the key of the first round are in keys at the
// offsets that order points to, in bytes; those of the next round are step bytes further.
//
//go:noescape
func rounds256(planes *[maxLanes]uint64, keys *[keyBits * maxLanes / 64]uint64, order *[48]uint16, step int)

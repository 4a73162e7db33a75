package des3

import (
	"encoding/binary"
	"fmt"

	"meshrouter/internal/cpu"
)

// Sizes, bytes.
const (
	BlockSize = 8
	KeySize   = 24
)

// A Key is the key schedule of one Triple DES key. It never changes, and any number of goroutines may use it.
//
// It is kept small, because a tunnel that carries nothing still has two of them: each implementation spreads
// it over its lanes when it is called.
type Key struct {
	// rounds are the keys of the 48 rounds of an encryption, E-D-E, in the order they are used; a decryption uses
	// them from the last to the first. Byte j (bits 8j to 8j+7) of a word holds what S-box j+1 gets: six bits, of
	// which the first in the counting of FIPS 46-3 (the one that goes with the row) is the highest.
	rounds [rounds]uint64
}

// rounds is the number of rounds of one Triple DES operation.
const rounds = 3 * 16

// NewKey expands a key of KeySize bytes, K1 || K2 || K3; parity bits are ignored (RFC 2451, 2.3).
func NewKey(key []byte) (*Key, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("des3: key has %d bytes, want %d", len(key), KeySize)
	}
	k := new(Key)
	first, second, third := schedule(key[:8]), schedule(key[8:16]), schedule(key[16:])
	for r := range 16 {
		k.rounds[r] = first[r]
		k.rounds[16+r] = second[15-r] // the second pass decrypts
		k.rounds[32+r] = third[r]
	}
	return k, nil
}

// schedule makes the 16 round keys of one DES key (FIPS 46-3, appendix 1), as Key.rounds has them.
func schedule(key []byte) (out [16]uint64) {
	permuted := permute(binary.BigEndian.Uint64(key), 64, permutedChoice1[:])
	c, d := uint32(permuted>>28&(1<<28-1)), uint32(permuted&(1<<28-1))
	for r, n := range leftShifts {
		c, d = rotate28(c, n), rotate28(d, n)
		k := permute(uint64(c)<<28|uint64(d), 56, permutedChoice2[:])
		for j := range 8 {
			out[r] |= k >> (42 - 6*j) & 0x3f << (8 * j)
		}
	}
	return out
}

// permute picks bits of x, which has width bits that FIPS 46-3 counts from 1 at the highest, in the order of table.
func permute(x uint64, width uint8, table []uint8) (out uint64) {
	for _, n := range table {
		out = out<<1 | x>>(width-n)&1
	}
	return out
}

// rotate28 rotates 28 bits to the left.
func rotate28(x uint32, n int) uint32 { return (x<<n | x>>(28-n)) & (1<<28 - 1) }

// The tables of the key schedule, FIPS 46-3, appendix 1.
var (
	permutedChoice1 = [56]uint8{ //nolint:gochecknoglobals // never changes
		57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18,
		10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60, 52, 44, 36,
		63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22,
		14, 6, 61, 53, 45, 37, 29, 21, 13, 5, 28, 20, 12, 4,
	}
	permutedChoice2 = [48]uint8{ //nolint:gochecknoglobals // never changes
		14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10,
		23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2,
		41, 52, 31, 37, 47, 55, 30, 40, 51, 45, 33, 48,
		44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
	}
	leftShifts = [16]int{1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1} //nolint:gochecknoglobals // never changes
)

// An Op is one packet to be encrypted or decrypted in place.
type Op struct {
	Key  *Key
	IV   []byte // BlockSize bytes, not changed; it may lie right before Data
	Data []byte // a whole number of blocks; nothing outside of it is written, or read
}

// Encrypt encrypts each packet in place. The packets lie in disjoint memory. It does not allocate.
func Encrypt(ops []Op) {
	check(ops)
	chosen.encrypt(ops)
}

// Decrypt decrypts each packet in place. The packets lie in disjoint memory. It does not allocate.
func Decrypt(ops []Op) {
	check(ops)
	chosen.decrypt(ops)
}

// check panics where a caller breaks the contract of Op: machine code relies on it.
func check(ops []Op) {
	for i := range ops {
		if op := &ops[i]; op.Key == nil || len(op.IV) != BlockSize || len(op.Data)%BlockSize != 0 {
			panic(fmt.Sprintf("des3: packet %d: IV of %d bytes, data of %d bytes", i, len(op.IV), len(op.Data)))
		}
	}
}

// Implementation names what this machine uses: "vbmi", "avx2" or "portable".
func Implementation() string { return chosen.name }

// An implementation does the work in one way. What encrypt and decrypt are given has been checked.
type implementation struct {
	name             string
	level            cpu.Level // it uses, beside what usable says
	usable           bool      // by this machine
	encrypt, decrypt func(ops []Op)
}

// chosen is the first of the implementations, which are in order of speed, that machine and environment allow.
var chosen = choose(cpu.Max()) //nolint:gochecknoglobals // set once, before main

func choose(level cpu.Level) implementation {
	for _, im := range implementations {
		if im.usable && im.level <= level {
			return im
		}
	}
	panic("des3: the portable implementation is always usable")
}

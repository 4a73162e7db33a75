package des3

import "meshrouter/internal/cpu"

//go:generate go run ./genbitslice

// portable is Go without assembly: 64 lanes in words of 64 bits.
var portable = implementation{ //nolint:gochecknoglobals // a row of the table of implementations
	name:    "portable",
	level:   cpu.Portable,
	usable:  true,
	encrypt: encryptPortable,
	decrypt: decryptPortable,
}

// fewPortable is the number of blocks from which on 64 lanes are less work than one block after another.
const fewPortable = 5

func encryptPortable(ops []Op) { encryptSliced(ops, 1, fewPortable) }

func decryptPortable(ops []Op) { decryptSliced(ops, 1, fewPortable) }

// rounds64 does the 48 rounds on 64 planes, with the key of round first, then first+step and so on.
func rounds64(planes *[64]uint64, key *[256]uint64, first, step int) {
	for i := range planes {
		planes[i] ^= -(uint64(complemented64) >> i & 1)
	}
	left, right := (*[63]uint64)(planes[:]), (*[63]uint64)(planes[1:])
	for range 3 {
		for range 16 {
			round64(left, right, key, &keyBitTable.order[first])
			first += step
			left, right = right, left
		}
		left, right = right, left // each pass starts with the halves exchanged: its last round should not have done it
	}
	for i := 0; i < len(planes); i += 2 {
		mask := -(uint64(complemented64) >> i & 1)
		planes[i], planes[i+1] = planes[i+1]^mask, planes[i]^mask
	}
}

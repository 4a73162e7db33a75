package hmacs

import (
	"crypto/md5"  //nolint:gosec // G501: RFC 2403
	"crypto/sha1" //nolint:gosec // G505: RFC 2404
	"crypto/sha256"
	"crypto/sha512"
	"encoding"
	"encoding/binary"
	"fmt"
	"hash"
)

// A Hash is the hash function under an HMAC.
type Hash uint8

// The hash functions.
const (
	MD5 Hash = iota
	SHA1
	SHA256
	SHA384
	SHA512
	hashes // how many there are
)

// A function is what must be known of a hash function.
type function struct {
	new   func() hash.Hash
	magic string // what the standard library's marshaled state begins with
	size  int    // of the HMAC, bytes
	state int    // of the chaining value, bytes
	block int    // bytes: 16 words
}

var functionTable = [hashes]function{
	MD5:    {md5.New, "md5\x01", md5.Size, 16, md5.BlockSize},
	SHA1:   {sha1.New, "sha\x01", sha1.Size, 20, sha1.BlockSize},
	SHA256: {sha256.New, "sha\x03", sha256.Size, 32, sha256.BlockSize},
	SHA384: {sha512.New384, "sha\x04", sha512.Size384, 64, sha512.BlockSize},
	SHA512: {sha512.New, "sha\x07", sha512.Size, 64, sha512.BlockSize},
}

// word is the size of the hash's words, bytes.
func (f *function) word() int { return f.block / 16 }

const maxState = 64

// A Key is an HMAC key: the states of the hash after its two key blocks. It never changes.
type Key struct {
	hash   Hash
	narrow *pads[uint32] // of MD5, SHA-1, SHA-256
	wide   *pads[uint64] // of SHA-384, SHA-512
}

// word is a hash's word.
type word interface{ uint32 | uint64 }

// pads are the states after the inner and the outer key block.
type pads[W word] struct{ inner, outer [8]W }

// NewKey prepares a key of any length.
func NewKey(h Hash, key []byte) *Key {
	f := &functionTable[h]
	if len(key) > f.block { // RFC 2104, 2
		sum := f.new()
		sum.Write(key)
		key = sum.Sum(nil)
	}
	var states [2][]byte
	for i, pad := range []byte{0x36, 0x5c} {
		block := make([]byte, f.block)
		copy(block, key)
		for j := range block {
			block[j] ^= pad
		}
		states[i] = f.stateAfter(block)
	}
	k := &Key{hash: h}
	if f.word() == 8 {
		k.wide = new(pads[uint64])
		for i := range f.state / 8 {
			k.wide.inner[i] = binary.BigEndian.Uint64(states[0][8*i:])
			k.wide.outer[i] = binary.BigEndian.Uint64(states[1][8*i:])
		}
		return k
	}
	k.narrow = new(pads[uint32])
	for i := range f.state / 4 {
		k.narrow.inner[i] = binary.BigEndian.Uint32(states[0][4*i:])
		k.narrow.outer[i] = binary.BigEndian.Uint32(states[1][4*i:])
	}
	return k
}

// stateAfter is the state of the hash after its first block, as the standard library marshals it: the magic,
// the words (big-endian, MD5's too), and what NewKey has no use for.
func (f *function) stateAfter(block []byte) []byte {
	h := f.new()
	h.Write(block)
	marshaled, err := h.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil || len(marshaled) != f.marshaledSize() || string(marshaled[:len(f.magic)]) != f.magic {
		panic(fmt.Sprintf("hmacs: the standard library marshals %q (%d bytes, %v), want %q (%d bytes)",
			marshaled[:min(4, len(marshaled))], len(marshaled), err, f.magic, f.marshaledSize()))
	}
	return marshaled[len(f.magic):][:f.state]
}

// marshaledSize is that of the magic, the state, a partial block and a 64-bit length.
func (f *function) marshaledSize() int { return len(f.magic) + f.state + f.block + 8 }

// An Op is one HMAC to be computed.
type Op struct {
	Key  *Key
	Data []byte
	Out  []byte // gets the first len(Out) bytes of the HMAC; it must not overlap the Data of any Op
}

// Sum computes each HMAC. It does not allocate.
func Sum(ops []Op) { chosen.sum(ops) }

// Implementation names what this machine uses for a hash: "avx512 x16, sha-ni x2", or "portable" where it is
// the standard library alone.
func Implementation(h Hash) string { return chosen[h].String() }

// An implementation says how each hash is computed. All give the same; tests run each that the machine has.
type implementation [hashes]method

// chosen is what the package uses, set once.
var chosen = best() //nolint:gochecknoglobals // the machine does not change

// sum takes the HMACs hash by hash.
func (im *implementation) sum(ops []Op) {
	var count [hashes]int
	for i := range ops {
		count[ops[i].Key.hash]++
	}
	for h, n := range count {
		if n > 0 {
			im[h].sum(Hash(h), ops, n)
		}
	}
}

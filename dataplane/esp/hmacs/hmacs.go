// Package hmacs is HMAC (RFC 2104) over batches of packets.
package hmacs

import (
	"crypto/hmac"
	"crypto/md5"  //nolint:gosec // G501: RFC 2403
	"crypto/sha1" //nolint:gosec // G505: RFC 2404
	"crypto/sha256"
	"crypto/sha512"
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
)

// A Key is an HMAC key: the states of the hash after its two key blocks. It never changes.
type Key struct {
	new func() hash.Hash
	key []byte
}

// NewKey prepares a key of any length.
func NewKey(h Hash, key []byte) *Key {
	return &Key{[...]func() hash.Hash{md5.New, sha1.New, sha256.New, sha512.New384, sha512.New}[h], key}
}

// An Op is one HMAC to be computed.
type Op struct {
	Key  *Key
	Data []byte
	Out  []byte // gets the first len(Out) bytes of the HMAC; it must not overlap the Data of any Op
}

// Sum computes each HMAC. It does not allocate.
func Sum(ops []Op) {
	var sum [64]byte
	for i := range ops {
		h := hmac.New(ops[i].Key.new, ops[i].Key.key)
		h.Write(ops[i].Data)
		copy(ops[i].Out, h.Sum(sum[:0]))
	}
}

// Implementation names what this machine uses for a hash.
func Implementation(Hash) string { return "portable" }

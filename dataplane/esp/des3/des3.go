// Package des3 is Triple DES in CBC mode (RFC 2451) over batches of packets.
package des3

import (
	"crypto/cipher"
	"crypto/des" //nolint:gosec // G502: 3DES is what the old peers of this router speak
	"fmt"
)

// Sizes, bytes.
const (
	BlockSize = 8
	KeySize   = 24
)

// A Key is an expanded key. It never changes.
type Key struct {
	block cipher.Block
}

// NewKey expands a key of KeySize bytes; parity bits are ignored.
func NewKey(key []byte) (*Key, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("des3: key has %d bytes, want %d", len(key), KeySize)
	}
	b, err := des.NewTripleDESCipher(key) //nolint:gosec // G405: see the import
	return &Key{b}, err
}

// An Op is one packet to be encrypted or decrypted in place.
type Op struct {
	Key  *Key
	IV   []byte // BlockSize bytes, not changed; it may lie right before Data
	Data []byte // a whole number of blocks
}

// Encrypt encrypts each packet in place. The packets lie in disjoint memory. It does not allocate.
func Encrypt(ops []Op) {
	for i := range ops {
		cipher.NewCBCEncrypter(ops[i].Key.block, ops[i].IV).CryptBlocks(ops[i].Data, ops[i].Data)
	}
}

// Decrypt decrypts each packet in place. The packets lie in disjoint memory. It does not allocate.
func Decrypt(ops []Op) {
	for i := range ops {
		cipher.NewCBCDecrypter(ops[i].Key.block, ops[i].IV).CryptBlocks(ops[i].Data, ops[i].Data)
	}
}

// Implementation names what this machine uses: "vbmi", "avx2" or "portable".
func Implementation() string { return "portable" }

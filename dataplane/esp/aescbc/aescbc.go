package aescbc

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
)

// BlockSize is that of AES, bytes.
const BlockSize = aes.BlockSize

// A Key is an expanded key. It never changes.
type Key struct {
	expanded              // what the machine code uses
	block    cipher.Block // what portable uses
}

// NewKey expands a key of 16, 24 or 32 bytes.
func NewKey(key []byte) (*Key, error) { return chosen.newKey(key) }

func (im implementation) newKey(key []byte) (*Key, error) {
	switch {
	case len(key) != 16 && len(key) != 24 && len(key) != 32:
		return nil, aes.KeySizeError(len(key))
	case im != portable:
		return &Key{expanded: expand(key)}, nil
	}
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return &Key{block: b}, nil
}

// An Op is one packet to be encrypted or decrypted in place.
type Op struct {
	Key  *Key
	IV   []byte // BlockSize bytes, not changed; it may lie right before Data
	Data []byte // a whole number of blocks
}

// check panics for an Op that would make machine code write where it must not.
func (op *Op) check() {
	if len(op.IV) != BlockSize || len(op.Data)%BlockSize != 0 {
		panic("aescbc: IV is not a block, or Data not a whole number of blocks")
	}
}

// Encrypt encrypts each packet in place. The packets lie in disjoint memory. It does not allocate.
func Encrypt(ops []Op) { chosen.encrypt(ops) }

// Decrypt decrypts each packet in place. The packets lie in disjoint memory. It does not allocate.
func Decrypt(ops []Op) { chosen.decrypt(ops) }

// Implementation names what this machine uses: "vaes", "aes-ni" or "portable".
func Implementation() string { return chosen.String() }

// An implementation is a way to compute. All give the same; tests and benchmarks run each that the machine has.
type implementation int

const (
	portable implementation = iota // the standard library, block by block
	aesNI                          // AVX and AES-NI: 8 blocks side by side
	vaes                           // AVX-512 and VAES: 16 blocks side by side
)

func (im implementation) String() string { return [...]string{"portable", "aes-ni", "vaes"}[im] }

// chosen is what the package uses, set once.
var chosen = best() //nolint:gochecknoglobals // the machine does not change

func (im implementation) encrypt(ops []Op) {
	if im == portable {
		for i := range ops {
			ops[i].encryptPortable()
		}
		return
	}
	encryptMachine(im, ops)
}

func (im implementation) decrypt(ops []Op) {
	if im == portable {
		for i := range ops {
			ops[i].decryptPortable()
		}
		return
	}
	decryptMachine(im, ops)
}

// encryptPortable works on the block cipher: a cipher.BlockMode would be allocated for each packet.
func (op *Op) encryptPortable() {
	op.check()
	chain := op.IV
	for data := op.Data; len(data) > 0; data = data[BlockSize:] {
		block := data[:BlockSize]
		subtle.XORBytes(block, block, chain)
		op.Key.block.Encrypt(block, block)
		chain = block
	}
}

// decryptPortable goes from the last block to the first, so that the ciphertext before is still there.
func (op *Op) decryptPortable() {
	op.check()
	for i := len(op.Data) - BlockSize; i >= 0; i -= BlockSize {
		block, chain := op.Data[i:i+BlockSize], op.IV
		if i > 0 {
			chain = op.Data[i-BlockSize : i]
		}
		op.Key.block.Decrypt(block, block)
		subtle.XORBytes(block, block, chain)
	}
}

package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des" //nolint:gosec // 3DES is what old peers speak
	"encoding/binary"
	"errors"
	"fmt"

	"meshrouter/ike/isakmp"
)

// A Chain encrypts the messages of one exchange, each with the last block of the one before as its IV
// (RFC 2409, Appendix B). It is a value: Seal and Open leave it alone and return the next.
type Chain struct {
	block cipher.Block
	iv    [aes.BlockSize]byte // the first BlockSize bytes of it
}

// Phase1Chain begins the chain of phase 1. Its IV is hash(g^xi | g^xr).
func (k *Keys) Phase1Chain(x Exchange) (Chain, error) { return k.chain(x.PublicI, x.PublicR) }

// Phase2Chain begins the chain of a later exchange: quick mode, or one informational message. lastBlock is
// the IV of the phase 1 chain after its last message.
func (k *Keys) Phase2Chain(lastBlock []byte, messageID uint32) (Chain, error) {
	return k.chain(lastBlock, binary.BigEndian.AppendUint32(nil, messageID))
}

func (k *Keys) chain(parts ...[]byte) (Chain, error) {
	newCipher := aes.NewCipher
	if k.Suite.Encryption == isakmp.TripleDESCBC {
		newCipher = des.NewTripleDESCipher
	}
	block, err := newCipher(k.EncryptionKey)
	if err != nil {
		return Chain{}, fmt.Errorf("phase 1 cipher %s: %w", k.Suite.Encryption, err)
	}
	if !k.Suite.Hash.Known() {
		return Chain{}, fmt.Errorf("phase 1 hash %s is not supported", k.Suite.Hash)
	}
	c := Chain{block: block}
	h := k.Suite.Hash.New()
	for _, p := range parts {
		h.Write(p)
	}
	copy(c.iv[:block.BlockSize()], h.Sum(nil))
	return c, nil
}

// IV is the IV of the next message, which is the last block of the one before. After the last message of
// phase 1 it is what Phase2Chain wants.
func (c Chain) IV() []byte { return append([]byte(nil), c.iv[:c.block.BlockSize()]...) }

// Seal encrypts a whole message, header and payloads in clear, in place: it sets the encryption flag, pads
// with zeros to the cipher's block, none if there is nothing to fill, and corrects the length. It returns
// the message, and the chain for the next one.
func (c Chain) Seal(message []byte) (sealed []byte, next Chain) {
	size := c.block.BlockSize()
	for (len(message)-isakmp.HeaderSize)%size != 0 {
		message = append(message, 0)
	}
	message[19] |= uint8(isakmp.FlagEncryption)
	isakmp.PutLength(message)
	payloads := message[isakmp.HeaderSize:]
	cipher.NewCBCEncrypter(c.block, c.iv[:size]).CryptBlocks(payloads, payloads)
	return message, c.after(payloads)
}

// Open decrypts the payloads of a whole message into new memory, padding included: isakmp.ParsePayloads returns
// that as rest. The error is about the length, or says that the chain is the zero Chain: no keys yet. With the
// wrong key the result is noise, which only a hash can tell; keep the next chain when that fits.
func (c Chain) Open(message []byte) (payloads []byte, next Chain, err error) {
	if c.block == nil {
		return nil, c, errors.New("encrypted message: there are no keys yet")
	}
	size := c.block.BlockSize()
	sealed := message[min(len(message), isakmp.HeaderSize):]
	if len(sealed) == 0 || len(sealed)%size != 0 {
		return nil, c, fmt.Errorf("encrypted message: %d bytes of payloads, want a multiple of %d (RFC 2409, Appendix B)", len(sealed), size)
	}
	payloads = make([]byte, len(sealed))
	cipher.NewCBCDecrypter(c.block, c.iv[:size]).CryptBlocks(payloads, sealed)
	return payloads, c.after(sealed), nil
}

// after is the chain behind sealed.
func (c Chain) after(sealed []byte) Chain {
	if size := c.block.BlockSize(); len(sealed) >= size {
		copy(c.iv[:size], sealed[len(sealed)-size:])
	}
	return c
}

package esp

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"hash"
)

// A transform is the keyed part of one SA. Its scratch space belongs to the SA's owner.
type transform interface {
	// seal makes dst, a whole ESP packet whose first headerLen bytes are set, from clear, which has
	// the same layout and holds payload and trailer; dst and clear are the same memory or disjoint.
	seal(dst, clear []byte, seq uint64)
	// open checks pkt, and only then decrypts it in place and returns payload and trailer.
	open(pkt []byte) (body []byte, ok bool)
}

// blockMode is what crypto/cipher's CBC modes offer beyond cipher.BlockMode.
type blockMode interface {
	cipher.BlockMode
	SetIV(iv []byte)
}

func newCBC(b cipher.Block, encrypt bool) blockMode {
	iv := make([]byte, b.BlockSize())
	m := cipher.NewCBCDecrypter(b, iv)
	if encrypt {
		m = cipher.NewCBCEncrypter(b, iv) //nolint:gosec // G407: seal sets a fresh IV for each packet
	}
	return m.(blockMode)
}

// cbcTransform is a cipher in CBC mode, or none, followed by an HMAC.
type cbcTransform struct {
	mode blockMode // nil: the null cipher
	iv   int
	icv  int
	mac  mac
	ivs  ivPool
}

func (t *cbcTransform) seal(dst, clear []byte, _ uint64) {
	head, end := headerLen+t.iv, len(dst)-t.icv
	if t.mode == nil {
		copy(dst[head:end], clear[head:end]) // nothing moves when they are the same
	} else {
		iv := dst[headerLen:head]
		t.ivs.take(iv)
		t.mode.SetIV(iv)
		t.mode.CryptBlocks(dst[head:end], clear[head:end])
	}
	copy(dst[end:], t.mac.digest(dst[:end]))
}

func (t *cbcTransform) open(pkt []byte) ([]byte, bool) {
	head, end := headerLen+t.iv, len(pkt)-t.icv
	if subtle.ConstantTimeCompare(t.mac.digest(pkt[:end])[:t.icv], pkt[end:]) != 1 {
		return nil, false
	}
	body := pkt[head:end]
	if t.mode != nil {
		t.mode.SetIV(pkt[headerLen:head])
		t.mode.CryptBlocks(body, body)
	}
	return body, true
}

// A mac is an HMAC whose states after the key blocks are saved by its first Reset.
type mac struct {
	hash hash.Hash
	sum  [64]byte
}

// digest is the whole HMAC of b, valid until the next call.
func (m *mac) digest(b []byte) []byte {
	m.hash.Reset()
	m.hash.Write(b)
	return m.hash.Sum(m.sum[:0])
}

// aeadTransform is a combined mode: the nonce is salt and IV, the additional data SPI and sequence
// number (RFC 4106, 3 and 5; RFC 7634, 2).
type aeadTransform struct {
	aead  cipher.AEAD
	nonce [saltLen + aeadIV]byte
}

const aeadIV = 8

// The IV is the sequence number: unique under the key, which is all that a counter mode asks for
// (RFC 4106, 3.1).
func (t *aeadTransform) seal(dst, clear []byte, seq uint64) {
	t.sealIV(dst, clear, seq)
}

func (t *aeadTransform) sealIV(dst, clear []byte, iv uint64) {
	const head = headerLen + aeadIV
	binary.BigEndian.PutUint64(dst[headerLen:head], iv)
	copy(t.nonce[saltLen:], dst[headerLen:head])
	t.aead.Seal(dst[head:head], t.nonce[:], clear[head:len(clear)-t.aead.Overhead()], dst[:headerLen])
}

func (t *aeadTransform) open(pkt []byte) ([]byte, bool) {
	const head = headerLen + aeadIV
	copy(t.nonce[saltLen:], pkt[headerLen:head])
	body, err := t.aead.Open(pkt[head:head], t.nonce[:], pkt[head:], pkt[:headerLen])
	return body, err == nil
}

// ivPool draws the unpredictable IVs of CBC (RFC 3602, 2.1) from the system's generator, some
// packets' worth at a time.
type ivPool struct {
	buf  [256]byte
	used int
}

func (p *ivPool) take(iv []byte) {
	if p.used+len(iv) > len(p.buf) {
		_, _ = rand.Read(p.buf[:]) // never fails: it ends the program instead
		p.used = 0
	}
	p.used += copy(iv, p.buf[p.used:])
}

package bench

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des" //nolint:gosec // G502: 3DES is what the old peers speak
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // G505: RFC 2404
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/crypto/chacha20poly1305"

	"meshrouter/dataplane/esp"
)

// A plain seals and opens ESP packets (RFC 4303) one at a time, by the standard library and nothing
// else: what esp is checked against, and what 3DES is compared with.
type plain struct {
	block cipher.Block // CBC with mac, or
	mac   hash.Hash
	icv   int
	aead  cipher.AEAD // a combined mode
	nonce []byte      // its salt, and room for the IV
	sum   []byte      // room for the hash
}

var errPlain = errors.New("integrity check failed")

const espHeader = 8 // SPI and sequence number

func newPlain(s suite) (*plain, error) {
	p, k := &plain{}, key(s.encKey)
	var err error
	switch s.cipher {
	case esp.TripleDESCBC:
		p.block, err = des.NewTripleDESCipher(k) //nolint:gosec // G405: as above
	case esp.AESCBC:
		p.block, err = aes.NewCipher(k)
	case esp.AESGCM16:
		var b cipher.Block
		if b, err = aes.NewCipher(k[:len(k)-4]); err == nil {
			p.aead, err = cipher.NewGCM(b)
		}
		p.nonce = append(k[len(k)-4:], make([]byte, 8)...)
	case esp.ChaCha20Poly1305:
		p.aead, err = chacha20poly1305.New(k[:len(k)-4])
		p.nonce = append(k[len(k)-4:], make([]byte, 8)...)
	default:
		err = fmt.Errorf("no plain twin of cipher %d", s.cipher)
	}
	switch s.auth {
	case esp.HMACSHA1: // RFC 2404
		p.mac, p.icv = hmac.New(sha1.New, key(s.authKey)), 12
	case esp.HMACSHA256: // RFC 4868
		p.mac, p.icv = hmac.New(sha256.New, key(s.authKey)), 16
	default: // a combined mode
	}
	return p, err
}

// ivLen is the length of the IV in each packet.
func (p *plain) ivLen() int {
	if p.aead != nil {
		return 8
	}
	return p.block.BlockSize()
}

// seal writes a packet to the beginning of buf. Without an IV it draws one for CBC; a combined mode always
// counts (RFC 4106, 7634).
func (p *plain) seal(buf []byte, seq uint32, payload, iv []byte) []byte {
	binary.BigEndian.PutUint32(buf, testSPI)
	binary.BigEndian.PutUint32(buf[4:], seq)
	if p.aead != nil {
		binary.BigEndian.PutUint64(buf[espHeader:], uint64(seq))
		copy(p.nonce[4:], buf[espHeader:][:8])
		body := trailer(buf[espHeader+8:], payload, 4)
		sealed := p.aead.Seal(body[:0], p.nonce, body, buf[:espHeader])
		return buf[:espHeader+8+len(sealed)]
	}
	n := p.block.BlockSize()
	if iv == nil {
		_, _ = rand.Read(buf[espHeader:][:n]) // never fails
	}
	copy(buf[espHeader:], iv)
	iv = buf[espHeader:][:n]
	body := trailer(buf[espHeader+n:], payload, n)
	cipher.NewCBCEncrypter(p.block, iv).CryptBlocks(body, body)
	end := espHeader + n + len(body)
	copy(buf[end:], p.hmac(buf[:end]))
	return buf[:end+p.icv]
}

func (p *plain) hmac(b []byte) []byte {
	p.mac.Reset()
	p.mac.Write(b)
	p.sum = p.mac.Sum(p.sum[:0])
	return p.sum[:p.icv]
}

// trailer writes payload, padding 1 2 3 …, its length and the next header to b (RFC 4303, 2.4).
func trailer(b, payload []byte, block int) []byte {
	n := copy(b, payload)
	pad := -(n + 2) & (block - 1)
	for i := range pad {
		b[n+i] = byte(i + 1)
	}
	b[n+pad], b[n+pad+1] = byte(pad&0xff), esp.NextHeaderIPv4
	return b[:n+pad+2]
}

// open opens a packet in place and returns its payload.
func (p *plain) open(pkt []byte) ([]byte, error) {
	var body []byte
	if p.aead != nil {
		copy(p.nonce[4:], pkt[espHeader:][:8])
		var err error
		if body, err = p.aead.Open(pkt[espHeader+8:][:0], p.nonce, pkt[espHeader+8:], pkt[:espHeader]); err != nil {
			return nil, err
		}
	} else {
		end := len(pkt) - p.icv
		if !hmac.Equal(p.hmac(pkt[:end]), pkt[end:]) {
			return nil, errPlain
		}
		n := p.block.BlockSize()
		body = pkt[espHeader+n : end]
		cipher.NewCBCDecrypter(p.block, pkt[espHeader:][:n]).CryptBlocks(body, body)
	}
	return body[:len(body)-2-int(body[len(body)-2])], nil
}

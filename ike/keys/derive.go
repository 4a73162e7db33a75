package keys

import (
	"crypto/hmac"
	"fmt"
	"hash"

	"meshrouter/ike/isakmp"
	"meshrouter/internal/secret"
)

// A Suite is what phase 1 agreed upon besides the group.
type Suite struct {
	Encryption isakmp.Encryption
	KeyLength  uint16 // bits, AES only; 0 is 128
	Hash       isakmp.Hash
}

// keySize is the length of the cipher's key, bytes.
func (s Suite) keySize() (int, error) {
	switch {
	case !s.Hash.Known():
		return 0, fmt.Errorf("phase 1 hash %s is not supported", s.Hash)
	case s.Encryption == isakmp.TripleDESCBC && s.KeyLength == 0:
		return 24, nil
	case s.Encryption == isakmp.AESCBC && s.KeyLength == 0:
		return 16, nil
	case s.Encryption == isakmp.AESCBC && (s.KeyLength == 128 || s.KeyLength == 192 || s.KeyLength == 256):
		return int(s.KeyLength / 8), nil
	default:
		return 0, fmt.Errorf("phase 1 cipher %s with key length %d is not supported", s.Encryption, s.KeyLength)
	}
}

// Supported reports whether Derive knows the suite.
func (s Suite) Supported() bool {
	_, err := s.keySize()
	return err == nil
}

// An Exchange is what the first messages of phase 1 carried in clear, bodies without generic headers.
type Exchange struct {
	CookieI, CookieR isakmp.Cookie
	PublicI, PublicR []byte // g^xi, g^xr
	NonceI, NonceR   []byte
}

// Keys are the keys of an ISAKMP SA (RFC 2409, 5). The fields are what must be saved to go on after a restart.
type Keys struct {
	Suite         Suite
	SKEYID        secret.Key // authenticates phase 1; not needed after it
	SKEYIDd       secret.Key // makes keys for ESP
	SKEYIDa       secret.Key // authenticates phase 2
	EncryptionKey secret.Key // of SKEYID_e, as long as the cipher wants
}

// Derive computes the keys from a pre-shared key and the shared secret g^xy.
func Derive(s Suite, psk secret.Key, x Exchange, shared secret.Key) (*Keys, error) {
	size, err := s.keySize()
	if err != nil {
		return nil, err
	}
	k := &Keys{Suite: s}
	k.SKEYID = k.prf(psk, x.NonceI, x.NonceR)
	k.SKEYIDd = k.prf(k.SKEYID, shared, x.CookieI[:], x.CookieR[:], []byte{0})
	k.SKEYIDa = k.prf(k.SKEYID, k.SKEYIDd, shared, x.CookieI[:], x.CookieR[:], []byte{1})
	e := k.prf(k.SKEYID, k.SKEYIDa, shared, x.CookieI[:], x.CookieR[:], []byte{2})
	k.EncryptionKey = k.stretch(e, size)
	return k, nil
}

// stretch makes a cipher key of SKEYID_e (RFC 2409, Appendix B).
func (k *Keys) stretch(skeyidE secret.Key, size int) secret.Key {
	if size <= len(skeyidE) {
		return skeyidE[:size]
	}
	var key secret.Key
	block := k.prf(skeyidE, []byte{0})
	for {
		if key = append(key, block...); len(key) >= size {
			return key[:size]
		}
		block = k.prf(skeyidE, block)
	}
}

// prf is the HMAC of the negotiated hash over the concatenation of parts (RFC 2409, 4).
func (k *Keys) prf(key []byte, parts ...[]byte) []byte {
	mac := hmac.New(func() hash.Hash { return k.Suite.Hash.New() }, key)
	for _, p := range parts {
		mac.Write(p)
	}
	return mac.Sum(nil)
}

// HashI authenticates the initiator (RFC 2409, 5). sa is the body of the initiator's SA payload, id that of its ID payload.
func (k *Keys) HashI(x Exchange, sa, id []byte) []byte {
	return k.prf(k.SKEYID, x.PublicI, x.PublicR, x.CookieI[:], x.CookieR[:], sa, id)
}

// HashR authenticates the responder. sa is the body of the initiator's SA payload, id that of the responder's ID payload.
func (k *Keys) HashR(x Exchange, sa, id []byte) []byte {
	return k.prf(k.SKEYID, x.PublicR, x.PublicI, x.CookieR[:], x.CookieI[:], sa, id)
}

package esp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"meshrouter/dataplane/esp/aescbc"
	"meshrouter/dataplane/esp/des3"
	"meshrouter/dataplane/esp/hmacs"
)

// aeadIV is the explicit IV of the combined modes, bytes.
const aeadIV = 8

// maxICV is the longest ICV, that of HMAC-SHA-512, bytes.
const maxICV = 32

// saltLen is the secret part of a combined mode's nonce, at the end of the key (RFC 4106, 8.1;
// RFC 7634, 2).
const saltLen = 4

// A cipherSpec is a cipher with one key length.
type cipherSpec struct {
	id      Cipher
	name    string
	keyLen  int // bytes, without salt
	iv      int // bytes of explicit IV
	block   int // the encrypted part is a multiple of this; at least 4 (RFC 4303, 2.4)
	tag     int // bytes of ICV that the cipher makes itself; 0: it needs an authSpec
	newAEAD func(key []byte) (cipher.AEAD, error)
}

// An authSpec is an integrity transform; its key is as long as its digest (RFC 2403, 2404, 4868).
type authSpec struct {
	id     Auth
	name   string
	keyLen int
	icv    int
	hash   hmacs.Hash
}

var cipherTable = [...]cipherSpec{
	{id: TripleDESCBC, name: "3des-cbc", keyLen: 24, iv: 8, block: 8},
	{id: NullCipher, name: "null", block: 4},
	{id: AESCBC, name: "aes-cbc-128", keyLen: 16, iv: 16, block: 16},
	{id: AESCBC, name: "aes-cbc-192", keyLen: 24, iv: 16, block: 16},
	{id: AESCBC, name: "aes-cbc-256", keyLen: 32, iv: 16, block: 16},
	{id: AESGCM16, name: "aes-gcm-16-128", keyLen: 16, iv: 8, block: 4, tag: 16, newAEAD: newGCM},
	{id: AESGCM16, name: "aes-gcm-16-192", keyLen: 24, iv: 8, block: 4, tag: 16, newAEAD: newGCM},
	{id: AESGCM16, name: "aes-gcm-16-256", keyLen: 32, iv: 8, block: 4, tag: 16, newAEAD: newGCM},
	{id: ChaCha20Poly1305, name: "chacha20-poly1305", keyLen: 32, iv: 8, block: 4, tag: 16, newAEAD: chacha20poly1305.New},
}

var authTable = [...]authSpec{
	{id: NoAuth},
	{id: HMACMD5, name: "hmac-md5", keyLen: 16, icv: 12, hash: hmacs.MD5},
	{id: HMACSHA1, name: "hmac-sha1", keyLen: 20, icv: 12, hash: hmacs.SHA1},
	{id: HMACSHA256, name: "hmac-sha2-256", keyLen: 32, icv: 16, hash: hmacs.SHA256},
	{id: HMACSHA384, name: "hmac-sha2-384", keyLen: 48, icv: 24, hash: hmacs.SHA384},
	{id: HMACSHA512, name: "hmac-sha2-512", keyLen: 64, icv: 32, hash: hmacs.SHA512},
}

// A suite is a cipher with its integrity.
type suite struct {
	name   string
	cipher *cipherSpec
	auth   *authSpec
	icv    int
}

// suiteTable has a row for each cipher and a column for each integrity transform; what does not go
// together has no name.
var suiteTable = newSuiteTable()

func newSuiteTable() (table [len(cipherTable)][len(authTable)]suite) {
	for c := range cipherTable {
		for a := range authTable {
			s := suite{cipher: &cipherTable[c], auth: &authTable[a]}
			switch {
			case s.cipher.tag > 0 && s.auth.id == NoAuth:
				s.name, s.icv = s.cipher.name, s.cipher.tag
			case s.cipher.tag == 0 && s.auth.id != NoAuth:
				s.name, s.icv = s.cipher.name+"/"+s.auth.name, s.auth.icv
			}
			table[c][a] = s
		}
	}
	return table
}

// suiteFor finds the suite of negotiated algorithms and keys.
func suiteFor(c Cipher, a Auth, encKeyLen, authKeyLen int) (*suite, error) {
	var found *suite
	known := false
	for i := range suiteTable {
		for j := range suiteTable[i] {
			s := &suiteTable[i][j]
			if s.cipher.id != c || s.auth.id != a || s.name == "" {
				continue
			}
			known = true
			if s.encKeyLen() == encKeyLen {
				found = s
			}
		}
	}
	switch {
	case !known:
		return nil, fmt.Errorf("no suite of Cipher %d with Auth %d (encryption without integrity, or two integrity transforms, are refused: RFC 8221, 4)", c, a)
	case found == nil:
		return nil, fmt.Errorf("Cipher %d: EncKey has %d bytes, which is none of its lengths", c, encKeyLen)
	case authKeyLen != found.auth.keyLen:
		return nil, fmt.Errorf("%s: AuthKey has %d bytes, want %d", found.name, authKeyLen, found.auth.keyLen)
	}
	return found, nil
}

func (s *suite) encKeyLen() int {
	if s.cipher.tag > 0 {
		return s.cipher.keyLen + saltLen
	}
	return s.cipher.keyLen
}

// head is the length of everything before the payload.
func (s *suite) head() int { return headerLen + s.cipher.iv }

// overhead is the only arithmetic of sizes: MTU and frame both come from here.
func (s *suite) overhead(payload int) (head, tail int) {
	pad := -(payload + trailerLen) & (s.cipher.block - 1)
	return s.head(), pad + trailerLen + s.icv
}

// newKeys expands the keys of an SA.
func (s *suite) newKeys(encKey, authKey []byte) (k keys, err error) {
	switch {
	case s.cipher.newAEAD != nil:
		copy(k.salt[:], encKey[s.cipher.keyLen:])
		k.aead, err = s.cipher.newAEAD(encKey[:s.cipher.keyLen])
		return k, err
	case s.cipher.id == TripleDESCBC:
		k.des3, err = newTripleDES(encKey)
	case s.cipher.id == AESCBC:
		k.aes, err = aescbc.NewKey(encKey)
	}
	k.auth = hmacs.NewKey(s.auth.hash, authKey)
	return k, err
}

var errDegenerateKey = errors.New("key is single DES: two neighbouring thirds are equal (RFC 2451, 2.3)")

// newTripleDES refuses the keys that RFC 2451, 2.3 tells us to refuse.
func newTripleDES(key []byte) (*des3.Key, error) {
	const third = des3.KeySize / 3
	var k [des3.KeySize]byte
	for i, b := range key {
		k[i] = b &^ 1 // the lowest bit is parity
	}
	if subtle.ConstantTimeCompare(k[:third], k[third:2*third])|subtle.ConstantTimeCompare(k[third:2*third], k[2*third:]) == 1 {
		return nil, errDegenerateKey
	}
	return des3.NewKey(key)
}

func newGCM(key []byte) (cipher.AEAD, error) {
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(b)
}

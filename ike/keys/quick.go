package keys

import (
	"encoding/binary"
	"fmt"

	"meshrouter/ike/isakmp"
	"meshrouter/internal/secret"
)

// Hash1 authenticates the first message of quick mode, and informational messages (RFC 2409, 5.5 and 5.7).
// covered is what follows the HASH payload: isakmp.Covered.
func (k *Keys) Hash1(messageID uint32, covered []byte) []byte {
	return k.prf(k.SKEYIDa, bigEndian(messageID), covered)
}

// Hash2 authenticates the second message of quick mode; nonceI is the body of the initiator's nonce.
func (k *Keys) Hash2(messageID uint32, nonceI, covered []byte) []byte {
	return k.prf(k.SKEYIDa, bigEndian(messageID), nonceI, covered)
}

// Hash3 authenticates the third message of quick mode.
func (k *Keys) Hash3(messageID uint32, nonceI, nonceR []byte) []byte {
	return k.prf(k.SKEYIDa, []byte{0}, bigEndian(messageID), nonceI, nonceR)
}

func bigEndian(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }

// A QuickMode is what goes into the keys of the SAs that a quick mode makes.
type QuickMode struct {
	NonceI, NonceR []byte
	Shared         secret.Key // g(qm)^xy with PFS, otherwise empty
}

// KEYMAT is the first n bytes of key material for the SA that receives with spi (RFC 2409, 5.5).
func (k *Keys) KEYMAT(q QuickMode, protocol uint8, spi []byte, n int) secret.Key {
	var material, block []byte
	for len(material) < n {
		block = k.prf(k.SKEYIDd, block, q.Shared, []byte{protocol}, spi, q.NonceI, q.NonceR)
		material = append(material, block...)
	}
	return material[:n]
}

// ESPKeySizes are the lengths of the keys that KEYMAT is cut into, bytes: encryption first, with the salt of
// 4 bytes for AES-GCM (RFC 4106, 8.1), then integrity. An error means a combination that is not supported:
// AES-GCM with an integrity algorithm, anything else without one, an odd key length.
func ESPKeySizes(t isakmp.ESPTransform, keyLength uint16, auth isakmp.AuthAlgorithm) (encryption, integrity int, err error) {
	unsupported := fmt.Errorf("ESP %s with key length %d and %s is not supported", t, keyLength, auth)
	switch {
	case t == isakmp.ESPNull && keyLength == 0:
	case t == isakmp.ESP3DES && keyLength == 0:
		encryption = 24
	case (t == isakmp.ESPAES || t == isakmp.ESPAESGCM16) && keyLength == 0:
		encryption = 16
	case (t == isakmp.ESPAES || t == isakmp.ESPAESGCM16) && (keyLength == 128 || keyLength == 192 || keyLength == 256):
		encryption = int(keyLength / 8)
	default:
		return 0, 0, unsupported
	}
	switch auth {
	case isakmp.NoAuth:
	case isakmp.HMACMD5:
		integrity = 16
	case isakmp.HMACSHA:
		integrity = 20
	case isakmp.HMACSHA2_256:
		integrity = 32
	case isakmp.HMACSHA2_384:
		integrity = 48
	case isakmp.HMACSHA2_512:
		integrity = 64
	default:
		return 0, 0, unsupported
	}
	if gcm := t == isakmp.ESPAESGCM16; gcm != (integrity == 0) {
		return 0, 0, unsupported
	} else if gcm {
		encryption += 4
	}
	return encryption, integrity, nil
}

// ESPKeys are the keys of the ESP SA that receives with spi.
func (k *Keys) ESPKeys(q QuickMode, spi uint32, t isakmp.ESPTransform, keyLength uint16, auth isakmp.AuthAlgorithm) (encryption, integrity secret.Key, err error) {
	n, m, err := ESPKeySizes(t, keyLength, auth)
	if err != nil {
		return nil, nil, err
	}
	material := k.KEYMAT(q, isakmp.ProtocolESP, bigEndian(spi), n+m)
	return material[:n:n], material[n:], nil
}

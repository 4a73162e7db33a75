package ospf

import (
	"crypto/md5" //nolint:gosec // RFC 2328, D.3 names it
	"crypto/subtle"
	"encoding/binary"
	"fmt"
)

// An authError says why a packet was refused: its counter, and what failed in words.
type authError struct {
	name string
	err  error
}

// Seal completes the packet b, whose header is in place: its length, and checksum or digest. It
// returns b with the digest behind it (RFC 2328, D.4).
func (a Auth) Seal(b []byte, seq uint32) []byte {
	binary.BigEndian.PutUint16(b[2:], uint16(len(b))) //nolint:gosec // bounded by the callers
	binary.BigEndian.PutUint16(b[14:], uint16(a.Type))
	switch a.Type {
	case CryptographicAuth:
		var k Key
		if len(a.Keys) > 0 {
			k = a.Keys[0]
		}
		binary.BigEndian.PutUint32(b[16:], uint32(k.ID)<<8|digestSize)
		binary.BigEndian.PutUint32(b[20:], seq)
		sum := k.digest(b)
		return append(b, sum[:]...)
	case SimplePassword:
		binary.BigEndian.PutUint16(b[12:], packetChecksum(b))
		copy(b[16:HeaderSize], a.password())
	case NullAuth:
		binary.BigEndian.PutUint16(b[12:], packetChecksum(b))
	}
	return b
}

// verify checks the packet's authentication (RFC 2328, D.5) except for the age of its sequence
// number, which it returns for the neighbor to judge.
func (a Auth) verify(where string, h Header, packet, trailer []byte) (seq uint32, refused *authError) {
	if h.AuType != a.Type {
		return 0, &authError{"auth_type_mismatch", &MismatchError{where, "AuType", h.AuType, a.Type, "RFC 2328, D.5"}}
	}
	switch a.Type {
	case CryptographicAuth:
		return a.verifyDigest(where, h, packet, trailer)
	case SimplePassword:
		var want [8]byte
		copy(want[:], a.password())
		if subtle.ConstantTimeCompare(want[:], h.Authentication[:]) != 1 {
			return 0, &authError{"auth_password_mismatch", fmt.Errorf("%s: the password is not ours (RFC 2328, D.5.2)", where)}
		}
	case NullAuth:
	}
	if sum := packetChecksum(packet); sum != 0 {
		return 0, &authError{"checksum_wrong", fmt.Errorf("%s: the packet checksum %#04x is wrong (RFC 2328, D.5)", where, h.Checksum)}
	}
	return 0, nil
}

func (a Auth) verifyDigest(where string, h Header, packet, trailer []byte) (uint32, *authError) {
	id, size := h.Authentication[2], int(h.Authentication[3])
	if size != digestSize || len(trailer) < digestSize {
		return 0, &authError{"auth_digest_length", fmt.Errorf("%s: the digest says %d bytes and %d follow, want %d (RFC 2328, D.5.3)",
			where, size, len(trailer), digestSize)}
	}
	var ours []uint8
	for _, k := range a.Keys {
		ours = append(ours, k.ID)
		if k.ID != id {
			continue
		}
		if sum := k.digest(packet); subtle.ConstantTimeCompare(sum[:], trailer[:digestSize]) != 1 {
			return 0, &authError{"auth_digest_mismatch", fmt.Errorf("%s: the MD5 digest with key id %d does not match: the keys differ (RFC 2328, D.5.3)", where, id)}
		}
		return binary.BigEndian.Uint32(h.Authentication[4:]), nil
	}
	return 0, &authError{"auth_key_id_unknown", &MismatchError{where, "KeyID", id, ours, "RFC 2328, D.5.3"}}
}

func (a Auth) password() []byte {
	if len(a.Keys) == 0 {
		return nil
	}
	return a.Keys[0].Key
}

// digest is MD5 over the packet and the key, padded with zeros to 16 bytes (RFC 2328, D.4.3).
func (k Key) digest(packet []byte) [digestSize]byte {
	var padded [16]byte
	copy(padded[:], k.Key)
	d := md5.New() //nolint:gosec // RFC 2328, D.4.3
	d.Write(packet)
	d.Write(padded[:])
	return [digestSize]byte(d.Sum(nil))
}

func (t AuthType) String() string {
	switch t {
	case NullAuth:
		return "0 (none)"
	case SimplePassword:
		return "1 (simple password)"
	case CryptographicAuth:
		return "2 (cryptographic)"
	}
	return fmt.Sprintf("%d", uint16(t))
}

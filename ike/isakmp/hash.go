package isakmp

import (
	"crypto/md5"  //nolint:gosec // IKEv1 negotiates it
	"crypto/sha1" //nolint:gosec // IKEv1 negotiates it
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"hash"
	"net/netip"
)

// New returns a new computation of the hash, and nil for one that is not implemented: see Known.
func (h Hash) New() hash.Hash {
	switch h {
	case MD5:
		return md5.New() //nolint:gosec // as above
	case SHA1:
		return sha1.New() //nolint:gosec // as above
	case SHA2_256:
		return sha256.New()
	case SHA2_384:
		return sha512.New384()
	case SHA2_512:
		return sha512.New()
	default:
		return nil
	}
}

// Known reports whether New can compute the hash.
func (h Hash) Known() bool {
	return h == MD5 || h == SHA1 || h == SHA2_256 || h == SHA2_384 || h == SHA2_512
}

// Size is the length of the digest, bytes; 0 for an unknown hash.
func (h Hash) Size() int {
	if !h.Known() {
		return 0
	}
	return h.New().Size()
}

// NATD is the body of a NAT-D payload for one end (RFC 3947, 3.2): the negotiated hash over both
// cookies, address and port. The hash must be Known.
func NATD(h Hash, initiator, responder Cookie, end netip.AddrPort) []byte {
	d := h.New()
	d.Write(initiator[:])
	d.Write(responder[:])
	d.Write(end.Addr().Unmap().AsSlice())
	d.Write(binary.BigEndian.AppendUint16(nil, end.Port()))
	return d.Sum(nil)
}

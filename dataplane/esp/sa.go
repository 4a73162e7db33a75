package esp

import (
	"crypto/cipher"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"meshrouter/dataplane/esp/aescbc"
	"meshrouter/dataplane/esp/des3"
	"meshrouter/dataplane/esp/hmacs"
)

// A Cipher is an ESP encryption transform. The values are those of the IPsec DOI (RFC 2407, 4.4.4),
// which IKEv2 continues (RFC 7296, 3.3.2).
type Cipher uint8

// The ciphers that an SA can use.
const (
	TripleDESCBC     Cipher = 3  // RFC 2451
	NullCipher       Cipher = 11 // RFC 2410
	AESCBC           Cipher = 12 // RFC 3602, 128, 192 or 256 bits
	AESGCM16         Cipher = 20 // RFC 4106, 16-byte tag; the key is followed by 4 bytes of salt
	ChaCha20Poly1305 Cipher = 28 // RFC 7634; the key is followed by 4 bytes of salt
)

// An Auth is an ESP integrity transform. The values are those of the IPsec DOI (RFC 2407, 4.5).
type Auth uint8

// The integrity transforms that an SA can use.
const (
	NoAuth     Auth = 0 // with a combined-mode cipher only
	HMACMD5    Auth = 1 // RFC 2403, 96 bits
	HMACSHA1   Auth = 2 // RFC 2404, 96 bits
	HMACSHA256 Auth = 5 // RFC 4868, 128 bits
	HMACSHA384 Auth = 6 // RFC 4868, 192 bits
	HMACSHA512 Auth = 7 // RFC 4868, 256 bits
)

// A Mode says what an SA protects (RFC 4303, 3.1).
type Mode uint8

// The two modes.
const (
	Tunnel    Mode = 1
	Transport Mode = 2
)

func (m Mode) String() string {
	switch m {
	case Tunnel:
		return "tunnel"
	case Transport:
		return "transport"
	}
	return fmt.Sprintf("mode(%d)", uint8(m))
}

// Params describes one direction of a security association, as negotiated.
type Params struct {
	SPI     uint32
	Cipher  Cipher
	Auth    Auth
	EncKey  []byte // combined modes: followed by the salt
	AuthKey []byte
	Mode    Mode
	// Src and Dst are the outer addresses; the ports are zero for IP protocol 50 and those of
	// UDP encapsulation otherwise (RFC 3948).
	Src, Dst netip.AddrPort
	// Counters is the memory of sequence number, replay window and traffic; nil makes a fresh one.
	// It may lie in a mapped file, so that a restarted router goes on where it was.
	Counters *Counters
}

// ErrSequenceExhausted means that an SA has used its last sequence number, 2^32-1, and can only be
// replaced (RFC 4303, 3.3.3).
var ErrSequenceExhausted = errors.New("esp: sequence numbers exhausted")

const (
	firstSPI = 256       // RFC 4303, 2.1: 0 is local, 1 to 255 are reserved
	lastSeq  = 1<<32 - 1 // RFC 4303, 3.3.3
)

// An SA is one direction of a security association. But for Dst it never changes; the sequence
// number, the window and the traffic live in its Counters. Its methods are for its owner, one
// goroutine at a time, except the accessors and Fresh.
type SA struct {
	spi      uint32
	mode     Mode
	src      netip.AddrPort
	dst      atomic.Pointer[netip.AddrPort]
	suite    *suite
	counters *Counters

	outbound bool
	sealed   uint64 // outbound: the last sequence number sealed, so that none is used twice

	keys
}

// keys are the expanded keys of one SA: aead alone, or auth with at most one of des3 and aes.
type keys struct {
	des3    *des3.Key
	aes     *aescbc.Key
	auth    *hmacs.Key
	aead    cipher.AEAD
	salt    [saltLen]byte
	firstIV uint64 // combined modes: what the counter that is the IV starts from; test vectors choose it
}

// NewOutbound makes the SA that seals what we send. Keys are not kept, only their schedules.
func NewOutbound(p Params) (*SA, error) { return newSA(p, true) }

// NewInbound makes the SA that opens what we receive.
func NewInbound(p Params) (*SA, error) { return newSA(p, false) }

func newSA(p Params, outbound bool) (*SA, error) {
	if p.SPI < firstSPI {
		return nil, fmt.Errorf("esp: SPI is %d, want at least %d (RFC 4303, 2.1)", p.SPI, firstSPI)
	}
	if p.Mode != Tunnel && p.Mode != Transport {
		return nil, fmt.Errorf("esp: SPI 0x%08x: Mode is %d, want tunnel (1) or transport (2)", p.SPI, p.Mode)
	}
	s, err := suiteFor(p.Cipher, p.Auth, len(p.EncKey), len(p.AuthKey))
	if err != nil {
		return nil, fmt.Errorf("esp: SPI 0x%08x: %w", p.SPI, err)
	}
	k, err := s.newKeys(p.EncKey, p.AuthKey)
	if err != nil {
		return nil, fmt.Errorf("esp: SPI 0x%08x: %s: %w", p.SPI, s.name, err)
	}
	sa := &SA{spi: p.SPI, mode: p.Mode, src: p.Src, suite: s, counters: p.Counters, keys: k, outbound: outbound}
	if sa.counters == nil {
		sa.counters = new(Counters)
	}
	sa.SetDst(p.Dst)
	// Whatever was handed out before a restart may have been sent.
	sa.sealed = max(sa.counters.NextSeq.Load(), 1) - 1
	return sa, nil
}

// SPI is the security parameters index.
func (sa *SA) SPI() uint32 { return sa.spi }

// Mode is tunnel or transport.
func (sa *SA) Mode() Mode { return sa.mode }

// Outbound reports whether the SA seals.
func (sa *SA) Outbound() bool { return sa.outbound }

// Src is the outer source address; the port is 0 without UDP encapsulation.
func (sa *SA) Src() netip.AddrPort { return sa.src }

// Dst is the outer destination address; the port is 0 without UDP encapsulation.
func (sa *SA) Dst() netip.AddrPort { return *sa.dst.Load() }

// SetDst changes the outer destination, when a peer behind a NAT has moved. It may be called from
// any goroutine.
func (sa *SA) SetDst(dst netip.AddrPort) { sa.dst.Store(&dst) }

// Suite names cipher and integrity: "3des-cbc/hmac-sha1", "aes-gcm-16-128".
func (sa *SA) Suite() string { return sa.suite.name }

// Cipher is the encryption transform.
func (sa *SA) Cipher() Cipher { return sa.suite.cipher.id }

// Auth is the integrity transform.
func (sa *SA) Auth() Auth { return sa.suite.auth.id }

// KeyBits is the length of the encryption key in bits, without salt; 0 for the null cipher.
func (sa *SA) KeyBits() int { return sa.suite.cipher.keyLen * 8 }

// Overhead is what sealing a payload of that many bytes adds in front and behind, bytes.
func (sa *SA) Overhead(payload int) (head, tail int) { return sa.suite.overhead(payload) }

// Counters is the SA's memory; its words may be read from any goroutine.
func (sa *SA) Counters() *Counters { return sa.counters }

// Touch notes that the SA was used at time now. A worker calls it once a batch.
func (sa *SA) Touch(now time.Time) {
	sa.counters.LastUsedUnixNano.Store(uint64(max(now.UnixNano(), 0)))
}

// NextSequence hands out n sequence numbers, the first of which it returns, and records that before
// any of them is used: after a crash none is used twice. The first one ever is 1. When fewer than n
// are left it hands out none and returns ErrSequenceExhausted (RFC 4303, 3.3.3).
func (sa *SA) NextSequence(n int) (first uint64, err error) {
	first = max(sa.counters.NextSeq.Load(), 1)
	if n < 0 || first > lastSeq || uint64(n) > lastSeq-first+1 {
		return 0, ErrSequenceExhausted
	}
	sa.counters.NextSeq.Store(first + uint64(n))
	return first, nil
}

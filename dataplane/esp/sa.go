package esp

import "net/netip"

// A Cipher is an ESP encryption transform. The values are those of the IPsec DOI (RFC 2407, 4.4.4).
type Cipher uint8

// The ciphers that an SA can use.
const (
	TripleDESCBC Cipher = 3  // RFC 2451
	NullCipher   Cipher = 11 // RFC 2410
	AESCBC       Cipher = 12 // RFC 3602, 128, 192 or 256 bits
	AESGCM16     Cipher = 20 // RFC 4106, 16-byte tag; the key is followed by 4 bytes of salt
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

// Params describes one direction of a security association, as negotiated.
type Params struct {
	SPI     uint32
	Cipher  Cipher
	Auth    Auth
	EncKey  []byte // GCM: followed by its salt
	AuthKey []byte
	Mode    Mode
	// Src and Dst are the outer addresses; the ports are zero for IP protocol 50 and those of
	// UDP encapsulation otherwise (RFC 3948).
	Src, Dst netip.AddrPort
	// Counters is the memory of sequence number, replay window and traffic; nil makes a fresh one.
	// It may lie in a mapped file, so that a restarted router goes on where it was.
	Counters *Counters
}

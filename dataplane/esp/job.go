package esp

import (
	"encoding/binary"
	"errors"
)

const (
	headerLen  = 8 // SPI and sequence number
	trailerLen = 2 // pad length and next header
)

// Room that a packet to be sealed needs around its payload, whatever the suite, bytes.
const (
	HeadRoom = headerLen + 16       // with an AES-CBC IV
	TailRoom = 15 + trailerLen + 32 // with the padding of AES-CBC and the ICV of HMAC-SHA-512
)

// Next headers, IP protocol numbers that the last byte of an opened packet holds.
const (
	NextHeaderIPv4  = 4  // tunnel mode: an IPv4 packet
	NextHeaderGRE   = 47 // transport mode: GRE
	NextHeaderDummy = 59 // a dummy packet against traffic analysis (RFC 4303, 2.6)
)

// A Job is one packet to seal or to open. A batch of them is a slice that its owner uses again and again.
type Job struct {
	SA *SA
	// Seq is the sequence number: to seal, one that SA.NextSequence handed out, rising within the
	// batch; Open sets it.
	Seq uint64
	// Pkt, to seal, is HeadRoom bytes of room and then the payload, with as much capacity behind its
	// length as SA.Overhead says, TailRoom at most. Of the room, only what Overhead says is written: packets
	// can be laid out so that, once sealed, they lie side by side. After Seal it is the sealed packet.
	//
	// To open, it is the ESP packet from SPI to ICV; after Open the payload, in the same memory. A
	// packet that failed to open may have been overwritten.
	Pkt []byte
	// NextHeader says what the payload is: 4 an IPv4 packet (tunnel mode), 47 GRE (transport mode).
	NextHeader uint8
	// TOS, to seal, is that of the outer header; Seal only hands it on.
	TOS uint8
	// Err is the outcome: nil, or one of the errors of this package, unwrapped.
	Err error
}

// The ways in which a job fails. Open's are counted in the SA's Counters.
var (
	ErrRoom     = errors.New("esp: not enough room around the payload")
	ErrSequence = errors.New("esp: sequence number was not handed out, or used before")
	ErrLength   = errors.New("esp: packet too short or no whole number of blocks")
	ErrSPI      = errors.New("esp: packet has another SPI than its SA")
	ErrAuth     = errors.New("esp: integrity check failed")
	ErrPadding  = errors.New("esp: padding makes no sense")
	ErrDummy    = errors.New("esp: dummy packet") // authentic, to be dropped in silence (RFC 4303, 2.6)
)

// Sealed is a packet that Seal made: authentic and, but for the null cipher, encrypted. Nothing else
// can make one that has bytes.
type Sealed struct {
	sa  *SA
	pkt []byte
	tos uint8
}

// Bytes is the ESP packet from SPI to ICV. It lies in the job's memory.
func (s Sealed) Bytes() []byte { return s.pkt }

// SA is the SA that sealed it.
func (s Sealed) SA() *SA { return s.sa }

// TOS is that of the outer header: what the job asked for.
func (s Sealed) TOS() uint8 { return s.tos }

// Header reads SPI and sequence number of an ESP packet, to find its SA. ok is false for a packet
// that is too short to have them.
func Header(pkt []byte) (spi, seq uint32, ok bool) {
	if len(pkt) < headerLen {
		return 0, 0, false
	}
	return binary.BigEndian.Uint32(pkt), binary.BigEndian.Uint32(pkt[4:]), true
}

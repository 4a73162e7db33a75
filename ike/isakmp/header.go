package isakmp

import (
	"encoding/binary"
	"encoding/hex"

	"meshrouter/internal/wire"
)

// HeaderSize is the length of the ISAKMP header, bytes.
const HeaderSize = 28

// Version1 is the version byte of IKEv1: major 1, minor 0.
const Version1 = 0x10

// A Cookie is one end's half of the name of an ISAKMP SA.
type Cookie [8]byte

// IsZero reports whether the cookie is still unset, as the responder's is in message 1.
func (c Cookie) IsZero() bool { return c == Cookie{} }

func (c Cookie) String() string { return hex.EncodeToString(c[:]) }

// Flags are the flags of the header (RFC 2408, 3.1).
type Flags uint8

// The flags.
const (
	FlagEncryption Flags = 1 << iota // all payloads are encrypted
	FlagCommit                       // wait for CONNECTED before using the SA
	FlagAuthOnly                     // authenticated, not encrypted
)

// A Header is the ISAKMP header (RFC 2408, 3.1).
type Header struct {
	InitiatorCookie Cookie
	ResponderCookie Cookie
	NextPayload     PayloadType
	Version         uint8 // major version in the upper four bits
	Exchange        ExchangeType
	Flags           Flags
	MessageID       uint32 // 0 in phase 1
	Length          uint32 // of the whole message with header and padding, bytes
}

// Major is the major version, 1 for IKEv1.
func (h Header) Major() uint8 { return h.Version >> 4 }

// Minor is the minor version.
func (h Header) Minor() uint8 { return h.Version & 0x0f }

// ParseHeader decodes the header of the message b. The message must be exactly as long as its header says.
func ParseHeader(b []byte) (Header, error) {
	r := wire.NewReader("ISAKMP header", b)
	var h Header
	copy(h.InitiatorCookie[:], r.Bytes("Initiator Cookie", 8))
	copy(h.ResponderCookie[:], r.Bytes("Responder Cookie", 8))
	h.NextPayload = PayloadType(r.Uint8("Next Payload"))
	h.Version = r.Uint8("Version")
	h.Exchange = ExchangeType(r.Uint8("Exchange Type"))
	h.Flags = Flags(r.Uint8("Flags"))
	h.MessageID = r.Uint32("Message ID")
	h.Length = r.Uint32("Length")
	if r.Err() == nil && uint64(h.Length) != uint64(len(b)) {
		r.Fail("Length", "says %d bytes, the datagram has %d", h.Length, len(b))
	}
	return h, r.Err()
}

// Append appends the header as it is; PutLength fills in the length once it is known.
func (h Header) Append(b []byte) []byte {
	b = append(b, h.InitiatorCookie[:]...)
	b = append(b, h.ResponderCookie[:]...)
	b = append(b, uint8(h.NextPayload), h.Version, uint8(h.Exchange), uint8(h.Flags))
	b = binary.BigEndian.AppendUint32(b, h.MessageID)
	return binary.BigEndian.AppendUint32(b, h.Length)
}

// PutLength writes the length of message, which begins with a header, into that header.
func PutLength(message []byte) {
	binary.BigEndian.PutUint32(message[24:28], uint32(len(message))) //nolint:gosec // a datagram is shorter than 64 KB
}

// Message assembles an unencrypted message: h with its next payload and length set, then ps.
func (h Header) Message(ps ...Payload) []byte {
	first, body := AppendPayloads(nil, ps)
	h.NextPayload = first
	message := append(h.Append(make([]byte, 0, HeaderSize+len(body))), body...)
	PutLength(message)
	return message
}

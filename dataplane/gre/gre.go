package gre

import (
	"encoding/binary"
	"errors"

	"meshrouter/internal/ipv4"
)

// Protocol types of the payload.
const (
	ProtocolIPv4      = 0x0800
	ProtocolKeepalive = 0x0000 // no payload protocol: a keepalive that came back
)

// Lengths of a header without and with a key, bytes.
const (
	HeaderLen    = 4
	KeyHeaderLen = 8
)

const (
	flagChecksum = 0x8000
	flagKey      = 0x2000
	flagSequence = 0x1000
	// flagsRefused are bits 1, 4 and 5: routing, strict source route and recursion of RFC 1701. Bits
	// 6 to 12 are ignored (RFC 2784, 2.2).
	flagsRefused = 0x4c00
	versionMask  = 0x0007
)

// The reasons to drop a packet, returned as they are.
var (
	ErrTruncated = errors.New("gre: packet shorter than its header")
	ErrVersion   = errors.New("gre: version is not 0")
	ErrFlags     = errors.New("gre: routing or another flag of RFC 1701")
	ErrChecksum  = errors.New("gre: checksum is wrong")
)

// A Header is a GRE header of version 0.
type Header struct {
	Protocol uint16 // an EtherType
	HasKey   bool
	Key      uint32 // RFC 2890
	// HasSequence and Sequence are only ever received (RFC 2890).
	HasSequence bool
	Sequence    uint32
}

// New is the header of an IPv4 packet in a tunnel with that key, or without one.
func New(key *uint32) Header {
	h := Header{Protocol: ProtocolIPv4}
	if key != nil {
		h.HasKey, h.Key = true, *key
	}
	return h
}

// Len is how many bytes Append appends.
func (h Header) Len() int {
	if h.HasKey {
		return KeyHeaderLen
	}
	return HeaderLen
}

// Append appends the header to b, with the key if there is one and never with checksum or sequence
// number. A tunnel does it once and copies the bytes as a template.
func (h Header) Append(b []byte) []byte {
	var flags uint16
	if h.HasKey {
		flags = flagKey
	}
	b = binary.BigEndian.AppendUint16(b, flags)
	b = binary.BigEndian.AppendUint16(b, h.Protocol)
	if h.HasKey {
		b = binary.BigEndian.AppendUint32(b, h.Key)
	}
	return b
}

// Matches reports whether the header has exactly the key configured: the same one, or none.
func (h Header) Matches(key *uint32) bool {
	if key == nil {
		return !h.HasKey
	}
	return h.HasKey && h.Key == *key
}

// Parse reads a GRE header and returns it with the payload, which lies inside b. It verifies the
// checksum over b, if there is one.
func Parse(b []byte) (h Header, payload []byte, err error) {
	if len(b) < HeaderLen {
		return Header{}, nil, ErrTruncated
	}
	flags := binary.BigEndian.Uint16(b)
	switch {
	case flags&versionMask != 0:
		return Header{}, nil, ErrVersion
	case flags&flagsRefused != 0:
		return Header{}, nil, ErrFlags
	}
	h.Protocol = binary.BigEndian.Uint16(b[2:])
	h.HasKey, h.HasSequence = flags&flagKey != 0, flags&flagSequence != 0

	payload = b[HeaderLen:]
	var fields [3]uint32 // checksum, key, sequence number: those that are there, in this order
	for i, flag := range [...]uint16{flagChecksum, flagKey, flagSequence} {
		if flags&flag == 0 {
			continue
		}
		if len(payload) < 4 {
			return Header{}, nil, ErrTruncated
		}
		fields[i], payload = binary.BigEndian.Uint32(payload), payload[4:]
	}
	if flags&flagChecksum != 0 && ipv4.Checksum(b, 0) != 0 {
		return Header{}, nil, ErrChecksum
	}
	h.Key, h.Sequence = fields[1], fields[2]
	return h, payload, nil
}

package isakmp

import (
	"fmt"
	"slices"

	"meshrouter/internal/wire"
)

// GenericHeaderSize is the length of the header that every payload begins with, bytes.
const GenericHeaderSize = 4

// MaxPayloads is how many payloads a message may have. Real ones stay below 20, vendor ids included.
const MaxPayloads = 64

// A Payload is one link of the chain in a message.
type Payload struct {
	Type PayloadType
	Body []byte // without the generic header; what Append of the payloads makes and ParseX reads
	Raw  []byte // with the generic header; set by ParsePayloads, ignored by AppendPayloads
}

// An UnknownPayloadError reports a payload type that RFC 2408 has reserved: INVALID-PAYLOAD-TYPE
// rather than PAYLOAD-MALFORMED. In a decrypted message it usually means that the keys differ.
type UnknownPayloadError struct {
	Type   PayloadType
	Offset int // of the payload, bytes after the header
}

func (e *UnknownPayloadError) Error() string {
	return fmt.Sprintf("ISAKMP payloads: unknown payload type %d at offset %d (RFC 2408, 3.1)", uint8(e.Type), e.Offset)
}

// ParsePayloads splits b, the message without its header, into its chain of payloads; first is the
// header's next payload. What follows the last payload is rest: the padding of a decrypted message.
// The payloads share b's memory.
func ParsePayloads(first PayloadType, b []byte) (ps []Payload, rest []byte, err error) {
	r := wire.NewReader("ISAKMP payloads", b)
	for next := first; next != PayloadNone; {
		if len(ps) == MaxPayloads {
			r.Fail("Next Payload", "more than %d payloads", MaxPayloads)
			return nil, nil, r.Err()
		}
		if !next.topLevel() {
			return nil, nil, &UnknownPayloadError{next, r.Offset()}
		}
		p := Payload{Type: next}
		if next, p.Raw = readGeneric(r, b); r.Err() != nil {
			return nil, nil, r.Err()
		}
		p.Body = p.Raw[GenericHeaderSize:]
		ps = append(ps, p)
	}
	return ps, r.Rest(), nil
}

// topLevel reports whether a payload of the type may stand in a message's chain.
func (t PayloadType) topLevel() bool {
	switch t {
	case PayloadSA, PayloadKE, PayloadID, PayloadCert, PayloadCertReq, PayloadHash, PayloadSig, PayloadNonce,
		PayloadNotification, PayloadDelete, PayloadVendorID, PayloadAttributes, PayloadNATD, PayloadNATOA,
		PayloadNATDDraft01, PayloadNATOADraft01:
		return true
	default:
		return t.Private()
	}
}

// readGeneric reads one payload of the chain b, which r walks over, with its generic header
// (RFC 2408, 3.2). It returns the type of the next one and the whole payload.
func readGeneric(r *wire.Reader, b []byte) (next PayloadType, raw []byte) {
	start := r.Offset()
	next = PayloadType(r.Uint8("Next Payload"))
	if reserved := r.Uint8("RESERVED"); reserved != 0 {
		r.Fail("RESERVED", "is %#02x, want 0 (RFC 2408, 3.2)", reserved)
	}
	length := int(r.Uint16("Payload Length"))
	if length < GenericHeaderSize {
		r.Fail("Payload Length", "is %d, less than the generic header", length)
	}
	r.Bytes("payload", length-GenericHeaderSize)
	if r.Err() != nil {
		return PayloadNone, nil
	}
	return next, b[start:r.Offset():r.Offset()]
}

// AppendPayloads appends the chain ps to b and returns the type of its first payload for the header.
// A body must be shorter than 65532 bytes.
func AppendPayloads(b []byte, ps []Payload) (first PayloadType, out []byte) {
	for i, p := range ps {
		if i == 0 {
			first = p.Type
		}
		next := PayloadNone
		if i+1 < len(ps) {
			next = ps[i+1].Type
		}
		b = append(appendGeneric(b, next, len(p.Body)), p.Body...)
	}
	return first, b
}

func appendGeneric(b []byte, next PayloadType, bodyLength int) []byte {
	n := length16(GenericHeaderSize + bodyLength)
	return append(b, uint8(next), 0, uint8(n>>8), uint8(n&0xff))
}

// length16 is n for a 16-bit length field. Payloads are made by us and fit in a datagram.
func length16(n int) uint16 {
	if n < 0 || n > 0xffff {
		panic(fmt.Sprintf("isakmp: a payload of %d bytes does not fit its length field", n))
	}
	return uint16(n)
}

// Find returns the first payload of type t.
func Find(ps []Payload, t PayloadType) (Payload, bool) {
	i := slices.IndexFunc(ps, func(p Payload) bool { return p.Type == t })
	if i < 0 {
		return Payload{}, false
	}
	return ps[i], true
}

// Covered returns what the HASH payload at the front of a phase 2 message authenticates besides the
// message id: everything behind it in clear up to the padding (RFC 2409, 5.5). clear and ps are the
// argument and the result of ParsePayloads; a chain without payloads covers nothing.
func Covered(clear []byte, ps []Payload) []byte {
	if len(ps) == 0 {
		return nil
	}
	end := 0
	for _, p := range ps {
		end += len(p.Raw)
	}
	return clear[len(ps[0].Raw):end]
}

// Package wire reads big-endian protocol fields from a byte slice and remembers the first failure.
//
// A parser asks for one field after another, as the figure in the RFC lists them, and looks at Err
// once at the end. After the first failure every read returns the zero value, so no length
// arithmetic has to be repeated, and the error names message, field and offset.
package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// A Reader walks over one message. The zero value is an empty, nameless message.
type Reader struct {
	what string
	b    []byte
	off  int
	err  error
}

// A ParseError says where a message stopped making sense.
type ParseError struct {
	Message string // what was parsed: "Hello", "SA payload"
	Field   string // the field that failed
	Offset  int    // where it begins in the message, bytes
	Problem string // what is wrong: "need 4 bytes, have 2"
}

func (e *ParseError) Error() string {
	return fmt.Sprintf("%s: %s at offset %d: %s", e.Message, e.Field, e.Offset, e.Problem)
}

// NewReader returns a Reader over b for the message called what.
func NewReader(what string, b []byte) *Reader { return &Reader{what: what, b: b} }

// Bytes returns the next n bytes without copying them.
func (r *Reader) Bytes(field string, n int) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || n > len(r.b)-r.off {
		r.Fail(field, "need %d bytes, have %d", n, len(r.b)-r.off)
		return nil
	}
	p := r.b[r.off : r.off+n : r.off+n]
	r.off += n
	return p
}

// Uint8 reads one byte.
func (r *Reader) Uint8(field string) uint8 {
	if p := r.Bytes(field, 1); p != nil {
		return p[0]
	}
	return 0
}

// Uint16 reads two bytes.
func (r *Reader) Uint16(field string) uint16 {
	if p := r.Bytes(field, 2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

// Uint24 reads three bytes.
func (r *Reader) Uint24(field string) uint32 {
	if p := r.Bytes(field, 3); p != nil {
		return uint32(p[0])<<16 | uint32(p[1])<<8 | uint32(p[2])
	}
	return 0
}

// Uint32 reads four bytes.
func (r *Reader) Uint32(field string) uint32 {
	if p := r.Bytes(field, 4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

// Uint64 reads eight bytes.
func (r *Reader) Uint64(field string) uint64 {
	if p := r.Bytes(field, 8); p != nil {
		return binary.BigEndian.Uint64(p)
	}
	return 0
}

// Addr reads an IPv4 address.
func (r *Reader) Addr(field string) netip.Addr {
	if p := r.Bytes(field, 4); p != nil {
		return netip.AddrFrom4([4]byte(p))
	}
	return netip.Addr{}
}

// Rest returns what has not been read yet, without copying it, and moves to the end.
func (r *Reader) Rest() []byte {
	if r.err != nil {
		return nil
	}
	p := r.b[r.off:]
	r.off = len(r.b)
	return p
}

// More reports whether bytes are left and nothing has failed: the condition of a loop over a list.
func (r *Reader) More() bool { return r.err == nil && r.off < len(r.b) }

// Len is how many bytes are left.
func (r *Reader) Len() int { return len(r.b) - r.off }

// Offset is where the next field begins.
func (r *Reader) Offset() int { return r.off }

// Fail records a failure at field unless one is recorded already.
func (r *Reader) Fail(field, format string, args ...any) {
	if r.err == nil {
		r.err = &ParseError{r.what, field, r.off, fmt.Sprintf(format, args...)}
	}
}

// Err is the first failure, or nil.
func (r *Reader) Err() error { return r.err }

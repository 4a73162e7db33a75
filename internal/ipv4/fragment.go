package ipv4

import (
	"encoding/binary"
	"errors"
)

// The reasons not to fragment.
var (
	ErrDontFragment = errors.New("ipv4: packet is larger than the MTU and must not be fragmented")
	ErrMTU          = errors.New("ipv4: MTU leaves no room for 8 bytes of payload")
)

// Fragment cuts a packet into pieces of at most mtu bytes and calls emit with each, in order
// (RFC 791, 3.2). A piece is valid only during the call, unless the packet fits as it is: then emit
// gets pkt itself. Of the options, later pieces carry those with the copied flag. A fragment can be
// cut again.
func Fragment(pkt []byte, mtu int, emit func(fragment []byte)) error {
	h, payload, err := Parse(pkt)
	if err != nil {
		return err
	}
	if h.TotalLen() <= mtu {
		emit(pkt[:h.TotalLen()])
		return nil
	}
	if h.DF() {
		return ErrDontFragment
	}
	if mtu < len(h)+8 {
		return ErrMTU
	}
	buf := make([]byte, 0, mtu)
	header := append(make([]byte, 0, MaxHeaderLen), h...)
	offset, last := h.FragOffset(), h.fragment()&flagMF
	for {
		n, flags := (mtu-len(header))&^7, uint16(flagMF)
		if len(header)+len(payload) <= mtu {
			n, flags = len(payload), last
		}
		buf = append(append(buf[:0], header...), payload[:n]...)
		f := Header(buf[:len(header)])
		binary.BigEndian.PutUint16(f[2:], uint16(len(buf)&0xffff))
		binary.BigEndian.PutUint16(f[6:], flags|uint16(offset/8&offsetMask))
		f.UpdateChecksum()
		emit(buf)
		if payload = payload[n:]; len(payload) == 0 {
			return nil
		}
		if offset == h.FragOffset() {
			header = copiedOptions(h)
		}
		offset += n
	}
}

// copiedOptions is the header for all pieces but the first: with the options whose copied flag is
// set, padded to a multiple of 4. Options that make no sense are left out with what follows them.
func copiedOptions(h Header) Header {
	const end, noOperation, copied = 0, 1, 0x80
	out := append(make([]byte, 0, MaxHeaderLen), h[:HeaderLen]...)
	for opts := h[HeaderLen:]; len(opts) > 0 && opts[0] != end; {
		n := 1
		if opts[0] != noOperation {
			if len(opts) < 2 || opts[1] < 2 || int(opts[1]) > len(opts) {
				break
			}
			n = int(opts[1])
		}
		if opts[0]&copied != 0 {
			out = append(out, opts[:n]...)
		}
		opts = opts[n:]
	}
	for len(out)%4 != 0 {
		out = append(out, end)
	}
	out[0] = 0x40 | uint8(len(out)/4&15)
	return out
}

package segment

import (
	"encoding/binary"
	"math/rand/v2"
)

// This file is the plain path that Cutter and Merger are held to: naive, from the RFCs, sharing nothing with
// the package but the type Offload.

// residue is the sum of the 16-bit words of b modulo 65535, where the one's complement arithmetic of
// RFC 1071 is plain arithmetic.
func residue(b []byte) uint64 {
	sum := uint64(0)
	for len(b) > 1 {
		sum += uint64(b[0])<<8 | uint64(b[1])
		b = b[2:]
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	return sum % 65535
}

// pseudo is the residue of the pseudo header (RFC 9293, 3.1; RFC 768).
func pseudo(pkt []byte) uint64 {
	ihl := int(pkt[0]&15) * 4
	return (residue(pkt[12:20]) + uint64(pkt[9]) + uint64(len(pkt)-ihl)) % 65535
}

// putChecksum stores the checksum for a residue: its complement, never 0xffff, as computing it gives it.
func putChecksum(at []byte, sum uint64) {
	binary.BigEndian.PutUint16(at, uint16((65535-sum%65535)%65535))
}

// plainIP completes the IP header for the length that pkt has.
func plainIP(pkt []byte) {
	ihl := int(pkt[0]&15) * 4
	binary.BigEndian.PutUint16(pkt[2:], uint16(len(pkt)))
	pkt[10], pkt[11] = 0, 0
	putChecksum(pkt[10:], residue(pkt[:ihl]))
}

// plainTransport completes the TCP or UDP checksum, and UDP's length.
func plainTransport(pkt []byte) {
	ihl := int(pkt[0]&15) * 4
	l4 := pkt[ihl:]
	if pkt[9] == 6 {
		l4[16], l4[17] = 0, 0
		putChecksum(l4[16:], pseudo(pkt)+residue(l4))
		return
	}
	binary.BigEndian.PutUint16(l4[4:], uint16(len(l4)))
	l4[6], l4[7] = 0, 0
	putChecksum(l4[6:], pseudo(pkt)+residue(l4))
	if l4[6] == 0 && l4[7] == 0 {
		l4[6], l4[7] = 0xff, 0xff
	}
}

// plainSplit is what a stack sends instead of the large packet: one header after another, written by hand. How
// far the checksums of the large packet are from the right ones, those of the segments are as well.
func plainSplit(large []byte, o Offload) [][]byte {
	ihl := int(large[0]&15) * 4
	tcp := large[9] == 6
	n, field := 8, 6
	if tcp {
		n, field = int(large[ihl+12]>>4)*4, 16
	}
	seedOff := (uint64(binary.BigEndian.Uint16(large[ihl+field:])) + 65535 - pseudo(large)) % 65535
	ipOff := residue(large[:ihl]) // 0 when the header is right
	payload := large[ihl+n:]
	var out [][]byte
	for at := 0; at == 0 || at < len(payload); at += int(o.GSOSize) {
		part := payload[at:min(at+int(o.GSOSize), len(payload))]
		last := at+len(part) == len(payload)
		p := append(append(make([]byte, 0, ihl+n+len(part)), large[:ihl+n]...), part...)
		binary.BigEndian.PutUint16(p[4:], binary.BigEndian.Uint16(large[4:])+uint16(at/int(o.GSOSize)))
		if tcp {
			binary.BigEndian.PutUint32(p[ihl+4:], binary.BigEndian.Uint32(large[ihl+4:])+uint32(at))
			if at > 0 {
				p[ihl+13] &^= 0x80 // CWR
			}
			if !last {
				p[ihl+13] &^= 0x09 // FIN, PSH
			}
		}
		plainTransport(p)
		shift(p[ihl+field:], seedOff, !tcp)
		plainIP(p)
		shift(p[10:], 65535-ipOff, false)
		out = append(out, p)
	}
	return out
}

// shift makes a right checksum wrong by as much as another one is.
func shift(field []byte, by uint64, udp bool) {
	sum := 65535 - uint64(binary.BigEndian.Uint16(field)) // what it is the complement of
	putChecksum(field, sum+by)
	if udp && field[0] == 0 && field[1] == 0 {
		field[0], field[1] = 0xff, 0xff
	}
}

// A traffic makes the packets of a few flows.
type traffic struct {
	*rand.Rand
	flows []*talk
}

// talk is one flow.
type talk struct {
	header []byte // IP and transport, of the next packet; lengths and checksums are made for each
	ihl    int
}

func newTraffic(r *rand.Rand) *traffic {
	tr := &traffic{Rand: r}
	for range 1 + r.IntN(5) {
		tr.flows = append(tr.flows, tr.newTalk())
	}
	return tr
}

func (tr *traffic) one(of int) bool { return tr.IntN(of) == 0 }

func (tr *traffic) newTalk() *talk {
	options := 0
	if tr.one(20) {
		options = 4 * (1 + tr.IntN(10))
	}
	t := &talk{ihl: 20 + options}
	h := make([]byte, t.ihl, t.ihl+60)
	tr.fill(h[20:])
	h[0] = 0x40 | byte(t.ihl/4)
	h[1] = byte(tr.IntN(3)) << 2
	binary.BigEndian.PutUint16(h[4:], uint16(tr.Uint32()))
	if !tr.one(4) {
		h[6] = 0x40
	}
	h[8], h[9] = 64, 17
	copy(h[12:], []byte{10, 1, 0, byte(tr.IntN(4)), 10, 2, 0, byte(tr.IntN(4))})
	h = append(h, 0, byte(tr.IntN(4)), 0, 80)
	if tr.one(3) {
		t.header = append(h, 0, 0, 0, 0)
		return t
	}
	h[9] = 6
	h = binary.BigEndian.AppendUint32(h, tr.Uint32()-uint32(tr.IntN(2)*3000)) // also near the wrap
	h = binary.BigEndian.AppendUint32(h, tr.Uint32())
	tcpOptions := []int{0, 12, 4 * tr.IntN(11)}[tr.IntN(3)]
	h = append(h, byte(5+tcpOptions/4)<<4, 0x10, 1, 0, 0, 0, 0, 0)
	at := len(h)
	h = append(h, make([]byte, tcpOptions)...)
	tr.fill(h[at:])
	t.header = h
	return t
}

func (t *talk) tcp() bool { return t.header[9] == 6 }

// fill writes random bytes, sometimes those on which sums turn.
func (tr *traffic) fill(b []byte) {
	if tr.one(16) {
		v := []byte{0, 0xff}[tr.IntN(2)]
		for i := range b {
			b[i] = v
		}
		if len(b) > 0 && tr.one(2) {
			b[tr.IntN(len(b))] = byte(tr.Uint32())
		}
		return
	}
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, tr.Uint64())
		b = b[8:]
	}
	for i := range b {
		b[i] = byte(tr.Uint32())
	}
}

// size is a length of payload as they occur.
func (tr *traffic) size() int {
	switch tr.IntN(8) {
	case 0:
		return 1 + tr.IntN(8)
	case 1, 2, 3:
		return 1 + tr.IntN(200)
	case 4, 5:
		return 1 + tr.IntN(1460)
	default:
		return []int{18, 64, 128, 536, 1348, 1448}[tr.IntN(6)]
	}
}

// large makes the next packet of the flow as the host hands it over: headers, payload for some segments, and
// the sum of the pseudo header in the checksum's place.
func (tr *traffic) large(t *talk) ([]byte, Offload) {
	size, n := tr.size(), 1+tr.IntN(12)
	if tr.one(200) {
		n = 1 + tr.IntN(70)
	}
	length := size*(n-1) + 1 + tr.IntN(size)
	if tr.one(4) {
		length = size * n
	}
	length = min(length, 65535-len(t.header))
	pkt := append(make([]byte, 0, len(t.header)+length), t.header...)
	pkt = pkt[:len(pkt)+length]
	tr.fill(pkt[len(t.header):])
	l4 := pkt[t.ihl:]
	o := Offload{Flags: 1, GSOSize: uint16(size), CsumStart: uint16(t.ihl), HdrLen: uint16(len(t.header))}
	plainIP(pkt)
	if t.tcp() {
		o.GSOType, o.CsumOffset = 1, 16
		l4[13] |= []byte{0, 0, 0x08, 0x09, 0x01, 0x40, 0x80, 0xc8, 0x20}[tr.IntN(9)]
		if l4[13]&0x80 != 0 && tr.one(2) {
			o.GSOType |= 0x80
		}
		binary.BigEndian.PutUint32(t.header[t.ihl+4:], binary.BigEndian.Uint32(l4[4:])+uint32(length))
		if tr.one(8) { // the acknowledgment or the window moves on
			t.header[t.ihl+[]int{8, 9, 10, 11, 14, 15}[tr.IntN(6)]]++
		}
	} else {
		o.GSOType, o.CsumOffset = 5, 6
		binary.BigEndian.PutUint16(l4[4:], uint16(len(l4)))
	}
	binary.BigEndian.PutUint16(t.header[4:], binary.BigEndian.Uint16(pkt[4:])+uint16((length+size-1)/size))
	if tr.one(50) {
		t.header[4] ^= 1
	}
	field := l4[o.CsumOffset:]
	binary.BigEndian.PutUint16(field, uint16(pseudo(pkt)))
	if tr.one(4) && pseudo(pkt) == 0 {
		binary.BigEndian.PutUint16(field, 0xffff) // the same sum
	}
	switch tr.IntN(40) {
	case 0:
		field[tr.IntN(2)] ^= 1 << tr.IntN(8) // a wrong seed
	case 1:
		pkt[10+tr.IntN(2)] ^= 1 << tr.IntN(8) // a wrong header checksum
	case 2: // one checksum comes to 0
		if size >= 2 && length >= 2 {
			steer(pkt, o, len(t.header))
		}
	}
	return pkt, o
}

// steer changes the first two bytes of payload, at an even offset, so that the first segment's checksum is 0.
func steer(pkt []byte, o Offload, at int) {
	first := plainSplit(pkt, o)[0]
	sum := uint64(binary.BigEndian.Uint16(first[o.CsumStart+o.CsumOffset:])) // 65535 less what is summed up
	v := uint64(binary.BigEndian.Uint16(pkt[at:]))
	binary.BigEndian.PutUint16(pkt[at:], uint16((v+sum)%65535))
}

package ospf

import "encoding/binary"

// fletcherSums are the two sums of ISO 8473 over b, modulo 255.
func fletcherSums(b []byte) (c0, c1 uint32) {
	for len(b) > 0 {
		n := min(len(b), 4096) // keeps c1 below 2^32 between reductions
		for _, v := range b[:n] {
			c0 += uint32(v)
			c1 += c0
		}
		c0 %= 255
		c1 %= 255
		b = b[n:]
	}
	return c0, c1
}

// fletcher computes the checksum whose two bytes stand at offset off of b, where b holds zeros now
// (RFC 2328, 12.1.7; ISO 8473, annex C).
func fletcher(b []byte, off int) uint16 {
	c0, c1 := fletcherSums(b)
	n := int64(len(b) - off)
	x := ((n-1)*int64(c0) - int64(c1)) % 255
	if x <= 0 {
		x += 255
	}
	y := 510 - int64(c0) - x
	if y > 255 {
		y -= 255
	}
	return uint16(x<<8 | y) //nolint:gosec // both are 1..255
}

// fletcherOK verifies b with its checksum inside. A checksum of zero stands for "not computed" and is refused.
func fletcherOK(b []byte) bool {
	c0, c1 := fletcherSums(b)
	return c0 == 0 && c1 == 0 && (b[14] != 0 || b[15] != 0)
}

// packetChecksum is the internet checksum of an OSPF packet without its 64 bits of authentication
// (RFC 2328, D.4).
func packetChecksum(packet []byte) uint16 {
	sum := onesSum(onesSum(0, packet[:16]), packet[HeaderSize:])
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func onesSum(sum uint32, b []byte) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}

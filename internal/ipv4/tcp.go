package ipv4

import (
	"encoding/binary"
	"math/bits"
)

const (
	tcpHeaderLen = 20
	tcpSYN       = 0x02

	tcpOptionEnd  = 0
	tcpOptionNoOp = 1
	tcpOptionMSS  = 2
)

// ClampMSS lowers the maximum segment size option of a TCP SYN to mss (RFC 9293, 3.7.1), in place with
// the TCP checksum, and reports whether it did. Packets without the option stay as they are: their
// sender takes 536.
func ClampMSS(pkt []byte, mss uint16) bool {
	h, tcp, err := Parse(pkt)
	if err != nil || h.Protocol() != ProtocolTCP || h.FragOffset() != 0 || len(tcp) < tcpHeaderLen || tcp[13]&tcpSYN == 0 {
		return false
	}
	headerLen := int(tcp[12]>>4) * 4
	if headerLen < tcpHeaderLen || headerLen > len(tcp) {
		return false
	}
	for at := tcpHeaderLen; at < headerLen; {
		switch tcp[at] {
		case tcpOptionEnd:
			return false
		case tcpOptionNoOp:
			at++
			continue
		}
		if at+2 > headerLen || tcp[at+1] < 2 || at+int(tcp[at+1]) > headerLen {
			return false
		}
		if tcp[at] == tcpOptionMSS && tcp[at+1] == 4 {
			return lowerMSS(tcp, at+2, mss)
		}
		at += int(tcp[at+1])
	}
	return false
}

func lowerMSS(tcp []byte, at int, mss uint16) bool {
	old := binary.BigEndian.Uint16(tcp[at:])
	if old <= mss {
		return false
	}
	binary.BigEndian.PutUint16(tcp[at:], mss)
	if at%2 == 1 { // the value lies across two words of the sum, which is then byte-swapped
		old, mss = bits.ReverseBytes16(old), bits.ReverseBytes16(mss)
	}
	binary.BigEndian.PutUint16(tcp[16:], adjust(binary.BigEndian.Uint16(tcp[16:]), old, mss))
	return true
}

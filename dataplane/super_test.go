package dataplane

import (
	"encoding/binary"
	"net/netip"

	"meshrouter/dataplane/segment"
	"meshrouter/internal/ipv4"
)

// largeTCP makes a TCP packet of so many bytes of payload as the host leaves it for segmentation: its
// checksum field holds the sum of the pseudo header.
func largeTCP(src, dst netip.Addr, n int) []byte {
	tcp := make([]byte, 20+n)
	binary.BigEndian.PutUint16(tcp, 1000)
	binary.BigEndian.PutUint16(tcp[2:], 2000)
	tcp[12], tcp[13] = 5<<4, 0x18 // ACK, PSH
	for i := range tcp[20:] {
		tcp[20+i] = byte(i * 7)
	}
	copy(tcp[20:], marker)
	binary.BigEndian.PutUint16(tcp[16:], ipv4.Fold(uint64(ipv4.PseudoHeaderSum(src, dst, ipv4.ProtocolTCP, len(tcp)))))
	return packet(ipv4.Fields{TTL: 64, Protocol: ipv4.ProtocolTCP, DF: true, Src: src, Dst: dst}, tcp)
}

// tcpOffload is what the host says beside a largeTCP that is to be cut into segments of size bytes of payload.
func tcpOffload(size uint16) segment.Offload {
	return segment.Offload{
		Flags: segment.NeedsChecksum, GSOType: segment.GSOTCPv4, HdrLen: 40, GSOSize: size,
		CsumStart: 20, CsumOffset: 16,
	}
}

package segment_test

import (
	"fmt"
	"net/netip"

	"meshrouter/dataplane/segment"
	"meshrouter/internal/ipv4"
)

func Example() {
	// A datagram of 2,500 bytes that the host wants to be sent as three, as tun.Queue reads it.
	src, dst := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.2")
	buf := ipv4.AppendHeader(nil, ipv4.Fields{TTL: 64, Protocol: ipv4.ProtocolUDP, ID: 1, Src: src, Dst: dst}, 8+2500)
	seed := ipv4.PseudoHeaderSum(src, dst, ipv4.ProtocolUDP, 8+2500)
	buf = append(buf, 0, 53, 0, 54, 2508>>8, 2508&0xff, byte(seed>>8), byte(seed))
	buf = append(buf, make([]byte, 2500)...)
	large := segment.Packet{Buf: buf, End: len(buf), Offload: segment.Offload{
		Flags: segment.NeedsChecksum, GSOType: segment.GSOUDPL4, GSOSize: 1000, CsumStart: ipv4.HeaderLen, CsumOffset: 6,
	}}

	var c segment.Cutter
	if err := large.Cut(&c); err != nil {
		fmt.Println(err)
		return
	}
	m := segment.Merger{UDP: true}
	for i := range c.Len() {
		pkt := make([]byte, c.Size(i))
		c.Put(i, pkt)
		fmt.Println("segment of", len(pkt), "bytes")
		m.Add(pkt)
	}
	for _, g := range m.Groups() {
		fmt.Println("group of", len(g.Pieces), "datagrams with", g.Offload.GSOSize, "bytes each but the last")
	}
	// Output:
	// segment of 1028 bytes
	// segment of 1028 bytes
	// segment of 528 bytes
	// group of 3 datagrams with 1000 bytes each but the last
}

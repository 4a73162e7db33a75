package ether

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"

	"meshrouter/internal/ipv4"
)

// ttl of outer packets: that of Linux's raw sockets.
const ttl = 64

// A Way is how packets reach one destination: by this interface, as whole frames, to that MAC. It does
// not change, but for the mark that it is in use.
type Way struct {
	header  [HeaderLen]byte // with zeros for TOS, total length, ID and checksum
	sum     uint32          // of the IPv4 header so far
	largest int             // ESP packet that needs no fragmentation
	used    atomic.Bool     // since the neighbor was last confirmed
}

// newWay makes the headers to dst by the next hop's MAC. mtu is of the IPv4 packet.
func newWay(from Host, dst netip.Addr, next MAC, mtu int) *Way {
	w := &Way{largest: min(mtu, ipv4.MaxPacket) - ipv4.HeaderLen}
	h := append(w.header[:0], next[:]...)
	h = append(h, from.MAC[:]...)
	h = binary.BigEndian.AppendUint16(h, etherTypeIPv4)
	h = ipv4.AppendHeader(h, ipv4.Fields{TTL: ttl, Protocol: ipv4.ProtocolESP, Src: from.Addr, Dst: dst}, 0)
	ip := h[EthernetLen:]
	binary.BigEndian.PutUint16(ip[2:], 0)
	binary.BigEndian.PutUint16(ip[10:], 0)
	w.sum = uint32(ipv4.Sum(ip))
	return w
}

// use notes that frames go this way, so that its neighbor is kept confirmed.
func (w *Way) use() {
	if !w.used.Load() {
		w.used.Store(true)
	}
}

// PutHeader writes the Ethernet and IPv4 headers of an ESP packet of n bytes to the first HeaderLen
// bytes of frame. DF is clear: routers may fragment outer packets, so id must not repeat soon.
func (w *Way) PutHeader(frame []byte, n int, tos uint8, id uint16) {
	h := (*[HeaderLen]byte)(frame)
	*h = w.header
	total := uint16((n + ipv4.HeaderLen) & 0xffff)
	h[EthernetLen+1] = tos
	binary.BigEndian.PutUint16(h[EthernetLen+2:], total)
	binary.BigEndian.PutUint16(h[EthernetLen+4:], id)
	sum := w.sum + uint32(tos) + uint32(total) + uint32(id)
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(h[EthernetLen+10:], ^uint16(sum&0xffff))
}

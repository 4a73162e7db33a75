package ether

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"sync/atomic"

	"meshrouter/internal/ipv4"
)

// Sizes in bytes, and the EtherType of IPv4 (RFC 894).
const (
	EthernetLen   = 14
	HeaderLen     = EthernetLen + ipv4.HeaderLen // in front of ESP
	etherTypeIPv4 = 0x0800
)

// TOSControl is the lowest TOS of the control class, CS6 (RFC 2474, 4.2.2.2), which the paths leave
// to the raw socket.
const TOSControl = 0xc0

// A MAC is an Ethernet address.
type MAC [6]byte

// A Packet is one received ESP packet. Its Payload may be changed in place, but there is no room in
// front of it or behind it that a caller could use.
type Packet struct {
	Payload  []byte // from SPI to ICV
	Src, Dst netip.Addr
	TOS      uint8
	Arrived  int64 // kernel receive time, Unix ns; 0: unknown
}

// A Reason says why a received frame was not delivered or a sealed packet was not sent.
type Reason uint8

// The reasons. Frames come from the wire, and past the kernel: from BadMAC to BadSrc they are what ip_rcv would find.
const (
	Fine        Reason = iota
	BadFrame           // shorter than its headers, or no IPv4
	BadMAC             // to another station; the interface is promiscuous
	BadHeader          // version, header length or total length
	BadChecksum        // of the IPv4 header
	BadKind            // a fragment, options or another protocol: the filter lets none through
	BadDst             // to another address: as above
	BadSrc             // a source that no host may have, or our own (RFC 1812, 5.3.7)
	BadRing            // the ring named memory that is not the path's
	SendFull           // the interface took no more for a while, or has dropped it at once
	reasonCount
)

var reasonNames = [reasonCount]string{
	Fine: "none", BadFrame: "frame", BadMAC: "mac", BadHeader: "ip_header", BadChecksum: "ip_checksum",
	BadKind: "ip_kind", BadDst: "ip_dst", BadSrc: "ip_src", BadRing: "ring", SendFull: "send_full",
}

func (r Reason) String() string { return reasonNames[r] }

// Drops counts by reason. Add is for many goroutines.
type Drops [reasonCount]atomic.Uint64

// Add counts one packet.
func (d *Drops) Add(r Reason) { d[r].Add(1) }

// Each calls f for every reason, also those that did not occur.
func (d *Drops) Each(f func(reason string, n uint64)) {
	for r := Fine + 1; r < reasonCount; r++ {
		f(r.String(), d[r].Load())
	}
}

// A Host is who frames must be for.
type Host struct {
	Addr netip.Addr
	MAC  MAC
}

// Parse checks a frame that may come from anybody and fills in p, whose Payload then lies in the
// frame. Ethernet padding is left out. p is untouched unless the result is Fine.
func (h *Host) Parse(frame []byte, p *Packet) Reason {
	if len(frame) < HeaderLen || binary.BigEndian.Uint16(frame[12:]) != etherTypeIPv4 {
		return BadFrame
	}
	if !bytes.Equal(frame[:6], h.MAC[:]) {
		return BadMAC
	}
	header, payload, err := ipv4.Parse(frame[EthernetLen:])
	if err != nil {
		return BadHeader
	}
	if !header.ChecksumOK() {
		return BadChecksum
	}
	if len(header) != ipv4.HeaderLen || header.IsFragment() || header.Protocol() != ipv4.ProtocolESP || header.TOS() >= TOSControl {
		return BadKind
	}
	src, dst := header.Src(), header.Dst()
	if dst != h.Addr {
		return BadDst
	}
	if src == dst || !mayBeSource(src) {
		return BadSrc
	}
	p.Payload, p.Src, p.Dst, p.TOS, p.Arrived = payload, src, dst, header.TOS(), 0
	return Fine
}

// mayBeSource refuses 0/8, 127/8, and 224/4 up to the broadcast address, as Linux does before its
// routing table is asked.
func mayBeSource(a netip.Addr) bool {
	first := a.As4()[0]
	return first != 0 && first != 127 && first < 224
}

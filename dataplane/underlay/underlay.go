package underlay

import (
	"errors"
	"net/netip"
)

// The ports of IKE (RFC 2408, 2.5.1; RFC 3947, 4).
const (
	IKEPort = 500
	NATPort = 4500
)

// keepalive is the whole payload of a NAT keepalive (RFC 3948, 2.3).
const keepalive = 0xff

// markerLen is the length of the non-ESP marker: zeros where an ESP packet has its SPI (RFC 3948, 2.2).
const markerLen = 4

// ErrTooBig says that a probe is larger than what the interface to the peer lets through.
var ErrTooBig = errors.New("larger than the interface's MTU")

// A Kind says what a received packet is.
type Kind uint8

// The kinds.
const (
	ESP       Kind = iota
	IKE            // an ISAKMP message, without the non-ESP marker
	Keepalive      // a NAT keepalive: to be ignored
	Malformed      // too short to be anything, or cut off
)

// A Packet is one received packet.
type Packet struct {
	Payload []byte // may be changed in place; other packets may lie right in front of it and behind
	Kind    Kind
	// Arrived is when the kernel received it, Unix nanoseconds; 0: unknown.
	Arrived int64
	// Local and Remote are the outer addresses; the ports are 0 for IP protocol 50.
	Local, Remote netip.AddrPort
}

// A Datagram is an ISAKMP message, as received or to be sent.
type Datagram struct {
	Local, Remote netip.AddrPort
	Payload       []byte // without the non-ESP marker, which belongs to port 4500
}

// Counters are what the sockets have done.
type Counters struct {
	// Packets, and the datagrams that the kernel got or gave them in.
	Sent, SentMessages, Received, ReceivedMessages uint64
	// SegmentRefusals are datagrams that the system would not cut, so that their packets left one by one.
	SegmentRefusals uint64
}

// classify fills in what a UDP datagram is that arrived on port 500 or 4500.
func (p *Packet) classify(datagram []byte, nat bool) {
	p.Payload = datagram
	switch {
	case !nat:
		p.Kind = IKE
	case len(datagram) == 1 && datagram[0] == keepalive:
		p.Kind = Keepalive
	case len(datagram) < markerLen:
		p.Kind = Malformed
	case datagram[0]|datagram[1]|datagram[2]|datagram[3] == 0:
		p.Kind, p.Payload = IKE, datagram[markerLen:]
	default:
		p.Kind = ESP
	}
}

// marked is an ISAKMP message as it leaves a port.
func marked(d Datagram, nat bool) []byte {
	if !nat {
		return d.Payload
	}
	return append(make([]byte, markerLen, markerLen+len(d.Payload)), d.Payload...)
}

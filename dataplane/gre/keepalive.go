package gre

import (
	"net/netip"

	"meshrouter/internal/ipv4"
)

// keepaliveTOS is precedence 6, as OpenBSD sets it.
const keepaliveTOS = 0xc0

// A Keepalive describes what we ask the peer to send back.
type Keepalive struct {
	Local, Remote netip.Addr // the GRE endpoints
	Key           *uint32    // of the tunnel; nil: none
	TTL           uint8
	// Payload comes back as it is. ScreenOS and Cisco send none, OpenBSD 16 bytes.
	Payload []byte
}

// Append appends the packet that goes into the tunnel as any other: an IPv4 packet from the peer to
// us with GRE of protocol type 0. The peer takes off the tunnel's own GRE and forwards it to us.
func (k Keepalive) Append(b []byte) []byte {
	h := New(k.Key)
	h.Protocol = ProtocolKeepalive
	b = ipv4.AppendHeader(b, ipv4.Fields{
		TOS: keepaliveTOS, TTL: k.TTL, Protocol: ipv4.ProtocolGRE, Src: k.Remote, Dst: k.Local,
	}, h.Len()+len(k.Payload))
	return append(h.Append(b), k.Payload...)
}

// ReturnKeepalive recognises a keepalive of the peer in a packet that came out of the tunnel: IPv4
// from local, our endpoint, to remote, the peer's, with GRE of protocol type 0. It counts the hop in
// place, and the packet is then to be sent to the peer as it is: inside ESP, without GRE around it.
// It reports false for any other packet, and for one whose TTL has run out.
func ReturnKeepalive(pkt []byte, local, remote netip.Addr) bool {
	h, payload, err := ipv4.Parse(pkt)
	if err != nil || h.Protocol() != ipv4.ProtocolGRE || h.IsFragment() || h.Src() != local || h.Dst() != remote || !h.ChecksumOK() {
		return false
	}
	g, _, err := Parse(payload)
	return err == nil && g.Protocol == ProtocolKeepalive && h.DecrementTTL()
}

package dataplane

import (
	"net/netip"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/fib"
)

// A TunnelConfig is what the data plane knows of one tunnel. The tunnel outlives its SAs.
type TunnelConfig struct {
	ID   fib.TunnelID
	Name string // the link's name
	// Local and Remote are the GRE endpoints: the addresses of the inner header in tunnel mode,
	// of the outer one in transport mode.
	Local, Remote netip.Addr
	GREKey        *uint32 // RFC 2890; nil: none
	// Address is our address inside the tunnel (source of ICMP errors).
	Address netip.Addr
	// MTU is the largest packet that enters GRE unfragmented, bytes; derived from the suite.
	MTU int
	// TTL of the GRE delivery header; 0 means 64.
	TTL uint8
}

// Datagram is a UDP datagram of IKE, as received or to be sent.
type Datagram struct {
	Local, Remote netip.AddrPort
	Payload       []byte // without the non-ESP marker, which belongs to port 4500
}

// Handlers receive what the data plane cannot handle itself. They are called from its workers,
// must not block, and must copy what they keep.
type Handlers struct {
	// Control gets each IPv4 packet from a tunnel that is OSPF or a returned GRE keepalive.
	Control func(t fib.TunnelID, packet []byte)
	// IKE gets each ISAKMP message.
	IKE func(d Datagram)
	// Acquire reports traffic for a tunnel without an outbound SA (at most once a second a tunnel).
	Acquire func(t fib.TunnelID)
	// Moved reports that authenticated ESP came from another address or port than the SA's.
	Moved func(t fib.TunnelID, from netip.AddrPort)
}

// TunnelStatus is what `show tunnels` says of one tunnel.
type TunnelStatus struct {
	Config                                   TunnelConfig
	PacketsIn, BytesIn, PacketsOut, BytesOut uint64
	Inbound                                  []*esp.SA
	Outbound                                 *esp.SA
}

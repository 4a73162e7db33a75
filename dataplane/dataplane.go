package dataplane

import (
	"log/slog"
	"net/netip"
	"time"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/fib"
	"meshrouter/dataplane/segment"
	"meshrouter/dataplane/underlay"
)

// A Queue is one queue of the TUN device; see package tun, whose queues fit. Only an error that is
// os.ErrClosed ends it. One goroutine reads; several may write.
type Queue interface {
	Read() ([]segment.Packet, error)             // waits; theirs and their memory's life ends with the next call
	Write(gs []segment.Group) (n int, err error) // an error is about gs[n]
	Offloads() (tcp, udp bool)                   // whether packets that stand for many may be written
	Close() error
}

// An Underlay is the outer sockets; see package underlay, whose Sockets and Memory fit.
type Underlay interface {
	Receivers() int                            // how many goroutines can receive
	Control(i int) bool                        // whether receiver i is one of control packets, which are never dropped for being late
	Receive(i int) ([]underlay.Packet, error)  // waits; os.ErrClosed after Close
	Send(ps []esp.Sealed) (n int, err error)   // only what esp made fits: clear GRE cannot leave
	SendProbe(p esp.Sealed) error              // with DF; underlay.ErrTooBig if the interface is smaller
	SendIKE(d Datagram) error                  // with the non-ESP marker on port 4500
	SendKeepalive(remote netip.AddrPort) error // NAT keepalive from port 4500
	Close() error
}

// Config is what an Engine is made of.
type Config struct {
	Queues   []Queue // at least one
	Underlay Underlay
	Handlers Handlers
	Logger   *slog.Logger     // nil: none
	Now      func() time.Time // nil: time.Now
	Workers  int              // owners of tunnels; 0: one for each queue
}

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
	// MTU is the largest packet that enters GRE unfragmented, bytes; derived from the suite, or found by
	// probing: see Update.SetMTU.
	MTU int
	// TTL of the GRE delivery header; 0 means 64.
	TTL uint8
}

// Datagram is an ISAKMP message, as received or to be sent, without the non-ESP marker.
type Datagram = underlay.Datagram

// Handlers receive what the data plane cannot handle itself. They are called from its workers without
// a lock held, must not block, and must copy what they keep. Any may be nil.
type Handlers struct {
	// Control gets each IPv4 packet from a tunnel that is OSPF (protocol 89, put together if it came
	// in fragments), a returned GRE keepalive (protocol 47 between the tunnel's endpoints), or the answer
	// to a probe (an ICMP echo reply with ProbeID to our address, or the first fragment of one; the host
	// gets it too, since a ping of its own may have that identifier).
	Control func(t fib.TunnelID, packet []byte)
	// IKE gets each ISAKMP message.
	IKE func(d Datagram)
	// Acquire reports traffic for a tunnel without an outbound SA (at most once a second a tunnel).
	Acquire func(t fib.TunnelID)
	// Moved reports that authenticated ESP came from another address or port than the SA's (at most
	// once a second a tunnel). Nothing follows the peer until Update.MoveRemote.
	Moved func(t fib.TunnelID, from netip.AddrPort)
}

// TunnelStatus is what `show tunnels` says of one tunnel.
type TunnelStatus struct {
	Config                                   TunnelConfig
	PacketsIn, BytesIn, PacketsOut, BytesOut uint64
	Inbound                                  []*esp.SA
	Outbound                                 *esp.SA
}

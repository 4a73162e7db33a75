package fib

import "net/netip"

// TunnelID numbers the tunnels of one router, densely from 0.
type TunnelID uint32

// A NextHop says where a packet goes: into a tunnel, or to the host (Local).
type NextHop struct {
	Local  bool
	Tunnel TunnelID
}

// A Route is one prefix with its equal-cost next hops; at least one.
type Route struct {
	Prefix   netip.Prefix
	NextHops []NextHop
}

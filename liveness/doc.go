// Package liveness tells from what comes back through a tunnel whether it still carries packets, and how
// large ones.
//
//	Tick(now) ─► send a keepalive ─► tunnel ─► peer forwards it back ─► Heard()
//	    └──────► Count of them unanswered: lost                          └──► recovered
//
// It holds the state and the rules only; who calls it owns the clock and the packets. Now there is
// the GRE keepalive of Cisco, ScreenOS (`tunnel keep-alive interval threshold`) and OpenBSD
// (`keepalive period count`), which needs no code at the peer: it forwards what is addressed to us.
// PathMTU searches in the same way, with pings of the peer's tunnel address, for the largest packet that
// passes whole (RFC 8899).
package liveness

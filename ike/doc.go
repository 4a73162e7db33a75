// Package ike is the IKEv1 protocol as a core without I/O: a function of time and input.
//
//	Configure, Datagram, Acquire, ┌──────────────────────── Engine ────────────────────────┐ Send, Compute,
//	Traffic, Computed, Restore,   │ peer ─┬─ isakmpSA (main mode) ── informational, DPD    │ AddInbound,
//	Terminate, Tick  ───────────► │       ├─ quickMode ── proposal, mismatch               │ UseOutbound, RemoveSA,
//	                              │       └─ childPair: inbound SAs… and one outbound SA   │ PeerChanged, Persist,
//	Deadline ◄─────────────────── └──── one heap of timers; each peer pursues its needs ───┘ Event ─────────►
//
// The shell does the outputs in their order: a rekey reads AddInbound, Send, UseOutbound, so that no
// packet is lost. Diffie-Hellman leaves as Compute and comes back as Computed; until then the exchange is
// busy. Nothing unauthenticated changes a state beyond a bounded number of half-open exchanges of one
// configured peer; every bad message is an Event with a name, counted in Counters.
//
// Exchanges are tables: mainModeTable, quickModeTable. What a peer needs next is never stored: pursue
// derives it after each step from what there is (childWanted, isakmpWanted), so a lost message, a DELETE
// or a restart all lead back onto the same path.
//
// A phase 2 message does not tell who wrote it, nor when: each message id is good once in the life of an ISAKMP SA, for
// both ends (messageids.go), and only what answers a nonce or a number of ours is a sign of life.
//
// Read ike.go, engine.go, peer.go; then mainmode.go, quickmode.go, child.go; then the rest by need.
//
// Follows RFC 2407, 2408, 2409 with pre-shared keys, RFC 3706 (DPD), RFC 3947 and its drafts 02 and 03
// (NAT traversal), RFC 4106 (AES-GCM), RFC 4868. Deviations: no aggressive mode, no new group mode, no
// certificates, no kilobyte lifetimes of phase 1; a quick mode message 2 is sent again by the responder, as
// isakmpd does; the habits of old peers are in profile.go and docs/peers.
package ike

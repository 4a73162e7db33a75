// Package dataplane forwards packets between the host's TUN device and the tunnels: GRE inside ESP.
//
//	TUN queue ─► reader ─► FIB ─► cut into the arena, GRE in front ─► owner: number, seal ─► underlay
//	TUN queue ◄─ join ◄─ FIB ◄─ GRE ◄─ window ◄─ open ◄─ SPI ◄─ not too late ◄─ receiver ◄─ underlay
//	                     │└► OSPF, returned keepalives: Handlers.Control
//	                     └─► another tunnel (TTL − 1) ─► arena; echo and keepalive answers ─► owner
//
// Packets travel in batches. One goroutine reads each TUN queue and one each outer socket; a batch runs
// to completion in its goroutine, without hand-off. The host's large packets are looked up, checked and
// clamped once; their segments are copied once, to where they are sealed, side by side in the worker's
// arena. What comes out of tunnels is not copied at all. Large packets for the host are lists of
// pieces; see package segment.
//
// Two locks, each once a batch: a tunnel belongs to an owner, under whose lock packets are numbered,
// sealed and sent, so that those of an SA leave in sequence order, which old peers with windows of 32
// need (docs/decisions/001). Opening needs no lock; under another, windows and counters are brought up to
// date, so that any receiver may have packets of any SA (docs/decisions/006).
//
// Our own packets go first: they leave behind the batch that is just being sent, and no batch takes long
// (pace.go). What receivers cannot open in time is dropped before it is opened, but for control packets,
// which have receivers of their own (codel.go). Engine.Loads tells how long packets wait.
//
// All that forwarding reads is an immutable view; Update publishes the next one. After Update has
// returned, no worker uses what it removed, so an SA's counters may be given to another. Handlers are
// called without a lock held. Every packet that is not forwarded is counted by reason.
//
// TTL: the kernel has counted its hop, so TUN to tunnel does not; tunnel to tunnel does. DSCP goes
// to the delivery and the outer header, ECN to the delivery header and back. Packets without an SA
// wait, at most 16 a tunnel: nothing leaves in clear.
//
// Read dataplane.go, view.go, engine.go, worker.go, outbound.go, owner.go, inbound.go, then pace.go,
// codel.go, load.go, control.go, drops.go.
// Follows RFC 2784, 2890, 4301, 4303, 3948, 1812, 1191, 6040, 8289; deviations are those of the packages
// below, and of RFC 8289 that in a standing queue no packet may wait longer than 25 ms.
package dataplane

// Package dataplane forwards packets between the host's TUN device and the tunnels: GRE inside ESP.
//
//	TUN queue ─► reader ─► FIB ─► owner: GRE ─► number ─► seal ─► underlay      outbound.go
//	TUN queue ◄─ FIB ◄─ GRE ◄─ window ◄─ open ◄─ SPI ◄─ receiver ◄─ underlay    inbound.go
//	                     │└► OSPF, returned keepalives: Handlers.Control
//	                     └─► another tunnel (TTL − 1), echo and keepalive answers ─► owner
//
// Packets travel in batches. One goroutine reads each TUN queue and one each outer socket; a batch
// runs to completion in its goroutine, without hand-off. A tunnel belongs to an owner, a lock that
// is taken once a batch: under it packets are numbered, sealed and sent, so that those of an SA
// leave in sequence order, which old peers with windows of 32 need.
//
// All that forwarding reads is an immutable View; Update publishes the next one. After Update has
// returned, no worker uses what it removed, so an SA's counters may be given to another. Handlers are
// called without a lock held. Every packet that is not forwarded is counted by reason.
//
// TTL: the kernel has counted its hop, so TUN to tunnel does not; tunnel to tunnel does. DSCP goes
// to the delivery and the outer header, ECN to the delivery header and back. Packets without an SA
// wait, at most 16 a tunnel: nothing leaves in clear.
//
// Read dataplane.go, view.go, engine.go, worker.go, outbound.go, inbound.go, control.go, drops.go.
// Follows RFC 2784, 2890, 4301, 4303, 3948, 1812, 1191, 6040; deviations are those of the packages below.
package dataplane

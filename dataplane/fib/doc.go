// Package fib is the forwarding table: longest prefix first, then one of the equal-cost next hops.
//
//	destination ─► a node for each byte ─► the last one's route ─► one next hop, by the packet's flow hash
//
//	t1 := New(routes)          t1 ──────────────► readers of the old View
//	t2 := t1.With(changes)     t2 ─ shares nodes ─► readers of the new one
//
// A Table never changes once made, so any number of goroutines look things up without a lock; a
// change makes another Table that shares what stayed the same. It knows IPv4 only, as the tunnels do.
// Lookup is NextHops, which a caller may remember for a run of packets, and Choose, which alone needs
// the flow hash.
//
// Flows are spread by rendezvous hashing (highest random weight): when a next hop leaves an
// equal-cost set, only its own flows move, and they move back when it returns.
//
// The trie is our own, since packages for that keep each route apart: with 100,000 routes and traffic to
// thousands of them, a look-up then waits for memory. See node.go.
//
// Read fib.go, node.go. It knows nothing of OSPF, tunnels or packets.
package fib

// Package xdp carries ESP packets (IP protocol 50) past the kernel's IP stack by AF_XDP sockets.
//
//	port ─► XDP program ─┬─ plain ESP to us ─► XSKMAP[queue] ─► rx ring ─► Receive(queue)
//	                     └─ everything else ─► kernel, as ever
//	Send ─► header + copy into a frame ─► tx ring ─► driver
//
// The program (program_linux.go) takes only what package ether calls plain; IKE, ARP, ping, fragments
// and the control class never notice it. It is attached by a link that ends with the process, in the driver if that can,
// else in the kernel's generic hook, and never in the place of another program.
//
// Each receive queue of the port has a socket of its own, up to Config.Queues of them; what arrives
// on a further queue goes to the kernel. A card with many queues spreads peers over them by their addresses,
// so the packets of one peer stay in order. Frames are copied between card and socket unless
// Config.ZeroCopy asks for more.
//
// One peer's packets leave by one socket too. Memory is bounded: 8 or 16 MiB a queue, locked.
//
// Read program_linux.go, queue_linux.go, then path_linux.go. Sources: Documentation/networking/af_xdp.rst of
// Linux and if_xdp.h. Systems other than Linux: Open says that it is missing.
package xdp

// Config is how to open a Path.
type Config struct {
	// Generic leaves the driver's hook alone, even if it has one.
	Generic bool
	// ZeroCopy lets the card work on our memory, if its driver can. Some drivers reset the link for it.
	ZeroCopy bool
	// Queues is how many receive queues get a socket; 0 means 8.
	Queues int
}

const defaultQueues = 8

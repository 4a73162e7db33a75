// Package xdp carries ESP packets (IP protocol 50) past the kernel's IP stack by AF_XDP sockets.
//
//	port ─► XDP program ─┬─ plain ESP to us ─► XSKMAP[queue] ─► rx ring ─► Receive(queue)
//	                     └─ everything else ─► kernel, as ever
//	Send ─► header + copy into a frame ─► tx ring ─► driver
//
// The program takes only what package ether calls plain; IKE, ARP, ping, fragments and the control
// class never notice it. It is attached by a link that ends with the process, where Mode says, and
// never in the place of another program.
//
// Each receive queue of the port has a socket of its own, up to Config.Queues of them; what arrives on
// a further queue goes to the kernel. A card spreads peers over its queues by their addresses, so the
// packets of one peer stay in order; Send chooses the queue by the peer as well. Packets are copied
// between card and frames (XDP_COPY), which every driver can do; a path is bounded by 8 MiB a queue,
// 16 with an MTU above 1778, locked and allocated at once.
//
// Operators should know: neither netfilter nor tcpdump on the host sees these packets, and no queueing
// discipline shapes them.
//
// Read program_linux.go, queue_linux.go, then path_linux.go. Sources: af_xdp.rst in Linux's
// Documentation/networking, and if_xdp.h. Systems other than Linux: Open says that it is missing.
package xdp

// Config is how to open a Path.
type Config struct {
	Mode Mode
	// Queues is how many receive queues get a socket; 0 means 8.
	Queues int
}

const defaultQueues = 8

// A Mode says where the program is attached.
type Mode uint8

// The modes. In the driver, packets are taken before the kernel has spent anything on them.
const (
	// Auto is Driver, or Generic if the driver has no hook; and always Generic on veth: a program in
	// the driver there takes segmentation offload away from the other end, and what goes by UDP then
	// has less than half its throughput, while ESP gains nothing as its frames are copied either way.
	Auto Mode = iota
	Driver
	Generic
)

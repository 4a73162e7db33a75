// Package tun opens the device through which the host's packets enter and leave the router.
//
//	host kernel ══ Read ══► Queue 0 ──► segment.Cutter ──► worker
//	            ◄═ Write ═══ Queue 0 ◄── segment.Merger ◄── workers      one Queue by default
//
// A packet that the host sends may stand for many (TCP and UDP segmentation offload), and so may a Group that it is
// given; package segment takes them apart and puts them together. On Linux the backend is our own: a virtio header
// goes with every packet (IFF_VNET_HDR), the offloads are asked for at the start, and Device.Offloads says what the
// kernel did not give. A read takes what is there, up to 64 packets or 256 KB, into one buffer; a Group is
// written with one writev. Elsewhere golang.zx2c4.com/wireguard/tun serves, and water in any case, without offloads.
// Pair and OffloadPair join two devices in memory for tests.
//
// A persistent device (Linux, TUNSETPERSIST) outlives the process together with its addresses and
// routes, and Open takes it over, with another number of queues if need be: such a device is made for
// many from the start, and that only one process has it open is then our own check. Delete ends it.
// Addresses, routes and the up flag are not the business of this package.
//
// Read tun.go, kernel_linux.go (the queue), tun_linux.go (the device); simple.go makes a Queue of a plain device, pair.go
// is the twin for tests. Linux, OpenBSD, FreeBSD and macOS have a backend; elsewhere Open says what is missing.
//
// Follows virtio 1.2, 5.1.6, and Linux's Documentation/networking/tuntap.rst.
package tun

// Package tun opens the device through which the host's packets enter and leave the router.
//
//	host kernel ◄══ batches ══► Queue 0 ◄──► worker 0
//	            ◄══ batches ══► Queue 1 ◄──► worker 1      one Queue by default
//
// A Queue reads and writes batches and has the shape of golang.zx2c4.com/wireguard/tun, so that
// this backend needs no adapter: on Linux it negotiates a virtio header with the kernel, and a
// 64 KB TCP segment crosses the boundary in one system call. The plain backend, water, moves one
// packet a call. Pair joins two devices in memory for tests.
//
// A persistent device (Linux, TUNSETPERSIST) outlives the process together with its addresses and
// routes, and Open takes it over; Delete ends it. Addresses, routes and the up flag are not the
// business of this package.
//
// Read tun.go, then tun_linux.go; pair.go is the twin for tests. Linux, OpenBSD, FreeBSD and
// macOS have a backend; elsewhere Open says what is missing.
package tun

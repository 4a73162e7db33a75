// Package ring carries ESP packets (IP protocol 50) past the kernel's IP stack by packet sockets
// (AF_PACKET): for interfaces where package xdp cannot work, such as those with another XDP program.
//
//	port ─► tap with filter ─► mapped ring ─► Receive
//	     └► tcx program: drops what the tap took ─► kernel: everything else, as ever
//	Send ─► header + sealed packet ─► sendmmsg, past the queueing discipline ─► driver
//
// A packet socket gets copies: the kernel would deliver each packet once more to the raw socket, and
// no socket filter there could tell a packet that came whole from one that was put together of
// fragments. So a tcx program, which runs behind the tap, drops exactly what the tap's filter takes: both are the
// same instructions. It ends with the process. That needs Linux 6.6.
//
// The ring is of version 2, whose packets are there at once. Version 3 hands out blocks, when full or after
// a time that counts in milliseconds, more than a tunnel may add.
//
// Receive never waits for room: what arrives while the ring is full is lost and counted.
//
// Read program_linux.go, then path_linux.go. Sources: packet(7) and packet_mmap.rst of Linux. Systems
// other than Linux: Open says that it is missing.
package ring

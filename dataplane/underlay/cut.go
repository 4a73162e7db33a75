package underlay

import (
	"slices"
	"unsafe"

	"meshrouter/dataplane/esp"
)

const (
	// maxSegments is how many datagrams leave as one: what every kernel with UDP_SEGMENT takes.
	maxSegments = 64
	// maxRun is how many bytes leave as one. A frame of 65,536 bytes, Ethernet header included, is cut
	// in software by Linux before any device sees it (GSO_LEGACY_MAX_SIZE); the rest is room for headers.
	maxRun = 65536 - 256
)

// cut appends to ps the datagrams that the kernel has joined to one, each of size bytes but for a
// shorter last one; size 0: it is one. Each is a packet like one, but for payload and kind.
func cut(ps []Packet, one Packet, joined []byte, size int, nat bool) []Packet {
	if size <= 0 {
		size = len(joined)
	}
	for len(joined) > size {
		one.classify(joined[:size:size], nat)
		ps = append(ps, one)
		joined = joined[size:]
	}
	one.classify(slices.Clip(joined), nat)
	return append(ps, one)
}

// runOf is how many packets from the front of ps can leave as one datagram that the kernel or the device
// cuts: to one destination, with one TOS, and of one size, but for a shorter last one.
func runOf(ps []esp.Sealed) int {
	sa, tos, size := ps[0].SA(), ps[0].TOS(), len(ps[0].Bytes())
	dst, total := sa.Dst(), size
	n := 1
	for n < len(ps) && n < maxSegments {
		p := ps[n]
		length := len(p.Bytes())
		if length > size || total+length > maxRun || p.TOS() != tos || (p.SA() != sa && p.SA().Dst() != dst) {
			break
		}
		n++
		total += length
		if length < size {
			break // the last
		}
	}
	return n
}

// follows reports whether b lies in memory right behind a.
func follows(a, b []byte) bool {
	end := uintptr(unsafe.Pointer(unsafe.SliceData(a))) + uintptr(len(a)) //nolint:gosec // G103: addresses are compared only
	return uintptr(unsafe.Pointer(unsafe.SliceData(b))) == end            //nolint:gosec // G103: as above
}

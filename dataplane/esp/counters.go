package esp

import (
	"fmt"
	"sync/atomic"
	"unsafe"
)

// windowWords is the size of the anti-replay window in words of 64 sequence numbers.
const windowWords = 64

// WindowSize is how many sequence numbers, counted back from the highest, the anti-replay window
// remembers (RFC 4303, 3.4.3).
const WindowSize = windowWords * 64

// Counters is what of an SA must outlive the process: plain memory of a fixed layout without
// pointers, in the byte order of the machine. The SA's owner alone stores, one word at a time, so
// that a process killed in between leaves every word whole; anyone may load. All zero is a new SA.
type Counters struct {
	// NextSeq is the next sequence number to hand out, stored before anything numbered below it is
	// sent; 0 means 1, and 2^32 that none is left.
	NextSeq atomic.Uint64
	// HighSeq is the highest sequence number received and authenticated; 0: none.
	HighSeq atomic.Uint64
	// Window holds a bit for each of the last WindowSize sequence numbers, at number mod WindowSize.
	Window [windowWords]atomic.Uint64

	Packets          atomic.Uint64 // sealed, or opened without an error
	Bytes            atomic.Uint64 // payload bytes of these, without ESP's own
	LastUsedUnixNano atomic.Uint64 // see SA.Touch; 0: never

	ReplayDrops  atomic.Uint64 // sequence number 0, left of the window, or seen before
	AuthDrops    atomic.Uint64 // the ICV did not match
	PaddingDrops atomic.Uint64 // authentic, but the trailer makes no sense
	LengthDrops  atomic.Uint64 // too short, or no whole number of blocks

	_ [7]atomic.Uint64 // room to grow without moving what a state file holds
}

// CountersSize is the size of Counters in bytes, a multiple of 64.
const CountersSize = int(unsafe.Sizeof(Counters{}))

// CountersAt returns the Counters that lie at the beginning of b, usually a mapped file. It panics
// unless b is at least CountersSize bytes long and begins at a multiple of 8.
func CountersAt(b []byte) *Counters {
	if len(b) < CountersSize {
		panic(fmt.Sprintf("esp: CountersAt: have %d bytes, need %d", len(b), CountersSize))
	}
	p := unsafe.Pointer(unsafe.SliceData(b)) //nolint:gosec // G103: a mapped file has no typed view; size and alignment are checked
	if uintptr(p)%unsafe.Alignof(uint64(0)) != 0 || uintptr(p)%8 != 0 {
		panic("esp: CountersAt: memory is not aligned to 8 bytes")
	}
	return (*Counters)(p)
}

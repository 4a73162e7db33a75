package esp

import "errors"

// ErrReplay means that a sequence number is 0, left of the anti-replay window, or was seen before.
var ErrReplay = errors.New("esp: replayed sequence number")

// ReplayCheck is the check before authentication that saves the work (RFC 4303, 3.4.3): ErrReplay,
// counted, for a sequence number that ReplayUpdate would refuse now.
func (sa *SA) ReplayCheck(seq uint32) error {
	if !sa.fresh(uint64(seq)) {
		return sa.replayed()
	}
	return nil
}

// Fresh is ReplayCheck without counting. Any goroutine may ask; its answer is final only in Job.Accept.
func (sa *SA) Fresh(seq uint32) bool { return sa.fresh(uint64(seq)) }

// ReplayUpdate enters the sequence number of an authentic packet before the packet is delivered. It
// refuses and counts one that was entered since ReplayCheck, such as a second copy in one batch.
func (sa *SA) ReplayUpdate(seq uint32) error {
	s := uint64(seq)
	if !sa.fresh(s) {
		return sa.replayed()
	}
	c := sa.counters
	// HighSeq moves first: killed before the bits follow, we forget to accept some number, which
	// costs a packet; the other order would forget that one was seen.
	if high := c.HighSeq.Load(); s > high {
		c.HighSeq.Store(s)
		c.forget(high+1, s)
	}
	w := &c.Window[s/64%windowWords]
	w.Store(w.Load() | 1<<(s%64))
	return nil
}

// fresh reports whether seq would be accepted. A number beyond the window is always fresh.
func (sa *SA) fresh(seq uint64) bool {
	c := sa.counters
	high := c.HighSeq.Load()
	switch {
	case seq == 0:
		return false
	case seq > high:
		return true
	case high-seq >= WindowSize:
		return false
	}
	return c.Window[seq/64%windowWords].Load()&(1<<(seq%64)) == 0
}

func (sa *SA) replayed() error {
	add(&sa.counters.ReplayDrops, 1)
	return ErrReplay
}

// forget clears the bits of the numbers from first to last, which stood for numbers that have left
// the window.
func (c *Counters) forget(first, last uint64) {
	first = max(first, last-min(last, WindowSize-1))
	for first <= last {
		mask := ^uint64(0) << (first % 64)
		end := first | 63
		if end >= last {
			mask &= ^uint64(0) >> (63 - last%64)
			end = last
		}
		if w := &c.Window[first/64%windowWords]; w.Load()&mask != 0 {
			w.Store(w.Load() &^ mask)
		}
		first = end + 1
	}
}

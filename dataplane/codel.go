package dataplane

import (
	"math"
	"time"
)

// The queue of a receiver is the kernel's. How long a packet has waited there is known when it is taken
// out, and so the queue can be kept short from this end.
const (
	// codelTarget is how long packets may wait for ever, codelInterval for how long they may wait
	// longer (RFC 8289, 4.2 and 4.3).
	codelTarget   = 5 * time.Millisecond
	codelInterval = 100 * time.Millisecond
	// codelLimit is how long no packet may wait once the queue has stood for an interval. A flood that
	// does not slow down when packets are lost fills it faster than the control law empties it.
	codelLimit = 25 * time.Millisecond
	// codelShort is how many packets that were found waiting are no queue (RFC 8289, 5.6 has one). If they
	// are late, then because this process did not run, and dropping them would mend nothing.
	codelShort = 16
)

// A codel decides which data packets of a queue are dropped (RFC 8289, 5). Times are Unix nanoseconds.
type codel struct {
	dropping   bool
	firstAbove int64 // when the wait will have been above the target for an interval; 0: it is below
	dropNext   int64
	count      uint32 // drops since dropping began
	lastCount  uint32
}

// drop reports whether the packet that was taken out at time now, as one of so many, and has waited so
// long, is dropped.
func (c *codel) drop(now int64, wait time.Duration, packets int) bool {
	if wait < codelTarget || packets < codelShort {
		c.firstAbove, c.dropping = 0, false
		return false
	}
	if c.firstAbove == 0 {
		c.firstAbove = now + int64(codelInterval)
	}
	above := now >= c.firstAbove
	switch {
	case c.dropping && now >= c.dropNext:
		c.count++
		c.dropNext = next(c.dropNext, c.count)
		return true
	case c.dropping:
		return wait > codelLimit
	case !above:
		return false
	}
	// It was dropping a short while ago, so the rate that worked then is where to begin.
	delta := c.count - c.lastCount
	c.count = 1
	if delta > 1 && now-c.dropNext < 16*int64(codelInterval) {
		c.count = delta
	}
	c.dropping, c.lastCount = true, c.count
	c.dropNext = next(now, c.count)
	return true
}

// next is the control law: drops come closer by the square root of their number.
func next(t int64, count uint32) int64 {
	return t + int64(float64(codelInterval)/math.Sqrt(float64(count)))
}

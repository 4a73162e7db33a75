package dataplane

import (
	"sync/atomic"
	"time"
)

const (
	// turn is how long one batch may take: whoever is next, control packets first of all, waits that
	// long. A slow cipher gets smaller batches.
	turn = 500 * time.Microsecond
	// paceSample is the least batch that says something about the speed, bytes.
	paceSample = 4096
	// firstPace is what is assumed before anything was measured, nanoseconds a KB. No batch is too large then.
	firstPace = 1000
	// The bounds of a batch, bytes: the smaller one fills the lanes of no cipher, but is some progress.
	minBatchBytes, maxBatchBytes = 8 << 10, 192 << 10
)

// A pace measures how long a batch takes, and says how large the next may be. One goroutine at a time
// adds, any may ask. The zero value knows nothing and allows the largest batch.
type pace struct{ perKB atomic.Int64 } // nanoseconds, a moving average

// add takes a batch into account. One that took long because the goroutine was not running says little,
// so the average rises slowly and falls fast.
func (p *pace) add(bytes int, took time.Duration) {
	if bytes < paceSample || took <= 0 {
		return
	}
	sample, old := int64(took)*1024/int64(bytes), max(p.perKB.Load(), firstPace)
	if sample > old {
		sample = old + (min(sample, 2*old)-old)/8
	} else {
		sample = (sample + old) / 2
	}
	p.perKB.Store(max(sample, firstPace))
}

// batch is how many bytes a batch may have.
func (p *pace) batch() int {
	n := max(p.perKB.Load(), firstPace)
	return int(min(max(int64(turn)*1024/n, minBatchBytes), maxBatchBytes))
}

package bench

import (
	"math/bits"
	"time"
)

// The workers that send and receive UDP packets.
const (
	SendWorker    = "send"    // FROM TO, addresses with ports
	ReceiveWorker = "receive" // ADDRESS
)

// A packet of the generator begins with these, in the machine's own order; the rest is zeros.
const (
	blastRun    = 0 // 8 bytes: which trial it belongs to
	blastTime   = 8 // 8 bytes: when it was sent, ns of the monotonic clock, which all namespaces share
	blastHeader = 16
)

// A histogram counts durations in buckets that are 3 % wide at most.
type histogram struct {
	counts [64 * buckets]uint32
	total  int
}

const (
	bucketBits = 5
	buckets    = 1 << bucketBits // for each power of two
)

func (h *histogram) add(d time.Duration) {
	h.counts[bucketOf(uint64(max(d, 0)))]++
	h.total++
}

func bucketOf(v uint64) int {
	if v < buckets {
		return int(v)
	}
	shift := bits.Len64(v) - bucketBits - 1
	return (shift+1)<<bucketBits + int(v>>shift) - buckets //nolint:gosec // small
}

// lower is the least value of a bucket.
func lower(bucket int) uint64 {
	if bucket < buckets {
		return uint64(bucket) //nolint:gosec // not negative
	}
	shift := bucket>>bucketBits - 1
	return uint64(bucket&(buckets-1)+buckets) << shift
}

// quantile is the duration that a share q of all does not exceed, to the bucket's lower end.
func (h *histogram) quantile(q float64) time.Duration {
	seen, want := 0, q*float64(h.total)
	for i, n := range h.counts {
		if seen += int(n); n > 0 && float64(seen) >= want {
			return time.Duration(lower(i)) //nolint:gosec // it was a duration
		}
	}
	return 0
}

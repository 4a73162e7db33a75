package bench

import (
	"testing"
	"time"
)

// A bucket's lower end is at most 1/32 below any value in it.
func TestBuckets(t *testing.T) {
	t.Parallel()
	last := -1
	for _, v := range []uint64{0, 1, 31, 32, 33, 63, 64, 65, 1000, 1023, 1024, 1_000_000, 1 << 40, 1<<62 + 12345} {
		b := bucketOf(v)
		if b <= last && v > 33 && b != last {
			t.Errorf("%d is in bucket %d, after %d", v, b, last)
		}
		last = b
		if low := lower(b); low > v || float64(v-low) > float64(v)/32 {
			t.Errorf("%d is in bucket %d, which begins at %d", v, b, low)
		}
		if b > 0 && bucketOf(lower(b)-1) != b-1 {
			t.Errorf("bucket %d does not begin at %d", b, lower(b))
		}
	}
}

func TestHistogram(t *testing.T) {
	t.Parallel()
	var h histogram
	if got := h.quantile(0.99); got != 0 {
		t.Errorf("an empty histogram has the quantile %v", got)
	}
	for i := range 1000 {
		h.add(time.Duration(i+1) * time.Microsecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 500 * time.Microsecond, 0.99: 990 * time.Microsecond, 0.999: 999 * time.Microsecond} {
		if got := h.quantile(q); got > want || got < want*31/32 {
			t.Errorf("quantile %v is %v, want %v or 3 %% less", q, got, want)
		}
	}
}

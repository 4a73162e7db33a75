package bench

import (
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A Sample is what one figure was in the rounds of a run.
type Sample struct {
	Median float64 `json:"median"`
	P10    float64 `json:"p10"`
	P90    float64 `json:"p90"`
	N      int     `json:"n"` // rounds
}

// newSample sorts the values of the rounds.
func newSample(values []float64) Sample {
	s := slices.Sorted(slices.Values(values))
	return Sample{digits(quantile(s, 0.5)), digits(quantile(s, 0.1)), digits(quantile(s, 0.9)), len(s)}
}

// quantile interpolates between the two sorted values next to the place of q; 0 without values.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	place := q * float64(len(sorted)-1)
	low := int(place)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (place-float64(low))*(sorted[high]-sorted[low])
}

// digits rounds to five significant digits, more than any figure here is worth.
func digits(v float64) float64 {
	v, _ = strconv.ParseFloat(strconv.FormatFloat(v, 'g', 5, 64), 64)
	return v
}

// ratios divides a by b, round by round.
func ratios(a, b []float64) []float64 {
	r := make([]float64, min(len(a), len(b)))
	for i := range r {
		if b[i] != 0 {
			r[i] = a[i] / b[i]
		}
	}
	return r
}

// Rounds are how often entries are measured: until budget is used up, but least times at any rate
// and most times at the utmost. What would not end before the deadline is not begun, but for the first one.
type rounds struct {
	budget, slice time.Duration
	least, most   int
	deadline      time.Time // zero: none
}

// run measures each of n entries once a round, in an order shuffled afresh, and returns the values of
// each entry, by round.
func (r rounds) run(ctx context.Context, n int, measure func(entry int) (float64, error)) ([][]float64, error) {
	values := make([][]float64, n)
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	random := rand.New(rand.NewPCG(uint64(n), 1)) //nolint:gosec // an order, no secret; the same in each run
	begun := time.Now()
	for round := 0; round < r.most; round++ {
		if used := time.Since(begun); round > 0 {
			next := used / time.Duration(round)
			if round >= r.least && used+next > r.budget || !r.deadline.IsZero() && time.Now().Add(next).After(r.deadline) {
				break // the next one would not fit
			}
		}
		random.Shuffle(n, func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, entry := range order {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			v, err := measure(entry)
			if err != nil {
				return nil, err
			}
			values[entry] = append(values[entry], v)
		}
	}
	return values, nil
}

// perSecond calls work for about the slice and returns calls per second of processor time.
func perSecond(slice time.Duration, work func()) float64 {
	calls, used := timed(slice, work)
	return float64(calls) / used.Seconds()
}

// timed calls work for about the slice, and counts calls and the processor time that they took. The clocks
// are read so rarely that it does not show.
func timed(slice time.Duration, work func()) (calls int, used time.Duration) {
	between := 1
	begun, before := time.Now(), cpuTime()
	for {
		for range between {
			work()
		}
		calls += between
		wall := time.Since(begun)
		if wall >= slice {
			return calls, max(cpuTime()-before, 1)
		}
		if wall < slice/16 {
			between *= 2
		}
	}
}

// cpuTime is the processor time that this process has used, the garbage collector's included. What
// else runs on the machine does not count, so figures of one core hold on a busy machine too.
func cpuTime() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u) // never fails on ourselves
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// voidRounds are the rounds in which the control reached less than half of its median: something else
// had the machine.
func voidRounds(control []float64) map[int]bool {
	void := make(map[int]bool)
	median := newSample(control).Median
	for i, v := range control {
		if v < median/2 {
			void[i] = true
		}
	}
	return void
}

// without leaves the void rounds out.
func without[T any](values []T, void map[int]bool) []T {
	kept := make([]T, 0, len(values))
	for i, v := range values {
		if !void[i] {
			kept = append(kept, v)
		}
	}
	return kept
}

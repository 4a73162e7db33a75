package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

func TestSample(t *testing.T) {
	t.Parallel()
	tests := []struct {
		values []float64
		want   Sample
	}{
		{nil, Sample{0, 0, 0, 0}},
		{[]float64{7}, Sample{7, 7, 7, 1}},
		{[]float64{3, 1}, Sample{2, 1.2, 2.8, 2}},
		{[]float64{30, 10, 20}, Sample{20, 12, 28, 3}},
		{[]float64{11, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, Sample{6, 2, 10, 11}},
		{[]float64{5, 5, 1000, 5, 5}, Sample{5, 5, 602, 5}}, // a disturbed round moves p90, not the median
	}
	for _, test := range tests {
		given := slices.Clone(test.values)
		got := newSample(test.values)
		if !near(got.Median, test.want.Median) || !near(got.P10, test.want.P10) || !near(got.P90, test.want.P90) || got.N != test.want.N {
			t.Errorf("newSample(%v) = %+v, want %+v", given, got, test.want)
		}
		if !slices.Equal(given, test.values) {
			t.Errorf("newSample has reordered %v to %v", given, test.values)
		}
	}
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

// A ratio belongs to its round: a machine that is twice as slow for one round changes neither.
func TestRatiosWithinRounds(t *testing.T) {
	t.Parallel()
	got := ratios([]float64{20, 10, 40}, []float64{10, 5, 20})
	if want := []float64{2, 2, 2}; !slices.Equal(got, want) {
		t.Errorf("ratios = %v, want %v", got, want)
	}
}

func TestEachEntryOnceARound(t *testing.T) {
	t.Parallel()
	var order []int
	values, err := rounds{least: 5, most: 5}.run(t.Context(), 4, func(entry int) (float64, error) {
		order = append(order, entry)
		return float64(len(order)), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	orders := make(map[string]bool)
	for round := range 5 {
		of := order[4*round:][:4]
		orders[fmt.Sprint(of)] = true
		for place, entry := range of {
			if got, want := values[entry][round], float64(4*round+place+1); got != want {
				t.Errorf("entry %d has %v in round %d, want %v", entry, got, round, want)
			}
		}
		if sorted := slices.Sorted(slices.Values(of)); !slices.Equal(sorted, []int{0, 1, 2, 3}) {
			t.Errorf("round %d measured %v, want each entry once", round, of)
		}
	}
	if len(orders) < 2 {
		t.Errorf("all rounds have the order %v, want it shuffled", order[:4])
	}
}

func TestRoundsEnd(t *testing.T) {
	t.Parallel()
	count := func(r rounds) int {
		values, err := r.run(t.Context(), 1, func(int) (float64, error) { return 1, nil })
		if err != nil {
			t.Fatal(err)
		}
		return len(values[0])
	}
	if got := count(rounds{budget: 0, least: 3, most: 15}); got != 3 {
		t.Errorf("%d rounds without a budget, want the least, 3", got)
	}
	if got := count(rounds{budget: time.Hour, least: 3, most: 15}); got != 15 {
		t.Errorf("%d rounds with an endless budget, want the most, 15", got)
	}
	if got := count(rounds{budget: time.Hour, least: 3, most: 15, deadline: time.Now()}); got != 1 {
		t.Errorf("%d rounds after the deadline, want one", got)
	}
	failure := errors.New("failure")
	if _, err := (rounds{least: 3, most: 3}).run(t.Context(), 1, func(int) (float64, error) { return 0, failure }); !errors.Is(err, failure) {
		t.Errorf("error %v, want %v", err, failure)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (rounds{least: 3, most: 3}).run(ctx, 1, func(int) (float64, error) { return 0, nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

func TestPerSecondCountsWork(t *testing.T) {
	t.Parallel()
	calls, x := 0, 1.0
	rate := perSecond(20*time.Millisecond, func() {
		calls++
		for range 1000 {
			x = math.Sqrt(x + 1)
		}
	})
	if calls == 0 || rate <= 0 || math.IsInf(rate, 0) {
		t.Errorf("%d calls at %v a second", calls, rate)
	}
}

func TestVoidRounds(t *testing.T) {
	t.Parallel()
	void := voidRounds([]float64{100, 49, 110, 51, 105})
	if got := without([]string{"a", "b", "c", "d", "e"}, void); !slices.Equal(got, []string{"a", "c", "d", "e"}) {
		t.Errorf("kept %v, want all but the round with less than half of the median, b", got)
	}
}

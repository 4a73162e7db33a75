package bench

import (
	"errors"
	"testing"
)

func TestSearchFindsTheEdge(t *testing.T) {
	t.Parallel()
	for _, hint := range []float64{1, 900, 1000, 1001, 50_000} {
		tries := 0
		got, err := search{1.5, 6}.highest(hint, func(rate float64) (bool, error) {
			tries++
			return rate <= 1000, nil
		})
		if err != nil || got > 1000 || got < 990 {
			t.Errorf("from %v: %v, %v, want just below 1000", hint, got, err)
		}
		if tries > 60 {
			t.Errorf("from %v: %d tries", hint, tries)
		}
	}
}

// A rate that fails once holds all the same; one that fails twice does not.
func TestSearchForgivesOnce(t *testing.T) {
	t.Parallel()
	tried := make(map[float64]int)
	got, err := search{2, 8}.highest(100, func(rate float64) (bool, error) {
		tried[rate]++
		return rate <= 1000 && tried[rate] > 1, nil
	})
	if err != nil || got < 990 || got > 1000 {
		t.Errorf("%v, %v, want just below 1000", got, err)
	}
}

func TestSearchEnds(t *testing.T) {
	t.Parallel()
	if got, err := (search{2, 8}).highest(100, func(float64) (bool, error) { return false, nil }); got != 0 || err != nil {
		t.Errorf("%v, %v where nothing holds, want 0", got, err)
	}
	failure := errors.New("failure")
	for _, from := range []float64{50, 100, 1000} {
		_, err := search{2, 8}.highest(from, func(rate float64) (bool, error) {
			if rate == 100 {
				return false, failure
			}
			return rate < 100, nil
		})
		if from == 100 && !errors.Is(err, failure) {
			t.Errorf("error %v, want %v", err, failure)
		}
	}
}

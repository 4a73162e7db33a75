package bench

// A search is how the highest rate that holds is found: steps of a factor until it lies between two,
// then that many halvings.
type search struct {
	factor   float64
	halvings int
}

// highest finds the highest rate at which holds is true, beginning at hint; 0: not even one a second.
// Noise makes a rate that would hold fail now and then, so one that fails is tried once more.
func (s search) highest(hint float64, holds func(rate float64) (bool, error)) (float64, error) {
	var failure error
	try := func(rate float64) bool {
		for range 2 {
			ok, err := holds(rate)
			if err != nil {
				failure = err
			}
			if ok || err != nil {
				return ok && err == nil
			}
		}
		return false
	}
	low, high := hint, hint
	if try(hint) {
		for high *= s.factor; try(high); high *= s.factor {
			low = high
		}
	} else {
		for low /= s.factor; failure == nil && !try(low); low /= s.factor {
			if high = low; low < 1 {
				return 0, nil
			}
		}
	}
	for i := 0; i < s.halvings && failure == nil; i++ {
		if middle := (low + high) / 2; try(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return low, failure
}

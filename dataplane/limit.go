package dataplane

import "time"

// A limiter is a token bucket. It belongs to one goroutine or lock.
type limiter struct {
	tokens float64
	last   time.Time
}

// allow takes a token at now, of a bucket that holds burst and gains rate a second.
func (l *limiter) allow(now time.Time, rate, burst float64) bool {
	if l.last.IsZero() {
		l.tokens = burst
	} else if d := now.Sub(l.last); d > 0 {
		l.tokens = min(burst, l.tokens+d.Seconds()*rate)
	}
	l.last = now
	if l.tokens < 1 {
		return false
	}
	l.tokens--
	return true
}

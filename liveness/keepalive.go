package liveness

import "time"

// slack is how much too early a Tick may come and still be on time: the caller's timer trembles, and a
// keepalive that waits for the next turn would halve the rate.
const slack = 100 * time.Millisecond

// A Keepalive watches one tunnel by GRE keepalives. It begins as if the tunnel were alive.
type Keepalive struct {
	Interval time.Duration // between two keepalives
	Count    int           // unanswered ones that make the tunnel lost

	next       time.Time
	unanswered int
	lost       bool
}

// Tick reports whether a keepalive is to be sent now, and whether the tunnel has just become lost.
func (k *Keepalive) Tick(now time.Time) (send, lost bool) {
	if now.Add(slack).Before(k.next) {
		return false, false
	}
	k.next = now.Add(k.Interval)
	lost = !k.lost && k.unanswered >= k.Count
	k.lost = k.lost || lost
	k.unanswered++
	return true, lost
}

// Heard takes the return of a keepalive and reports whether the tunnel was lost until now.
func (k *Keepalive) Heard() (recovered bool) {
	recovered = k.lost
	k.unanswered, k.lost = 0, false
	return recovered
}

// Lost reports whether the tunnel is lost.
func (k *Keepalive) Lost() bool { return k.lost }

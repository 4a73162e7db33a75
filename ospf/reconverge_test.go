package ospf_test

import (
	"testing"
	"time"

	"meshrouter/ospf"
)

// settledWithin runs w until every router has the oracle's routes, and fails when that takes longer than d.
func (w *world) settledWithin(what string, d time.Duration) {
	w.t.Helper()
	start, want := w.Now(), w.oracle()
	const step = 10 * time.Millisecond
	for range d / step {
		w.Run(step)
		if equalRoutes(want, w.told()) {
			w.t.Logf("%s: %v", what, w.Now().Sub(start))
			return
		}
	}
	w.Run(time.Minute)
	w.t.Errorf("%s: not within %v", what, d)
	w.check()
}

func equalRoutes(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

// TestFirstChangeGoesOutAtOnce: from nothing to all routes, and from a restart back to them, takes the round trips of the
// exchanges and one SPFDelay: no MinLSInterval and no MinLSArrival is waited for. (12.4; 13 (5)(a))
func TestFirstChangeGoesOutAtOnce(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		w := newWorld(t, seed, 5, 5)
		for _, l := range w.Links() {
			l.Delay = 5 * time.Millisecond // but the first Hellos have up to 50 ms to go
		}
		w.settledWithin("start", 500*time.Millisecond)
		w.Run(30 * time.Second)
		for _, r := range w.Routers() {
			r.Kill()
			w.Run(800 * time.Millisecond)
			r.Restart()
			w.settledWithin("restart of "+r.Name, 400*time.Millisecond)
			w.Run(30 * time.Second)
		}
	}
}

// TestQuickRestartIsNoLoss: a neighbor that has restarted and is back at once is not announced as lost, so that its LSA is
// all that changes and the routes through everyone else stay.
func TestQuickRestartIsNoLoss(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3, 4, 4)
	w.Run(30 * time.Second)
	r := w.Routers()[1]
	before := map[ospf.RouterID]uint32{}
	for _, l := range w.Routers()[0].Instance.Database(w.Now()) {
		before[l.AdvRouter] = l.Sequence
	}
	r.Kill()
	w.Run(500 * time.Millisecond)
	r.Restart()
	w.Run(20 * time.Second)
	w.check()
	for _, l := range w.Routers()[0].Instance.Database(w.Now()) {
		want := before[l.AdvRouter]
		if l.AdvRouter == r.Config.RouterID {
			want++
		}
		if l.Sequence != want {
			t.Errorf("the LSA of %v went from %08x to %08x, want %08x", l.AdvRouter, before[l.AdvRouter], l.Sequence, want)
		}
	}
}

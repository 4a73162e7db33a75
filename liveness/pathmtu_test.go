package liveness

import (
	"testing"
	"time"
)

// A way drops probes that are larger than it.
type way struct {
	p    *PathMTU
	now  time.Time
	size int // the largest that passes; 0: nothing comes back
}

func newWay(size int) *way {
	p := new(PathMTU)
	p.SetMax(1414)
	return &way{p, time.Unix(1_000_000, 0), size}
}

// run lets time pass in steps of a second, as the router does, and counts probes and changes.
func (w *way) run(d time.Duration) (probes, changes int) {
	for end := w.now.Add(d); w.now.Before(end); w.now = w.now.Add(time.Second) {
		size, seq, changed := w.p.Tick(w.now)
		if changed {
			changes++
		}
		if size == 0 {
			continue
		}
		probes++
		if size <= w.size && w.p.Heard(w.now.Add(20*time.Millisecond), seq) {
			changes++
		}
	}
	return probes, changes
}

func TestPathMTUOfACleanPath(t *testing.T) {
	w := newWay(9000)
	probes, changes := w.run(10 * time.Second)
	if w.p.MTU() != 1414 || changes != 0 || !w.p.Confirmed() || probes > 3 {
		t.Errorf("MTU %d after %d probes and %d changes, confirmed %v", w.p.MTU(), probes, changes, w.p.Confirmed())
	}
	if probes, _ = w.run(10 * time.Minute); probes > 21 {
		t.Errorf("%d probes in 10 minutes to confirm", probes)
	}
}

// RFC 8899, 5.3: every size is found, whatever it is, within half a minute, and never is one used that does
// not pass once the search is over.
func TestPathMTUFindsEverySize(t *testing.T) {
	for size := MinMTU; size <= 1500; size++ {
		w := newWay(size)
		_, changes := w.run(40 * time.Second)
		want := min(size, 1414)
		if got := w.p.MTU(); got > want || got <= want-probeStep || !w.p.Confirmed() {
			t.Fatalf("path of %d: MTU %d, confirmed %v", size, got, w.p.Confirmed())
		}
		if limit := min(1, 1414-want); changes != limit {
			t.Fatalf("path of %d: %d changes", size, changes)
		}
	}
}

func TestPathMTUOfASilentPeer(t *testing.T) {
	w := newWay(0)
	if probes, changes := w.run(10 * time.Minute); w.p.MTU() != 1414 || changes != 0 || probes > 70 {
		t.Errorf("MTU %d, %d changes, %d probes: a peer that answers nothing must leave the tunnel alone", w.p.MTU(), changes, probes)
	}
}

// RFC 8899, 4.3: a black hole that comes later is noticed by the confirmation.
func TestPathMTUNoticesABlackHole(t *testing.T) {
	w := newWay(1500)
	w.run(time.Minute)
	w.size = 1300
	w.run(90 * time.Second)
	if got := w.p.MTU(); got > 1300 || got <= 1300-probeStep {
		t.Errorf("MTU %d on a path that has shrunk to 1300", got)
	}
	w.size = 1360
	w.run(12 * time.Minute)
	if got := w.p.MTU(); got > 1360 || got <= 1360-probeStep || !w.p.Confirmed() {
		t.Errorf("MTU %d on a path that has grown to 1360", got)
	}
	w.size = 1500
	w.run(12 * time.Minute)
	if got := w.p.MTU(); got != 1414 {
		t.Errorf("MTU %d on a path that has grown again", got)
	}
}

func TestPathMTUIgnoresStaleAnswers(t *testing.T) {
	w := newWay(0)
	size, seq, _ := w.p.Tick(w.now)
	if size == 0 {
		t.Fatal("no probe")
	}
	if w.p.Heard(w.now, seq+1) || w.p.phase != phaseBase {
		t.Error("the answer to another probe was taken")
	}
	w.p.SetMax(1400) // UDP encapsulation was found
	if w.p.Heard(w.now, seq) || w.p.MTU() != 1400 || w.p.phase != phaseBase {
		t.Errorf("an answer from before: MTU %d, phase %d", w.p.MTU(), w.p.phase)
	}
}

// What the path was found to carry holds while a new search goes on, whatever the largest size is then.
func TestPathMTUHoldsWhileItSearchesAnew(t *testing.T) {
	for _, c := range []struct{ path, to int }{{1300, 1422}, {1300, 1200}, {9000, 1422}, {9000, 1200}} {
		w := newWay(c.path)
		w.run(time.Minute)
		meanwhile := c.to
		if found := w.p.MTU(); found < 1414 { // else all that was tried has passed, and more may
			meanwhile = min(found, c.to)
		}
		w.p.SetMax(c.to)
		if got := w.p.MTU(); got != meanwhile || w.p.Confirmed() {
			t.Errorf("path of %d, now at most %d: MTU %d, want %d; confirmed %v", c.path, c.to, got, meanwhile, w.p.Confirmed())
		}
		w.run(time.Minute)
		if got, want := w.p.MTU(), min(c.path, c.to); got > want || got <= want-probeStep || !w.p.Confirmed() {
			t.Errorf("path of %d, now at most %d: MTU %d, confirmed %v after the search", c.path, c.to, got, w.p.Confirmed())
		}
	}
}

package sim

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// An echo answers every number below 100 with the next one, and counts its ticks.
type echo struct {
	w          *World
	name, peer string
	got        []string
	every      time.Duration
	next       time.Time
	ticks      int
}

func (e *echo) Handle(now time.Time, input any) {
	e.got = append(e.got, fmt.Sprintf("%s %v", now.Sub(start), input))
	if n, ok := input.(int); ok && n < 100 {
		e.w.Send(e.name, e.peer, n+1)
	}
}

func (e *echo) Tick(now time.Time) {
	e.ticks++
	e.next = now.Add(e.every)
}

func (e *echo) Deadline() time.Time { return e.next }

func pair(seed uint64, l Link) (*World, *echo, *echo) {
	w := New(seed, start)
	a, b := &echo{w: w, name: "a", peer: "b"}, &echo{w: w, name: "b", peer: "a"}
	w.Add("a", a)
	w.Add("b", b)
	w.Connect("a", "b", l)
	return w, a, b
}

func TestDelayAndOrder(t *testing.T) {
	t.Parallel()
	w, a, b := pair(1, Link{Delay: 10 * time.Millisecond})
	w.After(time.Second, "a", 98)
	if err := w.Run(2 * time.Second); err != nil {
		t.Fatal(err)
	}
	if want := []string{"1s 98", "1.02s 100"}; !slices.Equal(a.got, want) {
		t.Errorf("a got %v, want %v", a.got, want)
	}
	if want := []string{"1.01s 99"}; !slices.Equal(b.got, want) {
		t.Errorf("b got %v, want %v", b.got, want)
	}
	if got := w.Now().Sub(start); got != 2*time.Second {
		t.Errorf("now is %s, want 2s", got)
	}
}

// TestSeed: the same seed, the same course; loss, duplication and reordering happen.
func TestSeed(t *testing.T) {
	t.Parallel()
	course := func(seed uint64) []string {
		w, _, b := pair(seed, Link{Delay: time.Millisecond, Jitter: time.Millisecond, Loss: 0.2, Duplicate: 0.1, Reorder: 0.1})
		for n := range 200 {
			w.After(time.Duration(n)*time.Millisecond, "a", 99)
		}
		if err := w.Run(time.Minute); err != nil {
			t.Fatal(err)
		}
		return b.got
	}
	one := course(7)
	if !slices.Equal(one, course(7)) {
		t.Error("the same seed took another course")
	}
	if slices.Equal(one, course(8)) {
		t.Error("another seed took the same course")
	}
	if n := len(one); n < 130 || n > 210 {
		t.Errorf("%d of 200 packets arrived at 20 %% loss and 10 %% duplication", n)
	}
}

func TestTimersAndChecks(t *testing.T) {
	t.Parallel()
	w, a, _ := pair(1, Link{})
	a.every, a.next = time.Second, start.Add(time.Second)
	w.Add("a", a)
	broken := errors.New("broken")
	w.Check(func() error {
		if a.ticks == 5 {
			return broken
		}
		return nil
	})
	if err := w.Run(4500 * time.Millisecond); err != nil || a.ticks != 4 {
		t.Errorf("%d ticks, %v; want 4", a.ticks, err)
	}
	if err := w.Run(time.Second); !errors.Is(err, broken) {
		t.Errorf("got %v, want the violated invariant", err)
	}
}

func TestDownAndBusyLoop(t *testing.T) {
	t.Parallel()
	w, a, b := pair(1, Link{})
	w.Link("a", "b").Down = true
	w.After(0, "a", 1)
	if err := w.Run(time.Second); err != nil || len(b.got) != 0 {
		t.Errorf("b got %v over a link that is down, %v", b.got, err)
	}
	a.next = w.Now() // every is zero: the tick leaves the deadline where it was
	w.Add("a", a)
	if err := w.Run(time.Second); err == nil {
		t.Error("a busy loop was not noticed")
	}
}

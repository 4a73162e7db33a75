package loop

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// The inputs and outputs of the recorder, shaped like those of the real cores.
type (
	input  interface{ isInput() }
	word   string
	packet int
	tick   struct{}
)

func (word) isInput()   {}
func (packet) isInput() {}
func (tick) isInput()   {}

type output struct {
	in input
	at time.Duration
}

// recorder is a core that answers each input with one output, twice for "two", and asks for a tick
// every period.
type recorder struct {
	start, deadline time.Time
	period          time.Duration
}

func (r *recorder) Step(now time.Time, in input, out []output) []output {
	if in == (tick{}) {
		r.deadline = now.Add(r.period)
	}
	if in == word("start ticking") {
		r.deadline = now.Add(r.period)
	}
	if in == word("stop ticking") {
		r.deadline = time.Time{}
	}
	o := output{in, now.Sub(r.start)}
	switch in {
	case word("two"):
		return append(out, o, o)
	case word("none"):
		return out
	}
	return append(out, o)
}

func (r *recorder) Deadline() time.Time { return r.deadline }

// bench runs a recorder in a bubble and gives the test its loop and a copy of what was handled.
func bench(t *testing.T, test func(t *testing.T, l *Loop[input, output], got func() []output)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		var all []output
		l := New[input, output](&recorder{start: time.Now(), period: time.Second}, tick{}, time.Now, func(out []output) {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, out...)
		})
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		test(t, l, func() []output {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(all)
		})
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestInputsKeepTheirOrder(t *testing.T) {
	bench(t, func(t *testing.T, l *Loop[input, output], got func() []output) {
		for _, w := range []word{"one", "two", "none", "three"} {
			if !l.Post(w) {
				t.Errorf("Post(%s) was refused", w)
			}
		}
		want := []output{{word("one"), 0}, {word("two"), 0}, {word("two"), 0}, {word("three"), 0}}
		if g := got(); !slices.Equal(g, want) {
			t.Errorf("handled %v, want %v", g, want)
		}
	})
}

func TestTicksComeAtTheDeadline(t *testing.T) {
	bench(t, func(t *testing.T, l *Loop[input, output], got func() []output) {
		time.Sleep(5 * time.Second) // no deadline: nothing happens
		l.Post(word("start ticking"))
		time.Sleep(3500 * time.Millisecond)
		l.Post(word("stop ticking"))
		time.Sleep(time.Hour)
		want := []output{
			{word("start ticking"), 5 * time.Second},
			{tick{}, 6 * time.Second}, {tick{}, 7 * time.Second}, {tick{}, 8 * time.Second},
			{word("stop ticking"), 8500 * time.Millisecond},
		}
		if g := got(); !slices.Equal(g, want) {
			t.Errorf("handled %v, want %v", g, want)
		}
	})
}

// A mailbox that never empties must not hold back a tick.
func TestTickBetweenInputs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var seen []input
		l := New[input, output](&recorder{period: time.Second}, tick{}, time.Now, func(out []output) {
			seen = append(seen, out[0].in)
			if _, ok := out[0].in.(packet); ok {
				time.Sleep(400 * time.Millisecond) // slow to handle
			}
		})
		l.Post(word("start ticking"))
		for i := range 5 {
			l.Post(packet(i))
		}
		l.Post(word("stop ticking"))
		go func() { _ = l.Call(ctx, cancel) }()
		if err := l.Run(ctx); err != nil {
			t.Fatal(err)
		}
		want := []input{
			word("start ticking"), packet(0), packet(1), packet(2), tick{}, packet(3), packet(4), word("stop ticking"),
		}
		if !slices.Equal(seen, want) {
			t.Errorf("handled %v, want %v", seen, want)
		}
	})
}

func TestHandleMayPostToItsOwnLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var n int
		var l *Loop[input, output]
		l = New[input, output](&recorder{}, tick{}, time.Now, func([]output) {
			if n++; n == 3 {
				cancel()
			}
			l.Post(word("again"))
		})
		l.Post(word("first"))
		if err := l.Run(ctx); err != nil || n != 3 {
			t.Errorf("Run: %v after %d steps, want nil after 3", err, n)
		}
	})
}

func TestLimitDropsOnlyWhatItNames(t *testing.T) {
	bench(t, func(t *testing.T, l *Loop[input, output], got func() []output) {
		l.Limit(2, func(in input) bool { _, ok := in.(packet); return ok })
		in, out := make(chan struct{}), make(chan struct{})
		go func() { _ = l.Call(t.Context(), func() { close(in); <-out }) }()
		<-in // the loop is busy: everything stays in the mailbox
		for i, want := range []bool{true, true, false, false} {
			if ok := l.Post(packet(i)); ok != want {
				t.Errorf("Post(packet %d) = %v, want %v", i, ok, want)
			}
		}
		if !l.Post(word("kept")) {
			t.Error("an input that Limit does not name was dropped")
		}
		close(out)
		want := []output{{packet(0), 0}, {packet(1), 0}, {word("kept"), 0}}
		if g := got(); !slices.Equal(g, want) {
			t.Errorf("handled %v, want %v", g, want)
		}
		if n := l.Dropped(); n != 2 {
			t.Errorf("Dropped() = %d, want 2", n)
		}
		if !l.Post(packet(9)) {
			t.Error("the mailbox is empty again, but a packet was dropped")
		}
	})
}

func TestCallRunsBetweenSteps(t *testing.T) {
	bench(t, func(t *testing.T, l *Loop[input, output], got func() []output) {
		l.Post(word("start ticking"))
		var deadline time.Time
		if err := l.Call(t.Context(), func() { deadline = l.core.Deadline() }); err != nil {
			t.Fatal(err)
		}
		if deadline.IsZero() {
			t.Error("the input posted before Call was not handled before it")
		}
		if g := got(); len(g) != 1 {
			t.Errorf("handled %v, want one output", g)
		}
	})
}

func TestCallGivesUpWithItsContext(t *testing.T) {
	bench(t, func(t *testing.T, l *Loop[input, output], _ func() []output) {
		in, out := make(chan struct{}), make(chan struct{})
		go func() { _ = l.Call(t.Context(), func() { close(in); <-out }) }()
		<-in
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		ran := false
		if err := l.Call(ctx, func() { ran = true }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Call = %v, want deadline exceeded", err)
		}
		close(out)
		if err := l.Call(t.Context(), func() {}); err != nil { // the abandoned call's turn has passed
			t.Fatal(err)
		}
		if ran {
			t.Error("a call that was given up ran")
		}
	})
}

// A call whose function has begun is waited for, although its context ended.
func TestCallWaitsForWhatHasBegun(t *testing.T) {
	bench(t, func(t *testing.T, l *Loop[input, output], _ func() []output) {
		ctx, cancel := context.WithCancel(t.Context())
		ran := false
		err := l.Call(ctx, func() {
			cancel()
			time.Sleep(time.Minute)
			ran = true
		})
		if err != nil || !ran {
			t.Errorf("Call = %v, ran %v; want nil, true", err, ran)
		}
	})
}

func TestAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l := New[input, output](&recorder{}, tick{}, time.Now, func([]output) { t.Error("handled something after the end") })
		cancel()
		waiting := make(chan error)
		go func() { waiting <- l.Call(t.Context(), func() { t.Error("ran") }) }()
		synctest.Wait()
		if err := l.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if err := <-waiting; !errors.Is(err, ErrStopped) {
			t.Errorf("waiting Call = %v, want ErrStopped", err)
		}
		if err := l.Call(t.Context(), func() {}); !errors.Is(err, ErrStopped) {
			t.Errorf("later Call = %v, want ErrStopped", err)
		}
		if l.Post(word("late")) {
			t.Error("Post was accepted")
		}
	})
}

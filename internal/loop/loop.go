package loop

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// A Core is a protocol without I/O.
type Core[In, Out any] interface {
	// Step feeds one input at time now and appends to out what the shell must do.
	Step(now time.Time, in In, out []Out) []Out
	// Deadline is when Step wants a tick at the latest; the zero time means never.
	Deadline() time.Time
}

// ErrStopped is what Call returns when Run has ended.
var ErrStopped = errors.New("loop: stopped")

// A Loop owns a core and runs it. Create it with New.
type Loop[In, Out any] struct {
	core   Core[In, Out]
	tick   In
	now    func() time.Time
	handle func([]Out)
	out    []Out // reused from step to step; only Run's goroutine

	wake    chan struct{} // capacity 1: there is something in queue
	stopped chan struct{} // closed when Run has ended
	dropped atomic.Uint64

	mu        sync.Mutex // guards what follows
	queue     []letter[In]
	bulk      int // letters in queue that droppable names
	limit     int
	droppable func(In) bool
	closed    bool
}

// A letter is an input or, with call set, a function to run between two steps.
type letter[In any] struct {
	in   In
	bulk bool
	call *call
}

// A call is claimed once: by the loop, which then runs f and closes done, or by the caller who gave up.
type call struct {
	f       func()
	claimed atomic.Bool
	done    chan struct{}
}

// New returns a loop for core. tick is the input that says Deadline has come; now is the clock.
// handle is called on the loop's goroutine with the outputs of each step that has any; the slice
// is only valid during the call. handle may Post to any loop, its own included; it must not Call
// its own loop. The type arguments are written out: New[ospf.Input, ospf.Output](instance, ospf.Tick{}, …).
func New[In, Out any](core Core[In, Out], tick In, now func() time.Time, handle func([]Out)) *Loop[In, Out] {
	return &Loop[In, Out]{
		core: core, tick: tick, now: now, handle: handle,
		wake:    make(chan struct{}, 1),
		stopped: make(chan struct{}),
	}
}

// Limit bounds the mailbox: while n inputs that droppable names wait in it, Post drops further
// ones. droppable runs on the sender's goroutine. Without Limit nothing is dropped.
func (l *Loop[In, Out]) Limit(n int, droppable func(In) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limit, l.droppable = n, droppable
}

// Dropped is how many inputs Limit has cost so far.
func (l *Loop[In, Out]) Dropped() uint64 { return l.dropped.Load() }

// Post puts an input into the mailbox and returns at once. It reports false if the input was
// dropped, because of Limit or because Run has ended. Inputs of one sender keep their order.
func (l *Loop[In, Out]) Post(in In) bool {
	l.mu.Lock()
	bulk := l.droppable != nil && l.droppable(in)
	full := bulk && l.bulk >= l.limit
	ok := !l.closed && !full
	if ok {
		l.queue = append(l.queue, letter[In]{in: in, bulk: bulk})
		if bulk {
			l.bulk++
		}
	}
	l.mu.Unlock()
	if full {
		l.dropped.Add(1)
	}
	if ok {
		l.signal()
	}
	return ok
}

// Call runs f on the loop's goroutine, after everything posted before, and waits for it: f may read
// the core. If ctx ends first, f does not run, or has run to its end, when Call returns. The error
// is that of ctx, or ErrStopped when Run ended before f's turn.
func (l *Loop[In, Out]) Call(ctx context.Context, f func()) error {
	c := &call{f: f, done: make(chan struct{})}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrStopped
	}
	l.queue = append(l.queue, letter[In]{call: c})
	l.mu.Unlock()
	l.signal()

	var err error
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-l.stopped:
		err = ErrStopped
	}
	if c.claimed.CompareAndSwap(false, true) {
		return err
	}
	<-c.done // the loop was faster
	return nil
}

func (l *Loop[In, Out]) signal() {
	select {
	case l.wake <- struct{}{}:
	default: // already told
	}
}

// Run steps the core until ctx ends, then returns nil. What is still in the mailbox is discarded:
// who needs an input (a shutdown, say) handled before the end posts it and waits with Call. Run is
// called once.
func (l *Loop[In, Out]) Run(ctx context.Context) error {
	defer l.close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
		case <-timer.C:
		}
		for _, m := range l.take() {
			if ctx.Err() != nil {
				return nil
			}
			l.do(m)
			l.stepIfDue()
		}
		l.stepIfDue()
		if d := l.core.Deadline(); d.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(d.Sub(l.now())) // a time that has passed fires at once
		}
	}
}

// take empties the mailbox.
func (l *Loop[In, Out]) take() []letter[In] {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch := l.queue
	l.queue, l.bulk = nil, 0
	return batch
}

func (l *Loop[In, Out]) do(m letter[In]) {
	if m.call == nil {
		l.step(m.in)
		return
	}
	if m.call.claimed.CompareAndSwap(false, true) {
		defer close(m.call.done)
		m.call.f()
	}
}

func (l *Loop[In, Out]) stepIfDue() {
	if d := l.core.Deadline(); !d.IsZero() && !l.now().Before(d) {
		l.step(l.tick)
	}
}

func (l *Loop[In, Out]) step(in In) {
	l.out = l.core.Step(l.now(), in, l.out[:0])
	if len(l.out) > 0 {
		l.handle(l.out)
		clear(l.out) // do not keep packets alive
	}
}

func (l *Loop[In, Out]) close() {
	l.mu.Lock()
	l.closed, l.queue = true, nil
	l.mu.Unlock()
	close(l.stopped)
}

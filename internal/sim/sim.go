package sim

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"
)

// A Node is something that takes inputs and has a timer.
type Node interface {
	// Handle takes one input: what Send brought, or what After was given.
	Handle(now time.Time, input any)
	// Tick is called when Deadline has come.
	Tick(now time.Time)
	// Deadline is when the node wants a Tick; the zero time means never.
	Deadline() time.Time
}

// A Link is one direction of a path. The zero Link is perfect and takes no time.
type Link struct {
	Delay     time.Duration
	Jitter    time.Duration // added to Delay, uniformly from 0
	Loss      float64       // probability that a packet vanishes
	Duplicate float64       // probability that a packet comes twice, each copy with its own delay
	Reorder   float64       // probability that a packet is held back for ten times Delay
	Down      bool          // everything vanishes, silently
}

// A World is a set of nodes with links between them. Create it with New.
type World struct {
	now    time.Time
	rand   *rand.Rand
	queue  events
	seq    uint64
	nodes  map[string]*entry
	links  map[[2]string]*Link
	checks []func() error
	steps  int
}

// An entry is a node with its timer: ticks of an older generation are void.
type entry struct {
	node       Node
	generation uint64
	deadline   time.Time
}

// An event is an input that arrives, or a tick.
type event struct {
	at         time.Time
	seq        uint64 // ties are broken by the order of sending
	to         string
	input      any
	tick       bool
	generation uint64
}

// New returns an empty world. The same seed and the same nodes lead to the same course.
func New(seed uint64, start time.Time) *World {
	return &World{
		now: start, rand: rand.New(rand.NewPCG(seed, seed^0x9e3779b97f4a7c15)), //nolint:gosec // reproducible on purpose
		nodes: make(map[string]*entry), links: make(map[[2]string]*Link),
	}
}

// Now is the simulated time.
func (w *World) Now() time.Time { return w.now }

// Steps is how many inputs and ticks have been handled.
func (w *World) Steps() int { return w.steps }

// Add puts a node into the world, in the place of an older one of that name: its timers and inputs go on to the new one.
func (w *World) Add(name string, n Node) {
	e := w.nodes[name]
	if e == nil {
		e = &entry{}
		w.nodes[name] = e
	}
	e.node = n
	w.arm(name, e)
}

// Connect makes both directions of a path.
func (w *World) Connect(a, b string, l Link) {
	there, back := l, l
	w.links[[2]string{a, b}], w.links[[2]string{b, a}] = &there, &back
}

// Link is one direction of a path, to be changed at will; nil if there is none.
func (w *World) Link(from, to string) *Link { return w.links[[2]string{from, to}] }

// Send puts a packet on the link. Without a link it vanishes.
func (w *World) Send(from, to string, packet any) {
	l := w.Link(from, to)
	if l == nil || l.Down {
		return
	}
	copies := 1
	if l.Duplicate > 0 && w.rand.Float64() < l.Duplicate {
		copies = 2
	}
	for range copies {
		if l.Loss > 0 && w.rand.Float64() < l.Loss {
			continue
		}
		d := l.Delay
		if l.Jitter > 0 {
			d += time.Duration(w.rand.Int64N(int64(l.Jitter)))
		}
		if l.Reorder > 0 && w.rand.Float64() < l.Reorder {
			d += 10 * l.Delay
		}
		w.After(d, to, packet)
	}
}

// After gives a node an input when d has passed.
func (w *World) After(d time.Duration, to string, input any) {
	w.push(event{at: w.now.Add(d), to: to, input: input})
}

func (w *World) push(ev event) {
	w.seq++
	ev.seq = w.seq
	heap.Push(&w.queue, ev)
}

// Check adds an invariant that is looked at after each step.
func (w *World) Check(f func() error) { w.checks = append(w.checks, f) }

// Run lets d pass. It returns the first violated invariant, with its time.
func (w *World) Run(d time.Duration) error {
	_, err := w.RunUntil(d, func() bool { return false })
	return err
}

// RunUntil lets time pass until done reports true after a step, at most d.
func (w *World) RunUntil(d time.Duration, done func() bool) (reached bool, err error) {
	end := w.now.Add(d)
	for len(w.queue) > 0 && !w.queue[0].at.After(end) {
		ev := heap.Pop(&w.queue).(event)
		e := w.nodes[ev.to]
		if e == nil || ev.tick && ev.generation != e.generation {
			continue
		}
		if ev.at.After(w.now) {
			w.now = ev.at
		}
		w.steps++
		if ev.tick {
			e.deadline = time.Time{}
			e.node.Tick(w.now)
			if next := e.node.Deadline(); !next.IsZero() && !next.After(w.now) {
				return false, fmt.Errorf("%s at %s: a Tick leaves the deadline at %s", ev.to, w.now, next)
			}
		} else {
			e.node.Handle(w.now, ev.input)
		}
		w.arm(ev.to, e)
		for _, check := range w.checks {
			if err := check(); err != nil {
				return false, fmt.Errorf("at %s, after %s took %v: %w", w.now.Format(time.RFC3339Nano), ev.to, ev.input, err)
			}
		}
		if done() {
			return true, nil
		}
	}
	w.now = end
	return false, nil
}

// arm sets the timer of a node whose deadline has changed.
func (w *World) arm(name string, e *entry) {
	d := e.node.Deadline()
	if d.Equal(e.deadline) {
		return
	}
	e.generation++
	e.deadline = d
	if d.IsZero() {
		return
	}
	if d.Before(w.now) {
		d = w.now
	}
	w.push(event{at: d, to: name, tick: true, generation: e.generation})
}

// events is a heap by time, then by sequence.
type events []event

func (h events) Len() int { return len(h) }
func (h events) Less(i, j int) bool {
	if h[i].at.Equal(h[j].at) {
		return h[i].seq < h[j].seq
	}
	return h[i].at.Before(h[j].at)
}
func (h events) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push and Pop are for package heap.
func (h *events) Push(x any) { *h = append(*h, x.(event)) }

// Pop removes the last event.
func (h *events) Pop() any {
	old := *h
	ev := old[len(old)-1]
	*h = old[:len(old)-1]
	return ev
}

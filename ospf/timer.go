package ospf

import (
	"container/heap"
	"time"
)

// A timer calls fire when its time has come; it sits in the instance's heap while it is set.
type timer struct {
	at    time.Time
	fire  func(*step)
	seq   uint64 // breaks ties in the order of setting
	index int    // in the heap, plus one; 0 when not set
}

// set (re)starts t; it fires once.
func (t *timer) set(s *step, at time.Time) {
	h := &s.in.timers
	t.at = at
	h.seq++
	t.seq = h.seq
	if t.index != 0 {
		heap.Fix(h, t.index-1)
		return
	}
	heap.Push(h, t)
}

// setEarlier starts t, or brings it forward.
func (t *timer) setEarlier(s *step, at time.Time) {
	if t.index == 0 || at.Before(t.at) {
		t.set(s, at)
	}
}

func (t *timer) stop(s *step) {
	if t.index != 0 {
		heap.Remove(&s.in.timers, t.index-1)
	}
}

func (t *timer) running() bool { return t.index != 0 }

// left is the time until t fires, 0 when it is not set.
func (t *timer) left(now time.Time) time.Duration {
	if t.index == 0 {
		return 0
	}
	return max(t.at.Sub(now), 0)
}

// timerHeap is a heap.Interface, the earliest timer first.
type timerHeap struct {
	t   []*timer
	seq uint64
}

func (h *timerHeap) Len() int { return len(h.t) }

func (h *timerHeap) Less(i, j int) bool {
	if c := h.t[i].at.Compare(h.t[j].at); c != 0 {
		return c < 0
	}
	return h.t[i].seq < h.t[j].seq
}

func (h *timerHeap) Swap(i, j int) {
	h.t[i], h.t[j] = h.t[j], h.t[i]
	h.t[i].index, h.t[j].index = i+1, j+1
}

// Push is heap.Interface.
func (h *timerHeap) Push(x any) {
	t, _ := x.(*timer)
	h.t = append(h.t, t)
	t.index = len(h.t)
}

// Pop is heap.Interface.
func (h *timerHeap) Pop() any {
	last := len(h.t) - 1
	t := h.t[last]
	h.t[last] = nil
	h.t = h.t[:last]
	t.index = 0
	return t
}

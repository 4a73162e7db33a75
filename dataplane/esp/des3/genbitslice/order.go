package main

import (
	"math/rand/v2"
)

// A step of a program for a machine with a few registers: the signal it makes, and what it needs.
// The first six signals, the inputs, are made right before they are needed.
type step struct {
	signal int
	a, b   place // of the operands of a gate
	in     int   // register of the result
	// Before the gate: the registers in spill are stored, each to a slot of its own, and b is loaded where both
	// operands were in memory.
	spill []move
	load  *move
	out   []int // outputs of the S-box that this signal is
}

// A place is a register or a slot in memory.
type place struct {
	slot  bool
	index int
}

// A move is between a register and a slot.
type move struct{ register, slot int }

// ordered puts the signals of c in an order in which few of them have to be kept in memory. It tries
// a number of orders, always the same.
func ordered(c circuit, registers int) []int {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // G404: the same output each time is wanted
	best, bestCost := []int(nil), 1<<30
	for range 20 {
		order := depthFirst(c, r)
		cost := orderCost(c, order, registers)
		for range 1000 {
			next := moved(c, order, r)
			if n := orderCost(c, next, registers); n <= cost {
				order, cost = next, n
			}
		}
		if cost < bestCost {
			best, bestCost = order, cost
		}
	}
	return best
}

// depthFirst is an order in which operands come right before what is made of them.
func depthFirst(c circuit, r *rand.Rand) (order []int) {
	done := make([]bool, 6+len(c.gates))
	var visit func(i int)
	visit = func(i int) {
		if done[i] {
			return
		}
		done[i] = true
		if i >= 6 {
			g := c.gates[i-6]
			first, second := g.a, g.b
			if r.IntN(2) == 0 {
				first, second = second, first
			}
			visit(first)
			visit(second)
		}
		order = append(order, i)
	}
	for _, o := range r.Perm(4) {
		visit(c.out[o])
	}
	return order
}

// moved is order with one signal at another place that its operands and users allow.
func moved(c circuit, order []int, r *rand.Rand) []int {
	from := r.IntN(len(order))
	i := order[from]
	low, high := from, from // the places it may take
	for low > 0 && (i < 6 || order[low-1] != c.gates[i-6].a && order[low-1] != c.gates[i-6].b) {
		low--
	}
	for high+1 < len(order) && (order[high+1] < 6 || c.gates[order[high+1]-6].a != i && c.gates[order[high+1]-6].b != i) {
		high++
	}
	to := low + r.IntN(high-low+1)
	next := append([]int(nil), order[:from]...)
	next = append(next, order[from+1:]...)
	next = append(next, 0)
	copy(next[to+1:], next[to:])
	next[to] = i
	return next
}

// orderCost is what an order costs in cycles, roughly: what is kept in memory, and waiting where a processor that
// starts four gates a cycle, in order, would wait for operands. Real ones look ahead, but not far enough for order not
// to matter.
func orderCost(c circuit, order []int, registers int) (cost int) {
	for _, s := range allocate(c, order, registers) {
		cost += 2 * len(s.spill)
		if s.load != nil {
			cost++
		}
		if s.a.slot || s.b.slot {
			cost++
		}
	}
	const width, loading = 4, 2
	var ready [128]int // when a signal is
	cycle, started := 0, 0
	for _, i := range order {
		start, latency := cycle, loading
		if i >= 6 {
			g := c.gates[i-6]
			start, latency = max(start, ready[g.a], ready[g.b]), 1
		}
		if start > cycle {
			cycle, started = start, 0
		} else if started == width {
			cycle, started = cycle+1, 0
		}
		started++
		ready[i] = cycle + latency
	}
	return cost + cycle
}

// allocate gives each signal a register; where there are too few, the signal that is needed last is kept in memory
// from then on.
func allocate(c circuit, order []int, registers int) (steps []step) {
	const nowhere = -1
	uses := make([][]int, 6+len(c.gates)) // at which steps a signal is needed
	for n, i := range order {
		if i >= 6 {
			g := c.gates[i-6]
			uses[g.a] = append(uses[g.a], n)
			if g.b != g.a {
				uses[g.b] = append(uses[g.b], n)
			}
		}
	}
	where := make([]place, 6+len(c.gates))
	holds := make([]int, registers) // the signal in a register
	for r := range holds {
		holds[r] = nowhere
	}
	slots := 0
	next := func(i, n int) int { // the first use of signal i at or after step n
		for _, u := range uses[i] {
			if u >= n {
				return u
			}
		}
		return 1 << 30
	}
	for n, i := range order {
		st := step{signal: i}
		free := func(keep ...int) int { // a register that does not hold one of keep
			victim, last := nowhere, nowhere
			for r, h := range holds {
				if h == nowhere {
					return r
				}
				kept := false
				for _, k := range keep {
					kept = kept || h == k
				}
				if u := next(h, n); !kept && u > last {
					victim, last = r, u
				}
			}
			st.spill = append(st.spill, move{victim, slots})
			where[holds[victim]] = place{slot: true, index: slots}
			slots++
			holds[victim] = nowhere
			return victim
		}
		release := func(i int) {
			if p := where[i]; !p.slot && next(i, n+1) == 1<<30 {
				holds[p.index] = nowhere
			}
		}
		if i >= 6 {
			g := c.gates[i-6]
			// Only one operand may be in memory, and of a &^ b only a.
			if g.op != andNot && where[g.b].slot && !where[g.a].slot {
				g.a, g.b = g.b, g.a
			}
			if where[g.b].slot && (where[g.a].slot || g.op == andNot) {
				r := free(g.a, g.b)
				st.load = &move{r, where[g.b].index}
				where[g.b] = place{index: r}
				holds[r] = g.b
			}
			st.a, st.b = where[g.a], where[g.b]
			release(g.a)
			release(g.b)
			st.in = free(g.a, g.b)
		} else {
			st.in = free()
		}
		holds[st.in] = i
		where[i] = place{index: st.in}
		for o, signal := range c.out {
			if signal == i {
				st.out = append(st.out, o)
			}
		}
		if len(uses[i]) == 0 { // only an output
			holds[st.in] = nowhere
		}
		steps = append(steps, st)
	}
	return steps
}

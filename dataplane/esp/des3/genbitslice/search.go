package main

import (
	"bytes"
	"log"
	"math"
	"math/rand/v2"
	"os"
	"time"
)

// search looks for smaller circuits and writes them to a file as it finds them.
//
// It starts from a circuit that evaluates an S-box by its inputs one after another (Shannon's expansion, with common
// parts made once), and changes one gate at a time. Where flipping a gate would change no output, its value does not
// matter; for the rest any gate of any two signals will do that do not depend on it. One of these is taken at
// random, and what nothing needs any more is dropped: most changes leave the size as it is, some make the circuit
// smaller, and now and then one that makes it larger is accepted (simulated annealing).
func search(all [8]circuit, file string, limit time.Duration, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // G404: nothing secret
	end := time.Now().Add(limit)
	for s := 0; time.Now().Before(end); s = (s + 1) % 8 {
		n := fromCircuit(&all[s])
		if r.IntN(2) == 0 {
			n = shannon(s, r)
		}
		n = n.anneal(r, 3_000_000)
		if len(n.nodes)-len(inputTable) >= len(all[s].gates) {
			continue
		}
		all[s] = n.circuit(s)
		log.Printf("S%d: %d gates", s+1, len(all[s].gates))
		var b bytes.Buffer
		write(&b, all)
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil { //nolint:gosec // G306: a source file
			log.Fatal(err)
		}
	}
}

// A node is a signal of a net, made of a and b by any function of two: bit a+2b of table is its value.
type node struct {
	a, b  int
	table uint8
	value truth
}

// A net is a circuit that is being searched for: the inputs, then the gates in an order in which they can be computed.
type net struct {
	nodes []node
	out   [4]int // these, or their complements, are the outputs
}

func apply(table uint8, a, b truth) truth {
	bit := func(n int) truth { return -truth(table >> n & 1) }
	return bit(0)&^a&^b | bit(1)&a&^b | bit(2)&b&^a | bit(3)&a&b
}

func newNet() *net {
	n := &net{}
	for _, v := range inputTable {
		n.nodes = append(n.nodes, node{value: v})
	}
	return n
}

// add adds a gate, and returns its signal.
func (n *net) add(a, b int, table uint8) int {
	n.nodes = append(n.nodes, node{a, b, table, apply(table, n.nodes[a].value, n.nodes[b].value)})
	return len(n.nodes) - 1
}

func fromCircuit(c *circuit) *net {
	n := newNet()
	for _, g := range c.gates {
		n.add(g.a, g.b, [...]uint8{and: 8, or: 14, xor: 6, andNot: 2}[g.op])
	}
	n.out = c.out
	return n
}

// circuit is the net as a circuit that is normalized for zero.
func (n *net) circuit(s int) circuit {
	c := circuit{out: n.out}
	v := append([]truth(nil), inputTable[:]...)
	for _, g := range n.nodes[6:] {
		value := g.value ^ -(g.value & 1)
		for o := and; o <= notAnd; o++ {
			if o.apply(v[g.a], v[g.b]) == value {
				if o == notAnd {
					g.a, g.b, o = g.b, g.a, andNot
				}
				c.gates = append(c.gates, gate{g.a, g.b, o})
				break
			}
		}
		v = append(v, value)
	}
	c = c.normalized(s, 0)
	if err := c.check(s, 0); err != nil {
		log.Fatal(err) // a mistake of the search
	}
	return c
}

// shannon is a circuit of S-box s that tells inputs apart in a random order.
func shannon(s int, r *rand.Rand) *net {
	n := newNet()
	order := r.Perm(6)
	var build func(want truth, depth int) int // the signal, or its complement
	build = func(want truth, depth int) int {
		for i := range n.nodes {
			if v := n.nodes[i].value; v == want || v == ^want {
				return i
			}
		}
		for a := range n.nodes {
			for b := range a {
				for table := range uint8(16) {
					if apply(table, n.nodes[a].value, n.nodes[b].value) == want {
						return n.add(a, b, table)
					}
				}
			}
		}
		// want = low ^ x&(low^high), of which none depends on x.
		x, shift := order[depth], 1<<(5-order[depth])
		low, high := want&^inputTable[x], want&inputTable[x]
		low, high = low|low<<shift, high|high>>shift
		for _, part := range []truth{low, low ^ high} {
			if part != 0 && part != ^truth(0) {
				build(part, depth+1)
			}
		}
		build((low^high)&inputTable[x], depth+1)
		return build(want, depth+1) // which is a gate of two signals by now
	}
	for o, want := range outputs(s) {
		n.out[o] = build(want, 0)
	}
	return n
}

// anneal changes n a number of times, and returns the smallest net that it has been.
func (n *net) anneal(r *rand.Rand, changes int) *net {
	best := n
	for i := range changes {
		temperature := 0.5 * (1 - float64(i)/float64(changes))
		next := n.changed(r, r.IntN(10) == 0)
		if next == nil {
			continue
		}
		if more := len(next.nodes) - len(n.nodes); more > 0 && r.Float64() > math.Exp(-float64(more)/temperature) {
			continue
		}
		if n = next; len(n.nodes) < len(best.nodes) {
			best = n
		}
	}
	return best
}

// changed is n with another gate in the place of a random one, made of two signals, or of three with a gate more;
// nil if none was found.
func (n *net) changed(r *rand.Rand, larger bool) *net {
	at := len(inputTable) + r.IntN(len(n.nodes)-len(inputTable))
	others, care := n.around(at)
	ones, zeros := n.nodes[at].value&care, ^n.nodes[at].value&care

	for _, i := range others { // an existing signal in its place
		switch v := n.nodes[i].value; {
		case ones&^v == 0 && zeros&v == 0:
			return n.with(at, node{i, i, 8, 0}, nil)
		case ones&v == 0 && zeros&^v == 0:
			return n.with(at, node{i, i, 1, 0}, nil)
		}
	}
	if larger {
		for range 40 {
			i, j := others[r.IntN(len(others))], others[r.IntN(len(others))]
			extra := node{a: i, b: j, table: [...]uint8{8, 14, 6, 2, 4}[r.IntN(5)]}
			v := apply(extra.table, n.nodes[i].value, n.nodes[j].value)
			first := r.IntN(len(others))
			for k := range others {
				k = others[(first+k)%len(others)]
				if fits(ones, zeros, v, n.nodes[k].value) {
					// The gate more is signal len(n.nodes).
					return n.with(at, node{len(n.nodes), k, table(ones, zeros, v, n.nodes[k].value, r), 0}, &extra)
				}
			}
		}
		return nil
	}
	found := 0
	var chosen [2]int
	for x, i := range others {
		for _, j := range others[:x] {
			old := &n.nodes[at]
			if !fits(ones, zeros, n.nodes[i].value, n.nodes[j].value) || i == old.a && j == old.b || i == old.b && j == old.a {
				continue
			}
			if found++; r.IntN(found) == 0 {
				chosen = [2]int{i, j}
			}
		}
	}
	if found == 0 {
		return nil
	}
	i, j := chosen[0], chosen[1]
	return n.with(at, node{i, j, table(ones, zeros, n.nodes[i].value, n.nodes[j].value, r), 0}, nil)
}

// around returns the signals that do not depend on the one at, and the inputs of the S-box for which its value
// matters.
func (n *net) around(at int) (others []int, care truth) {
	flipped := make([]truth, len(n.nodes))
	depends := make([]bool, len(n.nodes))
	others = make([]int, 0, len(n.nodes))
	for i, g := range n.nodes {
		flipped[i] = g.value
		switch {
		case i == at:
			flipped[i], depends[i] = ^g.value, true
		case i >= len(inputTable) && (depends[g.a] || depends[g.b]):
			flipped[i], depends[i] = apply(g.table, flipped[g.a], flipped[g.b]), true
		default:
			others = append(others, i)
		}
	}
	for _, i := range n.out {
		care |= flipped[i] ^ n.nodes[i].value
	}
	return others, care
}

// fits tells whether a gate of a and b can be one and zero where it should be: it has one value for each of the four
// values of (a, b).
func fits(ones, zeros, a, b truth) bool {
	return (ones&a&b == 0 || zeros&a&b == 0) && (ones&a&^b == 0 || zeros&a&^b == 0) &&
		(ones&b&^a == 0 || zeros&b&^a == 0) && (ones&^a&^b == 0 || zeros&^a&^b == 0)
}

// table is the function of a gate that fits; where its value does not matter, it is random.
func table(ones, zeros, a, b truth, r *rand.Rand) (t uint8) {
	for i, where := range [4]truth{^a & ^b, a &^ b, b &^ a, a & b} {
		if ones&where != 0 || zeros&where == 0 && r.IntN(2) == 0 {
			t |= 1 << i
		}
	}
	return t
}

// with is n with the gate at replaced, which may be made of one gate more behind the others. Only what outputs need is
// left, in an order in which it can be computed; the replaced gate is left out where it is another signal.
func (n *net) with(at int, g node, extra *node) *net {
	get := func(i int) node {
		switch i {
		case at:
			return g
		case len(n.nodes):
			return *extra
		}
		return n.nodes[i]
	}
	c := newNet()
	index := make([]int, len(n.nodes)+1) // of a signal in c, and one more; 0: not there
	inverse := make([]bool, len(n.nodes)+1)
	for i := range inputTable {
		index[i] = i + 1
	}
	var visit func(i int)
	visit = func(i int) {
		if index[i] != 0 {
			return
		}
		g := get(i)
		visit(g.a)
		visit(g.b)
		if g.a == g.b { // a signal, or its complement
			index[i], inverse[i] = index[g.a], inverse[g.a] != (g.table>>3&1 == 0)
			return
		}
		t := g.table
		if inverse[g.a] {
			t = t&5<<1 | t&10>>1
		}
		if inverse[g.b] {
			t = t&3<<2 | t&12>>2
		}
		index[i] = c.add(index[g.a]-1, index[g.b]-1, t) + 1
	}
	for o, i := range n.out {
		visit(i)
		c.out[o] = index[i] - 1
	}
	return c
}

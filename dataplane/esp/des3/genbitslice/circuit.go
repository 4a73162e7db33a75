package main

import (
	"bufio"
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// sboxTable has the S-boxes of FIPS 46-3, appendix 1: four rows of sixteen.
var sboxTable = [8][64]uint8{
	{
		14, 4, 13, 1, 2, 15, 11, 8, 3, 10, 6, 12, 5, 9, 0, 7, 0, 15, 7, 4, 14, 2, 13, 1, 10, 6, 12, 11, 9, 5, 3, 8,
		4, 1, 14, 8, 13, 6, 2, 11, 15, 12, 9, 7, 3, 10, 5, 0, 15, 12, 8, 2, 4, 9, 1, 7, 5, 11, 3, 14, 10, 0, 6, 13,
	},
	{
		15, 1, 8, 14, 6, 11, 3, 4, 9, 7, 2, 13, 12, 0, 5, 10, 3, 13, 4, 7, 15, 2, 8, 14, 12, 0, 1, 10, 6, 9, 11, 5,
		0, 14, 7, 11, 10, 4, 13, 1, 5, 8, 12, 6, 9, 3, 2, 15, 13, 8, 10, 1, 3, 15, 4, 2, 11, 6, 7, 12, 0, 5, 14, 9,
	},
	{
		10, 0, 9, 14, 6, 3, 15, 5, 1, 13, 12, 7, 11, 4, 2, 8, 13, 7, 0, 9, 3, 4, 6, 10, 2, 8, 5, 14, 12, 11, 15, 1,
		13, 6, 4, 9, 8, 15, 3, 0, 11, 1, 2, 12, 5, 10, 14, 7, 1, 10, 13, 0, 6, 9, 8, 7, 4, 15, 14, 3, 11, 5, 2, 12,
	},
	{
		7, 13, 14, 3, 0, 6, 9, 10, 1, 2, 8, 5, 11, 12, 4, 15, 13, 8, 11, 5, 6, 15, 0, 3, 4, 7, 2, 12, 1, 10, 14, 9,
		10, 6, 9, 0, 12, 11, 7, 13, 15, 1, 3, 14, 5, 2, 8, 4, 3, 15, 0, 6, 10, 1, 13, 8, 9, 4, 5, 11, 12, 7, 2, 14,
	},
	{
		2, 12, 4, 1, 7, 10, 11, 6, 8, 5, 3, 15, 13, 0, 14, 9, 14, 11, 2, 12, 4, 7, 13, 1, 5, 0, 15, 10, 3, 9, 8, 6,
		4, 2, 1, 11, 10, 13, 7, 8, 15, 9, 12, 5, 6, 3, 0, 14, 11, 8, 12, 7, 1, 14, 2, 13, 6, 15, 0, 9, 10, 4, 5, 3,
	},
	{
		12, 1, 10, 15, 9, 2, 6, 8, 0, 13, 3, 4, 14, 7, 5, 11, 10, 15, 4, 2, 7, 12, 9, 5, 6, 1, 13, 14, 0, 11, 3, 8,
		9, 14, 15, 5, 2, 8, 12, 3, 7, 0, 4, 10, 1, 13, 11, 6, 4, 3, 2, 12, 9, 5, 15, 10, 11, 14, 1, 7, 6, 0, 8, 13,
	},
	{
		4, 11, 2, 14, 15, 0, 8, 13, 3, 12, 9, 7, 5, 10, 6, 1, 13, 0, 11, 7, 4, 9, 1, 10, 14, 3, 5, 12, 2, 15, 8, 6,
		1, 4, 11, 13, 12, 3, 7, 14, 10, 15, 6, 8, 0, 5, 9, 2, 6, 11, 13, 8, 1, 4, 10, 7, 9, 5, 0, 15, 14, 2, 3, 12,
	},
	{
		13, 2, 8, 4, 6, 15, 11, 1, 10, 9, 3, 14, 5, 0, 12, 7, 1, 15, 13, 8, 10, 3, 7, 4, 12, 5, 6, 11, 0, 14, 9, 2,
		7, 11, 4, 1, 9, 12, 14, 2, 0, 6, 10, 13, 15, 3, 5, 8, 2, 1, 14, 7, 4, 10, 8, 13, 15, 12, 9, 0, 3, 5, 6, 11,
	},
}

// lookup is what S-box s answers to the six bits x, of which the first in the counting of FIPS 46-3 is the highest.
func lookup(s int, x uint) uint8 { return sboxTable[s][x>>5<<5|x&1<<4|x>>1&15] }

// truth is a Boolean function of the six inputs of an S-box: bit x is its value at x.
type truth = uint64

// inputTable has the functions that are an input themselves, the first bit of FIPS 46-3 first.
var inputTable = [6]truth{
	0xffffffff00000000, 0xffff0000ffff0000, 0xff00ff00ff00ff00, 0xf0f0f0f0f0f0f0f0, 0xcccccccccccccccc, 0xaaaaaaaaaaaaaaaa,
}

// outputs are the four output bits of S-box s, the first of FIPS 46-3 first.
func outputs(s int) (t [4]truth) {
	for x := range uint(64) {
		for o := range t {
			t[o] |= truth(lookup(s, x)>>(3-o)&1) << x
		}
	}
	return t
}

// An op is what a gate does.
type op uint8

// The gates that an AVX2 register knows. Each makes 0 of two zeros: a circuit of any two-input gates can be
// written with these five if each signal may be complemented as a whole, see normalized.
const (
	and    op = iota // a & b
	or               // a | b
	xor              // a ^ b
	andNot           // a &^ b
	notAnd           // b &^ a; parsing makes andNot of it
)

func (o op) apply(a, b truth) truth {
	return [...]truth{a & b, a | b, a ^ b, a &^ b, b &^ a}[o]
}

func (o op) String() string { return [...]string{"&", "|", "^", "&^", "~&"}[o] }

// A gate makes a signal of two. Signals are numbered: 0 to 5 are the inputs, then come the gates.
type gate struct {
	a, b int
	op   op
}

// A circuit computes the outputs of an S-box, each of which may be complemented.
type circuit struct {
	gates   []gate
	out     [4]int  // signals
	inverse [4]bool // which of them are the complement of the output
}

// values computes each signal as a function of the six inputs.
func (c *circuit) values() []truth {
	v := append([]truth(nil), inputTable[:]...)
	for _, g := range c.gates {
		v = append(v, g.op.apply(v[g.a], v[g.b]))
	}
	return v
}

// normalized is the same circuit with each signal complemented that is one at the input zero. What it gets is the
// input XOR zero, and what it answers to (a signal of) zeros is zeros; inverse tells where that is the complement.
func (c *circuit) normalized(s int, zero uint) circuit {
	v := c.values()
	high := func(i int) truth { return truth(0) - v[i]>>zero&1 } // all ones where signal i is complemented
	n := circuit{out: c.out}
	for i, g := range c.gates {
		for o := and; o <= notAnd; o++ {
			if o.apply(v[g.a]^high(g.a), v[g.b]^high(g.b)) == v[6+i]^high(6+i) {
				g.op = o
				break
			}
		}
		if g.op == notAnd {
			g = gate{g.b, g.a, andNot}
		}
		n.gates = append(n.gates, g)
	}
	for o := range c.out {
		n.inverse[o] = lookup(s, zero)>>(3-o)&1 == 1
	}
	return n
}

// check compares a circuit whose inputs are XORed with zero with FIPS 46-3.
func (c *circuit) check(s int, zero uint) error {
	v := c.values()
	want := outputs(s)
	for x := range uint(64) {
		for o, i := range c.out {
			got := v[i]>>(x^zero)&1 == 1
			if got != c.inverse[o] != (want[o]>>x&1 == 1) {
				return fmt.Errorf("output %d of S%d is wrong at input %#x", o+1, s+1, x)
			}
		}
	}
	return nil
}

// parse reads what write wrote.
func parse(text []byte) (all [8]circuit, err error) {
	s := -1
	sc := bufio.NewScanner(bytes.NewReader(text))
	for line := 1; sc.Scan(); line++ {
		f := strings.Fields(sc.Text())
		bad := fmt.Errorf("line %d: %q", line, sc.Text())
		if len(f) == 0 || f[0] == "#" {
			continue
		}
		if n, ok := strings.CutPrefix(f[0], "S"); ok {
			if s, err = strconv.Atoi(n); err != nil || s < 1 || s > 8 {
				return all, bad
			}
			s--
			continue
		}
		if s < 0 {
			return all, bad
		}
		c := &all[s] //nolint:gosec // G602: s is 0 to 7
		number := func(text string) int {
			n, e := strconv.Atoi(text)
			if e != nil || n < 0 || n >= 6+len(c.gates) {
				err = bad
			}
			return n
		}
		if f[0] == "out" && len(f) == 5 {
			for o := range c.out {
				c.out[o] = number(f[1+o])
			}
		} else if len(f) == 5 && f[1] == "=" {
			g := gate{a: number(f[2]), b: number(f[4])}
			for g.op = and; g.op < notAnd && g.op.String() != f[3]; g.op++ {
			}
			if g.op == notAnd || f[0] != strconv.Itoa(6+len(c.gates)) {
				return all, bad
			}
			c.gates = append(c.gates, g)
		} else {
			return all, bad
		}
		if err != nil {
			return all, err
		}
	}
	for s := range all {
		all[s] = all[s].normalized(s, 0)
		if err := all[s].check(s, 0); err != nil {
			return all, err
		}
	}
	return all, sc.Err()
}

// write writes circuits that are normalized for zero.
func write(w *bytes.Buffer, all [8]circuit) {
	total := 0
	for s := range all {
		total += len(all[s].gates)
	}
	fmt.Fprintf(w, `# Circuits of the eight S-boxes of DES, %d gates. Found by "genbitslice -search".
# Signals 0 to 5 are the inputs in the order of FIPS 46-3; the outputs are in its order, and may be complemented.
`, total)
	for s, c := range all {
		fmt.Fprintf(w, "\nS%d\n", s+1)
		for i, g := range c.gates {
			fmt.Fprintf(w, "%d = %d %v %d\n", 6+i, g.a, g.op, g.b)
		}
		fmt.Fprintf(w, "out %d %d %d %d\n", c.out[0], c.out[1], c.out[2], c.out[3])
	}
}

// polarity chooses which bits of a half block are kept complemented (bit i, counted from 0, is bit i+1 of
// FIPS 46-3): zeros are the inputs that the S-boxes then take for zeros, cost is to be small for all of them together.
// The expansion E gives the last two inputs of an S-box to the next one too.
func polarity(cost func(s int, zero uint) int) (half uint32, zeros [8]uint) {
	var costs [8][64]int
	for s := range costs {
		for x := range costs[s] {
			costs[s][x] = cost(s, uint(x))
		}
	}
	best := 1 << 30
	for first := range uint(4) {
		type path struct {
			cost  int
			zeros [8]uint
		}
		paths := map[uint]path{first: {}}
		for s := range 8 {
			next := map[uint]path{}
			for shared := range uint(4) {
				p, ok := paths[shared]
				if !ok {
					continue
				}
				for low := range uint(16) {
					x := shared<<4 | low
					q := path{p.cost + costs[s][x], p.zeros}
					q.zeros[s] = x
					if old, ok := next[low&3]; !ok || q.cost < old.cost {
						next[low&3] = q
					}
				}
			}
			paths = next
		}
		if p, ok := paths[first]; ok && p.cost < best {
			best, zeros = p.cost, p.zeros
		}
	}
	for s, x := range zeros {
		for i := range 6 {
			half |= uint32(x>>(5-i)&1) << expanded(s, i)
		}
	}
	return half, zeros
}

// expanded is the bit of a half block, counted from 0, that the expansion E of FIPS 46-3 gives to input i of S-box s.
func expanded(s, i int) int { return (4*s + 31 + i) % 32 }

// permuted is the bit of a half block, counted from 0, that output o of S-box s goes to (the inverse of the
// permutation P of FIPS 46-3).
func permuted(s, o int) int {
	p := [32]int{16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10, 2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6, 22, 11, 4, 25}
	for to, from := range p {
		if from == 4*s+o+1 {
			return to
		}
	}
	panic("P is a permutation")
}

// plane is the bit of a block, loaded as a little-endian number, that the initial permutation of FIPS 46-3 makes bit
// i, counted from 0, of the left half. The bit above it becomes bit i of the right half.
func plane(i int) int {
	n := 58 - 8*(i%8) + 2*(i/8) - 1 // counted from 0, the highest bit of the first byte first
	return n/8*8 + 7 - n%8
}

package main

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func TestSboxesFile(t *testing.T) {
	t.Parallel()
	all, err := parse(sboxes) // compares each circuit with FIPS 46-3
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	write(&b, all)
	if !bytes.Equal(b.Bytes(), sboxes) {
		t.Error("sboxes.txt is not what write makes of it")
	}
	for s := range all {
		for zero := range uint(64) {
			c := all[s].normalized(s, zero)
			if err := c.check(s, zero); err != nil {
				t.Errorf("normalized for %#x: %v", zero, err)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"6 = 0 & 1", "S9", "S1\n7 = 0 & 1", "S1\n6 = 0 & 6", "S1\n6 = 0 % 1", "S1\nout 0 1 2 9", "S1\nout 0 1 2 3"} {
		if _, err := parse([]byte(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestSearchFindsCircuits(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 8))
	for s := range 8 {
		n := shannon(s, r)
		small := n.anneal(r, 3000)
		if c := small.circuit(s); len(c.gates) >= len(n.nodes)-len(inputTable) { // circuit checks it
			t.Errorf("S%d: %d gates, and %d after the search", s+1, len(n.nodes)-len(inputTable), len(c.gates))
		}
	}
}

// TestAllocate runs what allocate makes of a circuit, with so few registers that much is kept in memory.
func TestAllocate(t *testing.T) {
	t.Parallel()
	all, err := parse(sboxes)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(9, 1))
	for s, c := range all {
		for registers := 5; registers <= 15; registers += 5 {
			want := c.values()
			reg, slot := make([]truth, registers), map[int]truth{}
			get := func(p place) truth {
				if p.slot {
					return slot[p.index]
				}
				return reg[p.index]
			}
			outputs := 0
			for _, st := range allocate(c, depthFirst(c, r), registers) {
				for _, m := range st.spill {
					slot[m.slot] = reg[m.register]
				}
				if st.load != nil {
					reg[st.load.register] = slot[st.load.slot]
				}
				if st.signal < 6 {
					reg[st.in] = inputTable[st.signal]
				} else {
					if st.b.slot {
						t.Fatalf("S%d: both operands of signal %d may be in memory", s+1, st.signal)
					}
					reg[st.in] = c.gates[st.signal-6].op.apply(get(st.a), get(st.b))
				}
				if reg[st.in] != want[st.signal] {
					t.Fatalf("S%d in %d registers: signal %d is %#x, want %#x", s+1, registers, st.signal, reg[st.in], want[st.signal])
				}
				for _, o := range st.out {
					if c.out[o] != st.signal {
						t.Fatalf("S%d: signal %d is not output %d", s+1, st.signal, o)
					}
					outputs++
				}
			}
			if outputs != 4 {
				t.Fatalf("S%d: %d outputs", s+1, outputs)
			}
		}
	}
}

func TestPolarity(t *testing.T) {
	t.Parallel()
	half, zeros := polarity(func(s int, zero uint) int { return int(lookup(s, zero)) })
	for s, zero := range zeros {
		for i := range 6 {
			if half>>expanded(s, i)&1 != uint32(zero>>(5-i)&1) {
				t.Errorf("S%d, input %d: the half and what the S-box gets differ", s+1, i)
			}
		}
	}
}

func TestFewNots(t *testing.T) {
	t.Parallel()
	all, err := parse(sboxes)
	if err != nil {
		t.Fatal(err)
	}
	for s, c := range all {
		_, before := formulate(c, make([]bool, 6+len(c.gates)), false)
		if _, after := fewNots(c, 2000); after > before {
			t.Errorf("S%d: %d complements, and %d after looking for fewer", s+1, before, after)
		}
	}
}

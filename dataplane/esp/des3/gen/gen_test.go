package main

import (
	"bytes"
	"os"
	"testing"
)

// The file in the repository is what the generator writes.
func TestCurrent(t *testing.T) {
	t.Parallel()
	w, err := newWiring()
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile("../vbmi_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, []byte(newGenerator(w).file())) {
		t.Error("vbmi_amd64.s is not current: go generate ./dataplane/esp/des3")
	}
}

// The lookups, sent through the switches, bring every bit of E∘P to its place.
func TestWiring(t *testing.T) {
	t.Parallel()
	w, err := newWiring()
	if err != nil {
		t.Fatal(err)
	}
	for from := range 8 {
		for _, x := range []int{0, 1, 21, 42, 63} {
			var at [8]byte // by label; one S-box is looked up
			at[entryTable[from]] = w.lookup(from)[x]
			for stage, bit := range stageBitTable {
				for label := range 8 {
					if label&bit == 0 {
						keep := w.straight[stage][label]
						a, b := at[label], at[label|bit]
						at[label], at[label|bit] = a&keep|b&^keep, b&keep|a&^keep
					}
				}
			}
			value := 0 // of the S-box, from the standard's table
			for e, place := range []int{5, 3, 2, 1, 0, 4} {
				value |= x >> w.position[from][e] & 1 << place
			}
			for _, wire := range edges() {
				if wire.from != from {
					continue
				}
				want := sboxTable[from][value] >> (3 - wire.bit) & 1
				if got := at[exitTable[wire.to]] >> w.position[wire.to][wire.e] & 1; got != want {
					t.Errorf("S-box %d of %d: bit %d arrives at S-box %d as %d", from+1, x, wire.bit, wire.to+1, got)
				}
			}
		}
	}
}

package main

import "fmt"

// The tables of FIPS 46-3 that a round needs. They count bits from 0 here, the first of the standard.
var (
	// sboxTable[i] is S-box i+1, row after row.
	sboxTable = [8][64]byte{
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
	// pTable[n] is the bit of the S-boxes' 32 that becomes bit n of f.
	pTable = [32]int{
		15, 6, 19, 20, 28, 11, 27, 16, 0, 14, 22, 25, 4, 17, 30, 9,
		1, 7, 23, 13, 31, 26, 2, 8, 18, 12, 29, 5, 21, 10, 3, 24,
	}
)

// An edge is a wire of E∘P: bit `bit` of S-box from is bit e of what S-box to looks up in the next round.
type edge struct{ from, bit, to, e int }

// edges lists the 48 wires, by the bit of E that they end in.
func edges() (out []edge) {
	for n := range 48 {
		to, e := n/6, n%6
		s := pTable[(4*to-1+e+32)%32]
		out = append(out, edge{s / 4, s % 4, to, e})
	}
	return out
}

// The wiring. Each S-box has one byte of a lane, and six of its bits are used. A wire of E∘P starts and ends at
// the same bit position, its colour, so that no bit is ever shifted: the order of the six bits that go into an
// S-box is free, since the table can be permuted, and so is the place of each bit that comes out.
//
// No two wires of one S-box, on either side, share a colour: each colour is a permutation of eight bytes. The
// 48 colours below were found by a random search for a colouring whose six permutations all pass through one
// butterfly, three stages of four switches, when S-box i enters it at label entry[i] and leaves it at
// exit[i]; of those, one with few different masks (five, up to complement), so that all of them stay in
// registers, and one that sends S-boxes back to their registers after two rounds. newWiring proves all of it.
var (
	entryTable  = [8]int{4, 0, 2, 5, 3, 1, 6, 7}
	exitTable   = [8]int{4, 2, 0, 7, 1, 3, 6, 5}
	colourTable = [48]int{
		5, 4, 1, 0, 3, 2, 0, 1, 2, 4, 3, 5, 2, 0, 5, 4, 1, 3, 3, 4, 1, 5, 0, 2,
		5, 4, 2, 1, 3, 0, 2, 4, 0, 1, 3, 5, 1, 4, 0, 3, 5, 2, 0, 5, 4, 3, 2, 1,
	}
)

// stageBitTable are the bits in which the two labels of a switch differ, by stage.
var stageBitTable = [3]int{4, 2, 1}

// A wiring is what the tables above come to.
type wiring struct {
	position [8][6]int  // the colour of bit e of what S-box j looks up
	carries  [8][6]int  // the bit of S-box i that goes out at a colour
	straight [3][8]byte // by stage and the lower label of a switch: the colours that it does not cross
	masks    []byte     // the different ones among them, of a mask and its complement one
	entered  [8]int     // the S-box that enters at a label
	left     [8]int     // the S-box that leaves at a label
}

const allColours = 1<<6 - 1

func newWiring() (*wiring, error) {
	w := new(wiring)
	for s := range 8 {
		w.entered[entryTable[s]], w.left[exitTable[s]] = s, s
	}
	var crossed [3][8]byte
	for n, e := range edges() {
		colour := colourTable[n]
		w.position[e.to][e.e], w.carries[e.from][colour] = colour, e.bit
		at, to := entryTable[e.from], exitTable[e.to]
		for stage, bit := range stageBitTable {
			if at&bit == to&bit {
				w.straight[stage][at&^bit] |= 1 << colour
			} else {
				crossed[stage][at&^bit] |= 1 << colour
			}
			at = at&^bit | to&bit
		}
	}
	for stage, bit := range stageBitTable {
		for label := range 8 {
			if label&bit != 0 {
				continue
			}
			m := w.straight[stage][label]
			if m^crossed[stage][label] != allColours {
				return nil, fmt.Errorf("switch %d of stage %d: a colour both ways", label, stage)
			}
			if w.mask(m) < 0 {
				w.masks = append(w.masks, m)
			}
		}
	}
	for s := range 8 {
		if next := w.left[entryTable[s]]; w.left[entryTable[next]] != s {
			return nil, fmt.Errorf("what S-box %d looks up is not back in its register after two rounds", s+1)
		}
	}
	return w, nil
}

// mask is the index in masks of m or of its complement; -1: neither is there.
func (w *wiring) mask(m byte) int {
	for k, have := range w.masks {
		if m == have || m == have^allColours {
			return k
		}
	}
	return -1
}

// lookup is the table of S-box s with input and output bits at their colours. Index bits 6 and 7 do not exist.
func (w *wiring) lookup(s int) (out [64]byte) {
	for x := range 64 {
		bit := func(e int) int { return x >> w.position[s][e] & 1 }
		row, column := bit(0)<<1|bit(5), bit(1)<<3|bit(2)<<2|bit(3)<<1|bit(4)
		value := sboxTable[s][row<<4|column]
		for colour, b := range w.carries[s] {
			out[x] |= value >> (3 - b) & 1 << colour
		}
	}
	return out
}

// A matrix is one for VGF2P8AFFINEQB: rows[i] selects the source bits whose sum is bit i of the result.
type matrix [8]byte

// bytes is the matrix as the instruction wants it in a quadword: the row of bit 7 first.
func (m matrix) bytes() (out [8]byte) {
	for i, row := range m {
		out[7-i] = row
	}
	return out
}

// fromRow puts bit e of what S-box s looks up, which is at bit 4s-1+e of a row, in a circle, at its colour.
func (w *wiring) fromRow(s int) (m matrix) {
	for e, colour := range w.position[s] {
		m[colour] = 1 << ((4*s + 7 + e) % 8)
	}
	return m
}

// fromKey puts the six bits of a round key, the first at bit 5, at their colours.
func (w *wiring) fromKey(s int) (m matrix) {
	for e, colour := range w.position[s] {
		m[colour] = 1 << (5 - e)
	}
	return m
}

// toRow takes the middle four of the six bits to their place in a row, first bit lowest: two S-boxes make a row.
func (w *wiring) toRow(s int) (m matrix) {
	for n := range 4 {
		m[4*(s%2)+n] = 1 << w.position[s][n+1]
	}
	return m
}

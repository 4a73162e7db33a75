// Gen writes the AVX-512 VBMI implementation of Triple DES, vbmi_amd64.s: wiring.go is how the bits are placed,
// vbmi.go the kernels, asm.go the text.
//
// A register holds one byte of each of 64 lanes, and a lane is one block. A half of a block is eight
// registers: register j has the six bits that S-box j looks up, the bits of the half after the expansion E. So
// a round is
//
//	VPERMB       × 8    the S-boxes: a register is a table of 64 entries
//	a butterfly         three stages of switches that bring each bit to the S-box that looks it up next (E∘P);
//	                    a switch is two selects by a constant mask
//	VPTERNLOGD   × 8    the sum with the other half and with the key
//
// and no bit is shifted: wiring.go tells how the bits are placed. A half is kept in memory with the round key
// added that it is going to be looked up with; the sum of the key it had and of the key it gets is what the round
// adds (in three-operand logic it costs nothing). Within a pass of 16 rounds, K(n) being the keys, K(0) = K(17)
// = 0, round n adds K(n-1)^K(n+1) to its target, and both halves leave the pass as they entered it but for
// K(16) on the one that is the source again in the next pass; there, and at both ends, K(16)^K(1) is added.
// Turned around, the same sums are those of a decryption.
//
// Two or three groups of 64 lanes, one round of each after the other, use the core better than one does: the
// permutes of one fill the wait for the other's.
package main

import (
	"flag"
	"log"
	"os"
)

func main() {
	log.SetFlags(0)
	out := flag.String("out", "vbmi_amd64.s", "the file to write")
	flag.Parse()
	w, err := newWiring()
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(*out, []byte(newGenerator(w).file()), 0o644); err != nil { //nolint:gosec // G306: a source file
		log.Fatal(err)
	}
}

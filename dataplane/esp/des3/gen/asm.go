package main

import (
	"fmt"
	"strings"
)

// An asm is a file of Go assembly in the making. avo, which would be the usual tool, knows neither GFNI nor
// the 512-bit forms that are used here.
type asm struct {
	text   strings.Builder
	labels int
}

// A z is a 512-bit register.
type z int

func (r z) String() string { return fmt.Sprintf("Z%d", int(r)) }

// x is the same register's low 128 bits, y its low 256.
func (r z) x() string { return fmt.Sprintf("X%d", int(r)) }
func (r z) y() string { return fmt.Sprintf("Y%d", int(r)) }

// at is a memory operand.
func at(base string, offset int) string {
	if offset == 0 {
		return "(" + base + ")"
	}
	return fmt.Sprintf("%d(%s)", offset, base)
}

// table is an operand in a table that data wrote.
func table(name string, offset int) string { return fmt.Sprintf("%s<>+%d(SB)", name, offset) }

// imm is an immediate operand.
func imm(n int) string { return fmt.Sprintf("$%#x", n) }

// line writes a line as it is.
func (a *asm) line(text string) { fmt.Fprintln(&a.text, text) }

// op writes an instruction. Operands are in the order of Go: sources from the last to the first, then the destination.
func (a *asm) op(name string, operands ...any) {
	words := make([]string, len(operands))
	for i, o := range operands {
		words[i] = fmt.Sprint(o)
	}
	fmt.Fprintf(&a.text, "\t%s %s\n", name, strings.Join(words, ", "))
}

// note writes a comment line inside of a function.
func (a *asm) note(format string, args ...any) { fmt.Fprintf(&a.text, "\t// "+format+"\n", args...) }

// function begins a function with a frame of so many bytes that can be aligned.
func (a *asm) function(name, signature string, frame, args int) {
	a.labels = 0
	flags := "NOSPLIT"
	if frame > 0 {
		flags, frame = "0", frame+alignment-8
	}
	fmt.Fprintf(&a.text, "\n// func %s%s\nTEXT ·%s(SB), %s, $%d-%d\n", name, signature, name, flags, frame, args)
}

// alignment of memory that vectors lie in, so that none straddles two cache lines.
const alignment = 64

// alignFrame sets a register to the aligned bytes of the frame.
func (a *asm) alignFrame(register string) {
	a.op("LEAQ", at("SP", alignment-8), register)
	a.op("ANDQ", fmt.Sprintf("$-%d", alignment), register)
}

// loop repeats body: counter, a register, is set to n, and n to zero is counted down.
func (a *asm) loop(counter string, n any, body func()) {
	a.labels++
	label := fmt.Sprintf("loop%d", a.labels)
	if n != nil {
		a.op("MOVQ", n, counter)
	}
	fmt.Fprintf(&a.text, "\n%s:\n", label)
	body()
	a.op("DECQ", counter)
	a.op("JNZ", label)
	a.line("")
}

// ret ends a function that has used vector registers.
func (a *asm) ret() {
	a.line("\tVZEROUPPER\n\tRET")
}

// data writes a read-only table.
func (a *asm) data(name, comment string, table []byte) {
	fmt.Fprintf(&a.text, "\n// %s\n", comment)
	for i := 0; i < len(table); i += 8 {
		var q uint64
		for k, b := range table[i : i+8] {
			q |= uint64(b) << (8 * k)
		}
		fmt.Fprintf(&a.text, "DATA %s<>+%d(SB)/8, $%#016x\n", name, i, q)
	}
	fmt.Fprintf(&a.text, "GLOBL %s<>(SB), RODATA|NOPTR, $%d\n", name, len(table))
}

package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A vector writes operations on registers that hold a word of each lane. AVX-512 keeps the 16 words of the
// message schedule in registers, AVX2 on the stack.
type vector struct {
	*build.Context
	avx512 bool
	word   int // bytes: 4 or 8
	frame  operand.Mem
	tables map[string]operand.Mem
}

func newVector(c *build.Context, avx512 bool, word int) *vector {
	return &vector{Context: c, avx512: avx512, word: word, tables: map[string]operand.Mem{}}
}

var (
	zmmTable = [...]reg.VecPhysical{
		reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7, reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
		reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23, reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
	}
	ymmTable = [...]reg.VecPhysical{
		reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7, reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
	}
)

// bytes is the size of a register.
func (v *vector) bytes() int {
	if v.avx512 {
		return 64
	}
	return 32
}

// s is register i of eight for the state, t one of eight for temporaries; rotate and the functions of three
// words use t(7).
func (v *vector) s(i int) reg.VecPhysical {
	if v.avx512 {
		return zmmTable[16+i]
	}
	return ymmTable[i]
}

func (v *vector) t(i int) reg.VecPhysical {
	if v.avx512 {
		return zmmTable[24+i]
	}
	return ymmTable[8+i]
}

// w is word i of the message schedule, mod 16.
func (v *vector) w(i int) operand.Op {
	i = (i + 16) % 16
	if v.avx512 {
		return zmmTable[i]
	}
	return v.frame.Offset(32 * i)
}

// begin begins a function whose blocks are 16 words, and the loop over them; each block begins with the
// message in w and the state in s.
func (v *vector) begin(name, doc string, words int, bigEndian bool) {
	attributes := attr.NOSPLIT
	if !v.avx512 {
		attributes = 0 // too large a frame
	}
	function(v.Context, name, doc, attributes, 16*v.word)
	if !v.avx512 {
		v.frame = v.AllocLocal(16 * 32)
	}
	v.Label("block")
	v.message(bigEndian)
	v.Comment("The state")
	for i := range words {
		v.move(stateWord(i, 0, v.word), v.s(i))
	}
}

// end adds the state that the block began with to s, writes it and goes to the next block.
func (v *vector) end(words int) {
	v.Comment("Add to the state")
	for i := range words {
		v.add(stateWord(i, 0, v.word), v.s(i), v.s(i))
		v.move(v.s(i), stateWord(i, 0, v.word))
	}
	again(v.Context, "block", 16*v.word)
	v.VZEROUPPER()
	v.RET()
}

// message reads a block of every lane and turns it about: word i of all lanes becomes w(i). It goes by 16
// bytes of the blocks. Lane 0, 4, 8, 12 (64-bit words: 0, 2, 4, 6) stand in one register, lane 1, 5, 9, 13
// in the next; unpacking them gives the words.
func (v *vector) message(bigEndian bool) {
	square := 16 / v.word // words in 16 bytes, and lanes in 16 bytes of a register
	for chunk := range v.word {
		v.Commentf("Words %d to %d", chunk*square, chunk*square+square-1)
		for j := range square {
			for part := range v.bytes() / 16 {
				v.MOVQ(operand.Mem{Base: dataTable, Disp: 8 * (part*square + j)}, reg.RAX)
				from := operand.Mem{Base: reg.RAX, Index: offset, Scale: 1, Disp: 16 * chunk}
				to := v.s(j)
				switch {
				case part == 0 && v.avx512:
					v.VMOVDQU32(from, to.AsX())
				case part == 0:
					v.VMOVDQU(from, to.AsX())
				case v.avx512:
					v.VINSERTI32X4(imm(part), from, to, to)
				default:
					v.VINSERTI128(imm(part), from, to, to)
				}
			}
		}
		if square == 4 {
			v.VPUNPCKLDQ(v.s(1), v.s(0), v.t(0))
			v.VPUNPCKHDQ(v.s(1), v.s(0), v.t(1))
			v.VPUNPCKLDQ(v.s(3), v.s(2), v.t(2))
			v.VPUNPCKHDQ(v.s(3), v.s(2), v.t(3))
			v.VPUNPCKLQDQ(v.t(2), v.t(0), v.s(0))
			v.VPUNPCKHQDQ(v.t(2), v.t(0), v.s(1))
			v.VPUNPCKLQDQ(v.t(3), v.t(1), v.s(2))
			v.VPUNPCKHQDQ(v.t(3), v.t(1), v.s(3))
		} else {
			v.VPUNPCKHQDQ(v.s(1), v.s(0), v.t(0))
			v.VPUNPCKLQDQ(v.s(1), v.s(0), v.s(0))
			v.move(v.t(0), v.s(1))
		}
		for j := range square {
			if bigEndian {
				v.VPSHUFB(v.swap(), v.s(j), v.s(j))
			}
			v.move(v.s(j), v.w(chunk*square+j))
		}
	}
}

// swap is the VPSHUFB control that turns the bytes of each word about.
func (v *vector) swap() operand.Mem {
	name := map[int]string{4: "swap32", 8: "swap64"}[v.word]
	table, ok := v.tables[name]
	if !ok {
		table = v.StaticGlobal(name + map[bool]string{true: "x16", false: "x8"}[v.avx512])
		v.DataAttributes(attr.RODATA | attr.NOPTR)
		for i := range v.bytes() {
			v.AppendDatum(operand.U8(i%16 ^ (v.word - 1))) //nolint:gosec // G115: below 16
		}
		v.tables[name] = table
	}
	return table
}

func (v *vector) move(from, to operand.Op) {
	if v.avx512 {
		v.VMOVDQU64(from, to)
	} else {
		v.VMOVDQU(from, to)
	}
}

// add sets to = a + b; a may lie in memory.
func (v *vector) add(a, b, to operand.Op) {
	if v.word == 4 {
		v.VPADDD(a, b, to)
	} else {
		v.VPADDQ(a, b, to)
	}
}

// addConstant adds a word in memory to every lane.
func (v *vector) addConstant(k operand.Mem, to reg.VecPhysical) {
	switch {
	case v.avx512 && v.word == 4:
		v.VPADDD_BCST(k, to, to)
	case v.avx512:
		v.VPADDQ_BCST(k, to, to)
	case v.word == 4:
		v.VPBROADCASTD(k, v.t(7))
		v.VPADDD(v.t(7), to, to)
	default:
		v.VPBROADCASTQ(k, v.t(7))
		v.VPADDQ(v.t(7), to, to)
	}
}

// xor sets to = a XOR b; a may lie in memory.
func (v *vector) xor(a, b, to operand.Op) {
	if v.avx512 {
		v.VPXORD(a, b, to)
	} else {
		v.VPXOR(a, b, to)
	}
}

// rotateLeft sets to = ROTL(x, n); to may be x.
func (v *vector) rotateLeft(n int, x, to reg.VecPhysical) {
	left, right := imm(n), imm(8*v.word-n)
	switch {
	case v.avx512 && v.word == 4:
		v.VPROLD(left, x, to)
	case v.avx512:
		v.VPROLQ(left, x, to)
	case v.word == 4:
		v.VPSRLD(right, x, v.t(7))
		v.VPSLLD(left, x, to)
		v.VPOR(v.t(7), to, to)
	default:
		v.VPSRLQ(right, x, v.t(7))
		v.VPSLLQ(left, x, to)
		v.VPOR(v.t(7), to, to)
	}
}

func (v *vector) rotateRight(n int, x, to reg.VecPhysical) { v.rotateLeft(8*v.word-n, x, to) }

func (v *vector) shiftRight(n int, x, to operand.Op) {
	if v.word == 4 {
		v.VPSRLD(imm(n), x, to)
	} else {
		v.VPSRLQ(imm(n), x, to)
	}
}

// ternary sets to = f(x, y, z), for VPTERNLOG a truth table whose bit 4x+2y+z is f(x, y, z).
func (v *vector) ternary(table uint8, x, y, z operand.Op, to reg.VecPhysical) {
	if x != to {
		v.VMOVDQA64(x, to)
	}
	v.VPTERNLOGD(operand.U8(table), z, y, to)
}

// ch sets to = Ch(x, y, z) = x ? y : z (FIPS 180-4, 4.1).
func (v *vector) ch(x, y, z, to reg.VecPhysical) {
	if v.avx512 {
		v.ternary(0xca, x, y, z, to)
		return
	}
	v.VPXOR(y, z, to)
	v.VPAND(x, to, to)
	v.VPXOR(z, to, to)
}

// parity sets to = x XOR y XOR z.
func (v *vector) parity(x, y, z, to reg.VecPhysical) {
	if v.avx512 {
		v.ternary(0x96, x, y, z, to)
		return
	}
	v.VPXOR(x, y, to)
	v.VPXOR(z, to, to)
}

// maj sets to = Maj(x, y, z), the majority.
func (v *vector) maj(x, y, z, to reg.VecPhysical) {
	if v.avx512 {
		v.ternary(0xe8, x, y, z, to)
		return
	}
	v.VPAND(x, y, v.t(7))
	v.VPOR(x, y, to)
	v.VPAND(z, to, to)
	v.VPOR(v.t(7), to, to)
}

package main

import (
	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// sha1KTable is K of FIPS 180-4, 4.2.1, for 20 rounds each.
var sha1KTable = []uint32{0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6}

// sha1 writes the compression function of FIPS 180-4, 6.1.2.
func sha1(v *vector, name string) {
	v.begin(name, name+" hashes n blocks of each lane.", 5, true)
	table := constants(v.Context, "K"+name, sha1KTable)
	a, b, c, d, e := v.s(0), v.s(1), v.s(2), v.s(3), v.s(4)
	k := v.s(5)
	for t := range 80 {
		if t%20 == 0 {
			v.Commentf("Rounds %d to %d", t, t+19)
			v.VPBROADCASTD(table.Offset(t/20*4), k)
		}
		if t >= 16 {
			v.sha1Schedule(t)
		}
		v.add(v.w(t), e, e)
		v.add(k, e, e)
		f, rotated := v.t(0), v.t(1)
		switch t / 20 {
		case 0:
			v.ch(b, c, d, f)
		case 1, 3:
			v.parity(b, c, d, f)
		case 2:
			v.maj(b, c, d, f)
		}
		v.add(f, e, e)
		v.rotateLeft(5, a, rotated)
		v.add(rotated, e, e)
		v.rotateLeft(30, b, b)
		a, b, c, d, e = e, a, b, c, d
	}
	v.end(5)
}

// sha1Schedule replaces W(t-16) by W(t) = ROTL(W(t-3) XOR W(t-8) XOR W(t-14) XOR W(t-16), 1).
func (v *vector) sha1Schedule(t int) {
	if v.avx512 {
		w := v.w(t).(reg.VecPhysical)
		v.VPTERNLOGD(operand.U8(0x96), v.w(t-8), v.w(t-14), w)
		v.xor(v.w(t-3), w, w)
		v.rotateLeft(1, w, w)
		return
	}
	w := v.t(2)
	v.move(v.w(t), w)
	v.xor(v.w(t-14), w, w)
	v.xor(v.w(t-8), w, w)
	v.xor(v.w(t-3), w, w)
	v.rotateLeft(1, w, w)
	v.move(w, v.w(t))
}

// sha1NI writes the compression function with the SHA instructions for one or two lanes in turns: a lane's
// instructions wait for one another, those of two overlap. AVX forms elsewhere, since they take unaligned
// memory and three operands; no register is used beyond its 128 bits.
func sha1NI(c *build.Context, name string, streams int) {
	function(c, name, name+" hashes n blocks of the first lanes with the SHA instructions.", attr.NOSPLIT, 64)
	// reverse turns all 16 bytes about: the instructions want the first word in the highest place.
	reverse := constants(c, "reverse"+name, []uint64{0x08090a0b0c0d0e0f, 0x0001020304050607})
	type stream struct {
		abcd    reg.VecPhysical
		e       [2]reg.VecPhysical // e[i&1] is E and W of the group; the other the ABCD that E will come from
		w       [4]reg.VecPhysical
		data    reg.GPPhysical
		oldABCD operand.Mem
		oldE    operand.Mem
	}
	all := []stream{
		{reg.X0, [2]reg.VecPhysical{reg.X1, reg.X2}, [4]reg.VecPhysical{reg.X3, reg.X4, reg.X5, reg.X6}, reg.R8, c.AllocLocal(16), c.AllocLocal(16)},
		{reg.X7, [2]reg.VecPhysical{reg.X8, reg.X9}, [4]reg.VecPhysical{reg.X10, reg.X11, reg.X12, reg.X13}, reg.R9, c.AllocLocal(16), c.AllocLocal(16)},
	}[:streams]
	for i, s := range all {
		c.MOVQ(operand.Mem{Base: dataTable, Disp: 8 * i}, s.data)
		c.VMOVD(stateWord(3, i, 4), s.abcd)
		for place, word := range []int{2, 1, 0} {
			c.VPINSRD(imm(place+1), stateWord(word, i, 4), s.abcd, s.abcd)
		}
		c.VPXOR(s.e[0], s.e[0], s.e[0])
		c.VPINSRD(imm(3), stateWord(4, i, 4), s.e[0], s.e[0])
	}
	c.Label("block")
	for _, s := range all {
		c.VMOVDQU(s.abcd, s.oldABCD)
		c.VMOVDQU(s.e[0], s.oldE)
	}
	for group := range 20 {
		c.Commentf("Rounds %d to %d", 4*group, 4*group+3)
		for _, s := range all {
			w := s.w[group%4]
			if group < 4 {
				c.VMOVDQU(operand.Mem{Base: s.data, Index: offset, Scale: 1, Disp: 16 * group}, w)
				c.VPSHUFB(reverse, w, w)
			} else {
				c.SHA1MSG1(s.w[(group+1)%4], w)
				c.VPXOR(s.w[(group+2)%4], w, w)
				c.SHA1MSG2(s.w[(group+3)%4], w)
			}
			e, next := s.e[group&1], s.e[group&1^1]
			if group == 0 {
				c.VPADDD(w, e, e)
			} else {
				c.SHA1NEXTE(w, e)
			}
			c.VMOVDQA(s.abcd, next)
			c.SHA1RNDS4(imm(group/5), e, s.abcd)
		}
	}
	c.Comment("Add to the state")
	for _, s := range all {
		c.VMOVDQU(s.oldE, s.e[1])
		c.SHA1NEXTE(s.e[1], s.e[0])
		c.VPADDD(s.oldABCD, s.abcd, s.abcd)
	}
	again(c, "block", 64)
	for i, s := range all {
		for place, word := range []int{3, 2, 1, 0} {
			c.VPEXTRD(imm(place), s.abcd, stateWord(word, i, 4))
		}
		c.VPEXTRD(imm(3), s.e[0], stateWord(4, i, 4))
	}
	c.RET()
}

package main

import (
	"math/big"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// rotations are those of FIPS 180-4, 4.1.2 (SHA-256) and 4.1.3 (SHA-512); the last of a small sigma is a shift.
type rotations struct{ bigSigma0, bigSigma1, sigma0, sigma1 [3]int }

var sha2RotationTable = map[int]rotations{
	4: {[3]int{2, 13, 22}, [3]int{6, 11, 25}, [3]int{7, 18, 3}, [3]int{17, 19, 10}},
	8: {[3]int{28, 34, 39}, [3]int{14, 18, 41}, [3]int{1, 8, 7}, [3]int{19, 61, 6}},
}

// sha2K makes K of FIPS 180-4, 4.2.2 and 4.2.3: the first bits of the fractional parts of the cube roots of
// the first primes. The first 32 bits of SHA-512's are SHA-256's.
func sha2K() (k [80]uint64) {
	i := 0
	for p := int64(2); i < len(k); p++ {
		n := big.NewInt(p)
		if !n.ProbablyPrime(0) {
			continue
		}
		// k is the greatest with k³ ≤ p·2¹⁹², found bit by bit; its low 64 bits are the fraction.
		n.Lsh(n, 192)
		root := new(big.Int)
		for bit := 67; bit >= 0; bit-- {
			try := new(big.Int).SetBit(root, bit, 1)
			if new(big.Int).Exp(try, big.NewInt(3), nil).Cmp(n) <= 0 {
				root = try
			}
		}
		k[i] = new(big.Int).And(root, new(big.Int).SetUint64(1<<64-1)).Uint64()
		i++
	}
	return k
}

func sha256K() []uint32 {
	k := sha2K()
	words := make([]uint32, 64)
	for i := range words {
		words[i] = uint32(k[i] >> 32)
	}
	return words
}

// sha2 writes the compression function of SHA-256 (FIPS 180-4, 6.2.2) or SHA-512 (6.4.2), 16 rounds at a time.
func sha2(v *vector, name string) {
	v.begin(name, name+" hashes n blocks of each lane.", 8, true)
	k, rounds := reg.R8, 64
	if v.word == 4 {
		v.LEAQ(constants(v.Context, "K"+name, sha256K()), k)
	} else {
		words := sha2K()
		rounds = len(words)
		v.LEAQ(constants(v.Context, "K"+name, words[:]), k)
	}
	v.MOVL(operand.U32(rounds/16-1), reg.ECX)
	v.Label("rounds")
	for t := range 16 {
		v.Commentf("Round %d of 16, and 16 further on W(t) = σ1(W(t-2)) + W(t-7) + σ0(W(t-15)) + W(t-16)", t)
		v.sha2Round(k, t)
		v.sha2Schedule(t)
	}
	v.ADDQ(imm(16*v.word), k)
	v.DECL(reg.ECX)
	v.JNE(operand.LabelRef("rounds"))
	for t := range 16 {
		v.Commentf("Round %d of the last 16", t)
		v.sha2Round(k, t)
	}
	v.end(8)
}

func (v *vector) sha2Round(k reg.GPPhysical, t int) {
	r := func(i int) reg.VecPhysical { return v.s((i + 16 - t) % 8) } // a is s(0) in round 0, s(7) in round 1
	a, b, c, d, e, f, g, h := r(0), r(1), r(2), r(3), r(4), r(5), r(6), r(7)
	rot := sha2RotationTable[v.word]
	v.add(v.w(t), h, h)
	v.addConstant(operand.Mem{Base: k, Disp: v.word * t}, h)
	v.ch(e, f, g, v.t(0))
	v.add(v.t(0), h, h)
	v.sigma(rot.bigSigma1, false, e, v.t(1))
	v.add(v.t(1), h, h) // T1
	v.add(h, d, d)
	v.maj(a, b, c, v.t(2))
	v.add(v.t(2), h, h)
	v.sigma(rot.bigSigma0, false, a, v.t(3))
	v.add(v.t(3), h, h)
}

func (v *vector) sha2Schedule(t int) {
	rot := sha2RotationTable[v.word]
	w15, w2, w := v.t(0), v.t(1), v.t(2)
	if v.avx512 {
		w15, w2, w = v.w(t-15).(reg.VecPhysical), v.w(t-2).(reg.VecPhysical), v.w(t).(reg.VecPhysical)
	} else {
		v.move(v.w(t-15), w15)
		v.move(v.w(t-2), w2)
		v.move(v.w(t), w)
	}
	v.add(v.w(t-7), w, w)
	v.sigma(rot.sigma0, true, w15, v.t(3))
	v.add(v.t(3), w, w)
	v.sigma(rot.sigma1, true, w2, v.t(4))
	v.add(v.t(4), w, w)
	if !v.avx512 {
		v.move(w, v.w(t))
	}
}

// sigma sets to = ROTR(x, n[0]) XOR ROTR(x, n[1]) XOR ROTR(x, n[2]), the last SHR where small is set.
func (v *vector) sigma(n [3]int, small bool, x, to reg.VecPhysical) {
	u, last := v.t(5), v.t(6)
	v.rotateRight(n[0], x, to)
	v.rotateRight(n[1], x, u)
	if small {
		v.shiftRight(n[2], x, last)
	} else {
		v.rotateRight(n[2], x, last)
	}
	v.parity(to, u, last, to)
}

// sha256NI writes SHA-256 with the SHA instructions for one or two lanes in turns, as sha1NI.
func sha256NI(c *build.Context, name string, streams int) {
	function(c, name, name+" hashes n blocks of the first lanes with the SHA instructions.", attr.NOSPLIT, 64)
	swap := constants(c, "swap"+name, []uint64{0x0405060700010203, 0x0c0d0e0f08090a0b})
	table := constants(c, "K"+name, sha256K())
	type stream struct {
		abef, cdgh       reg.VecPhysical
		w                [4]reg.VecPhysical
		data             reg.GPPhysical
		oldABEF, oldCDGH operand.Mem
	}
	all := []stream{
		{reg.X1, reg.X2, [4]reg.VecPhysical{reg.X3, reg.X4, reg.X5, reg.X6}, reg.R8, c.AllocLocal(16), c.AllocLocal(16)},
		{reg.X7, reg.X8, [4]reg.VecPhysical{reg.X9, reg.X10, reg.X11, reg.X12}, reg.R9, c.AllocLocal(16), c.AllocLocal(16)},
	}[:streams]
	wk, temp := reg.X0, reg.X13 // SHA256RNDS2 takes W+K in X0
	// The words in each register, the lowest first.
	abef, cdgh := [4]int{5, 4, 1, 0}, [4]int{7, 6, 3, 2}
	for i, s := range all {
		c.MOVQ(operand.Mem{Base: dataTable, Disp: 8 * i}, s.data)
		for place := range 4 {
			if place == 0 {
				c.VMOVD(stateWord(abef[0], i, 4), s.abef)
				c.VMOVD(stateWord(cdgh[0], i, 4), s.cdgh)
				continue
			}
			c.VPINSRD(imm(place), stateWord(abef[place], i, 4), s.abef, s.abef)
			c.VPINSRD(imm(place), stateWord(cdgh[place], i, 4), s.cdgh, s.cdgh)
		}
	}
	c.Label("block")
	for _, s := range all {
		c.VMOVDQU(s.abef, s.oldABEF)
		c.VMOVDQU(s.cdgh, s.oldCDGH)
	}
	for group := range 16 {
		c.Commentf("Rounds %d to %d", 4*group, 4*group+3)
		for _, s := range all {
			w, before := s.w[group%4], s.w[(group+3)%4]
			if group < 4 {
				c.VMOVDQU(operand.Mem{Base: s.data, Index: offset, Scale: 1, Disp: 16 * group}, w)
				c.VPSHUFB(swap, w, w)
			} else {
				c.SHA256MSG1(s.w[(group+1)%4], w)
				c.VPALIGNR(imm(4), s.w[(group+2)%4], before, temp) // W(t-7)
				c.VPADDD(temp, w, w)
				c.SHA256MSG2(before, w)
			}
			c.VPADDD(table.Offset(16*group), w, wk)
			c.SHA256RNDS2(wk, s.abef, s.cdgh)
			c.VPSHUFD(imm(0x0e), wk, wk)
			c.SHA256RNDS2(wk, s.cdgh, s.abef)
		}
	}
	c.Comment("Add to the state")
	for _, s := range all {
		c.VPADDD(s.oldABEF, s.abef, s.abef)
		c.VPADDD(s.oldCDGH, s.cdgh, s.cdgh)
	}
	again(c, "block", 64)
	for i, s := range all {
		for place := range 4 {
			c.VPEXTRD(imm(place), s.abef, stateWord(abef[place], i, 4))
			c.VPEXTRD(imm(place), s.cdgh, stateWord(cdgh[place], i, 4))
		}
	}
	c.RET()
}

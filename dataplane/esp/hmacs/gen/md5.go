package main

import (
	"math"

	"github.com/mmcloughlin/avo/reg"
)

// md5 writes the compression function of RFC 1321, 3.4.
func md5(v *vector, name string) {
	v.begin(name, name+" hashes n blocks of each lane.", 4, false)
	var table []uint32
	for i := range 64 {
		table = append(table, uint32(math.Floor(4294967296*math.Abs(math.Sin(float64(i+1))))))
	}
	t := constants(v.Context, "T"+name, table)
	ones := v.t(2)
	if !v.avx512 {
		v.VPCMPEQD(ones, ones, ones)
	}
	shifts := [4][4]int{{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}}
	a, b, c, d := v.s(0), v.s(1), v.s(2), v.s(3)
	for i := range 64 {
		if i%16 == 0 {
			v.Commentf("Round %d", 1+i/16)
		}
		f, x := v.t(0), [4]int{i, 5*i + 1, 3*i + 5, 7 * i}[i/16]
		v.add(v.w(x%16), a, a)
		v.addConstant(t.Offset(4*i), a)
		switch i / 16 {
		case 0: // F
			v.ch(b, c, d, f)
		case 1: // G
			v.ch(d, b, c, f)
		case 2: // H
			v.parity(b, c, d, f)
		case 3: // I = c XOR (b OR NOT d)
			v.md5I(b, c, d, ones, f)
		}
		v.add(f, a, a)
		v.rotateLeft(shifts[i/16][i%4], a, a)
		v.add(b, a, a)
		a, b, c, d = d, a, b, c
	}
	v.end(4)
}

func (v *vector) md5I(x, y, z, ones, to reg.VecPhysical) {
	if v.avx512 {
		v.ternary(0x39, x, y, z, to)
		return
	}
	v.VPXOR(z, ones, to)
	v.VPOR(x, to, to)
	v.VPXOR(y, to, to)
}

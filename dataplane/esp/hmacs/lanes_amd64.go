package hmacs

import (
	"crypto/md5" //nolint:gosec // G501: its size
	"encoding/binary"
	"math/bits"
	"slices"
	"unsafe"
)

const (
	maxLanes = 16
	pairs    = 2 // lanes of a pair kernel
)

// sum computes the n HMACs of one hash among ops.
func (m method) sum(h Hash, ops []Op, n int) {
	switch {
	case m.wide == none, n < m.from && m.pair == none:
		sumPortable(h, ops)
	case n < m.from:
		m.sumFew(h, ops, n)
	case functionTable[h].word() == 4:
		m.sumMany(h, ops, n)
	default:
		m.sumMany64(h, ops, n)
	}
}

// These differ in the stack that is cleared for them.
func (m method) sumFew(h Hash, ops []Op, n int) {
	var ends [pairs]ending[uint32]
	sumLanes(m, h, ops, n, ends[:])
}

func (m method) sumMany(h Hash, ops []Op, n int) {
	var ends [16]ending[uint32]
	sumLanes(m, h, ops, n, ends[:m.lanes])
}

func (m method) sumMany64(h Hash, ops []Op, n int) {
	var ends [8]ending[uint64]
	sumLanes(m, h, ops, n, ends[:m.lanes])
}

// lanes are the HMACs in progress, a column for each.
type lanes[W word] struct {
	state [8][maxLanes]W
	data  [maxLanes]*byte // where the message goes on
	left  [maxLanes]int   // blocks there
	op    [maxLanes]int   // whose HMAC it is
	stage [maxLanes]stage
	end   [maxLanes]int // which ending is the lane's
}

// An ending is the last one or two blocks of a message, padded.
type ending[W word] [2 * 16]W

// A stage is the part of an HMAC that a lane is at.
type stage uint8

const (
	begun stage = iota
	body        // whole blocks of Data, in place
	rest        // the rest of Data, padded
	outer       // the outer hash: one block
)

// keyOf gives the pads of the key in the size of the hash's words.
func keyOf[W word](k *Key) *pads[W] {
	if unsafe.Sizeof(W(0)) == 8 {
		return (*pads[W])(unsafe.Pointer(k.wide)) //nolint:gosec // G103: W is uint64
	}
	return (*pads[W])(unsafe.Pointer(k.narrow)) //nolint:gosec // G103: W is uint32
}

// sumLanes computes the HMACs of one hash, of which ops has `waiting`, in up to as many lanes as there are endings.
func sumLanes[W word](m method, h Hash, ops []Op, waiting int, ends []ending[W]) {
	f := &functionTable[h]
	var l lanes[W]
	for lane := range l.end {
		l.end[lane] = lane
	}
	active := 0 // lanes 0 to active-1 are taken
	for next := 0; ; {
		if active == 0 && waiting < m.from && m.pair == none {
			sumPortable(h, ops[next:])
			return
		}
		for ; active < len(ends) && next < len(ops); next++ {
			if op := &ops[next]; op.Key.hash == h {
				l.op[active], l.stage[active] = next, begun
				l.setState(f, active, &keyOf[W](op.Key).inner)
				l.data[active], l.left[active] = l.goOn(f, active, op, ends)
				active++
				waiting--
			}
		}
		if active == 0 {
			return
		}
		run, k := active, m.wide
		if active < m.from && m.pair != none {
			run, k = min(active, pairs), m.pair
		} else {
			for lane := active; lane < m.lanes; lane++ {
				l.data[lane] = l.data[0] // an idle lane must have something to read
			}
		}
		n := slices.Min(l.left[:run])
		k.run((*byte)(unsafe.Pointer(&l.state)), &l.data, run, n) //nolint:gosec // G103: a pointer to all of it
		for lane := run - 1; lane >= 0; lane-- {
			if l.left[lane] -= n; l.left[lane] > 0 {
				l.data[lane] = (*byte)(unsafe.Add(unsafe.Pointer(l.data[lane]), n*f.block)) //nolint:gosec // G103: within Data
				continue
			}
			op := &ops[l.op[lane]]
			if l.stage[lane] != outer {
				l.data[lane], l.left[lane] = l.goOn(f, lane, op, ends)
				continue
			}
			var sum [8]W
			l.digest(f, lane, sum[:])
			copy(op.Out, memory(sum[:])[:f.size])
			active--
			if lane != active { // the last lane moves here
				l.data[lane], l.left[lane] = l.data[active], l.left[active]
				l.move(active, lane)
			}
		}
	}
}

// goOn takes a lane to its next stage and says which blocks it consists of.
func (l *lanes[W]) goOn(f *function, lane int, op *Op, ends []ending[W]) (data *byte, blocks int) {
	l.stage[lane]++
	if l.stage[lane] == body {
		if whole := len(op.Data) / f.block; whole > 0 {
			return &op.Data[0], whole
		}
		l.stage[lane]++
	}
	end := &ends[l.end[lane]]
	*end = ending[W]{}
	in := memory(end[:])
	if l.stage[lane] == rest {
		n := copy(in, op.Data[len(op.Data)&^(f.block-1):])
		return &in[0], f.pad(in, n, f.block+len(op.Data))
	}
	l.digest(f, lane, end[:])
	l.setState(f, lane, &keyOf[W](op.Key).outer)
	return &in[0], f.pad(in, f.size, f.block+f.size)
}

// memory is the bytes of words. amd64 is little-endian.
func memory[W word](words []W) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), len(words)*int(unsafe.Sizeof(words[0]))) //nolint:gosec // G103: the same memory
}

// pad pads the n bytes in the zeroed end of a message of `total` bytes (FIPS 180-4, 5.1; RFC 1321, 3.1 and
// 3.2) and returns how many blocks that makes.
func (f *function) pad(end []byte, n, total int) (blocks int) {
	blocks = 1
	if n+1+2*f.word() > f.block {
		blocks = 2
	}
	end[n] = 0x80
	length := end[blocks*f.block-8:]
	if f.littleEndian() {
		binary.LittleEndian.PutUint64(length, uint64(total)*8) //nolint:gosec // G115: not negative
	} else {
		binary.BigEndian.PutUint64(length, uint64(total)*8) //nolint:gosec // G115: not negative
	}
	return blocks
}

// littleEndian tells MD5 from the others.
func (f *function) littleEndian() bool { return f.size == md5.Size }

// setState writes a state into a lane's column.
func (l *lanes[W]) setState(f *function, lane int, state *[8]W) {
	for i := range f.state / f.word() {
		l.state[i&7][lane&15] = state[i&7]
	}
}

// digest writes the hash in a lane's column into the first words of to, in the order of its bytes.
func (l *lanes[W]) digest(f *function, lane int, to []W) {
	words := f.size / int(unsafe.Sizeof(W(0)))
	for i := range to[:words] {
		w := l.state[i&7][lane&15]
		switch {
		case unsafe.Sizeof(w) == 8:
			w = W(bits.ReverseBytes64(uint64(w)))
		case !f.littleEndian():
			w = W(bits.ReverseBytes32(uint32(w)))
		}
		to[i] = w
	}
}

// move moves a lane, data and left aside, to where another was; that one's ending goes the other way.
func (l *lanes[W]) move(from, to int) {
	l.op[to], l.stage[to] = l.op[from], l.stage[from]
	l.end[to], l.end[from] = l.end[from], l.end[to]
	for i := range l.state {
		l.state[i][to] = l.state[i][from]
	}
}

// run hashes n blocks of every lane, or of the first one or two with a pair kernel.
func (k kernel) run(state *byte, data *[maxLanes]*byte, lanes, n int) {
	switch k {
	case none:
		panic("hmacs: a method without machine code")
	case md5AVX2:
		md5x8(state, data, n)
	case md5AVX512:
		md5x16(state, data, n)
	case sha1AVX2:
		sha1x8(state, data, n)
	case sha1AVX512:
		sha1x16(state, data, n)
	case sha1SHANI:
		if lanes == 1 {
			sha1x1NI(state, data, n)
		} else {
			sha1x2NI(state, data, n)
		}
	case sha256AVX2:
		sha256x8(state, data, n)
	case sha256AVX512:
		sha256x16(state, data, n)
	case sha256SHANI:
		if lanes == 1 {
			sha256x1NI(state, data, n)
		} else {
			sha256x2NI(state, data, n)
		}
	case sha512AVX2:
		sha512x4(state, data, n)
	case sha512AVX512:
		sha512x8(state, data, n)
	}
}

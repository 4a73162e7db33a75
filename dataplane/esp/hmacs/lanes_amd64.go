package hmacs

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

//go:generate go run ./gen

const (
	maxLanes = 16
	pairs    = 2 // lanes of a pair kernel
	endRoom  = 2 // blocks that the padded end of a message takes at most
)

// sum computes the n HMACs of one hash among ops.
func (m method) sum(h Hash, ops []Op, n int) {
	switch {
	case m.wide == none, n < m.from && m.pair == none:
		sumPortable(h, ops)
	case n < m.from:
		m.sumFew(h, ops)
	default:
		m.sumMany(h, ops)
	}
}

// sumFew and sumMany differ in the size of the stack that is cleared for them.
func (m method) sumFew(h Hash, ops []Op) {
	var ends [pairs * endRoom * 64]byte
	m.sumLanes(h, ops, ends[:], pairs)
}

func (m method) sumMany(h Hash, ops []Op) {
	var ends [maxLanes * endRoom * 64]byte // as much as 8 * endRoom * 128
	m.sumLanes(h, ops, ends[:], m.lanes)
}

// lanes are the HMACs in progress, a column for each.
type lanes struct {
	state [8][64]byte     // for each word of the state a row, in it a native word for each lane
	data  [maxLanes]*byte // where the message goes on
	left  [maxLanes]int   // blocks there
	op    [maxLanes]int   // whose HMAC it is
	stage [maxLanes]stage
	end   [maxLanes]int // which part of the room for padded ends is the lane's
}

// A stage is the part of an HMAC that a lane is at.
type stage uint8

const (
	begun  stage = iota
	body         // whole blocks of Data, in place
	ending       // the rest of Data and the padding
	outer        // the outer hash: one block
)

// sumLanes computes the HMACs of one hash in up to `most` lanes; ends is room for as many padded ends.
func (m method) sumLanes(h Hash, ops []Op, ends []byte, most int) {
	f := &functionTable[h]
	var l lanes
	for lane := range l.end {
		l.end[lane] = lane
	}
	active := 0 // lanes 0 to active-1 are taken
	for next := 0; ; {
		for ; active < most && next < len(ops); next++ {
			if op := &ops[next]; op.Key.hash == h {
				l.op[active], l.stage[active] = next, begun
				l.setState(f, active, op.Key.inner())
				l.data[active], l.left[active] = l.goOn(f, active, op, ends)
				active++
			}
		}
		if active == 0 {
			return
		}
		run, kernel := active, m.wide
		if active < m.from && m.pair != none {
			run, kernel = min(active, pairs), m.pair
		}
		n := l.left[0]
		for lane := 1; lane < run; lane++ {
			n = min(n, l.left[lane])
		}
		if kernel == m.wide {
			for lane := active; lane < m.lanes; lane++ {
				l.data[lane] = l.data[0] // an idle lane must have something to read
			}
		}
		l.run(kernel, run, n)
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
			var sum [maxState]byte
			l.digest(f, lane, &sum)
			copy(op.Out, sum[:f.size])
			active--
			if lane != active { // the last lane moves here
				l.data[lane], l.left[lane] = l.data[active], l.left[active]
				l.move(f, active, lane)
			}
		}
	}
}

// goOn takes a lane to its next stage and says which blocks it consists of.
func (l *lanes) goOn(f *function, lane int, op *Op, ends []byte) (data *byte, blocks int) {
	end := ends[l.end[lane]*endRoom*f.block:][:endRoom*f.block]
	l.stage[lane]++
	if l.stage[lane] == body {
		if whole := len(op.Data) / f.block; whole > 0 {
			return &op.Data[0], whole
		}
		l.stage[lane]++
	}
	if l.stage[lane] == ending {
		rest := len(op.Data) % f.block
		copy(end, op.Data[len(op.Data)-rest:])
		return &end[0], f.pad(end, rest, f.block+len(op.Data))
	}
	var inner [maxState]byte
	l.digest(f, lane, &inner)
	copy(end, inner[:f.size])
	l.setState(f, lane, op.Key.outer())
	return &end[0], f.pad(end, f.size, f.block+f.size)
}

// pad pads the first n bytes of end, the last of a message of `total` bytes (FIPS 180-4, 5.1; RFC 1321, 3.1
// and 3.2), and returns how many blocks that makes.
func (f *function) pad(end []byte, n, total int) (blocks int) {
	blocks = 1
	if n+1+2*f.word > f.block {
		blocks = 2
	}
	end = end[:blocks*f.block]
	end[n] = 0x80
	clear(end[n+1:])
	length := uint64(total) * 8 //nolint:gosec // G115: not negative
	if f.littleEndian() {
		length = bits.ReverseBytes64(length)
	}
	binary.BigEndian.PutUint64(end[len(end)-8:], length)
	return blocks
}

// littleEndian tells MD5 from the others.
func (f *function) littleEndian() bool { return f.size == 16 }

// setState writes a state into a lane's column.
func (l *lanes) setState(f *function, lane int, words []byte) {
	if f.word == 8 {
		for i := range f.state / 8 {
			binary.NativeEndian.PutUint64(l.state[i][8*lane:], binary.BigEndian.Uint64(words[8*i:]))
		}
		return
	}
	for i := range f.state / 4 {
		binary.NativeEndian.PutUint32(l.state[i][4*lane:], binary.BigEndian.Uint32(words[4*i:]))
	}
}

// digest is the state in a lane's column as the hash ends.
func (l *lanes) digest(f *function, lane int, sum *[maxState]byte) {
	switch {
	case f.word == 8:
		for i := range f.state / 8 {
			binary.BigEndian.PutUint64(sum[8*i:], binary.NativeEndian.Uint64(l.state[i][8*lane:]))
		}
	case f.littleEndian():
		for i := range f.state / 4 {
			binary.LittleEndian.PutUint32(sum[4*i:], binary.NativeEndian.Uint32(l.state[i][4*lane:]))
		}
	default:
		for i := range f.state / 4 {
			binary.BigEndian.PutUint32(sum[4*i:], binary.NativeEndian.Uint32(l.state[i][4*lane:]))
		}
	}
}

// move moves a lane, data and left aside, to where another was; that one's room for its end goes the other way.
func (l *lanes) move(f *function, from, to int) {
	l.op[to], l.stage[to] = l.op[from], l.stage[from]
	l.end[to], l.end[from] = l.end[from], l.end[to]
	for i := range f.state / f.word {
		copy(l.state[i][f.word*to:][:f.word], l.state[i][f.word*from:])
	}
}

// run hashes n blocks of every lane, or of the first lanes with a pair kernel.
func (l *lanes) run(k kernel, lanes, n int) {
	switch k {
	case md5AVX2:
		md5x8(&l.state, &l.data, n)
	case md5AVX512:
		md5x16(&l.state, &l.data, n)
	case sha1AVX2:
		sha1x8(&l.state, &l.data, n)
	case sha1AVX512:
		sha1x16(&l.state, &l.data, n)
	case sha1SHANI:
		if lanes == 1 {
			sha1x1NI(&l.state, &l.data, n)
		} else {
			sha1x2NI(&l.state, &l.data, n)
		}
	case sha256AVX2:
		sha256x8(&l.state, &l.data, n)
	case sha256AVX512:
		sha256x16(&l.state, &l.data, n)
	case sha256SHANI:
		if lanes == 1 {
			sha256x1NI(&l.state, &l.data, n)
		} else {
			sha256x2NI(&l.state, &l.data, n)
		}
	case sha512AVX2:
		sha512x4(&l.state, &l.data, n)
	case sha512AVX512:
		sha512x8(&l.state, &l.data, n)
	}
}

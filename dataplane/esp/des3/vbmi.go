//go:build amd64

package des3

import (
	"unsafe"
)

// vbmiWindow is how many packets are put in order of length at a time.
const vbmiWindow = 256

// encryptVBMI encrypts a packet in each lane.
func encryptVBMI(ops []Op) {
	for len(ops) > 0 {
		n := min(len(ops), vbmiWindow)
		encryptWindow(ops[:n])
		ops = ops[n:]
	}
}

func encryptWindow(ops []Op) {
	var order [vbmiWindow]uint8
	byLength(ops, &order)
	if oneKey(ops) {
		for at := 0; at < len(ops); at += vbmiGroups * vbmiLane {
			encryptShared(ops, order[at:min(at+vbmiGroups*vbmiLane, len(ops))])
		}
		return
	}
	for at := 0; at < len(ops); at += vbmiLane {
		encryptKeys(ops, order[at:min(at+vbmiLane, len(ops))])
	}
}

// byLength puts the packets in order, the longest first, so that those which share a call end at about the same
// time. It counts in eight blocks, which is what a lane takes at a time.
func byLength(ops []Op, order *[vbmiWindow]uint8) {
	if len(ops) <= vbmiLane { // they go together whatever their lengths
		for i := range ops {
			order[i] = uint8(i)
		}
		return
	}
	const classes = 256
	class := func(op *Op) int { return classes - 1 - min(len(op.Data)/(vbmiSteps*BlockSize), classes-1) }
	var from [classes + 1]uint16
	for i := range ops {
		from[class(&ops[i])+1]++
	}
	for c := range classes {
		from[c+1] += from[c]
	}
	for i := range ops {
		at := &from[class(&ops[i])]
		order[*at] = uint8(i)
		*at++
	}
}

func oneKey(ops []Op) bool {
	for i := range ops {
		if ops[i].Key != ops[0].Key {
			return false
		}
	}
	return true
}

// A vbmiStream feeds the lanes with a packet each.
type vbmiStream struct {
	vbmiLanes
	left [vbmiGroups * vbmiLane]int // blocks that the lane has not done yet
	n    int                        // lanes
}

// Where lanes without work point: nothing of it is written.
var vbmiIdle [vbmiSteps * BlockSize]byte

func (s *vbmiStream) start(ops []Op, order []uint8) {
	s.n = len(order)
	for i := range s.data {
		s.data[i], s.chain[i] = unsafe.Pointer(&vbmiIdle), unsafe.Pointer(&vbmiIdle)
	}
	for i, o := range order {
		op := &ops[o]
		if len(op.Data) == 0 {
			continue
		}
		s.data[i], s.chain[i] = unsafe.Pointer(&op.Data[0]), unsafe.Pointer(&op.IV[0])
		s.left[i] = len(op.Data) / BlockSize
		s.blocks[i] = vbmiMask(s.left[i])
	}
}

// vbmiMask has a bit for each of the first n blocks of eight.
func vbmiMask(n int) uint8 { return uint8(1<<min(n, 8) - 1) }

// steps is how many blocks the next call does in the lanes from first on.
func (s *vbmiStream) steps(first int) (n int) {
	for i := first; i < s.n; i++ {
		n = max(n, s.left[i])
	}
	return min(n, vbmiSteps)
}

// advance takes each lane past the blocks that a call has done.
func (s *vbmiStream) advance() {
	for i := range s.n {
		s.chain[i] = unsafe.Pointer(&vbmiIdle) // the kernel has the block in its own form
		s.left[i] = max(s.left[i]-vbmiSteps, 0)
		if s.left[i] > 0 {
			s.data[i] = unsafe.Add(s.data[i], vbmiSteps*BlockSize)
		}
		s.blocks[i] = vbmiMask(s.left[i])
	}
}

func encryptShared(ops []Op, order []uint8) {
	var (
		memory   [unsafe.Sizeof(vbmiScratch{}) + vbmiLane - 1]byte
		schedule vbmiShared
		stream   vbmiStream
	)
	scratch := (*vbmiScratch)(vbmiAlign(unsafe.Pointer(&memory)))
	key := ops[order[0]].Key
	ends := key.ends(false)
	vbmiSpreadShared(&key.rounds, &ends, 0, &schedule)
	stream.start(ops, order)
	for steps := stream.steps(0); steps > 0; steps = stream.steps(0) {
		if stream.steps(vbmiLane) > 0 {
			vbmiEncrypt128(&schedule, scratch, &stream.vbmiLanes, steps)
		} else {
			vbmiEncrypt64(&schedule, scratch, &stream.vbmiLanes, steps)
		}
		stream.advance()
	}
}

func encryptKeys(ops []Op, order []uint8) {
	var (
		memory [unsafe.Sizeof(vbmiScratch{}) + vbmiLane - 1]byte
		more   [unsafe.Sizeof(vbmiKeys{}) + vbmiLane - 1]byte
		stream vbmiStream
		keys   [vbmiLane]*Key
	)
	scratch, schedule := (*vbmiScratch)(vbmiAlign(unsafe.Pointer(&memory))), (*vbmiKeys)(vbmiAlign(unsafe.Pointer(&more)))
	for i := range keys {
		keys[i] = ops[order[min(i, len(order)-1)]].Key
	}
	spreadKeys(&keys, false, scratch, schedule)
	stream.start(ops, order)
	for steps := stream.steps(0); steps > 0; steps = stream.steps(0) {
		vbmiEncrypt64Keys(schedule, scratch, &stream.vbmiLanes, steps)
		stream.advance()
	}
}

func spreadKeys(keys *[vbmiLane]*Key, backward bool, scratch *vbmiScratch, schedule *vbmiKeys) {
	var ends [vbmiLane][8]uint64
	for i, k := range keys {
		if i > 0 && k == keys[i-1] {
			ends[i] = ends[i-1]
		} else {
			ends[i] = k.ends(backward)
		}
	}
	vbmiSpreadKeys(keys, &ends, int(b2u(backward)), scratch, schedule)
}

func b2u(b bool) uint {
	if b {
		return 1
	}
	return 0
}

// ends are the sums at the four ends of the passes: of the last key of the pass before and the first of the
// one behind it. backward is the order of a decryption.
func (k *Key) ends(backward bool) [8]uint64 {
	r := &k.rounds
	if backward {
		return [8]uint64{r[47], r[32] ^ r[31], r[16] ^ r[15], r[0]}
	}
	return [8]uint64{r[0], r[15] ^ r[16], r[31] ^ r[32], r[47]}
}

// vbmiAlign is the first place in p that no vector straddles two cache lines from.
func vbmiAlign(p unsafe.Pointer) unsafe.Pointer {
	return unsafe.Pointer((uintptr(p) + vbmiLane - 1) &^ (vbmiLane - 1))
}

// Packets of a key that no other shares are worth a call of their own from this many units on; below that a schedule
// for each lane costs less.
const vbmiOwnCall = 3

// decryptVBMI decrypts up to eight blocks of a packet, a unit, in eight lanes each.
func decryptVBMI(ops []Op) {
	for len(ops) > 0 {
		n, runs, units := 0, 0, 0
		for n < len(ops) {
			run, u := keyRun(ops[n:])
			if u >= vbmiOwnCall || units+u > vbmiUnits {
				break
			}
			n, runs, units = n+run, runs+1, units+u
		}
		switch {
		case runs > vbmiOwnCall:
			decryptKeys(ops[:n])
		default:
			n, _ = keyRun(ops)
			decryptShared(ops[:n])
		}
		ops = ops[n:]
	}
}

// keyRun is how many of the first packets have the key of the first, and how many units they are.
func keyRun(ops []Op) (n, units int) {
	for n < len(ops) && ops[n].Key == ops[0].Key {
		units += unitsOf(&ops[n])
		n++
	}
	return n, units
}

func unitsOf(op *Op) int { return (len(op.Data) + vbmiUnits*BlockSize - 1) / (vbmiUnits * BlockSize) }

// A vbmiQueue collects units for a call. A packet's units go in from its end to its begin, and a call loads all of its
// units before it stores one: a unit is added to the block before it, which nobody may have decrypted yet.
type vbmiQueue struct {
	vbmiLanes
	n int
}

func (q *vbmiQueue) start() {
	for i := range vbmiGroups * vbmiUnits {
		q.data[i], q.chain[i] = unsafe.Pointer(&vbmiIdle), unsafe.Pointer(&vbmiIdle)
	}
}

// add adds the unit of op that begins at block.
func (q *vbmiQueue) add(op *Op, block int) {
	at := block * BlockSize
	q.data[q.n] = unsafe.Pointer(&op.Data[at])
	if at == 0 {
		q.chain[q.n] = unsafe.Pointer(&op.IV[0])
	} else {
		q.chain[q.n] = unsafe.Pointer(&op.Data[at-BlockSize])
	}
	q.blocks[q.n] = vbmiMask((len(op.Data) - at) / BlockSize)
	q.n++
}

// done empties the queue.
func (q *vbmiQueue) done() {
	clear(q.blocks[:vbmiGroups*vbmiUnits])
	q.n = 0
}

func decryptShared(ops []Op) {
	var (
		memory   [unsafe.Sizeof(vbmiScratch{}) + vbmiLane - 1]byte
		schedule vbmiShared
		queue    vbmiQueue
	)
	scratch := (*vbmiScratch)(vbmiAlign(unsafe.Pointer(&memory)))
	ends := ops[0].Key.ends(true)
	vbmiSpreadShared(&ops[0].Key.rounds, &ends, 1, &schedule)
	queue.start()
	for i := range ops {
		op := &ops[i]
		for unit := unitsOf(op) - 1; unit >= 0; unit-- {
			queue.add(op, unit*vbmiUnits)
			if queue.n == vbmiGroups*vbmiUnits {
				vbmiDecrypt128(&schedule, scratch, &queue.vbmiLanes)
				queue.done()
			}
		}
	}
	switch {
	case queue.n > vbmiUnits:
		vbmiDecrypt128(&schedule, scratch, &queue.vbmiLanes)
	case queue.n > 0:
		vbmiDecrypt64(&schedule, scratch, &queue.vbmiLanes)
	}
}

// decryptKeys decrypts packets that are no more than vbmiUnits units together.
func decryptKeys(ops []Op) {
	var (
		memory [unsafe.Sizeof(vbmiScratch{}) + vbmiLane - 1]byte
		more   [unsafe.Sizeof(vbmiKeys{}) + vbmiLane - 1]byte
		queue  vbmiQueue
		keys   [vbmiLane]*Key
	)
	scratch, schedule := (*vbmiScratch)(vbmiAlign(unsafe.Pointer(&memory))), (*vbmiKeys)(vbmiAlign(unsafe.Pointer(&more)))
	for i := range keys {
		keys[i] = ops[0].Key
	}
	queue.start()
	for i := range ops {
		op := &ops[i]
		for unit := unitsOf(op) - 1; unit >= 0; unit-- {
			for lane := range vbmiUnits {
				keys[vbmiUnits*queue.n+lane] = op.Key
			}
			queue.add(op, unit*vbmiUnits)
		}
	}
	spreadKeys(&keys, true, scratch, schedule)
	vbmiDecrypt64Keys(schedule, scratch, &queue.vbmiLanes)
}

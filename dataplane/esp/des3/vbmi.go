//go:build amd64

package des3

import "unsafe"

// encryptVBMI encrypts a packet in each lane.
func encryptVBMI(ops []Op) {
	for len(ops) > 0 {
		n := min(len(ops), vbmiWindow)
		encryptWindow(ops[:n])
		ops = ops[n:]
	}
}

// vbmiWindow is how many packets are put in order of length at a time.
const vbmiWindow = 256

func encryptWindow(ops []Op) {
	var memory [vbmiWindow]uint8
	order := byLength(ops, &memory)
	if oneKey(ops) {
		for len(order) > 0 {
			n := min(len(order), vbmiStreamGroups*vbmiLanes)
			encryptShared(ops, order[:n])
			order = order[n:]
		}
		return
	}
	for len(order) > 0 {
		n := min(len(order), vbmiLanes)
		encryptKeys(ops, order[:n])
		order = order[n:]
	}
}

// byLength puts the packets in order, the longest first, so that those which share a call end at about the same
// time. It compares in eight blocks, which is what a lane takes at a time.
func byLength(ops []Op, memory *[vbmiWindow]uint8) (order []uint8) {
	order = memory[:len(ops)]
	if len(ops) <= vbmiLanes { // they go together whatever their lengths
		for i := range order {
			order[i] = uint8(i)
		}
		return order
	}
	const classes = 256 // the first is of the longest packets
	class := func(op *Op) int { return max(classes-1-len(op.Data)/vbmiBytes, 0) }
	var next [classes + 1]uint16 // place in order of a packet of the class before
	for i := range ops {
		next[class(&ops[i])+1]++
	}
	for c := range classes {
		next[c+1] += next[c]
	}
	for i := range ops {
		at := &next[class(&ops[i])]
		order[*at] = uint8(i)
		*at++
	}
	return order
}

func oneKey(ops []Op) bool {
	for i := range ops {
		if ops[i].Key != ops[0].Key {
			return false
		}
	}
	return true
}

// vbmiIdle is where lanes without work point; nothing of it is written. As a block it is what is added to one that
// the kernel itself chains to the block before.
var vbmiIdle [vbmiBytes]byte //nolint:gochecknoglobals // never changes

// start puts a packet in each lane.
func (s *vbmiStream) start(ops []Op, order []uint8) {
	for i := range (len(order) + vbmiLanes - 1) / vbmiLanes * vbmiLanes {
		s.data[i], s.chain[i] = &vbmiIdle[0], &vbmiIdle[0]
	}
	for i, o := range order {
		s.left[i], s.chain[i] = ops[o].Data, &ops[o].IV[0]
	}
	s.lanes = len(order)
	s.take()
}

// take points the lanes to what is left, and counts the steps of the next call.
func (s *vbmiStream) take() {
	clear(s.steps[:])
	for i, left := range s.left[:s.lanes] {
		blocks := min(len(left)/BlockSize, vbmiSteps)
		s.blocks[i] = vbmiFirst(blocks)
		if blocks > 0 {
			s.data[i] = &left[0]
			s.steps[i/vbmiLanes] = max(s.steps[i/vbmiLanes], blocks)
		}
	}
}

// vbmiFirst has a bit for each of the first n blocks of eight.
func vbmiFirst(n int) uint8 { return uint8(1<<n - 1) }

// advance takes each lane past the blocks that a call has done.
func (s *vbmiStream) advance() {
	for i, left := range s.left[:s.lanes] {
		s.left[i] = left[min(vbmiBytes, len(left)):]
		s.chain[i] = &vbmiIdle[0]
	}
	s.take()
}

// encryptShared encrypts the packets of order, which have one key, in up to two groups of lanes.
func encryptShared(ops []Op, order []uint8) {
	var (
		memory   vbmiMemory[vbmiHalves]
		halves   = memory.aligned()
		schedule vbmiShared
		stream   vbmiStream
	)
	spreadShared(ops[order[0]].Key, forward, &schedule)
	stream.start(ops, order)
	for {
		switch steps := max(stream.steps[0], stream.steps[1]); {
		case steps == 0:
			return
		case stream.steps[1] > 0:
			vbmiEncrypt128(&schedule, halves, &stream, steps)
		default: // the longest packets come first
			vbmiEncrypt64(&schedule, halves, &stream, steps)
		}
		stream.advance()
	}
}

// encryptKeys encrypts the packets of order, whose keys differ, in a group of lanes.
func encryptKeys(ops []Op, order []uint8) {
	var (
		memory, more = vbmiMemory[vbmiHalves]{}, vbmiMemory[vbmiKeys]{}
		halves       = memory.aligned()
		schedule     = more.aligned()
		keys         [vbmiLanes]*Key
		stream       vbmiStream
	)
	for i := range keys {
		keys[i] = ops[order[min(i, len(order)-1)]].Key
	}
	spreadKeys(&keys, forward, schedule)
	stream.start(ops, order)
	for ; stream.steps[0] > 0; stream.advance() {
		vbmiEncrypt64Keys(schedule, halves, &stream, stream.steps[0])
	}
}

// vbmiMemory is room for a T in which no vector straddles two cache lines.
type vbmiMemory[T any] struct {
	room  T
	slack [vbmiBytes - 1]byte
}

func (m *vbmiMemory[T]) aligned() *T {
	p := unsafe.Pointer(m) //nolint:gosec // G103: there is slack behind room
	return (*T)(unsafe.Add(p, -uintptr(p)&(vbmiBytes-1)))
}

// The direction of a schedule.
const (
	forward  = 0 // to encrypt
	backward = 1 // to decrypt
)

func spreadShared(k *Key, direction int, schedule *vbmiShared) {
	ends := k.ends(direction)
	vbmiSpreadShared(&k.rounds, &ends, direction, schedule)
}

func spreadKeys(keys *[vbmiLanes]*Key, direction int, schedule *vbmiKeys) {
	var ends [vbmiLanes][8]uint64
	for i, k := range keys {
		ends[i] = k.ends(direction)
	}
	vbmiSpreadKeys(keys, &ends, direction, schedule)
}

// ends are the sums at the four ends of the three passes, of the last key of one and the first of the next.
func (k *Key) ends(direction int) [8]uint64 {
	first, second, third, last := k.rounds[0], k.rounds[15]^k.rounds[16], k.rounds[31]^k.rounds[32], k.rounds[47]
	if direction == backward {
		return [8]uint64{last, third, second, first}
	}
	return [8]uint64{first, second, third, last}
}

// decryptVBMI decrypts a unit, up to eight blocks of a packet, in eight lanes.
func decryptVBMI(ops []Op) {
	for len(ops) > 0 {
		n, runs := shortRuns(ops)
		if runs > vbmiOwnCall {
			decryptKeys(ops[:n])
		} else {
			n, _ = keyRun(ops)
			decryptShared(ops[:n])
		}
		ops = ops[n:]
	}
}

// vbmiOwnCall is the number of units from which on packets of one key are worth a call of their own. With fewer, if as
// many keys or more share a group, a schedule for each lane takes less time.
const vbmiOwnCall = 3

// shortRuns is how many of the first packets fit into one group, not counting those of a key that is worth its
// own call, and how many changes of key there are.
func shortRuns(ops []Op) (n, runs int) {
	for units := 0; n < len(ops); runs++ {
		run, u := keyRun(ops[n:])
		if units += u; u >= vbmiOwnCall || units > vbmiUnits {
			break
		}
		n += run
	}
	return n, runs
}

// keyRun is how many of the first packets have the key of the first, and how many units they are.
func keyRun(ops []Op) (n, units int) {
	for n < len(ops) && ops[n].Key == ops[0].Key {
		units += unitsOf(&ops[n])
		n++
	}
	return n, units
}

func unitsOf(op *Op) int { return (len(op.Data) + vbmiBytes - 1) / vbmiBytes }

// fill queues units of op, of the first so many, until the queue is full, and returns how many are left. It
// begins with the last, because decrypting a unit destroys what the one behind it is added to.
func (q *vbmiQueue) fill(op *Op, units int) int {
	n := min(units, len(q.data)-q.units)
	if n == 0 {
		return units
	}
	data, chain, blocks := q.data[q.units:q.units+n], q.chain[q.units:q.units+n], q.blocks[q.units:q.units+n]
	for i := range data {
		at := (units - 1 - i) * vbmiBytes
		data[i], chain[i], blocks[i] = &op.Data[at], &op.Data[max(at-BlockSize, 0)], vbmiFirst(vbmiUnit)
	}
	blocks[0] = vbmiFirst(min(len(op.Data)/BlockSize-(units-1)*vbmiUnit, vbmiUnit))
	if n == units {
		chain[n-1] = &op.IV[0]
	}
	q.units += n
	return units - n
}

// idle gives the rest of the last group nothing to do.
func (q *vbmiQueue) idle() {
	for i := q.units; i%vbmiUnits != 0; i++ {
		q.data[i], q.chain[i], q.blocks[i] = &vbmiIdle[0], &vbmiIdle[0], 0
	}
}

// decrypt decrypts and empties the queue.
func (q *vbmiQueue) decrypt(schedule *vbmiShared) {
	q.idle()
	switch {
	case q.units > 2*vbmiUnits:
		vbmiDecrypt192(schedule, q)
	case q.units > vbmiUnits:
		vbmiDecrypt128(schedule, q)
	case q.units > 0:
		vbmiDecrypt64(schedule, q)
	}
	q.units = 0
}

// decryptShared decrypts packets of one key.
func decryptShared(ops []Op) {
	var (
		schedule vbmiShared
		queue    vbmiQueue
	)
	spreadShared(ops[0].Key, backward, &schedule)
	for i := range ops {
		for units := queue.fill(&ops[i], unitsOf(&ops[i])); units > 0; units = queue.fill(&ops[i], units) {
			queue.decrypt(&schedule)
		}
	}
	queue.decrypt(&schedule)
}

// decryptKeys decrypts packets whose keys differ and which fit into one group.
func decryptKeys(ops []Op) {
	var (
		memory   vbmiMemory[vbmiKeys]
		schedule = memory.aligned()
		keys     [vbmiLanes]*Key
		queue    vbmiQueue
	)
	for i := range keys {
		keys[i] = ops[0].Key
	}
	for i := range ops {
		from := queue.units
		queue.fill(&ops[i], unitsOf(&ops[i]))
		for lane := range (queue.units - from) * vbmiUnit {
			keys[from*vbmiUnit+lane] = ops[i].Key
		}
	}
	if queue.units == 0 { // all of them are empty
		return
	}
	queue.idle()
	spreadKeys(&keys, backward, schedule)
	vbmiDecrypt64Keys(schedule, &queue)
}

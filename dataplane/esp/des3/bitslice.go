package des3

import (
	"encoding/binary"
	"slices"
)

// A bit-sliced cipher keeps bit i of many blocks in one word, plane i, and computes the S-boxes as circuits of
// gates: each instruction does its work for all lanes, and no address depends on a secret. Blocks are rows; a
// transposition of the bits makes planes of them, and back. What the initial and final permutations, E and P move
// is then only which plane an instruction names.
//
// This file feeds the lanes. Encrypting, a lane is a packet, because each block waits for the one before; decrypting,
// a lane is a block of any packet. The cipher of 64 lanes is in portable.go, the one of 256 in avx2_amd64.go.

// maxLanes is the number of lanes of the widest cipher.
const maxLanes = 256

// keyBits is the number of bits of a key.
const keyBits = 3 * 56

// lanes are the state of a bit-sliced cipher: a scratch of one call.
type lanes struct {
	words int // in a plane: there are 64 lanes in each

	// blocks has the block of lane i in word i, little-endian.
	blocks [maxLanes]uint64
	// keys has plane i, in the order of keyBitTable, in the words from i*words.
	keys [keyBits * maxLanes / 64]uint64
	key  *Key // that all lanes have; nil: they differ

	runs  [maxLanes]run // keys that the lanes are to have next
	count int           // of runs
}

// A run is lanes that have one key: from a lane to the one before the next run's.
type run struct {
	key  *Key
	from int
}

// lanes is the number of lanes.
func (s *lanes) lanes() int { return 64 * s.words }

// transpose makes the rows in b columns, and back.
func (s *lanes) transpose(b *[maxLanes]uint64) {
	if s.words == 4 {
		transpose256(b)
	} else {
		transpose64((*[64]uint64)(b[:]))
	}
}

// cipher encrypts, or decrypts, the blocks.
func (s *lanes) cipher(decrypt bool) {
	s.transpose(&s.blocks)
	first, step := 0, 1
	if decrypt {
		first, step = rounds-1, -1
	}
	if s.words == 4 {
		rounds256(&s.blocks, &s.keys, &keyBitTable.offsets[first], step*len(keyBitTable.offsets[0])*2)
	} else {
		rounds64((*[64]uint64)(s.blocks[:]), (*[256]uint64)(s.keys[:]), first, step)
	}
	s.transpose(&s.blocks)
}

// want notes that the lanes from from on, up to where want is called for next, are to have key.
func (s *lanes) want(key *Key, from int) {
	if s.count == 0 || s.runs[s.count-1].key != key {
		s.runs[s.count] = run{key, from}
		s.count++
	}
}

// setKeys gives the lanes the keys that want has noted.
func (s *lanes) setKeys() {
	const few = 6 // runs from which on a transposition is less work
	runs := s.runs[:s.count]
	s.count = 0
	switch first := runs[0].key; {
	case len(runs) == 1 && first == s.key:
		return
	case len(runs) == 1:
		s.key = first
	default:
		s.key = nil
	}
	if len(runs) > few {
		s.setMixed(runs)
		return
	}
	to := s.lanes()
	for _, r := range slices.Backward(runs) {
		s.setRun(r.key, r.from, to)
		to = r.from
	}
}

// setRun gives lanes a key: those from from to the one before to.
func (s *lanes) setRun(key *Key, from, to int) {
	var mask [4]uint64 // of these lanes, in the words of a plane: lane i is bit i/words of word i%words
	for w := range s.words {
		below := func(lane int) uint64 { return 1<<((lane+s.words-1-w)/s.words) - 1 }
		mask[w] = below(to) &^ below(from)
	}
	for i, from := range keyBitTable.from {
		bit := -(key.rounds[from.round] >> from.bit & 1)
		if s.words == 1 {
			s.keys[i] ^= (s.keys[i] ^ bit) & mask[0]
			continue
		}
		plane := (*[4]uint64)(s.keys[4*i:])
		plane[0] ^= (plane[0] ^ bit) & mask[0]
		plane[1] ^= (plane[1] ^ bit) & mask[1]
		plane[2] ^= (plane[2] ^ bit) & mask[2]
		plane[3] ^= (plane[3] ^ bit) & mask[3]
	}
}

// setMixed gives the lanes the keys of runs.
func (s *lanes) setMixed(runs []run) {
	var planes [maxLanes]uint64
	for i := 0; i < keyBits; {
		round := keyBitTable.from[i].round
		to := s.lanes()
		for _, r := range slices.Backward(runs) {
			for l := r.from; l < to; l++ {
				planes[l] = r.key.rounds[round]
			}
			to = r.from
		}
		s.transpose(&planes)
		for ; i < keyBits && keyBitTable.from[i].round == round; i++ {
			bit := int(keyBitTable.from[i].bit)
			if s.words == 1 {
				s.keys[i] = planes[bit]
				continue
			}
			*(*[4]uint64)(s.keys[4*i:]) = *(*[4]uint64)(planes[4*bit:])
		}
	}
}

// encryptSliced encrypts in lanes with the given number of words in a plane. Where fewer than few packets are left,
// one block after another is less work.
func encryptSliced(ops []Op, words, few int) {
	if len(ops) < few {
		for i := range ops {
			encryptScalar(ops[i].Key, binary.LittleEndian.Uint64(ops[i].IV), ops[i].Data)
		}
		return
	}
	s := lanes{words: words}
	var order [maxLanes]uint8
	for len(ops) > 0 {
		some := ops[:min(len(ops), maxLanes)]
		ops = ops[len(some):]
		// The longest first: packets of one length end together, and those in use are always the first lanes.
		for i := range some {
			order[i] = uint8(i)
		}
		slices.SortFunc(order[:len(some)], func(a, b uint8) int { return len(some[b].Data) - len(some[a].Data) })
		for from := 0; from < len(some); from += s.lanes() {
			s.encrypt(some, order[from:min(len(some), from+s.lanes())], few)
		}
	}
}

// encrypt encrypts the packets that order names, the longest first, in a lane each.
func (s *lanes) encrypt(ops []Op, order []uint8, few int) {
	var data [maxLanes][]byte // packet of each lane
	active := len(order)
	for l, i := range order {
		s.want(ops[i].Key, l)
		data[l], s.blocks[l] = ops[i].Data, binary.LittleEndian.Uint64(ops[i].IV)
	}
	s.setKeys()
	for at := 0; ; at += BlockSize {
		for active > 0 && len(data[active-1]) == at {
			active--
		}
		if active < few {
			for l := range active {
				encryptScalar(ops[order[l]].Key, s.blocks[l], data[l][at:])
			}
			return
		}
		for l, d := range data[:active] {
			s.blocks[l] ^= binary.LittleEndian.Uint64(d[at:])
		}
		s.cipher(false)
		for l, d := range data[:active] {
			binary.LittleEndian.PutUint64(d[at:], s.blocks[l])
		}
	}
}

// decryptSliced decrypts in lanes with the given number of words in a plane. Where fewer than few blocks are left,
// one after another is less work.
func decryptSliced(ops []Op, words, few int) {
	left := 0 // blocks
	for i := range ops {
		left += len(ops[i].Data) / BlockSize
	}
	next := cursor{ops: ops}
	if left >= few {
		s := lanes{words: words}
		for ; left >= few; left -= min(left, s.lanes()) {
			s.decrypt(&next)
		}
	}
	for part, ok := next.take(left); ok; part, ok = next.take(left) {
		decryptScalar(part.key, part.before, part.data)
	}
}

// decrypt decrypts as many of the next blocks as there are lanes.
func (s *lanes) decrypt(next *cursor) {
	// What is XORed to a lane's block once it is decrypted: the block before, as it arrived.
	var before [maxLanes]uint64
	again, n := *next, 0
	for n < s.lanes() {
		part, ok := next.take(s.lanes() - n)
		if !ok {
			break
		}
		s.want(part.key, n)
		last := part.before
		// n stays below maxLanes: the mask only spares a check for each block.
		for data := part.data; len(data) >= BlockSize; data = data[BlockSize:] {
			before[n&(maxLanes-1)] = last
			last = binary.LittleEndian.Uint64(data)
			s.blocks[n&(maxLanes-1)] = last
			n++
		}
	}
	s.setKeys()
	s.cipher(true)
	for i := 0; i < n; {
		part, _ := again.take(n - i)
		for data := part.data; len(data) >= BlockSize; data = data[BlockSize:] {
			binary.LittleEndian.PutUint64(data, s.blocks[i&(maxLanes-1)]^before[i&(maxLanes-1)])
			i++
		}
	}
}

// A cursor walks through the blocks of packets.
type cursor struct {
	ops    []Op
	at     int    // byte in the first of them
	before uint64 // the block before at, as it arrived, where at is not 0
}

// A part is blocks of one packet that follow each other.
type part struct {
	key    *Key
	before uint64 // the block before them, as it arrived
	data   []byte
}

// take takes the next blocks of one packet, at most most of them. What it takes must not have been changed yet.
func (c *cursor) take(most int) (p part, ok bool) {
	for len(c.ops) > 0 && c.at == len(c.ops[0].Data) {
		c.ops, c.at = c.ops[1:], 0
	}
	if len(c.ops) == 0 || most == 0 {
		return part{}, false
	}
	op := &c.ops[0]
	p = part{op.Key, c.before, op.Data[c.at:min(len(op.Data), c.at+most*BlockSize)]}
	if c.at == 0 {
		p.before = binary.LittleEndian.Uint64(op.IV)
	}
	c.at += len(p.data)
	c.before = binary.LittleEndian.Uint64(p.data[len(p.data)-BlockSize:])
	return p, true
}

// keyBitTable tells where each round finds the bits of its key: which of the 168 bits of a Triple DES key an S-box
// gets in which round is always the same.
var keyBitTable = func() (t struct {
	// from is where a bit of the key is in Key.rounds; bits of one round follow each other.
	from [keyBits]struct{ round, bit uint8 }
	// order has, for each round of an encryption, the bits of the key that the S-boxes get, S1's six first.
	order [rounds][48]uint8
	// offsets has the same in bytes from the start of lanes.keys of 256 lanes.
	offsets [rounds][48]uint16
}) {
	n := 0
	for pass := range rounds / 16 {
		var index [56]uint8 // of the bits of this DES key, in the order of permutedChoice1; 0: unknown yet
		for r := range 16 {
			round := 16*pass + r
			turn := 0 // of both registers, in the round of the key schedule that this is
			for i := range 16 {
				if i <= r && pass != 1 || i <= 15-r && pass == 1 {
					turn += leftShifts[i]
				}
			}
			for j, choice := range permutedChoice2 {
				half, bit := (int(choice)-1)/28*28, (int(choice)-1)%28
				bit = half + (bit+turn)%28
				if index[bit] == 0 {
					// Byte j/6 of a round key has six bits, the first the highest.
					t.from[n] = struct{ round, bit uint8 }{uint8(round), uint8(8*(j/6) + 5 - j%6)}
					n++
					index[bit] = uint8(n)
				}
				t.order[round][j] = index[bit] - 1
				t.offsets[round][j] = 32 * uint16(index[bit]-1)
			}
		}
	}
	return t
}()

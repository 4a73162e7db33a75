package aescbc

import (
	"encoding/binary"
	"math/bits"

	"golang.org/x/sys/cpu"

	level "meshrouter/internal/cpu"
)

// available lists the implementations that this machine has and the environment allows, the best last.
func available() []implementation {
	list := []implementation{portable}
	if level.Max() >= level.AVX2 && cpu.X86.HasAES {
		list = append(list, aesNI)
	}
	if level.Max() >= level.AVX512 && cpu.X86.HasAES && cpu.X86.HasAVX512VAES {
		list = append(list, vaes)
	}
	return list
}

func best() implementation {
	list := available()
	return list[len(list)-1]
}

// maxRounds is Nr of AES-256 (FIPS 197, table 3).
const maxRounds = 14

// A schedule holds round keys in the order of their use, aligned to the end: the last round's is always
// schedule[maxRounds], the first AddRoundKey's is schedule[maxRounds-Nr].
type schedule [maxRounds + 1][BlockSize]byte

// expanded is a key ready for the machine code.
type expanded struct {
	rounds   int      // Nr: 10, 12 or 14
	enc, dec schedule // dec is that of the equivalent inverse cipher
}

// expand is KEYEXPANSION (FIPS 197, algorithm 2) and KEYEXPANSIONEIC (algorithm 5), constant-time. Words are
// read little-endian, so RotWord turns right.
func expand(key []byte) expanded {
	nk := len(key) / 4
	x := expanded{rounds: nk + 6}
	var w [4 * (maxRounds + 1)]uint32
	rcon := uint32(1)
	for i := range nk {
		w[i] = binary.LittleEndian.Uint32(key[4*i:])
	}
	for i := nk; i < 4*(x.rounds+1); i++ {
		temp := w[i-1]
		switch {
		case i%nk == 0:
			temp = subWord(bits.RotateLeft32(temp, -8)) ^ rcon
			rcon = rcon<<1 ^ rcon>>7*0x11b // times x in GF(2⁸); i and not the key decides
		case nk > 6 && i%nk == 4:
			temp = subWord(temp)
		}
		w[i] = w[i-nk] ^ temp
	}
	first := maxRounds - x.rounds
	for i := range 4 * (x.rounds + 1) {
		binary.LittleEndian.PutUint32(x.enc[first+i/4][i%4*4:], w[i])
	}
	x.dec[first], x.dec[maxRounds] = x.enc[maxRounds], x.enc[first]
	for i := first + 1; i < maxRounds; i++ {
		invMixColumns(&x.dec[i], &x.enc[maxRounds+first-i])
	}
	return x
}

// maxLanes is how many packets are encrypted side by side.
const maxLanes = 16

// lanes is what the machine code needs to know of the packets it encrypts, a column for each.
type lanes struct {
	keys  [maxRounds + 1][maxLanes][BlockSize]byte // schedules side by side
	chain [maxLanes][BlockSize]byte                // the ciphertext before the next block, or the IV
	data  [maxLanes]*byte                          // the next block
}

// setKey writes a schedule into a lane's column.
func (l *lanes) setKey(lane int, x *expanded) {
	for row := maxRounds - x.rounds; row <= maxRounds; row++ {
		l.keys[row][lane&(maxLanes-1)] = x.enc[row]
	}
}

// Packets of shortPacket bytes and less, and batches of fewBytes and less, are encrypted one after another:
// the processor overlaps the end of one with the start of the next by itself, faster than lanes are filled.
// Measured on Zen 4.
const (
	shortPacket = 128
	fewBytes    = 512
)

// encryptMachine takes the packets by key size, since the lanes of a step have the same number of rounds.
func encryptMachine(im implementation, ops []Op) {
	total := 0
	for i := range ops {
		ops[i].check()
		total += len(ops[i].Data)
	}
	alone := shortPacket
	if total <= fewBytes || len(ops) == 1 {
		alone = total
	}
	var sizes uint // a bit for each Nr
	for i := range ops {
		if op := &ops[i]; len(op.Data) <= alone {
			op.encryptAlone(0)
		} else {
			sizes |= 1 << op.Key.rounds
		}
	}
	for ; sizes != 0; sizes &= sizes - 1 {
		encryptLanes(im, ops, bits.TrailingZeros(sizes))
	}
}

// encryptAlone encrypts a packet from offset at to its end.
func (op *Op) encryptAlone(at int) {
	if at == len(op.Data) {
		return
	}
	iv := op.IV
	if at > 0 {
		iv = op.Data[at-BlockSize : at]
	}
	encrypt1AESNI(&op.Key.enc, op.Key.rounds, &iv[0], &op.Data[at], len(op.Data)-at)
}

// encryptLanes encrypts the packets, short ones aside, whose keys have so many rounds.
func encryptLanes(im implementation, ops []Op, rounds int) {
	var (
		l      lanes
		packet [maxLanes]*Op  // who is in a lane
		at     [maxLanes]int  // how far it is encrypted
		key    [maxLanes]*Key // whose schedule is in the column
		active int            // lanes 0 to active-1 are taken
	)
	most := maxLanes
	if im == aesNI {
		most = 8
	}
	for next := 0; ; {
		for ; active < most && next < len(ops); next++ {
			if op := &ops[next]; op.Key.rounds == rounds && len(op.Data) > shortPacket {
				packet[active], at[active] = op, 0
				l.chain[active] = [BlockSize]byte(op.IV)
				active++
			}
		}
		if active <= 1 {
			if active == 1 {
				packet[0].encryptAlone(at[0])
			}
			return
		}
		width := most
		if active <= 8 {
			width = 4 + (active-1)/4*4
		}
		n := len(packet[0].Data) - at[0]
		for lane := range width {
			if lane >= active { // copies lane 0
				packet[lane], at[lane], l.chain[lane] = packet[0], at[0], l.chain[0]
			}
			op := packet[lane]
			if key[lane] != op.Key {
				key[lane] = op.Key
				l.setKey(lane, &op.Key.expanded)
			}
			l.data[lane] = &op.Data[at[lane]]
			n = min(n, len(op.Data)-at[lane])
		}
		l.run(im, width, rounds, n)
		for lane := active - 1; lane >= 0; lane-- {
			if at[lane] += n; at[lane] == len(packet[lane].Data) { // the last lane moves here
				active--
				packet[lane], at[lane], l.chain[lane] = packet[active], at[active], l.chain[active]
			}
		}
	}
}

// run encrypts n bytes of each of the first width lanes.
func (l *lanes) run(im implementation, width, rounds, n int) {
	switch {
	case im == aesNI && width == 4:
		encrypt4AESNI(l, rounds, n)
	case im == aesNI:
		encrypt8AESNI(l, rounds, n)
	case width == 4:
		encrypt4VAES(l, rounds, n)
	case width == 8:
		encrypt8VAES(l, rounds, n)
	default:
		encrypt16VAES(l, rounds, n)
	}
}

func decryptMachine(im implementation, ops []Op) {
	for i := range ops {
		op := &ops[i]
		op.check()
		if len(op.Data) == 0 {
			continue
		}
		k, iv, data := op.Key, &op.IV[0], &op.Data[0]
		if im == vaes {
			decryptVAES(&k.dec, k.rounds, iv, data, len(op.Data))
		} else {
			decryptAESNI(&k.dec, k.rounds, iv, data, len(op.Data))
		}
	}
}

// The machine code, aescbc_amd64.s. n is in bytes, a positive whole number of blocks.

//go:noescape
func subWord(w uint32) uint32

//go:noescape
func invMixColumns(dst, src *[16]byte)

//go:noescape
func encrypt1AESNI(k *schedule, rounds int, iv, data *byte, n int)

//go:noescape
func encrypt4AESNI(l *lanes, rounds, n int)

//go:noescape
func encrypt8AESNI(l *lanes, rounds, n int)

//go:noescape
func encrypt4VAES(l *lanes, rounds, n int)

//go:noescape
func encrypt8VAES(l *lanes, rounds, n int)

//go:noescape
func encrypt16VAES(l *lanes, rounds, n int)

//go:noescape
func decryptAESNI(k *schedule, rounds int, iv, data *byte, n int)

//go:noescape
func decryptVAES(k *schedule, rounds int, iv, data *byte, n int)

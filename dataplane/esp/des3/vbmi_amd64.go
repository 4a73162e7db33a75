package des3

import (
	xcpu "golang.org/x/sys/cpu"

	"meshrouter/internal/cpu"
)

//go:generate go run ./gen

// vbmi is a packet, or eight blocks of one, in each of up to 192 lanes of bytes.
var vbmi = implementation{ //nolint:gochecknoglobals // a row of the table of implementations
	name:  "vbmi",
	level: cpu.AVX512,
	usable: xcpu.X86.HasAVX512F && xcpu.X86.HasAVX512BW && xcpu.X86.HasAVX512DQ && xcpu.X86.HasAVX512VL &&
		xcpu.X86.HasAVX512VBMI && xcpu.X86.HasAVX512GFNI,
	encrypt: encryptVBMI,
	decrypt: decryptVBMI,
}

const (
	vbmiLanes = 64 // of a group
	vbmiSteps = 8  // blocks that a lane encrypts in one call of a kernel
	vbmiUnit  = 8  // blocks that follow each other in a packet and are decrypted in as many lanes
	vbmiUnits = vbmiLanes / vbmiUnit

	// How many groups a kernel has at most.
	vbmiStreamGroups = 2
	vbmiQueueGroups  = 3

	vbmiBytes = vbmiUnit * BlockSize // of eight blocks, a vector
)

// A vbmiVector is a register: a byte of each lane.
type vbmiVector [vbmiLanes]byte

// vbmiHalves are the halves of the blocks of all lanes, by S-box the bits that it looks up: right, then left. When a
// kernel returns, they are those of the last blocks.
type vbmiHalves [2][vbmiQueueGroups][8]vbmiVector

// A vbmiStream is a packet in each lane.
type vbmiStream struct {
	data   [vbmiStreamGroups * vbmiLanes]*byte // the next eight blocks
	chain  [vbmiStreamGroups * vbmiLanes]*byte // the block that is added to the first of them
	blocks [vbmiStreamGroups * vbmiLanes]uint8 // of the eight, those that exist, the first lowest; others are not touched

	// What the kernels do not look at.
	left  [vbmiStreamGroups * vbmiLanes][]byte // of the packets, from data on
	lanes int                                  // in use
	steps [vbmiStreamGroups]int                // that a group needs in the next call
}

// A vbmiQueue is units to decrypt.
type vbmiQueue struct {
	data   [vbmiQueueGroups * vbmiUnits]*byte // the unit
	chain  [vbmiQueueGroups * vbmiUnits]*byte // the block that is added to the first of it
	blocks [vbmiQueueGroups * vbmiUnits]uint8 // those that exist

	units int // in use
}

// A vbmiShared is a schedule of one key for all lanes, a byte of each S-box four times: the sums of the 48 rounds
// and the four at the ends of passes.
type vbmiShared [rounds + 4][8][4]uint8

// A vbmiKeys is a schedule with a key for each lane.
type vbmiKeys [rounds + 4][8]vbmiVector

// What gen writes. The first two write a schedule, from the last key to the first if backward is not 0. The others do the
// blocks of 64 lanes or more, those that encrypt as many of each lane as there are steps, and up to eight.

//go:noescape
func vbmiSpreadShared(key *[48]uint64, ends *[8]uint64, backward int, out *vbmiShared)

//go:noescape
func vbmiSpreadKeys(keys *[64]*Key, ends *[64][8]uint64, backward int, out *vbmiKeys)

//go:noescape
func vbmiEncrypt64(schedule *vbmiShared, halves *vbmiHalves, lanes *vbmiStream, steps int)

//go:noescape
func vbmiEncrypt128(schedule *vbmiShared, halves *vbmiHalves, lanes *vbmiStream, steps int)

//go:noescape
func vbmiEncrypt64Keys(schedule *vbmiKeys, halves *vbmiHalves, lanes *vbmiStream, steps int)

//go:noescape
func vbmiDecrypt64(schedule *vbmiShared, units *vbmiQueue)

//go:noescape
func vbmiDecrypt128(schedule *vbmiShared, units *vbmiQueue)

//go:noescape
func vbmiDecrypt192(schedule *vbmiShared, units *vbmiQueue)

//go:noescape
func vbmiDecrypt64Keys(schedule *vbmiKeys, units *vbmiQueue)

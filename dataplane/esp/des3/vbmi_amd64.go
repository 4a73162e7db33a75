package des3

import (
	"unsafe"

	"meshrouter/internal/cpu"

	xcpu "golang.org/x/sys/cpu"
)

//go:generate go run ./gen

var x86 = &xcpu.X86

var vbmi = implementation{
	name:    "vbmi",
	level:   cpu.AVX512,
	usable:  x86.HasAVX512F && x86.HasAVX512BW && x86.HasAVX512DQ && x86.HasAVX512VL && x86.HasAVX512VBMI && x86.HasAVX512GFNI,
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
	data   [vbmiStreamGroups * vbmiLanes]unsafe.Pointer // the next eight blocks
	chain  [vbmiStreamGroups * vbmiLanes]unsafe.Pointer // the block that is added to the first of them
	blocks [vbmiStreamGroups * vbmiLanes]uint8          // of the eight, those that exist, the first lowest; others are not touched
	left   [vbmiStreamGroups * vbmiLanes]int            // blocks, these included
	lanes  int                                          // in use
}

// A vbmiQueue is units to decrypt.
type vbmiQueue struct {
	data   [vbmiQueueGroups * vbmiUnits]unsafe.Pointer // the unit
	chain  [vbmiQueueGroups * vbmiUnits]unsafe.Pointer // the block that is added to the first of it
	blocks [vbmiQueueGroups * vbmiUnits]uint8          // those that exist
	units  int                                         // in use
}

// A vbmiShared is a schedule of one key for all lanes, a byte of each S-box four times: the sums of the 48 rounds
// and the four at the ends of passes.
type vbmiShared [rounds + 4][8][4]uint8

// A vbmiKeys is a schedule with a key for each lane.
type vbmiKeys [rounds + 4][8]vbmiVector

// The first two write a schedule, the last key first if backward is not 0; the others do eight blocks, or less, of each
// lane with one.

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

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
	vbmiLane   = 64 // lanes of a group
	vbmiGroups = 2  // at most, in one call of a kernel
	vbmiUnits  = 8  // of eight blocks that follow each other, for a group that decrypts
	vbmiSteps  = 8  // blocks that a lane encrypts in one call of a kernel
)

// A vbmiVector is a register: a byte of each lane.
type vbmiVector [vbmiLane]byte

// vbmiScratch is the memory that the kernels work in.
type vbmiScratch struct {
	half  [2][vbmiGroups][8]vbmiVector         // by S-box, with the bits that it looks up
	block [vbmiGroups][vbmiSteps][8]vbmiVector // eight blocks to a vector
	chain [vbmiGroups][vbmiUnits]vbmiVector    // what decrypted blocks are added to
}

// vbmiLanes says where the data of the lanes is: of each lane to encrypt, of each unit of eight lanes to decrypt.
type vbmiLanes struct {
	data   [vbmiGroups * vbmiLane]unsafe.Pointer // the next eight blocks
	chain  [vbmiGroups * vbmiLane]unsafe.Pointer // the block that is added to the first of them
	blocks [vbmiGroups * vbmiLane]uint8          // of the eight, those that exist, the first lowest; others are not touched
}

// A vbmiShared is a schedule of one key for all lanes, a byte of each S-box four times: the sums of the 48 rounds
// and the four at the ends of passes.
type vbmiShared [rounds + 4][8][4]uint8

// A vbmiKeys is a schedule with a key for each lane.
type vbmiKeys [rounds + 4][8]vbmiVector

//go:noescape
func vbmiSpreadShared(key *[48]uint64, ends *[8]uint64, backward int, out *vbmiShared)

//go:noescape
func vbmiSpreadKeys(keys *[64]*Key, ends *[64][8]uint64, backward int, scratch *vbmiScratch, out *vbmiKeys)

//go:noescape
func vbmiEncrypt64(schedule *vbmiShared, scratch *vbmiScratch, lanes *vbmiLanes, steps int)

//go:noescape
func vbmiEncrypt128(schedule *vbmiShared, scratch *vbmiScratch, lanes *vbmiLanes, steps int)

//go:noescape
func vbmiEncrypt64Keys(schedule *vbmiKeys, scratch *vbmiScratch, lanes *vbmiLanes, steps int)

//go:noescape
func vbmiDecrypt64(schedule *vbmiShared, scratch *vbmiScratch, lanes *vbmiLanes)

//go:noescape
func vbmiDecrypt128(schedule *vbmiShared, scratch *vbmiScratch, lanes *vbmiLanes)

//go:noescape
func vbmiDecrypt64Keys(schedule *vbmiKeys, scratch *vbmiScratch, lanes *vbmiLanes)

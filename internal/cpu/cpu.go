// Package cpu says which machine code the ciphers may use. It is asked once, when a package starts.
//
// The environment variable MESHROUTER_CPU holds a machine to less than it can: "portable" is Go without
// assembly of ours, "avx2" stops there, "avx512" is everything. Tests run the lesser paths by it.
package cpu

import (
	"fmt"
	"os"

	"golang.org/x/sys/cpu"
)

// Variable is the environment variable that holds the machine to a Level.
const Variable = "MESHROUTER_CPU"

// A Level is what machine code may be used; a higher one includes the lower ones.
type Level int

// The levels.
const (
	Portable Level = iota // Go, and what its standard library has
	AVX2                  // AVX2, AES-NI, SHA-NI where the machine has them
	AVX512                // AVX-512 F, BW, DQ, VL, and VBMI, VBMI2, GFNI, VAES where the machine has them
)

func (l Level) String() string { return [...]string{"portable", "avx2", "avx512"}[l] }

// Max is the highest level that this machine has and the environment allows.
func Max() Level { return fromEnvironment(os.Getenv(Variable), machine()) }

func machine() Level {
	x := &cpu.X86
	switch {
	case !x.HasAVX2 || !x.HasBMI2 || !x.HasSSSE3 || !x.HasSSE41: // a virtual machine may lack any of them
		return Portable
	case x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL:
		return AVX512
	}
	return AVX2
}

func fromEnvironment(value string, have Level) Level {
	if value == "" {
		return have
	}
	for l := Portable; l <= AVX512; l++ {
		if value == l.String() {
			return min(l, have)
		}
	}
	// A misspelt name would otherwise test, or measure, something else than was asked for.
	panic(fmt.Sprintf("%s is %q, want portable, avx2 or avx512", Variable, value))
}

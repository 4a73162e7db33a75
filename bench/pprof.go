package bench

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A cpuProfile is what runtime/pprof writes, as far as it is needed: stacks, outermost first, and
// how many nanoseconds of processor time were seen in each.
type cpuProfile struct {
	stacks [][]string
	ns     []int64
}

var errProfile = errors.New("not a CPU profile")

// The fields of profile.proto (github.com/google/pprof, proto/profile.proto) that are read.
const (
	profileSample, profileLocation, profileFunction, profileStrings = 2, 4, 5, 6
	sampleLocation, sampleValue                                     = 1, 2
	locationID, locationLine                                        = 1, 4
	lineFunction                                                    = 1
	functionID, functionName                                        = 1, 2
)

// parseProfile reads a CPU profile.
func parseProfile(compressed []byte) (*cpuProfile, error) {
	z, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errProfile, err)
	}
	text, err := io.ReadAll(io.LimitReader(z, 64<<20))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errProfile, err)
	}
	var strs []string
	names := make(map[uint64]uint64)       // of functions, in strs
	functions := make(map[uint64][]uint64) // of locations, innermost first: inlined ones have several
	type sample struct{ locations, values []uint64 }
	var samples []sample
	err = eachField(text, func(field int, v uint64, b []byte) error {
		switch field {
		case profileStrings:
			strs = append(strs, string(b))
		case profileFunction:
			var id, name uint64
			err := eachField(b, func(field int, v uint64, _ []byte) error {
				switch field {
				case functionID:
					id = v
				case functionName:
					name = v
				}
				return nil
			})
			names[id] = name
			return err
		case profileLocation:
			var id uint64
			var of []uint64
			err := eachField(b, func(field int, v uint64, line []byte) error {
				if field == locationID {
					id = v
				}
				if field != locationLine {
					return nil
				}
				return eachField(line, func(field int, v uint64, _ []byte) error {
					if field == lineFunction {
						of = append(of, v)
					}
					return nil
				})
			})
			functions[id] = of
			return err
		case profileSample:
			var s sample
			err := eachField(b, func(field int, v uint64, packed []byte) error {
				switch field {
				case sampleLocation:
					s.locations = appendVarints(s.locations, v, packed)
				case sampleValue:
					s.values = appendVarints(s.values, v, packed)
				}
				return nil
			})
			samples = append(samples, s)
			return err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	p := &cpuProfile{}
	for _, s := range samples {
		if len(s.values) < 2 { // how many, and how long
			return nil, fmt.Errorf("%w: a sample has %d values, want 2", errProfile, len(s.values))
		}
		var stack []string
		for _, l := range s.locations {
			for _, f := range functions[l] {
				if names[f] < uint64(len(strs)) {
					stack = append(stack, strs[names[f]])
				}
			}
		}
		slices.Reverse(stack)
		p.stacks = append(p.stacks, stack)
		p.ns = append(p.ns, int64(s.values[1])) //nolint:gosec // less than centuries
	}
	return p, nil
}

// eachField calls f with each field of a message: v of a number, b of what has a length.
func eachField(message []byte, f func(field int, v uint64, b []byte) error) error {
	const varint, fixed64, bytesType, fixed32 = 0, 1, 2, 5
	for len(message) > 0 {
		tag, n := binary.Uvarint(message)
		if n <= 0 {
			return errProfile
		}
		message = message[n:]
		var v uint64
		var b []byte
		switch tag & 7 {
		case varint, bytesType:
			if v, n = binary.Uvarint(message); n <= 0 {
				return errProfile
			}
			message = message[n:]
			if tag&7 == bytesType {
				if v > uint64(len(message)) {
					return errProfile
				}
				b, message = message[:v], message[v:]
			}
		case fixed64, fixed32:
			size := 8
			if tag&7 == fixed32 {
				size = 4
			}
			if len(message) < size {
				return errProfile
			}
			message = message[size:]
		default:
			return errProfile
		}
		if err := f(int(tag>>3), v, b); err != nil {
			return err
		}
	}
	return nil
}

// appendVarints takes a repeated number in either form: one, or packed.
func appendVarints(to []uint64, v uint64, packed []byte) []uint64 {
	if packed == nil {
		return append(to, v)
	}
	for len(packed) > 0 {
		v, n := binary.Uvarint(packed)
		if n <= 0 {
			break
		}
		to, packed = append(to, v), packed[n:]
	}
	return to
}

// stageTable says which step of a packet's way a stack belongs to: the first line decides that has a
// function in it, innermost steps first. What the kernel does counts for who called it.
var stageTable = []struct{ prefix, suffix, stage string }{
	{"meshrouter/dataplane/esp.", ").Seal", "seal"},
	{"meshrouter/dataplane/esp.", ").Open", "open"},
	{"meshrouter/dataplane/underlay.(*Sockets).Send", "", "send (kernel)"},
	{"meshrouter/dataplane/underlay.", ").Receive", "receive (kernel)"},
	{"meshrouter/tun.", ").Read", "read the TUN device (kernel)"},
	{"meshrouter/tun.", ").Write", "write the TUN device (kernel)"},
	{"meshrouter/dataplane/segment.(*Merger)", "", "join segments"},
	{"meshrouter/dataplane/segment.", "", "cut into segments"},
	{"meshrouter/dataplane/fib.", "", "look up routes"},
	{"meshrouter/dataplane", "", "forward: GRE, owners, counters"},
	{"meshrouter/", "", "the rest of the router"},
	{"runtime.gcBgMarkWorker", "", "garbage collection"},
	{"runtime.mcall", "", "Go's scheduler"},
	{"runtime.", "", "Go's runtime"},
}

// stageOf finds a stack's step.
func stageOf(stack []string) string {
	for _, s := range stageTable {
		for _, name := range stack {
			if strings.HasPrefix(name, s.prefix) && strings.HasSuffix(name, s.suffix) && name != "runtime.goexit" {
				return s.stage
			}
		}
	}
	return "other"
}

// side sums a profile up for that many packets.
func (p *cpuProfile) side(name string, packets float64) ProfileSide {
	s := ProfileSide{Side: name}
	total := 0.0
	stages, folded := make(map[string]float64), make(map[string]float64)
	for i, stack := range p.stacks {
		ns := float64(p.ns[i])
		total += ns
		stages[stageOf(stack)] += ns
		short := make([]string, 0, len(stack))
		for _, f := range stack {
			if f != "runtime.goexit" {
				short = append(short, strings.ReplaceAll(shorten(f), ";", ","))
			}
		}
		folded[strings.Join(short, ";")] += ns
	}
	if total == 0 {
		return s
	}
	for _, stage := range sorted(stages) {
		s.Stages = append(s.Stages, ProfileStage{stage, digits(stages[stage] / max(packets, 1)), digits(100 * stages[stage] / total)})
	}
	slices.SortStableFunc(s.Stages, func(a, b ProfileStage) int {
		switch {
		case a.NS > b.NS:
			return -1
		case a.NS < b.NS:
			return 1
		}
		return 0
	})
	const least = 0.001
	for _, stack := range sorted(folded) {
		if share := folded[stack] / total; share >= least {
			s.Folded = append(s.Folded, FoldedStack{stack, digits(share)})
		}
	}
	return s
}

// shorten leaves the last part of an import path.
func shorten(function string) string {
	if i := strings.LastIndexByte(function, '/'); i >= 0 {
		return function[i+1:]
	}
	return function
}

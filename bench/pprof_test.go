package bench

import (
	"bytes"
	"compress/gzip"
	"errors"
	"math"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"
)

// What runtime/pprof writes is understood: a function that only computes is found, with about its time.
func TestParseProfile(t *testing.T) {
	var out bytes.Buffer
	if err := pprof.StartCPUProfile(&out); err != nil {
		t.Fatal(err)
	}
	for begun := cpuTime(); cpuTime()-begun < 200*time.Millisecond; {
		burn()
	}
	pprof.StopCPUProfile()
	p, err := parseProfile(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	total, burnt := int64(0), int64(0)
	for i, stack := range p.stacks {
		total += p.ns[i]
		if slices.ContainsFunc(stack, func(f string) bool { return strings.HasSuffix(f, "bench.burn") }) {
			burnt += p.ns[i]
		}
	}
	if total < int64(50*time.Millisecond) || burnt < total/4 {
		t.Errorf("%d ns in burn of %d ns, want most of 200 ms", burnt, total)
	}
	for _, bad := range [][]byte{nil, []byte("text"), zipped([]byte{0xff}), zipped([]byte{0x12, 0x7f}), zipped([]byte{0x12, 0x02, 0x10, 0x01})} {
		if _, err := parseProfile(bad); !errors.Is(err, errProfile) {
			t.Errorf("%x: error %v, want %v", bad, err, errProfile)
		}
	}
}

var burnt float64 // keeps the compiler from leaving burn out

//go:noinline
func burn() {
	for i := range 10000 {
		burnt += math.Sqrt(float64(i))
	}
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(b)
	_ = z.Close()
	return out.Bytes()
}

func TestStages(t *testing.T) {
	t.Parallel()
	p := &cpuProfile{
		stacks: [][]string{
			{"runtime.goexit", "meshrouter/dataplane.(*Engine).readQueue", "meshrouter/dataplane/esp.(*Batch).Seal", "crypto/internal/fips140/aes/gcm.seal"},
			{"runtime.goexit", "meshrouter/dataplane.(*Engine).readQueue", "meshrouter/dataplane/underlay.(*Sockets).Send", "internal/runtime/syscall/linux.Syscall6"},
			{"runtime.mcall", "runtime.schedule"},
			{"runtime.goexit", "meshrouter/dataplane.(*Engine).receive", "runtime.memmove"},
			{"_rt0"},
		},
		ns: []int64{600, 200, 100, 50, 50},
	}
	s := p.side("sender", 10)
	var got []string
	for _, stage := range s.Stages {
		got = append(got, stage.Name)
	}
	want := []string{"seal", "send (kernel)", "Go's scheduler", "forward: GRE, owners, counters", "other"}
	if !slices.Equal(got, want) {
		t.Errorf("stages %q, want %q", got, want)
	}
	if first := s.Stages[0]; first.NS != 60 || first.Percent != 60 {
		t.Errorf("seal costs %+v, want 60 ns of 100", first)
	}
	if i := slices.IndexFunc(s.Folded, func(f FoldedStack) bool { return strings.HasSuffix(f.Stack, "esp.(*Batch).Seal;gcm.seal") }); i < 0 || s.Folded[i].Share != 0.6 {
		t.Errorf("folded stacks %v, want gcm.seal with 0.6", s.Folded)
	}
}

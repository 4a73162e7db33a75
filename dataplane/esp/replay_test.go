package esp

import (
	"errors"
	"math/rand/v2"
	"testing"
)

func inboundSA(t testing.TB) *SA {
	t.Helper()
	return mustSA(t, suiteNamed(t, "3des-cbc/hmac-sha1").params(0x1000, Tunnel), false)
}

// slowWindow is the anti-replay window as RFC 4303, 3.4.3 tells it: a set and its highest member.
type slowWindow struct {
	seen map[uint32]bool
	high uint32
}

func (w *slowWindow) accept(seq uint32) bool {
	if seq == 0 || w.seen[seq] || (seq <= w.high && w.high-seq >= WindowSize) {
		return false
	}
	w.seen[seq] = true
	w.high = max(w.high, seq)
	return true
}

// Steps of every size around words and the window, forward and back, against the oracle.
func TestReplayWindowAgainstSlowTwin(t *testing.T) {
	t.Parallel()
	steps := []uint32{1, 2, 3, 63, 64, 65, 127, 128, 1000, WindowSize - 65, WindowSize - 64, WindowSize - 1, WindowSize, WindowSize + 1, WindowSize + 64, 3 * WindowSize}
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 3))
		sa := inboundSA(t)
		w := &slowWindow{seen: map[uint32]bool{}}
		refused := 0
		for range 5000 {
			var seq uint32
			switch r.IntN(4) {
			case 0:
				seq = w.high + steps[r.IntN(len(steps))]
			case 1:
				seq = w.high + 1
			case 2:
				seq = w.high - min(w.high, steps[r.IntN(len(steps))])
			case 3:
				seq = w.high - min(w.high, r.Uint32N(WindowSize+100))
			}
			checked := sa.ReplayCheck(seq) == nil
			got, high := sa.ReplayUpdate(seq) == nil, w.high
			want := w.accept(seq)
			if got != want || checked != want {
				t.Fatalf("seed %d: sequence %d after highest %d: check %v, update %v, want %v", seed, seq, high, checked, got, want)
			}
			if !want {
				refused += 2
			}
		}
		if got := sa.Counters().ReplayDrops.Load(); got != uint64(refused) {
			t.Errorf("seed %d: ReplayDrops is %d, want %d", seed, got, refused)
		}
		if got := sa.Counters().HighSeq.Load(); got != uint64(w.high) {
			t.Errorf("seed %d: HighSeq is %d, want %d", seed, got, w.high)
		}
	}
}

func TestReplayWindowEdges(t *testing.T) {
	t.Parallel()
	sa := inboundSA(t)
	for _, step := range []struct {
		seq  uint32
		want error
	}{
		{0, ErrReplay}, // RFC 4303, 3.3.3: the first number is 1
		{1, nil},
		{1, ErrReplay},
		{WindowSize, nil},
		{2, nil}, // just inside
		{WindowSize + 2, nil},
		{2, ErrReplay}, // has left, and was seen
		{3, nil},       // the last one inside
		{3, ErrReplay},
		{1<<32 - 1, nil},
		{WindowSize + 2, ErrReplay},
		{1<<32 - WindowSize, nil},
		{1<<32 - WindowSize - 1, ErrReplay},
		{1<<32 - 1, ErrReplay},
	} {
		if got := sa.ReplayUpdate(step.seq); !errors.Is(got, step.want) {
			t.Errorf("ReplayUpdate(%d) = %v, want %v", step.seq, got, step.want)
		}
	}
}

func TestReplayCheckChangesNothing(t *testing.T) {
	t.Parallel()
	sa := inboundSA(t)
	for range 2 {
		if err := sa.ReplayCheck(7); err != nil {
			t.Fatal(err)
		}
	}
	if sa.Counters().HighSeq.Load() != 0 {
		t.Error("a sequence number that was not authenticated moved the window")
	}
}

// A restarted process finds the window in the same memory. Also when the old one was killed between
// two stores of ReplayUpdate, nothing that was delivered is accepted again.
func TestWindowSurvivesKill(t *testing.T) {
	t.Parallel()
	for _, jump := range []uint64{1, 2, 64, 100, 5000} {
		p := suiteNamed(t, "3des-cbc/hmac-sha1").params(0x1000, Tunnel)
		p.Counters = CountersAt(make([]byte, CountersSize))
		before := mustSA(t, p, false)
		var delivered []uint32
		for seq := uint32(1); seq < 6000; seq += 1 + seq%3 {
			if before.ReplayUpdate(seq) == nil {
				delivered = append(delivered, seq)
			}
		}
		high := p.Counters.HighSeq.Load()
		for _, moment := range []string{"between packets", "after HighSeq", "after the bits were cleared"} {
			if moment != "between packets" {
				p.Counters.HighSeq.Store(high + jump)
			}
			if moment == "after the bits were cleared" {
				p.Counters.forget(high+1, high+jump)
			}
			after := mustSA(t, p, false)
			for _, seq := range delivered {
				if after.ReplayCheck(seq) == nil {
					t.Fatalf("jump of %d, killed %s: %d is accepted again", jump, moment, seq)
				}
			}
			if after.ReplayCheck(uint32(high+jump)+1) != nil {
				t.Errorf("jump of %d, killed %s: the next packet is refused", jump, moment)
			}
		}
	}
}

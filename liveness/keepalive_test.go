package liveness

import (
	"testing"
	"time"
)

// screenos-facts.md, 3: `keep-alive interval 10 threshold 3` declares the tunnel down after three
// unanswered keepalives, and one answer brings it back.
func TestKeepaliveThreshold(t *testing.T) {
	t.Parallel()
	k := Keepalive{Interval: 10 * time.Second, Count: 3}
	now := time.Unix(1_000_000, 0)
	var sent int
	var lostAfter time.Duration
	for s := range 100 {
		send, lost := k.Tick(now.Add(time.Duration(s) * time.Second))
		if send {
			sent++
		}
		if lost {
			if lostAfter != 0 {
				t.Fatalf("lost twice: after %v and after %ds", lostAfter, s)
			}
			lostAfter = time.Duration(s) * time.Second
		}
	}
	if sent != 10 || lostAfter != 30*time.Second || !k.Lost() {
		t.Errorf("sent %d, lost after %v, Lost %v; want 10, 30s, true", sent, lostAfter, k.Lost())
	}
	if !k.Heard() || k.Lost() || k.Heard() {
		t.Error("one answer must bring the tunnel back, and the next one change nothing")
	}
	if _, lost := k.Tick(now.Add(200 * time.Second)); lost {
		t.Error("lost again without three unanswered keepalives")
	}
}

func TestKeepaliveAnswered(t *testing.T) {
	t.Parallel()
	k := Keepalive{Interval: time.Second, Count: 1}
	now := time.Unix(1_000_000, 0)
	for s := range 1000 {
		if _, lost := k.Tick(now.Add(time.Duration(s) * time.Second)); lost {
			t.Fatalf("lost after %d s though every keepalive came back", s)
		}
		k.Heard()
	}
}

// A timer that comes a little early or late does not change the rate.
func TestKeepaliveRate(t *testing.T) {
	t.Parallel()
	k := Keepalive{Interval: time.Second, Count: 3}
	sent := 0
	for i := range 60 {
		now := time.Unix(1000+int64(i), 0).Add(time.Duration(i%3) * -2 * time.Millisecond)
		if send, _ := k.Tick(now); send {
			sent++
		}
	}
	if sent != 60 {
		t.Errorf("%d keepalives in 60 turns, want 60", sent)
	}
}

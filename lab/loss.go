package lab

import "time"

// A probe is one numbered echo request; its number is its index.
type probe struct {
	sent     time.Time
	answered bool
	// ttl is what was left of the reply's TTL at the sender, forwardTTL of the request's at the
	// receiver; 0 while not seen. A change means another path.
	ttl, forwardTTL uint8
	copies          int // how often the request arrived at the receiver; more than once is a replay
}

// An interruption is what numbered probes, sent in a steady rhythm, say about traffic that was away.
type interruption struct {
	lost  int           // probes without an answer
	first int           // number of the first one lost; -1: none
	back  int           // number of the first one answered after the last one lost; -1: still away
	away  time.Duration // from the sending of probe `first` to the sending of probe `back`
}

// measure finds the interruption in probes[from:]. The last probes must have had time to be
// answered. Several gaps count as one interruption from the first to the last: traffic that
// flickers is not back.
func measure(probes []probe, from int) interruption {
	in := interruption{first: -1, back: -1}
	last := -1
	for i := from; i < len(probes); i++ {
		if probes[i].answered {
			continue
		}
		if in.first < 0 {
			in.first = i
		}
		last = i
		in.lost++
	}
	if in.first < 0 {
		return in
	}
	if last+1 < len(probes) {
		in.back = last + 1
		in.away = probes[in.back].sent.Sub(probes[in.first].sent)
	}
	return in
}

// steady reports whether the last n probes that are older than grace were all answered, and were
// all sent as number `from` or later.
func steady(probes []probe, from, n int, now time.Time, grace time.Duration) bool {
	end := len(probes)
	for end > 0 && now.Sub(probes[end-1].sent) < grace && !probes[end-1].answered {
		end-- // too young to be called lost
	}
	if end-n < from {
		return false
	}
	for _, p := range probes[end-n : end] {
		if !p.answered {
			return false
		}
	}
	return true
}

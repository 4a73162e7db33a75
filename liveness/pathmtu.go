package liveness

import (
	"math/rand/v2"
	"time"
)

// The constants of RFC 8899, 5.1. Sizes are of packets inside the tunnel, bytes.
const (
	probeTimer   = time.Second      // a probe unanswered for so long is lost (PROBE_TIMER; at least 1 s for a tunnel that may be slow)
	maxProbes    = 3                // so many lost ones mean that the size does not pass (MAX_PROBES)
	confirmTimer = 30 * time.Second // how often the size in use is tried again (CONFIRMATION_TIMER)
	raiseTimer   = 10 * time.Minute // how often larger sizes are tried again (PMTU_RAISE_TIMER)
	probeStep    = 8                // the search ends when it knows the size that well
)

// MinMTU is the smallest size that is tried: what is left of the 576 bytes that every IPv4 host must be
// able to receive (RFC 791, 3.1), without what a tunnel adds.
const MinMTU = 480

// A phase is a state of RFC 8899, 5.2.
type phase uint8

const (
	phaseBase     phase = iota // does the peer answer at all?
	phaseSearch                // between what passes and what does not
	phaseComplete              // the size in use is confirmed now and then
)

// A PathMTU searches for the largest packet that passes a tunnel without fragmentation outside (RFC 8899,
// packetization layer path MTU discovery). A probe is an echo request of the wanted size, whose outer packet
// must not be fragmented. Peers that do not answer small ones either leave the tunnel as it was configured.
type PathMTU struct {
	max   int // what the configuration derives; larger is never tried
	mtu   int // in use
	phase phase

	passes, fails int // the search: a size that passes, and one that does not
	size          int // of the probe under way; 0: none
	seq           uint16
	sent          time.Time
	lost          int       // probes of this size that were not answered
	due           time.Time // of the next probe, when none is under way
	raise         time.Time // when sizes above mtu are tried again; zero: mtu is not known to pass
}

// SetMax begins anew when the largest size has changed: the configuration, or UDP encapsulation. Where less
// than the old one was found to pass, that holds until the new search knows better.
func (p *PathMTU) SetMax(size int) {
	if size == p.max {
		return
	}
	mtu := size
	if p.mtu < p.max {
		mtu = min(p.mtu, size)
	}
	*p = PathMTU{max: size, mtu: mtu, seq: p.seq}
}

// MTU is the size in use.
func (p *PathMTU) MTU() int { return p.mtu }

// Confirmed reports whether the path is known to carry the size in use.
func (p *PathMTU) Confirmed() bool { return !p.raise.IsZero() }

// Tick reports which probe is to be sent now, if any, and whether MTU has changed.
func (p *PathMTU) Tick(now time.Time) (size int, seq uint16, changed bool) {
	before := p.mtu
	if p.size != 0 {
		if now.Sub(p.sent) < probeTimer-slack {
			return 0, 0, false
		}
		if p.lost++; p.lost >= maxProbes {
			p.refused(now)
		}
	} else if now.Before(p.due) {
		return 0, 0, false
	} else {
		p.begin(now)
	}
	if p.size != 0 {
		p.seq++
		p.sent = now
	}
	return p.size, p.seq, p.mtu != before
}

// Heard takes the answer to a probe and reports whether MTU has changed.
func (p *PathMTU) Heard(now time.Time, seq uint16) (changed bool) {
	if p.size == 0 || seq != p.seq {
		return false // late, or not ours
	}
	before := p.mtu
	passed := p.size
	p.size, p.lost = 0, 0
	switch p.phase {
	case phaseBase:
		p.phase, p.passes, p.fails = phaseSearch, passed, p.max+probeStep
	case phaseComplete:
		p.due = now.Add(confirmAfter())
		return false
	case phaseSearch:
		p.passes = max(p.passes, passed)
	}
	p.search(now)
	return p.mtu != before
}

// begin chooses the size of a probe when none is under way.
func (p *PathMTU) begin(now time.Time) {
	p.lost = 0
	if p.phase == phaseComplete && p.mtu < p.max && !now.Before(p.raise) {
		p.phase, p.passes, p.fails = phaseSearch, p.mtu, p.max+probeStep
	}
	switch p.phase {
	case phaseBase:
		p.size = min(MinMTU, p.max)
	case phaseSearch:
		p.size = p.next()
	case phaseComplete:
		p.size = p.mtu
	}
}

// next is the largest size first, which passes nearly always, and then the middle.
func (p *PathMTU) next() int {
	if p.fails > p.max {
		return p.max
	}
	return (p.passes + p.fails) / 2
}

// refused takes it that the size under way does not pass.
func (p *PathMTU) refused(now time.Time) {
	size := p.size
	p.size, p.lost = 0, 0
	switch p.phase {
	case phaseBase: // not even a small one: nothing can be said about sizes
		p.due = now.Add(confirmTimer)
	case phaseComplete: // a black hole, or a peer that has gone
		p.phase, p.due, p.raise = phaseBase, now, time.Time{}
	case phaseSearch:
		p.fails = min(p.fails, size)
		p.search(now)
	}
}

// search goes on, or settles.
func (p *PathMTU) search(now time.Time) {
	if p.passes < p.max && p.fails-p.passes > probeStep {
		p.due = now
		return
	}
	p.phase, p.mtu = phaseComplete, p.passes
	p.due, p.raise = now.Add(confirmAfter()), now.Add(raiseTimer)
}

// confirmAfter is the confirmation timer or up to a quarter more, so that the many tunnels of a site that
// came up together do not for ever send their probes together.
func confirmAfter() time.Duration {
	return confirmTimer + rand.N(confirmTimer/4) //nolint:gosec // G404: no secret
}

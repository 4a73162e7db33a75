package ike

import (
	"crypto/sha256"
	"time"

	"net/netip"
)

// First and longest pause between two copies of a message. The pauses grow by half each time:
// 2, 3, 4.5, 6.8, 10, 15, 20, 20, … seconds.
const (
	firstPause = 2 * time.Second
	maxPause   = 20 * time.Second
)

// A retransmission sends a message again until it is answered or patience ends. The zero value rests.
type retransmission struct {
	local, remote netip.AddrPort
	message       []byte
	pause         time.Duration
	at            time.Time // of the next copy, or of giving up
	until         time.Time
}

// begin sends message and arms the timer.
func (r *retransmission) begin(s *step, local, remote netip.AddrPort, message []byte, patience time.Duration) {
	*r = retransmission{local: local, remote: remote, message: message, pause: firstPause, at: s.now.Add(firstPause), until: s.now.Add(patience)}
	s.send(local, remote, message)
}

// stop disarms the timer.
func (r *retransmission) stop() { *r = retransmission{} }

// tick sends another copy if it is time; gaveUp is true once, when patience has ended.
func (r *retransmission) tick(s *step, p *peer) (gaveUp bool) {
	if r.at.IsZero() || r.at.After(s.now) {
		return false
	}
	if !r.until.After(s.now) {
		r.stop()
		return true
	}
	s.event(p, r.remote, EventRetransmit, Debug, "no answer yet: sent again")
	s.send(r.local, r.remote, r.message)
	r.pause = min(r.pause*3/2, maxPause)
	r.at = s.now.Add(r.pause)
	if r.at.After(r.until) {
		r.at = r.until
	}
	return false
}

// A replyCache answers copies of the last message of the peer with the last message of ours, byte for
// byte, and not without end.
type replyCache struct {
	asked  [sha256.Size]byte
	reply  []byte // nil: it had no answer
	copies int
	set    bool
}

func (c *replyCache) remember(asked, reply []byte) {
	*c = replyCache{asked: sha256.Sum256(asked), reply: reply, set: true}
}

// answer reports whether the message is such a copy, and answers it. Copies go back to where they came
// from: an address that has changed must not be fixed by an old message.
func (c *replyCache) answer(s *step, p *peer, m *message) (known bool) {
	if !c.set || c.asked != sha256.Sum256(m.raw) {
		return false
	}
	c.copies++
	if c.copies > maxDuplicates {
		s.event(p, m.remote, EventTooManyDuplicates, Debug, "copy number %d of the same message: not answered", c.copies)
		return true
	}
	s.event(p, m.remote, EventDuplicate, Debug, "a copy of the last message")
	if c.reply != nil {
		s.send(m.local, m.remote, c.reply)
	}
	return true
}

package ipv4

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"
)

const (
	// maxDatagrams bounds how many packets are being put together at once.
	maxDatagrams = 64
	// fragmentCost is what a fragment costs of the memory bound besides its payload, bytes.
	fragmentCost = 64
)

// ReassemblyStats counts what a Reassembler did, by reason.
type ReassemblyStats struct {
	Completed uint64 // packets put together
	Duplicate uint64 // fragments that repeated another exactly
	Overlap   uint64 // packets discarded since fragments overlapped or contradicted each other
	Malformed uint64 // fragments that cannot be part of a packet
	TimedOut  uint64 // packets given up after the timeout
	NoRoom    uint64 // packets given up for newer ones, or larger than the bound
}

// A Reassembler puts fragments together (RFC 791, 3.2) within bounds of memory and time. It belongs
// to one goroutine and reads no clock.
type Reassembler struct {
	Stats ReassemblyStats

	maxBytes  int
	timeout   time.Duration
	held      int         // bytes, with fragmentCost
	datagrams []*datagram // oldest first
}

// A datagram is a packet whose fragments have begun to arrive.
type datagram struct {
	key      [11]byte // addresses, protocol, identification
	deadline time.Time
	refused  bool   // fragments overlapped: whatever still comes is discarded
	header   []byte // of the first fragment; nil until it is here
	parts    []part // by offset, disjoint
	length   int    // of the whole payload; -1 until the last fragment is here
	have     int    // bytes of payload in parts
	held     int
}

type part struct {
	offset int
	data   []byte
}

func (p part) end() int { return p.offset + len(p.data) }

// NewReassembler holds at most maxBytes of fragments, each for at most timeout after the first of
// its packet.
func NewReassembler(maxBytes int, timeout time.Duration) *Reassembler {
	return &Reassembler{maxBytes: maxBytes, timeout: timeout}
}

// Held is the memory in use, bytes.
func (r *Reassembler) Held() int { return r.held }

// Add takes a packet. A packet that is no fragment is returned as it is; the fragment that completes
// a packet returns that, newly allocated, with a header for the whole. Nothing of pkt is kept.
// Fragments that overlap, other than exact repetitions, condemn their packet (see the package comment).
func (r *Reassembler) Add(now time.Time, pkt []byte) (whole []byte, ok bool) {
	r.expire(now)
	h, payload, err := Parse(pkt)
	if err != nil {
		r.Stats.Malformed++
		return nil, false
	}
	if !h.IsFragment() {
		return pkt[:h.TotalLen()], true
	}
	p := part{h.FragOffset(), payload}
	if len(payload) == 0 || (h.MF() && len(payload)%8 != 0) || HeaderLen+p.end() > MaxPacket {
		r.Stats.Malformed++
		return nil, false
	}
	d := r.datagram(now, h)
	if d.refused {
		return nil, false
	}
	at, fits := d.place(p, h.MF())
	switch {
	case !fits:
		r.refuse(d)
		return nil, false
	case at < len(d.parts) && d.parts[at].offset == p.offset:
		r.Stats.Duplicate++
		return nil, false
	}
	if !r.makeRoom(d, len(payload)+fragmentCost) {
		return nil, false
	}
	p.data = bytes.Clone(payload)
	d.parts = slices.Insert(d.parts, at, p)
	d.have += len(p.data)
	if !h.MF() {
		d.length = p.end()
	}
	if p.offset == 0 {
		d.header = bytes.Clone(h)
	}
	if !d.complete() {
		return nil, false
	}
	r.forget(d)
	if whole, ok = d.assemble(); !ok {
		r.Stats.Malformed++
		return nil, false
	}
	r.Stats.Completed++
	return whole, true
}

// datagram finds or begins the packet that a fragment belongs to.
func (r *Reassembler) datagram(now time.Time, h Header) *datagram {
	var key [11]byte
	copy(key[:8], h[12:20])
	copy(key[8:], h[4:6])
	key[10] = h.Protocol()
	for _, d := range r.datagrams {
		if d.key == key {
			return d
		}
	}
	if len(r.datagrams) >= maxDatagrams {
		r.Stats.NoRoom++
		r.forget(r.datagrams[0])
	}
	d := &datagram{key: key, deadline: now.Add(r.timeout), length: -1}
	r.datagrams = append(r.datagrams, d)
	return d
}

// place is where p belongs among the parts, and whether it agrees with them. An exact repetition
// agrees, and is found at its place.
func (d *datagram) place(p part, more bool) (at int, fits bool) {
	at, same := slices.BinarySearchFunc(d.parts, p.offset, func(q part, offset int) int { return q.offset - offset })
	last := len(d.parts) - 1
	switch {
	case same:
		q := d.parts[at]
		return at, bytes.Equal(q.data, p.data) && more == (q.end() != d.length)
	case at > 0 && d.parts[at-1].end() > p.offset, at <= last && p.end() > d.parts[at].offset:
		return at, false
	case !more && (d.length >= 0 || (last >= 0 && d.parts[last].end() > p.end())):
		return at, false
	case more && d.length >= 0 && p.end() >= d.length:
		return at, false
	}
	return at, true
}

// complete reports whether nothing is missing. The parts are disjoint, so their lengths tell.
func (d *datagram) complete() bool { return d.header != nil && d.have == d.length }

func (d *datagram) assemble() (whole []byte, ok bool) {
	total := len(d.header) + d.length
	if total > MaxPacket {
		return nil, false
	}
	whole = append(make([]byte, 0, total), d.header...)
	for _, p := range d.parts {
		whole = append(whole, p.data...)
	}
	h := Header(whole[:len(d.header)])
	binary.BigEndian.PutUint16(h[2:], uint16(total&0xffff))
	binary.BigEndian.PutUint16(h[6:], 0)
	h.UpdateChecksum()
	return whole, true
}

// refuse drops what d holds and remembers to drop the rest of it too.
func (r *Reassembler) refuse(d *datagram) {
	r.Stats.Overlap++
	r.held -= d.held
	*d = datagram{key: d.key, deadline: d.deadline, refused: true, length: -1}
}

// makeRoom reserves n bytes for d, at the cost of the oldest others.
func (r *Reassembler) makeRoom(d *datagram, n int) bool {
	if d.held+n > r.maxBytes {
		r.Stats.NoRoom++
		r.forget(d)
		return false
	}
	for i := 0; r.held+n > r.maxBytes; {
		if old := r.datagrams[i]; old != d && old.held > 0 {
			r.Stats.NoRoom++
			r.forget(old)
		} else {
			i++
		}
	}
	d.held += n
	r.held += n
	return true
}

func (r *Reassembler) expire(now time.Time) {
	for len(r.datagrams) > 0 && !now.Before(r.datagrams[0].deadline) {
		if !r.datagrams[0].refused {
			r.Stats.TimedOut++
		}
		r.forget(r.datagrams[0])
	}
}

func (r *Reassembler) forget(d *datagram) {
	if i := slices.Index(r.datagrams, d); i >= 0 {
		r.datagrams = slices.Delete(r.datagrams, i, i+1)
		r.held -= d.held
	}
}

package ike

import (
	"net/netip"
	"slices"
	"time"

	"meshrouter/ike/isakmp"
	"meshrouter/ike/keys"
)

// A childPair is the product of a quick mode: an ESP SA in each direction. The inbound one is there before
// the message that lets the peer use it, and stays to its end; the outbound one is used from the peer's
// confirmation until a newer one takes its place. An outbound SA that was replaced is never used again.
type childPair struct {
	peer      *peer
	in, outSA ChildSA
	began     bool      // by us
	confirmed bool      // the outbound SA is in use, or was
	doubtful  bool      // the peer's message 3 never came: only its ESP can confirm the pair
	rekeyAt   time.Time // zero: not by us
	kilobytes uint32    // 0: no limit
	softBytes uint64
	bytesIn   uint64
	bytesOut  uint64
}

func (c *childPair) transform() Phase2Transform { return c.in.Transform }

// A childSpec is what a quick mode has agreed upon.
type childSpec struct {
	transform     Phase2Transform
	encapsulation EncapsulationMode
	life          isakmp.Lifetime
	spiIn, spiOut uint32
	quick         keys.QuickMode
}

// newPair makes the SAs of a quick mode and installs the inbound one.
func (p *peer) newPair(s *step, sa *isakmpSA, began bool, spec childSpec) (*childPair, error) {
	mode, udp := plain(spec.encapsulation)
	local, remote := netip.AddrPortFrom(sa.local.Addr(), 0), netip.AddrPortFrom(sa.remote.Addr(), 0)
	if udp {
		local, remote = sa.local, sa.remote
	}
	c := &childPair{peer: p, began: began}
	c.in = ChildSA{
		Peer: p.cfg.ID, SPI: spec.spiIn, Inbound: true, Transform: spec.transform, Mode: mode, UDP: udp,
		Src: remote, Dst: local, LocalTS: p.cfg.LocalTS, RemoteTS: p.cfg.RemoteTS, Created: s.now,
	}
	t := spec.transform
	var err error
	if c.in.EncKey, c.in.AuthKey, err = sa.keys.ESPKeys(spec.quick, spec.spiIn, t.ID, t.bits(), t.Auth); err != nil {
		return nil, err
	}
	c.outSA = c.in
	c.outSA.SPI, c.outSA.Inbound, c.outSA.Src, c.outSA.Dst = spec.spiOut, false, local, remote
	if c.outSA.EncKey, c.outSA.AuthKey, err = sa.keys.ESPKeys(spec.quick, spec.spiOut, t.ID, t.bits(), t.Auth); err != nil {
		return nil, err
	}
	c.setLife(spec.life)
	// A peer that receives with an SPI of before has forgotten it. To the shell the two would be one.
	p.removePairs(s, "the peer has made its SPI anew", false, func(o *childPair) bool { return o.outSA.SPI == spec.spiOut })
	p.pairs = append(p.pairs, c)
	p.e.inbound[spec.spiIn] = c
	for len(p.pairs) > maxPairs { // a peer that makes SAs without end
		i := slices.IndexFunc(p.pairs, func(o *childPair) bool { return o != p.out })
		p.deletePair(s, p.pairs[i], "too many SAs")
	}
	s.emit(AddInbound{SA: c.in})
	p.unsaved = true
	return c, nil
}

// setLife sets the pair's timers: the smaller of what was negotiated and what we want.
func (c *childPair) setLife(l isakmp.Lifetime) {
	p := c.peer
	life := smallerLife(l.Seconds, p.cfg.Phase2Lifetime)
	hard, soft, rekey := c.in.Created.Add(life), c.in.Created.Add(life), time.Time{}
	if margin := rekeyMargin(p.e, life, c.began); margin > 0 {
		soft = hard.Add(-margin)
		rekey = soft
	}
	c.in.Hard, c.outSA.Hard, c.in.Soft, c.outSA.Soft, c.rekeyAt = hard, hard, soft, soft, rekey
	if c.kilobytes = smallerVolume(l.Kilobytes, p.cfg.Phase2Kilobytes); c.kilobytes != 0 {
		c.softBytes = rekeyVolume(p.e, uint64(c.kilobytes)*1024, c.began)
	}
}

// volume looks at the limit in kilobytes, which holds for each direction (RFC 2401, 4.4.3). more is what came since the
// report before: a fast link would go through the last tenth of its limit while the new SA is negotiated.
func (c *childPair) volume(s *step, bytes, more uint64) {
	const reports = 3
	switch limit := uint64(c.kilobytes) * 1024; {
	case limit == 0:
	case bytes >= limit:
		s.event(c.peer, noAddr, EventExpired, Info, "ESP SA pair 0x%08x/0x%08x has carried its %d KB", c.in.SPI, c.outSA.SPI, c.kilobytes)
		c.peer.deletePair(s, c, "volume used up")
	case (bytes >= c.softBytes || bytes+reports*more >= limit) && c.rekeyAt.After(s.now):
		c.rekeyAt = s.now
	}
}

// confirm begins to use a pair that the peer is known to have: the new outbound SA takes the old one's place at once.
func (p *peer) confirm(s *step, c *childPair) {
	if c.confirmed {
		return
	}
	c.confirmed = true
	old := p.out
	p.out = c
	s.emit(UseOutbound{SA: c.outSA})
	p.save(s) // before the old one is forgotten: a restart in between finds either complete
	if old != nil {
		s.emit(RemoveSA{Peer: p.cfg.ID, SPI: old.outSA.SPI, Reason: "replaced"})
	}
	p.trouble, p.acquired, p.refused = "", false, 0
	s.event(p, c.outSA.Dst, EventChildEstablished, Info, "ESP %s SA pair, inbound 0x%08x, outbound 0x%08x, lifetime %s", c.transform(), c.in.SPI, c.outSA.SPI, c.in.Hard.Sub(c.in.Created))
}

// deletePair removes a pair and tells the peer (RFC 2408, 3.15): the SPI is the one that we receive with.
func (p *peer) deletePair(s *step, c *childPair, reason string) {
	if sa := p.current(); sa != nil {
		sa.sendDelete(s, isakmp.ProtocolESP, spiBytes(c.in.SPI))
	}
	p.removePair(s, c, reason)
}

// removePair removes a pair. When that was the one in use, a newer one that waits for the peer's message 3, or for its ESP after ours, takes over.
func (p *peer) removePair(s *step, c *childPair, reason string) {
	if !slices.Contains(p.pairs, c) {
		return
	}
	if p.out == c { // the new one first, so that there always is one
		for _, other := range slices.Backward(p.pairs) {
			if !other.confirmed && !other.doubtful {
				p.confirm(s, other)
				break
			}
		}
	}
	p.pairs = slices.DeleteFunc(p.pairs, func(o *childPair) bool { return o == c })
	delete(p.e.inbound, c.in.SPI)
	for _, q := range p.quicks {
		if q.pair == c {
			q.pair = nil
		}
	}
	if p.out == c {
		p.out, p.downSince = nil, s.now
		s.emit(RemoveSA{Peer: p.cfg.ID, SPI: c.outSA.SPI, Reason: reason})
	}
	s.emit(RemoveSA{Peer: p.cfg.ID, SPI: c.in.SPI, Inbound: true, Reason: reason})
	p.unsaved = true
	s.touch(p)
}

// removePairs removes those pairs that fit, that in use last, so that none of them takes over for a moment.
func (p *peer) removePairs(s *step, reason string, tell bool, fits func(*childPair) bool) {
	remove := p.removePair
	if tell {
		remove = p.deletePair
	}
	for _, c := range slices.Clone(p.pairs) {
		if c != p.out && fits(c) {
			remove(s, c, reason)
		}
	}
	if p.out != nil && fits(p.out) {
		remove(s, p.out, reason)
	}
}

// spi draws an SPI that we do not receive with yet.
func (e *Engine) spi() uint32 {
	for {
		if spi := e.uint32(valueSPI); validSPI(spiBytes(spi)) && e.inbound[spi] == nil {
			return spi
		}
	}
}

// validSPI reports whether ESP may have the SPI: the first 256 are reserved (RFC 4303, 2.1).
func validSPI(spi []byte) bool { return len(spi) == 4 && be32(spi) > 255 }

package ike

import (
	"bytes"
	"container/heap"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"meshrouter/ike/keys"
)

// configure replaces the configuration. Peers in which nothing changed that was negotiated keep their SAs.
func (e *Engine) configure(s *step, c Config) {
	if c.HalfOpenPerPeer <= 0 {
		c.HalfOpenPerPeer = defaultHalfOpen
	}
	old := e.peers
	e.config, e.peers = c, nil
	wanted := slices.Clone(c.Peers)
	slices.SortStableFunc(wanted, func(a, b PeerConfig) int { return bytes.Compare([]byte(a.ID), []byte(b.ID)) })
	wanted = slices.CompactFunc(wanted, func(a, b PeerConfig) bool { return a.ID == b.ID })
	for _, cfg := range wanted {
		cfg = cfg.withDefaults()
		i := slices.IndexFunc(old, func(p *peer) bool { return p.cfg.ID == cfg.ID })
		if i >= 0 && old[i].cfg.fingerprint() == cfg.fingerprint() {
			p := old[i]
			p.cfg, p.stopped = cfg, false
			e.peers = append(e.peers, p)
			s.touch(p)
			old = slices.Delete(old, i, i+1)
			continue
		}
		p := newPeer(s, cfg)
		e.peers = append(e.peers, p)
		heap.Push(&e.timers, p)
		s.touch(p)
	}
	for _, p := range old { // removed, or changed: the new peer of that ID begins after the old one's farewell
		p.terminate(s, "the configuration changed")
		p.gone = true
		heap.Remove(&e.timers, p.index)
	}
	e.remotes = make(map[netip.Addr][]*peer)
	for _, p := range e.peers {
		e.remotes[p.cfg.Remote] = append(e.remotes[p.cfg.Remote], p)
		if blob, ok := e.restored[p.cfg.ID]; ok {
			delete(e.restored, p.cfg.ID)
			p.restore(s, blob)
		}
	}
	for _, id := range sortedKeys(e.restored) {
		delete(e.restored, id)
		s.event(nil, noAddr, EventBadBlob, Info, "saved SAs of %s, which is no longer configured", id)
		s.emit(Persist{Peer: id})
	}
}

// withDefaults fills in what zero values stand for, and leaves out transforms that nobody here can compute.
func (c PeerConfig) withDefaults() PeerConfig {
	if c.Phase1Lifetime <= 0 {
		c.Phase1Lifetime = 8 * time.Hour
	}
	if c.Phase2Lifetime <= 0 {
		c.Phase2Lifetime = time.Hour
	}
	if c.Phase1Min <= 0 {
		c.Phase1Min = 60 * time.Second
	}
	if c.Phase1Max <= 0 {
		c.Phase1Max = 86400 * time.Second
	}
	if c.Mode == 0 {
		c.Mode = tunnelMode
	}
	c.Local, c.Remote = c.Local.Unmap(), c.Remote.Unmap()
	c.Phase1 = slices.DeleteFunc(slices.Clone(c.Phase1), func(t Phase1Transform) bool {
		return !t.keysSuite().Supported() || !keys.Supported(t.Group)
	})
	c.Phase2 = slices.DeleteFunc(slices.Clone(c.Phase2), func(t Phase2Transform) bool {
		_, _, err := keys.ESPKeySizes(t.ID, t.bits(), t.Auth)
		return err != nil
	})
	return c
}

// A fingerprint stands for everything in a configuration that existing SAs depend on.
type fingerprint [16]byte

// fingerprint leaves out lifetimes, liveness, who initiates, and the place in the file: they change without a new negotiation.
func (c PeerConfig) fingerprint() fingerprint {
	h := sha256.New()
	field := func(b []byte) { // each with its length, so that no two configurations look alike
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(b)))) //nolint:gosec // configuration is small
		h.Write(b)
	}
	number := func(v uint16) { h.Write(binary.BigEndian.AppendUint16(nil, v)) }
	field([]byte(c.ID))
	field(c.Local.AsSlice())
	field(c.Remote.AsSlice())
	field(c.PSK)
	for _, id := range []Identity{c.LocalID, c.RemoteID} {
		number(uint16(id.Type))
		field(id.Data)
	}
	number(uint16(c.Profile))
	number(uint16(len(c.Phase1))) //nolint:gosec // as above
	for _, t := range c.Phase1 {
		number(uint16(t.Encryption))
		number(t.KeyLength)
		number(uint16(t.Hash))
		number(uint16(t.Group))
	}
	for _, t := range c.Phase2 {
		number(uint16(t.ID))
		number(t.KeyLength)
		number(uint16(t.Auth))
	}
	number(uint16(c.PFS))
	number(uint16(c.Mode))
	for _, ts := range []Selector{c.LocalTS, c.RemoteTS} {
		field([]byte(ts.Prefix.String()))
		number(uint16(ts.Protocol))
		number(ts.Port)
	}
	number(uint16(c.NATT))
	return fingerprint(h.Sum(nil))
}

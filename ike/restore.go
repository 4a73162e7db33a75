package ike

import (
	"bytes"
	"encoding/binary"
	"math"
	"net/netip"
	"slices"
	"time"

	"meshrouter/ike/isakmp"
	"meshrouter/ike/keys"
	"meshrouter/internal/secret"
	"meshrouter/internal/wire"
)

// A blob is what one peer needs to go on after a restart as if nothing had been: its newest ISAKMP SAs with
// keys and IV, and its ESP SA pairs without their counters, which the data plane keeps itself.
//
//	magic(4) version(1) fingerprint(16) id(2+n) flags(1)
//	count(1) { ISAKMP SA }…   newest first, at most 2
//	count(1) { ESP SA pair }… that in use first, then newest first, as many as fit MaxBlob
//
// Times are Unix nanoseconds, zero for none; in the engine they are on the process's own clock, which does not step. A blob of another version or another configuration is refused.
const (
	blobMagic     = 0x4d52494b // "MRIK"
	blobVersion   = 2
	blobSAs       = 2
	maxPeerIDSize = 255
)

// Flags of an ISAKMP SA and of a pair in a blob.
const (
	flagInitiator = 1 << iota
	flagDPD
	flagNATLocal
	flagNATRemote
	flagNATForced
)

const (
	flagBegan = 1 << iota
	flagConfirmed
	flagOut
	flagUDP
	flagDoubtful
)

// A savedPeer is a blob's content.
type savedPeer struct {
	fingerprint fingerprint
	id          PeerID
	sas         []savedSA
	pairs       []savedPair
}

type savedSA struct {
	flags            uint8
	natt             nattVersion
	cookieI, cookieR isakmp.Cookie
	suite            Phase1Transform
	d, a, key        []byte
	lastBlock        []byte
	local, remote    netip.AddrPort
	since            time.Time
	rekeyAt, hard    time.Time
	quickIDs         []uint32
}

type savedPair struct {
	flags              uint8
	mode               EncapsulationMode
	transform          Phase2Transform
	spiIn, spiOut      uint32
	encIn, authIn      []byte
	encOut, authOut    []byte
	local, remote      netip.AddrPort
	created            time.Time
	rekeyAt, soft, end time.Time
	kilobytes          uint32
	softBytes          uint64
}

// save asks the shell to keep the peer's blob.
func (p *peer) save(s *step) {
	p.unsaved = false
	blob := p.saved().append(nil, s.now)
	if len(p.pairs) == 0 && p.current() == nil {
		blob = nil
	}
	if bytes.Equal(blob, p.lastBlob) {
		return
	}
	p.lastBlob = blob
	s.emit(Persist{Peer: p.cfg.ID, Blob: blob})
}

// saved collects what the blob holds.
func (p *peer) saved() savedPeer {
	saved := savedPeer{fingerprint: p.cfg.fingerprint(), id: p.cfg.ID}
	for _, sa := range slices.Backward(p.sas) {
		if sa.established && !sa.dying && len(saved.sas) < blobSAs {
			saved.sas = append(saved.sas, sa.saved())
		}
	}
	pairs := slices.Clone(p.pairs)
	slices.Reverse(pairs)
	slices.SortStableFunc(pairs, func(a, b *childPair) int {
		switch {
		case a == p.out:
			return -1
		case b == p.out:
			return 1
		}
		return 0
	})
	for _, c := range pairs {
		saved.pairs = append(saved.pairs, c.saved())
	}
	return saved
}

func (sa *isakmpSA) saved() savedSA {
	x := savedSA{
		natt: sa.nat.version, cookieI: sa.cookieI, cookieR: sa.cookieR, suite: sa.suite,
		d: sa.keys.SKEYIDd, a: sa.keys.SKEYIDa, key: sa.keys.EncryptionKey, lastBlock: sa.lastBlock,
		local: sa.local, remote: sa.remote, since: sa.since, rekeyAt: sa.rekeyAt, hard: sa.hard,
		quickIDs: sa.used.quick,
	}
	x.flags = bit(sa.initiator, flagInitiator) | bit(sa.peerDPD, flagDPD) | bit(sa.nat.local, flagNATLocal) |
		bit(sa.nat.remote, flagNATRemote) | bit(sa.nat.forced, flagNATForced)
	return x
}

func (c *childPair) saved() savedPair {
	return savedPair{
		flags: bit(c.began, flagBegan) | bit(c.confirmed, flagConfirmed) | bit(c == c.peer.out, flagOut) |
			bit(c.in.UDP, flagUDP) | bit(c.doubtful, flagDoubtful),
		mode: c.in.Mode, transform: c.in.Transform, spiIn: c.in.SPI, spiOut: c.outSA.SPI,
		encIn: c.in.EncKey, authIn: c.in.AuthKey, encOut: c.outSA.EncKey, authOut: c.outSA.AuthKey,
		local: c.in.Dst, remote: c.in.Src, created: c.in.Created, rekeyAt: c.rekeyAt, soft: c.in.Soft, end: c.in.Hard,
		kilobytes: c.kilobytes, softBytes: c.softBytes,
	}
}

func bit(set bool, b uint8) uint8 {
	if set {
		return b
	}
	return 0
}

// append encodes the blob, leaving out the last pairs if it would become too long.
func (x savedPeer) append(b []byte, now time.Time) []byte {
	b = binary.BigEndian.AppendUint32(b, blobMagic)
	b = append(b, blobVersion)
	b = append(b, x.fingerprint[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(x.id))) //nolint:gosec // checked when it is configured
	b = append(b, x.id...)
	b = append(b, uint8(len(x.sas))) //nolint:gosec // at most blobSAs
	for _, sa := range x.sas {
		b = sa.append(b, now)
	}
	count := len(b)
	b = append(b, 0)
	for _, c := range x.pairs {
		longer := c.append(b, now)
		if len(longer) > MaxBlob {
			break
		}
		b = longer
		b[count]++
	}
	return b
}

func (x savedSA) append(b []byte, now time.Time) []byte {
	b = append(b, x.flags, uint8(x.natt))
	b = append(append(b, x.cookieI[:]...), x.cookieR[:]...)
	for _, v := range []uint16{uint16(x.suite.Encryption), x.suite.KeyLength, uint16(x.suite.Hash), uint16(x.suite.Group)} {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	b = appendShort(b, x.d, x.a, x.key, x.lastBlock)
	b = appendAddrs(b, x.local, x.remote)
	b = appendTimes(b, now, x.since, x.rekeyAt, x.hard)
	b = append(b, uint8(len(x.quickIDs))) //nolint:gosec // at most savedQuickIDs
	for _, id := range x.quickIDs {
		b = binary.BigEndian.AppendUint32(b, id)
	}
	return b
}

func (x savedPair) append(b []byte, now time.Time) []byte {
	b = append(b, x.flags)
	b = binary.BigEndian.AppendUint16(b, uint16(x.mode))
	b = append(b, uint8(x.transform.ID))
	b = binary.BigEndian.AppendUint16(b, x.transform.KeyLength)
	b = binary.BigEndian.AppendUint16(b, uint16(x.transform.Auth))
	b = binary.BigEndian.AppendUint32(b, x.spiIn)
	b = binary.BigEndian.AppendUint32(b, x.spiOut)
	b = appendShort(b, x.encIn, x.authIn, x.encOut, x.authOut)
	b = appendAddrs(b, x.local, x.remote)
	b = appendTimes(b, now, x.created, x.rekeyAt, x.soft, x.end)
	b = binary.BigEndian.AppendUint32(b, x.kilobytes)
	return binary.BigEndian.AppendUint64(b, x.softBytes)
}

// appendShort appends byte strings shorter than 256 bytes.
func appendShort(b []byte, fields ...[]byte) []byte {
	for _, f := range fields {
		b = append(append(b, uint8(len(f))), f...) //nolint:gosec // keys have at most 64 bytes
	}
	return b
}

func appendAddrs(b []byte, as ...netip.AddrPort) []byte {
	for _, a := range as {
		four := a.Addr().As4()
		b = binary.BigEndian.AppendUint16(append(b, four[:]...), a.Port())
	}
	return b
}

// appendTimes appends times as the wall clock has them at now, which may have stepped since they were set.
func appendTimes(b []byte, now time.Time, ts ...time.Time) []byte {
	for _, t := range ts {
		var ns uint64
		if !t.IsZero() {
			ns = uint64(now.UnixNano() + int64(t.Sub(now))) //nolint:gosec // not before 1970
		}
		b = binary.BigEndian.AppendUint64(b, ns)
	}
	return b
}

// parseBlob decodes a blob. Everything that would make an SA unusable is an error.
func parseBlob(b []byte) (savedPeer, error) {
	r := wire.NewReader("saved peer", b)
	var x savedPeer
	if v := r.Uint32("magic"); v != blobMagic {
		r.Fail("magic", "is %08x", v)
	}
	if v := r.Uint8("version"); v != blobVersion {
		r.Fail("version", "is %d, want %d", v, blobVersion)
	}
	copy(x.fingerprint[:], r.Bytes("fingerprint", len(x.fingerprint)))
	n := int(r.Uint16("id length"))
	if n > maxPeerIDSize {
		r.Fail("id length", "is %d", n)
	}
	x.id = PeerID(r.Bytes("id", n))
	count := int(r.Uint8("ISAKMP SAs"))
	if count > blobSAs {
		r.Fail("ISAKMP SAs", "are %d, want at most %d", count, blobSAs)
	}
	for i := 0; i < count && r.Err() == nil; i++ {
		x.sas = append(x.sas, parseSavedSA(r))
	}
	count = int(r.Uint8("pairs"))
	if count > maxPairs {
		r.Fail("pairs", "are %d, want at most %d", count, maxPairs)
	}
	for i := 0; i < count && r.Err() == nil; i++ {
		x.pairs = append(x.pairs, parseSavedPair(r))
	}
	if r.More() {
		r.Fail("end", "%d bytes more", r.Len())
	}
	return x, r.Err()
}

func parseSavedSA(r *wire.Reader) savedSA {
	x := savedSA{flags: r.Uint8("flags"), natt: nattVersion(r.Uint8("NAT-T version"))}
	copy(x.cookieI[:], r.Bytes("initiator cookie", 8))
	copy(x.cookieR[:], r.Bytes("responder cookie", 8))
	x.suite = Phase1Transform{
		Encryption: Encryption(r.Uint16("encryption")), KeyLength: r.Uint16("key length"),
		Hash: Hash(r.Uint16("hash")), Group: Group(r.Uint16("group")),
	}
	x.d, x.a, x.key, x.lastBlock = readShort(r, "SKEYID_d"), readShort(r, "SKEYID_a"), readShort(r, "encryption key"), readShort(r, "IV")
	x.local, x.remote = readAddr(r, "local"), readAddr(r, "remote")
	x.since, x.rekeyAt, x.hard = readTime(r, "since"), readTime(r, "rekey"), readTime(r, "hard")
	count := int(r.Uint8("message ids"))
	if count > savedQuickIDs {
		r.Fail("message ids", "are %d, want at most %d", count, savedQuickIDs)
	}
	for i := 0; i < count && r.Err() == nil; i++ {
		x.quickIDs = append(x.quickIDs, r.Uint32("message id"))
	}
	if r.Err() == nil {
		k := x.keys()
		if _, err := k.Phase2Chain(x.lastBlock, 1); err != nil {
			r.Fail("ISAKMP SA", "%v", err)
		} else if x.cookieI.IsZero() || x.cookieR.IsZero() || len(x.d) == 0 || len(x.a) == 0 {
			r.Fail("ISAKMP SA", "has no cookies or no keys")
		}
	}
	return x
}

func (x savedSA) keys() *keys.Keys {
	return &keys.Keys{Suite: x.suite.keysSuite(), SKEYIDd: secret.Key(x.d), SKEYIDa: secret.Key(x.a), EncryptionKey: secret.Key(x.key)}
}

func parseSavedPair(r *wire.Reader) savedPair {
	x := savedPair{flags: r.Uint8("flags"), mode: EncapsulationMode(r.Uint16("mode"))}
	x.transform = Phase2Transform{
		ID: ESPTransform(r.Uint8("transform")), KeyLength: r.Uint16("key length"), Auth: AuthAlgorithm(r.Uint16("auth")),
	}
	x.spiIn, x.spiOut = r.Uint32("inbound SPI"), r.Uint32("outbound SPI")
	x.encIn, x.authIn = readShort(r, "inbound key"), readShort(r, "inbound auth key")
	x.encOut, x.authOut = readShort(r, "outbound key"), readShort(r, "outbound auth key")
	x.local, x.remote = readAddr(r, "local"), readAddr(r, "remote")
	x.created, x.rekeyAt, x.soft, x.end = readTime(r, "created"), readTime(r, "rekey"), readTime(r, "soft"), readTime(r, "hard")
	x.kilobytes, x.softBytes = r.Uint32("kilobytes"), r.Uint64("soft bytes")
	if r.Err() != nil {
		return x
	}
	n, m, err := keys.ESPKeySizes(x.transform.ID, x.transform.bits(), x.transform.Auth)
	switch {
	case err != nil:
		r.Fail("transform", "%v", err)
	case len(x.encIn) != n || len(x.encOut) != n || len(x.authIn) != m || len(x.authOut) != m:
		r.Fail("keys", "are not as long as %s wants", x.transform)
	case x.mode != isakmp.Tunnel && x.mode != isakmp.Transport || x.spiIn == 0 || x.spiOut == 0:
		r.Fail("pair", "mode %d, SPIs %x and %x", x.mode, x.spiIn, x.spiOut)
	}
	return x
}

func readShort(r *wire.Reader, field string) []byte {
	return bytes.Clone(r.Bytes(field, int(r.Uint8(field))))
}

func readAddr(r *wire.Reader, field string) netip.AddrPort {
	return netip.AddrPortFrom(r.Addr(field), r.Uint16(field))
}

func readTime(r *wire.Reader, field string) time.Time {
	ns := r.Uint64(field)
	if ns == 0 {
		return time.Time{}
	}
	if ns > math.MaxInt64 {
		r.Fail(field, "a time before 1970")
		return time.Time{}
	}
	return time.Unix(0, int64(ns))
}

// restore takes a blob: now if its peer is configured, otherwise when it is.
func (e *Engine) restore(s *step, blob []byte) {
	x, err := parseBlob(blob)
	if err != nil {
		s.event(nil, noAddr, EventBadBlob, Warning, "%v", err)
		return
	}
	if p := e.peer(x.id); p != nil {
		p.restore(s, blob)
		s.touch(p)
		return
	}
	e.restored[x.id] = bytes.Clone(blob)
}

// restore takes up what an earlier process left of the peer.
func (p *peer) restore(s *step, blob []byte) {
	x, err := parseBlob(blob)
	switch {
	case err != nil:
		s.event(p, noAddr, EventBadBlob, Warning, "%v", err)
		return
	case x.fingerprint != p.cfg.fingerprint():
		s.event(p, noAddr, EventBadBlob, Info, "the configuration of %s has changed since its SAs were saved", p.cfg.ID)
		s.emit(Persist{Peer: p.cfg.ID})
		return
	case p.current() != nil || len(p.pairs) > 0:
		s.event(p, noAddr, EventBadBlob, Info, "%s has SAs already", p.cfg.ID)
		return
	}
	for _, sa := range slices.Backward(x.sas) {
		p.restoreSA(sa, s.now)
	}
	var out *childPair
	for _, saved := range slices.Backward(x.pairs) {
		if c := p.restorePair(s, saved); c != nil && saved.flags&flagOut != 0 {
			out = c
		}
	}
	slices.SortStableFunc(p.pairs, func(a, b *childPair) int { return a.in.Created.Compare(b.in.Created) })
	for _, c := range p.pairs {
		s.emit(AddInbound{SA: c.in})
	}
	if out != nil {
		out.outSA.Restored = true
		p.out = out
		s.emit(UseOutbound{SA: out.outSA})
	}
	for _, c := range slices.Clone(p.pairs) { // killed between message 3 and its use
		if c.began && !c.confirmed && c == p.pairs[len(p.pairs)-1] {
			p.confirm(s, c)
		}
	}
	p.contacted, p.unsaved, p.lastBlob = len(p.sas)+len(p.pairs) > 0, true, blob
	s.event(p, noAddr, EventRestored, Info, "%d ISAKMP SAs and %d ESP SA pairs go on", len(p.sas), len(p.pairs))
}

// onClock puts a time of the wall clock on the clock of now, which has a reading that does not step.
func onClock(now, t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return now.Add(t.Sub(now))
}

func (p *peer) restoreSA(x savedSA, now time.Time) {
	sa := &isakmpSA{
		peer: p, initiator: x.flags&flagInitiator != 0, cookieI: x.cookieI, cookieR: x.cookieR,
		local: x.local, remote: x.remote, established: true, suite: x.suite, keys: x.keys(), lastBlock: x.lastBlock,
		since: onClock(now, x.since), rekeyAt: onClock(now, x.rekeyAt), hard: onClock(now, x.hard), peerDPD: x.flags&flagDPD != 0,
		asked: dpdFirstLimit + uint32(max(now.Sub(x.since)/time.Second, 0)), //nolint:gosec // there is not more than one question a second
		nat: natState{
			version: x.natt, local: x.flags&flagNATLocal != 0, remote: x.flags&flagNATRemote != 0, forced: x.flags&flagNATForced != 0,
		},
	}
	if !sa.hard.After(now) || p.e.cookies[sa.ours()] != nil {
		return
	}
	for _, id := range x.quickIDs {
		sa.used.add(id)
		sa.used.addQuick(id)
	}
	p.sas = append(p.sas, sa)
	p.e.cookies[sa.ours()] = sa
	p.heard = now
	if sa.nat.local || sa.nat.forced {
		p.keepalive = now.Add(time.Second)
	}
}

func (p *peer) restorePair(s *step, x savedPair) *childPair {
	if !x.end.After(s.now) || p.e.inbound[x.spiIn] != nil {
		return nil
	}
	c := &childPair{
		peer: p, began: x.flags&flagBegan != 0, confirmed: x.flags&flagConfirmed != 0, doubtful: x.flags&flagDoubtful != 0,
		rekeyAt: onClock(s.now, x.rekeyAt), kilobytes: x.kilobytes, softBytes: x.softBytes,
	}
	c.in = ChildSA{
		Peer: p.cfg.ID, SPI: x.spiIn, Inbound: true, Transform: x.transform, EncKey: x.encIn, AuthKey: x.authIn,
		Mode: x.mode, UDP: x.flags&flagUDP != 0, Src: x.remote, Dst: x.local, LocalTS: p.cfg.LocalTS, RemoteTS: p.cfg.RemoteTS,
		Created: onClock(s.now, x.created), Soft: onClock(s.now, x.soft), Hard: onClock(s.now, x.end), Restored: true,
	}
	c.outSA = c.in
	c.outSA.SPI, c.outSA.Inbound, c.outSA.Restored, c.outSA.Src, c.outSA.Dst = x.spiOut, false, false, x.local, x.remote
	c.outSA.EncKey, c.outSA.AuthKey = x.encOut, x.authOut
	p.pairs = append(p.pairs, c)
	p.e.inbound[x.spiIn] = c
	return c
}

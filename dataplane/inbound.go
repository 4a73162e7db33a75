package dataplane

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"time"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/fib"
	"meshrouter/dataplane/gre"
	"meshrouter/dataplane/segment"
	"meshrouter/dataplane/underlay"
	"meshrouter/internal/ipv4"
)

const (
	// Fragments of a tunnel's packets: so many bytes, for so long.
	reassemblyBytes   = 64 << 10
	reassemblyTimeout = 15 * time.Second
	// GRE keepalives that a peer gets back: so many a second, after so many at once.
	keepaliveRate, keepaliveBurst = 10, 10
	// movedInterval is the least time between two reports of a tunnel's peer having moved.
	movedInterval = time.Second
)

type movedPeer struct {
	tunnel fib.TunnelID
	to     netip.AddrPort
}

// received is what the worker knows of a packet that esp opens.
type received struct {
	in     *inbound
	remote netip.AddrPort
}

// A replay is a packet that was refused before it was opened.
type replay struct {
	in  *inbound
	seq uint32
}

// fromPeers takes what a socket received, a batch at a time. What is not ESP goes first.
func (w *worker) fromPeers(ps []underlay.Packet) {
	for i := range ps {
		switch p := &ps[i]; p.Kind {
		case underlay.ESP:
		case underlay.IKE:
			if w.e.handlers.IKE != nil {
				w.e.handlers.IKE(Datagram{Local: p.Local, Remote: p.Remote, Payload: p.Payload})
			}
		case underlay.Keepalive:
			w.drop(dropNATKeepalive)
		case underlay.Malformed:
			w.drop(dropOuter)
		}
	}
	w.waited = len(ps)
	for len(ps) > 0 {
		w.begin()
		n := w.admitBatch(ps)
		w.open()
		w.finish()
		w.yield()
		ps = ps[n:]
	}
}

// admitBatch makes jobs of packets from the front of ps, as many as may be opened at once, and returns
// how many it has looked at.
func (w *worker) admitBatch(ps []underlay.Packet) int {
	w.jobs, w.from, w.replayed = w.jobs[:0], w.from[:0], w.replayed[:0]
	left, now := w.pace.batch(), w.now.UnixNano()
	for i := range ps {
		p := &ps[i]
		if p.Kind != underlay.ESP {
			continue
		}
		if len(w.jobs) == maxBatch || left < 0 {
			return i
		}
		if w.admit(p, now) {
			left -= len(p.Payload)
		}
	}
	return len(ps)
}

// admit looks at what an ESP packet shows without its key, and reports whether it is to be opened.
func (w *worker) admit(p *underlay.Packet, now int64) bool {
	spi, seq, ok := esp.Header(p.Payload)
	if !ok {
		w.drop(dropOuter)
		return false
	}
	in := w.lastIn
	if in == nil || in.sa.SPI() != spi {
		if in = w.v.inbound.lookup(spi); in == nil {
			w.drop(dropUnknownSPI)
			return false
		}
		w.lastIn = in
	}
	switch {
	case in.udp != (p.Local.Port() != 0):
		w.drop(dropEncapsulation)
	case p.Local.Addr() != in.local, !in.udp && p.Remote.Addr() != in.from.Addr():
		w.drop(dropOuterAddress)
	case !in.sa.Fresh(seq):
		w.drop(dropReplay)
		w.replayed = append(w.replayed, replay{in, seq})
	case p.Arrived != 0 && w.prompt && w.codel.drop(now, time.Duration(now-p.Arrived), w.waited):
		w.drop(dropQueueDelay)
	default:
		w.jobs = append(w.jobs, esp.Job{SA: in.sa, Pkt: p.Payload})
		w.from = append(w.from, received{in, p.Remote})
		return true
	}
	return false
}

// open opens the jobs and sends what is in them on its way. Opening needs no lock, since it changes
// nothing in an SA; other receivers may have packets of the same SA in their hands.
func (w *worker) open() {
	if len(w.jobs) == 0 && len(w.replayed) == 0 {
		return
	}
	bytes := 0
	for i := range w.jobs {
		bytes += len(w.jobs[i].Pkt)
	}
	if bytes >= paceSample {
		before := w.e.now()
		w.crypto.Open(w.jobs)
		w.pace.add(bytes, w.e.now().Sub(before))
	} else {
		w.crypto.Open(w.jobs)
	}
	w.accept()
	for first, next := 0, 0; first < len(w.jobs); first = next {
		for next = first + 1; next < len(w.jobs) && w.from[next].in == w.from[first].in; {
			next++
		}
		w.opened(w.from[first].in, w.jobs[first:next])
	}
}

// accept enters what was opened into the windows of its SAs. The lock is one for all SAs, but held for
// some nanoseconds a packet only. The view is loaded under it, see Engine.quiesce.
func (w *worker) accept() {
	e := w.e
	e.accepting.Lock()
	defer e.accepting.Unlock()
	if v := e.view.Load(); v != w.v {
		w.forget(v)
	}
	for _, r := range w.replayed {
		_ = r.in.sa.ReplayCheck(r.seq) // counts it
	}
	elsewhere := false
	for i := range w.jobs {
		j, r := &w.jobs[i], &w.from[i]
		if j.Accept() == nil && (i == 0 || j.SA != w.jobs[i-1].SA) {
			j.SA.Touch(w.now)
		}
		elsewhere = elsewhere || (r.in.udp && r.remote != r.in.from)
	}
	if elsewhere {
		w.noticeMoves()
	}
}

// forget leaves out what belongs to SAs that are not in the view v.
func (w *worker) forget(v *view) {
	gone := func(in *inbound) bool {
		now := v.inbound.lookup(in.sa.SPI())
		return now == nil || now.sa != in.sa
	}
	w.replayed = slices.DeleteFunc(w.replayed, func(r replay) bool { return gone(r.in) })
	n := 0
	for i := range w.jobs {
		if gone(w.from[i].in) {
			w.drop(dropUnknownSPI)
			continue
		}
		w.jobs[n], w.from[n] = w.jobs[i], w.from[i]
		n++
	}
	w.jobs, w.from = w.jobs[:n], w.from[:n]
}

// noticeMoves reports peers behind a NAT that have got another address or port (RFC 3948, 5). Only the
// packet with the highest sequence number tells where the peer is now; older ones come late.
func (w *worker) noticeMoves() {
	for i := range w.jobs {
		j, r := &w.jobs[i], &w.from[i]
		if j.Err != nil || !r.in.udp || r.remote == r.in.from || j.Seq != j.SA.Counters().HighSeq.Load() {
			continue
		}
		t := w.v.tunnel(r.in.tunnel)
		if t == nil {
			continue
		}
		s := t.state
		s.mu.Lock()
		if s.lastMoved.IsZero() || w.now.Sub(s.lastMoved) >= movedInterval {
			s.lastMoved = w.now
			w.moved = append(w.moved, movedPeer{t.ID, r.remote})
		}
		s.mu.Unlock()
	}
}

// opened takes packets of one SA out of it.
func (w *worker) opened(in *inbound, jobs []esp.Job) {
	t := w.v.tunnel(in.tunnel)
	packets, bytes := 0, 0
	for i := range jobs {
		j := &jobs[i]
		if j.Err != nil {
			w.drop(notOpened(j.Err))
			continue
		}
		if t == nil {
			w.drop(dropNoTunnel)
			continue
		}
		packets++
		bytes += len(j.Pkt)
		if in.sa.Mode() == esp.Tunnel {
			w.tunnelMode(t, in.sa, j)
		} else {
			w.transportMode(t, in, j)
		}
	}
	if packets > 0 {
		t.state.packetsIn.Add(uint64(packets))
		t.state.bytesIn.Add(uint64(bytes))
	}
}

// notOpened is why a packet was not opened or accepted.
func notOpened(err error) reason {
	switch {
	case errors.Is(err, esp.ErrReplay):
		return dropReplay
	case errors.Is(err, esp.ErrAuth):
		return dropAuth
	case errors.Is(err, esp.ErrDummy):
		return dropDummy
	}
	return dropESPFormat
}

// tunnelMode takes the delivery header off: it must be that of the tunnel's endpoints.
func (w *worker) tunnelMode(t *tunnel, sa *esp.SA, j *esp.Job) {
	if j.NextHeader != esp.NextHeaderIPv4 {
		w.drop(dropNextHeader)
		return
	}
	h, payload, err := ipv4.Parse(j.Pkt)
	if err != nil || !h.ChecksumOK() {
		w.drop(dropInner)
		return
	}
	if !t.isSelector(h, sa) {
		w.drop(dropSelector)
		return
	}
	pkt := j.Pkt[:h.TotalLen()]
	if h.IsFragment() {
		whole, ok := w.reassemble(t, pkt)
		if !ok {
			return
		}
		pkt = whole
		if h, payload, err = ipv4.Parse(pkt); err != nil {
			w.drop(dropInner)
			return
		}
	}
	switch h.Protocol() {
	case ipv4.ProtocolGRE:
		w.fromGRE(t, payload, h.TOS(), func() []byte { return pkt })
	case ipv4.ProtocolICMP:
		w.echo(t, pkt)
	default:
		w.drop(dropInnerProtocol)
	}
}

// isSelector reports whether a delivery header is between the tunnel's endpoints. ScreenOS's VPN
// monitor pings between the outer addresses, which need not be the same.
func (t *tunnel) isSelector(h ipv4.Header, sa *esp.SA) bool {
	if binary.BigEndian.Uint64(h[12:]) == t.endpoints {
		return true
	}
	src, dst := h.Src(), h.Dst()
	return h.Protocol() == ipv4.ProtocolICMP && (src == t.Remote || src == sa.Src().Addr()) && (dst == t.Local || dst == sa.Dst().Addr())
}

// transportMode has no delivery header but the outer one, whose addresses belong to the SA.
func (w *worker) transportMode(t *tunnel, in *inbound, j *esp.Job) {
	// A NAT may have changed the outer addresses (RFC 3948, 3.1.2).
	if !in.udp && (in.from.Addr() != t.Remote || in.local != t.Local) {
		w.drop(dropSelector)
		return
	}
	if len(j.Pkt) > ipv4.MaxPacket-ipv4.HeaderLen {
		w.drop(dropInner)
		return
	}
	// delivery is the packet as it would be in tunnel mode.
	delivery := func() []byte {
		header := ipv4.AppendHeader(nil, ipv4.Fields{TTL: t.TTL, Protocol: j.NextHeader, Src: t.Remote, Dst: t.Local}, len(j.Pkt))
		return append(header, j.Pkt...)
	}
	switch j.NextHeader {
	case ipv4.ProtocolGRE:
		w.fromGRE(t, j.Pkt, 0, delivery) // the outer TOS is not known here
	case ipv4.ProtocolICMP:
		w.echo(t, delivery())
	default:
		w.drop(dropNextHeader)
	}
}

// fromGRE takes the GRE header off b. delivery makes the whole packet that it came in.
func (w *worker) fromGRE(t *tunnel, b []byte, tos uint8, delivery func() []byte) {
	g, payload, err := gre.Parse(b)
	switch {
	case err != nil:
		w.drop(dropGRE)
	case !g.Matches(t.GREKey):
		w.drop(dropGREKey)
	case g.Protocol == gre.ProtocolKeepalive:
		w.control = append(w.control, controlPacket{t.ID, delivery()}) // ours, come back
	case g.Protocol != gre.ProtocolIPv4:
		w.drop(dropGREProtocol)
	default:
		w.payload(t, payload, tos)
	}
}

// payload routes the packet that came through the tunnel.
func (w *worker) payload(t *tunnel, pkt []byte, deliveryTOS uint8) {
	h, payload, err := ipv4.Parse(pkt)
	if err != nil || !h.ChecksumOK() {
		w.drop(dropPayload)
		return
	}
	pkt = pkt[:h.TotalLen()]
	tos, ok := gre.PayloadTOS(deliveryTOS, h.TOS())
	if !ok {
		w.drop(dropECN)
		return
	}
	if tos != h.TOS() {
		h.SetTOS(tos)
	}
	switch h.Protocol() {
	case ipv4.ProtocolGRE:
		if h.Src() == t.Local && h.Dst() == t.Remote {
			w.returnKeepalive(t, pkt)
			return
		}
	case ipv4.ProtocolOSPF:
		if dst := h.Dst(); dst == t.Address || isOSPFGroup(dst) {
			w.ospf(t, pkt, h)
			return
		}
	case ipv4.ProtocolICMP:
		if h.Dst() == t.Address && h.FragOffset() == 0 && isProbeAnswer(payload) {
			w.control = append(w.control, controlPacket{t.ID, pkt}) // and to the host, for it may be one of its own pings
		}
	}
	switch d := w.destination(h); {
	case d.ours:
		clampMSS(pkt, t)
		w.host(pkt)
	case h[16]>>4 == 14: // 224.0.0.0/4
		w.drop(dropMulticast)
	default:
		w.route(t, pkt, h, d)
	}
}

// isProbeAnswer reports whether an ICMP message is an echo reply with ProbeID.
func isProbeAnswer(icmp []byte) bool {
	return len(icmp) >= 8 && icmp[0] == 0 && binary.BigEndian.Uint16(icmp[4:]) == ProbeID
}

// isOSPFGroup reports whether dst is AllSPFRouters or AllDRouters (RFC 2328, A.1).
func isOSPFGroup(dst netip.Addr) bool {
	a := dst.As4()
	return a == [4]byte{224, 0, 0, 5} || a == [4]byte{224, 0, 0, 6}
}

// route sends the packet on, by the FIB.
func (w *worker) route(t *tunnel, pkt []byte, h ipv4.Header, d *destination) {
	if len(d.hops) == 0 {
		w.drop(dropNoRoute)
		return
	}
	switch hop := d.choose(pkt); {
	case hop.Local:
		clampMSS(pkt, t)
		w.host(pkt) // which counts the hop
	case !h.DecrementTTL():
		w.drop(dropTTL)
		w.icmpError(t, func(room []byte) []byte { return ipv4.ICMPTimeExceeded(room, pkt, t.Address) })
	default:
		clampMSS(pkt, t)
		w.one = segment.Packet{Buf: pkt, End: len(pkt)}
		w.toTunnel(t, w.v.tunnel(hop.Tunnel), &w.one, h)
	}
}

func (w *worker) ospf(t *tunnel, pkt []byte, h ipv4.Header) {
	if h.IsFragment() {
		whole, ok := w.reassemble(t, pkt)
		if !ok {
			return
		}
		pkt = whole
	}
	w.control = append(w.control, controlPacket{t.ID, pkt})
}

// echo answers an echo request to our endpoint, through the SA: ScreenOS takes the SA down otherwise.
func (w *worker) echo(t *tunnel, pkt []byte) {
	if !ipv4.EchoReply(pkt) {
		w.drop(dropInnerProtocol)
		return
	}
	w.send(outgoing{packet: slices.Clone(pkt), tunnel: t.ID, delivery: true})
}

// returnKeepalive sends a peer's GRE keepalive back.
func (w *worker) returnKeepalive(t *tunnel, pkt []byte) {
	t.state.mu.Lock()
	allowed := t.state.keepalive.allow(w.now, keepaliveRate, keepaliveBurst)
	t.state.mu.Unlock()
	switch {
	case !allowed:
		w.drop(dropKeepaliveRate)
	case !gre.ReturnKeepalive(pkt, t.Local, t.Remote):
		w.drop(dropGRE)
	default:
		w.send(outgoing{packet: slices.Clone(pkt), tunnel: t.ID, delivery: true})
	}
}

// reassemble adds a fragment to what the tunnel has, and returns the packet that it completes, in
// memory of its own.
func (w *worker) reassemble(t *tunnel, pkt []byte) (whole []byte, ok bool) {
	t.state.mu.Lock()
	defer t.state.mu.Unlock()
	r := t.state.fragments
	if r == nil {
		r = ipv4.NewReassembler(reassemblyBytes, reassemblyTimeout)
		t.state.fragments = r
	}
	before := r.Stats
	whole, ok = r.Add(w.now, pkt)
	w.e.drops[dropFragOverlap].Add(r.Stats.Overlap - before.Overlap)
	w.e.drops[dropFragMalformed].Add(r.Stats.Malformed - before.Malformed)
	w.e.drops[dropFragTimeout].Add(r.Stats.TimedOut - before.TimedOut)
	w.e.drops[dropFragRoom].Add(r.Stats.NoRoom - before.NoRoom)
	return whole, ok
}

package dataplane

import (
	"errors"
	"net/netip"
	"sync"
	"time"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/fib"
	"meshrouter/dataplane/gre"
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

// fromPeers takes what a socket received. The lock is held as long as inbound SAs of the view are
// in use; the view is loaded under it, see Engine.quiesce.
func (w *worker) fromPeers(inUse *sync.Mutex, ps []underlay.Packet) {
	inUse.Lock()
	w.v = w.e.view.Load()
	w.jobs, w.from = w.jobs[:0], w.from[:0]
	for i := range ps {
		if p := &ps[i]; p.Kind == underlay.ESP {
			w.admit(p)
		}
	}
	w.batch.Open(w.jobs)
	var touched *esp.SA
	for i := range w.jobs {
		j := &w.jobs[i]
		if !w.accept(j) {
			continue
		}
		if j.SA != touched {
			j.SA.Touch(w.now)
			touched = j.SA
		}
		w.opened(w.from[i], j)
	}
	inUse.Unlock()

	for i := range ps {
		switch p := &ps[i]; p.Kind {
		case underlay.IKE:
			if w.e.handlers.IKE != nil {
				w.e.handlers.IKE(Datagram{Local: p.Local, Remote: p.Remote, Payload: p.Payload})
			}
		case underlay.Keepalive:
			w.drop(dropNATKeepalive)
		case underlay.Malformed:
			w.drop(dropOuter)
		case underlay.ESP:
		}
	}
}

// admit finds the SA of an ESP packet and makes a job of it, unless addresses or window forbid.
func (w *worker) admit(p *underlay.Packet) {
	spi, seq, ok := esp.Header(p.Payload)
	if !ok {
		w.drop(dropOuter)
		return
	}
	in := w.v.inbound.lookup(spi)
	if in == nil {
		w.drop(dropUnknownSPI)
		return
	}
	sa := in.sa
	udp := sa.Dst().Port() != 0
	switch {
	case udp != (p.Local.Port() != 0):
		// Also keeps an SA on one socket, so that one goroutine alone uses it.
		w.drop(dropEncapsulation)
	case p.Local.Addr() != sa.Dst().Addr(), !udp && p.Remote.Addr() != sa.Src().Addr():
		w.drop(dropOuterAddress)
	case sa.ReplayCheck(seq) != nil:
		w.drop(dropReplay)
	default:
		w.jobs = append(w.jobs, esp.Job{SA: sa, Pkt: p.Payload})
		w.from = append(w.from, received{in, p})
	}
}

// accept enters an authentic packet into the window and reports whether it may be delivered.
func (w *worker) accept(j *esp.Job) bool {
	_ = j.Accept()
	switch {
	case j.Err == nil:
		return true
	case errors.Is(j.Err, esp.ErrReplay):
		w.drop(dropReplay)
	case errors.Is(j.Err, esp.ErrAuth):
		w.drop(dropAuth)
	case errors.Is(j.Err, esp.ErrDummy):
		w.drop(dropDummy)
	default:
		w.drop(dropESPFormat)
	}
	return false
}

// opened takes an authentic packet out of its SA.
func (w *worker) opened(r received, j *esp.Job) {
	t := w.v.tunnel(r.in.tunnel)
	if t == nil {
		w.drop(dropNoTunnel)
		return
	}
	w.noticeMove(t, r, j)
	t.state.packetsIn.Add(1)
	t.state.bytesIn.Add(uint64(len(j.Pkt)))
	f := r.frame(j)
	switch j.SA.Mode() {
	case esp.Transport:
		w.transportMode(t, j, f)
	case esp.Tunnel:
		w.tunnelMode(t, j, f)
	}
}

// frame is where Open has left the payload: in place, behind header and IV.
func (r received) frame(j *esp.Job) frame {
	head, _ := j.SA.Overhead(0)
	start := cap(r.packet.Buf) - cap(r.packet.Payload) + head
	return frame{r.packet.Buf, start, start + len(j.Pkt)}
}

// noticeMove reports a peer behind a NAT that has got another address or port (RFC 3948, 5). Only the
// packet with the highest sequence number tells where the peer is now; older ones come late.
func (w *worker) noticeMove(t *tunnel, r received, j *esp.Job) {
	if r.packet.Remote == r.in.from || r.packet.Remote.Port() == 0 || j.Seq != j.SA.Counters().HighSeq.Load() {
		return
	}
	t.state.mu.Lock()
	defer t.state.mu.Unlock()
	if s := t.state; s.lastMoved.IsZero() || w.now.Sub(s.lastMoved) >= movedInterval {
		s.lastMoved = w.now
		w.moved = append(w.moved, movedPeer{t.ID, r.packet.Remote})
	}
}

// tunnelMode takes the delivery header off: it must be that of the tunnel's endpoints.
func (w *worker) tunnelMode(t *tunnel, j *esp.Job, f frame) {
	if j.NextHeader != esp.NextHeaderIPv4 {
		w.drop(dropNextHeader)
		return
	}
	h, payload, err := ipv4.Parse(f.pkt())
	if err != nil || !h.ChecksumOK() {
		w.drop(dropInner)
		return
	}
	if !t.isSelector(h, j.SA) {
		w.drop(dropSelector)
		return
	}
	if h.IsFragment() {
		whole, ok := w.reassemble(t, f)
		if !ok {
			return
		}
		f = newFrame(whole)
		if h, payload, err = ipv4.Parse(f.pkt()); err != nil {
			w.drop(dropInner)
			return
		}
	}
	f.end = f.start + h.TotalLen()
	switch h.Protocol() {
	case ipv4.ProtocolGRE:
		w.fromGRE(t, f, frame{f.buf, f.start + len(h), f.end}, payload, h.TOS())
	case ipv4.ProtocolICMP:
		w.echo(t, f)
	default:
		w.drop(dropInnerProtocol)
	}
}

// isSelector reports whether a delivery header is between the tunnel's endpoints. ScreenOS's VPN
// monitor pings between the outer addresses, which need not be the same.
func (t *tunnel) isSelector(h ipv4.Header, sa *esp.SA) bool {
	src, dst := h.Src(), h.Dst()
	return (src == t.Remote && dst == t.Local) ||
		(h.Protocol() == ipv4.ProtocolICMP && (src == t.Remote || src == sa.Src().Addr()) && (dst == t.Local || dst == sa.Dst().Addr()))
}

// transportMode has no delivery header but the outer one, whose addresses belong to the SA.
func (w *worker) transportMode(t *tunnel, j *esp.Job, f frame) {
	// A NAT may have changed the outer addresses (RFC 3948, 3.1.2).
	nat := j.SA.Dst().Port() != 0
	if !nat && (j.SA.Src().Addr() != t.Remote || j.SA.Dst().Addr() != t.Local) {
		w.drop(dropSelector)
		return
	}
	switch j.NextHeader {
	case ipv4.ProtocolGRE, ipv4.ProtocolICMP:
	default:
		w.drop(dropNextHeader)
		return
	}
	// From here on the packet has the header that it would have in tunnel mode.
	if f.end-f.start > ipv4.MaxPacket-ipv4.HeaderLen || f.start < ipv4.HeaderLen {
		w.drop(dropInner)
		return
	}
	payload := f
	f.start -= ipv4.HeaderLen
	ipv4.AppendHeader(f.buf[:f.start], ipv4.Fields{TTL: t.TTL, Protocol: j.NextHeader, Src: t.Remote, Dst: t.Local}, payload.end-payload.start)
	if j.NextHeader == ipv4.ProtocolICMP {
		w.echo(t, f)
		return
	}
	w.fromGRE(t, f, payload, payload.pkt(), 0) // the outer TOS is not known here
}

// fromGRE takes the GRE header off. delivery is the whole packet, inner and b the GRE packet in it.
func (w *worker) fromGRE(t *tunnel, delivery, inner frame, b []byte, tos uint8) {
	g, payload, err := gre.Parse(b)
	switch {
	case err != nil:
		w.drop(dropGRE)
	case !g.Matches(t.GREKey):
		w.drop(dropGREKey)
	case g.Protocol == gre.ProtocolKeepalive:
		w.control = append(w.control, controlPacket{t.ID, delivery.pkt()}) // ours, come back
	case g.Protocol != gre.ProtocolIPv4:
		w.drop(dropGREProtocol)
	default:
		inner.start = inner.end - len(payload)
		w.payload(t, inner, tos)
	}
}

// payload routes the packet that came through the tunnel.
func (w *worker) payload(t *tunnel, f frame, deliveryTOS uint8) {
	h, _, err := ipv4.Parse(f.pkt())
	if err != nil || !h.ChecksumOK() {
		w.drop(dropPayload)
		return
	}
	f.end = f.start + h.TotalLen()
	tos, ok := gre.PayloadTOS(deliveryTOS, h.TOS())
	if !ok {
		w.drop(dropECN)
		return
	}
	if tos != h.TOS() {
		h.SetTOS(tos)
	}
	if h.Protocol() == ipv4.ProtocolGRE && h.Src() == t.Local && h.Dst() == t.Remote {
		w.returnKeepalive(t, f)
		return
	}
	dst := h.Dst()
	switch _, ours := w.v.addresses[dst]; {
	case h.Protocol() == ipv4.ProtocolOSPF && (dst == t.Address || isOSPFGroup(dst)):
		w.ospf(t, f, h)
	case ours:
		w.host(f)
	case dst.IsMulticast():
		w.drop(dropMulticast)
	default:
		w.route(t, f, h)
	}
}

// isOSPFGroup reports whether dst is AllSPFRouters or AllDRouters (RFC 2328, A.1).
func isOSPFGroup(dst netip.Addr) bool {
	a := dst.As4()
	return a == [4]byte{224, 0, 0, 5} || a == [4]byte{224, 0, 0, 6}
}

// route sends the packet on, by the FIB.
func (w *worker) route(t *tunnel, f frame, h ipv4.Header) {
	hop, ok := w.v.fib.Lookup(h.Dst(), ipv4.FlowHash(f.pkt()))
	switch {
	case !ok:
		w.drop(dropNoRoute)
	case hop.Local:
		clampMSS(f, h, t)
		w.host(f) // which counts the hop
	case !h.DecrementTTL():
		w.drop(dropTTL)
		w.icmpError(t, func(room []byte) []byte { return ipv4.ICMPTimeExceeded(room, f.pkt(), t.Address) })
	default:
		clampMSS(f, h, t)
		w.toTunnel(t, hop.Tunnel, f, h)
	}
}

func (w *worker) ospf(t *tunnel, f frame, h ipv4.Header) {
	pkt := f.pkt()
	if h.IsFragment() {
		whole, ok := w.reassemble(t, f)
		if !ok {
			return
		}
		pkt = whole
	}
	w.control = append(w.control, controlPacket{t.ID, pkt})
}

// echo answers an echo request to our endpoint, through the SA: ScreenOS takes the SA down otherwise.
func (w *worker) echo(t *tunnel, f frame) {
	if !ipv4.EchoReply(f.pkt()) {
		w.drop(dropInnerProtocol)
		return
	}
	w.send(outgoing{frame: f, tunnel: t.ID, delivery: true})
}

// returnKeepalive sends a peer's GRE keepalive back.
func (w *worker) returnKeepalive(t *tunnel, f frame) {
	t.state.mu.Lock()
	allowed := t.state.keepalive.allow(w.now, keepaliveRate, keepaliveBurst)
	t.state.mu.Unlock()
	switch {
	case !allowed:
		w.drop(dropKeepaliveRate)
	case !gre.ReturnKeepalive(f.pkt(), t.Local, t.Remote):
		w.drop(dropGRE)
	default:
		w.send(outgoing{frame: f, tunnel: t.ID, delivery: true})
	}
}

// reassemble adds a fragment to what the tunnel has, and returns the packet that it completes.
func (w *worker) reassemble(t *tunnel, f frame) (whole []byte, ok bool) {
	t.state.mu.Lock()
	defer t.state.mu.Unlock()
	r := t.state.fragments
	if r == nil {
		r = ipv4.NewReassembler(reassemblyBytes, reassemblyTimeout)
		t.state.fragments = r
	}
	before := r.Stats
	whole, ok = r.Add(w.now, f.pkt())
	w.e.drops[dropFragOverlap].Add(r.Stats.Overlap - before.Overlap)
	w.e.drops[dropFragMalformed].Add(r.Stats.Malformed - before.Malformed)
	w.e.drops[dropFragTimeout].Add(r.Stats.TimedOut - before.TimedOut)
	w.e.drops[dropFragRoom].Add(r.Stats.NoRoom - before.NoRoom)
	return whole, ok
}

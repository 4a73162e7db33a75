package dataplane

import (
	"meshrouter/dataplane/segment"
	"meshrouter/internal/ipv4"
)

// tcpIPHeaders is what a segment adds to its payload, bytes (RFC 9293, 3.7.1).
const tcpIPHeaders = 40

// fromHost routes a packet that the host has sent into the TUN device, or a large one that stands for
// many. The kernel has verified it and counted its hop.
func (w *worker) fromHost(p *segment.Packet) {
	pkt := p.Buf[p.Start:p.End]
	h, _, err := ipv4.Parse(pkt)
	if err != nil {
		w.drop(dropMalformed) // IPv6 too, which the tunnels do not carry
		return
	}
	d := w.destination(h)
	if len(d.hops) == 0 {
		w.drop(dropNoRoute)
		return
	}
	if hop := d.choose(pkt); hop.Local {
		w.drop(dropHostLoop)
	} else {
		w.toTunnel(nil, w.v.tunnel(hop.Tunnel), p, h)
	}
}

// toTunnel puts a packet into its place for being sealed: cut, clamped, fragmented or refused with an ICMP
// error, whatever the tunnel needs. It came from the host (nil) or another tunnel.
func (w *worker) toTunnel(from, to *tunnel, p *segment.Packet, h ipv4.Header) {
	if to == nil {
		w.drop(dropNoTunnel)
		return
	}
	c := &w.cutter
	if err := p.Cut(c); err != nil {
		w.drop(dropSegment)
		return
	}
	if c.Size(0) > to.MTU {
		w.tooBig(from, to, h.DF())
		return
	}
	o := to.outbound()
	if o == nil {
		w.wait(to)
		return
	}
	tos, n := h.TOS(), c.Len()
	for i := range n {
		dst := w.room(o, c.Size(i), tos)
		c.Put(i, dst)
		if n == 1 {
			clampMSS(dst, to)
		}
	}
}

// wait has the segments of a packet wait for an SA: the last ones, since more would push the others out.
func (w *worker) wait(to *tunnel) {
	c := &w.cutter
	first := max(0, c.Len()-maxPending)
	w.e.drops[dropNoSA].Add(uint64(first))
	for i := first; i < c.Len(); i++ {
		pkt := make([]byte, c.Size(i))
		c.Put(i, pkt)
		clampMSS(pkt, to)
		w.send(outgoing{packet: pkt, tunnel: to.ID})
	}
}

// tooBig deals with a packet whose segments are larger than the tunnel: refused, or in fragments.
func (w *worker) tooBig(from, to *tunnel, df bool) {
	c := &w.cutter
	if df {
		w.drop(dropTooBig)
		w.icmpError(from, func(room []byte) []byte { return ipv4.ICMPFragNeeded(room, w.segment(0), to.Address, to.MTU) })
		return
	}
	for i := range c.Len() {
		err := ipv4.Fragment(w.segment(i), to.MTU, func(piece []byte) {
			o := to.outbound()
			if o == nil {
				w.send(outgoing{packet: append([]byte(nil), piece...), tunnel: to.ID})
				return
			}
			copy(w.room(o, len(piece), piece[1]), piece)
		})
		if err != nil {
			w.drop(dropTooBig)
		}
	}
}

// segment is segment i of the packet that the cutter has, valid until the next.
func (w *worker) segment(i int) []byte {
	if w.piece == nil {
		w.piece = make([]byte, ipv4.MaxPacket)
	}
	pkt := w.piece[:w.cutter.Size(i)]
	w.cutter.Put(i, pkt)
	return pkt
}

// clampMSS keeps TCP from sending, in either direction, segments that would need fragmentation.
func clampMSS(pkt []byte, t *tunnel) {
	const flags, syn = 13, 2
	at := int(pkt[0]&15)*4 + flags
	if pkt[9] == ipv4.ProtocolTCP && len(pkt) > at && pkt[at]&syn != 0 && t.MTU > tcpIPHeaders {
		ipv4.ClampMSS(pkt, uint16(t.MTU-tcpIPHeaders)) //nolint:gosec // G115: configure bounds the MTU
	}
}

// icmpError sends an ICMP error back to where a packet came from, the host (nil) or a tunnel. build
// appends it to room, or returns nil if none may be sent.
func (w *worker) icmpError(from *tunnel, build func(room []byte) []byte) {
	pkt := build(make([]byte, 0, 1024))
	if pkt == nil {
		return
	}
	if !w.icmp.allow(w.now, icmpRate, icmpBurst) {
		w.drop(dropICMPRate)
		return
	}
	if from == nil {
		w.host(pkt)
		return
	}
	// The error quotes what came through the tunnel, so it may go only where our routes lead: the
	// host might send it to the internet.
	h, _, err := ipv4.Parse(pkt)
	if err != nil {
		return
	}
	switch hop, ok := w.v.fib.Lookup(h.Dst(), 0); {
	case !ok:
		w.drop(dropNoRoute)
	case hop.Local:
		w.host(pkt)
	default:
		w.send(outgoing{packet: pkt, tunnel: hop.Tunnel})
	}
}

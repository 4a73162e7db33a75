package dataplane

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"meshrouter/dataplane/fib"
	"meshrouter/internal/ipv4"
)

// The reasons why Inject and Probe do not send a packet, besides those of ipv4.Fragment.
var (
	ErrNoTunnel = errors.New("dataplane: no such tunnel")
	ErrNoSA     = errors.New("dataplane: the tunnel has no outbound SA")
	ErrFull     = errors.New("dataplane: too many packets of ours wait")
)

// Inject sends an IPv4 packet of ours, OSPF or a keepalive, into a tunnel, in fragments if it is
// larger than the tunnel. It does not wait for an SA, nor for the batch that another goroutine may be
// sending: the packet then leaves right behind that batch, before all other traffic.
func (e *Engine) Inject(id fib.TunnelID, packet []byte) error {
	t := e.view.Load().tunnel(id)
	if t == nil {
		return ErrNoTunnel
	}
	var out []outgoing
	err := ipv4.Fragment(packet, t.MTU, func(piece []byte) {
		out = append(out, outgoing{packet: slices.Clone(piece), tunnel: id, control: true})
	})
	switch {
	case err != nil:
		return fmt.Errorf("dataplane: packet for tunnel %q: %w", t.Name, err)
	case t.outbound() == nil:
		e.drops.add(dropNoSA)
		return ErrNoSA
	case !e.owner(id).hurry(e.now(), out):
		e.drops.add(dropControlQueue)
		return ErrFull
	}
	return nil
}

// ProbeID is the identifier of the echo requests that probe a path: the answers go to Handlers.Control.
const ProbeID = 0x6d72

// Probe sends an IPv4 packet of ours into a tunnel, whatever the tunnel's MTU, in an outer packet with
// DF: whether it arrives tells what the path lets through (RFC 8899). The error may be that of
// Underlay.SendProbe: the interface already is smaller. The probe is of the class of its TOS.
func (e *Engine) Probe(id fib.TunnelID, packet []byte) error {
	h, _, err := ipv4.Parse(packet)
	if err != nil {
		return fmt.Errorf("dataplane: probe: %w", err)
	}
	if h.TotalLen() > maxMTU {
		return fmt.Errorf("dataplane: probe of %d bytes, want at most %d", h.TotalLen(), maxMTU)
	}
	return e.owner(id).probe(outgoing{packet: packet[:h.TotalLen()], tunnel: id})
}

func (o *owner) probe(p outgoing) error {
	o.lock()
	defer o.unlock()
	t := o.e.view.Load().tunnel(p.tunnel)
	if t == nil {
		return ErrNoTunnel
	}
	via := t.outbound()
	if via == nil {
		return ErrNoSA
	}
	seq, err := via.sa.NextSequence(1)
	if err != nil {
		return err
	}
	via.sa.Touch(o.e.now())
	o.jobs = append(o.jobs[:0], via.encapsulate(p, seq))
	o.sealed = o.crypto.Seal(o.jobs, o.sealed[:0])
	if len(o.sealed) == 0 {
		return o.jobs[0].Err
	}
	return o.e.underlay.SendProbe(o.sealed[0])
}

// SendIKE sends an ISAKMP message from the local port that d names, 500 or 4500.
func (e *Engine) SendIKE(d Datagram) error { return e.underlay.SendIKE(d) }

// SendKeepalive sends a NAT keepalive (RFC 3948, 4) to a peer's port.
func (e *Engine) SendKeepalive(remote netip.AddrPort) error { return e.underlay.SendKeepalive(remote) }

package dataplane

import (
	"errors"
	"fmt"
	"net/netip"

	"meshrouter/dataplane/fib"
	"meshrouter/internal/ipv4"
)

// The reasons why Inject does not send a packet, besides those of ipv4.Fragment.
var (
	ErrNoTunnel = errors.New("dataplane: no such tunnel")
	ErrNoSA     = errors.New("dataplane: the tunnel has no outbound SA")
)

// Inject sends an IPv4 packet of ours, OSPF or a keepalive, into a tunnel, in fragments if it is
// larger than the tunnel. It does not wait for an SA.
func (e *Engine) Inject(id fib.TunnelID, packet []byte) error {
	t := e.view.Load().tunnel(id)
	if t == nil {
		return ErrNoTunnel
	}
	var out []outgoing
	err := ipv4.Fragment(packet, t.MTU, func(piece []byte) {
		out = append(out, outgoing{frame: newFrame(piece), tunnel: id, control: true})
	})
	if err != nil {
		return fmt.Errorf("dataplane: packet for tunnel %q: %w", t.Name, err)
	}
	if e.owners[int(id)%len(e.owners)].send(e.now(), out) == 0 {
		return ErrNoSA
	}
	return nil
}

// SendIKE sends an ISAKMP message from the local port that d names, 500 or 4500.
func (e *Engine) SendIKE(d Datagram) error { return e.underlay.SendIKE(d) }

// SendKeepalive sends a NAT keepalive (RFC 3948, 4) to a peer's port.
func (e *Engine) SendKeepalive(remote netip.AddrPort) error { return e.underlay.SendKeepalive(remote) }

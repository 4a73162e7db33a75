package ike

import (
	"bytes"
	"net/netip"
	"time"

	"meshrouter/ike/isakmp"
)

// keepaliveInterval is how often a mapping in a NAT before us is refreshed (RFC 3948, 4).
const keepaliveInterval = 20 * time.Second

// A nattVersion is the flavour of NAT traversal that both ends speak, by its vendor id.
type nattVersion = isakmp.Vendor

// nattTable lists the vendor ids of NAT traversal, best first.
var nattTable = []nattVersion{isakmp.VendorNATT, isakmp.VendorNATT03, isakmp.VendorNATT02Newline, isakmp.VendorNATT02}

// natState is what main mode found out about NATs on the path.
type natState struct {
	version       nattVersion // 0: the peer does not do NAT traversal, or we must not
	local, remote bool        // behind a NAT: we, the peer
	forced        bool        // we made our NAT-D payload differ
}

// found reports whether ESP has to travel in UDP.
func (n natState) found() bool { return n.local || n.remote || n.forced }

func (n natState) String() string {
	switch {
	case n.local && n.remote:
		return "both"
	case n.local:
		return "local"
	case n.remote:
		return "remote"
	case n.forced:
		return "forced"
	default:
		return "none"
	}
}

// payloadType is the type of NAT-D payloads: the RFC gave it a number, the drafts used a private one.
func (n natState) payloadType() isakmp.PayloadType {
	if n.version == isakmp.VendorNATT {
		return isakmp.PayloadNATD
	}
	return isakmp.PayloadNATDDraft
}

// encapsulation is the mode to offer: mode itself, or its form in UDP.
func (n natState) encapsulation(mode EncapsulationMode) EncapsulationMode {
	if !n.found() {
		return mode
	}
	rfc := n.version == isakmp.VendorNATT
	switch {
	case mode == isakmp.Transport && rfc:
		return isakmp.UDPTransport
	case mode == isakmp.Transport:
		return isakmp.UDPTransportDraft
	case rfc:
		return isakmp.UDPTunnel
	default:
		return isakmp.UDPTunnelDraft
	}
}

// plain is the mode without its UDP form, and whether it had one.
func plain(m EncapsulationMode) (mode EncapsulationMode, udp bool) {
	switch m {
	case isakmp.UDPTunnel, isakmp.UDPTunnelDraft:
		return isakmp.Tunnel, true
	case isakmp.UDPTransport, isakmp.UDPTransportDraft:
		return isakmp.Transport, true
	default:
		return m, false
	}
}

// natdPayloads are the two NAT-D payloads of message 3 or 4: the remote end first (RFC 3947, 3.2).
func (sa *isakmpSA) natdPayloads() []isakmp.Payload {
	if sa.nat.version == isakmp.UnknownVendor {
		return nil
	}
	local := sa.local
	if sa.peer.cfg.NATT == NATTForce {
		local = netip.AddrPortFrom(local.Addr(), 0) // no packet comes from there: the peer sees a NAT before us
		sa.nat.forced = true
	}
	t := sa.nat.payloadType()
	natd := func(end netip.AddrPort) isakmp.Payload {
		return isakmp.Payload{Type: t, Body: isakmp.NATD(sa.suite.Hash, sa.cookieI, sa.cookieR, end)}
	}
	return []isakmp.Payload{natd(sa.remote), natd(local)}
}

// detectNAT compares the peer's NAT-D payloads with the addresses of the datagram (RFC 3947, 3.2).
func (sa *isakmpSA) detectNAT(s *step, m *message) {
	if sa.nat.version == isakmp.UnknownVendor {
		return
	}
	first, mine, theirs := true, false, false
	for _, p := range m.payloads {
		if p.Type != isakmp.PayloadNATD && p.Type != isakmp.PayloadNATDDraft {
			continue
		}
		end := m.remote
		if first {
			end = m.local
		}
		if bytes.Equal(p.Body, isakmp.NATD(sa.suite.Hash, sa.cookieI, sa.cookieR, end)) {
			if first {
				mine = true
			} else {
				theirs = true
			}
		}
		first = false
	}
	if first { // none at all: the peer announced what it does not do
		sa.nat = natState{}
		return
	}
	sa.nat.local, sa.nat.remote = !mine, !theirs
	if sa.nat.found() {
		s.event(sa.peer, m.remote, EventNATDetected, Info, "NAT traversal: %s", sa.nat)
	}
}

// float moves the SA to port 4500 (RFC 3947, 4). The initiator does so with message 5.
func (sa *isakmpSA) float() {
	if sa.nat.found() {
		sa.local = netip.AddrPortFrom(sa.local.Addr(), portNATT)
		sa.remote = netip.AddrPortFrom(sa.remote.Addr(), portNATT)
	}
}

// moved follows the peer to another address. tell: the data plane does not know it yet.
func (p *peer) moved(s *step, remote netip.AddrPort, tell bool) {
	changed := false
	for _, sa := range p.sas {
		if sa.established && sa.nat.found() && sa.remote != remote {
			sa.remote, changed = remote, true
		}
	}
	for _, c := range p.pairs {
		if c.in.UDP && c.in.Src != remote {
			c.in.Src, c.outSA.Dst, changed = remote, remote, true
		}
	}
	if !changed {
		return
	}
	p.unsaved = true
	s.touch(p)
	s.event(p, remote, EventRemoteMoved, Info, "the peer is now at %s", remote)
	if tell {
		s.emit(MoveRemote{Peer: p.cfg.ID, Remote: remote})
	}
}

// startKeepalive begins to refresh the mapping of a NAT before us.
func (p *peer) startKeepalive(s *step, sa *isakmpSA) {
	if sa.nat.local || sa.nat.forced {
		if p.keepalive.IsZero() {
			p.keepalive = s.now.Add(keepaliveInterval)
		}
		return
	}
	p.keepalive = time.Time{}
}

// sendKeepalive refreshes it, as long as there is something to keep alive.
func (p *peer) sendKeepalive(s *step) {
	p.keepalive = time.Time{}
	local, remote := noAddr, noAddr
	if sa := p.current(); sa != nil {
		if sa.nat.local || sa.nat.forced {
			local, remote = sa.local, sa.remote
		}
	} else if p.out != nil && p.out.in.UDP {
		local, remote = p.out.outSA.Src, p.out.outSA.Dst
	}
	if local.IsValid() {
		s.emit(NATKeepalive{Local: local, Remote: remote})
		p.keepalive = s.now.Add(keepaliveInterval)
	}
}

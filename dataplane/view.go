package dataplane

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/fib"
	"meshrouter/dataplane/gre"
	"meshrouter/internal/ipv4"
)

// A view is everything that forwarding reads. It never changes once it is published, but for the
// state that tunnels point at.
type view struct {
	fib       *fib.Table
	tunnels   []*tunnel // by TunnelID; nil: none
	inbound   spiTable
	addresses map[netip.Addr]struct{} // our addresses inside the tunnels
}

// tunnel returns the tunnel of that id or nil.
func (v *view) tunnel(id fib.TunnelID) *tunnel {
	if int(id) >= len(v.tunnels) {
		return nil
	}
	return v.tunnels[id]
}

// A tunnel is what a view knows of one tunnel; a change makes a new one that keeps the state.
type tunnel struct {
	TunnelConfig
	state *tunnelState

	delivery  []byte     // template: tunnel-mode IPv4 header, GRE header
	inbound   []*inbound // oldest first
	outbounds []*esp.SA  // oldest first; the newest is used
}

// outbound is the SA that packets leave with, or nil.
func (t *tunnel) outbound() *esp.SA {
	if len(t.outbounds) == 0 {
		return nil
	}
	return t.outbounds[len(t.outbounds)-1]
}

// An inbound is an inbound SA with the tunnel that it belongs to.
type inbound struct {
	sa     *esp.SA
	tunnel fib.TunnelID
	from   netip.AddrPort // where its packets come from: the SA's source, or where the peer has moved to
}

// A tunnelState is what outlives the views: traffic counters and what waits.
type tunnelState struct {
	packetsIn, bytesIn, packetsOut, bytesOut atomic.Uint64

	// Of the tunnel's owner:
	ipID        uint16
	pending     []outgoing // without an SA; oldest first
	lastAcquire time.Time

	// Of any receiver:
	mu        sync.Mutex
	fragments *ipv4.Reassembler // nil until the first fragment
	keepalive limiter
	lastMoved time.Time
}

// withConfig makes the tunnel for a configuration: the old one's SAs and state, or new ones.
func withConfig(old *tunnel, c TunnelConfig) *tunnel {
	t := &tunnel{state: new(tunnelState)}
	if old != nil {
		*t = *old
	}
	if c.TTL == 0 {
		c.TTL = 64
	}
	t.TunnelConfig = c
	g := gre.New(c.GREKey)
	t.delivery = ipv4.AppendHeader(nil, ipv4.Fields{TTL: c.TTL, Protocol: ipv4.ProtocolGRE, Src: c.Local, Dst: c.Remote}, g.Len())
	t.delivery = g.Append(t.delivery)
	t.MTU = min(c.MTU, ipv4.MaxPacket-len(t.delivery))
	return t
}

// An spiTable finds inbound SAs. It is cut by the SPI's low bits, so that a change copies a part.
type spiTable [256]map[uint32]*inbound

func (s *spiTable) lookup(spi uint32) *inbound { return s[spi%uint32(len(s))][spi] }

// An Update collects changes of the view; see Engine.Update.
type Update struct {
	v       *view
	copied  [len(spiTable{})]bool // parts of the table that are already ours
	owned   map[fib.TunnelID]bool // tunnels that are already ours
	flush   []fib.TunnelID        // tunnels that got an outbound SA
	moved   bool                  // tunnels came, went or changed their address
	removed bool                  // something was removed that workers may still use
}

// Update calls f once and publishes one new view with all changes that f made. When it returns, no
// worker uses what was removed any more. It may be called from any goroutine; f must not call it.
func (e *Engine) Update(f func(u *Update)) {
	u := e.apply(f)
	if u.removed {
		e.quiesce()
	}
	for _, id := range u.flush {
		e.owners[int(id)%len(e.owners)].flush(id)
	}
}

func (e *Engine) apply(f func(u *Update)) *Update {
	e.updating.Lock()
	defer e.updating.Unlock()
	next := *e.view.Load()
	next.tunnels = slices.Clone(next.tunnels)
	u := &Update{v: &next, owned: make(map[fib.TunnelID]bool)}
	f(u)
	if u.moved {
		next.addresses = addressesOf(next.tunnels)
	}
	e.view.Store(&next)
	return u
}

// quiesce waits until every batch that may have begun with an older view is done.
func (e *Engine) quiesce() {
	for i := range e.receiving {
		e.receiving[i].Lock()
		e.receiving[i].Unlock() //nolint:staticcheck // SA2001: taking the lock is the point
	}
	for _, o := range e.owners {
		o.mu.Lock()
		o.mu.Unlock() //nolint:staticcheck // SA2001: taking the lock is the point
	}
}

// edit returns the tunnel to be changed in place, or nil.
func (u *Update) edit(id fib.TunnelID) *tunnel {
	old := u.v.tunnel(id)
	if old == nil || u.owned[id] {
		return old
	}
	t := *old
	t.inbound, t.outbounds = slices.Clone(t.inbound), slices.Clone(t.outbounds)
	u.v.tunnels[id], u.owned[id] = &t, true
	return &t
}

// part returns the part of the SPI table to be changed in place.
func (u *Update) part(spi uint32) map[uint32]*inbound {
	i := spi % uint32(len(u.copied))
	if !u.copied[i] {
		u.copied[i] = true
		if u.v.inbound[i] = maps.Clone(u.v.inbound[i]); u.v.inbound[i] == nil {
			u.v.inbound[i] = make(map[uint32]*inbound)
		}
	}
	return u.v.inbound[i]
}

// SetTunnel adds a tunnel or changes its configuration; SAs, waiting packets and counters stay.
func (u *Update) SetTunnel(c TunnelConfig) {
	for len(u.v.tunnels) <= int(c.ID) {
		u.v.tunnels = append(u.v.tunnels, nil)
	}
	u.v.tunnels[c.ID] = withConfig(u.edit(c.ID), c)
	u.owned[c.ID], u.moved = true, true
}

// RemoveTunnel removes a tunnel with its SAs. Routes to it then lead nowhere.
func (u *Update) RemoveTunnel(id fib.TunnelID) {
	t := u.v.tunnel(id)
	if t == nil {
		return
	}
	for _, in := range t.inbound {
		delete(u.part(in.sa.SPI()), in.sa.SPI())
	}
	u.v.tunnels[id] = nil
	u.removed, u.moved = true, true
}

func addressesOf(tunnels []*tunnel) map[netip.Addr]struct{} {
	m := make(map[netip.Addr]struct{}, len(tunnels))
	for _, t := range tunnels {
		if t != nil && t.Address.IsValid() {
			m[t.Address] = struct{}{}
		}
	}
	return m
}

// AddInbound makes an SA open packets for a tunnel. Any number of them may do so at once. An SA of
// the same SPI is replaced.
func (u *Update) AddInbound(id fib.TunnelID, sa *esp.SA) {
	u.RemoveInbound(sa.SPI())
	t := u.edit(id)
	if t == nil {
		return
	}
	in := &inbound{sa, id, sa.Src()}
	t.inbound = append(t.inbound, in)
	u.part(sa.SPI())[sa.SPI()] = in
}

// SetOutbound makes an SA the one that a tunnel's packets leave with, and sends those that waited.
func (u *Update) SetOutbound(id fib.TunnelID, sa *esp.SA) {
	if t := u.edit(id); t != nil {
		t.outbounds = append(slices.DeleteFunc(t.outbounds, func(x *esp.SA) bool { return x == sa }), sa)
		u.flush = append(u.flush, id)
	}
}

// RemoveInbound removes the inbound SA of that SPI.
func (u *Update) RemoveInbound(spi uint32) {
	in := u.v.inbound.lookup(spi)
	if in == nil {
		return
	}
	delete(u.part(spi), spi)
	if t := u.edit(in.tunnel); t != nil {
		t.inbound = slices.DeleteFunc(t.inbound, func(x *inbound) bool { return x == in })
	}
	u.removed = true
}

// RemoveOutbound removes an outbound SA. If it was the newest, the one before it is used again.
func (u *Update) RemoveOutbound(id fib.TunnelID, spi uint32) {
	if t := u.edit(id); t != nil {
		t.outbounds = slices.DeleteFunc(t.outbounds, func(sa *esp.SA) bool { return sa.SPI() == spi })
		u.removed = true
	}
}

// SetRoutes changes and removes routes.
func (u *Update) SetRoutes(changed []fib.Route, removed []netip.Prefix) {
	u.v.fib = u.v.fib.With(changed, removed)
}

// MoveRemote follows a peer behind a NAT: UDP-encapsulated packets of the tunnel go to, and are
// expected from, that address and port.
func (u *Update) MoveRemote(id fib.TunnelID, remote netip.AddrPort) {
	t := u.edit(id)
	if t == nil {
		return
	}
	for _, sa := range t.outbounds {
		if sa.Dst().Port() != 0 {
			sa.SetDst(remote)
		}
	}
	for i, in := range t.inbound {
		if in.from.Port() != 0 {
			moved := &inbound{in.sa, id, remote}
			t.inbound[i] = moved
			u.part(in.sa.SPI())[in.sa.SPI()] = moved
		}
	}
}

// Status tells of every tunnel, by id.
func (e *Engine) Status() []TunnelStatus {
	var all []TunnelStatus
	for _, t := range e.view.Load().tunnels {
		if t == nil {
			continue
		}
		s := TunnelStatus{
			Config:    t.TunnelConfig,
			PacketsIn: t.state.packetsIn.Load(), BytesIn: t.state.bytesIn.Load(),
			PacketsOut: t.state.packetsOut.Load(), BytesOut: t.state.bytesOut.Load(),
			Outbound: t.outbound(),
		}
		for _, in := range t.inbound {
			s.Inbound = append(s.Inbound, in.sa)
		}
		all = append(all, s)
	}
	return all
}

// Routes is a copy of the forwarding table, by prefix.
func (e *Engine) Routes() []fib.Route { return e.view.Load().fib.Routes() }

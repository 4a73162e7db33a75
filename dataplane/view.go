package dataplane

import (
	"encoding/binary"
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
	tunnels   []*tunnel       // by TunnelID; nil: none
	inbound   *cut[*inbound]  // by SPI
	addresses *cut[addresses] // of ours inside the tunnels
}

// addresses is how many tunnels have an address.
type addresses int

// tunnel returns the tunnel of that id or nil.
func (v *view) tunnel(id fib.TunnelID) *tunnel {
	if int(id) >= len(v.tunnels) {
		return nil
	}
	return v.tunnels[id]
}

// A cut is a map that is cut in parts, so that a change copies only one.
type cut[V any] [256]map[uint32]V

func partOf(key uint32) uint32 { return key * 0x9e3779b1 >> 24 }

func (c *cut[V]) lookup(key uint32) V { return c[partOf(key)][key] }

// A tunnel is what a view knows of one tunnel; a change makes a new one that keeps the state.
type tunnel struct {
	TunnelConfig
	state *tunnelState

	endpoints uint64      // Remote and Local, as they stand in a delivery header from the peer
	inbound   []*inbound  // oldest first
	outbounds []*outbound // oldest first; the newest is used
}

// outbound is the SA that packets leave with, or nil.
func (t *tunnel) outbound() *outbound {
	if len(t.outbounds) == 0 {
		return nil
	}
	return t.outbounds[len(t.outbounds)-1]
}

// An inbound is an inbound SA with the tunnel that it belongs to, and what its packets must look like.
type inbound struct {
	sa     *esp.SA
	tunnel fib.TunnelID
	udp    bool           // encapsulated
	local  netip.Addr     // where they arrive
	from   netip.AddrPort // where its packets come from: the SA's source, or where the peer has moved to
}

func (e *Engine) newInbound(id fib.TunnelID, sa *esp.SA, from netip.AddrPort) *inbound {
	return &inbound{sa: sa, tunnel: id, udp: sa.Dst().Port() != 0, local: sa.Dst().Addr(), from: from}
}

// An outbound is an outbound SA with what goes in front of its packets.
type outbound struct {
	sa       *esp.SA
	tunnel   *tunnelState
	id       fib.TunnelID
	mtu      int
	template []byte // a delivery header, but for the fields that complete fills in, and GRE; or GRE alone
	sum      uint64 // of the template's delivery header
	next     uint8  // what the template begins with
}

// A tunnelState is what outlives the views: traffic counters and what waits.
type tunnelState struct {
	packetsIn, bytesIn   atomic.Uint64
	packetsOut, bytesOut atomic.Uint64 // stored by the owner

	// Of the tunnel's owner:
	pending     []outgoing // without an SA; oldest first
	lastAcquire time.Time

	// Of any receiver:
	mu        sync.Mutex
	fragments *ipv4.Reassembler // nil until the first fragment
	keepalive limiter
	lastMoved time.Time
}

// configure makes the tunnel what the configuration says; SAs and state stay.
func (t *tunnel) configure(c TunnelConfig) {
	if t.state == nil {
		t.state = new(tunnelState)
	}
	if c.TTL == 0 {
		c.TTL = 64
	}
	c.MTU = min(c.MTU, maxMTU)
	t.TunnelConfig = c
	var b [8]byte
	copy(b[:4], c.Remote.AsSlice())
	copy(b[4:], c.Local.AsSlice())
	t.endpoints = binary.BigEndian.Uint64(b[:])
	for i, o := range t.outbounds {
		t.outbounds[i] = t.newOutbound(o.sa)
	}
}

// maxMTU leaves room for delivery and GRE header.
const maxMTU = ipv4.MaxPacket - ipv4.HeaderLen - gre.KeyHeaderLen

func (t *tunnel) newOutbound(sa *esp.SA) *outbound {
	o := &outbound{sa: sa, tunnel: t.state, id: t.ID, mtu: t.MTU, next: esp.NextHeaderGRE}
	g := gre.New(t.GREKey)
	if sa.Mode() == esp.Tunnel {
		o.next = esp.NextHeaderIPv4
		o.template = ipv4.AppendHeader(nil, ipv4.Fields{TTL: t.TTL, Protocol: ipv4.ProtocolGRE, Src: t.Local, Dst: t.Remote}, 0)
		copy(o.template[2:], []byte{0, 0})  // total length
		copy(o.template[10:], []byte{0, 0}) // checksum
		o.sum = uint64(ipv4.Sum(o.template))
	}
	o.template = g.Append(o.template)
	return o
}

// An Update collects changes of the view; see Engine.Update.
type Update struct {
	e         *Engine
	v         *view
	inbound   editor[*inbound]
	addresses editor[addresses]
	tunnels   bool                  // v.tunnels is already ours
	owned     map[fib.TunnelID]bool // tunnels that are already ours
	flush     []fib.TunnelID        // tunnels that got an outbound SA
	removed   bool                  // something was removed that workers may still use
}

// An editor changes a copy of a cut.
type editor[V any] struct {
	at     **cut[V]
	copied *[256]bool // parts that are already ours; nil: not even the cut is
}

// part is the part for a key, to be changed in place.
func (ed *editor[V]) part(key uint32) map[uint32]V {
	if ed.copied == nil {
		c := **ed.at
		*ed.at, ed.copied = &c, new([256]bool)
	}
	i := partOf(key)
	p := &(*ed.at)[i]
	if !ed.copied[i] {
		ed.copied[i] = true
		if *p = maps.Clone(*p); *p == nil {
			*p = make(map[uint32]V)
		}
	}
	return *p
}

// Update calls f once and publishes one new view with all changes that f made. When it returns, no
// worker uses what was removed any more. It may be called from any goroutine; f must not call it.
// Only what changes is copied, and forwarding goes on meanwhile.
func (e *Engine) Update(f func(u *Update)) {
	u := e.apply(f)
	if u.removed {
		e.quiesce()
	}
	for _, id := range u.flush {
		e.owner(id).flush(id)
	}
}

func (e *Engine) apply(f func(u *Update)) *Update {
	e.updating.Lock()
	defer e.updating.Unlock()
	next := *e.view.Load()
	u := &Update{e: e, v: &next}
	u.inbound.at, u.addresses.at = &next.inbound, &next.addresses
	f(u)
	e.view.Store(&next)
	return u
}

// quiesce waits until nobody uses SAs of an older view: each user takes one of these locks, and under
// it asks the view.
func (e *Engine) quiesce() {
	e.accepting.Lock()
	e.accepting.Unlock() //nolint:staticcheck // SA2001: taking the lock is the point
	for _, o := range e.owners {
		o.lock()
		o.unlock()
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
	u.put(id, &t)
	return &t
}

// put makes t the tunnel of that id.
func (u *Update) put(id fib.TunnelID, t *tunnel) {
	if !u.tunnels {
		u.v.tunnels, u.tunnels, u.owned = slices.Clone(u.v.tunnels), true, make(map[fib.TunnelID]bool)
	}
	for len(u.v.tunnels) <= int(id) {
		u.v.tunnels = append(u.v.tunnels, nil)
	}
	u.v.tunnels[id], u.owned[id] = t, true
}

// SetTunnel adds a tunnel or changes its configuration; SAs, waiting packets and counters stay.
func (u *Update) SetTunnel(c TunnelConfig) {
	t := u.edit(c.ID)
	if t == nil {
		t = new(tunnel)
		u.put(c.ID, t)
	}
	u.address(t.Address, -1)
	t.configure(c)
	u.address(t.Address, 1)
}

// SetMTU changes how large a packet may enter a tunnel, bytes, and nothing else: what probing the path
// has found. It holds until the next SetMTU or SetTunnel.
func (u *Update) SetMTU(id fib.TunnelID, mtu int) {
	if t := u.edit(id); t != nil {
		c := t.TunnelConfig
		c.MTU = mtu
		t.configure(c)
	}
}

// address counts the tunnels with that address of ours.
func (u *Update) address(a netip.Addr, n addresses) {
	if !a.Is4() {
		return
	}
	key := addressKey(a)
	p := u.addresses.part(key)
	if p[key] += n; p[key] == 0 {
		delete(p, key)
	}
}

func addressKey(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// RemoveTunnel removes a tunnel with its SAs. Routes to it then lead nowhere.
func (u *Update) RemoveTunnel(id fib.TunnelID) {
	t := u.v.tunnel(id)
	if t == nil {
		return
	}
	for _, in := range t.inbound {
		delete(u.inbound.part(in.sa.SPI()), in.sa.SPI())
	}
	u.address(t.Address, -1)
	u.put(id, nil)
	u.removed = true
}

// AddInbound makes an SA open packets for a tunnel. Any number of them may do so at once. An SA of
// the same SPI is replaced.
func (u *Update) AddInbound(id fib.TunnelID, sa *esp.SA) {
	u.RemoveInbound(sa.SPI())
	t := u.edit(id)
	if t == nil {
		return
	}
	in := u.e.newInbound(id, sa, sa.Src())
	t.inbound = append(t.inbound, in)
	u.inbound.part(sa.SPI())[sa.SPI()] = in
}

// SetOutbound makes an SA the one that a tunnel's packets leave with, and sends those that waited.
func (u *Update) SetOutbound(id fib.TunnelID, sa *esp.SA) {
	if t := u.edit(id); t != nil {
		t.outbounds = append(slices.DeleteFunc(t.outbounds, func(x *outbound) bool { return x.sa == sa }), t.newOutbound(sa))
		u.flush = append(u.flush, id)
	}
}

// RemoveInbound removes the inbound SA of that SPI.
func (u *Update) RemoveInbound(spi uint32) {
	in := u.v.inbound.lookup(spi)
	if in == nil {
		return
	}
	delete(u.inbound.part(spi), spi)
	if t := u.edit(in.tunnel); t != nil {
		t.inbound = slices.DeleteFunc(t.inbound, func(x *inbound) bool { return x == in })
	}
	u.removed = true
}

// RemoveOutbound removes an outbound SA. If it was the newest, the one before it is used again.
func (u *Update) RemoveOutbound(id fib.TunnelID, spi uint32) {
	if t := u.edit(id); t != nil {
		t.outbounds = slices.DeleteFunc(t.outbounds, func(x *outbound) bool { return x.sa.SPI() == spi })
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
	for _, o := range t.outbounds {
		if o.sa.Dst().Port() != 0 {
			o.sa.SetDst(remote)
		}
	}
	for i, in := range t.inbound {
		if in.udp {
			t.inbound[i] = u.e.newInbound(id, in.sa, remote)
			u.inbound.part(in.sa.SPI())[in.sa.SPI()] = t.inbound[i]
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
		}
		if o := t.outbound(); o != nil {
			s.Outbound = o.sa
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

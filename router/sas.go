package router

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"meshrouter/dataplane"
	"meshrouter/dataplane/esp"
	"meshrouter/ike"
	"meshrouter/ospf"
)

// Directions of an SA in the state file.
const (
	dirIn  = 'i'
	dirOut = 'o'
)

// An installedSA is an SA that the data plane uses.
type installedSA struct {
	ike.ChildSA
	link    string
	sa      *esp.SA
	current bool // outbound: packets leave with it
}

// An saKey names an SA: the SPI is unique for the receiver only.
type saKey struct {
	inbound bool
	remote  netip.Addr
	spi     uint32
}

func keyOf(sa ike.ChildSA) saKey {
	if sa.Inbound {
		return saKey{true, sa.Src.Addr(), sa.SPI}
	}
	return saKey{false, sa.Dst.Addr(), sa.SPI}
}

// An saBoard installs what IKE negotiated, with counters that lie in the state file.
type saBoard struct {
	r *Router

	mu  sync.Mutex // guards what follows
	sas map[saKey]*installedSA
}

// doIKE does what one step of the IKE engine asks for, in order. It runs on the IKE loop.
func (r *Router) doIKE(outs []ike.Output) {
	for _, o := range outs {
		var err error
		switch o := o.(type) {
		case ike.Send:
			err = r.dp.SendIKE(dataplane.Datagram{Local: o.Local, Remote: o.Remote, Payload: o.Payload})
		case ike.NATKeepalive:
			err = r.sockets.SendKeepalive(o.Remote)
		case ike.Compute:
			r.compute(o)
		case ike.AddInbound:
			err = r.install(o.SA)
		case ike.UseOutbound:
			err = r.install(o.SA)
		case ike.RemoveSA:
			r.sas.remove(o)
		case ike.MoveRemote:
			r.moveRemote(string(o.Peer), o.Remote)
		case ike.PeerChanged:
			r.peerChanged(o)
		case ike.Persist:
			err = r.state.PutBlob(string(o.Peer), o.Blob)
		case ike.ISAKMPKey:
			if r.keys != nil {
				err = r.keys.IKEv1(o.InitiatorCookie, o.Key)
			}
		case ike.Event:
			r.ikeEvent(o)
		}
		if err != nil {
			r.problem("ike", err)
		}
	}
}

// install gives an SA to the data plane. IKE must not go on believing in a restored one that cannot be
// used: nothing would leave until its rekey.
func (r *Router) install(sa ike.ChildSA) error {
	err := r.sas.add(sa)
	if err != nil && sa.Restored {
		r.ike.Post(ike.Terminate{Peer: sa.Peer})
		r.ike.Post(ike.Acquire{Peer: sa.Peer})
	}
	return err
}

// compute runs a job of the engine, a few at a time; Run waits for the last. The engine bounds how many it asks for.
func (r *Router) compute(c ike.Compute) {
	r.pool.Go(func() error {
		r.computing <- struct{}{}
		defer func() { <-r.computing }()
		r.ike.Post(ike.Computed{ID: c.ID, Result: c.Job()})
		return nil
	})
}

// add installs an inbound SA, or an outbound one as that which packets leave with.
func (b *saBoard) add(child ike.ChildSA) error {
	l := b.r.plan.Load().links[string(child.Peer)]
	if l == nil {
		return fmt.Errorf("SA 0x%08x belongs to link %s, which is no longer in the mesh file", child.SPI, child.Peer)
	}
	k := keyOf(child)
	b.mu.Lock()
	defer b.mu.Unlock()
	have := b.sas[k]
	if have == nil {
		var err error
		if have, err = b.install(child, k); err != nil {
			return fmt.Errorf("link %s: %w", l.Link, err)
		}
	}
	if child.Inbound {
		b.r.dp.Update(func(u *dataplane.Update) { u.AddInbound(l.id, have.sa) })
		return nil
	}
	for _, other := range b.sas {
		if other.link == l.Link && !other.Inbound {
			other.current = other == have
		}
	}
	b.r.dp.Update(func(u *dataplane.Update) {
		b.r.setTunnel(u, l, child.UDP)
		u.SetOutbound(l.id, have.sa)
	})
	return nil
}

// install makes the data plane's SA and finds its counters, which of a restored SA must be there:
// without them sequence numbers would be sent twice.
func (b *saBoard) install(child ike.ChildSA, k saKey) (*installedSA, error) {
	dir, newSA := direction(child.Inbound), esp.NewOutbound
	if child.Inbound {
		newSA = esp.NewInbound
	}
	if _, found := b.r.state.Lookup(dir, child.SPI, k.remote); child.Restored && !found {
		return nil, fmt.Errorf("SA 0x%08x is in the state file without its sequence numbers: not used", child.SPI)
	}
	memory, err := b.r.state.Counters(dir, child.SPI, k.remote)
	if err != nil {
		return nil, err
	}
	sa, err := newSA(espParams(child, esp.CountersAt(memory)))
	if err != nil {
		return nil, err
	}
	if b.r.keys != nil {
		t := child.Transform
		if err := b.r.keys.ESP(child.Src.Addr(), child.Dst.Addr(), child.SPI, t.ID, t.Auth, child.EncKey, child.AuthKey); err != nil {
			b.r.problem("keylog", err)
		}
	}
	child.EncKey, child.AuthKey = nil, nil
	have := &installedSA{ChildSA: child, link: string(child.Peer), sa: sa}
	b.sas[k] = have
	return have, nil
}

// remove takes an SA out of use and forgets its counters.
func (b *saBoard) remove(o ike.RemoveSA) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, have := range b.sas {
		if have.Peer != o.Peer || k.spi != o.SPI || k.inbound != o.Inbound {
			continue
		}
		b.r.log.Debug("SA removed", slog.String("link", have.link), spiAttr(o.SPI), slog.Bool("inbound", o.Inbound), slog.String("reason", o.Reason))
		b.r.dp.Update(func(u *dataplane.Update) {
			if o.Inbound {
				u.RemoveInbound(o.SPI)
			} else if l := b.r.plan.Load().links[have.link]; l != nil {
				u.RemoveOutbound(l.id, o.SPI)
			}
		})
		b.r.state.Release(direction(o.Inbound), o.SPI, k.remote)
		delete(b.sas, k)
	}
}

// releaseOrphans forgets counters of an earlier process that no SA took up.
func (b *saBoard) releaseOrphans() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range b.r.state.Keys() {
		if b.sas[saKey{k.Dir == dirIn, k.Remote, k.SPI}] == nil {
			b.r.state.Release(k.Dir, k.SPI, k.Remote)
		}
	}
}

func direction(inbound bool) byte {
	if inbound {
		return dirIn
	}
	return dirOut
}

// list returns the SAs by link, inbound before outbound, then by SPI.
func (b *saBoard) list() []installedSA {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []installedSA
	for _, have := range b.sas {
		all = append(all, *have)
	}
	slices.SortFunc(all, func(x, y installedSA) int {
		switch {
		case x.link != y.link:
			return cmp.Compare(x.link, y.link)
		case x.Inbound != y.Inbound && x.Inbound:
			return -1
		case x.Inbound != y.Inbound:
			return 1
		}
		return cmp.Compare(x.SPI, y.SPI)
	})
	return all
}

// reportTraffic tells IKE what each SA carried, for DPD and for lifetimes in kilobytes.
func (b *saBoard) reportTraffic() {
	for _, have := range b.list() {
		c := have.sa.Counters()
		b.r.ike.Post(ike.Traffic{Peer: have.Peer, SPI: have.SPI, Inbound: have.Inbound, Bytes: c.Bytes.Load()})
	}
}

// peerChanged lets OSPF follow the tunnel's SAs.
func (r *Router) peerChanged(o ike.PeerChanged) {
	name := string(o.Peer)
	up := o.State == ike.PeerUp
	r.peersMu.Lock()
	was := r.peers[name]
	r.peers[name] = peerState{state: o.State, reason: o.Reason}
	r.peersMu.Unlock()
	r.log.Info("link changed", slog.String("link", name), slog.String("state", peerStateName(o.State)), slog.String("reason", o.Reason))
	switch {
	case up:
		r.ospf.Post(ospf.InterfaceUp{Interface: name})
	case was.state == ike.PeerUp:
		r.ospf.Post(ospf.InterfaceDown{Interface: name, Reason: o.Reason})
	}
}

// ikeEvent logs what happened to a negotiation; the engine counts it by name itself.
func (r *Router) ikeEvent(e ike.Event) {
	level := slog.LevelDebug
	switch e.Severity {
	case ike.Info:
		level = slog.LevelInfo
	case ike.Warning:
		level = slog.LevelWarn
	case ike.Debug:
	}
	r.limited.log(level, "ike/"+string(e.Name)+"/"+string(e.Peer), "ike", slog.String("link", string(e.Peer)),
		slog.String("remote", addrPortString(e.Remote)), slog.String("event", string(e.Name)), slog.String("text", e.Text))
}

// restore gives the engine what an earlier process left; it takes it up with the first Configure.
func (r *Router) restore() {
	blobs := r.state.Blobs()
	delete(blobs, deviceBlob)
	for _, name := range slices.Sorted(maps.Keys(blobs)) {
		r.ike.Post(ike.Restore{Blob: blobs[name]})
	}
}

func addrPortString(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func spiAttr(spi uint32) slog.Attr { return slog.String("spi", fmt.Sprintf("0x%08x", spi)) }

func peerStateName(s ike.PeerState) string {
	switch s {
	case ike.PeerUp:
		return "up"
	case ike.PeerNegotiating:
		return "negotiating"
	default:
		return "down"
	}
}

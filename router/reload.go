package router

import (
	"context"
	"log/slog"

	"meshrouter/dataplane"
	"meshrouter/ike"
	"meshrouter/mesh"
)

// reload reads the mesh file again and applies what is different. A file with errors, or a change
// that needs a restart, changes nothing.
func (r *Router) reload(ctx context.Context) {
	old := r.plan.Load()
	inv, err := mesh.LoadSite(r.opts.MeshFile, r.opts.Site)
	if err != nil {
		r.log.Error("reload: the mesh file has errors; nothing was changed", slog.Any("error", err))
		return
	}
	p := newPlan(inv, r.opts.Site, old)
	if p.site.Bind != old.site.Bind || p.site.TUN != old.site.TUN || p.site.Offload != old.site.Offload {
		r.log.Error("reload: the site's own address, device or offloads changed; nothing was changed: restart the router for that")
		return
	}
	added, changed, removed := p.compare(old)
	r.log.Info("reload", slog.Any("added", added), slog.Any("changed", changed), slog.Any("removed", removed),
		slog.Int("kept", len(p.order)-len(added)-len(changed)))
	// On the IKE loop, so that no SA is installed or removed by the old plan in the middle.
	if err := r.ike.Call(ctx, func() { r.apply(old, p) }); err != nil {
		r.problem("reload", err)
	}
}

// compare lists the links that a plan adds, changes and removes.
func (p *plan) compare(old *plan) (added, changed, removed []string) {
	for _, l := range p.order {
		switch {
		case old.links[l.Link] == nil:
			added = append(added, l.Link)
		case l.differs(old):
			changed = append(changed, l.Link)
		}
	}
	for _, l := range old.order {
		if p.links[l.Link] == nil {
			removed = append(removed, l.Link)
		}
	}
	return added, changed, removed
}

// differs reports whether the link is new or not the same as in the old plan.
func (l *link) differs(old *plan) bool {
	prev := old.links[l.Link]
	return prev == nil || mesh.Changed(prev.End, l.End)
}

// apply makes the plan the one in force: additions first, then changes, then removals. It runs on the IKE
// loop, which takes up its own part next.
func (r *Router) apply(old, p *plan) {
	both := append(old.addresses(), p.addresses()...)
	if err := r.kernel.setup(both, p.deviceMTU()); err != nil {
		r.problem("reload", err)
	}
	r.setTunnels(old, p)
	r.plan.Store(p)
	r.routes.setPlan(p)
	r.configureOSPF(p)
	r.ike.Post(ike.Configure{Config: p.ikeConfig()})
	if err := r.kernel.setup(p.addresses(), p.deviceMTU()); err != nil {
		r.problem("reload", err)
	}
	r.removeTunnels(old, p)
}

// setTunnels gives the data plane the tunnels that are new or different.
func (r *Router) setTunnels(old, p *plan) {
	var links []*link
	for _, l := range p.order {
		if old == nil || l.differs(old) {
			links = append(links, l)
		}
	}
	udp := r.sas.inUDP()
	r.dp.Update(func(u *dataplane.Update) {
		for _, l := range links {
			r.setTunnel(u, l, l.NATT == mesh.NATTForce || udp[l.Link])
		}
	})
}

// setTunnel gives the data plane one tunnel; udp: its packets leave in UDP.
func (r *Router) setTunnel(u *dataplane.Update, l *link, udp bool) {
	c := l.tunnelConfig(udp)
	c.MTU = r.paths.limit(l, c.MTU)
	u.SetTunnel(c)
}

// inUDP are the links whose packets leave in UDP now, which their MTU depends on.
func (b *saBoard) inUDP() map[string]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	links := map[string]bool{}
	for _, have := range b.sas {
		if have.current && have.UDP {
			links[have.link] = true
		}
	}
	return links
}

// removeTunnels takes away the tunnels that a plan has no more.
func (r *Router) removeTunnels(old, p *plan) {
	r.dp.Update(func(u *dataplane.Update) {
		for _, l := range old.order {
			if p.links[l.Link] == nil {
				u.RemoveTunnel(l.id)
				r.paths.forget(l.Link)
			}
		}
	})
	r.peersMu.Lock()
	defer r.peersMu.Unlock()
	for name := range r.peers {
		if p.links[name] == nil {
			delete(r.peers, name)
		}
	}
}

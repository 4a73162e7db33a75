package router

import (
	"fmt"
	"net/netip"
	"slices"

	"meshrouter/dataplane"
	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/fib"
	"meshrouter/mesh"
)

// A plan is one site's part of a mesh file, in the numbers of this process. It does not change
// once made; a reload makes a new one.
type plan struct {
	inventory *mesh.Inventory
	site      *mesh.Site
	links     map[string]*link
	order     []*link // by name
	tunnels   map[fib.TunnelID]*link
}

// A link is one tunnel of this site.
type link struct {
	mesh.End
	id     fib.TunnelID
	mtu    int    // largest packet that enters GRE whole, before UDP encapsulation is known
	mtuSum string // how mtu comes about
}

// newPlan makes the plan of a site that the inventory has. Links that prev has too keep their
// tunnel number. Whatever system the file says the site has: we stand in its place.
func newPlan(inv *mesh.Inventory, site string, prev *plan) *plan {
	s, _ := inv.Site(site)
	p := &plan{inventory: inv, site: s, links: map[string]*link{}, tunnels: map[fib.TunnelID]*link{}}
	if prev != nil {
		for _, l := range prev.order { // numbers of links that may stay are taken
			p.tunnels[l.id] = l
		}
	}
	next := fib.TunnelID(0)
	for _, end := range inv.Ends(site) {
		l := &link{End: end}
		if prev != nil && prev.links[end.Link] != nil {
			l.id = prev.links[end.Link].id
		} else {
			for p.tunnels[next] != nil {
				next++
			}
			l.id = next
		}
		l.mtu, l.mtuSum = l.tunnelMTU(end.NATT == mesh.NATTForce)
		p.links[end.Link] = l
		p.order = append(p.order, l)
		p.tunnels[l.id] = l
	}
	clear(p.tunnels)
	for _, l := range p.order {
		p.tunnels[l.id] = l
	}
	return p
}

// tunnelMTU is the largest packet that fits the link's GRE in ESP, and the sum behind it.
func (l *link) tunnelMTU(udp bool) (int, string) {
	mtu, sum := esp.MTU(l.LinkMTU, esp.Mode(l.Mode), udp, esp.Cipher(l.Suite.ESP.ID), esp.Auth(l.Suite.ESP.Auth), l.GREKey != nil) //nolint:gosec // DOI values below 256
	if l.MTU != 0 {
		return l.MTU, fmt.Sprintf("%d by %s (derived: %s)", l.MTU, l.Source, sum)
	}
	return mtu, sum
}

// tunnelConfig is what the data plane knows of the link.
func (l *link) tunnelConfig(udp bool) dataplane.TunnelConfig {
	mtu, _ := l.tunnelMTU(udp)
	return dataplane.TunnelConfig{
		ID: l.id, Name: l.Link, Local: l.GRELocal, Remote: l.GRERemote, GREKey: l.GREKey,
		Address: l.TunnelLocal.Addr(), MTU: mtu,
	}
}

// staticRoutes are the prefixes that do not depend on OSPF: our own addresses and networks, and the
// far ends of our tunnels.
func (p *plan) staticRoutes() map[netip.Prefix]fib.Route {
	routes := map[netip.Prefix]fib.Route{}
	add := func(prefix netip.Prefix, hop fib.NextHop) {
		routes[prefix] = fib.Route{Prefix: prefix, NextHops: []fib.NextHop{hop}}
	}
	for _, l := range p.order {
		add(host(l.TunnelRemote.Addr()), fib.NextHop{Tunnel: l.id})
	}
	for _, lan := range p.site.LAN {
		add(lan.Masked(), fib.NextHop{Local: true})
	}
	for _, l := range p.order {
		add(host(l.TunnelLocal.Addr()), fib.NextHop{Local: true})
	}
	return routes
}

// addresses are the TUN device's own: one for each tunnel, without repetition.
func (p *plan) addresses() []netip.Addr {
	var addrs []netip.Addr
	for _, l := range p.order {
		addrs = append(addrs, l.TunnelLocal.Addr())
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}

// deviceMTU is the TUN's: that of the widest tunnel; the routes of narrower ones say so themselves.
func (p *plan) deviceMTU() int {
	mtu := 0
	for _, l := range p.order {
		mtu = max(mtu, l.mtu)
	}
	if mtu == 0 {
		return p.site.LinkMTU
	}
	return mtu
}

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

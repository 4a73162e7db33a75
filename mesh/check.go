package mesh

import (
	"cmp"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"

	"github.com/goccy/go-yaml/ast"
)

// check finds what is wrong between sites and links.
func (l *loader) check() {
	l.checkNumbers()
	l.checkUnique("address", func(s *siteDraft) (string, ast.Node) { return s.Address.String(), s.address })
	l.checkUnique("router id", func(s *siteDraft) (string, ast.Node) { return s.RouterID.String(), s.routerID })
	l.checkLinkNames()
	l.checkPool()
	l.checkOverlaps()
	l.checkEndpoints()
}

func (l *loader) checkNumbers() {
	taken := make(map[int]*siteDraft)
	for _, s := range l.sites {
		if s.Number != 0 && taken[s.Number] == nil {
			taken[s.Number] = s
		}
	}
	free := 1
	next := func() int {
		for taken[free] != nil {
			free++
		}
		taken[free] = &siteDraft{Site: &Site{}} // suggested: the next complaint suggests another
		return free
	}
	for _, s := range l.sites {
		switch first := taken[s.Number]; {
		case s.number == nil:
			l.report(s.key, fmt.Sprintf("write number: %d, which is free, and never change it", next()), "site %s has no number", s.Name)
		case s.Number != 0 && first != s:
			l.report(s.number, fmt.Sprintf("write number: %d, which is free", next()), "site %s has the number %d of site %s", s.Name, s.Number, first.Name)
		}
	}
}

// checkUnique complains about the second site with the same value.
func (l *loader) checkUnique(what string, of func(*siteDraft) (string, ast.Node)) {
	first := make(map[string]*siteDraft)
	for _, s := range l.sites {
		v, n := of(s)
		if n == nil || v == "invalid IP" || v == "0.0.0.0" {
			continue
		}
		if other := first[v]; other != nil {
			if s.Number == other.Number && n == s.key {
				continue // the same number: said already
			}
			l.report(n, "give each site its own", "site %s has the %s %s of site %s", s.Name, what, v, other.Name)
			continue
		}
		first[v] = s
	}
}

// checkLinkNames finds pairs whose names read the same: a-b with c, and a with b-c.
func (l *loader) checkLinkNames() {
	first := make(map[string]*draft)
	for _, d := range l.drafts {
		if o := first[d.Name]; o != nil {
			l.report(d.node, "rename one of the sites", "the link of %s and %s would have the same name %s as that of %s and %s", d.A.Name, d.B.Name, d.Name, o.A.Name, o.B.Name)
			continue
		}
		first[d.Name] = d
	}
}

// checkPool complains once if the pool cannot hold every link that takes its addresses from it.
func (l *loader) checkPool() {
	var far *draft
	for _, d := range l.drafts {
		if d.addresses == nil && d.A.Number > 0 && (far == nil || d.ID > far.ID) {
			far = d
		}
	}
	if far == nil {
		return
	}
	if l.nodes.tunnels == nil {
		l.report(l.nodes.links, "write tunnels: 10.255.0.0/16, or addresses: in each link", "the links need a pool for their addresses")
		return
	}
	if _, ok := l.slot(far.ID); ok || !l.inv.Tunnels.IsValid() {
		return
	}
	room := 0
	if b := l.inv.Tunnels.Bits(); b <= 30 {
		room = 1 << (30 - b)
	}
	fix := "give the sites smaller numbers"
	if need := bits.Len(uint(far.ID)); need <= 22 {
		fix = fmt.Sprintf("write a /%d or larger (networks are a function of the two site numbers; smaller numbers need less)", 30-need)
	}
	l.report(l.nodes.tunnels, fix, "the pool %s holds %d networks, but %s (sites %d and %d) needs the one with index %d",
		l.inv.Tunnels, room, far.Name, far.A.Number, far.B.Number, far.ID)
}

// A claim is a piece of address space with a use.
type claim struct {
	prefix netip.Prefix
	what   string
	node   ast.Node
	order  int    // later ones in the file are the ones complained about
	owner  string // claims of one owner on the very same host address do not clash
	inPool bool   // may lie in the pool
	pool   bool
}

// checkOverlaps finds claims that lie inside one another. Prefixes are nested or disjoint, so one
// pass over them in order with a stack of those still open finds each claim's container.
func (l *loader) checkOverlaps() {
	claims := l.claims()
	slices.SortStableFunc(claims, func(a, b claim) int {
		return cmp.Or(a.prefix.Addr().Compare(b.prefix.Addr()), cmp.Compare(a.prefix.Bits(), b.prefix.Bits()))
	})
	var open []claim
	for _, c := range claims {
		for len(open) > 0 && !open[len(open)-1].prefix.Contains(c.prefix.Addr()) {
			open = open[:len(open)-1]
		}
		for _, o := range slices.Backward(open) {
			if l.clash(o, c) {
				break
			}
		}
		open = append(open, c)
	}
}

// clash reports two claims if they cannot both stand.
func (l *loader) clash(a, b claim) bool {
	if a.pool && b.inPool || b.pool && a.inPool || a.prefix == b.prefix && a.owner != "" && a.owner == b.owner {
		return false
	}
	if a.order > b.order {
		a, b = b, a
	}
	verb := "overlaps"
	if a.prefix == b.prefix {
		verb = "is also"
	}
	l.report(b.node, "use address space that nothing else has", "%s %s %s", b.what, verb, a.what)
	return true
}

func (l *loader) claims() []claim {
	var cs []claim
	add := func(c claim) {
		c.order = len(cs)
		cs = append(cs, c)
	}
	if l.inv.Tunnels.IsValid() {
		add(claim{prefix: l.inv.Tunnels, what: "the pool of tunnels " + l.inv.Tunnels.String(), node: l.nodes.tunnels, pool: true})
	}
	for _, s := range l.sites {
		if s.Address.IsValid() {
			add(claim{prefix: netip.PrefixFrom(s.Address, 32), what: fmt.Sprintf("the address %s of site %s", s.Address, s.Name), node: s.address, owner: "address"})
		}
	}
	for _, s := range l.sites {
		for i, p := range s.LAN {
			add(claim{prefix: p, what: fmt.Sprintf("the LAN %s of site %s", p, s.Name), node: s.lan[i]})
		}
	}
	explicit := false
	for _, d := range l.drafts {
		explicit = explicit || d.addresses != nil
	}
	if !explicit {
		return cs // the derived networks lie in the pool and cannot clash
	}
	for _, d := range l.drafts {
		l.claimTunnel(d, add)
	}
	return cs
}

// claimTunnel claims the network of a link, or its two host addresses.
func (l *loader) claimTunnel(d *draft, add func(claim)) {
	if d.addresses == nil {
		if net, ok := l.slot(d.ID); ok {
			add(claim{prefix: net, what: fmt.Sprintf("the network %s of link %s", net, d.Name), node: d.node, inPool: true})
		}
		return
	}
	for i := range d.ends {
		e := &d.ends[i]
		if !e.TunnelLocal.IsValid() {
			return
		}
		if e.TunnelLocal.Bits() == 32 {
			add(claim{prefix: e.TunnelLocal, what: fmt.Sprintf("the tunnel address %s of %s", e.TunnelLocal.Addr(), e.site.Name),
				node: d.addresses, owner: "tunnel " + e.site.Name, inPool: true})
		} else if i == 0 {
			net := e.TunnelLocal.Masked()
			add(claim{prefix: net, what: fmt.Sprintf("the network %s of link %s", net, d.Name), node: d.addresses, inPool: true})
		}
	}
}

// checkEndpoints makes sure that a site can tell its tunnels apart by the GRE header: by the
// endpoints and the key.
func (l *loader) checkEndpoints() {
	if !slices.ContainsFunc(l.drafts, func(d *draft) bool { return d.ends[0].greNode != nil }) {
		return // the outer addresses, which are unique
	}
	type header struct {
		site          string
		local, remote netip.Addr
		key           uint32
		keyed         bool
	}
	first := make(map[header]*draft)
	owner := make(map[netip.Addr]*siteDraft)
	for _, s := range l.sites {
		owner[s.Address] = s
	}
	for _, d := range l.drafts {
		for i := range d.ends {
			e := &d.ends[i]
			if o := owner[e.GRELocal]; o != nil && o != e.site && e.greNode != nil {
				l.report(e.greNode, "write an address of its own", "the GRE endpoint %s of %s belongs to site %s", e.GRELocal, e.site.Name, o.Name)
			}
			h := header{site: e.site.Name, local: e.GRELocal, remote: e.GRERemote}
			if e.GREKey != nil {
				h.key, h.keyed = *e.GREKey, true
			}
			if o := first[h]; o != nil && e.GRERemote.IsValid() && e.greNode != nil {
				l.report(e.greNode, "give one of them another endpoint or key", "site %s cannot tell %s from %s: the same GRE endpoints and key", e.site.Name, d.Name, o.Name)
				continue
			}
			first[h] = d
		}
	}
}

package mesh

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// A draft is a link under construction.
type draft struct {
	*Link
	node      ast.Node // where it stands, for problems that concern all of it
	fromList  bool     // written as an item of a list: its settings name its own ends only
	agreed    agreement
	suite     string
	suiteNode ast.Node
	psk       ast.Node
	mode      Mode
	modeNode  ast.Node
	gre       bool // `protocol: gre`: 47 in the proxy ids
	dead      ast.Node
	addresses ast.Node
	ends      [2]endDraft
}

// An endDraft is one end under construction.
type endDraft struct {
	*End
	site      *siteDraft
	mask      *[4]byte      // of hellos; nil: that of the tunnel
	proxy     *netip.Prefix // nil: the GRE endpoint
	proxyNode ast.Node
	greNode   ast.Node // `endpoints:`
	address   endAddress
}

func (l *loader) readLinks(root, defaults ast.Node) {
	n := l.nodes.links
	switch v := n.(type) {
	case nil:
		l.report(root, "write links: full, links: {hub: [SITE]} or a list of - {between: [SITE, SITE]}", "the mesh has no links")
		return
	case *ast.StringNode:
		if v.Value != "full" {
			l.report(n, "write full, {hub: [SITE]} or a list of - {between: [SITE, SITE]}", "links cannot be %q", clip(v.Value))
			return
		}
		l.eachPair(func(a, b *siteDraft) { l.draft(a, b, n) })
	case *ast.MappingNode, *ast.MappingValueNode:
		l.readHub(n)
	case *ast.SequenceNode:
		l.readList(v, defaults)
		return
	default:
		l.report(n, "write full, {hub: [SITE]} or a list of - {between: [SITE, SITE]}", "links cannot be %s", kind(n))
		return
	}
	for _, d := range l.drafts {
		l.settings(d, defaults, "defaults", false)
		l.finish(d)
	}
	l.publish()
}

func (l *loader) eachPair(do func(a, b *siteDraft)) {
	for j := range l.sites {
		for i := range j {
			do(l.sites[i], l.sites[j])
		}
	}
}

func (l *loader) readHub(n ast.Node) {
	f := l.mapping(n, "links")
	hubNode := f.take("hub")
	f.done()
	if hubNode == nil {
		l.report(n, "write hub: [SITE]", "links names no hub")
		return
	}
	hubs := make(map[*siteDraft]bool)
	for _, h := range l.list(hubNode) {
		if s, ok := l.siteNamed(h); ok {
			hubs[s] = true
		}
	}
	l.eachPair(func(a, b *siteDraft) {
		if hubs[a] || hubs[b] {
			l.draft(a, b, n)
		}
	})
}

func (l *loader) readList(v *ast.SequenceNode, defaults ast.Node) {
	if len(v.Values) == 0 {
		l.report(v, "write - {between: [SITE, SITE]}", "the list of links is empty")
	}
	first := make(map[string]int)
	for _, item := range v.Values {
		f := l.mapping(item, "a link")
		between := f.take("between")
		a, b, ok := l.between(item, between)
		if !ok {
			continue
		}
		line, _ := position(item)
		d := l.draft(a, b, item)
		if before, twice := first[d.Name]; twice {
			l.report(between, "keep one of them", "the link %s is there twice, first in line %d", d.Name, before)
			l.drafts = l.drafts[:len(l.drafts)-1]
			continue
		}
		first[d.Name] = line
		l.settings(d, defaults, "defaults", false)
		l.settings(d, item, "the link "+d.Name, true)
		l.finish(d)
	}
	l.publish()
}

// between reads the two sites of a link and orders them by number.
func (l *loader) between(item, n ast.Node) (a, b *siteDraft, ok bool) {
	names := l.list(n)
	if len(names) != 2 {
		if n == nil {
			n = item
		}
		l.report(n, "write between: [london, tokyo]", "a link joins two sites")
		return nil, nil, false
	}
	a, okA := l.siteNamed(names[0])
	b, okB := l.siteNamed(names[1])
	if !okA || !okB {
		return nil, nil, false
	}
	if a == b {
		l.report(names[1], "name the other site", "a link joins %s with itself", a.Name)
		return nil, nil, false
	}
	if a.Number > b.Number {
		a, b = b, a
	}
	return a, b, true
}

func (l *loader) siteNamed(n ast.Node) (*siteDraft, bool) {
	name, ok := l.text(n, "a site")
	if !ok {
		return nil, false
	}
	s, ok := l.byName[name]
	if !ok {
		l.report(n, oneOf(name, l.siteNames()), "there is no site %q", clip(name))
	}
	return s, ok
}

func (l *loader) siteNames() []string {
	names := make([]string, len(l.sites))
	for i, s := range l.sites {
		names[i] = s.Name
	}
	return names
}

// linkID numbers the pairs of site numbers i < j: (1,2) 0, (1,3) 1, (2,3) 2, (1,4) 3, ...
func linkID(i, j int) int { return (j-1)*(j-2)/2 + (i - 1) }

// draft begins a link with what the profiles of its ends and the `ospf:` section say.
func (l *loader) draft(a, b *siteDraft, n ast.Node) *draft {
	link := &Link{Name: a.Name + "-" + b.Name, ID: linkID(a.Number, b.Number), A: a.Site, B: b.Site, Source: l.at(n)}
	d := &draft{Link: link, node: n, agreed: merge(a.System, b.System), suite: l.suite, mode: Tunnel}
	d.ends = [2]endDraft{{End: &link.EndA, site: a}, {End: &link.EndB, site: b}}
	for i := range d.ends {
		site, peer := d.ends[i].site, d.ends[1-i].site
		p := profileOf(peer.System)
		e := d.ends[i].End
		*e = End{
			Link: link.Name, ID: link.ID, Site: site.Site, Peer: peer.Site, Profile: peer.System,
			Local: site.Bind, Remote: peer.Address,
			GRELocal: site.Address, GRERemote: peer.Address,
			DPD: p.dpd, DDMTU: p.ddMTU,
			Cost: l.base.cost, Hello: l.base.hello, Dead: l.base.dead,
			Retransmit: l.base.retransmit, TransmitDelay: l.base.transit,
			Auth: l.base.auth, StrictMTU: l.base.strictMTU,
			PathMTU: true, LinkMTU: min(site.LinkMTU, peer.LinkMTU),
			Source: link.Source,
		}
		if site.System == Meshrouter && peer.System == Meshrouter {
			e.NATT = NATTForce
		}
		if !starts(site.Site, peer.Site) {
			e.Initiate = InitiateStandby
		}
	}
	l.drafts = append(l.drafts, d)
	return d
}

// settings reads what `defaults:` or an item of the list say about a link. Any setting of an end
// can be one value for both, or {london: this, tokyo: that}.
func (l *loader) settings(d *draft, n ast.Node, what string, fromList bool) {
	if n == nil {
		return
	}
	f := l.mapping(n, what)
	d.fromList = fromList
	if fromList {
		f.take("between")
		d.addresses = f.take("addresses")
		perEnd(l, d, d.addresses, "addresses", parseEnd, func(e *endDraft, v endAddress) { e.address = v })
		d.psk = f.take("psk")
	}
	if s := f.take("suite"); s != nil {
		value(l.document, s, "suite", parseName, &d.suite)
		d.suiteNode = s
	}
	if m := f.take("mode"); m != nil {
		value(l.document, m, "mode", keyword(word[Mode]{"tunnel", Tunnel}, word[Mode]{"transport", Transport}), &d.mode)
		d.modeNode = m
	}
	read(f, "protocol", keyword(word[bool]{"any", false}, word[bool]{"gre", true}), &d.gre)
	read(f, "id-type", keyword(word[bool]{"host", false}, word[bool]{"subnet32", true}), &d.agreed.subnet32)
	read(f, "addressing", keyword(word[bool]{"/30", false}, word[bool]{"/32", true}), &d.agreed.hostAddresses)
	l.readInitiate(d, f.take("initiate"))
	perEnd(l, d, f.take("natt"), "natt", keyword(word[NATT]{"auto", NATTAuto}, word[NATT]{"force", NATTForce}, word[NATT]{"off", NATTOff}),
		func(e *endDraft, v NATT) { e.NATT = v })
	perEnd(l, d, f.take("path-mtu"), "path-mtu", keyword(word[bool]{"on", true}, word[bool]{"off", false}), func(e *endDraft, v bool) { e.PathMTU = v })
	perEnd(l, d, f.take("dpd"), "dpd", parseOff(time.Second, time.Hour), func(e *endDraft, v time.Duration) { e.DPD = v })
	perEnd(l, d, f.take("ids"), "ids", parseIdentity, d.identify)
	l.readProxy(d, f.take("proxy-ids"))
	l.readGRE(d, f.take("gre"))
	perEnd(l, d, f.take("mtu"), "mtu", parseInt(576, 65535), func(e *endDraft, v int) { e.MTU = v })
	l.readLinkOSPF(d, f)
	f.done()
}

// identify sets an end's own identity, which the other end wants to see.
func (d *draft) identify(e *endDraft, id Identity) {
	e.LocalID = id
	for i := range d.ends {
		if d.ends[i].End != e.End {
			d.ends[i].RemoteID = id
		}
	}
}

func (l *loader) readLinkOSPF(d *draft, f *fields) {
	perEnd(l, d, f.take("cost"), "cost", parseInt(1, 65535), func(e *endDraft, v int) { e.Cost = v })
	seconds := parseSeconds(time.Second, 65535*time.Second)
	short := parseSeconds(time.Second, time.Hour)
	both(l, d, f.take("hello"), "hello", seconds, func(e *endDraft, v time.Duration) { e.Hello = v })
	if dead := f.take("dead"); dead != nil {
		d.dead = dead
		both(l, d, dead, "dead", seconds, func(e *endDraft, v time.Duration) { e.Dead = v })
	}
	perEnd(l, d, f.take("retransmit"), "retransmit", short, func(e *endDraft, v time.Duration) { e.Retransmit = v })
	perEnd(l, d, f.take("transmit-delay"), "transmit-delay", short, func(e *endDraft, v time.Duration) { e.TransmitDelay = v })
	perEnd(l, d, f.take("hello-mask"), "hello-mask", parseMask, func(e *endDraft, v *[4]byte) { e.mask = v })
	perEnd(l, d, f.take("dd-mtu"), "dd-mtu", parseDDMTU, func(e *endDraft, v int) { e.DDMTU = v })
	perEnd(l, d, f.take("mtu-check"), "mtu-check", parseMTUCheck, func(e *endDraft, v bool) { e.StrictMTU = v })
	if n := f.take("auth"); n != nil {
		auth := d.ends[0].Auth
		l.readAuth(n, &auth)
		for i := range d.ends {
			d.ends[i].Auth = auth
		}
	}
}

// parseDDMTU reads bytes, or "tunnel" for the tunnel's own MTU.
func parseDDMTU(s string) (int, error) {
	if s == "tunnel" {
		return 0, nil
	}
	return parseInt(68, 65535)(s)
}

// readInitiate reads both, the name of the end that starts, or {london: always, tokyo: never}.
func (l *loader) readInitiate(d *draft, n ast.Node) {
	if s, ok := n.(*ast.StringNode); ok {
		starter, known := l.byName[s.Value]
		switch {
		case s.Value == "both":
			d.ends[0].Initiate, d.ends[1].Initiate = InitiateAlways, InitiateAlways
			return
		case known && (starter == d.ends[0].site || starter == d.ends[1].site):
			for i := range d.ends {
				d.ends[i].Initiate = InitiateNever
				if d.ends[i].site == starter {
					d.ends[i].Initiate = InitiateAlways
				}
			}
			return
		case known && !d.fromList:
			return // a default for the links of that site
		}
		l.report(n, fmt.Sprintf("write %s, %s or both", d.A.Name, d.B.Name), "%q cannot initiate %s", clip(s.Value), d.Name)
		return
	}
	perEnd(l, d, n, "initiate", keyword(word[Initiate]{"always", InitiateAlways}, word[Initiate]{"standby", InitiateStandby}, word[Initiate]{"never", InitiateNever}),
		func(e *endDraft, v Initiate) { e.Initiate = v })
}

func (l *loader) readProxy(d *draft, n ast.Node) {
	perEnd(l, d, n, "proxy-ids", parseNet, func(e *endDraft, v netip.Prefix) { e.proxy, e.proxyNode = &v, n })
}

// readGRE reads {key:, keepalive:, count:, endpoints: {london: A, tokyo: B}}.
func (l *loader) readGRE(d *draft, n ast.Node) {
	if n == nil {
		return
	}
	f := l.mapping(n, "gre")
	both(l, d, f.take("key"), "key", parseGREKey, func(e *endDraft, v *uint32) { e.GREKey = v })
	perEnd(l, d, f.take("keepalive"), "keepalive", parseOff(time.Second, time.Hour), func(e *endDraft, v time.Duration) {
		e.Keepalive = Keepalive{}
		if v > 0 {
			e.Keepalive = Keepalive{v, 3}
		}
	})
	count := f.take("count")
	perEnd(l, d, count, "count", parseInt(1, 255), func(e *endDraft, v int) {
		if e.Keepalive.Interval == 0 {
			l.report(count, "write keepalive: 10s too", "count without keepalive does nothing")
		}
		e.Keepalive.Count = v
	})
	endpoints := f.take("endpoints")
	perEnd(l, d, endpoints, "endpoints", parseHost, func(e *endDraft, v netip.Addr) {
		e.GRELocal = v
		for i := range d.ends {
			d.ends[i].greNode = endpoints
			if d.ends[i].End != e.End {
				d.ends[i].GRERemote = v
			}
		}
	})
	f.done()
}

// both reads a setting that must be the same at both ends.
func both[T any](l *loader, d *draft, n ast.Node, what string, parse func(string) (T, error), set func(*endDraft, T)) {
	var v T
	if value(l.document, n, what, parse, &v) {
		set(&d.ends[0], v)
		set(&d.ends[1], v)
	}
}

// perEnd reads one value for both ends, or a mapping of sites to values.
func perEnd[T any](l *loader, d *draft, n ast.Node, what string, parse func(string) (T, error), set func(*endDraft, T)) {
	if _, isMap := n.(ast.MapNode); !isMap {
		both(l, d, n, what, parse, set)
		return
	}
	f := l.mapping(n, what)
	for i := range d.ends {
		var v T
		if value(l.document, f.take(d.ends[i].site.Name), what, parse, &v) {
			set(&d.ends[i], v)
		}
	}
	for i, v := range f.values {
		name := keyText(v)
		if f.taken[i] || !d.fromList && l.byName[name] != nil {
			continue
		}
		l.report(v.Key, fmt.Sprintf("write %s or %s", d.A.Name, d.B.Name), "%s is not an end of %s", clip(name), d.Name)
	}
}

// finish derives what was not set and checks what concerns the link alone.
func (l *loader) finish(d *draft) {
	l.finishSuite(d)
	l.finishPSK(d)
	l.finishAddresses(d)
	l.finishSelectors(d)
	for i := range d.ends {
		e := &d.ends[i]
		e.Mode = d.mode
		if e.Dead == 0 {
			e.Dead = min(4*e.Hello, 65535*time.Second)
		}
		bits := cmp.Or(profileOf(e.Profile).helloBits, max(e.TunnelLocal.Bits(), 0))
		e.HelloMask = netip.PrefixFrom(quad(0xffffffff), bits).Masked().Addr().As4()
		if e.mask != nil {
			e.HelloMask = *e.mask
		}
	}
	if e := d.ends[0]; e.Dead < 2*e.Hello && (e.Dead != l.base.dead || e.Hello != l.base.hello) {
		l.reportDead(cmp.Or(d.dead, d.node), e.Hello, e.Dead)
	}
}

func (l *loader) finishSuite(d *draft) {
	at := cmp.Or(d.suiteNode, d.node)
	if d.suite == "" {
		l.report(at, "write suite: and its name at the top of the file or in the link", "there are several suites and none is chosen")
		return
	}
	s, ok := l.suites[d.suite]
	if !ok {
		if d.suiteNode != nil {
			l.suiteNamed(d.suite, d.suiteNode)
		}
		return
	}
	s.IKELifetime = cmp.Or(s.IKELifetime, d.agreed.ikeLifetime)
	s.ESPLifetime = cmp.Or(s.ESPLifetime, d.agreed.espLifetime)
	for _, life := range []time.Duration{s.IKELifetime, s.ESPLifetime} {
		if life < d.agreed.shortest || life > d.agreed.longest {
			l.report(at, fmt.Sprintf("choose a suite with a lifetime of %s to %s", short(d.agreed.shortest), short(d.agreed.longest)),
				"the lifetime %s of suite %s is out of the range that %s and %s accept", short(life), s.Name, d.A.System, d.B.System)
		}
	}
	if d.agreed.noGCM != "" && s.ESP.Auth == 0 {
		l.report(at, "choose a suite with 3des-sha1, aes128-sha1 or aes256-sha256, as suite: legacy", "%s does not know AES-GCM, which suite %s uses", d.agreed.noGCM, s.Name)
	}
	if d.agreed.tunnelOnly != "" && d.mode == Transport {
		l.report(cmp.Or(d.modeNode, d.node), "write mode: tunnel", "%s carries GRE in tunnel mode only", d.agreed.tunnelOnly)
	}
	d.ends[0].Suite, d.ends[1].Suite = s, s
}

// finishPSK finds the key: that of `psk: $name`, that named like the link, or the one for all.
func (l *loader) finishPSK(d *draft) {
	var e secretEntry
	var ok bool
	if d.psk != nil {
		e, ok = l.secret(d.psk, "the pre-shared key")
	} else {
		for _, name := range []string{d.Name, d.B.Name + "-" + d.A.Name, defaultPSK} {
			if e, ok = l.secrets.lookup(name); ok {
				break
			}
		}
		if !ok && (l.only == "" || l.only == d.A.Name || l.only == d.B.Name) {
			l.noPSK = append(l.noPSK, d)
		}
	}
	if ok {
		d.ends[0].PSK, d.ends[1].PSK = e.key, e.key
		d.ends[0].PSKSource, d.ends[1].PSKSource = e.source(), e.source()
	}
}

func (l *loader) finishAddresses(d *draft) {
	bits := 30
	if d.agreed.hostAddresses {
		bits = 32
	}
	a, b := d.ends[0].address, d.ends[1].address
	switch {
	case d.addresses == nil:
		net, ok := l.slot(d.ID)
		if !ok {
			return
		}
		a = endAddress{net.Addr().Next(), bits}
		b = endAddress{a.addr.Next(), bits}
	case !a.addr.IsValid() || !b.addr.IsValid():
		l.report(d.addresses, fmt.Sprintf("write {%s: 10.254.0.1/30, %s: 10.254.0.2/30}", d.A.Name, d.B.Name), "both ends of %s need an address", d.Name)
		return
	default:
		a.bits, b.bits = cmp.Or(a.bits, bits), cmp.Or(b.bits, bits)
		l.checkPair(d, a, b)
	}
	pa, pb := netip.PrefixFrom(a.addr, a.bits), netip.PrefixFrom(b.addr, b.bits)
	d.ends[0].TunnelLocal, d.ends[0].TunnelRemote = pa, pb
	d.ends[1].TunnelLocal, d.ends[1].TunnelRemote = pb, pa
	d.ends[0].HostRoutes, d.ends[1].HostRoutes = a.bits == 32, b.bits == 32
}

// checkPair checks two addresses that the file gives.
func (l *loader) checkPair(d *draft, a, b endAddress) {
	pa, pb := netip.PrefixFrom(a.addr, a.bits), netip.PrefixFrom(b.addr, b.bits)
	switch {
	case a.addr == b.addr:
		l.report(d.addresses, "give each end its own", "both ends of %s have the address %s", d.Name, a.addr)
	case a.bits != b.bits:
		l.report(d.addresses, "write the same length at both", "the ends of %s have different masks, /%d and /%d", d.Name, a.bits, b.bits)
	case a.bits < 32 && pa.Masked() != pb.Masked():
		l.report(d.addresses, fmt.Sprintf("write an address of %s, or /32 for both", pa.Masked()), "%s and %s are not in one network", pa, pb)
	case a.bits == 30 && (edge(pa) || edge(pb)):
		l.report(d.addresses, fmt.Sprintf("write %s and %s", pa.Masked().Addr().Next(), pa.Masked().Addr().Next().Next()), "the first and last address of %s are not for hosts", pa.Masked())
	}
}

// edge says whether the address is the network's or the broadcast one of its /30.
func edge(p netip.Prefix) bool {
	last := p.Addr().As4()[3] & 3
	return last == 0 || last == 3
}

// slot is the /30 of the pool with that index.
func (l *loader) slot(index int) (netip.Prefix, bool) {
	pool := l.inv.Tunnels
	if !pool.IsValid() || index < 0 || pool.Bits() > 30 || index >= 1<<(30-pool.Bits()) {
		return netip.Prefix{}, false // reported once for all by checkPool
	}
	return netip.PrefixFrom(quad(number(pool.Addr())+uint32(index)*4), 30), true //nolint:gosec // index is below 2^30
}

// finishSelectors derives the proxy ids from the GRE endpoints and checks that they fit together.
func (l *loader) finishSelectors(d *draft) {
	var ts [2]Selector
	for i := range d.ends {
		e := &d.ends[i]
		if d.mode == Transport && e.GRELocal != e.site.Address {
			l.report(cmp.Or(e.greNode, d.node), "leave the endpoints out, or write mode: tunnel", "in transport mode GRE ends at the outer address %s, not at %s", e.site.Address, e.GRELocal)
		}
		p := netip.PrefixFrom(e.GRELocal, 32)
		if e.proxy != nil {
			p = *e.proxy
			if !p.Contains(e.GRELocal) {
				l.report(e.proxyNode, fmt.Sprintf("write %s/32 or a network around it", e.GRELocal), "the proxy id %s of %s does not hold its GRE endpoint %s", p, e.site.Name, e.GRELocal)
			}
		}
		ts[i] = Selector{Prefix: p, Subnet: p.Bits() < 32 || d.agreed.subnet32}
		if d.gre {
			ts[i].Protocol = 47
		}
	}
	d.ends[0].LocalTS, d.ends[0].RemoteTS = ts[0], ts[1]
	d.ends[1].LocalTS, d.ends[1].RemoteTS = ts[1], ts[0]
}

// publish puts the finished links into the inventory.
func (l *loader) publish() {
	for _, d := range l.drafts {
		l.inv.Links = append(l.inv.Links, d.Link)
	}
	slices.SortFunc(l.inv.Links, func(a, b *Link) int { return strings.Compare(a.Name, b.Name) })
}

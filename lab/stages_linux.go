package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"meshrouter/mesh"
	"meshrouter/status"
)

// stageNetns makes the namespaces and starts a router in each site.
func (l *lab) stageNetns(ctx context.Context) (string, error) {
	if err := l.makeInternet(ctx); err != nil {
		return "", err
	}
	shared, first, err := l.writeConfigs()
	if err != nil {
		return "", err
	}
	for i, s := range l.sites {
		path := shared
		if i == 0 {
			path = first
		}
		if err := l.startRouter(s, path); err != nil {
			return "", err
		}
	}
	err = l.until(ctx, func(ctx context.Context) error {
		for _, s := range l.sites {
			var doc status.SummaryDoc
			if err := s.router.Get(ctx, "summary", &doc); err != nil {
				return fmt.Errorf("the router of %s does not answer yet: %w", s.Name, err)
			}
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	if l.o.Sabotage == routerKilled {
		if err := l.sites[0].router.signal(ctx, unix.SIGKILL); err != nil {
			return "", err
		}
	}
	hosts := 0
	for _, s := range l.sites {
		if s.host != nil {
			hosts++
		}
	}
	return fmt.Sprintf("%d sites, %d LAN hosts, one internet; every router answers", len(l.sites), hosts), nil
}

// makeInternet makes everything but the routers, and starts to capture.
func (l *lab) makeInternet(ctx context.Context) error {
	l.beforeNetns()
	var err error
	if l.internet, err = newInternet(l.dir.namespace("internet")); err != nil {
		return err
	}
	for _, s := range l.inv.Sites {
		if err := ctx.Err(); err != nil {
			return err
		}
		st, err := l.internet.newSite(s, l.inv.Sites, l.inv.Ends(s.Name), l.dir)
		if st != nil {
			l.sites = append(l.sites, st)
		}
		if err != nil {
			return err
		}
		l.show.wait(s.Name + " is made")
	}
	if err := l.until(ctx, func(context.Context) error { return l.cablesUp() }); err != nil {
		return err
	}
	if err := l.withholdRoutes(); err != nil {
		return err
	}
	l.capture, err = newCapture(l.internet, l.dir.file("internet.pcapng"))
	return err
}

// cablesUp is nil once every interface carries packets: the kernel takes up to a second for that, and
// drops what is sent before.
func (l *lab) cablesUp() error {
	spaces := []*namespace{l.internet.ns}
	for _, s := range l.sites {
		spaces = append(spaces, s.ns)
		if s.host != nil {
			spaces = append(spaces, s.host.ns)
		}
	}
	for _, ns := range spaces {
		links, err := ns.nl.LinkList()
		if err != nil {
			return err
		}
		for _, link := range links {
			if a := link.Attrs(); a.Flags&net.FlagLoopback == 0 && a.OperState != netlink.OperUp {
				return fmt.Errorf("%s in %s is %s", a.Name, ns.name, a.OperState)
			}
		}
	}
	return nil
}

// site returns the lab's site of a mesh site.
func (l *lab) site(s *mesh.Site) *site {
	return l.sites[slices.IndexFunc(l.sites, func(x *site) bool { return x.Site == s })]
}

// eachLink calls check with both ends of each link until one fails.
func (l *lab) eachLink(check func(link *mesh.Link, a, b *site) error) error {
	for _, link := range l.inv.Links {
		if err := check(link, l.site(link.A), l.site(link.B)); err != nil {
			return fmt.Errorf("%s: %w", link.Name, err)
		}
	}
	return nil
}

// stageIKE waits until both ends of each link hold the same ISAKMP SA.
func (l *lab) stageIKE(ctx context.Context) (string, error) {
	suites := make(map[string]int)
	err := l.until(ctx, func(ctx context.Context) error {
		peers, err := ask[status.IKEDoc](ctx, l.sites, "ike")
		if err != nil {
			return err
		}
		clear(suites)
		return l.eachLink(func(link *mesh.Link, a, b *site) error {
			pa, oka := find(peers[a].Peers, func(p status.IKEPeer) bool { return p.Link == link.Name })
			pb, okb := find(peers[b].Peers, func(p status.IKEPeer) bool { return p.Link == link.Name })
			switch {
			case !oka || !okb:
				return errors.New("a router does not know the link")
			case pa.Role == "" || pb.Role == "":
				return fmt.Errorf("no main mode: %s is %s (%s), %s is %s (%s)", a.Name, pa.State, pa.Reason, b.Name, pb.State, pb.Reason)
			case pa.InitiatorCookie != pb.InitiatorCookie || pa.ResponderCookie != pb.ResponderCookie:
				return fmt.Errorf("the ends hold different ISAKMP SAs: %s:%s and %s:%s", pa.InitiatorCookie, pa.ResponderCookie, pb.InitiatorCookie, pb.ResponderCookie)
			}
			suites[pa.Phase1]++
			return nil
		})
	})
	return fmt.Sprintf("main mode on %d links (%s)", len(l.inv.Links), strings.Join(sortedKeys(suites), ", ")), err
}

// stageESP waits until the SAs of both ends of each link agree.
func (l *lab) stageESP(ctx context.Context) (string, error) {
	kinds := make(map[string]int)
	err := l.until(ctx, func(ctx context.Context) error {
		sads, err := ask[status.SADDoc](ctx, l.sites, "sad")
		if err != nil {
			return err
		}
		clear(kinds)
		return l.eachLink(func(link *mesh.Link, a, b *site) error {
			for _, way := range [][2]*site{{a, b}, {b, a}} {
				sa, err := matchingSA(link.Name, sads[way[0]].SAs, sads[way[1]].SAs)
				if err != nil {
					return fmt.Errorf("%s to %s: %w", way[0].Name, way[1].Name, err)
				}
				kinds[fmt.Sprintf("%s %s", suiteText(sa), sa.Mode)]++
			}
			return nil
		})
	})
	return fmt.Sprintf("both ends of %d links hold the same SAs (%s mode)", len(l.inv.Links), strings.Join(sortedKeys(kinds), ", ")), err
}

// suiteText is the suite of an SA in one word.
func suiteText(sa status.SA) string {
	if sa.Authentication == "" {
		return sa.Encryption
	}
	return sa.Encryption + "/" + sa.Authentication
}

// matchingSA finds the outbound SA that one end uses among the inbound SAs of the other.
func matchingSA(link string, from, to []status.SA) (status.SA, error) {
	out, ok := find(from, func(sa status.SA) bool { return sa.Link == link && sa.Direction == "out" && sa.Current })
	if !ok {
		return out, errors.New("no outbound SA")
	}
	in, ok := find(to, func(sa status.SA) bool { return sa.Link == link && sa.Direction == "in" && sa.SPI == out.SPI })
	if !ok {
		return out, fmt.Errorf("the other end has no inbound SA with SPI 0x%08x", out.SPI)
	}
	if in.Encryption != out.Encryption || in.Authentication != out.Authentication || in.Mode != out.Mode || in.UDP != out.UDP {
		return out, fmt.Errorf("SPI 0x%08x is %s %s at one end, %s %s at the other", out.SPI, suiteText(out), out.Mode, suiteText(in), in.Mode)
	}
	return out, nil
}

// stageGRE waits until each tunnel has delivered packets in both directions.
func (l *lab) stageGRE(ctx context.Context) (string, error) {
	addressing := make(map[string]int)
	err := l.until(ctx, func(ctx context.Context) error {
		tunnels, err := ask[status.TunnelsDoc](ctx, l.sites, "tunnels")
		if err != nil {
			return err
		}
		counters, err := ask[status.CountersDoc](ctx, l.sites, "counters")
		if err != nil {
			return err
		}
		if err := l.refusedGRE(counters); err != nil {
			return err
		}
		clear(addressing)
		return l.eachLink(func(link *mesh.Link, a, b *site) error {
			for _, s := range []*site{a, b} {
				t, ok := find(tunnels[s].Tunnels, func(t status.Tunnel) bool { return t.Link == link.Name })
				if !ok || t.PacketsIn == 0 || t.PacketsOut == 0 {
					return fmt.Errorf("%s has %d packets in and %d out", s.Name, t.PacketsIn, t.PacketsOut)
				}
				addressing[fmt.Sprintf("/%d", t.TunnelLocal.Bits())]++
			}
			return nil
		})
	})
	return fmt.Sprintf("%d tunnels carry packets both ways (%s addresses)", len(l.inv.Links), strings.Join(sortedKeys(addressing), " and ")), err
}

// refusedGRE is an error when a router has opened ESP and not found the link's GRE inside.
func (l *lab) refusedGRE(counters map[*site]status.CountersDoc) error {
	for _, s := range l.sites {
		for _, c := range counters[s].Counters {
			if c.Value > 0 && slices.Contains([]string{"gre_key", "gre_malformed", "gre_protocol", "inner_protocol", "selector"}, c.Name) {
				return fmt.Errorf("%s has refused %d packets inside ESP (%s)", s.Name, c.Value, c.Name)
			}
		}
	}
	return nil
}

// stageOSPF waits until every neighbor is FULL, every LAN is in every routing table, and OSPF, our
// forwarding table and the kernel agree.
func (l *lab) stageOSPF(ctx context.Context) (string, error) {
	routes := 0
	err := l.until(ctx, func(ctx context.Context) error {
		if err := l.adjacent(ctx, l.inv.Links); err != nil {
			return err
		}
		ribs, err := ask[status.RIBDoc](ctx, l.sites, "rib")
		if err != nil {
			return err
		}
		fibs, err := ask[status.FIBDoc](ctx, l.sites, "fib")
		if err != nil {
			return err
		}
		routes = 0
		for _, s := range l.sites {
			n, err := l.tablesAgree(s, ribs[s], fibs[s])
			if err != nil {
				return fmt.Errorf("%s: %w", s.Name, err)
			}
			routes += n
		}
		return l.pathsCheapest(fibs)
	})
	return fmt.Sprintf("%d neighbors FULL; %d routes to LANs, the cheapest ones, the same in OSPF's table, ours and the kernel's", 2*len(l.inv.Links), routes), err
}

// pathsCheapest follows the forwarding tables from every site to every LAN and compares what the way
// costs with an oracle that knows the mesh file only.
func (l *lab) pathsCheapest(fibs map[*site]status.FIBDoc) error {
	for _, a := range l.sites {
		dist := distances(l.inv.Links, a.Site)
		for _, b := range l.sites {
			want, reached := dist[b.Site]
			if a == b || !reached || len(b.LAN) == 0 {
				continue
			}
			path := l.path(fibs, a, b)
			if got := pathCost(l.inv.Links, path); got != want {
				return fmt.Errorf("%s reaches the LAN of %s over %s at a cost of %d; the cheapest way costs %d",
					a.Name, b.Name, strings.Join(names(path), " > "), got, want)
			}
		}
	}
	return nil
}

// adjacent is nil when both ends of the links are FULL.
func (l *lab) adjacent(ctx context.Context, links []*mesh.Link) error {
	neighbors, err := ask[status.NeighborsDoc](ctx, l.sites, "neighbors")
	if err != nil {
		return err
	}
	for _, link := range links {
		for _, s := range []*mesh.Site{link.A, link.B} {
			peer := otherEnd(link, s)
			n, ok := find(neighbors[l.site(s)].Neighbors, func(n status.Neighbor) bool { return n.Interface == link.Name && n.ID == peer.RouterID })
			if !ok {
				return fmt.Errorf("%s: %s does not see %s", link.Name, s.Name, peer.Name)
			}
			if n.State != "FULL" {
				return fmt.Errorf("%s: %s is %s with %s (%s)", link.Name, s.Name, n.State, peer.Name, n.Reason)
			}
		}
	}
	return nil
}

// tablesAgree checks one site: a route to each LAN that it can reach, in all three tables, and no
// difference anywhere. It returns how many routes lead to LANs.
func (l *lab) tablesAgree(s *site, rib status.RIBDoc, fib status.FIBDoc) (routes int, err error) {
	kernel, err := s.kernelRoutes()
	if err != nil {
		return 0, err
	}
	for _, other := range l.inv.Sites {
		if other == s.Site || !connected(l.inv.Links, s.Site, other, nil) {
			continue
		}
		for _, lan := range other.LAN {
			lan = lan.Masked()
			if !slices.ContainsFunc(rib.Routes, func(r status.Route) bool { return r.Destination == lan }) {
				return 0, fmt.Errorf("OSPF has no route to %s of %s", lan, other.Name)
			}
			if !slices.ContainsFunc(fib.Entries, func(e status.FIBEntry) bool { return e.Destination == lan && e.InFIB }) {
				return 0, fmt.Errorf("our forwarding table has no route to %s of %s", lan, other.Name)
			}
			if !kernel[lan] {
				return 0, fmt.Errorf("the kernel has no route to %s of %s", lan, other.Name)
			}
			routes++
		}
	}
	for _, e := range fib.Entries {
		if e.Difference != "" {
			return 0, fmt.Errorf("show fib: %s: %s", e.Destination, e.Difference)
		}
		if tunneled := e.Origin == "ospf"; tunneled && e.InKernel && !kernel[e.Destination] {
			return 0, fmt.Errorf("show fib has %s in the kernel, the kernel does not", e.Destination)
		}
	}
	return routes, nil
}

// kernelRoutes lists what the kernel itself says it sends into the site's TUN device, without what
// follows from the device's own addresses.
func (s *site) kernelRoutes() (map[netip.Prefix]bool, error) {
	tun, err := s.ns.nl.LinkByName(s.TUN)
	if err != nil {
		return nil, fmt.Errorf("device %s: %w", s.TUN, err)
	}
	list, err := s.ns.nl.RouteListFiltered(unix.AF_INET, &netlink.Route{LinkIndex: tun.Attrs().Index}, netlink.RT_FILTER_OIF)
	if err != nil {
		return nil, err
	}
	set := make(map[netip.Prefix]bool)
	for _, r := range list {
		if r.Protocol == unix.RTPROT_KERNEL {
			continue
		}
		dst := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if r.Dst != nil {
			a, _ := netip.AddrFromSlice(r.Dst.IP.To4())
			bits, _ := r.Dst.Mask.Size()
			dst = netip.PrefixFrom(a, bits)
		}
		set[dst] = true
	}
	return set, nil
}

// pingCount is how many echo requests each host sends to each other.
const pingCount = 2

// stagePing pings from every LAN host to every other that the mesh connects.
func (l *lab) stagePing(ctx context.Context) (string, error) {
	l.beforePing()
	pairs := 0
	for _, from := range l.sites {
		if from.host == nil {
			continue
		}
		var dsts []netip.Addr
		for _, to := range l.sites {
			if to != from && to.host != nil && connected(l.inv.Links, from.Site, to.Site, nil) {
				dsts = append(dsts, to.host.addr)
			}
		}
		if len(dsts) == 0 {
			continue
		}
		l.show.wait("pinging from " + from.Name)
		p, err := newPinger(from.host, l.marker, uint16(from.Number), icmpEchoReply) //nolint:gosec // 1..65535
		if err != nil {
			return "", err
		}
		_, err = p.pingAll(ctx, dsts, pingCount, &l.pings)
		p.close()
		if err != nil {
			return "", fmt.Errorf("from the host of %s (%s): %w", from.Name, from.host.addr, err)
		}
		pairs += len(dsts)
	}
	if pairs == 0 {
		return "", errors.New("the mesh has no two connected sites with room for a LAN host")
	}
	return fmt.Sprintf("%d echoes between %d ordered pairs of LAN hosts, all answered", l.pings, pairs), nil
}

// stageWire looks at the capture, first without and then with the keys.
func (l *lab) stageWire(ctx context.Context) (string, error) {
	if err := l.beforeWire(); err != nil {
		return "", err
	}
	if err := l.capture.sync(); err != nil {
		return "", err
	}
	raw, err := inspect(l.capture.path, l.addresses(), l.marker)
	if err != nil {
		return "", err
	}
	pings := int(l.pings) //nolint:gosec // hundreds
	if err := raw.verdict(2 * pings); err != nil {
		return "", err
	}
	l.show.wait("tshark decrypts")
	var logs []string
	for _, s := range l.sites {
		logs = append(logs, s.router.keylog)
	}
	if err := mergeKeyLogs(l.dir.file("keys"), logs); err != nil {
		return "", err
	}
	clear, err := decrypt(ctx, l.dir.file("keys"), l.capture.path, l.marker)
	if err != nil {
		return "", err
	}
	if err := clear.verdict(l.pings); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d frames: %d ESP, %d IKE, %d ARP and nothing else; the marker in none of them, and by tshark with the key log in all %d echoes; nothing malformed",
		raw.frames, raw.esp, raw.ike, raw.arp, 2*pings), nil
}

const (
	// steadyProbes is how many probes in a row must be answered before traffic counts as flowing.
	steadyProbes = 100
	// detectionSlack is what computing and installing routes may take beyond the dead interval.
	detectionSlack = time.Second
)

// stageCut cuts a link under traffic and measures how long the traffic is away.
func (l *lab) stageCut(ctx context.Context) (string, error) {
	if err := l.prepareCut(ctx); err != nil {
		return "", err
	}
	c := l.cut
	a, b := l.site(c.from), l.site(c.to)
	if err := l.applyCut(); err != nil {
		return "", err
	}
	l.cutAt = len(l.stream.sofar())
	if !c.detour {
		return l.cutWithoutDetour(ctx, a, b)
	}
	var path []*mesh.Site
	err := l.until(ctx, func(ctx context.Context) error {
		var err error
		if path, err = l.detour(ctx, a, b); err != nil {
			return err
		}
		if probes := l.stream.sofar(); !steady(probes, l.cutAt, steadyProbes, time.Now(), probeGrace) {
			return fmt.Errorf("%d probes lost so far", measure(probes, l.cutAt).lost)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	if err := l.silent(); err != nil {
		return "", err
	}
	probes := l.stream.sofar()
	in := measure(settled(probes, time.Now()), l.cutAt)
	ms := float64(in.away) / float64(time.Millisecond)
	l.report.RerouteMS, l.report.Lost, l.report.PathDuring = &ms, &in.lost, names(path)
	limit := l.longestDead() + detectionSlack
	detail := fmt.Sprintf("%s cut; traffic %s-%s away for %.0f ms (%d probes lost), back over %s (TTL %d, was %d)",
		c.link.Name, a.Name, b.Name, ms, in.lost, strings.Join(names(path), " > "), probes[len(settled(probes, time.Now()))-1].ttl, l.direct.ttl)
	if in.away > limit {
		return "", fmt.Errorf("%s: longer than %s", detail, limit)
	}
	return detail, nil
}

// prepareCut chooses the link and starts the probes, and waits until they flow over it.
func (l *lab) prepareCut(ctx context.Context) error {
	fibs, err := ask[status.FIBDoc](ctx, l.sites, "fib")
	if err != nil {
		return err
	}
	c, ok := chooseCut(l.inv, func(s *mesh.Site) bool { return l.site(s).host != nil },
		func(a, b *mesh.Site) []*mesh.Site { return l.path(fibs, l.site(a), l.site(b)) })
	if !ok {
		return errors.New("no link carries traffic between two LAN hosts")
	}
	l.cut = c
	a, b := l.site(c.from), l.site(c.to)
	l.report.CutLink, l.report.PathBefore = c.link.Name, names(l.path(fibs, a, b))
	if l.stream, err = startStream(a.host, b.host, l.marker, 0xffff); err != nil {
		return err
	}
	err = l.until(ctx, func(context.Context) error {
		probes := l.stream.sofar()
		if !steady(probes, 0, steadyProbes, time.Now(), probeGrace) {
			return fmt.Errorf("the probes do not flow before the cut: %d of %d lost", measure(probes, 0).lost, len(probes))
		}
		return nil
	})
	if err != nil {
		return err
	}
	done := settled(l.stream.sofar(), time.Now())
	l.direct = done[len(done)-1]
	if lost := measure(done, 0).lost; lost > 0 {
		return fmt.Errorf("%d probes were lost before the cut", lost)
	}
	return nil
}

// cutWithoutDetour checks that a link without an alternative is really away.
func (l *lab) cutWithoutDetour(ctx context.Context, a, b *site) (string, error) {
	err := l.until(ctx, func(context.Context) error {
		done := settled(l.stream.sofar(), time.Now())
		if in := measure(done, l.cutAt); in.lost < steadyProbes || in.back >= 0 {
			return fmt.Errorf("%d probes lost, %d sent", in.lost, len(done)-l.cutAt)
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("there is no other path, yet traffic goes on: %w", err)
	}
	if err := l.silent(); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s cut; there is no other path, so traffic %s-%s is away until the link is mended", l.cut.link.Name, a.Name, b.Name), nil
}

// detour returns the path that traffic between the hosts takes now, once it avoids the cut link in
// both directions and probes prove it by their TTL.
func (l *lab) detour(ctx context.Context, a, b *site) ([]*mesh.Site, error) {
	fibs, err := ask[status.FIBDoc](ctx, l.sites, "fib")
	if err != nil {
		return nil, err
	}
	there, back := l.path(fibs, a, b), l.path(fibs, b, a)
	for _, p := range [][]*mesh.Site{there, back} {
		if len(p) == 0 {
			return nil, fmt.Errorf("no path between %s and %s", a.Name, b.Name)
		}
		if crosses(p, l.cut.link) {
			return nil, fmt.Errorf("traffic still takes the cut link: %s", strings.Join(names(p), " > "))
		}
	}
	done := settled(l.stream.sofar(), time.Now())
	if last := done[len(done)-1]; last.answered && len(there) != len(l.report.PathBefore) && last.forwardTTL == l.direct.forwardTTL {
		return nil, fmt.Errorf("probes arrive with TTL %d, as on the cut path", last.forwardTTL)
	}
	return there, nil
}

// silent checks that the cut was one, and a silent one: packets were swallowed, nothing failed to
// send, no interface went down.
func (l *lab) silent() error {
	n, err := l.internet.dropped()
	if err != nil {
		return err
	}
	if n == 0 {
		return errors.New("the cut has swallowed no packet")
	}
	if err := l.stream.failures(); err != nil {
		return fmt.Errorf("the cut was not silent: %w", err)
	}
	for _, s := range []*site{l.site(l.cut.link.A), l.site(l.cut.link.B)} {
		wan, err := s.ns.nl.LinkByName(s.wan())
		if err != nil {
			return err
		}
		if wan.Attrs().RawFlags&unix.IFF_RUNNING == 0 {
			return fmt.Errorf("the cut was not silent: %s of %s is down", s.wan(), s.Name)
		}
	}
	return nil
}

// longestDead is the dead interval of the link that was cut.
func (l *lab) longestDead() time.Duration { return max(l.cut.link.EndA.Dead, l.cut.link.EndB.Dead) }

// settled leaves out the probes at the end that may still be answered.
func settled(probes []probe, now time.Time) []probe {
	end := len(probes)
	for end > 0 && !probes[end-1].answered && now.Sub(probes[end-1].sent) < probeGrace {
		end--
	}
	return probes[:end]
}

// stageMend mends the link and waits until traffic is back on it, without a loss if it had another
// path meanwhile.
func (l *lab) stageMend(ctx context.Context) (string, error) {
	mended := len(l.stream.sofar())
	if l.o.Sabotage != notMended {
		if err := l.internet.mend(); err != nil {
			return "", err
		}
	}
	a, b := l.site(l.cut.from), l.site(l.cut.to)
	var path []string
	err := l.until(ctx, func(ctx context.Context) error {
		if err := l.adjacent(ctx, []*mesh.Link{l.cut.link}); err != nil {
			return err
		}
		fibs, err := ask[status.FIBDoc](ctx, l.sites, "fib")
		if err != nil {
			return err
		}
		path = names(l.path(fibs, a, b))
		if !slices.Equal(path, l.report.PathBefore) {
			return fmt.Errorf("traffic takes %s", strings.Join(path, " > "))
		}
		probes := l.stream.sofar()
		if !steady(probes, mended, steadyProbes, time.Now(), probeGrace) || !l.onDirectPath(probes) {
			return errors.New("the probes are not back on the mended link")
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	l.stream.halt(ctx)
	probes := l.stream.sofar()
	l.stream = nil
	in := measure(probes, mended)
	l.report.LostAtMend, l.report.PathAfter = &in.lost, path
	if err := l.nothingElse(); err != nil {
		return "", err
	}
	if !l.cut.detour {
		all := measure(probes, l.cutAt)
		l.report.Lost, l.report.Restored = &all.lost, true
		return fmt.Sprintf("traffic is back on %s, %.1f s after the cut (%d probes lost)", l.cut.link.Name, all.away.Seconds(), all.lost), nil
	}
	if in.lost > 0 {
		return "", fmt.Errorf("traffic is back on %s, but the way back cost %d probes", l.cut.link.Name, in.lost)
	}
	l.report.Restored = true
	return fmt.Sprintf("traffic is back on %s after %.1f s without a loss (%d probes since)", l.cut.link.Name,
		probes[len(probes)-1].sent.Sub(probes[mended].sent).Seconds(), len(probes)-mended), nil
}

// onDirectPath reports whether the last settled probes have the TTLs of before the cut.
func (l *lab) onDirectPath(probes []probe) bool {
	done := settled(probes, time.Now())
	for _, p := range done[max(0, len(done)-steadyProbes):] {
		if p.ttl != l.direct.ttl || p.forwardTTL != l.direct.forwardTTL {
			return false
		}
	}
	return true
}

// nothingElse looks at the whole capture again: cut and reroute must not have sent anything in clear.
func (l *lab) nothingElse() error {
	if err := l.capture.sync(); err != nil {
		return err
	}
	raw, err := inspect(l.capture.path, l.addresses(), l.marker)
	if err != nil {
		return err
	}
	return raw.verdict(0)
}

// path follows the forwarding tables from a to the first LAN of b; nil when they do not lead there.
func (l *lab) path(fibs map[*site]status.FIBDoc, a, b *site) []*mesh.Site {
	path := []*mesh.Site{a.Site}
	_, dst := lanAddresses(b.LAN[0])
	if !dst.IsValid() {
		dst = b.LAN[0].Addr()
	}
	for at := a; at != b; {
		next := l.nextHop(fibs[at], at, dst)
		if next == nil || slices.Contains(path, next) {
			return nil
		}
		path = append(path, next)
		at = l.site(next)
	}
	return path
}

// nextHop is the site that a forwarding table sends the address to: the longest prefix, and of
// equal paths the first.
func (l *lab) nextHop(fib status.FIBDoc, at *site, dst netip.Addr) *mesh.Site {
	var best *status.FIBEntry
	for i, e := range fib.Entries {
		if e.InFIB && e.Destination.Contains(dst) && (best == nil || e.Destination.Bits() > best.Destination.Bits()) {
			best = &fib.Entries[i]
		}
	}
	if best == nil {
		return nil
	}
	for _, end := range at.ends {
		if end.Link == best.Interface || best.Nexthop.IsValid() && end.TunnelRemote.Addr() == best.Nexthop {
			return end.Peer
		}
	}
	return nil
}

// names are the names of sites.
func names(path []*mesh.Site) []string {
	list := make([]string, len(path))
	for i, s := range path {
		list[i] = s.Name
	}
	return list
}

// ask gets one document from every router.
func ask[Doc any](ctx context.Context, sites []*site, view string) (map[*site]Doc, error) {
	docs := make(map[*site]Doc, len(sites))
	for _, s := range sites {
		var doc Doc
		if err := s.router.Get(ctx, view, &doc); err != nil {
			return nil, err
		}
		docs[s] = doc
	}
	return docs, nil
}

func find[T any](list []T, is func(T) bool) (T, bool) {
	i := slices.IndexFunc(list, is)
	if i < 0 {
		var none T
		return none, false
	}
	return list[i], true
}

// tables prints what an administrator would look at first, for one site.
func (l *lab) tables(ctx context.Context) {
	s := l.sites[0]
	for _, v := range []struct{ word, view string }{
		{"neighbor", "neighbors"}, {"rib", "rib"}, {"fib", "fib"}, {"flows", "flows"}, {"sad", "sad"},
	} {
		doc := status.New(v.view)
		if err := s.router.Get(ctx, v.view, doc); err != nil {
			l.show.say("show %s: %v\n", v.word, err)
			continue
		}
		var b bytes.Buffer
		doc.Table(&b)
		l.show.say("\n%s# show %s\n%s", s.Name, v.word, b.String())
	}
	l.show.say("\n")
}

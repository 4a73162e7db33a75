package router

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"meshrouter/control"
	"meshrouter/dataplane"
	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/fib"
	"meshrouter/ike"
	"meshrouter/mesh"
	"meshrouter/ospf"
	"meshrouter/status"
)

// views are the documents of the control socket.
func (r *Router) views() map[string]control.View {
	return map[string]control.View{
		"neighbors":  r.viewNeighbors,
		"interfaces": r.viewInterfaces,
		"rib":        r.viewRIB,
		"fib":        r.viewFIB,
		"flows":      r.viewFlows,
		"sad":        r.viewSAD,
		"tunnels":    r.viewTunnels,
		"ike":        r.viewIKE,
		"database":   r.viewDatabase,
		"summary":    r.viewSummary,
		"counters":   r.viewCounters,
	}
}

// neighborStateName is ospfctl's word for a state.
func neighborStateName(s ospf.NeighborState) string {
	switch s {
	case ospf.Down:
		return "DOWN"
	case ospf.Attempt:
		return "ATTMP"
	case ospf.Init:
		return "INIT"
	case ospf.TwoWay:
		return "2-WAY"
	case ospf.ExStart:
		return "EXSTA"
	case ospf.Exchange:
		return "EXCHG"
	case ospf.Loading:
		return "LOAD"
	case ospf.Full:
		return "FULL"
	}
	return "UNKNW"
}

func (r *Router) viewNeighbors(ctx context.Context) (any, error) {
	var list []ospf.NeighborStatus
	var interfaces []ospf.InterfaceStatus
	err := r.ospf.Call(ctx, func() {
		now := time.Now()
		list, interfaces = r.instance.Neighbors(now), r.instance.Interfaces(now)
	})
	if err != nil {
		return nil, err
	}
	p := r.plan.Load()
	doc := status.NeighborsDoc{Neighbors: []status.Neighbor{}, Silent: []status.SilentInterface{}}
	for _, i := range interfaces {
		if l := p.links[i.Config.Name]; l != nil && i.Neighbors == 0 {
			doc.Silent = append(doc.Silent, status.SilentInterface{Interface: l.Link, Peer: l.Peer.Name, Reason: r.silence(i)})
		}
	}
	for _, n := range list {
		row := status.Neighbor{
			ID: dotted(n.ID), Priority: n.Priority, State: neighborStateName(n.State), InterfaceState: "P2P",
			DeadInSeconds: n.DeadIn.Seconds(), Address: n.Addr, Interface: n.Interface, UptimeSeconds: n.Uptime.Seconds(),
			Reason: n.LastReason, StateChanges: n.Changes, Options: n.Options,
			Summary: n.Summary, Request: n.Request, Retransmit: n.Retransmit,
		}
		if l := p.links[n.Interface]; l != nil {
			row.Peer = l.Peer.Name
		}
		doc.Neighbors = append(doc.Neighbors, row)
	}
	return doc, nil
}

// silence says why there is no neighbor on an interface.
func (r *Router) silence(i ospf.InterfaceStatus) string {
	switch peer := r.peer(i.Config.Name); {
	case peer.state != ike.PeerUp:
		return "IKE: " + cmp.Or(peer.reason, "no SA")
	case !i.Up:
		return cmp.Or(i.Reason, "the interface is down")
	case i.LastError != "":
		return i.LastError
	}
	return "no hello has come through the tunnel"
}

func (r *Router) viewInterfaces(ctx context.Context) (any, error) {
	var list []ospf.InterfaceStatus
	if err := r.ospf.Call(ctx, func() { list = r.instance.Interfaces(time.Now()) }); err != nil {
		return nil, err
	}
	p := r.plan.Load()
	doc := status.InterfacesDoc{Interfaces: []status.Interface{}}
	for _, i := range list {
		c := i.Config
		row := status.Interface{
			Name: c.Name, Address: c.Address, State: "DOWN", Passive: c.Passive, HelloInSeconds: i.HelloIn.Seconds(),
			LinkState: "unknown", UptimeSeconds: i.Uptime.Seconds(), Neighbors: i.Neighbors, Adjacent: i.Adjacent,
			Cost: int(c.Cost), HelloSeconds: int(c.HelloInterval.Seconds()), DeadSeconds: int(c.RouterDeadInterval.Seconds()),
			MTUBytes: c.MTU, DDMTUBytes: int(c.DDMTU), Authentication: authName(c.Auth.Type),
			Reason: i.Reason, LastError: i.LastError,
		}
		if l := p.links[c.Name]; l != nil {
			row.LinkState = "down"
			if r.peer(c.Name).state == ike.PeerUp {
				row.LinkState = "active"
			}
			if r.keepalives.lost(c.Name) {
				row.LinkState = "keepalive down"
			}
		}
		if i.Up {
			row.State = "P2P"
			if c.Type == ospf.Broadcast {
				row.State = "DR"
			}
		}
		doc.Interfaces = append(doc.Interfaces, row)
	}
	return doc, nil
}

func authName(t ospf.AuthType) string {
	switch t {
	case ospf.SimplePassword:
		return "simple"
	case ospf.CryptographicAuth:
		return "md5"
	default:
		return "none"
	}
}

func pathTypeName(t ospf.PathType) string {
	switch t {
	case ospf.InterArea:
		return "Inter-Area"
	case ospf.Type1External:
		return "Type 1 ext"
	case ospf.Type2External:
		return "Type 2 ext"
	default:
		return "Intra-Area"
	}
}

func (r *Router) viewRIB(context.Context) (any, error) {
	rib, _, p := r.routes.table()
	now := time.Now()
	doc := status.RIBDoc{Routes: []status.Route{}}
	for _, route := range rib {
		for _, hop := range route.NextHops {
			row := status.Route{
				Destination: route.Prefix, Nexthop: hop.Addr, Connected: route.Local, Interface: hop.Interface,
				PathType: pathTypeName(route.PathType), Type: "Network", Cost: uint32(route.Cost),
				UptimeSeconds: now.Sub(route.since).Seconds(),
			}
			if len(route.AdvRouters) > 0 {
				row.AdvRouter = dotted(route.AdvRouters[0])
			}
			if l := p.links[hop.Interface]; l != nil && route.Local {
				row.Nexthop = l.TunnelLocal.Addr()
			} else if route.Local {
				row.Nexthop, _ = hostAddressIn(route.Prefix)
			}
			doc.Routes = append(doc.Routes, row)
		}
	}
	return doc, nil
}

// viewFIB sets OSPF's table, ours and the kernel's side by side.
func (r *Router) viewFIB(context.Context) (any, error) {
	rib, static, p := r.routes.table()
	kernel, err := r.kernel.installed()
	if err != nil {
		return nil, err
	}
	rows := map[netip.Prefix][]status.FIBEntry{}
	inRIB := map[netip.Prefix]ospfRoute{}
	for _, route := range rib {
		inRIB[route.Prefix] = route
	}
	isStatic := map[netip.Prefix]bool{}
	for _, route := range static {
		isStatic[route.Prefix] = true
	}
	for _, route := range r.dp.Routes() {
		for _, hop := range route.NextHops {
			e := status.FIBEntry{Destination: route.Prefix, Origin: "ospf", Priority: routePriority, InFIB: true, InKernel: kernel[route.Prefix]}
			ospfRoute, ok := inRIB[route.Prefix]
			e.InRIB = ok || isStatic[route.Prefix]
			switch l := p.tunnels[hop.Tunnel]; {
			case hop.Local:
				e.Origin, e.Priority = "connected", 0
				_, e.Interface = hostAddressIn(route.Prefix)
				e.InKernel = e.Interface != ""
			case l != nil:
				e.Interface = l.Link
				if isStatic[route.Prefix] {
					e.Origin, e.Priority = "static", 0
				} else if !ospfRoute.Local {
					e.Nexthop = l.TunnelRemote.Addr()
				}
			}
			rows[route.Prefix] = append(rows[route.Prefix], e)
		}
	}
	for prefix, route := range inRIB { // computed, but not in the forwarding table
		if rows[prefix] == nil {
			rows[prefix] = []status.FIBEntry{{Destination: prefix, Interface: route.NextHops[0].Interface, Nexthop: route.NextHops[0].Addr, Origin: "ospf", Priority: routePriority, InRIB: true, InKernel: kernel[prefix]}}
		}
	}
	for prefix := range kernel { // in the kernel only
		if rows[prefix] == nil {
			rows[prefix] = []status.FIBEntry{{Destination: prefix, Interface: r.device.Name(), Origin: "ospf", Priority: routePriority, InKernel: true}}
		}
	}
	doc := status.FIBDoc{Entries: []status.FIBEntry{}}
	for _, prefix := range slices.SortedFunc(maps.Keys(rows), netip.Prefix.Compare) {
		for _, e := range rows[prefix] {
			e.Difference = difference(e)
			doc.Entries = append(doc.Entries, e)
		}
	}
	return doc, nil
}

// difference says in words where the three tables do not agree.
func difference(e status.FIBEntry) string {
	switch {
	case e.InRIB && e.InFIB && e.InKernel:
		return ""
	case !e.InRIB && !e.InFIB:
		return "in the kernel only: left by an earlier process, or made by hand"
	case !e.InRIB:
		return "OSPF has withdrawn it"
	case !e.InFIB:
		return "not in the forwarding table"
	default:
		return "missing in the kernel's table: the host and its LAN do not reach it"
	}
}

func (r *Router) viewFlows(context.Context) (any, error) {
	doc := status.FlowsDoc{Flows: []status.Flow{}}
	for _, l := range r.plan.Load().order {
		in := status.Flow{
			Link: l.Link, Direction: "in", Protocol: l.RemoteTS.Protocol, From: l.RemoteTS.Prefix, To: l.LocalTS.Prefix,
			Local: l.Local, Peer: l.Remote, SrcID: identityText(l.LocalID, l.Local), DstID: identityText(l.RemoteID, l.Remote), Type: "require",
		}
		out := in
		out.Direction, out.From, out.To = "out", in.To, in.From
		doc.Flows = append(doc.Flows, in, out)
	}
	return doc, nil
}

// identityText prints a phase 1 identity as ipsecctl does: an address with /32, a name as it is.
func identityText(id mesh.Identity, address netip.Addr) string {
	switch {
	case id.Type == 0:
		return host(address).String()
	case id.Type == 1 && len(id.Data) == 4:
		return host(netip.AddrFrom4([4]byte(id.Data))).String()
	}
	return string(id.Data)
}

func (r *Router) viewSAD(context.Context) (any, error) {
	now := time.Now()
	doc := status.SADDoc{SAs: []status.SA{}}
	for _, have := range r.sas.list() {
		c := have.sa.Counters()
		row := status.SA{
			Link: have.link, SPI: have.SPI, Direction: "out", Mode: have.sa.Mode().String(), From: have.sa.Src(), To: have.sa.Dst(),
			Encryption: cipherName(have.sa), Authentication: authenticationName(have.sa.Auth()), UDP: have.UDP, Current: have.current,
			Restored: have.Restored, AgeSeconds: now.Sub(have.Created).Seconds(), SoftInSeconds: have.Soft.Sub(now).Seconds(),
			HardInSeconds: have.Hard.Sub(now).Seconds(), Packets: c.Packets.Load(), Bytes: c.Bytes.Load(),
			Sequence: c.NextSeq.Load(), ReplayDrops: c.ReplayDrops.Load(), AuthDrops: c.AuthDrops.Load(), IdleSeconds: -1,
		}
		if have.Inbound {
			row.Direction, row.Sequence, row.ReplayWindow = "in", c.HighSeq.Load(), esp.WindowSize
		}
		if used := c.LastUsedUnixNano.Load(); used != 0 {
			row.IdleSeconds = now.Sub(time.Unix(0, int64(used))).Seconds() //nolint:gosec // stored from an int64
		}
		doc.SAs = append(doc.SAs, row)
	}
	markNewestInbound(doc.SAs)
	return doc, nil
}

// markNewestInbound marks, for each link, the inbound SA that was made last.
func markNewestInbound(sas []status.SA) {
	newest := map[string]int{}
	for i, sa := range sas {
		if sa.Direction != "in" {
			continue
		}
		if j, ok := newest[sa.Link]; !ok || sa.AgeSeconds < sas[j].AgeSeconds {
			newest[sa.Link] = i
		}
	}
	for _, i := range newest {
		sas[i].Current = true
	}
}

// cipherName is ipsecctl's name of an SA's cipher.
func cipherName(sa *esp.SA) string {
	switch sa.Cipher() {
	case esp.TripleDESCBC:
		return "3des-cbc"
	case esp.NullCipher:
		return "null"
	case esp.AESCBC:
		if sa.KeyBits() == 128 {
			return "aes"
		}
		return fmt.Sprintf("aes-%d", sa.KeyBits())
	case esp.AESGCM16:
		return fmt.Sprintf("aes-%d-gcm", sa.KeyBits())
	case esp.ChaCha20Poly1305:
		return "chacha20-poly1305"
	}
	return sa.Suite()
}

// authenticationName is ipsecctl's name of an integrity transform.
func authenticationName(a esp.Auth) string {
	switch a {
	case esp.HMACMD5:
		return "hmac-md5"
	case esp.HMACSHA1:
		return "hmac-sha1"
	case esp.HMACSHA256:
		return "hmac-sha2-256"
	case esp.HMACSHA384:
		return "hmac-sha2-384"
	case esp.HMACSHA512:
		return "hmac-sha2-512"
	case esp.NoAuth:
	}
	return ""
}

func (r *Router) viewTunnels(context.Context) (any, error) {
	traffic := map[fib.TunnelID]dataplane.TunnelStatus{}
	for _, t := range r.dp.Status() {
		traffic[t.Config.ID] = t
	}
	doc := status.TunnelsDoc{Tunnels: []status.Tunnel{}}
	for _, l := range r.plan.Load().order {
		t, peer := traffic[l.id], r.peer(l.Link)
		udp := t.Outbound != nil && t.Outbound.Dst().Port() != 0
		mtu, sum := l.tunnelMTU(udp || l.NATT == mesh.NATTForce)
		found := r.paths.found(l.Link)
		doc.Tunnels = append(doc.Tunnels, status.Tunnel{
			Link: l.Link, Peer: l.Peer.Name, Up: peer.state == ike.PeerUp, Reason: peer.reason, Local: l.Local, Remote: l.Remote,
			GRELocal: l.GRELocal, GRERemote: l.GRERemote, TunnelLocal: l.TunnelLocal, TunnelRemote: l.TunnelRemote, GREKey: l.GREKey,
			Suite: l.Suite.Name, Mode: esp.Mode(l.Mode).String(), MTUBytes: mtu, MTUSum: sum, PathMTUBytes: found,
			PacketsIn: t.PacketsIn, BytesIn: t.BytesIn, PacketsOut: t.PacketsOut, BytesOut: t.BytesOut, Source: l.Source,
		})
	}
	return doc, nil
}

// peer is the last that IKE said of a link.
func (r *Router) peer(link string) peerState {
	r.peersMu.Lock()
	defer r.peersMu.Unlock()
	return r.peers[link]
}

func (r *Router) viewIKE(ctx context.Context) (any, error) {
	now := time.Now()
	var list []ike.PeerStatus
	if err := r.ike.Call(ctx, func() { list = r.engine.Status(now) }); err != nil {
		return nil, err
	}
	p := r.plan.Load()
	doc := status.IKEDoc{Peers: []status.IKEPeer{}}
	for _, s := range list {
		row := status.IKEPeer{
			Link: string(s.ID), State: peerStateName(s.State), Reason: s.Reason, Local: s.Local, Remote: s.Remote, NAT: s.NAT, SAs: len(s.SAs), NHTB: s.NHTB,
		}
		if l := p.links[row.Link]; l != nil {
			row.Peer, row.Profile = l.Peer.Name, string(l.Profile)
		}
		if !s.Phase1Expires.IsZero() {
			row.Role = "responder"
			if s.Initiator {
				row.Role = "initiator"
			}
			row.InitiatorCookie, row.ResponderCookie = hex.EncodeToString(s.InitiatorCookie[:]), hex.EncodeToString(s.ResponderCookie[:])
			row.Phase1 = phase1Name(s.Phase1)
			row.EstablishedSeconds, row.ExpiresInSeconds = now.Sub(s.Established).Seconds(), s.Phase1Expires.Sub(now).Seconds()
		}
		doc.Peers = append(doc.Peers, row)
	}
	return doc, nil
}

func (r *Router) viewDatabase(ctx context.Context) (any, error) {
	doc := status.DatabaseDoc{Area: r.plan.Load().inventory.OSPF.Area, LSAs: []status.LSA{}}
	err := r.ospf.Call(ctx, func() {
		for _, l := range r.instance.Database(time.Now()) {
			doc.LSAs = append(doc.LSAs, status.LSA{
				Type: l.Type, ID: netip.AddrFrom4(l.ID), AdvRouter: dotted(l.AdvRouter), AgeSeconds: l.Age, Sequence: l.Sequence,
				Checksum: l.Checksum, LengthBytes: l.Length, Raw: slices.Clone(l.Raw),
			})
		}
	})
	return doc, err
}

func (r *Router) viewSummary(ctx context.Context) (any, error) {
	var s ospf.Summary
	if err := r.ospf.Call(ctx, func() { s = r.instance.Summary(time.Now()) }); err != nil {
		return nil, err
	}
	o := r.plan.Load().inventory.OSPF
	return status.SummaryDoc{
		Site: r.opts.Site, Version: r.opts.Version, RouterID: dotted(s.RouterID), UptimeSeconds: time.Since(r.started).Seconds(),
		SPFDelayMsec: int(o.SPFDelay.Milliseconds()), SPFHoldMsec: int(o.SPFHold.Milliseconds()), LastSPFAgoSeconds: s.LastSPF.Seconds(),
		Areas: []status.Area{{
			ID: dotted(s.Area), Interfaces: s.Interfaces, Adjacent: s.FullCount, SPFRuns: s.SPFRuns, LSAs: s.LSAs, ChecksumSum: s.ChecksumSum,
		}},
		Offloads: r.offloads(), Workers: r.workers(),
	}, nil
}

func (r *Router) viewCounters(ctx context.Context) (any, error) {
	doc := status.CountersDoc{Counters: []status.Counter{}}
	add := func(subsystem string, counts map[string]uint64) {
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			doc.Counters = append(doc.Counters, status.Counter{Subsystem: subsystem, Name: name, Value: counts[name]})
		}
	}
	add("dataplane", r.dp.Drops())
	add("underlay", r.underlayCounts())
	add("tun", map[string]uint64{"queue_full": r.kernel.dropped()})
	counts := map[string]uint64{}
	err := r.ike.Call(ctx, func() {
		for name, n := range r.engine.Counters() {
			counts[string(name)] = n
		}
	})
	if err != nil {
		return nil, err
	}
	counts["mailbox_full"] = r.ike.Dropped()
	add("ike", counts)
	counts = map[string]uint64{}
	if err := r.ospf.Call(ctx, func() { maps.Copy(counts, r.instance.Counters()) }); err != nil {
		return nil, err
	}
	counts["mailbox_full"] = r.ospf.Dropped()
	add("ospf", counts)
	return doc, nil
}

// underlayCounts are what the outer sockets lost on arrival, by reason, and what they carried.
func (r *Router) underlayCounts() map[string]uint64 {
	c := r.sockets.Counters()
	counts := map[string]uint64{
		"packets_sent": c.Sent, "messages_sent": c.SentMessages, "packets_received": c.Received, "messages_received": c.ReceivedMessages,
		"segment_refused": c.SegmentRefusals,
	}
	r.sockets.Drops(func(reason string, n uint64) { counts[reason] = n })
	return counts
}

package router

import (
	"iter"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"meshrouter/dataplane"
	"meshrouter/dataplane/fib"
	"meshrouter/ospf"
)

// A routeBoard holds what OSPF computed and keeps the forwarding table and the kernel's routes
// like it. Routes of the plan itself (our own addresses and networks) win over OSPF's.
type routeBoard struct {
	dp     *dataplane.Engine
	kernel *kernel
	log    *slog.Logger

	mu     sync.Mutex // guards what follows
	plan   *plan
	static map[netip.Prefix]fib.Route
	rib    map[netip.Prefix]ospfRoute
	stale  map[netip.Prefix]bool // kernel routes of an earlier process that OSPF has not confirmed yet
}

// An ospfRoute is a row of the routing table and since when it is there.
type ospfRoute struct {
	ospf.Route
	since time.Time
}

func newRouteBoard(dp *dataplane.Engine, k *kernel, log *slog.Logger) (*routeBoard, error) {
	stale, err := k.installed()
	if err != nil {
		return nil, err
	}
	return &routeBoard{dp: dp, kernel: k, log: log, static: map[netip.Prefix]fib.Route{}, rib: map[netip.Prefix]ospfRoute{}, stale: stale}, nil
}

// setPlan publishes the routes of a plan. Routes of OSPF stay; those through tunnels that are gone
// are left out until OSPF withdraws them.
func (b *routeBoard) setPlan(p *plan) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.static
	b.plan, b.static = p, p.staticRoutes()
	touched := map[netip.Prefix]bool{}
	for _, set := range []map[netip.Prefix]fib.Route{old, b.static} {
		for prefix := range set {
			touched[prefix] = true
		}
	}
	for prefix := range b.rib {
		touched[prefix] = true
	}
	b.publish(touched)
}

// change takes over what OSPF says is different.
func (b *routeBoard) change(now time.Time, rc ospf.RoutesChanged) {
	b.mu.Lock()
	defer b.mu.Unlock()
	touched := map[netip.Prefix]bool{}
	for _, r := range rc.Changed {
		since := now
		if old, ok := b.rib[r.Prefix]; ok && slices.Equal(old.NextHops, r.NextHops) {
			since = old.since
		}
		b.rib[r.Prefix] = ospfRoute{r, since}
		touched[r.Prefix] = true
	}
	for _, p := range rc.Removed {
		delete(b.rib, p)
		touched[p] = true
	}
	b.publish(touched)
}

// publish brings the forwarding table and the kernel up to date for the touched prefixes.
func (b *routeBoard) publish(touched map[netip.Prefix]bool) {
	var fibChanged []fib.Route
	var fibRemoved, kernelRemoved []netip.Prefix
	var kernelChanged []kernelRoute
	source := b.source()
	for _, prefix := range slices.SortedFunc(maps.Keys(touched), netip.Prefix.Compare) {
		if r, ok := b.forwarding(prefix); ok {
			fibChanged = append(fibChanged, r)
		} else {
			fibRemoved = append(fibRemoved, prefix)
		}
		if r, ok := b.kernelRoute(prefix, source); ok {
			kernelChanged = append(kernelChanged, r)
		} else if !b.stale[prefix] {
			kernelRemoved = append(kernelRemoved, prefix)
		}
	}
	b.dp.Update(func(u *dataplane.Update) { u.SetRoutes(fibChanged, fibRemoved) })
	for _, r := range kernelChanged {
		delete(b.stale, r.prefix)
	}
	if err := b.kernel.apply(kernelChanged, kernelRemoved); err != nil {
		b.log.Error("the kernel's routes differ from ours", slog.Any("error", err))
	}
}

// forwarding is the row of the forwarding table that a prefix should have.
func (b *routeBoard) forwarding(prefix netip.Prefix) (fib.Route, bool) {
	if r, ok := b.static[prefix]; ok {
		return r, true
	}
	r, ok := b.rib[prefix]
	if !ok {
		return fib.Route{}, false
	}
	out := fib.Route{Prefix: prefix}
	for _, hop := range r.NextHops {
		if l := b.plan.links[hop.Interface]; l != nil {
			out.NextHops = append(out.NextHops, fib.NextHop{Tunnel: l.id})
		} else if r.Local {
			out.NextHops = append(out.NextHops, fib.NextHop{Local: true})
		}
	}
	return out, len(out.NextHops) > 0
}

// source is what the host's own packets into the mesh carry: its address in one of the LANs as it is now,
// so that the far LAN can answer; invalid: the kernel chooses.
func (b *routeBoard) source() netip.Addr {
	a, _ := hostAddressIn(b.plan.site.LAN...)
	return a
}

// repair gives the kernel back the routes that it has lost: it drops those of a device that was down for a
// moment, and those whose source address went.
func (b *routeBoard) repair() {
	b.mu.Lock()
	defer b.mu.Unlock()
	have, err := b.kernel.installed()
	if err != nil {
		b.log.Error("the kernel's routes cannot be read", slog.Any("error", err))
		return
	}
	var missing []kernelRoute
	source := b.source()
	for _, set := range []iter.Seq[netip.Prefix]{maps.Keys(b.static), maps.Keys(b.rib)} {
		for prefix := range set {
			if r, ok := b.kernelRoute(prefix, source); ok && !have[prefix] {
				missing = append(missing, r)
			}
		}
	}
	if len(missing) == 0 {
		return
	}
	b.log.Warn("the kernel has lost routes of ours", slog.Int("count", len(missing)))
	if err := b.kernel.apply(missing, nil); err != nil {
		b.log.Error("the kernel's routes differ from ours", slog.Any("error", err))
	}
}

// kernelRoute is the route that leads the host's packets for a prefix into the TUN; ok is false for
// what the host reaches itself.
func (b *routeBoard) kernelRoute(prefix netip.Prefix, source netip.Addr) (kernelRoute, bool) {
	r, ok := b.forwarding(prefix)
	if !ok {
		return kernelRoute{}, false
	}
	k := kernelRoute{prefix: prefix, src: source}
	for _, hop := range r.NextHops {
		if hop.Local {
			return kernelRoute{}, false
		}
		if l := b.plan.tunnels[hop.Tunnel]; l != nil && (k.mtu == 0 || l.mtu < k.mtu) {
			k.mtu = l.mtu
		}
	}
	return k, true
}

// dropStale removes the kernel routes of an earlier process that OSPF has not brought back.
func (b *routeBoard) dropStale() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.stale) == 0 {
		return
	}
	gone := slices.Collect(maps.Keys(b.stale))
	clear(b.stale)
	if err := b.kernel.apply(nil, gone); err != nil {
		b.log.Error("the kernel's routes differ from ours", slog.Any("error", err))
	}
	b.log.Info("removed routes of an earlier process", slog.Int("count", len(gone)))
}

// table returns OSPF's routes by prefix, those of the plan, and the plan.
func (b *routeBoard) table() (rib []ospfRoute, static []fib.Route, p *plan) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, prefix := range slices.SortedFunc(maps.Keys(b.rib), netip.Prefix.Compare) {
		rib = append(rib, b.rib[prefix])
	}
	for _, prefix := range slices.SortedFunc(maps.Keys(b.static), netip.Prefix.Compare) {
		static = append(static, b.static[prefix])
	}
	return rib, static, b.plan
}

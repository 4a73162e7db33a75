package ether

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"meshrouter/dataplane/esp"
)

const (
	// maxWays bounds the table; when there are more destinations it begins anew.
	maxWays = 1 << 16
	// askedDepth is how many questions wait; packets ask again.
	askedDepth = 1024
	// confirmEvery is how often neighbors in use are confirmed: below DELAY_PROBE_TIME, so that the
	// kernel sees them in use all the time.
	confirmEvery = 4 * time.Second
	// refreshEvery is how often a route in use is looked up again, for what netlink does not tell:
	// policy rules and path MTUs.
	refreshEvery = 32 * time.Second
	// changeDelay collects changes of routes, and changeBatch is how many lookups follow at once.
	changeDelay = 50 * time.Millisecond
	changeBatch = 1024
	// maxFailures is how often in a row netlink may fail.
	maxFailures = 16
)

// usable are the states in which a neighbor's MAC may be used (Linux: NUD_VALID).
const usable = netlink.NUD_PERMANENT | netlink.NUD_NOARP | netlink.NUD_REACHABLE |
	netlink.NUD_PROBE | netlink.NUD_STALE | netlink.NUD_DELAY

// Ways knows how to reach destinations through one interface. It belongs to the network namespace of
// the thread that opened it.
type Ways struct {
	host  atomic.Pointer[Host]
	table atomic.Pointer[map[[4]byte]*Way] // of all destinations asked for; nil: not by this interface
	asked chan netip.Addr
	stop  chan struct{}
	done  sync.WaitGroup
	gone  chan struct{}

	handle *netlink.Handle
	events *nl.NetlinkSocket
	opened Interface // as it was then

	// The rest belongs to follow.
	iface     Interface
	routes    map[netip.Addr]*route // by destination
	neighbors map[netip.Addr]MAC    // of the interface, usable ones
	changed   bool                  // routes is not what the table says
	stale     bool                  // some of routes are
}

// A route is what the kernel said of a destination.
type route struct {
	stale bool
	mine  bool       // by this interface, plain
	next  netip.Addr // neighbor
	mtu   int
	way   *Way
	idle  int // refreshes without use
}

// Open finds the interface that has the address local and begins to follow what netlink tells of it.
func Open(local netip.Addr) (*Ways, error) {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("ether: netlink: %w", err)
	}
	w := &Ways{
		handle: handle, asked: make(chan netip.Addr, askedDepth), stop: make(chan struct{}), gone: make(chan struct{}),
		routes: make(map[netip.Addr]*route),
	}
	// Subscribed before anything is read, so that no change is missed.
	w.events, err = nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_IFADDR)
	if err != nil {
		handle.Close()
		return nil, fmt.Errorf("ether: netlink: subscription: %w", err)
	}
	if w.iface, err = find(handle, local); err == nil {
		err = w.readNeighbors()
	}
	if err != nil {
		w.events.Close()
		handle.Close()
		return nil, err
	}
	w.opened = w.iface
	w.host.Store(&w.opened.Host)
	w.publish()
	messages := make(chan syscall.NetlinkMessage, 256)
	w.done.Go(func() { w.listen(messages) })
	w.done.Go(func() { w.follow(messages) })
	return w, nil
}

// Interface is the interface as it was at Open.
func (w *Ways) Interface() Interface { return w.opened }

// Host is the interface's present address and MAC.
func (w *Ways) Host() *Host { return w.host.Load() }

// Gone is closed when the interface has vanished or netlink fails for good: no way remains.
func (w *Ways) Gone() <-chan struct{} { return w.gone }

// Close ends both goroutines.
func (w *Ways) Close() {
	close(w.stop)
	w.events.Close()
	w.done.Wait()
	w.handle.Close()
}

// To is the way to a destination, or nil if packets to it must leave by the kernel's own means. It
// neither blocks nor allocates; an unknown destination is looked up in the background.
func (w *Ways) To(dst netip.Addr) *Way {
	way, known := (*w.table.Load())[dst.As4()]
	if !known {
		select {
		case w.asked <- dst:
		default:
		}
	}
	return way
}

// A Finder finds the ways of a batch's packets. It remembers that of the packet before.
type Finder struct {
	Ways *Ways
	dst  netip.Addr
	last *Way
}

// Way is the way of a packet, or nil if it is for the kernel: no way is known, it goes by UDP, it is of
// the control class, or it needs fragmentation.
func (f *Finder) Way(p esp.Sealed) *Way {
	dst := p.SA().Dst()
	if dst.Port() != 0 || p.TOS() >= TOSControl {
		return nil
	}
	if dst.Addr() != f.dst {
		f.dst, f.last = dst.Addr(), f.Ways.To(dst.Addr())
		if f.last != nil {
			f.last.use()
		}
	}
	if f.last == nil || len(p.Bytes()) > f.last.largest {
		return nil
	}
	return f.last
}

// listen hands netlink's messages to follow. One of type NLMSG_OVERRUN says that some were lost, one of
// NLMSG_ERROR that there will be none anymore. It ends with the socket.
func (w *Ways) listen(messages chan<- syscall.NetlinkMessage) {
	put := func(m syscall.NetlinkMessage) bool {
		select {
		case messages <- m:
			return true
		case <-w.stop:
			return false
		}
	}
	failures := 0
	for {
		batch, from, err := w.events.Receive()
		select {
		case <-w.stop:
			return
		default:
		}
		if err != nil {
			kind := uint16(unix.NLMSG_OVERRUN)
			if failures++; failures > maxFailures {
				kind = unix.NLMSG_ERROR
			}
			if !put(syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: kind}}) || kind == unix.NLMSG_ERROR {
				return
			}
			continue
		}
		failures = 0
		if from.Pid != 0 {
			continue // not from the kernel
		}
		for _, m := range batch {
			if !put(m) {
				return
			}
		}
	}
}

// follow owns routes and neighbors.
func (w *Ways) follow(messages <-chan syscall.NetlinkMessage) {
	tick := time.NewTicker(confirmEvery)
	defer tick.Stop()
	var later <-chan time.Time
	for ticks := 1; ; {
		select {
		case <-w.stop:
			return
		case dst := <-w.asked:
			w.learn(dst)
		case m := <-messages:
			if !w.apply(m) {
				w.leave()
				return
			}
		case <-later:
			later = nil
			w.lookUpStale()
		case <-tick.C:
			w.confirm()
			if ticks++; ticks%int(refreshEvery/confirmEvery) == 0 {
				w.refresh()
			}
		}
		if later == nil && w.stale {
			later = time.After(changeDelay)
		}
		if w.changed && len(w.asked) == 0 && len(messages) == 0 {
			w.publish()
		}
	}
}

// leave empties the table for good: with no question answered, every packet goes to the kernel.
func (w *Ways) leave() {
	w.table.Store(new(map[[4]byte]*Way))
	close(w.gone)
}

// learn looks a destination up that is new.
func (w *Ways) learn(dst netip.Addr) {
	if w.routes[dst] != nil {
		return // asked more than once
	}
	if len(w.routes) >= maxWays {
		clear(w.routes)
	}
	r := &route{}
	w.routes[dst], w.changed = r, true
	w.lookUp(dst, r)
}

// lookUp asks the kernel for the route.
func (w *Ways) lookUp(dst netip.Addr, r *route) {
	r.stale, r.mine = false, false
	found, err := w.handle.RouteGetWithOptions(dst.AsSlice(), &netlink.RouteGetOptions{SrcAddr: w.iface.Addr.AsSlice()})
	if err == nil && len(found) == 1 {
		w.take(dst, r, &found[0])
	}
	w.build(dst, r)
}

func (w *Ways) take(dst netip.Addr, r *route, found *netlink.Route) {
	plain := found.Type == unix.RTN_UNICAST && found.Encap == nil && found.Via == nil && found.MPLSDst == nil && len(found.MultiPath) == 0
	r.mine = plain && found.LinkIndex == w.iface.Index
	r.next, r.mtu = dst, w.iface.MTU
	if found.MTU > 0 {
		r.mtu = min(r.mtu, found.MTU)
	}
	if found.Gw != nil {
		r.next, _ = netip.AddrFromSlice(found.Gw.To4())
	}
}

// build makes the way that follows from the route and its neighbor.
func (w *Ways) build(dst netip.Addr, r *route) {
	var way *Way
	if mac, ok := w.neighbors[r.next]; ok && r.mine {
		way = newWay(w.iface.Host, dst, mac, r.mtu)
	}
	if way != nil && r.way != nil && way.header == r.way.header && way.largest == r.way.largest {
		return // and stay in use
	}
	r.way, w.changed = way, true
}

// publish makes the table say what routes says.
func (w *Ways) publish() {
	w.changed = false
	table := make(map[[4]byte]*Way, len(w.routes))
	for dst, r := range w.routes {
		table[dst.As4()] = r.way
	}
	w.table.Store(&table)
}

// apply follows one message. It returns false if there is nothing to follow anymore.
func (w *Ways) apply(m syscall.NetlinkMessage) bool {
	switch m.Header.Type {
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		if n, err := netlink.NeighDeserialize(m.Data); err == nil {
			w.applyNeighbor(n, m.Header.Type == unix.RTM_NEWNEIGH)
		}
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		if to, ok := routeDst(m.Data); ok {
			w.markStale(to.Contains)
		}
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		w.markStale(all)
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if len(m.Data) >= unix.SizeofIfInfomsg && nl.DeserializeIfInfomsg(m.Data).Index == int32(w.iface.Index) { //nolint:gosec // G115: as the kernel has it
			return m.Header.Type == unix.RTM_NEWLINK && w.readLink() == nil
		}
	case unix.NLMSG_OVERRUN:
		w.markStale(all)
		return w.readLink() == nil && w.readNeighbors() == nil
	case unix.NLMSG_ERROR:
		return false
	}
	return true
}

func all(netip.Addr) bool { return true }

// routeDst is the destination of a route message: struct rtmsg, then attributes, each with its length
// and type in front and aligned to 4 bytes. (nl.ParseRouteAttr trusts that the last one is.)
func routeDst(b []byte) (to netip.Prefix, ok bool) {
	if len(b) < unix.SizeofRtMsg || b[0] != unix.AF_INET {
		return to, false
	}
	dst, bits := netip.IPv4Unspecified(), int(b[1])
	for b = b[unix.SizeofRtMsg:]; len(b) >= unix.SizeofRtAttr; {
		size, kind := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])
		if size < unix.SizeofRtAttr || size > len(b) {
			return to, false
		}
		if kind == unix.RTA_DST && size == unix.SizeofRtAttr+4 {
			dst = netip.AddrFrom4([4]byte(b[unix.SizeofRtAttr:]))
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	to, err := dst.Prefix(bits)
	return to, err == nil
}

func (w *Ways) applyNeighbor(n *netlink.Neigh, there bool) {
	ip, ok := netip.AddrFromSlice(n.IP.To4())
	if !ok || n.LinkIndex != w.iface.Index || n.Flags&netlink.NTF_PROXY != 0 {
		return
	}
	old, had := w.neighbors[ip]
	var mac MAC
	if there = there && n.State&usable != 0 && len(n.HardwareAddr) == len(mac); there {
		mac = MAC(n.HardwareAddr)
		w.neighbors[ip] = mac
	} else {
		delete(w.neighbors, ip)
	}
	if had == there && old == mac {
		return
	}
	for dst, r := range w.routes {
		if r.mine && r.next == ip {
			w.build(dst, r)
		}
	}
}

// readLink reads MAC and MTU anew.
func (w *Ways) readLink() error {
	link, err := w.handle.LinkByIndex(w.iface.Index)
	if err != nil {
		return err
	}
	now, err := describe(link, w.iface.Addr)
	if err != nil {
		return err
	}
	if now.Host != w.iface.Host {
		w.host.Store(new(now.Host))
	}
	if now.Host != w.iface.Host || now.MTU != w.iface.MTU {
		w.iface.Host, w.iface.MTU = now.Host, now.MTU
		w.markStale(all)
	}
	return nil
}

// readNeighbors reads all neighbors of the interface anew.
func (w *Ways) readNeighbors() error {
	list, err := w.handle.NeighList(w.iface.Index, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("ether: neighbors of %s: %w", w.iface.Name, err)
	}
	before := maps.Clone(w.neighbors)
	w.neighbors = make(map[netip.Addr]MAC, len(list))
	for i := range list {
		w.applyNeighbor(&list[i], true)
	}
	if !maps.Equal(before, w.neighbors) {
		w.markStale(all)
	}
	return nil
}

func (w *Ways) markStale(which func(netip.Addr) bool) {
	for dst, r := range w.routes {
		if which(dst) {
			r.stale, w.stale = true, true
		}
	}
}

func (w *Ways) lookUpStale() {
	n := 0
	for dst, r := range w.routes {
		if !r.stale {
			continue
		}
		if n++; n > changeBatch {
			return // w.stale remains
		}
		w.lookUp(dst, r)
	}
	w.stale = false
}

// confirm tells the kernel that the neighbors of ways are in use, though it sees no packets of them:
// it then asks ARP when they have become stale, and we hear what came of it.
func (w *Ways) confirm() {
	told := make(map[netip.Addr]bool)
	for _, r := range w.routes {
		if r.way == nil || !r.way.used.Swap(false) {
			continue
		}
		r.idle = 0
		if !told[r.next] {
			told[r.next] = true
			w.useNeighbor(r.next)
		}
	}
}

// useNeighbor is as if the kernel had sent the neighbor a packet.
func (w *Ways) useNeighbor(ip netip.Addr) {
	err := w.handle.NeighSet(&netlink.Neigh{
		LinkIndex: w.iface.Index, Family: netlink.FAMILY_V4, Flags: netlink.NTF_USE,
		IP: ip.AsSlice(), HardwareAddr: make(net.HardwareAddr, len(MAC{})), // neither changes with NTF_USE
	})
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENETDOWN) {
		w.markStale(all)
	}
}

// refresh looks every route up again, and forgets those not used for a while.
func (w *Ways) refresh() {
	const forgetAfter = 10
	for dst, r := range w.routes {
		if r.idle++; r.idle > forgetAfter {
			delete(w.routes, dst)
			w.changed = true
			continue
		}
		r.stale, w.stale = true, true
	}
}

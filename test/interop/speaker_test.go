//go:build interop

package interop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"meshrouter/internal/loop"
	"meshrouter/internal/secret"
	"meshrouter/lan"
	"meshrouter/ospf"
	"meshrouter/test/peer"
)

// A speaker is one ospf.Instance on the interfaces of a namespace, with the kernel routes that it wants.
type speaker struct {
	t      *testing.T
	ns     *peer.Namespace
	inst   *ospf.Instance // only in loop.Call
	loop   *loop.Loop[ospf.Input, ospf.Output]
	kernel *netlink.Handle
	conns  map[string]*lan.Conn // by interface; not changed after start
	links  map[string]int       // interface indices
	stop   func()               // ends everything without a word to the neighbors, as a crash does

	mu       sync.Mutex
	log      []string // events and neighbor changes
	reserved uint32   // the highest sequence number that may have been sent
}

// startSpeaker runs an instance with cfg until stop, close or the end of the test.
func startSpeaker(t *testing.T, ns *peer.Namespace, cfg ospf.Config) *speaker {
	t.Helper()
	s := &speaker{t: t, ns: ns, inst: ospf.New(), conns: make(map[string]*lan.Conn), links: make(map[string]int)}
	h, err := netns.GetFromName(ns.Name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Close() }()
	if s.kernel, err = netlink.NewHandleAt(h, unix.NETLINK_ROUTE); err != nil {
		t.Fatal(err)
	}
	s.loop = loop.New[ospf.Input, ospf.Output](s.inst, ospf.Tick{}, time.Now, s.handle)
	for _, i := range cfg.Interfaces {
		if i.Passive {
			continue
		}
		link, err := s.kernel.LinkByName(i.Name)
		if err != nil {
			t.Fatal(err)
		}
		s.links[i.Name] = link.Attrs().Index
		err = ns.Do(func() (err error) {
			s.conns[i.Name], err = lan.Open(i.Name, i.Address.Addr())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}

	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.loop.Run(ctx) })
	for _, c := range s.conns {
		wg.Go(func() { s.receive(c) })
	}
	s.stop = sync.OnceFunc(func() {
		cancel()
		for _, c := range s.conns {
			_ = c.Close()
		}
		wg.Wait()
		s.kernel.Close()
	})
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("the speaker's log:\n%s", strings.Join(s.log, "\n"))
		}
	})
	s.loop.Post(ospf.Configure{Config: cfg})
	for _, i := range cfg.Interfaces {
		s.loop.Post(ospf.InterfaceUp{Interface: i.Name})
	}
	return s
}

// close leaves as a router does that is told to end: LSAs flushed, routes removed.
func (s *speaker) close() {
	s.t.Helper()
	s.loop.Post(ospf.Shutdown{})
	s.ask(func() {})
	s.stop()
}

func (s *speaker) receive(c *lan.Conn) {
	b := make([]byte, 65535)
	for {
		n, src, dst, err := c.ReadFrom(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.note("receive on %s: %v", c.Interface(), err)
			continue
		}
		s.loop.Post(ospf.Packet{Interface: c.Interface(), Src: src, Dst: dst, Payload: slices.Clone(b[:n])})
	}
}

func (s *speaker) handle(out []ospf.Output) {
	for _, o := range out {
		switch o := o.(type) {
		case ospf.Send:
			if err := s.conns[o.Interface].WriteTo(o.Dst, o.Payload); err != nil {
				s.note("send to %v on %s: %v", o.Dst, o.Interface, err)
			}
		case ospf.RoutesChanged:
			for _, p := range o.Removed {
				s.remove(p)
			}
			for _, r := range o.Changed {
				s.install(r)
			}
		case ospf.NeighborChanged:
			s.note("neighbor %v on %s: %v -> %v (%s)", o.Neighbor, o.Interface, o.From, o.To, o.Reason)
		case ospf.ReserveSequence:
			s.mu.Lock()
			s.reserved = o.UpTo
			s.mu.Unlock()
		case ospf.Event:
			s.note("%s: %s", o.Name, o.Text)
		}
	}
}

func (s *speaker) install(r ospf.Route) {
	if r.Local {
		s.remove(r.Prefix) // connected now: the kernel has its own
		return
	}
	route := s.route(r.Prefix)
	for _, hop := range r.NextHops {
		route.MultiPath = append(route.MultiPath, &netlink.NexthopInfo{
			LinkIndex: s.links[hop.Interface], Gw: hop.Addr.AsSlice(), Flags: int(netlink.FLAG_ONLINK),
		})
	}
	if err := s.kernel.RouteReplace(route); err != nil {
		s.note("route to %v: %v", r.Prefix, err)
	}
}

func (s *speaker) remove(p netip.Prefix) {
	if err := s.kernel.RouteDel(s.route(p)); err != nil && !errors.Is(err, unix.ESRCH) {
		s.note("remove the route to %v: %v", p, err)
	}
}

func (s *speaker) route(p netip.Prefix) *netlink.Route {
	return &netlink.Route{
		Dst:      &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)},
		Protocol: unix.RTPROT_OSPF, Priority: 32,
	}
}

func (s *speaker) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// ask runs f, which may read s.inst, between two steps.
func (s *speaker) ask(f func()) {
	s.t.Helper()
	if err := s.loop.Call(s.t.Context(), f); err != nil {
		s.t.Fatal(err)
	}
}

// neighbor is nil when the neighbor id is in the wanted state on ours.
func (s *speaker) neighbor(id string, want ospf.NeighborState) error {
	s.t.Helper()
	var list []ospf.NeighborStatus
	s.ask(func() { list = s.inst.Neighbors(time.Now()) })
	for _, n := range list {
		if n.ID == routerID(id) {
			if n.State == want {
				return nil
			}
			return fmt.Errorf("neighbor %s is %v (%s)", id, n.State, n.LastReason)
		}
	}
	if want == ospf.Down {
		return nil
	}
	return fmt.Errorf("no neighbor %s among %v", id, list)
}

// lsdb is our database in the peers' terms.
func (s *speaker) lsdb() []lsa {
	s.t.Helper()
	var list []ospf.LSAStatus
	s.ask(func() { list = s.inst.Database(time.Now()) })
	var all []lsa
	for _, l := range list {
		all = append(all, lsa{
			Type: int(l.Type), ID: netip.AddrFrom4(l.ID).String(), Router: l.AdvRouter.String(),
			Sequence: l.Sequence, Checksum: l.Checksum,
		})
	}
	return all
}

// knows is nil when our routing table has a route to dst.
func (s *speaker) knows(dst string) error {
	s.t.Helper()
	var routes []ospf.Route
	s.ask(func() { routes = s.inst.Routes() })
	for _, r := range routes {
		if r.Prefix.String() == dst && !r.Local {
			return nil
		}
	}
	return fmt.Errorf("no route to %s in %v", dst, routes)
}

// count is how often the event called name was counted.
func (s *speaker) count(name string) (n uint64) {
	s.t.Helper()
	s.ask(func() { n = s.inst.Counters()[name] })
	return n
}

func routerID(s string) ospf.RouterID {
	b := netip.MustParseAddr(s).As4()
	return ospf.RouterID(uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]))
}

// config is the router ourID with ourLAN, and MD5 on its other interfaces.
func config(md5 string, interfaces ...ospf.InterfaceConfig) ospf.Config {
	for i := range interfaces {
		interfaces[i].Auth = auth(md5)
	}
	interfaces = append(interfaces, ospf.InterfaceConfig{
		Name: "lan0", Passive: true, Address: netip.MustParsePrefix("10.1.0.1/24"), Cost: 10,
	})
	return ospf.Config{RouterID: routerID(ourID), Interfaces: interfaces}
}

func auth(md5 string) ospf.Auth {
	return ospf.Auth{Type: ospf.CryptographicAuth, Keys: []ospf.Key{{ID: 1, Key: secret.Key(md5)}}}
}

// wired is an interface on a veth, as the peers' settings have it.
func wired(name, address string) ospf.InterfaceConfig {
	a := netip.MustParsePrefix(address)
	return ospf.InterfaceConfig{
		Name: name, Address: a, HelloMask: [4]byte(net.CIDRMask(a.Bits(), 32)), Cost: 10,
		HelloInterval: time.Second, RouterDeadInterval: 4 * time.Second, MTU: 1500, DDMTU: 1500,
	}
}

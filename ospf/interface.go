package ospf

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"time"
)

// InterfaceState is the state of an interface (RFC 2328, 9.1).
type InterfaceState uint8

// The interface states a point-to-point interface takes.
const (
	InterfaceDownState InterfaceState = iota
	InterfacePointToPoint
)

func (st InterfaceState) String() string {
	if st == InterfacePointToPoint {
		return "Point-to-Point"
	}
	return "Down"
}

type interfaceEvent uint8

// The interface events (RFC 2328, 9.2).
const (
	interfaceUp interfaceEvent = iota
	interfaceDown
)

func (e interfaceEvent) String() string {
	if e == interfaceUp {
		return "InterfaceUp"
	}
	return "InterfaceDown"
}

// interfaceFSM is the table of RFC 2328, 9.3, for point-to-point interfaces. Passive interfaces run no
// machine: they are announced while their link is up.
var interfaceFSM = []struct {
	in     InterfaceState
	on     interfaceEvent
	action func(*ospfInterface, *step)
	next   InterfaceState
}{
	{InterfaceDownState, interfaceUp, (*ospfInterface).start, InterfacePointToPoint},
	{InterfacePointToPoint, interfaceDown, (*ospfInterface).reset, InterfaceDownState},
}

// An ospfInterface is the data structure of RFC 2328, 9.
type ospfInterface struct {
	cfg       InterfaceConfig
	state     InterfaceState
	linkUp    bool
	reason    string // why the link is down
	since     time.Time
	lastError string
	told      map[string]toldEvent
	neighbors []*neighbor // by router id

	hello     timer
	triggered int // Hellos out of turn since the last one in turn
	sequence  uint32

	direct   []LSAHeader // to be acknowledged at the end of the step
	acks     []LSAHeader // delayed
	ackTimer timer

	pending queue[*lsaEntry, struct{}] // to be flooded out of here
	budget  budget
	pacer   timer
	dirty   bool // the end of the step has something to send here
}

func newInterface(c InterfaceConfig) *ospfInterface {
	f := &ospfInterface{cfg: c, reason: "not up yet", told: make(map[string]toldEvent)}
	f.hello.fire = f.helloDue
	f.ackTimer.fire = f.sendAcks
	f.pacer.fire = f.flush
	return f
}

// active says whether packets are exchanged: not on passive interfaces.
func (f *ospfInterface) active() bool { return !f.cfg.Passive }

// handle runs one event through interfaceFSM.
func (f *ospfInterface) handle(s *step, e interfaceEvent) {
	if !f.active() {
		f.since = s.now
		s.in.own.wanted = true
		s.scheduleSPF()
		return
	}
	for _, row := range interfaceFSM {
		if row.in == f.state && row.on == e {
			f.state = row.next
			f.since = s.now
			row.action(f, s)
			s.in.own.wanted = true
			s.scheduleSPF()
			return
		}
	}
}

func (f *ospfInterface) comeUp(s *step) {
	f.linkUp, f.reason = true, ""
	f.handle(s, interfaceUp)
}

// start sends the first Hello at once (RFC 2328, 9.5 would let it wait for the interval).
func (f *ospfInterface) start(s *step) {
	f.hello.at = s.now
	f.helloDue(s)
}

// reset kills the neighbors and stops the timers.
func (f *ospfInterface) reset(s *step) {
	for _, n := range f.neighbors {
		reason := "the interface went down"
		if f.reason != "" {
			reason += ": " + f.reason
		}
		s.raise(n, killNbr, reason)
	}
	f.hello.stop(s)
	f.ackTimer.stop(s)
	f.pacer.stop(s)
	f.acks = nil
	f.pending.clear()
	f.direct = nil
}

// leave says goodbye with a Hello that lists nobody, and goes down.
func (f *ospfInterface) leave(s *step, reason string) {
	if f.state == InterfacePointToPoint {
		f.sendHello(s, nil)
	}
	f.linkUp, f.reason = false, reason
	f.handle(s, interfaceDown)
}

// helloDue sends the Hello in turn. The next one is due an interval after this one was, however late it is; after a long
// sleep the count begins anew.
func (f *ospfInterface) helloDue(s *step) {
	f.triggered = 0
	f.sendHello(s, f.heard())
	next := f.hello.at.Add(f.cfg.HelloInterval)
	if next.Sub(s.now) <= f.cfg.HelloInterval/2 {
		next = s.now.Add(f.cfg.HelloInterval)
	}
	f.hello.set(s, next)
}

// maxTriggered bounds the Hellos out of turn within one interval: peers count Hellos against floods.
const maxTriggered = 3

// helloNow answers a new neighbor, so that it need not wait for the interval.
func (f *ospfInterface) helloNow(s *step) {
	if f.triggered < maxTriggered {
		f.triggered++
		f.sendHello(s, f.heard())
	}
}

func (f *ospfInterface) sendHello(s *step, heard []RouterID) {
	f.send(s, allSPFRouters(), HelloPacket, Hello{
		NetworkMask:        number(netip.AddrFrom4(f.cfg.HelloMask)),
		HelloInterval:      seconds[uint16](f.cfg.HelloInterval),
		Options:            ourOptions,
		Priority:           1,
		RouterDeadInterval: seconds[uint32](f.cfg.RouterDeadInterval),
		Neighbors:          heard,
	})
}

// ourOptions is what we can: external routes, and neither opaque LSAs nor demand circuits.
const ourOptions = OptionE

func seconds[T uint16 | uint32](d time.Duration) T {
	return T(min(max(d/time.Second, 0), time.Duration(^T(0))))
}

// heard lists the neighbors in state Init or higher.
func (f *ospfInterface) heard() []RouterID {
	var ids []RouterID
	for _, n := range f.neighbors {
		if n.state >= Init {
			ids = append(ids, n.id)
		}
	}
	return ids
}

func (f *ospfInterface) neighbor(id RouterID) (*neighbor, bool) {
	i, ok := slices.BinarySearchFunc(f.neighbors, id, func(n *neighbor, id RouterID) int { return cmp.Compare(n.id, id) })
	if !ok {
		return nil, false
	}
	return f.neighbors[i], true
}

// addNeighbor makes the data structure for a neighbor heard for the first time. A point-to-point
// interface has room for one: a dead one makes way, a live one at the same address has got another router
// id, and a live one elsewhere means that two routers share the link: nil.
func (f *ospfInterface) addNeighbor(s *step, id RouterID, src netip.Addr) *neighbor {
	for _, old := range f.neighbors {
		if old.state > Down {
			if old.addr != src {
				s.refuse(f, old, "second_neighbor", fmt.Errorf("%s: %v at %v sends Hellos beside %v at %v: a point-to-point link has one neighbor",
					f.cfg.Name, id, src, old.id, old.addr))
				return nil
			}
			s.fire(old, killNbr, fmt.Sprintf("its router id is now %v", id))
		}
	}
	n := newNeighbor(f, id, src)
	f.neighbors = []*neighbor{n}
	return n
}

// bodySize is how many bytes of a packet's body fit into the MTU, always leaving room for a digest.
func (f *ospfInterface) bodySize() int {
	return max(f.cfg.MTU-ipHeaderSize-digestSize-HeaderSize, minBody)
}

// stub is the stub network that the interface announces (RFC 2328, 12.4.1.1).
func (f *ospfInterface) stub() (netip.Prefix, bool) {
	if f.cfg.HostRoutes && f.active() {
		p, err := f.peer().Prefix(32)
		return p, err == nil
	}
	p := f.cfg.Address.Masked()
	return p, p.Addr().Is4()
}

// peer is the neighbor's address, as heard or as configured.
func (f *ospfInterface) peer() netip.Addr {
	for _, n := range f.neighbors {
		if n.state > Down {
			return n.addr
		}
	}
	return f.cfg.Peer
}

// minBody lets one LSA header or request through however small the MTU is.
const minBody = 64

// body is the codec of a packet body.
type body interface{ Append(b []byte) []byte }

func (f *ospfInterface) send(s *step, dst netip.Addr, t PacketType, p body) {
	b := Header{
		Version: version, Type: t, RouterID: s.in.cfg.RouterID, Area: s.in.cfg.Area,
	}.Append(make([]byte, 0, HeaderSize+f.bodySize()+digestSize))
	var seq uint32
	if f.cfg.Auth.Type == CryptographicAuth {
		seq = s.nextSequence(f)
	}
	b = f.cfg.Auth.Seal(p.Append(b), seq)
	s.out = append(s.out, Send{Interface: f.cfg.Name, Dst: dst, Payload: b})
}

// Configuration defaults (RFC 2328, C.3).
const (
	defaultHello    = 10 * time.Second
	defaultDead     = 4 // Hello intervals
	defaultRxmt     = 5 * time.Second
	defaultCost     = 10
	defaultMTU      = 1500
	defaultSPFDelay = 50 * time.Millisecond
	defaultSPFHold  = 200 * time.Millisecond
	minLSArrival    = time.Second
	minLSInterval   = 5 * time.Second
	maxLSAs         = 65536
	maxLSABytes     = 64 << 20
)

func (c Config) withDefaults() Config {
	c.SPFDelay = cmp.Or(c.SPFDelay, defaultSPFDelay)
	c.SPFHold = cmp.Or(c.SPFHold, defaultSPFHold)
	c.MinLSInterval = cmp.Or(c.MinLSInterval, minLSInterval)
	c.MinLSArrival = cmp.Or(c.MinLSArrival, minLSArrival)
	c.MaxLSAs = cmp.Or(c.MaxLSAs, maxLSAs)
	c.MaxLSABytes = cmp.Or(c.MaxLSABytes, maxLSABytes)
	return c
}

func (c InterfaceConfig) withDefaults() InterfaceConfig {
	c.HelloInterval = cmp.Or(c.HelloInterval, defaultHello)
	c.RouterDeadInterval = cmp.Or(c.RouterDeadInterval, defaultDead*c.HelloInterval)
	c.RxmtInterval = cmp.Or(c.RxmtInterval, defaultRxmt)
	c.InfTransDelay = max(c.InfTransDelay, time.Second)
	c.Cost = min(cmp.Or(c.Cost, defaultCost), math.MaxUint16)
	c.MTU = cmp.Or(c.MTU, defaultMTU)
	c.Address = netip.PrefixFrom(c.Address.Addr().Unmap(), c.Address.Bits())
	c.Auth.Keys = slices.Clone(c.Auth.Keys)
	return c
}

// configure replaces the configuration. An interface keeps its adjacencies unless what the adjacency
// stands on has changed; costs, keys and timers change in place.
func (s *step) configure(c Config) {
	in := s.in
	c = c.withDefaults()
	if in.started.IsZero() {
		in.started = s.now
		in.highSequence = max(c.FirstSequence, 1) - 1 // only a start looks at it, a reload has gone further
	}
	identity := c.RouterID != in.cfg.RouterID || c.Area != in.cfg.Area
	var again []*ospfInterface
	if identity && in.cfg.RouterID != 0 {
		again = s.leaveArea()
	}
	in.cfg = c
	wanted := make(map[string]InterfaceConfig, len(c.Interfaces))
	for _, fc := range c.Interfaces {
		fc = fc.withDefaults()
		if _, twice := wanted[fc.Name]; twice {
			s.event(nil, "interface_configured_twice", true, fmt.Sprintf("%s: the interface %s is configured twice, the last one counts", fc.Source, fc.Name))
		}
		if fc.Type != PointToPoint && !fc.Passive {
			s.event(nil, "broadcast_unsupported", true, fmt.Sprintf("%s: %s is a broadcast network: it is announced, but no adjacency is formed there", fc.Source, fc.Name))
			fc.Passive = true
		}
		wanted[fc.Name] = fc
	}
	s.removeInterfaces(wanted)
	in.interfaces = in.interfaces[:0]
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		fc := wanted[name]
		f := in.byName[name]
		if f == nil {
			f = s.addInterface(fc)
		}
		f.changeInPlace(s, fc)
		in.interfaces = append(in.interfaces, f)
	}
	for _, old := range again { // an interface may have been replaced on the way
		if f := in.byName[old.cfg.Name]; f != nil {
			f.comeUp(s)
		}
	}
	in.own.wanted = true
	s.scheduleSPF()
}

// removeInterfaces takes down what is gone, or on another link now; what it was carries over to the interface
// that takes its place.
func (s *step) removeInterfaces(wanted map[string]InterfaceConfig) {
	in := s.in
	in.interfaces = slices.DeleteFunc(in.interfaces, func(f *ospfInterface) bool {
		c, keep := wanted[f.cfg.Name]
		if keep && f.cfg.sameLink(c) {
			return false
		}
		wasUp := f.linkUp
		f.leave(s, "removed from the configuration")
		s.run()
		in.highSequence = max(in.highSequence, f.sequence)
		delete(in.byName, f.cfg.Name)
		if keep && wasUp {
			s.addInterface(c).comeUp(s)
		}
		return true
	})
}

func (s *step) addInterface(c InterfaceConfig) *ospfInterface {
	f := newInterface(c)
	f.sequence = s.in.highSequence
	s.in.byName[c.Name] = f
	return f
}

// changeInPlace takes over what an adjacency does not stand on.
func (f *ospfInterface) changeInPlace(s *step, c InterfaceConfig) {
	faster := c.HelloInterval < f.cfg.HelloInterval
	f.cfg = c
	if faster && f.hello.running() {
		f.hello.setEarlier(s, s.now.Add(c.HelloInterval))
	}
}

// sameLink says whether adjacencies survive the change from c to o.
func (c InterfaceConfig) sameLink(o InterfaceConfig) bool {
	return c.Type == o.Type && c.Passive == o.Passive && c.Address == o.Address && c.Peer == o.Peer
}

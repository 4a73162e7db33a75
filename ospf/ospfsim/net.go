package ospfsim

import (
	"container/heap"
	"net/netip"
	"slices"
	"time"

	"meshrouter/ospf"
)

// A Net is a simulated network. Its zero time is fixed, so that runs can be compared.
type Net struct {
	now     time.Time
	start   time.Time
	events  eventHeap
	number  uint64
	random  Random
	routers []*Router
	links   []*Link

	// Trace, when set, sees every output of every router.
	Trace func(now time.Time, r *Router, o ospf.Output)
	// Delivered counts the packets that arrived.
	Delivered int
}

// New returns an empty network; seed decides about losses and delays.
func New(seed uint64) *Net {
	start := time.Date(2025, time.January, 1, 0, 0, 0, 0, time.UTC)
	return &Net{now: start, start: start, random: Random{seed}}
}

// Now is the simulated time.
func (n *Net) Now() time.Time { return n.now }

// Elapsed is the time since New.
func (n *Net) Elapsed() time.Duration { return n.now.Sub(n.start) }

// Random is the network's source of chance.
func (n *Net) Random() *Random { return &n.random }

// Routers lists the routers in the order of their addition.
func (n *Net) Routers() []*Router { return n.routers }

// Links lists the links in the order of their addition.
func (n *Net) Links() []*Link { return n.links }

// A Router is one instance on the network.
type Router struct {
	Name     string
	Instance *ospf.Instance
	Config   ospf.Config
	Routes   map[netip.Prefix]ospf.Route // as told by RoutesChanged
	Events   []ospf.Event
	Changes  []ospf.NeighborChanged
	Reserved uint32 // by ReserveSequence
	Sent     int

	net    *Net
	ends   map[string]*end
	tick   time.Time // of the earliest tick in the heap
	killed bool
}

// An end is one router's side of a link.
type end struct {
	link   *Link
	router *Router
	name   string
	addr   netip.Addr
	other  *end
}

// A Link joins two interfaces.
type Link struct {
	Delay, Jitter   time.Duration // of each packet; Jitter reorders
	Loss, Duplicate float64       // probabilities
	Cut             bool          // packets vanish; the interfaces stay up
	// Intercept, when set, sees every packet in place of the link; it may send others by Deliver.
	Intercept func(from *Router, p ospf.Packet) (carry bool)

	a, b *end
	net  *Net
}

// AddRouter adds a router and configures it; its interfaces are down.
func (n *Net) AddRouter(name string, c ospf.Config) *Router {
	r := &Router{Name: name, Instance: ospf.New(), Routes: map[netip.Prefix]ospf.Route{}, net: n, ends: map[string]*end{}}
	n.routers = append(n.routers, r)
	r.Configure(c)
	return r
}

// Configure gives the router another configuration.
func (r *Router) Configure(c ospf.Config) {
	r.Config = c
	r.Input(ospf.Configure{Config: c})
}

// Kill stops the router as kill -9 does, and Restart starts it again with nothing but its configuration
// and its reserved sequence number.
func (r *Router) Kill() { r.killed = true }

// Restart starts a killed router; its interfaces come up.
func (r *Router) Restart() {
	r.killed = false
	r.Instance = ospf.New()
	r.tick = time.Time{}
	clear(r.Routes)
	c := r.Config
	c.FirstSequence = r.Reserved + 1
	r.Configure(c)
	r.AllUp()
}

// AllUp brings all the router's interfaces up, in the order of the configuration.
func (r *Router) AllUp() {
	for _, f := range r.Config.Interfaces {
		r.Input(ospf.InterfaceUp{Interface: f.Name})
	}
}

// Connect joins two configured interfaces.
func (n *Net) Connect(a *Router, aName string, b *Router, bName string, delay time.Duration) *Link {
	l := &Link{Delay: delay, net: n}
	l.a = &end{link: l, router: a, name: aName, addr: a.address(aName)}
	l.b = &end{link: l, router: b, name: bName, addr: b.address(bName)}
	l.a.other, l.b.other = l.b, l.a
	a.ends[aName], b.ends[bName] = l.a, l.b
	n.links = append(n.links, l)
	return l
}

// Ends are the two routers and the names of their interfaces.
func (l *Link) Ends() (a *Router, aName string, b *Router, bName string) {
	return l.a.router, l.a.name, l.b.router, l.b.name
}

// Up brings both ends up.
func (l *Link) Up() {
	l.a.router.Input(ospf.InterfaceUp{Interface: l.a.name})
	l.b.router.Input(ospf.InterfaceUp{Interface: l.b.name})
}

// Down takes both ends down.
func (l *Link) Down(reason string) {
	l.a.router.Input(ospf.InterfaceDown{Interface: l.a.name, Reason: reason})
	l.b.router.Input(ospf.InterfaceDown{Interface: l.b.name, Reason: reason})
}

func (r *Router) address(name string) netip.Addr {
	for _, f := range r.Config.Interfaces {
		if f.Name == name {
			return f.Address.Addr()
		}
	}
	return netip.Addr{}
}

// Input feeds one input to the router now.
func (r *Router) Input(i ospf.Input) {
	if r.killed {
		return
	}
	for _, o := range r.Instance.Step(r.net.now, i, nil) {
		r.output(o)
	}
	if at := r.Instance.Deadline(); !at.IsZero() && (r.tick.IsZero() || at.Before(r.tick)) {
		r.tick = at
		r.net.push(event{at: at, router: r})
	}
}

func (r *Router) output(o ospf.Output) {
	if r.net.Trace != nil {
		r.net.Trace(r.net.now, r, o)
	}
	switch o := o.(type) {
	case ospf.Send:
		r.Sent++
		if e := r.ends[o.Interface]; e != nil {
			e.send(o)
		}
	case ospf.RoutesChanged:
		for _, p := range o.Removed {
			delete(r.Routes, p)
		}
		for _, c := range o.Changed {
			r.Routes[c.Prefix] = c
		}
	case ospf.NeighborChanged:
		r.Changes = append(r.Changes, o)
	case ospf.Event:
		r.Events = append(r.Events, o)
	case ospf.ReserveSequence:
		r.Reserved = o.UpTo
	}
}

func (e *end) send(o ospf.Send) {
	p := ospf.Packet{Interface: e.other.name, Src: e.addr, Dst: o.Dst, Payload: slices.Clone(o.Payload)}
	if e.link.Intercept != nil && !e.link.Intercept(e.router, p) {
		return
	}
	e.link.carry(e.other, p)
}

// Deliver sends a packet to the router at one end, as if it came over the link.
func (l *Link) Deliver(to *Router, p ospf.Packet) {
	dst := l.a
	if to == l.b.router {
		dst = l.b
	}
	p.Interface = dst.name
	l.carry(dst, p)
}

func (l *Link) carry(to *end, p ospf.Packet) {
	rnd := &l.net.random
	copies := 1
	if rnd.Chance(l.Duplicate) {
		copies = 2
	}
	for range copies {
		if l.Cut || rnd.Chance(l.Loss) {
			continue
		}
		delay := l.Delay
		if l.Jitter > 0 {
			delay += time.Duration(rnd.Below(uint64(l.Jitter))) //nolint:gosec // positive
		}
		l.net.push(event{at: l.net.now.Add(delay), router: to.router, link: l, packet: &p})
	}
}

// Run simulates d.
func (n *Net) Run(d time.Duration) { n.RunUntil(d, func() bool { return false }) }

// RunUntil simulates until done, which is asked after every event, or for d. It reports whether done was.
func (n *Net) RunUntil(d time.Duration, done func() bool) bool {
	end := n.now.Add(d)
	for n.events.Len() > 0 && !n.events[0].at.After(end) {
		e, _ := heap.Pop(&n.events).(event)
		n.now = e.at
		n.step(e)
		if done() {
			return true
		}
	}
	n.now = end
	return done()
}

func (n *Net) step(e event) {
	r := e.router
	switch {
	case e.packet == nil:
		if e.at.Equal(r.tick) {
			r.tick = time.Time{}
		}
		r.Input(ospf.Tick{})
	case !e.link.Cut:
		n.Delivered++
		r.Input(*e.packet)
	}
}

func (n *Net) push(e event) {
	n.number++
	e.number = n.number
	heap.Push(&n.events, e)
}

// An event is a packet's arrival or a tick.
type event struct {
	at     time.Time
	number uint64
	router *Router
	link   *Link
	packet *ospf.Packet
}

type eventHeap []event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	if c := h[i].at.Compare(h[j].at); c != 0 {
		return c < 0
	}
	return h[i].number < h[j].number
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push is heap.Interface.
func (h *eventHeap) Push(x any) {
	e, _ := x.(event)
	*h = append(*h, e)
}

// Pop is heap.Interface.
func (h *eventHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = event{}
	*h = (*h)[:last]
	return e
}

// Random is a small generator (SplitMix64): the same everywhere, and not for secrets.
type Random struct{ state uint64 }

// NewRandom returns a generator; the same seed gives the same numbers.
func NewRandom(seed uint64) *Random { return &Random{seed} }

// Uint64 returns the next number.
func (r *Random) Uint64() uint64 {
	r.state += 0x9e3779b97f4a7c15
	z := r.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Below returns a number in [0, n), 0 when n is 0.
func (r *Random) Below(n uint64) uint64 {
	if n == 0 {
		return 0
	}
	return r.Uint64() % n
}

// Chance is true with probability p.
func (r *Random) Chance(p float64) bool {
	return p > 0 && float64(r.Uint64()>>11)/(1<<53) < p
}

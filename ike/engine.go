package ike

import (
	"cmp"
	"container/heap"
	"encoding/binary"
	"io"
	"maps"
	"net/netip"
	"slices"
	"time"

	"meshrouter/ike/isakmp"
)

// Limits.
const (
	// MaxMessage is the longest ISAKMP message that is looked at, bytes. Real ones stay below 2 KB.
	MaxMessage = 8192

	defaultHalfOpen   = 16 // half-open responder exchanges of one peer
	defaultInitiating = 50 // main modes of ours in their first seconds
	maxQuickModes     = 8  // quick modes of one peer that it has begun
	maxPairs          = 8  // ESP SA pairs of one peer
	maxISAKMP         = 4  // established ISAKMP SAs of one peer
	maxDuplicates     = 16 // times that one stored reply is sent again; ScreenOS sends 12 copies
)

// EngineOptions are settings that do not come from the mesh file. The zero value is right.
type EngineOptions struct {
	// Initiating bounds how many of our own main modes may be in their first five seconds at once,
	// so that a restart with a thousand peers does not lose its own packets (default 50).
	Initiating int
}

// An Engine is the IKEv1 protocol of one router. It is not safe for concurrent use.
type Engine struct {
	rand    io.Reader
	values  func(name valueName) []byte // tests put recorded values in the place of random ones; nil: draw
	options EngineOptions
	config  Config

	peers    []*peer                // by ID
	remotes  map[netip.Addr][]*peer // by configured remote address, then by ID
	timers   peerHeap
	fresh    []*isakmpSA                 // main modes of ours that have only just begun, and some that have gone on
	cookies  map[isakmp.Cookie]*isakmpSA // by our own cookie, which is unique
	inbound  map[uint32]*childPair       // by inbound SPI
	jobs     map[uint64]func(*step, any) // what goes on when a Compute returns
	lastJob  uint64
	restored map[PeerID][]byte // blobs that came before the first Configure
	counters map[EventName]uint64
}

// New returns an engine without peers. rand is its only source of cookies, nonces, exponents, SPIs and jitter.
func New(rand io.Reader, options EngineOptions) *Engine {
	if rand == nil {
		panic("ike: New needs a random source")
	}
	if options.Initiating <= 0 {
		options.Initiating = defaultInitiating
	}
	return &Engine{
		rand: rand, options: options,
		cookies:  make(map[isakmp.Cookie]*isakmpSA),
		inbound:  make(map[uint32]*childPair),
		jobs:     make(map[uint64]func(*step, any)),
		restored: make(map[PeerID][]byte),
		counters: make(map[EventName]uint64),
	}
}

// A step is one call of Step: its time, and what it has appended so far.
type step struct {
	e     *Engine
	now   time.Time
	out   []Output
	dirty []*peer // touched: to be settled at the end

	rumour bool // what is being handled is not authenticated
}

func (s *step) emit(o Output) { s.out = append(s.out, o) }

// touch notes that something about the peer has changed.
func (s *step) touch(p *peer) {
	if !slices.Contains(s.dirty, p) {
		s.dirty = append(s.dirty, p)
	}
}

// Step feeds one input to the engine at time now and appends to out what the caller must do, in that order.
func (e *Engine) Step(now time.Time, in Input, out []Output) []Output {
	s := &step{e: e, now: now, out: out}
	switch in := in.(type) {
	case Configure:
		e.configure(s, in.Config)
	case Datagram:
		e.receive(s, in)
	case Acquire:
		if p := e.peer(in.Peer); p != nil {
			p.acquired, p.stopped = true, false
			s.touch(p)
		}
	case Traffic:
		if p := e.peer(in.Peer); p != nil {
			p.traffic(s, in)
		}
	case RemoteMoved:
		if p := e.peer(in.Peer); p != nil {
			p.moved(s, in.Remote, false)
		}
	case Computed:
		e.computed(s, in)
	case Restore:
		e.restore(s, in.Blob)
	case Terminate:
		for _, p := range e.peers {
			if in.Peer == "" || in.Peer == p.cfg.ID {
				p.terminate(s, "terminated by the operator")
				p.stopped = true
			}
		}
	case Tick:
	}
	for len(e.timers) > 0 && !e.timers[0].deadline.IsZero() && !e.timers[0].deadline.After(now) {
		p := e.timers[0]
		p.tick(s)
		s.touch(p)
		s.settle()
	}
	s.settle()
	return s.out
}

// settle brings the touched peers to rest: begins what they need, tells what changed, sets their timers.
func (s *step) settle() {
	for len(s.dirty) > 0 {
		p := s.dirty[0]
		s.dirty = s.dirty[1:]
		if p.gone {
			continue
		}
		p.pursue(s)
		p.tell(s)
		if p.unsaved {
			p.save(s)
		}
		p.deadline = p.next(s.now)
		heap.Fix(&s.e.timers, p.index)
	}
}

// Deadline is when Step wants a Tick at the latest; the zero time means never.
func (e *Engine) Deadline() time.Time {
	if len(e.timers) == 0 {
		return time.Time{}
	}
	return e.timers[0].deadline
}

// Counters are the events so far, by name.
func (e *Engine) Counters() map[EventName]uint64 { return maps.Clone(e.counters) }

// peer finds a peer by its ID.
func (e *Engine) peer(id PeerID) *peer {
	i, ok := slices.BinarySearchFunc(e.peers, id, func(p *peer, id PeerID) int { return cmp.Compare(p.cfg.ID, id) })
	if !ok {
		return nil
	}
	return e.peers[i]
}

// peerAt finds the peer that a datagram belongs to by its addresses; the first by ID if several share them.
func (e *Engine) peerAt(local, remote netip.AddrPort) *peer {
	for _, p := range e.remotes[remote.Addr()] {
		if p.cfg.Local == local.Addr() || p.cfg.Local.IsUnspecified() {
			return p
		}
	}
	return nil
}

// compute asks for job and goes on with its result in then, unless the exchange has ended by then: alive
// tells, and is asked when the result is there.
func (s *step) compute(p *peer, job func() any, then func(*step, any)) (id uint64) {
	s.e.lastJob++
	id = s.e.lastJob
	s.e.jobs[id] = func(s *step, result any) {
		then(s, result)
		s.touch(p)
	}
	s.emit(Compute{ID: id, Job: job})
	return id
}

// forget gives up a computation; its result will be stale. Zero is none.
func (e *Engine) forget(id uint64) { delete(e.jobs, id) }

func (e *Engine) computed(s *step, in Computed) {
	then, ok := e.jobs[in.ID]
	if !ok {
		s.event(nil, netip.AddrPort{}, EventStaleComputed, Debug, "a result for an exchange that has ended")
		return
	}
	delete(e.jobs, in.ID)
	then(s, in.Result)
}

// A valueName is the name of a random value, under which tests put a recorded one in its place.
type valueName string

const (
	valueCookie   valueName = "cookie"
	valueNonce    valueName = "nonce"
	valueExponent valueName = "exponent"
	valueSPI      valueName = "spi"
	valueQuickID  valueName = "quick mode message id"
	valueInfoID   valueName = "informational message id"
	valueSequence valueName = "dpd sequence"
	valueJitter   valueName = "jitter"
)

// random draws n bytes.
func (e *Engine) random(name valueName, n int) []byte {
	if e.values != nil {
		if b := e.values(name); b != nil {
			return b
		}
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(e.rand, b); err != nil {
		panic("ike: the random source fails: " + err.Error())
	}
	return b
}

// uint32 draws a number that is not zero.
func (e *Engine) uint32(name valueName) uint32 {
	for {
		if v := binary.BigEndian.Uint32(e.random(name, 4)); v != 0 {
			return v
		}
	}
}

// cookie draws a cookie that no other ISAKMP SA of ours has.
func (e *Engine) cookie() isakmp.Cookie {
	for {
		c := isakmp.Cookie(e.random(valueCookie, 8))
		if !c.IsZero() && e.cookies[c] == nil {
			return c
		}
	}
}

// jitter draws a duration in [low, high).
func (e *Engine) jitter(low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	v := binary.BigEndian.Uint64(e.random(valueJitter, 8))
	return low + time.Duration(v%uint64(high-low)) //nolint:gosec // less than high-low, which is positive
}

// A peerHeap has the peer whose timer is due first at the front; peers without a timer are last.
type peerHeap []*peer

func (h peerHeap) Len() int { return len(h) }
func (h peerHeap) Less(i, j int) bool {
	a, b := h[i].deadline, h[j].deadline
	if a.Equal(b) || a.IsZero() && b.IsZero() {
		return h[i].cfg.ID < h[j].cfg.ID
	}
	return !a.IsZero() && (b.IsZero() || a.Before(b))
}
func (h peerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push and Pop are for package heap.
func (h *peerHeap) Push(x any) {
	p := x.(*peer)
	p.index = len(*h)
	*h = append(*h, p)
}

// Pop removes the last peer.
func (h *peerHeap) Pop() any {
	old := *h
	p := old[len(old)-1]
	*h = old[:len(old)-1]
	return p
}

package ike

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"meshrouter/internal/sim"
)

// A simRouter is an engine with a shell: an SAD, a data plane that sends a packet now and then, a pool
// that takes its time for Diffie-Hellman, and a memory for blobs.
type simRouter struct {
	w          *sim.World
	name, peer string
	engine     *Engine
	config     PeerConfig

	inbound    map[uint32]ChildSA
	outbound   map[uint32]ChildSA // installed ones: never more than one
	out        uint32
	bytesIn    map[uint32]uint64
	bytesOut   map[uint32]uint64
	blob       []byte
	state      PeerState
	wasUp      bool
	events     map[EventName]int
	texts      []string
	rejected   int // ESP packets without an SA
	rekeys     int
	traffic    time.Duration
	volume     uint64
	err        error
	handshakes int
	sent       int // ISAKMP messages
}

// Inputs of a simRouter besides those of the engine.
type (
	espPacket struct {
		spi uint32
		key []byte
		n   uint64
	}
	trafficTime struct{}
)

func newSimRouter(w *sim.World, name, peer string, seed byte, c PeerConfig) *simRouter {
	r := &simRouter{
		w: w, name: name, peer: peer, config: c, engine: New(seeded(seed), EngineOptions{}),
		inbound: map[uint32]ChildSA{}, outbound: map[uint32]ChildSA{}, bytesIn: map[uint32]uint64{}, bytesOut: map[uint32]uint64{}, events: map[EventName]int{},
	}
	return r
}

func (r *simRouter) start() {
	r.step(r.w.Now(), Configure{Config{Peers: []PeerConfig{r.config}}})
	r.w.Add(r.name, r) // after the step: Add sets the timer
	if r.traffic > 0 {
		r.w.After(r.traffic, r.name, trafficTime{})
	}
}

func (r *simRouter) Deadline() time.Time { return r.engine.Deadline() }
func (r *simRouter) Tick(now time.Time)  { r.step(now, Tick{}) }

func (r *simRouter) Handle(now time.Time, input any) {
	switch in := input.(type) {
	case Input:
		r.step(now, in)
	case trafficTime:
		r.w.After(r.traffic, r.name, trafficTime{})
		if sa, ok := r.outbound[r.out]; ok {
			r.bytesOut[sa.SPI] += r.volume
			r.w.Send(r.name, r.peer, espPacket{sa.SPI, sa.EncKey, r.volume})
			r.step(now, Traffic{Peer: r.config.ID, SPI: sa.SPI, Bytes: r.bytesOut[sa.SPI]})
		}
	case espPacket:
		sa, ok := r.inbound[in.spi]
		if !ok || !bytes.Equal(sa.EncKey, in.key) {
			r.rejected++
			return
		}
		r.bytesIn[in.spi] += in.n
		r.step(now, Traffic{Peer: r.config.ID, SPI: in.spi, Inbound: true, Bytes: r.bytesIn[in.spi]})
	}
}

func (r *simRouter) step(now time.Time, in Input) {
	for _, o := range r.engine.Step(now, in, nil) {
		switch o := o.(type) {
		case Send:
			r.sent++
			r.w.Send(r.name, r.peer, Datagram{Local: o.Remote, Remote: o.Local, Payload: o.Payload})
		case Compute:
			r.w.After(5*time.Millisecond, r.name, Computed{o.ID, o.Job()})
		case AddInbound:
			if _, have := r.inbound[o.SA.SPI]; have && !o.SA.Restored {
				r.err = fmt.Errorf("%s: inbound SPI %08x twice", r.name, o.SA.SPI)
			}
			r.inbound[o.SA.SPI] = o.SA
		case UseOutbound:
			if _, have := r.outbound[o.SA.SPI]; !have && o.SA.Restored {
				r.err = fmt.Errorf("%s: restored outbound SA %08x was not there: its sequence numbers would begin again", r.name, o.SA.SPI)
			}
			r.outbound[o.SA.SPI], r.out = o.SA, o.SA.SPI
			r.rekeys++
		case RemoveSA:
			sas := r.outbound
			if o.Inbound {
				sas = r.inbound
			}
			if _, have := sas[o.SPI]; !have {
				r.err = fmt.Errorf("%s: %v is not there", r.name, o)
			}
			delete(sas, o.SPI)
		case PeerChanged:
			r.state = o.State
			r.wasUp = r.wasUp || o.State == PeerUp
		case Persist:
			r.blob = o.Blob
			if len(o.Blob) > MaxBlob {
				r.err = fmt.Errorf("%s: a blob of %d bytes", r.name, len(o.Blob))
			}
		case Event:
			r.events[o.Name]++
			if o.Severity == Warning {
				r.texts = append(r.texts, fmt.Sprintf("%s %s", now.Format(time.TimeOnly), o))
			}
			if o.Name == EventISAKMPEstablished {
				r.handshakes++
			}
		}
	}
	if n := r.engine.Counters()[eventOverdue]; n != 0 {
		r.err = fmt.Errorf("%s: %d timers that nothing took care of", r.name, n)
	}
	if len(r.outbound) > 1 { // after a whole step: within it, the new one comes before the old one goes
		r.err = fmt.Errorf("%s: %d outbound SAs", r.name, len(r.outbound))
	}
}

// crash forgets everything but the blob and what the data plane keeps.
func (r *simRouter) crash(seed byte) {
	r.engine = New(seeded(seed), EngineOptions{})
	kept := r.outbound
	r.inbound, r.outbound = map[uint32]ChildSA{}, map[uint32]ChildSA{}
	maps.Copy(r.outbound, kept) // the counters are in the state file
	if r.blob != nil {
		r.step(r.w.Now(), Restore{r.blob})
	}
	r.step(r.w.Now(), Configure{Config{Peers: []PeerConfig{r.config}}})
	r.w.Add(r.name, r)
}

// simPair is two routers with a path between them, and the invariant: once both were up, what either
// sends is accepted at the other end, at every moment.
func simPair(seed uint64, l sim.Link, ca, cb PeerConfig) (w *sim.World, a, b *simRouter, strict *bool) {
	w = sim.New(seed, testStart)
	w.Connect("a", "b", l)
	a = newSimRouter(w, "a", "b", byte(2*seed+1), ca)
	b = newSimRouter(w, "b", "a", byte(2*seed+2), cb)
	strict = new(bool)
	*strict = true
	w.Check(func() error {
		if a.err != nil || b.err != nil {
			return errors.Join(a.err, b.err)
		}
		if !*strict || !a.wasUp || !b.wasUp {
			return nil
		}
		return errors.Join(accepted(a, b), accepted(b, a))
	})
	return w, a, b, strict
}

// accepted checks that from has an outbound SA whose packets to would take.
func accepted(from, to *simRouter) error {
	sa, ok := from.outbound[from.out]
	if !ok {
		return fmt.Errorf("%s has no outbound SA", from.name)
	}
	if in, ok := to.inbound[sa.SPI]; !ok || !bytes.Equal(in.EncKey, sa.EncKey) || !bytes.Equal(in.AuthKey, sa.AuthKey) {
		return fmt.Errorf("%s sends with 0x%08x, which %s does not take", from.name, sa.SPI, to.name)
	}
	return nil
}

// TestDay lives through a day with rekeys of both phases under 30 % loss: there is always exactly one outbound
// SA at each end, and the other end accepts what it protects.
func TestDay(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			ca, cb := testPair()
			cb.Initiate = []Initiate{InitiateNever, InitiateAlways, InitiateStandby}[seed]
			w, a, b, _ := simPair(seed, sim.Link{Delay: 40 * time.Millisecond, Jitter: 30 * time.Millisecond, Loss: 0.3, Duplicate: 0.05, Reorder: 0.05}, ca, cb)
			a.traffic, a.volume, b.traffic, b.volume = 10*time.Second, 1000, 10*time.Second, 1000
			a.start()
			b.start()
			up, err := w.RunUntil(10*time.Minute, func() bool { return a.wasUp && b.wasUp })
			if err != nil || !up {
				t.Fatalf("not up: %v %v", err, a.texts)
			}
			if err := w.Run(24 * time.Hour); err != nil {
				t.Fatalf("%v\n%v\n%v", err, a.texts, b.texts)
			}
			if a.rekeys < 24 || a.rekeys > 60 || a.handshakes < 3 || a.handshakes > 10 {
				t.Errorf("%d outbound SAs and %d main modes in a day", a.rekeys, a.handshakes)
			}
			if a.rejected+b.rejected > 0 {
				t.Errorf("%d ESP packets found no SA", a.rejected+b.rejected)
			}
			if n := len(a.inbound) + len(b.inbound); n > 8 {
				t.Errorf("%d inbound SAs are left", n)
			}
			t.Logf("a: %d outbound SAs, %d main modes, %d messages, %v", a.rekeys, a.handshakes, a.sent, a.events)
		})
	}
}

// TestSimultaneousInitiation: both ends begin in the same instant, over every delay that matters.
func TestSimultaneousInitiation(t *testing.T) {
	t.Parallel()
	for i, delay := range []time.Duration{0, 5 * time.Millisecond, 50 * time.Millisecond, 400 * time.Millisecond, time.Second} {
		ca, cb := testPair()
		cb.Initiate = InitiateAlways
		w, a, b, strict := simPair(uint64(i), sim.Link{Delay: delay}, ca, cb)
		*strict = false
		a.start()
		b.start()
		if _, err := w.RunUntil(3*time.Minute, func() bool { return a.wasUp && b.wasUp }); err != nil {
			t.Fatal(err)
		}
		if err := w.Run(30 * time.Second); err != nil { // crossing exchanges end
			t.Fatal(err)
		}
		*strict = true
		if err := w.Run(3 * time.Hour); err != nil {
			t.Fatalf("delay %s: %v", delay, err)
		}
		if a.rekeys > 8 {
			t.Errorf("delay %s: %d outbound SAs in three hours", delay, a.rekeys)
		}
		t.Logf("delay %s: %d and %d main modes, %d outbound SAs, %v", delay, a.handshakes, b.handshakes, a.rekeys, a.events)
	}
}

// TestRestartMidLife kills one end at random moments of a day; it goes on with the same SAs and no packet.
func TestRestartMidLife(t *testing.T) {
	t.Parallel()
	ca, cb := testPair()
	w, a, b, _ := simPair(11, sim.Link{Delay: 20 * time.Millisecond, Loss: 0.1}, ca, cb)
	a.traffic, a.volume, b.traffic, b.volume = 5*time.Second, 1000, 5*time.Second, 1000
	a.start()
	b.start()
	if up, err := w.RunUntil(10*time.Minute, func() bool { return a.wasUp && b.wasUp }); err != nil || !up {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 200 {
		if err := w.Run(time.Duration(random.Int64N(int64(10 * time.Minute)))); err != nil {
			t.Fatalf("before restart %d: %v\n%v", i, err, a.texts)
		}
		r := a
		if i%2 == 1 {
			r = b
		}
		sent, main := r.sent, r.events[EventISAKMPEstablished]
		r.crash(byte(i + 20))
		if err := errors.Join(r.err, accepted(a, b), accepted(b, a)); err != nil {
			t.Fatalf("restart %d: %v\n%v", i, err, r.texts)
		}
		if r.sent != sent || r.events[EventISAKMPEstablished] != main {
			t.Fatalf("restart %d sent %d messages", i, r.sent-sent)
		}
		if r.state != PeerUp {
			t.Fatalf("restart %d: the peer is %s", i, r.state)
		}
	}
	if a.rejected+b.rejected > 0 {
		t.Errorf("%d ESP packets found no SA", a.rejected+b.rejected)
	}
}

// TestRestartAtEachMessage kills each end right after each message of the first two quick modes: whatever
// was lost, the link works again within a rekey's patience and no outbound SA is restored without its counters.
func TestRestartAtEachMessage(t *testing.T) {
	t.Parallel()
	for kill := 1; kill <= 14; kill++ {
		for _, which := range []string{"a", "b"} {
			ca, cb := testPair()
			cb.Initiate = InitiateAlways
			w, a, b, strict := simPair(uint64(kill), sim.Link{Delay: 20 * time.Millisecond}, ca, cb)
			*strict = false
			a.start()
			b.start()
			r := a
			if which == "b" {
				r = b
			}
			if _, err := w.RunUntil(2*time.Hour, func() bool { return r.sent >= kill }); err != nil {
				t.Fatal(err)
			}
			r.crash(99)
			if _, err := w.RunUntil(10*time.Minute, func() bool { return accepted(a, b) == nil && accepted(b, a) == nil }); err != nil {
				t.Fatalf("kill %s after %d messages: %v", which, kill, err)
			}
			if err := w.Run(20 * time.Minute); err != nil {
				t.Fatalf("kill %s after %d messages: %v", which, kill, err)
			}
			if err := errors.Join(accepted(a, b), accepted(b, a)); err != nil {
				t.Errorf("kill %s after %d messages: %v\n%v\n%v", which, kill, err, a.texts, b.texts)
			}
		}
	}
}

// TestSilentCrash: the peer loses everything and comes back without a blob. Its INITIAL-CONTACT, or DPD, heals the link.
func TestSilentCrash(t *testing.T) {
	t.Parallel()
	for _, which := range []string{"initiator", "responder"} {
		ca, cb := testPair()
		ca.DPD, cb.DPD = 10*time.Second, 10*time.Second
		w, a, b, strict := simPair(5, sim.Link{Delay: 20 * time.Millisecond}, ca, cb)
		*strict = false
		a.start()
		b.start()
		if up, err := w.RunUntil(time.Minute, func() bool { return a.wasUp && b.wasUp }); err != nil || !up {
			t.Fatal(err)
		}
		r := a
		if which == "responder" {
			r = b
		}
		r.blob = nil
		clear(r.outbound)
		r.crash(77)
		clear(r.outbound)
		if _, err := w.RunUntil(2*time.Minute, func() bool { return accepted(a, b) == nil && accepted(b, a) == nil }); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(accepted(a, b), accepted(b, a)); err != nil {
			t.Errorf("%s crashed: %v\n%v", which, err, a.texts)
		}
	}
}

// TestVolume: a limit in kilobytes makes new SAs before it is reached.
func TestVolume(t *testing.T) {
	t.Parallel()
	ca, cb := testPair()
	ca.Phase2Kilobytes, cb.Phase2Kilobytes = 1000, 1000
	w, a, b, _ := simPair(3, sim.Link{Delay: 20 * time.Millisecond}, ca, cb)
	a.traffic, a.volume = time.Second, 10_000
	a.start()
	b.start()
	if err := w.Run(30 * time.Minute); err != nil {
		t.Fatalf("%v\n%v", err, a.texts)
	}
	if want := 1800 * 10_000 / (1000 * 1024); a.rekeys < want || a.rekeys > want*3/2 {
		t.Errorf("%d outbound SAs for 18 MB with a limit of 1000 KB, want about %d", a.rekeys, want)
	}
	if b.rejected > 0 {
		t.Errorf("%d ESP packets found no SA", b.rejected)
	}
}

// TestDPDUnderLoss: behind 10 % loss and with little traffic, a living peer is asked thousands of times in a day and never
// taken for dead.
func TestDPDUnderLoss(t *testing.T) {
	t.Parallel()
	ca, cb := testPair()
	ca.DPD, cb.DPD = 10*time.Second, 10*time.Second
	w, a, b, _ := simPair(21, sim.Link{Delay: 60 * time.Millisecond, Jitter: 30 * time.Millisecond, Loss: 0.1}, ca, cb)
	a.traffic, a.volume = 17*time.Second, 100
	a.start()
	b.start()
	if up, err := w.RunUntil(10*time.Minute, func() bool { return a.wasUp && b.wasUp }); err != nil || !up {
		t.Fatal(err)
	}
	if err := w.Run(24 * time.Hour); err != nil {
		t.Fatalf("%v\n%v\n%v", err, a.texts, b.texts)
	}
	if a.events[EventDPDProbe] < 5000 || a.events[EventDPDDead]+b.events[EventDPDDead] != 0 {
		t.Errorf("a: %v, b: %v", a.events, b.events)
	}
}

package ospf

import (
	"fmt"
	"maps"
	"math"
	"time"
)

// An Instance is one OSPF router. It is not safe for concurrent use: one goroutine calls Step.
type Instance struct {
	cfg        Config
	started    time.Time
	interfaces []*ospfInterface // by name
	byName     map[string]*ospfInterface
	timers     timerHeap

	db       lsdb
	loading  int // neighbors in Exchange or Loading: they hold back the removal of MaxAge LSAs (14)
	own      origination
	spf      scheduler
	routes   []Route
	counters map[string]uint64

	dirty        []*ospfInterface // with something to send at the end of the step
	highSequence uint32           // the highest cryptographic sequence number of interfaces that are gone
	reserved     uint32           // cryptographic sequence numbers up to here may be sent
	stopped      bool

	work step
}

// A step is one call of Step: what is under way while the instance changes.
type step struct {
	in     *Instance
	now    time.Time
	out    []Output
	events []neighborEvent // raised by actions, run after them
	busy   bool            // the events are being run
}

type neighborEvent struct {
	n      *neighbor
	event  event
	reason string
}

// New returns an instance that waits for its Configure.
func New() *Instance {
	in := &Instance{byName: make(map[string]*ospfInterface), counters: make(map[string]uint64)}
	in.db.init()
	in.own = newOrigination()
	in.spf.timer.fire = (*step).calculateRoutes
	return in
}

// Step feeds one input to the instance at time now and appends to out what the caller must do, in order.
// Time must not run backwards. After a Shutdown, Step does nothing any more.
func (in *Instance) Step(now time.Time, input Input, out []Output) []Output {
	s := &in.work
	*s = step{in: in, now: now, out: out, events: s.events[:0]}
	if !in.stopped {
		s.expire()
		s.take(input)
		s.run()
	}
	if !in.stopped {
		s.finish()
	}
	out, s.out = s.out, nil
	return out
}

// Deadline is when Step wants a Tick at the latest; the zero time means never.
func (in *Instance) Deadline() time.Time {
	if in.timers.Len() == 0 {
		return time.Time{}
	}
	return in.timers.t[0].at
}

// Counters returns what was counted so far, by name.
func (in *Instance) Counters() map[string]uint64 { return maps.Clone(in.counters) }

func (s *step) take(input Input) {
	switch i := input.(type) {
	case Configure:
		s.configure(i.Config)
	case Packet:
		s.receive(i)
	case InterfaceUp:
		if f := s.known(i.Interface); f != nil {
			f.comeUp(s)
		}
	case InterfaceDown:
		if f := s.known(i.Interface); f != nil {
			f.linkUp, f.reason = false, i.Reason
			f.handle(s, interfaceDown)
		}
	case Shutdown:
		s.shutdown()
	case Tick:
	}
}

func (s *step) known(name string) *ospfInterface {
	f := s.in.byName[name]
	if f == nil {
		s.event(nil, "interface_unknown", true, fmt.Sprintf("%s is no interface of the configuration", name))
	}
	return f
}

// expire fires the timers that are due.
func (s *step) expire() {
	h := &s.in.timers
	for h.Len() > 0 && !h.t[0].at.After(s.now) {
		t := h.t[0]
		t.stop(s)
		t.fire(s)
		s.run()
	}
}

// finish does what one input's changes have called for, once for all of them.
func (s *step) finish() {
	s.originateIfWanted()
	for _, f := range s.in.dirty {
		f.dirty = false
		f.sendDirectAcks(s)
		if !f.pacer.running() {
			f.flush(s)
		}
	}
	s.in.dirty = s.in.dirty[:0]
	s.expireZero()
}

// expireZero keeps Deadline from lying in the past because of a timer set for this very moment.
func (s *step) expireZero() {
	if h := &s.in.timers; h.Len() > 0 && !h.t[0].at.After(s.now) {
		s.expire()
		s.finish()
	}
}

// raise queues a neighbor event; actions use it.
func (s *step) raise(n *neighbor, e event, reason string) {
	s.events = append(s.events, neighborEvent{n, e, reason})
}

// fire raises an event and runs the machine at once, unless it is running already.
func (s *step) fire(n *neighbor, e event, reason string) {
	s.raise(n, e, reason)
	s.run()
}

func (s *step) run() {
	if s.busy {
		return
	}
	s.busy = true
	for len(s.events) > 0 {
		e := s.events[0]
		s.events = s.events[1:]
		e.n.handle(s, e.event, e.reason)
	}
	s.busy = false
}

func (s *step) count(name string) { s.in.counters[name]++ }

// Events about one interface and one name are told once in eventPause, an unchanged text once in
// eventRepeat: a peer that sends wrong packets forever fills no log. All of them are counted.
const (
	eventPause  = 10 * time.Second
	eventRepeat = 10 * time.Minute
)

type toldEvent struct {
	at   time.Time
	text string
}

// event counts name and tells text, f being the interface or nil.
func (s *step) event(f *ospfInterface, name string, warning bool, text string) {
	s.count(name)
	e := Event{Name: name, Text: text, Warning: warning}
	if f != nil {
		e.Interface = f.cfg.Name
		last, known := f.told[name]
		if age := s.now.Sub(last.at); known && (age < eventPause || age < eventRepeat && last.text == text) {
			return
		}
		f.told[name] = toldEvent{s.now, text}
	}
	s.out = append(s.out, e)
}

// refuse counts and tells why a packet was not taken, and remembers it for `show`.
func (s *step) refuse(f *ospfInterface, n *neighbor, name string, err error) {
	f.lastError = err.Error()
	if f.cfg.Source != "" {
		f.lastError += "; our end is set at " + f.cfg.Source
	}
	if n != nil && n.state != Full {
		n.reason = f.lastError
	}
	s.event(f, name, true, f.lastError)
}

// shutdown flushes our LSAs, takes leave of the neighbors and stops for good.
func (s *step) shutdown() {
	for _, e := range s.in.db.self(s.in.cfg.RouterID) {
		s.prematureAge(e)
	}
	for _, f := range s.in.interfaces {
		f.flushAll(s)
		f.leave(s, "shut down")
	}
	s.run()
	s.setRoutes(nil)
	for s.in.timers.Len() > 0 {
		s.in.timers.t[0].stop(s)
	}
	s.in.stopped = true
}

// reserveSteps is how many sequence numbers are asked for at a time: few enough that the number after
// a restart stays near the clock.
const reserveSteps = 1024

// nextSequence is the cryptographic sequence number of f's next packet: one more than the last, and at
// least the Unix time in seconds, so that it does not go back when the memory of it is lost. Each
// interface counts on its own, so that many interfaces do not outrun the clock. At the end of the
// space it stays there: receivers take an equal number (RFC 2328, D.3).
func (s *step) nextSequence(f *ospfInterface) uint32 {
	in := s.in
	seq := max(f.sequence, clockSequence(s.now))
	if seq == f.sequence && seq < math.MaxUint32 {
		seq++
	}
	f.sequence = seq
	if seq > in.reserved || in.reserved == 0 {
		in.reserved = seq + min(reserveSteps, math.MaxUint32-seq)
		s.out = append(s.out, ReserveSequence{UpTo: in.reserved})
	}
	return seq
}

func clockSequence(now time.Time) uint32 {
	return uint32(min(max(now.Unix(), 0), math.MaxUint32))
}

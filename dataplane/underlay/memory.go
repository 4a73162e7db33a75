package underlay

import (
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"meshrouter/dataplane/esp"
)

// memoryDepth is how many packets wait for a Memory's receiver; more are lost, as in a socket.
const memoryDepth = 1024

// memoryBatch is how many packets Receive returns at most.
const memoryBatch = 64

// A Wire is a packet on a Hub.
type Wire struct {
	UDP      bool // else IP protocol 50, with ports 0
	TOS      uint8
	Src, Dst netip.AddrPort
	Payload  []byte // of UDP or of IP; valid during the filter's call only

	arrived int64
}

// A Hub is an internet in memory. Moving a packet does not allocate once its buffers have grown.
type Hub struct {
	mu     sync.Mutex
	sites  map[netip.Addr]*Memory
	filter func(w *Wire) bool
}

// NewHub returns a Hub without sites.
func NewHub() *Hub { return &Hub{sites: make(map[netip.Addr]*Memory)} }

// SetFilter makes f see each packet before it is delivered. It may change it, as a NAT does, and
// loses it by returning false. It must not call the Hub. A nil f delivers everything.
func (h *Hub) SetFilter(f func(w *Wire) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.filter = f
}

// Join adds a site with that outer address.
func (h *Hub) Join(local netip.Addr) *Memory {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := &Memory{hub: h, local: local}
	m.changed.L = &m.mu
	h.sites[local] = m
	return m
}

// Deliver puts a packet on the wire as if someone had sent it; the filter does not see it.
func (h *Hub) Deliver(w Wire) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deliver(&w)
}

func (h *Hub) deliver(w *Wire) {
	if to := h.sites[w.Dst.Addr()]; to != nil {
		to.put(w)
	}
}

// send is how a site's packets leave; wire is the caller's scratch, so that it need not be allocated.
func (h *Hub) send(wire *Wire) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.filter == nil || h.filter(wire) {
		h.deliver(wire)
	}
}

// A Memory is one site on a Hub. It has what Sockets have.
type Memory struct {
	hub   *Hub
	local netip.Addr

	sending sync.Mutex
	scratch Wire

	mu            sync.Mutex
	changed       sync.Cond
	ring          [memoryDepth]Wire
	first, filled int
	lost          int
	closed        bool

	batch  []Packet // of Receive
	memory []byte
}

// Receivers is 1.
func (m *Memory) Receivers() int { return 1 }

// Local is the site's outer address.
func (m *Memory) Local() netip.Addr { return m.local }

// Send sends sealed packets to where their SAs say.
func (m *Memory) Send(ps []esp.Sealed) (n int, err error) {
	m.sending.Lock()
	defer m.sending.Unlock()
	for _, p := range ps {
		dst := p.SA().Dst()
		m.scratch = Wire{UDP: dst.Port() != 0, TOS: p.TOS(), Src: netip.AddrPortFrom(m.local, p.SA().Src().Port()), Dst: dst, Payload: p.Bytes()}
		m.hub.send(&m.scratch)
	}
	return len(ps), nil
}

// SendProbe sends one packet: on a Hub no path is too small for it.
func (m *Memory) SendProbe(p esp.Sealed) error {
	_, err := m.Send([]esp.Sealed{p})
	return err
}

// SendIKE sends an ISAKMP message, with the non-ESP marker if it leaves from port 4500.
func (m *Memory) SendIKE(d Datagram) error {
	m.hub.send(&Wire{UDP: true, Src: d.Local, Dst: d.Remote, Payload: marked(d, d.Local.Port() == NATPort)})
	return nil
}

// SendKeepalive sends a NAT keepalive (RFC 3948, 4).
func (m *Memory) SendKeepalive(remote netip.AddrPort) error {
	m.hub.send(&Wire{UDP: true, Src: netip.AddrPortFrom(m.local, NATPort), Dst: remote, Payload: []byte{keepalive}})
	return nil
}

func (m *Memory) put(w *Wire) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	if m.filled == memoryDepth {
		m.lost++
		return
	}
	slot := &m.ring[(m.first+m.filled)%memoryDepth]
	*slot = Wire{w.UDP, w.TOS, w.Src, w.Dst, append(slot.Payload[:0], w.Payload...), time.Now().UnixNano()}
	m.filled++
	m.changed.Signal()
}

// Receive waits for packets and returns those that are there, at most 64. They and their memory are
// the caller's until its next call.
func (m *Memory) Receive(int) ([]Packet, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.wait(); err != nil {
		return nil, err
	}
	m.batch, m.memory = m.batch[:0], m.memory[:0]
	n := min(m.filled, memoryBatch)
	// Room for all first, since packets point into it. They lie side by side, as in a socket's buffer.
	total := 0
	for i := range n {
		total += len(m.ring[(m.first+i)%memoryDepth].Payload)
	}
	m.memory = slices.Grow(m.memory, total)
	for range n {
		w := m.take()
		start := len(m.memory)
		m.memory = append(m.memory, w.Payload...)
		m.batch = append(m.batch, Packet{Local: w.Dst, Remote: w.Src, Arrived: w.arrived})
		w.classify(&m.batch[len(m.batch)-1], m.memory[start:len(m.memory):len(m.memory)])
	}
	return m.batch, nil
}

// Control is false: the one receiver has everything.
func (m *Memory) Control(int) bool { return false }

// wait waits until there is something in the ring. It holds m.mu.
func (m *Memory) wait() error {
	for m.filled == 0 && !m.closed {
		m.changed.Wait()
	}
	if m.closed {
		return os.ErrClosed
	}
	return nil
}

// take is the next packet of the ring, valid as long as m.mu is held.
func (m *Memory) take() *Wire {
	w := &m.ring[m.first]
	m.first = (m.first + 1) % memoryDepth
	m.filled--
	return w
}

func (w *Wire) classify(p *Packet, datagram []byte) {
	if w.UDP {
		p.classify(datagram, w.Dst.Port() == NATPort)
	} else {
		p.Kind, p.Payload = ESP, datagram
	}
}

// Lost is how many packets found the receiver's queue full.
func (m *Memory) Lost() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lost
}

// Close ends Receive.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.changed.Broadcast()
	return nil
}

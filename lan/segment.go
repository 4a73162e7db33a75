package lan

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

// portQueue is how many packets wait at a port before further ones are lost, as in a socket's buffer.
const portQueue = 256

// A Segment is a LAN in memory: what one port sends, the others receive, groups by all, unicast by
// the port that has the address. The zero value is an empty segment.
type Segment struct {
	mu    sync.Mutex
	ports []*Port // in the order they were attached
	cut   bool
}

// A Port is one router's connection to a Segment; its methods are those of Conn.
type Port struct {
	name    string
	addr    netip.Addr
	segment *Segment
	queue   chan frame
	closed  chan struct{}
	once    sync.Once
	dropped atomic.Uint64
}

type frame struct {
	src, dst netip.Addr
	payload  []byte
}

// Attach connects a router with address addr, whose interface is called name.
func (s *Segment) Attach(name string, addr netip.Addr) *Port {
	p := &Port{name: name, addr: addr, segment: s, queue: make(chan frame, portQueue), closed: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ports = append(s.ports, p)
	return p
}

// Cut makes the segment swallow everything, silently, until Cut(false) mends it.
func (s *Segment) Cut(cut bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = cut
}

// Interface is the interface's name.
func (p *Port) Interface() string { return p.name }

// ReadFrom is Conn.ReadFrom.
func (p *Port) ReadFrom(b []byte) (n int, src, dst netip.Addr, err error) {
	select {
	case <-p.closed:
		return 0, netip.Addr{}, netip.Addr{}, net.ErrClosed
	default:
	}
	select {
	case f := <-p.queue:
		return copy(b, f.payload), f.src, f.dst, nil
	case <-p.closed:
		return 0, netip.Addr{}, netip.Addr{}, net.ErrClosed
	}
}

// WriteTo is Conn.WriteTo. It never blocks.
func (p *Port) WriteTo(dst netip.Addr, payload []byte) error {
	select {
	case <-p.closed:
		return net.ErrClosed
	default:
	}
	f := frame{src: p.addr, dst: dst, payload: slices.Clone(payload)}
	p.segment.mu.Lock()
	defer p.segment.mu.Unlock()
	if p.segment.cut {
		return nil
	}
	for _, other := range p.segment.ports {
		if other == p || !dst.IsMulticast() && dst != other.addr {
			continue
		}
		select {
		case other.queue <- f:
		default:
			other.dropped.Add(1)
		}
	}
	return nil
}

// Dropped is how many packets the port lost because nobody read them.
func (p *Port) Dropped() uint64 { return p.dropped.Load() }

// Close detaches the port and ends a waiting ReadFrom.
func (p *Port) Close() error {
	p.once.Do(func() {
		close(p.closed)
		p.segment.mu.Lock()
		defer p.segment.mu.Unlock()
		p.segment.ports = slices.DeleteFunc(p.segment.ports, func(q *Port) bool { return q == p })
	})
	return nil
}

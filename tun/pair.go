package tun

import (
	"os"
	"sync"

	"meshrouter/dataplane/segment"
)

const (
	// pairDepth is how many packets wait in each direction of a Pair; a writer then waits for room.
	pairDepth = 512
	// pairBatch is how many are read at once.
	pairBatch = 64
)

// Pair returns two devices joined in memory: what one writes, the other reads. Once the buffers of
// a direction have grown to the size of its packets, moving a packet does not allocate.
func Pair() (a, b *Device) { return newPair(false) }

// OffloadPair is a Pair that carries packets which stand for many, as a TUN device with offloads does.
func OffloadPair() (a, b *Device) { return newPair(true) }

func newPair(offload bool) (a, b *Device) {
	ab, ba := newPipe(), newPipe()
	a = &Device{name: "pair-a", mtu: 1500, queues: []Queue{&pairQueue{in: ba, out: ab, offload: offload}}}
	b = &Device{name: "pair-b", mtu: 1500, queues: []Queue{&pairQueue{in: ab, out: ba, offload: offload}}}
	return a, b
}

type pairQueue struct {
	in, out *pipe
	offload bool
	packets []segment.Packet // what Read returned last
}

func (q *pairQueue) Offloads() (tcp, udp bool) { return q.offload, q.offload }

func (q *pairQueue) Close() error {
	q.in.close()
	q.out.close()
	return nil
}

func (q *pairQueue) Read() ([]segment.Packet, error) {
	if q.packets == nil {
		q.packets = make([]segment.Packet, pairBatch)
	}
	n, err := q.in.take(q.packets)
	return q.packets[:n], err
}

func (q *pairQueue) Write(gs []segment.Group) (int, error) {
	for i := range gs {
		if !q.offload && gs[i].Offload != (segment.Offload{}) {
			return i, errOffload
		}
		if err := q.out.put(gs[i].Offload, gs[i].Pieces...); err != nil {
			return i, err
		}
	}
	return len(gs), nil
}

// A pipe is one direction: a ring of packets.
type pipe struct {
	mu            sync.Mutex
	changed       sync.Cond
	ring          [pairDepth]segment.Packet
	first, filled int
	closed        bool
}

func newPipe() *pipe {
	p := &pipe{}
	p.changed.L = &p.mu
	return p
}

func (p *pipe) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.changed.Broadcast()
}

func (p *pipe) put(o segment.Offload, pieces ...[]byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.filled == pairDepth && !p.closed {
		p.changed.Wait()
	}
	if p.closed {
		return os.ErrClosed
	}
	slot := &p.ring[(p.first+p.filled)%pairDepth]
	slot.Buf = slot.Buf[:0]
	for _, b := range pieces {
		slot.Buf = append(slot.Buf, b...)
	}
	slot.End, slot.Offload = len(slot.Buf), o
	p.filled++
	p.changed.Broadcast()
	return nil
}

// wait waits for a packet.
func (p *pipe) wait() error {
	for p.filled == 0 && !p.closed {
		p.changed.Wait()
	}
	if p.closed {
		return os.ErrClosed
	}
	return nil
}

// pop frees the oldest packet's place.
func (p *pipe) pop() {
	p.first = (p.first + 1) % pairDepth
	p.filled--
}

// take exchanges packets of the ring for the ones in ps, whose memory serves again.
func (p *pipe) take(ps []segment.Packet) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.wait(); err != nil {
		return 0, err
	}
	for n < len(ps) && p.filled > 0 {
		ps[n], p.ring[p.first] = p.ring[p.first], ps[n]
		p.pop()
		n++
	}
	p.changed.Broadcast()
	return n, nil
}

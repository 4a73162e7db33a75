package tun

import (
	"os"
	"sync"
)

// pairDepth is how many packets wait in each direction of a Pair; a writer then waits for room.
const pairDepth = 512

// Pair returns two devices joined in memory: what one writes, the other reads. Once the buffers of
// a direction have grown to the size of its packets, moving a packet does not allocate.
func Pair() (a, b *Device) {
	ab, ba := newPipe(), newPipe()
	a = &Device{name: "pair-a", mtu: 1500, queues: []Queue{&pairQueue{in: ba, out: ab}}}
	b = &Device{name: "pair-b", mtu: 1500, queues: []Queue{&pairQueue{in: ab, out: ba}}}
	return a, b
}

type pairQueue struct{ in, out *pipe }

func (q *pairQueue) BatchSize() int { return 128 }

func (q *pairQueue) Close() error {
	q.in.close()
	q.out.close()
	return nil
}

func (q *pairQueue) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	return q.in.read(bufs, sizes, offset)
}

func (q *pairQueue) Write(bufs [][]byte, offset int) (int, error) {
	for i, b := range bufs {
		if err := q.out.put(b[offset:]); err != nil {
			return i, err
		}
	}
	return len(bufs), nil
}

// A pipe is one direction: a ring of packets.
type pipe struct {
	mu            sync.Mutex
	changed       sync.Cond
	ring          [pairDepth][]byte
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

func (p *pipe) put(b []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.filled == pairDepth && !p.closed {
		p.changed.Wait()
	}
	if p.closed {
		return os.ErrClosed
	}
	slot := &p.ring[(p.first+p.filled)%pairDepth]
	*slot = append((*slot)[:0], b...)
	p.filled++
	p.changed.Broadcast()
	return nil
}

func (p *pipe) read(bufs [][]byte, sizes []int, offset int) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.filled == 0 && !p.closed {
		p.changed.Wait()
	}
	if p.closed {
		return 0, os.ErrClosed
	}
	n := min(p.filled, len(bufs))
	for i := range n {
		sizes[i] = copy(bufs[i][offset:], p.ring[p.first])
		p.first = (p.first + 1) % pairDepth
	}
	p.filled -= n
	p.changed.Broadcast()
	return n, nil
}

package tun

import (
	"errors"
	"sync"

	"meshrouter/dataplane/segment"
)

// errOffload refuses a group that a device without offloads cannot carry.
var errOffload = errors.New("tun: this device takes no large packets and completes no checksums")

// frontRoom is what plain devices want to have in front of a packet, bytes: a virtio header (10) or the
// address family (4).
const frontRoom = 16

// A batchQueue is a device that carries plain packets: wireguard/tun's, and plainQueue.
type batchQueue interface {
	Read(bufs [][]byte, sizes []int, offset int) (n int, err error)
	Write(bufs [][]byte, offset int) (n int, err error)
	BatchSize() int
	Close() error
}

// A simpleQueue is a Queue without offloads.
type simpleQueue struct {
	dev     batchQueue
	bufs    [][]byte
	sizes   []int
	packets []segment.Packet

	writing sync.Mutex
	out     []byte
	one     [1][]byte
}

func newSimpleQueue(q batchQueue) *simpleQueue {
	n := q.BatchSize()
	s := &simpleQueue{dev: q, bufs: make([][]byte, n), sizes: make([]int, n), packets: make([]segment.Packet, 0, n)}
	for i := range s.bufs {
		s.bufs[i] = make([]byte, frontRoom+maxPacket)
	}
	return s
}

func (q *simpleQueue) Close() error { return q.dev.Close() }

func (q *simpleQueue) Offloads() (tcp, udp bool) { return false, false }

func (q *simpleQueue) Read() ([]segment.Packet, error) {
	n, err := q.dev.Read(q.bufs, q.sizes, frontRoom)
	q.packets = q.packets[:0]
	for i := range n {
		q.packets = append(q.packets, segment.Packet{Buf: q.bufs[i], Start: frontRoom, End: frontRoom + q.sizes[i]})
	}
	return q.packets, err
}

// Write copies each packet, since the devices want room in front of it.
func (q *simpleQueue) Write(gs []segment.Group) (int, error) {
	q.writing.Lock()
	defer q.writing.Unlock()
	for i := range gs {
		if gs[i].Offload != (segment.Offload{}) {
			return i, errOffload
		}
		q.out = append(q.out[:0], make([]byte, frontRoom)...)
		for _, piece := range gs[i].Pieces {
			q.out = append(q.out, piece...)
		}
		q.one[0] = q.out
		if _, err := q.dev.Write(q.one[:], frontRoom); err != nil {
			return i, err
		}
	}
	return len(gs), nil
}

package dataplane

import (
	"time"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/fib"
	"meshrouter/dataplane/gre"
	"meshrouter/dataplane/underlay"
	"meshrouter/internal/ipv4"
)

const (
	// headRoom is free in front of every packet: enough for what encapsulate puts there, and for
	// what the TUN device wants.
	headRoom = underlay.HeadRoom
	// tunRoom is what the TUN device gets in front of a packet that is written to it.
	tunRoom = 16
	// ICMP errors that a worker makes: so many a second, after so many at once.
	icmpRate, icmpBurst = 1000, 50
)

// What encapsulate puts in front of a packet must fit into headRoom.
var _ [headRoom - (ipv4.HeaderLen + gre.KeyHeaderLen + esp.HeadRoom)]struct{}

// A frame is a packet somewhere inside a buffer.
type frame struct {
	buf        []byte
	start, end int
}

// newFrame copies a packet into a buffer of its own, with room around it.
func newFrame(pkt []byte) frame {
	buf := make([]byte, headRoom+len(pkt)+esp.TailRoom)
	return frame{buf, headRoom, headRoom + copy(buf[headRoom:], pkt)}
}

func (f frame) pkt() []byte { return f.buf[f.start:f.end:f.end] }

// An outgoing packet is on its way into a tunnel.
type outgoing struct {
	frame
	tunnel fib.TunnelID
	// delivery: the packet is what GRE would be put into, an echo reply or a returned keepalive.
	delivery bool
	control  bool // from Inject: it does not wait for an SA
}

// A worker is what one goroutine needs for a batch. What is collected here leaves in finish, when
// no lock is held any more.
type worker struct {
	e     *Engine
	queue Queue // where packets for the host go
	v     *view
	now   time.Time

	batch   esp.Batch
	jobs    []esp.Job
	from    []received   // by job
	toHost  [][]byte     // with tunRoom in front
	out     [][]outgoing // by owner
	control []controlPacket
	moved   []movedPeer
	icmp    limiter
}

// received is what the worker knows of a packet that esp opens.
type received struct {
	in     *inbound
	packet *underlay.Packet
}

type controlPacket struct {
	tunnel fib.TunnelID
	packet []byte
}

func newWorker(e *Engine, q Queue) *worker {
	return &worker{e: e, queue: q, out: make([][]outgoing, len(e.owners))}
}

// begin starts a batch.
func (w *worker) begin() {
	w.v, w.now = w.e.view.Load(), w.e.now()
}

// finish lets out what the batch has collected.
func (w *worker) finish() {
	if len(w.toHost) > 0 {
		// The number that Write returns counts bytes or packets, depending on the backend.
		if _, err := w.queue.Write(w.toHost, tunRoom); err != nil {
			w.e.drops.add(dropTunWrite)
			w.e.warn("writing to the TUN device failed", err)
		}
		w.toHost = w.toHost[:0]
	}
	for i, out := range w.out {
		if len(out) > 0 {
			w.e.owners[i].send(w.now, out)
			w.out[i] = out[:0]
		}
	}
	for _, c := range w.control {
		if w.e.handlers.Control != nil {
			w.e.handlers.Control(c.tunnel, c.packet)
		}
	}
	for _, m := range w.moved {
		if w.e.handlers.Moved != nil {
			w.e.handlers.Moved(m.tunnel, m.to)
		}
	}
	w.control, w.moved = w.control[:0], w.moved[:0]
}

func (w *worker) drop(r reason) { w.e.drops.add(r) }

// host gives a packet to the host.
func (w *worker) host(f frame) {
	w.toHost = append(w.toHost, f.buf[f.start-tunRoom:f.end])
}

// send gives a packet to its tunnel's owner.
func (w *worker) send(o outgoing) {
	i := int(o.tunnel) % len(w.out)
	w.out[i] = append(w.out[i], o)
}

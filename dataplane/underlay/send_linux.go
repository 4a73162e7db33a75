package underlay

import (
	"errors"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"meshrouter/dataplane/esp"
)

const (
	// sendMessages and sendPieces bound one sendmmsg call: its messages, and what they consist of.
	sendMessages = 64
	sendPieces   = 512
	// tosSpace and segmentSpace hold one control message each: a header and up to a word (cmsg(3)).
	tosSpace     = unix.SizeofCmsghdr + unix.SizeofPtr
	segmentSpace = unix.SizeofCmsghdr + unix.SizeofPtr
)

// A lane is where packets of one class leave: a socket, or several of one port, with the memory for as
// many goroutines as may send at once.
type lane struct {
	free chan *sender
	all  []*sender
}

// newLane makes a lane for so many goroutines. segments is nil if packets leave one by one.
func newLane(senders int, segments *segmentation, sockets ...*socket) *lane {
	l := &lane{free: make(chan *sender, senders)}
	for i := range senders {
		s := newSender(sockets[i%len(sockets)], segments)
		l.all = append(l.all, s)
		l.free <- s
	}
	return l
}

// used reports whether anything has left here.
func (l *lane) used() bool {
	return slices.ContainsFunc(l.all, func(s *sender) bool { return s.sent.Load() > 0 })
}

// workers is how many goroutines are expected to send at once.
func workers() int { return max(2, runtime.GOMAXPROCS(0)) }

func (l *lane) send(ps []esp.Sealed) (n int, err error) {
	s := <-l.free
	if p := s.bypass.use(); p != nil {
		n, s.rest, err = p.Send(ps, s.rest[:0])
		s.count(n, n)
		ps = s.rest
	}
	m, e := s.send(ps)
	l.free <- s
	if e != nil {
		err = e
	}
	return n + m, err
}

// sendOne sends one datagram of ours.
func (l *lane) sendOne(to netip.AddrPort, tos uint8, b []byte) error {
	s := <-l.free
	defer func() { l.free <- s }()
	s.reset()
	s.piece(b)
	s.message(to, tos, 1, 0)
	_, err := s.flush()
	return err
}

// A sender writes batches to one socket.
type sender struct {
	batch
	segments *segmentation
	bypass   *bypass      // tried first; nil: there is none
	rest     []esp.Sealed // what the bypass has left
	iovs     [sendPieces]unix.Iovec
	// Of iovs, pieces are in use, and those from first on belong to the message that is being made.
	first, pieces int
	last          []byte            // the latest piece
	counts        [sendMessages]int // packets, by message
	control       [sendMessages][]byte

	messages, sent atomic.Uint64
}

func newSender(s *socket, segments *segmentation) *sender {
	out := &sender{segments: segments}
	out.init(s, sendMessages, unix.SYS_SENDMMSG)
	for i := range out.control {
		out.control[i] = make([]byte, tosSpace+segmentSpace)
	}
	return out
}

// send sends packets in order. What the system refuses is left out, unless it refused to cut it.
func (s *sender) send(ps []esp.Sealed) (n int, err error) {
	for len(ps) > 0 {
		s.plan(ps)
		sent, e := s.flush()
		n += sent
		ps = ps[sent:]
		if e == nil {
			continue
		}
		if errors.Is(e, os.ErrClosed) {
			return n, e
		}
		failed := s.counts[s.from]
		if failed > 1 && s.segments.refused(ps[0], s.errno) {
			continue // the same packets again, one by one
		}
		err = e
		ps = ps[failed:]
	}
	return n, err
}

// plan makes messages of packets from the front of ps, as many as fit one call.
func (s *sender) plan(ps []esp.Sealed) {
	s.reset()
	for len(ps) > 0 && s.to < sendMessages && s.pieces+maxSegments <= sendPieces {
		n := 1
		if s.segments != nil && s.segments.allowed(ps[0]) {
			n = runOf(ps)
		}
		for i := range n {
			s.piece(ps[i].Bytes())
		}
		s.message(ps[0].SA().Dst(), ps[0].TOS(), n, len(ps[0].Bytes()))
		ps = ps[n:]
	}
}

func (s *sender) reset() { s.from, s.to, s.first, s.pieces = 0, 0, 0, 0 }

// piece adds bytes to the message that is being made; those that lie behind one another are one piece.
func (s *sender) piece(b []byte) {
	if s.pieces > s.first && follows(s.last, b) {
		iov := &s.iovs[s.pieces-1]
		iov.SetLen(int(iov.Len) + len(b)) //nolint:gosec // G115: at most maxRun
	} else {
		s.iovs[s.pieces].Base = unsafe.SliceData(b) //nolint:gosec // G103: the kernel reads len(b) bytes from here
		s.iovs[s.pieces].SetLen(len(b))
		s.pieces++
	}
	s.last = b
}

// message ends a message of so many packets, each of size bytes but for the last.
func (s *sender) message(to netip.AddrPort, tos uint8, packets, size int) {
	i := s.to
	setName(&s.names[i], to)
	h := &s.msgs[i].hdr
	h.Iov = &s.iovs[s.first]
	h.SetIovlen(s.pieces - s.first)
	control := s.control[i][:0]
	if tos != s.socket.tos {
		control = control[:tosSpace]
		putTOS(control, tos)
	}
	if packets > 1 {
		control = control[:len(control)+segmentSpace]
		putSegment(control[len(control)-segmentSpace:], size)
	}
	h.Control = unsafe.SliceData(control) //nolint:gosec // G103: the kernel reads len(control) bytes from here
	h.SetControllen(len(control))
	s.counts[i] = packets
	s.to++
	s.first = s.pieces
}

// flush sends the messages and returns how many packets left. An error is about message s.from.
func (s *sender) flush() (sent int, err error) {
	messages := 0
	defer func() { s.count(messages, sent) }()
	for s.from < s.to {
		if s.socket.conn.Write(s.ready) != nil {
			return sent, os.ErrClosed
		}
		if s.errno != 0 {
			return sent, os.NewSyscallError("sendmmsg", s.errno)
		}
		for _, n := range s.counts[s.from : s.from+s.done] {
			sent += n
		}
		messages += s.done
		s.from += s.done
	}
	return sent, nil
}

// count adds to the counters, of which this goroutine is the only writer.
func (s *sender) count(messages, packets int) {
	s.messages.Store(s.messages.Load() + uint64(messages)) //nolint:gosec // G115: a count
	s.sent.Store(s.sent.Load() + uint64(packets))          //nolint:gosec // G115: a count
}

package underlay

import (
	"net/netip"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"meshrouter/internal/ipv4"
)

const (
	// rawMessages and plainMessages are how many packets are received at once, joinedMessages how many
	// joined ones. Their buffers are used again and again and should stay in a cache.
	rawMessages     = 64
	plainMessages   = 64
	joinedMessages  = 16
	controlMessages = 8
	// messageSize holds any packet. It is no power of two, so that equal places of the buffers do
	// not compete for one cache set.
	messageSize = 65536 + 64
)

// A receiver reads one socket. It belongs to one goroutine.
type receiver struct {
	batch
	local   netip.AddrPort
	memory  []byte
	control []byte
	iovs    []unix.Iovec
	packets []Packet // of the latest call

	messages, received atomic.Uint64
}

// controlSize holds UDP_GRO and SCM_TIMESTAMPNS, with room for any system's sizes.
const controlSize = 64

func newReceiver(s *socket, local netip.Addr, messages int) *receiver {
	r := &receiver{
		local:   netip.AddrPortFrom(local, s.port),
		memory:  make([]byte, messages*messageSize),
		control: make([]byte, messages*controlSize),
		iovs:    make([]unix.Iovec, messages),
	}
	r.init(s, messages, unix.SYS_RECVMMSG)
	r.to, r.done = messages, messages
	for i := range r.msgs {
		r.iovs[i].Base = &r.memory[i*messageSize]
		r.iovs[i].SetLen(messageSize)
		h := &r.msgs[i].hdr
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
		h.Control = &r.control[i*controlSize]
	}
	return r
}

// receive waits for packets and returns those that are there, valid until the next call.
func (r *receiver) receive() ([]Packet, error) {
	for i := range r.done { // what the kernel has changed
		h := &r.msgs[i].hdr
		h.Namelen = unix.SizeofSockaddrInet4
		h.SetControllen(controlSize)
	}
	r.done = 0
	for {
		if r.socket.conn.Read(r.ready) != nil {
			return nil, os.ErrClosed // the only reason, and the poller's own error for it has no name
		}
		switch r.errno {
		case 0:
			r.collect()
			return r.packets, nil
		case unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH:
			// An ICMP error about something sent before: the socket goes on.
		default:
			r.done = 0
			return nil, os.NewSyscallError("recvmmsg", r.errno)
		}
	}
}

// collect makes packets of the messages that have come.
func (r *receiver) collect() {
	r.packets = r.packets[:0]
	for i := range r.done {
		m := &r.msgs[i]
		start := i * messageSize
		datagram := r.memory[start : start+int(m.n)]
		one := Packet{Local: r.local, Remote: addrPort(&r.names[i])}
		size, arrived := parseControl(r.control[i*controlSize:][:m.hdr.Controllen])
		one.Arrived = arrived
		switch {
		case m.hdr.Flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0:
			one.Kind = Malformed
			r.packets = append(r.packets, one)
		case r.socket.port == 0:
			one.stripIPv4(datagram)
			r.packets = append(r.packets, one)
		default:
			r.packets = cut(r.packets, one, datagram, size, r.socket.port == NATPort)
		}
	}
	r.messages.Store(r.messages.Load() + uint64(r.done)) //nolint:gosec // G115: a count
	r.received.Store(r.received.Load() + uint64(len(r.packets)))
}

// stripIPv4 takes away the header that Linux leaves on packets of raw sockets.
func (p *Packet) stripIPv4(datagram []byte) {
	h, payload, err := ipv4.Parse(datagram)
	if err != nil {
		p.Kind = Malformed
		return
	}
	p.Kind, p.Payload = ESP, payload
	p.Local, p.Remote = netip.AddrPortFrom(h.Dst(), 0), netip.AddrPortFrom(h.Src(), 0)
}

package underlay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"meshrouter/dataplane/esp"
)

const (
	protocolESP = 50
	// socketBuffer is what each socket asks for, bytes: some 10 ms at 3 Gbit/s.
	socketBuffer = 4 << 20
	// tosControl is CS6, network control (RFC 2474, 4.2.2.2): IKE's class.
	tosControl = 0xc0
	maxBatch   = 128
)

// The sockets, by their place in Sockets and the index of their receiver.
const (
	ikeSocket = iota
	natSocket
	rawSocket
	socketCount
)

// Sockets are the outer sockets of a site: UDP 500, UDP 4500 and raw IP protocol 50.
type Sockets struct {
	local     netip.Addr
	files     [socketCount]*os.File
	receivers [socketCount]*receiver

	sending sync.Mutex // of the senders
	senders [socketCount]*sender
}

// Open binds the sockets to local, an address of this host. It needs CAP_NET_RAW and
// CAP_NET_BIND_SERVICE.
func Open(local netip.Addr) (*Sockets, error) { return Options{}.Open(local) }

// Open binds the sockets to local, as the package's Open does.
func (o Options) Open(local netip.Addr) (*Sockets, error) {
	if !local.Is4() || local.IsUnspecified() {
		return nil, fmt.Errorf("underlay: local address is %v, want an IPv4 address of this host", local)
	}
	s := &Sockets{local: local}
	for i, kind := range [socketCount]struct {
		name            string
		typ, proto, tos int
		port            uint16
	}{
		{"UDP port 500", unix.SOCK_DGRAM, 0, tosControl, IKEPort},
		{"UDP port 4500", unix.SOCK_DGRAM, 0, 0, NATPort},
		{"raw IP protocol 50", unix.SOCK_RAW, protocolESP, 0, 0},
	} {
		file, err := openSocket(netip.AddrPortFrom(local, kind.port), kind.typ, kind.proto, kind.tos)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("underlay: %s on %v: %w", kind.name, local, err), s.Close())
		}
		s.files[i] = file
		conn, err := file.SyscallConn()
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.receivers[i], s.senders[i] = newReceiver(conn), newSender(conn)
	}
	return s, nil
}

func openSocket(local netip.AddrPort, typ, proto, tos int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_INET, typ|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, proto)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	// Without DF, so that routers fragment outer packets: peers put them together.
	err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS, tos)
	}
	if err != nil {
		return nil, errors.Join(os.NewSyscallError("setsockopt", err), unix.Close(fd))
	}
	for _, o := range [][2]int{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, o[0], socketBuffer) != nil {
			// Without CAP_NET_ADMIN we get what the system's limit allows, which is no error.
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, o[1], socketBuffer)
		}
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: int(local.Port()), Addr: local.Addr().As4()}); err != nil {
		return nil, errors.Join(os.NewSyscallError("bind", err), unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "underlay"), nil
}

// Receivers is how many goroutines can call Receive, each with its own index.
func (s *Sockets) Receivers() int { return socketCount }

// Local is the site's outer address.
func (s *Sockets) Local() netip.Addr { return s.local }

// Close closes all sockets; Receive then returns os.ErrClosed.
func (s *Sockets) Close() error {
	var errs []error
	for _, f := range s.files {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// Receive waits for packets on socket i and fills in as many of ps as there are, at most 128. It
// belongs to one goroutine for each i.
func (s *Sockets) Receive(i int, ps []Packet) (n int, err error) {
	r := s.receivers[i]
	if n, err = r.receive(ps); err != nil {
		return 0, err
	}
	var port uint16
	switch i {
	case ikeSocket:
		port = IKEPort
	case natSocket:
		port = NATPort
	}
	local := netip.AddrPortFrom(s.local, port)
	ps = ps[:n]
	for j := range ps {
		p := &ps[j]
		datagram := p.Buf[HeadRoom : HeadRoom+int(r.msgs[j].n)]
		p.Local, p.Remote = local, addrPort(&r.names[j])
		if i == rawSocket {
			p.Remote = netip.AddrPortFrom(p.Remote.Addr(), 0)
			p.stripIPv4(datagram)
			continue
		}
		p.classify(datagram, i == natSocket)
	}
	return n, nil
}

// ReceiveBatch waits for packets on receiver i and returns those that are there. They and their memory
// are the caller's until its next call with the same i; no room in front or behind is promised.
func (s *Sockets) ReceiveBatch(i int) ([]Packet, error) {
	r := s.receivers[i]
	if r.own == nil {
		r.own = make([]Packet, maxBatch)
		for j := range r.own {
			r.own[j].Buf = make([]byte, BufferSize)
		}
	}
	n, err := s.Receive(i, r.own)
	return r.own[:n], err
}

// Home is the receiver where data of the SA with that SPI arrives: the UDP ones share it by SPI.
func (s *Sockets) Home(_ uint32, udp bool) int {
	if udp {
		return natSocket
	}
	return rawSocket
}

// stripIPv4 takes away the header that Linux leaves on packets of raw sockets.
func (p *Packet) stripIPv4(datagram []byte) {
	p.Kind, p.Payload = Malformed, nil
	if len(datagram) < 20 {
		return
	}
	if header := int(datagram[0]&15) * 4; header >= 20 && header <= len(datagram) {
		p.Kind, p.Payload = ESP, datagram[header:]
	}
}

// Send sends sealed packets to where their SAs say, in order: by UDP if the SA has ports, else as IP
// protocol 50. A packet that the system refuses is left out; n is how many it took, and err why it
// refused the last of the others.
func (s *Sockets) Send(ps []esp.Sealed) (n int, err error) {
	s.sending.Lock()
	defer s.sending.Unlock()
	for len(ps) > 0 {
		run, which := 1, socketOf(ps[0])
		for run < len(ps) && run < maxBatch && socketOf(ps[run]) == which {
			run++
		}
		m, e := s.senders[which].send(ps[:run])
		n += m
		if e != nil {
			err = e
		}
		ps = ps[run:]
	}
	return n, err
}

func socketOf(p esp.Sealed) int {
	if p.SA().Dst().Port() != 0 {
		return natSocket
	}
	return rawSocket
}

// SendProbe sends one packet with DF set, however large it is: path MTU discovery (RFC 8899) learns from
// its fate. A packet larger than the interface allows gives an error that is syscall.EMSGSIZE.
func (s *Sockets) SendProbe(p esp.Sealed) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	_, err := s.senders[socketOf(p)].send([]esp.Sealed{p})
	return err
}

// Offloads says what of the Options is in use.
func (s *Sockets) Offloads() []Offload { return nil }

// SendIKE sends an ISAKMP message from port 500 or, after the non-ESP marker, from port 4500.
func (s *Sockets) SendIKE(d Datagram) error {
	switch d.Local.Port() {
	case IKEPort:
		return s.sendControl(ikeSocket, d.Remote, marked(d, false))
	case NATPort:
		return s.sendControl(natSocket, d.Remote, marked(d, true))
	}
	return fmt.Errorf("underlay: IKE cannot leave from port %d, only from %d and %d", d.Local.Port(), IKEPort, NATPort)
}

// SendKeepalive sends a NAT keepalive (RFC 3948, 4).
func (s *Sockets) SendKeepalive(remote netip.AddrPort) error {
	return s.sendControl(natSocket, remote, []byte{keepalive})
}

// sendControl sends one datagram of class CS6.
func (s *Sockets) sendControl(which int, remote netip.AddrPort, b []byte) error {
	if !remote.Addr().Is4() {
		return fmt.Errorf("underlay: remote address is %v, want IPv4", remote)
	}
	oob := make([]byte, unix.CmsgSpace(4))
	putTOS(oob, tosControl)
	to := &unix.SockaddrInet4{Port: int(remote.Port()), Addr: remote.Addr().As4()}
	conn, err := s.files[which].SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = conn.Write(func(fd uintptr) bool {
		sendErr = unix.Sendmsg(int(fd), b, oob, to, 0)
		return !errors.Is(sendErr, unix.EAGAIN)
	})
	return errors.Join(err, os.NewSyscallError("sendmsg", sendErr))
}

// putTOS makes b, unix.CmsgSpace(4) bytes, the control message that sets a packet's TOS.
func putTOS(b []byte, tos uint8) {
	_ = b[unix.CmsgLen(4)-1]
	h := (*unix.Cmsghdr)(unsafe.Pointer(unsafe.SliceData(b))) //nolint:gosec // G103: a control message header is laid out by the system
	h.Level, h.Type = unix.IPPROTO_IP, unix.IP_TOS
	h.SetLen(unix.CmsgLen(4))
	binary.NativeEndian.PutUint32(b[unix.CmsgLen(0):], uint32(tos))
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

// A batch is the memory of one recvmmsg or sendmmsg call.
type batch struct {
	conn  syscall.RawConn
	msgs  [maxBatch]mmsghdr
	iovs  [maxBatch]unix.Iovec
	names [maxBatch]unix.RawSockaddrInet4
	ready func(fd uintptr) bool // made once, since a closure for each call would allocate

	from, to int // the messages of this call
	done     int
	errno    syscall.Errno
}

func newBatch(conn syscall.RawConn, sysno uintptr) *batch {
	b := &batch{conn: conn}
	for i := range b.msgs {
		h := &b.msgs[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&b.names[i])) //nolint:gosec // G103: msghdr takes any socket address
		h.Iov = &b.iovs[i]
		h.SetIovlen(1)
	}
	b.ready = func(fd uintptr) bool {
		first := unsafe.Pointer(&b.msgs[b.from]) //nolint:gosec // G103: x/sys has no wrapper for these calls
		n, _, errno := unix.Syscall6(sysno, fd, uintptr(first), uintptr(b.to-b.from), 0, 0, 0)
		b.done, b.errno = int(n), errno
		return errno != unix.EAGAIN && errno != unix.EINTR
	}
	return b
}

// A receiver reads batches from one socket.
type receiver struct {
	*batch
	own []Packet
}

func newReceiver(conn syscall.RawConn) *receiver {
	return &receiver{batch: newBatch(conn, unix.SYS_RECVMMSG)}
}

func (r *receiver) receive(ps []Packet) (int, error) {
	r.from, r.to = 0, min(len(ps), maxBatch)
	for i := range r.to {
		buf := ps[i].Buf[HeadRoom : len(ps[i].Buf)-HeadRoom]
		r.iovs[i].Base = &buf[0]
		r.iovs[i].SetLen(len(buf))
		r.msgs[i].hdr.Namelen = unix.SizeofSockaddrInet4
	}
	for {
		if r.conn.Read(r.ready) != nil {
			return 0, os.ErrClosed // the only reason, and the poller's own error for it has no name
		}
		switch r.errno {
		case 0:
			return r.done, nil
		case unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH:
			// An ICMP error about something sent before: the socket goes on.
		default:
			return 0, os.NewSyscallError("recvmmsg", r.errno)
		}
	}
}

// A sender writes batches to one socket.
type sender struct {
	*batch
	tos [256][]byte // control messages by TOS, made when one is first used; the socket's own is 0
}

func newSender(conn syscall.RawConn) *sender {
	s := &sender{batch: newBatch(conn, unix.SYS_SENDMMSG)}
	for i := range s.msgs {
		s.msgs[i].hdr.Namelen = unix.SizeofSockaddrInet4
	}
	return s
}

// setTOS makes message i of the batch leave with that TOS.
func (s *sender) setTOS(i int, tos uint8) {
	h := &s.msgs[i].hdr
	h.Control = nil
	h.SetControllen(0)
	if tos == 0 {
		return
	}
	if s.tos[tos] == nil {
		s.tos[tos] = make([]byte, unix.CmsgSpace(4))
		putTOS(s.tos[tos], tos)
	}
	h.Control = &s.tos[tos][0]
	h.SetControllen(len(s.tos[tos]))
}

func (s *sender) send(ps []esp.Sealed) (n int, err error) {
	for i, p := range ps {
		b, dst := p.Bytes(), p.SA().Dst()
		s.iovs[i].Base = &b[0]
		s.iovs[i].SetLen(len(b))
		name := unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: dst.Addr().As4()}
		binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&name.Port))[:], dst.Port()) //nolint:gosec // G103: the field is in network order
		s.names[i] = name
		s.setTOS(i, p.TOS())
	}
	s.from, s.to = 0, len(ps)
	for s.from < s.to {
		if s.conn.Write(s.ready) != nil {
			return n, os.ErrClosed
		}
		if s.errno != 0 { // about the first message, which is left out
			err = os.NewSyscallError("sendmmsg", s.errno)
			s.from++
			continue
		}
		n += s.done
		s.from += s.done
	}
	return n, err
}

func addrPort(name *unix.RawSockaddrInet4) netip.AddrPort {
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&name.Port))[:]) //nolint:gosec // G103: the field is in network order
	return netip.AddrPortFrom(netip.AddrFrom4(name.Addr), port)
}

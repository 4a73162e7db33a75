package underlay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"meshrouter/dataplane/underlay/ether"
)

const (
	protocolESP = 50
	// receiveBuffer is what each socket asks for, bytes: some 10 ms at 3 Gbit/s.
	receiveBuffer = 4 << 20
	// sendBuffer bounds what waits in the host's queues, bytes: who sends waits when it is full.
	sendBuffer = 1 << 20
	// tosControl is CS6, network control (RFC 2474, 4.2.2.2): the class of OSPF, BFD and IKE. Packets
	// of this TOS and above are control packets.
	tosControl = ether.TOSControl
	// priorityControl is TC_PRIO_INTERACTIVE, the highest that needs no capability: the first band of
	// the usual queueing disciplines.
	priorityControl = 6
	// maxReceivers bounds the sockets of port 4500 for data.
	maxReceivers = 64
	anyPort      = -1
)

// A socket is one of the outer sockets.
type socket struct {
	name string
	file *os.File
	conn syscall.RawConn
	port uint16 // 0: raw
	tos  uint8  // of packets that are sent without saying theirs
}

// A class says which socket to open.
type class struct {
	name    string
	port    uint16 // 0: raw IP protocol 50
	control bool
	group   bool // of sockets that share the port
}

func (c class) open(local netip.Addr) (s *socket, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("underlay: %s on %v: %w", c.name, local, err)
		}
	}()
	typ, proto := unix.SOCK_DGRAM, 0
	if c.port == 0 {
		typ, proto = unix.SOCK_RAW, protocolESP
	}
	fd, err := unix.Socket(unix.AF_INET, typ|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, proto)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	s = &socket{name: c.name, port: c.port}
	if err = s.configure(fd, c); err != nil {
		return nil, errors.Join(os.NewSyscallError("setsockopt", err), unix.Close(fd))
	}
	if err = unix.Bind(fd, &unix.SockaddrInet4{Port: int(c.port), Addr: local.As4()}); err != nil {
		return nil, errors.Join(os.NewSyscallError("bind", err), unix.Close(fd))
	}
	s.file = os.NewFile(uintptr(fd), "underlay")
	s.conn, err = s.file.SyscallConn()
	return s, err
}

func (s *socket) configure(fd int, c class) error {
	// Without DF, so that routers fragment outer packets: peers put them together.
	err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
	if err == nil && c.control {
		s.tos = tosControl
		if err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS, tosControl); err == nil {
			// After the TOS, which sets a priority too.
			err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PRIORITY, priorityControl)
		}
	}
	if err == nil && c.group {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}
	for _, o := range [...]struct{ force, plain, size int }{
		{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, receiveBuffer},
		{unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, sendBuffer},
	} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, o.force, o.size) != nil {
			// Without CAP_NET_ADMIN we get what the system's limit allows, which is no error.
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, o.plain, o.size)
		}
	}
	return err
}

// set sets an option of the socket.
func (s *socket) set(level, option, value int) (err error) {
	if e := s.conn.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, value) }); e != nil {
		return e
	}
	return os.NewSyscallError("setsockopt", err)
}

// setEach turns an option on for each socket of a port.
func setEach(sockets []*socket, port, level, option int) error {
	for _, s := range sockets {
		if port == anyPort || s.port == uint16(port) { //nolint:gosec // G115: a port
			if err := s.set(level, option, 1); err != nil {
				return err
			}
		}
	}
	return nil
}

// canSteer says why the system would not steer packets to receivers.
func canSteer() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err == nil {
		if err = attach(fd, unix.SO_ATTACH_REUSEPORT_CBPF, steer(1)); err == nil {
			err = attach(fd, unix.SO_ATTACH_FILTER, accept(true))
		}
	}
	return errors.Join(os.NewSyscallError("setsockopt", err), unix.Close(fd))
}

// attach gives the socket a classic BPF program by option, SO_ATTACH_FILTER or SO_ATTACH_REUSEPORT_CBPF.
func (s *socket) attach(option int, program []bpf.Instruction) (err error) {
	if e := s.conn.Control(func(fd uintptr) { err = attach(int(fd), option, program) }); e != nil {
		return e
	}
	if err != nil {
		return fmt.Errorf("underlay: %s: filter: %w", s.name, os.NewSyscallError("setsockopt", err))
	}
	return nil
}

func attach(fd, option int, program []bpf.Instruction) error {
	raw, err := bpf.Assemble(program)
	if err != nil {
		return err
	}
	code := make([]unix.SockFilter, len(raw))
	for i, in := range raw {
		code[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]} //nolint:gosec // G115: a dozen at most
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, option, &prog)
}

// dropped is how many packets found the socket's receive buffer full.
func (s *socket) dropped() uint64 {
	var info [unix.SK_MEMINFO_VARS]uint32
	size := uint32(unsafe.Sizeof(info))
	var errno syscall.Errno
	err := s.conn.Control(func(fd uintptr) {
		_, _, errno = unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0) //nolint:gosec // G103: x/sys has no wrapper for this option
	})
	if err != nil || errno != 0 {
		return 0
	}
	return uint64(info[unix.SK_MEMINFO_DROPS])
}

// skfNetOff is SKF_NET_OFF of linux/filter.h: offsets from here on count from the IP header.
const skfNetOff = 0xfff00000

// steer is the program that chooses a socket of the group on port 4500: 0 for class CS6, IKE and
// keepalives, and 1 to n by SPI. It sees the UDP payload; to load beyond its end returns 0.
func steer(n int) []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: skfNetOff + 1, Size: 1}, // TOS
		bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: tosControl, SkipTrue: 4},
		bpf.LoadAbsolute{Off: 0, Size: 4}, // SPI or non-ESP marker
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 2},
		bpf.ALUOpConstant{Op: bpf.ALUOpMod, Val: uint32(n)}, //nolint:gosec // G115: number of receivers
		bpf.Jump{Skip: 1},
		bpf.RetConstant{Val: 0},
		bpf.ALUOpConstant{Op: bpf.ALUOpAdd, Val: 1},
		bpf.RetA{},
	}
}

// accept is the filter of a raw socket for packets of class CS6, or for all others.
func accept(control bool) []bpf.Instruction {
	yes, no := uint32(0), uint32(1<<18) // bytes of the packet to keep
	if control {
		yes, no = no, yes
	}
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: 1, Size: 1}, // TOS
		bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: tosControl, SkipTrue: 1},
		bpf.RetConstant{Val: no},
		bpf.RetConstant{Val: yes},
	}
}

// putTOS makes b, tosSpace bytes, the control message that sets a packet's TOS.
func putTOS(b []byte, tos uint8) {
	putHeader(b, unix.IPPROTO_IP, unix.IP_TOS, 4)
	binary.NativeEndian.PutUint32(b[unix.CmsgLen(0):], uint32(tos))
}

// putSegment makes b, segmentSpace bytes, the control message that cuts a message into datagrams of size bytes.
func putSegment(b []byte, size int) {
	putHeader(b, unix.SOL_UDP, unix.UDP_SEGMENT, 2)
	binary.NativeEndian.PutUint16(b[unix.CmsgLen(0):], uint16(size)) //nolint:gosec // G115: a datagram's size
}

func putHeader(b []byte, level, typ int32, size int) {
	_ = b[unix.CmsgLen(size)-1]
	h := (*unix.Cmsghdr)(unsafe.Pointer(unsafe.SliceData(b))) //nolint:gosec // G103: a control message header is laid out by the system
	h.Level, h.Type = level, typ
	h.SetLen(unix.CmsgLen(size))
}

// parseControl reads the control messages that came with a datagram: the size of those that the kernel
// has joined (0: none), and when it arrived (Unix nanoseconds; 0: unknown).
func parseControl(b []byte) (size int, arrived int64) {
	for len(b) >= unix.SizeofCmsghdr {
		h, data, rest, err := unix.ParseOneSocketControlMessage(b)
		if err != nil {
			break
		}
		switch {
		case h.Level == unix.SOL_UDP && h.Type == unix.UDP_GRO && len(data) >= 4:
			size = int(int32(binary.NativeEndian.Uint32(data))) //nolint:gosec // G115: a C int
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SCM_TIMESTAMPNS && len(data) >= int(unsafe.Sizeof(unix.Timespec{})):
			ts := (*unix.Timespec)(unsafe.Pointer(&data[0])) //nolint:gosec // G103: a structure of the system
			arrived = ts.Nano()
		}
		b = rest
	}
	return size, arrived
}

// A mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

// A batch is the memory of one recvmmsg or sendmmsg call.
type batch struct {
	socket   *socket
	msgs     []mmsghdr
	names    []unix.RawSockaddrInet4
	ready    func(fd uintptr) bool // made once, since a closure for each call would allocate
	from, to int                   // the messages of this call
	done     int
	errno    syscall.Errno
}

func (b *batch) init(s *socket, size int, sysno uintptr) {
	b.socket = s
	b.msgs, b.names = make([]mmsghdr, size), make([]unix.RawSockaddrInet4, size)
	for i := range b.msgs {
		h := &b.msgs[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&b.names[i])) //nolint:gosec // G103: msghdr takes any socket address
		h.Namelen = unix.SizeofSockaddrInet4
	}
	b.ready = func(fd uintptr) bool {
		first := unsafe.Pointer(&b.msgs[b.from]) //nolint:gosec // G103: x/sys has no wrapper for these calls
		n, _, errno := unix.Syscall6(sysno, fd, uintptr(first), uintptr(b.to-b.from), 0, 0, 0)
		for errno == unix.EINTR {
			n, _, errno = unix.Syscall6(sysno, fd, uintptr(first), uintptr(b.to-b.from), 0, 0, 0)
		}
		b.done, b.errno = int(n), errno
		return errno != unix.EAGAIN && (errno != unix.ENOBUFS || !s.full(fd))
	}
}

// full reports whether so much waits to leave that the kernel will say when there is room again. A raw
// socket is out of buffers then, where one of UDP would have to wait.
func (s *socket) full(fd uintptr) bool {
	queued, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
	if err != nil {
		return false
	}
	size, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF)
	return err == nil && queued > size/2
}

func addrPort(name *unix.RawSockaddrInet4) netip.AddrPort {
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&name.Port))[:]) //nolint:gosec // G103: the field is in network order
	return netip.AddrPortFrom(netip.AddrFrom4(name.Addr), port)
}

func setName(name *unix.RawSockaddrInet4, to netip.AddrPort) {
	name.Family, name.Addr = unix.AF_INET, to.Addr().As4()
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&name.Port))[:], to.Port()) //nolint:gosec // G103: the field is in network order
}

package tun

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"meshrouter/dataplane/segment"
)

const (
	// virtioLen is the length of struct virtio_net_hdr, which lies in front of every packet.
	virtioLen = 10
	// Read takes so many packets, and so many bytes or one packet more, before it returns.
	readPackets, readBytes = 64, 256 << 10
)

// A kernelQueue is one descriptor of a TUN device with IFF_VNET_HDR.
type kernelQueue struct {
	file     *os.File
	raw      syscall.RawConn
	tcp, udp bool

	// Of the reader. Packets are read one behind the other, so that a burst of small ones stays in the cache.
	buf     []byte
	packets []segment.Packet
	err     error
	fill    func(fd uintptr) bool // readAll, as a value that is made once

	// Several goroutines write, and the kernel lets them do so at once.
	mu   sync.Mutex
	idle []*writer
}

// newKernelQueue takes the descriptor, which is attached to its device and does not block.
func newKernelQueue(fd int, tcp, udp bool) (*kernelQueue, error) {
	q := &kernelQueue{file: os.NewFile(uintptr(fd), cloneDevice), tcp: tcp, udp: udp}
	var err error
	if q.raw, err = q.file.SyscallConn(); err != nil {
		return nil, errors.Join(err, q.file.Close())
	}
	q.buf = make([]byte, readBytes+virtioLen+maxPacket)
	q.packets = make([]segment.Packet, 0, readPackets)
	q.fill = q.readAll
	return q, nil
}

func (q *kernelQueue) Offloads() (tcp, udp bool) { return q.tcp, q.udp }

func (q *kernelQueue) Close() error { return q.file.Close() }

// Read goes through the runtime's poller only when there is nothing to read.
func (q *kernelQueue) Read() ([]segment.Packet, error) {
	q.packets, q.err = q.packets[:0], nil
	if q.raw.Read(q.fill) != nil {
		return nil, os.ErrClosed // closed, or the device was deleted, for which the poller has no name
	}
	return q.packets, q.err
}

// readAll reads until the kernel has nothing more or we have enough. It reports false to wait for the first packet.
func (q *kernelQueue) readAll(fd uintptr) bool {
	for at := 0; at < readBytes && len(q.packets) < readPackets; {
		b := q.buf[at : at+virtioLen+maxPacket]
		n, err := unix.Read(int(fd), b)
		switch {
		case err == unix.EAGAIN:
			return len(q.packets) > 0
		case err == unix.EINTR:
			continue
		case err != nil:
			q.err = wrap(err)
			return true
		case n < virtioLen:
			q.err = errShort
			return true
		}
		end := at + min(n, len(b)) // of a larger packet the kernel gives what fits
		q.packets = append(q.packets, segment.Packet{Buf: q.buf, Start: at + virtioLen, End: end, Offload: decode(b)})
		at = end
	}
	return true
}

var errShort = errors.New("tun: read less than a virtio header")

// decode reads a virtio header. For TUN it is in the machine's byte order, unless TUNSETVNETLE or TUNSETVNETBE
// said otherwise.
func decode(b []byte) segment.Offload {
	return segment.Offload{
		Flags: b[0], GSOType: b[1],
		HdrLen: binary.NativeEndian.Uint16(b[2:]), GSOSize: binary.NativeEndian.Uint16(b[4:]),
		CsumStart: binary.NativeEndian.Uint16(b[6:]), CsumOffset: binary.NativeEndian.Uint16(b[8:]),
	}
}

func encode(b []byte, o *segment.Offload) {
	b[0], b[1] = o.Flags, o.GSOType
	binary.NativeEndian.PutUint16(b[2:], o.HdrLen)
	binary.NativeEndian.PutUint16(b[4:], o.GSOSize)
	binary.NativeEndian.PutUint16(b[6:], o.CsumStart)
	binary.NativeEndian.PutUint16(b[8:], o.CsumOffset)
}

// Write writes each group with one writev.
func (q *kernelQueue) Write(gs []segment.Group) (int, error) {
	if len(gs) == 0 {
		return 0, nil
	}
	w := q.writer()
	w.groups, w.n, w.errno = gs, 0, 0
	err := q.raw.Control(w.try)
	if err == nil && w.errno == unix.EAGAIN {
		err = q.raw.Write(w.wait)
	}
	n, errno := w.n, w.errno
	q.release(w)
	switch {
	case err != nil:
		return n, os.ErrClosed // see wrap
	case errno != 0:
		return n, wrap(errno)
	}
	return n, nil
}

// A writer is what one call of Write needs.
type writer struct {
	groups []segment.Group
	n      int // groups written
	errno  syscall.Errno
	header [virtioLen]byte
	iov    []unix.Iovec
	try    func(fd uintptr)
	wait   func(fd uintptr) bool
}

func (q *kernelQueue) writer() *writer {
	q.mu.Lock()
	defer q.mu.Unlock()
	if last := len(q.idle) - 1; last >= 0 {
		w := q.idle[last]
		q.idle = q.idle[:last]
		return w
	}
	w := &writer{}
	w.try = w.writeAll
	w.wait = func(fd uintptr) bool { // called again when there is room
		w.writeAll(fd)
		return w.errno != unix.EAGAIN
	}
	return w
}

func (q *kernelQueue) release(w *writer) {
	w.groups = nil
	clear(w.iov) // the packets' memory is the caller's again
	q.mu.Lock()
	q.idle = append(q.idle, w)
	q.mu.Unlock()
}

// writeAll writes groups until one fails.
func (w *writer) writeAll(fd uintptr) {
	for ; w.n < len(w.groups); w.n++ {
		if w.errno = w.write(fd, &w.groups[w.n]); w.errno != 0 {
			return
		}
	}
}

func (w *writer) write(fd uintptr, g *segment.Group) syscall.Errno {
	encode(w.header[:], &g.Offload)
	w.iov = append(w.iov[:0], unix.Iovec{Base: &w.header[0], Len: virtioLen})
	for _, piece := range g.Pieces {
		v := unix.Iovec{Base: unsafe.SliceData(piece)} //nolint:gosec // G103: its length follows
		v.SetLen(len(piece))
		w.iov = append(w.iov, v)
	}
	for {
		// This call does what the host does with a received packet, which takes its time.
		_, _, errno := unix.Syscall(unix.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&w.iov[0])), uintptr(len(w.iov))) //nolint:gosec // G103: w.iov is that long
		if errno != unix.EINTR {
			return errno
		}
	}
}

// wrap makes the error of a queue whose device is gone os.ErrClosed. The poller's own errors mean the same: either the
// queue was closed, or the kernel reports EPOLLERR, which for TUN is a device that is being deleted. From then on
// the poller lets no call through, so that EBADFD would never be seen.
func wrap(err error) error {
	if errors.Is(err, unix.EBADFD) {
		return os.ErrClosed
	}
	return err
}

// setOffloads asks the kernel for large packets, and says which it gives and accepts, and why others not.
func setOffloads(fd int, s Switch) (tcp, udp Offload, err error) {
	tcp, udp = Offload{Name: offloadTCP}, Offload{Name: offloadUDP}
	set := func(flags int) error {
		return os.NewSyscallError("TUNSETOFFLOAD", unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, flags))
	}
	if err := set(0); err != nil { // an earlier process may have left others on a persistent device
		return tcp, udp, err
	}
	if s == Off {
		tcp.Reason, udp.Reason = switchedOff, switchedOff
		return tcp, udp, nil
	}
	flags := unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO_ECN
	if err := set(flags); err != nil {
		tcp.Reason = "the kernel refuses it: " + err.Error()
		udp.Reason = tcp.Reason
		return tcp, udp, nil
	}
	tcp.On = true
	// The kernel takes UDP for both families or not at all; segment.Cutter refuses the IPv6 ones.
	if err := set(flags | unix.TUN_F_USO4 | unix.TUN_F_USO6); err != nil {
		udp.Reason = fmt.Sprintf("the kernel refuses it: %v (Linux has it since 6.2)", err)
		return tcp, udp, nil
	}
	udp.On = true
	return tcp, udp, nil
}

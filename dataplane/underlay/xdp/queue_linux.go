package xdp

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/underlay/ether"
)

// Numbers of frames, powers of two: some 10 ms of full-sized packets at 2 Gbit/s each way.
const (
	rxFrames = 2048
	txFrames = 2048
	maxBatch = 64 // packets of one Receive
	// maxWaits is how many milliseconds one Send waits for a card that takes nothing.
	maxWaits = 8
)

// frameRoom is what the kernel keeps in front of a received packet in its frame (XDP_PACKET_HEADROOM).
const frameRoom = 256

// A ring is one of the four that a socket shares with the kernel: T is an address in the queue's memory, or
// struct xdp_desc. One side only moves producer, the other consumer.
type ring[T any] struct {
	memory             []byte
	producer, consumer *atomic.Uint32
	slots              []T
}

func mapRing[T any](fd int, page int64, at unix.XDPRingOffset, size int) (r ring[T], err error) {
	var slot T
	length := int(at.Desc) + size*int(unsafe.Sizeof(slot)) //nolint:gosec // G115: the kernel's offsets are small
	r.memory, err = unix.Mmap(fd, page, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return r, os.NewSyscallError("mmap", err)
	}
	word := func(offset uint64) *atomic.Uint32 { return (*atomic.Uint32)(unsafe.Pointer(&r.memory[offset])) } //nolint:gosec // G103: laid out by the kernel
	r.producer, r.consumer = word(at.Producer), word(at.Consumer)
	r.slots = unsafe.Slice((*T)(unsafe.Pointer(&r.memory[at.Desc])), size) //nolint:gosec // G103: as above
	return r, nil
}

// slot is the place of a running index.
func (r *ring[T]) slot(i uint32) *T { return &r.slots[i&uint32(len(r.slots)-1)] } //nolint:gosec // G115: a small power of two

// filled is how many slots wait for the consumer. The other side is trusted to keep to the size.
func (r *ring[T]) filled() uint32 { return r.producer.Load() - r.consumer.Load() }

// A queue is the socket of one receive queue with its memory: rxFrames frames to receive in, then
// txFrames to send from.
type queue struct {
	id     int
	chunk  uint64 // bytes a frame
	memory []byte
	file   *os.File
	conn   syscall.RawConn
	fd     int // valid while file is open: sending must hold it
	drops  *ether.Drops

	// Of the receiver.
	fill    ring[uint64]
	rx      ring[unix.XDPDesc]
	ready   func(fd uintptr) bool
	packets [maxBatch]ether.Packet
	held    [maxBatch]uint64 // frames of the last batch
	holding int

	// Of the sender, and of who closes.
	sending   sync.Mutex
	closed    bool
	receiving bool // set by the receiver, who may look at memory until it has seen closed
	tx        ring[unix.XDPDesc]
	done      ring[uint64]
	free      []uint64 // frames, the last one used first since it is in the cache
	waits     int      // milliseconds that the present Send may wait
}

// openQueue binds a socket to a receive queue.
func openQueue(index, id int, chunk uint64, drops *ether.Drops) (*queue, error) {
	q := &queue{id: id, chunk: chunk, drops: drops}
	if err := q.open(index); err != nil {
		return nil, errors.Join(fmt.Errorf("xdp: queue %d: %w", id, err), q.close())
	}
	return q, nil
}

func (q *queue) open(index int) (err error) {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	q.fd, q.file = fd, os.NewFile(uintptr(fd), "AF_XDP")
	if q.conn, err = q.file.SyscallConn(); err != nil {
		return err
	}
	if err := q.mapMemory(); err != nil {
		return err
	}
	// The default holds some 90 packets on their way to the card. Without CAP_NET_ADMIN the limit stays.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 4<<20)
	// More than 32 packets a call; since Linux 6.18.
	_ = unix.SetsockoptInt(fd, unix.SOL_XDP, unix.XDP_MAX_TX_SKB_BUDGET, txFrames)
	if err := q.bind(index); err != nil {
		return err
	}
	q.ready = func(uintptr) bool { return q.rx.filled() != 0 }
	for i := range uint64(rxFrames) {
		*q.fill.slot(uint32(i)) = i * q.chunk
	}
	q.fill.producer.Store(rxFrames)
	q.free = make([]uint64, 0, txFrames)
	for i := uint64(rxFrames + txFrames); i > rxFrames; i-- {
		q.free = append(q.free, (i-1)*q.chunk)
	}
	return nil
}

// mapMemory registers the frames and maps the rings.
func (q *queue) mapMemory() (err error) {
	q.memory, err = unix.Mmap(-1, 0, (rxFrames+txFrames)*int(q.chunk), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE) //nolint:gosec // G115: as below
	if err != nil {
		return os.NewSyscallError("mmap", err)
	}
	reg := unix.XDPUmemReg{
		Addr: uint64(uintptr(unsafe.Pointer(&q.memory[0]))), //nolint:gosec // G103: what the kernel wants
		Len:  uint64(len(q.memory)), Size: uint32(q.chunk),  //nolint:gosec // G115: at most a page
	}
	if err := setsockopt(q.fd, unix.XDP_UMEM_REG, &reg); err != nil {
		return fmt.Errorf("%d bytes of locked memory: %w", len(q.memory), err)
	}
	for _, r := range [][2]int{
		{unix.XDP_UMEM_FILL_RING, rxFrames}, {unix.XDP_RX_RING, rxFrames},
		{unix.XDP_UMEM_COMPLETION_RING, txFrames}, {unix.XDP_TX_RING, txFrames},
	} {
		if err := unix.SetsockoptInt(q.fd, unix.SOL_XDP, r[0], r[1]); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	var at unix.XDPMmapOffsets
	if err := getsockopt(q.fd, unix.XDP_MMAP_OFFSETS, &at); err != nil {
		return err
	}
	var errs [4]error
	q.fill, errs[0] = mapRing[uint64](q.fd, unix.XDP_UMEM_PGOFF_FILL_RING, at.Fr, rxFrames)
	q.rx, errs[1] = mapRing[unix.XDPDesc](q.fd, unix.XDP_PGOFF_RX_RING, at.Rx, rxFrames)
	q.done, errs[2] = mapRing[uint64](q.fd, unix.XDP_UMEM_PGOFF_COMPLETION_RING, at.Cr, txFrames)
	q.tx, errs[3] = mapRing[unix.XDPDesc](q.fd, unix.XDP_PGOFF_TX_RING, at.Tx, txFrames)
	return errors.Join(errs[:]...)
}

// bind joins the socket to the receive queue. The kernel takes its time to part the queue from a
// socket before, also from that of a process that has died.
func (q *queue) bind(index int) (err error) {
	const patience = 100                                                                           // times 10 ms
	addr := &unix.SockaddrXDP{Flags: unix.XDP_COPY, Ifindex: uint32(index), QueueID: uint32(q.id)} //nolint:gosec // G115: both small
	for range patience {
		if err = unix.Bind(q.fd, addr); !errors.Is(err, unix.EBUSY) {
			break
		}
		_, _ = unix.Poll(nil, 10)
	}
	return os.NewSyscallError("bind", err)
}

func setsockopt[T any](fd, option int, v *T) error {
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(option), uintptr(unsafe.Pointer(v)), unsafe.Sizeof(*v), 0) //nolint:gosec // G103: x/sys has no wrapper
	if errno != 0 {
		return os.NewSyscallError("setsockopt", errno)
	}
	return nil
}

func getsockopt[T any](fd, option int, v *T) error {
	size := uint32(unsafe.Sizeof(*v))                                                                                                                            //nolint:gosec // G115: some dozen bytes
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(option), uintptr(unsafe.Pointer(v)), uintptr(unsafe.Pointer(&size)), 0) //nolint:gosec // G103: as above
	if errno != 0 {
		return os.NewSyscallError("getsockopt", errno)
	}
	return nil
}

// receive waits for frames and returns what is plain ESP of them, at least one packet.
func (q *queue) receive(ways *ether.Ways) ([]ether.Packet, error) {
	if !q.receiving && !q.start() {
		return nil, os.ErrClosed
	}
	for {
		q.release()
		if n := q.take(ways.Host()); n > 0 {
			return q.packets[:n], nil
		}
		if q.conn.Read(q.ready) != nil { // closed, the only reason
			q.end()
			return nil, os.ErrClosed
		}
	}
}

// start notes that there is a receiver, unless the queue is closed.
func (q *queue) start() bool {
	q.sending.Lock()
	defer q.sending.Unlock()
	q.receiving = !q.closed
	return q.receiving
}

// end is the receiver's last act.
func (q *queue) end() {
	q.sending.Lock()
	defer q.sending.Unlock()
	q.receiving = false
	q.unmap()
}

// unmap gives the memory back when nobody can look at it anymore.
func (q *queue) unmap() {
	if !q.closed || q.receiving {
		return
	}
	for _, m := range []*[]byte{&q.memory, &q.fill.memory, &q.rx.memory, &q.tx.memory, &q.done.memory} {
		if *m != nil {
			_ = unix.Munmap(*m) // fails only for what is not mapped
			*m = nil
		}
	}
}

// take reads what is in the rx ring.
func (q *queue) take(host *ether.Host) (n int) {
	count := min(q.rx.filled(), maxBatch)
	first := q.rx.consumer.Load()
	for i := range count {
		d := *q.rx.slot(first + i)
		if d.Addr > uint64(len(q.memory)) || uint64(d.Len) > uint64(len(q.memory))-d.Addr {
			q.drops.Add(ether.BadRing) // and there is no frame to give back
			continue
		}
		if bad := host.Parse(q.memory[d.Addr:d.Addr+uint64(d.Len)], &q.packets[n]); bad != ether.Fine {
			q.drops.Add(bad)
		} else {
			n++
		}
		q.held[q.holding] = d.Addr - d.Addr%q.chunk
		q.holding++
	}
	q.rx.consumer.Store(first + count)
	return n
}

// release gives the frames of the last batch back to the kernel.
func (q *queue) release() {
	if q.holding == 0 {
		return
	}
	next := q.fill.producer.Load()
	for _, frame := range q.held[:q.holding] {
		*q.fill.slot(next) = frame
		next++
	}
	q.fill.producer.Store(next)
	q.holding = 0
}

// send puts the packets that are for this queue on their way, as pick tells, and those that are for
// the kernel behind rest.
func (q *queue) send(ways *ether.Ways, ps, rest []esp.Sealed, id uint32, of int) (n int, left []esp.Sealed, err error) {
	q.sending.Lock()
	defer q.sending.Unlock()
	if q.closed {
		for _, p := range ps {
			if pick(p, of) == q.id {
				rest = append(rest, p)
			}
		}
		return 0, rest, os.ErrClosed
	}
	q.reap()
	q.waits = maxWaits
	to := ether.Finder{Ways: ways}
	next := q.tx.producer.Load()
	for i, p := range ps {
		if pick(p, of) != q.id {
			continue
		}
		b := p.Bytes()
		way := to.Way(p)
		if way == nil || uint64(ether.HeaderLen+len(b)) > q.chunk {
			rest = append(rest, p)
			continue
		}
		if len(q.free) == 0 {
			q.tx.producer.Store(next)
			if err = q.kick(true); len(q.free) == 0 {
				q.drops.Add(ether.SendFull)
				continue
			}
		}
		addr := q.free[len(q.free)-1]
		q.free = q.free[:len(q.free)-1]
		frame := q.memory[addr : addr+q.chunk]
		way.PutHeader(frame, len(b), p.TOS(), uint16((id+uint32(i))&0xffff))
		*q.tx.slot(next) = unix.XDPDesc{Addr: addr, Len: uint32(ether.HeaderLen + copy(frame[ether.HeaderLen:], b))} //nolint:gosec // G115: below chunk
		next++
		n++
	}
	q.tx.producer.Store(next)
	if e := q.kick(false); e != nil {
		err = e
	}
	return n, rest, err
}

// reap takes back the frames that have left.
func (q *queue) reap() {
	first, n := q.done.consumer.Load(), q.done.filled()
	for i := range n {
		addr := *q.done.slot(first + i)
		if addr < rxFrames*q.chunk || addr >= uint64(len(q.memory)) || len(q.free) == cap(q.free) {
			q.drops.Add(ether.BadRing)
			continue
		}
		q.free = append(q.free, addr-addr%q.chunk)
	}
	q.done.consumer.Store(first + n)
}

// kick makes the kernel send what is in the tx ring, and waits a little if the card is full or, with
// forFrame, until a frame is free. Once a Send has waited in vain it does not wait again: its caller
// holds locks, and there may be a hundred packets behind this one.
func (q *queue) kick(forFrame bool) error {
	for {
		errno := q.transmit()
		switch {
		case q.tx.filled() == 0:
			if !forFrame || len(q.free) != 0 {
				q.waits = maxWaits
				return nil
			}
		case errno != 0 && errno != unix.EAGAIN && errno != unix.EBUSY && errno != unix.ENOBUFS && errno != unix.EINTR:
			return os.NewSyscallError("sendto", errno)
		}
		if q.waits == 0 {
			return os.NewSyscallError("sendto", unix.ENOBUFS)
		}
		q.waits--
		_, _ = unix.Poll(nil, 1)
		q.reap()
	}
}

// transmit calls the kernel as long as it takes something.
func (q *queue) transmit() (errno syscall.Errno) {
	for q.tx.filled() != 0 {
		before := q.tx.consumer.Load()
		_, _, errno = unix.Syscall6(unix.SYS_SENDTO, uintptr(q.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
		q.reap()
		if q.tx.consumer.Load() == before {
			break
		}
		if errno == unix.EBUSY { // taken and dropped, as without a carrier; each ends a call
			q.drops.Add(ether.SendFull)
		}
	}
	return errno
}

func (q *queue) close() error {
	q.sending.Lock()
	defer q.sending.Unlock()
	if q.closed || q.file == nil {
		return nil
	}
	q.closed = true
	err := q.file.Close()
	q.unmap()
	return err
}

// lost is how many frames the kernel dropped because the rx ring was full or no frame was free.
func (q *queue) lost() (full, noFrame uint64) {
	q.sending.Lock()
	defer q.sending.Unlock()
	var s unix.XDPStatistics
	if q.closed || getsockopt(q.fd, unix.XDP_STATISTICS, &s) != nil {
		return 0, 0
	}
	return s.Rx_ring_full, s.Rx_dropped
}

package ring

import (
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/underlay/ether"
)

const (
	// ringBytes is the memory of the ring, locked.
	ringBytes = 4 << 20
	blockSize = 64 << 10
	// frameHead is what the kernel needs of a frame in front of the packet: its header, the sender's
	// address, alignment.
	frameHead = 128
	maxBatch  = 64 // packets of one Receive, or of one sendmmsg
	sndBuffer = 4 << 20
)

// A Path is a packet ring of one interface. Receive is for one goroutine; Send is for any number.
type Path struct {
	ways  *ether.Ways
	drops ether.Drops
	id    atomic.Uint32 // of IPv4 headers
	text  string

	closing sync.Once
	closed  chan struct{}
	done    sync.WaitGroup
	copies  link.Link

	rx *receiver
	tx *sender
}

// Open takes over the ESP packets to local on the interface that has this address, in the network
// namespace of the calling thread. It needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF.
func Open(local netip.Addr) (*Path, error) {
	ways, err := ether.Open(local)
	if err != nil {
		return nil, err
	}
	p := &Path{ways: ways, closed: make(chan struct{})}
	if err := p.open(ways.Interface()); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	p.done.Go(p.watch)
	return p, nil
}

func (p *Path) open(on ether.Interface) (err error) {
	frame := 1 << bits.Len(uint(on.MTU+ether.EthernetLen+frameHead-1))
	if frame > blockSize {
		return fmt.Errorf("ring: interface %s has an MTU of %d, want at most %d", on.Name, on.MTU, blockSize-ether.EthernetLen-frameHead)
	}
	if p.tx, err = newSender(on.Index); err != nil {
		return err
	}
	if p.rx, err = newReceiver(on, frame); err != nil {
		return err
	}
	// Only now does the kernel lose sight of these packets.
	if p.copies, err = dropCopies(on.Index, on.Addr, on.MTU+ether.EthernetLen); err != nil {
		return err
	}
	p.text = fmt.Sprintf("packet ring on %s, %d frames of %d bytes", on.Name, len(p.rx.memory)/frame, frame)
	return nil
}

// packetSocket opens a packet socket that gets nothing yet.
func packetSocket() (fd int, file *os.File, err error) {
	fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0, nil, os.NewSyscallError("socket", err)
	}
	return fd, os.NewFile(uintptr(fd), "AF_PACKET"), nil
}

// Describe says what was opened.
func (p *Path) Describe() string { return p.text }

// Drops calls f for each reason for which packets were dropped, with their number so far.
func (p *Path) Drops(f func(reason string, n uint64)) {
	p.drops.Each(f)
	f("queue_full", p.rx.lost())
}

// Receivers is 1.
func (p *Path) Receivers() int { return 1 }

// Receive waits for packets and returns them, at most 64. They and their memory are the caller's until
// its next call. After Close or when the interface has gone it returns os.ErrClosed.
func (p *Path) Receive(int) ([]ether.Packet, error) { return p.rx.receive(p.ways, &p.drops) }

// Send sends packets for which there is a way, in order; n is how many the interface took and err why
// it refused the last of the others. Those that the kernel must send are appended to rest.
func (p *Path) Send(ps, rest []esp.Sealed) (n int, left []esp.Sealed, err error) {
	id := p.id.Add(uint32(len(ps))) - uint32(len(ps)) //nolint:gosec // G115: a batch is small
	return p.tx.send(p.ways, &p.drops, ps, rest, id)
}

// watch ends Receive when the interface has gone. It ends with the path.
func (p *Path) watch() {
	select {
	case <-p.ways.Gone():
		_ = p.rx.close()
	case <-p.closed:
	}
}

// Close gives the packets back to the kernel and ends Receive.
func (p *Path) Close() (err error) {
	p.closing.Do(func() {
		close(p.closed)
		p.done.Wait()
		if p.copies != nil {
			err = p.copies.Close()
		}
		if p.rx != nil {
			err = errors.Join(err, p.rx.close())
		}
		if p.tx != nil {
			err = errors.Join(err, p.tx.close())
		}
		p.ways.Close()
	})
	return err
}

// A receiver is a socket with a mapped ring, one frame after another.
type receiver struct {
	file    *os.File
	conn    syscall.RawConn
	memory  []byte
	frame   int
	ready   func(fd uintptr) bool
	next    int // offset of the frame to be filled next
	packets [maxBatch]ether.Packet
	held    [maxBatch]*atomic.Uint32 // of the frames of the last batch
	holding int

	mu        sync.Mutex
	closed    bool
	receiving bool   // it may look at memory until it has seen closed
	full      uint64 // packets lost until the kernel was asked last
}

func newReceiver(on ether.Interface, frame int) (_ *receiver, err error) {
	fd, file, err := packetSocket()
	if err != nil {
		return nil, fmt.Errorf("ring: %w", err)
	}
	r := &receiver{file: file, frame: frame}
	r.ready = func(uintptr) bool { return r.status(r.next).Load()&unix.TP_STATUS_USER != 0 }
	if err := r.open(fd, on); err != nil {
		return nil, errors.Join(fmt.Errorf("ring: %w", err), r.close())
	}
	return r, nil
}

func (r *receiver) open(fd int, on ether.Interface) (err error) {
	if r.conn, err = r.file.SyscallConn(); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V2); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	req := &unix.TpacketReq{
		Block_size: blockSize, Block_nr: ringBytes / blockSize,
		Frame_size: uint32(r.frame), Frame_nr: uint32(ringBytes / r.frame), //nolint:gosec // G115: at most blockSize
	}
	if err := unix.SetsockoptTpacketReq(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, req); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if r.memory, err = unix.Mmap(fd, 0, ringBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE); err != nil {
		return os.NewSyscallError("mmap", err)
	}
	if err := setFilter(fd, on.Addr, on.MTU+ether.EthernetLen); err != nil {
		return err
	}
	// For all protocols: such taps are served before tcx, those of a protocol behind it.
	return os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: hostToNet(unix.ETH_P_ALL), Ifindex: on.Index}))
}

func hostToNet(v uint16) uint16 {
	b := [2]byte{uint8(v >> 8), uint8(v & 0xff)}
	return *(*uint16)(unsafe.Pointer(&b)) //nolint:gosec // G103: a number in network order
}

func (r *receiver) status(frame int) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&r.memory[frame])) //nolint:gosec // G103: tp_status is the first of struct tpacket2_hdr
}

func (r *receiver) receive(ways *ether.Ways, drops *ether.Drops) ([]ether.Packet, error) {
	if !r.start() {
		return nil, os.ErrClosed
	}
	for {
		for _, status := range r.held[:r.holding] {
			status.Store(unix.TP_STATUS_KERNEL)
		}
		r.holding = 0
		if n := r.take(ways.Host(), drops); n > 0 {
			return r.packets[:n], nil
		}
		if r.conn.Read(r.ready) != nil { // closed, the only reason
			r.end()
			return nil, os.ErrClosed
		}
	}
}

// take reads the frames that are filled.
func (r *receiver) take(host *ether.Host, drops *ether.Drops) (n int) {
	for r.holding < maxBatch {
		status := r.status(r.next)
		if status.Load()&unix.TP_STATUS_USER == 0 {
			break
		}
		h := (*unix.Tpacket2Hdr)(unsafe.Pointer(&r.memory[r.next])) //nolint:gosec // G103: laid out by the kernel
		frame := r.memory[r.next : r.next+r.frame]
		p := &r.packets[n]
		if from, end := int(h.Mac), int(h.Mac)+int(h.Snaplen); end > len(frame) || h.Snaplen != h.Len {
			drops.Add(ether.BadRing)
		} else if bad := host.Parse(frame[from:end], p); bad != ether.Fine {
			drops.Add(bad)
		} else {
			p.Arrived = int64(h.Sec)*1e9 + int64(h.Nsec)
			n++
		}
		r.held[r.holding] = status
		r.holding++
		if r.next += r.frame; r.next == len(r.memory) {
			r.next = 0
		}
	}
	return n
}

// start notes that there is a receiver, unless the path is closed.
func (r *receiver) start() bool {
	if r.receiving {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.receiving = !r.closed
	return r.receiving
}

// end is the receiver's last act.
func (r *receiver) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.receiving = false
	r.unmap()
}

func (r *receiver) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	err := r.file.Close()
	r.unmap()
	return err
}

// unmap gives the memory back when nobody can look at it anymore.
func (r *receiver) unmap() {
	if r.closed && !r.receiving && r.memory != nil {
		_ = unix.Munmap(r.memory) // fails only for what is not mapped
		r.memory = nil
	}
}

// lost is how many packets found the ring full.
func (r *receiver) lost() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		_ = r.conn.Control(func(fd uintptr) { // the kernel begins anew with each question
			if s, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
				r.full += uint64(s.Drops)
			}
		})
	}
	return r.full
}

package ring

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/underlay/ether"
)

// mmsghdr is struct mmsghdr of sendmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

// A sender writes frames to one interface: the header from its own memory, the sealed packet from where it is.
type sender struct {
	file *os.File
	fd   int // valid while not closed: sending must hold mu

	mu      sync.Mutex
	closed  bool
	headers [maxBatch][ether.HeaderLen]byte
	iovs    [maxBatch][2]unix.Iovec
	msgs    [maxBatch]mmsghdr
}

func newSender(index int) (*sender, error) {
	fd, file, err := packetSocket()
	if err != nil {
		return nil, fmt.Errorf("ring: %w", err)
	}
	s := &sender{file: file, fd: fd}
	err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1)
	if err == nil {
		// Without CAP_NET_ADMIN the limit stays what it is.
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sndBuffer)
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: index}) // of no protocol: it receives nothing
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("ring: socket to send from: %w", err), s.close())
	}
	for i := range s.msgs {
		s.iovs[i][0].Base = &s.headers[i][0]
		s.iovs[i][0].SetLen(ether.HeaderLen)
		s.msgs[i].hdr.Iov = &s.iovs[i][0]
		s.msgs[i].hdr.SetIovlen(2)
	}
	return s, nil
}

func (s *sender) send(ways *ether.Ways, drops *ether.Drops, ps, rest []esp.Sealed, id uint32) (n int, left []esp.Sealed, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, append(rest, ps...), os.ErrClosed
	}
	to := ether.Finder{Ways: ways}
	filled := 0
	flush := func() {
		m, e := s.flush(filled, drops)
		if n += m; e != nil {
			err = e
		}
		filled = 0
	}
	for i, p := range ps {
		way := to.Way(p)
		if way == nil {
			rest = append(rest, p)
			continue
		}
		b := p.Bytes()
		way.PutHeader(s.headers[filled][:], len(b), p.TOS(), uint16((id+uint32(i))&0xffff))
		s.iovs[filled][1].Base = unsafe.SliceData(b) //nolint:gosec // G103: not dereferenced here
		s.iovs[filled][1].SetLen(len(b))
		if filled++; filled == maxBatch {
			flush()
		}
	}
	flush()
	return n, rest, err
}

// flush sends the first messages. One that the interface does not take is left out, after a wait if
// it is only full. After a wait in vain the others do not wait again, since the caller holds locks.
func (s *sender) flush(filled int, drops *ether.Drops) (n int, err error) {
	const patience = 8 // times a millisecond
	for from, tries := 0, 0; from < filled; {
		done, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.msgs[from])), uintptr(filled-from), unix.MSG_DONTWAIT, 0, 0) //nolint:gosec // G103: x/sys has no wrapper
		if errno == 0 {
			n, from, tries = n+int(done), from+int(done), 0
			continue
		}
		if full(errno) && tries < patience {
			tries++
			_, _ = unix.Poll(nil, 1)
			continue
		}
		err = os.NewSyscallError("sendmmsg", errno)
		if full(errno) {
			drops.Add(ether.SendFull)
		}
		from++
	}
	return n, err
}

func full(errno syscall.Errno) bool {
	return errno == unix.EAGAIN || errno == unix.ENOBUFS || errno == unix.EINTR
}

func (s *sender) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.file.Close()
}

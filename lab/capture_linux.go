package lab

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"golang.org/x/sys/unix"
)

// A capture writes every frame that a site sends to a pcap file, until it is closed. It listens on
// the ports of the bridge and takes only what comes in, so each frame counts once, and also counts
// when the bridge drops it.
type capture struct {
	path string
	ns   *namespace
	fd   int
	wake int // eventfd: somebody waits in sync, or wants the end
	ask  chan chan error
	end  chan error
	w    *pcapgo.NgWriter
	buf  *bufio.Writer
	file *os.File
}

const (
	captureBuffer = 64 << 20 // bytes of socket buffer: seconds of a busy internet
	snapLength    = 65535
)

// newCapture starts to capture in the internet's namespace.
func newCapture(in *internet, path string) (*capture, error) {
	c := &capture{path: path, ns: in.ns, fd: -1, wake: -1, ask: make(chan chan error, 1), end: make(chan error, 1)}
	if err := c.open(); err != nil {
		c.release()
		return nil, fmt.Errorf("capture: %w", err)
	}
	ports := make(map[int]bool, len(in.ports))
	for index := range in.ports {
		ports[index] = true
	}
	go func() { c.end <- c.loop(ports) }() // ends with close
	return c, nil
}

func (c *capture) open() error {
	var err error
	if c.file, err = os.OpenFile(c.path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600); err != nil {
		return err
	}
	c.buf = bufio.NewWriterSize(c.file, 1<<20)
	if c.w, err = pcapgo.NewNgWriter(c.buf, layers.LinkTypeEthernet); err != nil {
		return err
	}
	if c.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return err
	}
	return c.ns.do(func() error {
		all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL)) // htons
		c.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(all))
		if err != nil {
			return err
		}
		return errors.Join(
			unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, captureBuffer),
			unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
			unix.SetsockoptInt(c.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		)
	})
}

// loop owns the socket and the file. Whatever waits is written at once, so that others can read the
// file while it grows.
func (c *capture) loop(ports map[int]bool) error {
	frame, oob := make([]byte, snapLength), make([]byte, 256)
	fds := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}, {Fd: int32(c.wake), Events: unix.POLLIN}} //nolint:gosec // descriptors fit
	for {
		if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		if err := errors.Join(c.drain(frame, oob, ports), c.w.Flush(), c.buf.Flush()); err != nil {
			return err
		}
		if fds[1].Revents == 0 {
			continue
		}
		var count [8]byte
		_, _ = unix.Read(c.wake, count[:])
		select {
		case reply, ok := <-c.ask:
			err := c.complete()
			if !ok {
				return err
			}
			reply <- err
		default:
		}
	}
}

// drain writes all frames that wait in the socket.
func (c *capture) drain(frame, oob []byte, ports map[int]bool) error {
	for {
		n, oobn, _, from, err := unix.Recvmsg(c.fd, frame, oob, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.ENETDOWN): // an interface went away: not ours to mind
			continue
		case err != nil:
			return err
		}
		ll, ok := from.(*unix.SockaddrLinklayer)
		if !ok || !ports[ll.Ifindex] {
			continue
		}
		err = c.w.WritePacket(gopacket.CaptureInfo{Timestamp: timestamp(oob[:oobn]), CaptureLength: n, Length: n}, frame[:n])
		if err != nil {
			return err
		}
	}
}

// timestamp reads when the kernel received the frame.
func timestamp(oob []byte) time.Time {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return time.Now()
	}
	for _, m := range msgs {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16 {
			sec, nsec := binary.NativeEndian.Uint64(m.Data), binary.NativeEndian.Uint64(m.Data[8:])
			return time.Unix(int64(sec), int64(nsec)) //nolint:gosec // a kernel clock
		}
	}
	return time.Now()
}

// complete is an error when the kernel had to drop frames before we read them.
func (c *capture) complete() error {
	st, err := unix.GetsockoptTpacketStats(c.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return err
	}
	if st.Drops > 0 {
		return fmt.Errorf("the capture lost %d frames", st.Drops)
	}
	return nil
}

// sync returns once every frame sent before the call is in the file.
func (c *capture) sync() error {
	reply := make(chan error, 1)
	select {
	case err := <-c.end:
		c.end <- err
		return errors.Join(errors.New("the capture has ended"), err)
	case c.ask <- reply:
	}
	c.poke()
	select {
	case err := <-reply:
		return err
	case err := <-c.end:
		c.end <- err
		return errors.Join(errors.New("the capture has ended"), err)
	}
}

func (c *capture) poke() {
	_, _ = unix.Write(c.wake, binary.NativeEndian.AppendUint64(nil, 1))
}

// close ends the capture and reports whether it is whole.
func (c *capture) close() error {
	close(c.ask)
	c.poke()
	err := <-c.end
	c.release()
	return err
}

func (c *capture) release() {
	for _, fd := range []int{c.fd, c.wake} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
	if c.file != nil {
		_ = c.file.Close()
	}
}

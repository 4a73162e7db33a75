package peer

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A Host is an address that a namespace has: one end of a conversation.
type Host struct {
	*Namespace
	Address string
}

// patience is how long a conversation may take.
const patience = 45 * time.Second

// Exchange sends size random bytes by TCP from a to b, and others from b to a at the same time. The error
// says what did not arrive, or not as it was sent.
func Exchange(a, b Host, size int) error {
	var listener *net.TCPListener
	err := b.Do(func() error {
		l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.ParseIP(b.Address)})
		listener = l
		return err
	})
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }()
	_ = listener.SetDeadline(time.Now().Add(patience)) // never fails on an open socket
	type end struct {
		Sums
		err error
	}
	far := make(chan end, 1)
	go func() { // ends with the connection, or the listener
		c, err := listener.Accept()
		if err != nil {
			far <- end{err: err}
			return
		}
		sums, err := Talk(c, size)
		far <- end{sums, err}
	}()
	c, err := a.Dial(netip.MustParseAddrPort(listener.Addr().String()), a.Address)
	if err != nil {
		return err
	}
	near, err := Talk(c, size)
	other := <-far
	switch err := errors.Join(err, other.err); {
	case err != nil:
		return fmt.Errorf("%s and %s: %w", a.Address, b.Address, err)
	case near.Sent != other.Received:
		return fmt.Errorf("what %s sent has arrived at %s as something else", a.Address, b.Address)
	case other.Sent != near.Received:
		return fmt.Errorf("what %s sent has arrived at %s as something else", b.Address, a.Address)
	}
	return nil
}

// Dial connects from an address of the namespace.
func (ns *Namespace) Dial(to netip.AddrPort, from string) (c net.Conn, err error) {
	err = ns.Do(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c, err = dialer.DialContext(ctx, "tcp4", to.String())
		return err
	})
	return c, err
}

// Sums are SHA-256 sums of what one end of a connection has sent and received.
type Sums struct{ Sent, Received [sha256.Size]byte }

// Talk sends size random bytes and the end of the stream, receives as many, and closes the connection.
func Talk(c net.Conn, size int) (s Sums, err error) {
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return s, err
	}
	sent := make(chan error, 1)
	go func() { // ends with the connection
		h := sha256.New()
		_, err := io.CopyN(io.MultiWriter(c, h), rand.Reader, int64(size))
		s.Sent = [sha256.Size]byte(h.Sum(nil))
		sent <- errors.Join(err, c.(*net.TCPConn).CloseWrite())
	}()
	h := sha256.New()
	n, err := io.Copy(h, c)
	s.Received = [sha256.Size]byte(h.Sum(nil))
	if err = errors.Join(err, <-sent); err == nil && n != int64(size) {
		err = fmt.Errorf("%d of %d bytes received", n, size)
	}
	return s, err
}

const (
	// datagramTries is how often a datagram is sent until its echo comes: UDP may lose some.
	datagramTries = 5
	// run is how many datagrams are sent at once, where UDP_SEGMENT takes them.
	run = 16
)

// Datagrams sends UDP datagrams of each payload size from a to b, which sends them back: sixteen at once,
// so that the kernel hands them over as one large packet, where they fit the mtu of the way; larger ones
// one by one, in fragments. The error says which did not come back as they were.
func Datagrams(a, b Host, mtu int, sizes ...int) error {
	near, err := a.listenUDP()
	if err != nil {
		return err
	}
	defer func() { _ = near.Close() }()
	far, err := b.listenUDP()
	if err != nil {
		return err
	}
	var echo sync.WaitGroup
	echo.Go(func() { // ends with its socket
		buf := make([]byte, 1<<16)
		for {
			n, from, err := far.ReadFromUDPAddrPort(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				_, _ = far.WriteToUDPAddrPort(buf[:n], from) // what is lost is sent again
			}
		}
	})
	defer func() {
		_ = far.Close()
		echo.Wait()
	}()
	to := netip.MustParseAddrPort(far.LocalAddr().String())
	var errs []error
	for _, size := range sizes {
		if err := roundTrip(near, to, size, mtu); err != nil {
			errs = append(errs, fmt.Errorf("%d bytes from %s to %s and back: %w", size, a.Address, b.Address, err))
		}
	}
	return errors.Join(errs...)
}

func (h Host) listenUDP() (c *net.UDPConn, err error) {
	err = h.Do(func() error {
		c, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(h.Address)})
		return err
	})
	return c, err
}

// roundTrip sends one run of datagrams until each has come back.
func roundTrip(c *net.UDPConn, to netip.AddrPort, size, mtu int) error {
	const headers = 28
	count, control := 1, []byte(nil)
	if size > 0 && size+headers <= mtu {
		count = run
		control = segmentSize(size)
	}
	message := make([]byte, count*size)
	_, _ = rand.Read(message) // never fails
	missing := make(map[string]int)
	for i := range count {
		missing[string(message[i*size:][:size])]++
	}
	buf := make([]byte, 1<<16)
	for range datagramTries {
		if _, _, err := c.WriteMsgUDPAddrPort(message, control, to); err != nil {
			return err
		}
		if err := c.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return err
		}
		for len(missing) > 0 {
			n, _, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				break // silence: again
			}
			delete(missing, string(buf[:n])) // an echo of an earlier try is none of them
		}
		if len(missing) == 0 {
			return nil
		}
	}
	return fmt.Errorf("%d of %d datagrams did not come back in %d tries", len(missing), count, datagramTries)
}

// segmentSize is a control message that has the kernel cut a message into datagrams (UDP_SEGMENT).
func segmentSize(size int) []byte {
	b := make([]byte, unix.CmsgSpace(2))
	binary.NativeEndian.PutUint64(b, uint64(unix.CmsgLen(2))) //nolint:gosec // 18
	binary.NativeEndian.PutUint32(b[8:], unix.SOL_UDP)
	binary.NativeEndian.PutUint32(b[12:], unix.UDP_SEGMENT)
	binary.NativeEndian.PutUint16(b[unix.CmsgLen(0):], uint16(size)) //nolint:gosec // below the MTU
	return b
}

// A Flood is datagrams that a host sends without waiting for anything.
type Flood struct {
	Size, Batch int           // of the payload, bytes; how many are sent at once
	Rate        atomic.Uint64 // of them a second; may change at any time
	Sent        atomic.Uint64 // so many the kernel took
}

// Pour sends datagrams from a to an address until ctx ends.
func (f *Flood) Pour(ctx context.Context, a Host, to netip.AddrPort) error {
	c, err := a.listenUDP()
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	message, control := make([]byte, f.Size*f.Batch), segmentSize(f.Size)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	due, last := 0.0, time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			due += float64(f.Rate.Load()) * now.Sub(last).Seconds()
			last = now
		}
		for ; due > 0 && ctx.Err() == nil; due -= float64(f.Batch) {
			switch _, _, err := c.WriteMsgUDPAddrPort(message, control, to); {
			case errors.Is(err, unix.ENOBUFS): // the interface's queue is full
			case err != nil:
				return err
			default:
				f.Sent.Add(uint64(f.Batch)) //nolint:gosec // positive
			}
		}
	}
}

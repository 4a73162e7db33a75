package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
)

const (
	probePayload  = 56                    // bytes after the ICMP header: marker, number, padding
	probeInterval = 10 * time.Millisecond // 100 a second
	// probeGrace is how long an answer may take before its probe counts as lost.
	probeGrace = time.Second
)

// An echo is an ICMP echo request or reply that carries the run's marker.
type echo struct {
	peer   netip.Addr
	number uint64
	ttl    uint8
	at     time.Time
}

// A pinger sends echo requests from one LAN host and hears the answers. The kernel of the host at
// the other end answers.
type pinger struct {
	conn   *ipv4.PacketConn
	id     uint16
	marker marker
}

// newPinger opens a raw ICMP socket at the host. It hears messages of the one type that carry the
// marker: echo replies to its own id, or with ipv4.ICMPTypeEcho all requests to the host.
func newPinger(h *host, m marker, id uint16, hear ipv4.ICMPType) (*pinger, error) {
	p := &pinger{id: id, marker: m}
	return p, h.ns.do(func() error {
		c, err := net.ListenPacket("ip4:icmp", h.addr.String()) //nolint:noctx // nothing to wait for
		if err != nil {
			return err
		}
		p.conn = ipv4.NewPacketConn(c)
		var f ipv4.ICMPFilter
		f.SetAll(true)
		f.Accept(hear)
		return errors.Join(p.conn.SetICMPFilter(&f), p.conn.SetControlMessage(ipv4.FlagTTL, true))
	})
}

// send sends request `number` to dst.
func (p *pinger) send(dst netip.Addr, number uint64) error {
	data := make([]byte, probePayload)
	copy(data, p.marker[:])
	binary.BigEndian.PutUint64(data[len(p.marker):], number)
	msg := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: int(p.id), Seq: int(uint16(number)), Data: data}} //nolint:gosec // the payload has the whole number
	b, err := msg.Marshal(nil)
	if err != nil {
		return err
	}
	_, err = p.conn.WriteTo(b, nil, &net.IPAddr{IP: dst.AsSlice()})
	return err
}

// receive waits for the next message with the marker.
func (p *pinger) receive() (echo, error) {
	buf := make([]byte, 2048)
	for {
		n, cm, from, err := p.conn.ReadFrom(buf)
		if err != nil {
			return echo{}, err
		}
		at := time.Now()
		msg, err := icmp.ParseMessage(1, buf[:n])
		if err != nil {
			continue
		}
		body, ok := msg.Body.(*icmp.Echo)
		if !ok || body.ID != int(p.id) || len(body.Data) < len(p.marker)+8 || marker(body.Data[:16]) != p.marker {
			continue
		}
		addr, ok := from.(*net.IPAddr)
		if !ok {
			continue
		}
		peer, _ := netip.AddrFromSlice(addr.IP.To4())
		e := echo{peer: peer, number: binary.BigEndian.Uint64(body.Data[16:]), at: at}
		if cm != nil {
			e.ttl = uint8(cm.TTL) //nolint:gosec // a byte on the wire
		}
		return e, nil
	}
}

func (p *pinger) close() { _ = p.conn.Close() }

// pingAll sends `count` requests to each destination and waits until all are answered. It returns
// how many were sent, and an error that names those that stayed without an answer.
func (p *pinger) pingAll(ctx context.Context, dsts []netip.Addr, count int, next *uint64) (sent int, err error) {
	open := make(map[uint64]netip.Addr)
	tick := time.NewTicker(probeInterval / 2)
	defer tick.Stop()
	for range count {
		for _, d := range dsts {
			*next++
			if err := p.send(d, *next); err != nil {
				return sent, fmt.Errorf("send to %s: %w", d, err)
			}
			sent++
			open[*next] = d
			select {
			case <-ctx.Done():
				return sent, ctx.Err()
			case <-tick.C:
			}
		}
	}
	deadline, ok := ctx.Deadline()
	if grace := time.Now().Add(probeGrace); !ok || grace.Before(deadline) {
		deadline = grace
	}
	if err := p.conn.SetReadDeadline(deadline); err != nil {
		return sent, err
	}
	for len(open) > 0 {
		e, err := p.receive()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			return sent, err
		}
		if open[e.number] == e.peer {
			delete(open, e.number)
		}
	}
	if len(open) == 0 {
		return sent, nil
	}
	silent := make(map[netip.Addr]bool)
	for _, d := range open {
		silent[d] = true
	}
	names := make([]string, 0, len(silent))
	for d := range silent {
		names = append(names, d.String())
	}
	slices.Sort(names)
	return sent, fmt.Errorf("%d of %d without an answer, from %v", len(open), sent, names)
}

// A stream sends numbered probes between two hosts, 100 a second, until it is stopped.
type stream struct {
	near, far *pinger // far only listens, for the TTL that requests arrive with
	dst       netip.Addr

	mu     sync.Mutex
	probes []probe
	errs   []error // failures to send: a silent cut causes none

	stop chan struct{}
	wg   sync.WaitGroup
}

// startStream begins to send from one host to the other.
func startStream(from, to *host, m marker, id uint16) (*stream, error) {
	near, err := newPinger(from, m, id, ipv4.ICMPTypeEchoReply)
	if err != nil {
		return nil, fmt.Errorf("probe socket: %w", err)
	}
	far, err := newPinger(to, m, id, ipv4.ICMPTypeEcho)
	if err != nil {
		near.close()
		return nil, fmt.Errorf("probe socket: %w", err)
	}
	s := &stream{near: near, far: far, dst: to.addr, stop: make(chan struct{})}
	s.wg.Go(s.send) // all three end with close
	s.wg.Go(func() {
		s.hear(near, func(p *probe, e echo) { p.answered, p.ttl = true, e.ttl })
	})
	s.wg.Go(func() { s.hear(far, func(p *probe, e echo) { p.forwardTTL, p.copies = e.ttl, p.copies+1 }) })
	return s, nil
}

// send keeps the rhythm by the start time: a late turn does not shift the ones after it.
func (s *stream) send() {
	tick := time.NewTicker(probeInterval / 4)
	defer tick.Stop()
	start := time.Now()
	for {
		for now := time.Now(); now.Sub(start) >= time.Duration(len(s.probes))*probeInterval; {
			s.mu.Lock()
			number := uint64(len(s.probes))
			s.probes = append(s.probes, probe{sent: time.Now()})
			s.mu.Unlock()
			if err := s.near.send(s.dst, number); err != nil {
				s.mu.Lock()
				s.errs = append(s.errs, err)
				s.mu.Unlock()
			}
		}
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
	}
}

// hear notes each message that arrives at one end.
func (s *stream) hear(at *pinger, note func(*probe, echo)) {
	for {
		e, err := at.receive()
		if err != nil {
			return // closed
		}
		s.mu.Lock()
		if e.number < uint64(len(s.probes)) {
			note(&s.probes[e.number], e)
		}
		s.mu.Unlock()
	}
}

// sofar returns a copy of what is known of all probes.
func (s *stream) sofar() []probe {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.probes)
}

// failures are the errors that sending met.
func (s *stream) failures() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.errs) == 0 {
		return nil
	}
	return fmt.Errorf("%d probes could not be sent: %w", len(s.errs), s.errs[0])
}

// halt stops sending and waits until what is under way has arrived or is lost.
func (s *stream) halt(ctx context.Context) {
	close(s.stop)
	ctx, cancel := context.WithTimeout(ctx, probeGrace)
	defer cancel()
	poll(ctx, func() bool {
		all := s.sofar()
		return len(all) == 0 || all[len(all)-1].answered
	})
	s.near.close()
	s.far.close()
	s.wg.Wait()
}

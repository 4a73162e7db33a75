package xdp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/underlay/ether"
)

// A Path is the AF_XDP sockets of one interface. Each Receive index is for one goroutine; Send is for
// any number of them.
type Path struct {
	ways    *ether.Ways
	program *program
	queues  []*queue
	drops   ether.Drops
	id      atomic.Uint32 // of IPv4 headers
	text    string

	closing sync.Once
	closed  chan struct{}
	done    sync.WaitGroup
}

// Open takes over the ESP packets to local on the interface that has this address, in the network namespace of
// the calling thread. It needs CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, and CAP_PERFMON for a program that adds a number
// from the packet to a pointer. The error says why an interface is not suited.
func Open(local netip.Addr, c Config) (_ *Path, err error) {
	ways, err := ether.Open(local)
	if err != nil {
		return nil, err
	}
	p := &Path{ways: ways, closed: make(chan struct{})}
	if err := p.open(ways.Interface(), c); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	p.done.Go(p.watch)
	return p, nil
}

func (p *Path) open(on ether.Interface, c Config) (err error) {
	if err := on.Plain(); err != nil {
		return err
	}
	if on.Program != 0 {
		return fmt.Errorf("xdp: interface %s has an XDP program already, number %d", on.Name, on.Program)
	}
	chunk := 2048
	if on.MTU > largest(chunk) {
		chunk = min(4096, os.Getpagesize())
	}
	if c.Queues <= 0 {
		c.Queues = defaultQueues
	}
	wanted := min(on.Queues, c.Queues)
	if p.program, err = load(on.Addr, largest(chunk), wanted); err != nil {
		return err
	}
	for id := range wanted {
		q, err := openQueue(on.Index, id, uint64(chunk), &p.drops)
		if id > 0 && (errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOBUFS)) {
			break // the driver has fewer queues at work than it could have, or no more memory may be locked
		}
		if err != nil {
			return err
		}
		p.queues = append(p.queues, q)
		if err := p.program.sockets.Put(uint32(id), uint32(q.fd)); err != nil { //nolint:gosec // G115: both small
			return fmt.Errorf("xdp: queue %d: map of sockets: %w", id, err)
		}
	}
	if err := p.program.attach(on, c.Mode); err != nil {
		return err
	}
	p.describe(on, chunk)
	return nil
}

// largest is the IPv4 packet that fits a frame.
func largest(chunk int) int { return chunk - frameRoom - ether.EthernetLen }

func (p *Path) describe(on ether.Interface, chunk int) {
	p.text = fmt.Sprintf("AF_XDP on %s, program %s, %d of at most %d queues", on.Name, p.program.mode, len(p.queues), on.Queues)
	if on.MTU > largest(chunk) {
		p.text += fmt.Sprintf(", packets up to %d bytes", largest(chunk))
	}
}

// Describe says what was opened, and what not and why.
func (p *Path) Describe() string { return p.text }

// Drops calls f for each reason for which packets were dropped, with their number so far.
func (p *Path) Drops(f func(reason string, n uint64)) {
	p.drops.Each(f)
	var full, noFrame uint64
	for _, q := range p.queues {
		f, n := q.lost()
		full, noFrame = full+f, noFrame+n
	}
	f("queue_full", full)
	f("no_frame", noFrame)
}

// Receivers is how many goroutines can call Receive, each with its own index.
func (p *Path) Receivers() int { return len(p.queues) }

// Receive waits for packets of queue i and returns them, at most 64. They and their memory are the
// caller's until its next call. After Close or when the interface has gone it returns os.ErrClosed.
func (p *Path) Receive(i int) ([]ether.Packet, error) { return p.queues[i].receive(p.ways) }

// Send sends packets for which there is a way, in order for each destination; n is how many the
// interface took and err why it refused the last of the others. Those that the kernel must send are
// appended to rest.
func (p *Path) Send(ps, rest []esp.Sealed) (n int, left []esp.Sealed, err error) {
	id := p.id.Add(uint32(len(ps))) - uint32(len(ps)) //nolint:gosec // G115: a batch is small
	if len(p.queues) == 1 {
		return p.queues[0].send(p.ways, ps, rest, id, 1)
	}
	var used uint64
	for _, s := range ps {
		used |= 1 << pick(s, len(p.queues))
	}
	for i, q := range p.queues {
		if used&(1<<i) == 0 {
			continue
		}
		m, r, e := q.send(p.ways, ps, rest, id, len(p.queues))
		n, rest = n+m, r
		if e != nil {
			err = e
		}
	}
	return n, rest, err
}

// pick is the queue by which packets to one destination leave, so that they stay in order.
func pick(p esp.Sealed, of int) int {
	if of == 1 {
		return 0
	}
	dst := p.SA().Dst().Addr().As4()
	return int(binary.BigEndian.Uint32(dst[:]) * 0x9e3779b1 >> 16 % uint32(of)) //nolint:gosec // G115: there are few queues
}

// watch ends Receive when the interface has gone. It ends with the path.
func (p *Path) watch() {
	select {
	case <-p.ways.Gone():
		for _, q := range p.queues {
			_ = q.close()
		}
	case <-p.closed:
	}
}

// Close detaches the program and ends Receive.
func (p *Path) Close() (err error) {
	p.closing.Do(func() {
		close(p.closed)
		p.done.Wait()
		if p.program != nil {
			err = p.program.close()
		}
		for _, q := range p.queues {
			err = errors.Join(err, q.close())
		}
		p.ways.Close()
	})
	return err
}

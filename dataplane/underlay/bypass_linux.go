package underlay

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/underlay/ether"
	"meshrouter/dataplane/underlay/ring"
	"meshrouter/dataplane/underlay/xdp"
)

// maxQueues bounds the receivers of a path.
const maxQueues = 8

// A path carries plain ESP packets past the kernel's IP stack; see package ether. What it leaves, and
// control packets, are for the raw sockets.
type path interface {
	Receivers() int
	Receive(i int) ([]ether.Packet, error)
	Send(ps, rest []esp.Sealed) (n int, left []esp.Sealed, err error)
	Describe() string
	Drops(f func(reason string, n uint64))
	Close() error
}

// A bypass is the way around the raw socket, if there is one. It opens when the first protocol 50 packet
// is to be sent, since an interface with an XDP program may be slower for everybody else; or at once
// if asked for by name.
type bypass struct {
	local netip.Addr
	kinds []string    // to try, in this order
	udp   func() bool // whether data leaves by port 4500, which an XDP program may slow down
	slots int         // receivers that it may need
	log   *slog.Logger
	// namespace is the network namespace of Open's caller: the goroutine that opens a path later may
	// run in another one, where the address is another interface's.
	namespace *os.File

	tried   atomic.Bool
	current atomic.Pointer[path] // nil: not yet, or no more
	opened  chan struct{}        // closed when current is first set
	done    chan struct{}        // closed by close

	mu      sync.Mutex
	closed  bool
	text    string // for Offloads
	opening sync.WaitGroup
}

// newBypass is nil if only the raw socket is wanted.
func newBypass(local netip.Addr, o Options, udp func() bool) (*bypass, error) {
	b := &bypass{local: local, udp: udp, log: o.Logger, opened: make(chan struct{}), done: make(chan struct{})}
	b.slots = min(runtime.GOMAXPROCS(0), maxQueues)
	switch o.Protocol50 {
	case "raw":
		return nil, nil //nolint:nilnil // no bypass is what was asked for
	case "", "auto":
		b.kinds = []string{"xdp", "ring"}
		b.text = "not yet needed: nothing was sent by protocol 50"
		var err error
		if b.namespace, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return nil, fmt.Errorf("underlay: own network namespace: %w", err)
		}
		return b, nil
	case "xdp", "ring":
		b.kinds = []string{o.Protocol50}
	default:
		return nil, fmt.Errorf("underlay: protocol 50 by %q, want auto, xdp, ring or raw", o.Protocol50)
	}
	b.tried.Store(true)
	b.open()
	return b, nil
}

// wake opens the bypass in the background.
func (b *bypass) wake() {
	if b.tried.Load() || b.tried.Swap(true) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.opening.Go(b.openThere) // close waits for it
	}
}

// openThere opens the bypass in its namespace.
func (b *bypass) openThere() {
	runtime.LockOSThread()
	there, err := isNamespace(b.namespace)
	if there {
		defer runtime.UnlockOSThread()
	} else if err == nil {
		// The thread has to end with this goroutine then, which is what it does without being unlocked.
		err = os.NewSyscallError("setns", unix.Setns(int(b.namespace.Fd()), unix.CLONE_NEWNET))
	}
	if err != nil {
		b.describe("raw socket: " + err.Error())
		return
	}
	b.open()
}

// isNamespace reports whether the calling thread is in that network namespace.
func isNamespace(ns *os.File) (bool, error) {
	want, err := ns.Stat()
	if err != nil {
		return false, err
	}
	got, err := os.Stat("/proc/thread-self/ns/net")
	return err == nil && os.SameFile(want, got), err
}

func (b *bypass) open() {
	text := ""
	for _, kind := range b.kinds {
		if kind == "xdp" && len(b.kinds) > 1 && b.udp() {
			text += "no xdp: it would keep the interface from passing joined UDP packets; "
			continue
		}
		p, err := openPath(kind, b.local, b.slots)
		if err != nil {
			text += fmt.Sprintf("no %s: %v; ", kind, err)
			continue
		}
		text += p.Describe()
		b.describe(text)
		b.log.Info("protocol 50 leaves and arrives past the IP stack", slog.String("by", text))
		b.current.Store(&p)
		close(b.opened)
		return
	}
	text += "raw socket"
	b.describe(text)
	b.log.Info("protocol 50 leaves and arrives by a raw socket", slog.String("reason", text))
}

func openPath(kind string, local netip.Addr, queues int) (path, error) {
	if kind == "xdp" {
		return xdp.Open(local, xdp.Config{Queues: queues})
	}
	return ring.Open(local)
}

func (b *bypass) describe(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = text
}

func (b *bypass) offload() Offload {
	if b == nil {
		return Offload{Name: "protocol-50", Reason: "raw socket: switched off"}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return Offload{Name: "protocol-50", On: b.current.Load() != nil, Reason: b.text}
}

// use is the path, or nil as long as there is none.
func (b *bypass) use() path {
	if b == nil {
		return nil
	}
	if p := b.current.Load(); p != nil {
		return *p
	}
	b.wake()
	return nil
}

func (b *bypass) drops(f func(reason string, n uint64)) {
	if p := b.current.Load(); p != nil {
		(*p).Drops(f)
	}
}

// lost ends a path whose interface has gone.
func (b *bypass) lost(p *path) {
	if b.current.CompareAndSwap(p, nil) {
		b.describe("raw socket: the interface has gone")
		b.log.Warn("protocol 50 is back at the raw socket", slog.String("reason", "the interface has gone"), slog.Any("err", (*p).Close()))
	}
}

func (b *bypass) close() error {
	b.mu.Lock()
	before := b.closed
	b.closed = true
	b.mu.Unlock()
	if before {
		return os.ErrClosed
	}
	b.opening.Wait()
	close(b.done)
	if b.namespace != nil {
		_ = b.namespace.Close() // it was only looked at
	}
	if p := b.current.Swap(nil); p != nil {
		return (*p).Close()
	}
	return nil
}

// A bypassReceiver is one of the receivers of a bypass. It belongs to one goroutine.
type bypassReceiver struct {
	bypass  *bypass
	i       int
	path    *path // since it opened; its memory is ours to give back, by hearing from it that it is closed
	packets []Packet

	received atomic.Uint64
}

// receive waits for the bypass to open, and then for packets; without a bypass it waits for the end.
func (r *bypassReceiver) receive() ([]Packet, error) {
	if r.path == nil {
		select {
		case <-r.bypass.opened:
		case <-r.bypass.done:
			return nil, os.ErrClosed
		}
		r.path = r.bypass.current.Load()
	}
	if p := r.path; p != nil && r.i < (*p).Receivers() {
		ps, err := (*p).Receive(r.i)
		if err == nil {
			return r.collect(ps), nil
		}
		if !errors.Is(err, os.ErrClosed) {
			return nil, err
		}
		r.bypass.lost(p)
	}
	<-r.bypass.done
	return nil, os.ErrClosed
}

func (r *bypassReceiver) collect(ps []ether.Packet) []Packet {
	r.packets = r.packets[:0]
	for i := range ps {
		p := &ps[i]
		r.packets = append(r.packets, Packet{
			Payload: p.Payload, Kind: ESP, Arrived: p.Arrived,
			Local: netip.AddrPortFrom(p.Dst, 0), Remote: netip.AddrPortFrom(p.Src, 0),
		})
	}
	r.received.Store(r.received.Load() + uint64(len(ps)))
	return r.packets
}

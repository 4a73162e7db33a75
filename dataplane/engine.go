package dataplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"meshrouter/dataplane/underlay"
)

const (
	// batchSize is how many packets are received at once.
	batchSize = 128
	// maxReadErrors is how many errors in a row a TUN queue or socket may report before the engine gives up.
	maxReadErrors = 100
)

// An Engine is the data plane of one router.
type Engine struct {
	queues   []Queue
	underlay Underlay
	handlers Handlers
	log      *slog.Logger
	now      func() time.Time

	updating  sync.Mutex // held by the one who makes the next view
	view      atomic.Pointer[view]
	owners    []*owner
	receiving []sync.Mutex // by receiver: held while inbound SAs of a view are in use
	drops     drops
	warned    atomic.Int64 // when sending last failed loudly, Unix nanoseconds
}

// New makes an Engine without tunnels and routes.
func New(cfg Config) (*Engine, error) {
	if len(cfg.Queues) == 0 {
		return nil, errors.New("dataplane: no TUN queue")
	}
	if cfg.Underlay == nil {
		return nil, errors.New("dataplane: no underlay")
	}
	e := &Engine{queues: cfg.Queues, underlay: cfg.Underlay, handlers: cfg.Handlers, log: cfg.Logger, now: cfg.Now}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if e.now == nil {
		e.now = time.Now
	}
	if cfg.Workers <= 0 {
		cfg.Workers = len(cfg.Queues)
	}
	for range cfg.Workers {
		e.owners = append(e.owners, &owner{e: e})
	}
	e.receiving = make([]sync.Mutex, cfg.Underlay.Receivers())
	e.view.Store(new(view))
	return e, nil
}

// Run forwards packets until ctx is done, and then returns nil; or until a queue or the underlay
// fails. It closes both in any case.
func (e *Engine) Run(ctx context.Context) error {
	g, inner := errgroup.WithContext(ctx)
	g.Go(func() error { // ends with the first of the others, or with ctx
		<-inner.Done()
		errs := []error{e.underlay.Close()}
		for _, q := range e.queues {
			errs = append(errs, q.Close())
		}
		return errors.Join(errs...)
	})
	for i := range e.queues {
		g.Go(func() error { return e.stopped(ctx, fmt.Sprintf("TUN queue %d", i), e.readQueue(i)) })
	}
	for i := range e.receiving {
		g.Go(func() error { return e.stopped(ctx, fmt.Sprintf("receiver %d", i), e.receive(i)) })
	}
	err := g.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// stopped is why a worker ended: nil when it was meant to.
func (e *Engine) stopped(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("dataplane: %s: %w", what, err)
}

// readQueue takes the host's packets from a TUN queue. It always ends with an error.
func (e *Engine) readQueue(i int) error {
	q := e.queues[i]
	w := newWorker(e, q)
	n := q.BatchSize()
	bufs, sizes := make([][]byte, n), make([]int, n)
	for j := range bufs {
		bufs[j] = make([]byte, underlay.BufferSize)
	}
	for failures := 0; failures < maxReadErrors; {
		n, err := q.Read(bufs, sizes, headRoom)
		w.begin()
		for j := range n {
			w.fromHost(frame{bufs[j], headRoom, headRoom + sizes[j]})
		}
		w.finish()
		switch {
		case err == nil:
			failures = 0
		case errors.Is(err, os.ErrClosed):
			return err
		default: // such as a segment that the device could not split
			failures++
			e.drops.add(dropTunRead)
			e.warn("reading from the TUN device failed", err)
		}
	}
	return fmt.Errorf("%d errors in a row", maxReadErrors)
}

// receive takes the peers' packets from an outer socket. It always ends with an error.
func (e *Engine) receive(i int) error {
	w := newWorker(e, e.queues[i%len(e.queues)])
	ps := make([]underlay.Packet, batchSize)
	for j := range ps {
		ps[j].Buf = make([]byte, underlay.BufferSize)
	}
	for failures := 0; failures < maxReadErrors; {
		n, err := e.underlay.Receive(i, ps)
		switch {
		case err == nil:
			failures = 0
		case errors.Is(err, os.ErrClosed):
			return err
		default: // such as no memory just now
			failures++
			e.drops.add(dropReceive)
			e.warn("receiving from the peers failed", err)
			continue
		}
		w.begin()
		w.fromPeers(&e.receiving[i], ps[:n])
		w.finish()
	}
	return fmt.Errorf("%d errors in a row", maxReadErrors)
}

// warn logs an error of the system at most once a second.
func (e *Engine) warn(what string, err error) {
	now, last := e.now().UnixNano(), e.warned.Load()
	if now-last >= int64(time.Second) && e.warned.CompareAndSwap(last, now) {
		e.log.Warn("data plane", slog.String("problem", what), slog.Any("err", err))
	}
}

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

	"meshrouter/dataplane/fib"
)

// maxReadErrors is how many errors in a row a TUN queue or socket may report before the engine gives up.
const maxReadErrors = 100

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
	accepting lock    // of windows and counters of inbound SAs; held for moments only
	readers   []meter // by TUN queue
	receivers []meter
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
	for i := range cfg.Workers {
		e.owners = append(e.owners, &owner{e: e, index: i})
	}
	e.readers, e.receivers = make([]meter, len(e.queues)), make([]meter, cfg.Underlay.Receivers())
	e.view.Store(&view{inbound: new(cut[*inbound]), addresses: new(cut[addresses])})
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
	for i := range e.receivers {
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

// owner is who has the tunnel of that id.
func (e *Engine) owner(id fib.TunnelID) *owner { return e.owners[int(id)%len(e.owners)] }

// readQueue takes the host's packets from a TUN queue. It always ends with an error.
func (e *Engine) readQueue(i int) error {
	q := e.queues[i]
	w := newWorker(e, q, -1)
	for failures := 0; failures < maxReadErrors; {
		ps, err := q.Read()
		w.begin()
		w.lookAhead(ps)
		for j := range ps {
			w.fromHost(&ps[j])
		}
		w.finish()
		e.readers[i].batch(len(ps), e.now().Sub(w.now), -1)
		w.yield()
		switch {
		case err == nil:
			failures = 0
		case errors.Is(err, os.ErrClosed):
			return err
		default: // such as a packet that the device could not cut
			failures++
			e.drops.add(dropTunRead)
			e.warn("reading from the TUN device failed", err)
		}
	}
	return fmt.Errorf("%d errors in a row", maxReadErrors)
}

// receive takes the peers' packets from an outer socket. It always ends with an error.
func (e *Engine) receive(i int) error {
	w := newWorker(e, e.queues[i%len(e.queues)], i)
	for failures := 0; failures < maxReadErrors; {
		ps, err := e.underlay.Receive(i)
		switch {
		case err == nil:
			failures = 0
		case errors.Is(err, os.ErrClosed):
			return err
		default: // such as no memory just now
			failures++
			e.drops.add(dropReceive)
			e.warn("receiving from the peers failed", err)
		}
		began, wait := e.now(), time.Duration(-1)
		if len(ps) > 0 && ps[0].Arrived != 0 {
			wait = max(0, time.Duration(began.UnixNano()-ps[0].Arrived))
		}
		w.fromPeers(ps)
		e.receivers[i].batch(len(ps), e.now().Sub(began), wait)
		w.yield()
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

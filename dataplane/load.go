package dataplane

import (
	"fmt"
	"sync/atomic"
	"time"
)

// A Load is how busy a worker of the data plane is, and how long packets wait for it.
type Load struct {
	Worker           string // "TUN queue 0", "receiver 2", "owner 1"
	Batches, Packets uint64
	// Busy is how long a batch takes, and Wait how long its oldest packet has waited before: in the
	// socket for a receiver, for the tunnel's turn for what an owner was given by Inject. A moving
	// average over some 16 batches, and the most since Loads was last called. Wait is 0 where it is
	// not known: a TUN device does not tell, a socket only with timestamps.
	Busy, MaxBusy, Wait, MaxWait time.Duration
}

// A meter is what a worker counts for its Load. It alone stores, once a batch.
type meter struct {
	batches, packets atomic.Uint64
	busy, wait       atomic.Int64
	maxBusy, maxWait atomic.Int64
}

// batch counts one batch. wait is negative if it is not known.
func (m *meter) batch(packets int, busy, wait time.Duration) {
	m.batches.Store(m.batches.Load() + 1)
	m.packets.Store(m.packets.Load() + uint64(packets)) //nolint:gosec // G115: a length
	smooth(&m.busy, &m.maxBusy, busy)
	if wait >= 0 {
		smooth(&m.wait, &m.maxWait, wait)
	}
}

func smooth(mean, most *atomic.Int64, d time.Duration) {
	old := mean.Load()
	mean.Store(old + (int64(d)-old)/16)
	if int64(d) > most.Load() {
		most.Store(int64(d))
	}
}

func (m *meter) load(format string, i int) Load {
	return Load{
		Worker: fmt.Sprintf(format, i), Batches: m.batches.Load(), Packets: m.packets.Load(),
		Busy: time.Duration(m.busy.Load()), MaxBusy: time.Duration(m.maxBusy.Swap(0)),
		Wait: time.Duration(m.wait.Load()), MaxWait: time.Duration(m.maxWait.Swap(0)),
	}
}

// Loads tells of every worker: the readers of TUN queues, the receivers, the owners of tunnels.
func (e *Engine) Loads() []Load {
	var all []Load
	for i := range e.readers {
		all = append(all, e.readers[i].load("TUN queue %d", i))
	}
	for i := range e.receivers {
		all = append(all, e.receivers[i].load("receiver %d", i))
	}
	for i, o := range e.owners {
		all = append(all, o.meter.load("owner %d", i))
	}
	return all
}

package tun

import (
	"errors"
	"os"
	"sync"

	"meshrouter/dataplane/segment"
)

// plainCalls are the calls that move plain packets, made of those that move large ones.
type plainCalls struct {
	q *kernelQueue

	read []segment.Packet // what Read has not returned yet
	cut  segment.Cutter   // of read[0], if next is not 0
	next int

	writing sync.Mutex
	merger  segment.Merger
}

func (c *plainCalls) BatchSize() int { return 128 }

func (c *plainCalls) Read(bufs [][]byte, sizes []int, offset int) (n int, err error) {
	if len(c.read) == 0 {
		if c.read, err = c.q.ReadPackets(); err != nil {
			return 0, err
		}
	}
	for n < len(bufs) && len(c.read) > 0 {
		if c.next == 0 {
			if err := c.read[0].Cut(&c.cut); err != nil {
				c.read = c.read[1:]
				return n, err
			}
		}
		sizes[n] = c.cut.Size(c.next)
		c.cut.Put(c.next, bufs[n][offset:offset+sizes[n]])
		n++
		if c.next++; c.next == c.cut.Len() {
			c.read, c.next = c.read[1:], 0
		}
	}
	return n, nil
}

func (c *plainCalls) Write(bufs [][]byte, offset int) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.merger.Reset()
	c.merger.TCP, c.merger.UDP = c.q.Offloads()
	for _, b := range bufs {
		c.merger.Add(b[offset:])
	}
	var errs error
	written := 0
	for gs := c.merger.Groups(); len(gs) > 0; {
		n, err := c.q.WriteGroups(gs)
		written += n
		if err == nil {
			break
		}
		if errors.Is(err, os.ErrClosed) {
			return written, err
		}
		errs = errors.Join(errs, err)
		gs = gs[n+1:]
	}
	return written, errs
}

//go:build linux || darwin

package tun

import (
	"errors"
	"io"
	"os"
)

// A plainQueue moves one packet a call.
type plainQueue struct{ dev io.ReadWriteCloser }

func (q *plainQueue) BatchSize() int { return 1 }
func (q *plainQueue) Close() error   { return q.dev.Close() }

func (q *plainQueue) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	n, err := q.dev.Read(bufs[0][offset:])
	if err != nil {
		return 0, err
	}
	sizes[0] = n
	return 1, nil
}

// Write goes on after a packet that the kernel refuses, as the other backend does.
func (q *plainQueue) Write(bufs [][]byte, offset int) (int, error) {
	written := 0
	var errs error
	for _, b := range bufs {
		if _, err := q.dev.Write(b[offset:]); err != nil {
			if errors.Is(err, os.ErrClosed) {
				return written, err
			}
			errs = errors.Join(errs, err)
			continue
		}
		written++
	}
	return written, errs
}

//go:build !linux

package bench

import (
	"context"
	"fmt"
	"runtime"
)

func tunnelPossible() error {
	return fmt.Errorf("it %w: it is made of Linux network namespaces, and this is %s; the parts crypto, spf, ike and scale run everywhere", ErrUnsupported, runtime.GOOS)
}

func (r *run) tunnel(context.Context) error { return tunnelPossible() }

func lockRunDir() (unlock func() error, err error) { return nil, tunnelPossible() }

func (r *run) profile(context.Context) error { return tunnelPossible() }

//go:build !linux

package lab

import (
	"context"
	"errors"
	"runtime"
)

// Run reports that the lab needs Linux: it is made of network namespaces.
func Run(context.Context, Options) error {
	return errors.New("the lab is made of Linux network namespaces and does not run on " + runtime.GOOS + "; run it on a Linux machine: make lab")
}

//go:build openbsd || freebsd

package tun

import (
	"errors"
	"fmt"
)

func open(cfg Config) (*Device, error) {
	switch {
	case cfg.Backend != Native:
		return nil, fmt.Errorf("backend %q is missing on this system, want %s", cfg.Backend, Native)
	case cfg.Persist:
		return nil, errors.New("persistent devices are missing on this system")
	case cfg.Queues > 1:
		return nil, errors.New("several queues are missing on this system")
	}
	return openNative(cfg.Name, cfg.MTU)
}

func remove(string) error { return nil } // nothing persists here

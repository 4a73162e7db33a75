package tun

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/songgao/water"
	"golang.org/x/sys/unix"
)

func open(cfg Config) (*Device, error) {
	switch {
	case cfg.Persist:
		return nil, errors.New("persistent devices are missing on this system")
	case cfg.Queues > 1:
		return nil, errors.New("several queues are missing on this system")
	}
	switch cfg.Backend {
	case Native:
		return openNative(cmp.Or(cfg.Name, "utun"), cfg.MTU)
	case Water:
		return openWater(cfg)
	default:
		return nil, fmt.Errorf("unknown backend %q, want %s or %s", cfg.Backend, Native, Water)
	}
}

func openWater(cfg Config) (*Device, error) {
	ifce, err := water.New(water.Config{
		DeviceType:             water.TUN,
		PlatformSpecificParams: water.PlatformSpecificParams{Name: cfg.Name},
	})
	if err != nil {
		return nil, err
	}
	d := &Device{name: ifce.Name(), mtu: cfg.MTU, queues: []Queue{newSimpleQueue(&plainQueue{dev: ifce})}, offloads: noOffloads("this system has none")}
	if err := setMTU(d.name, cfg.MTU); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func setMTU(name string, mtu int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	ifr := unix.IfreqMTU{MTU: int32(mtu)} //nolint:gosec // Open has checked that mtu is at most 65535
	copy(ifr.Name[:], name)
	return errors.Join(unix.IoctlSetIfreqMTU(fd, &ifr), unix.Close(fd))
}

func remove(string) error { return nil } // nothing persists here

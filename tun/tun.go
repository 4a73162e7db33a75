package tun

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"meshrouter/dataplane/segment"
)

// The backends.
const (
	Native    = "native"    // our own on Linux, with segmentation offloads; golang.zx2c4.com/wireguard/tun elsewhere
	WireGuard = "wireguard" // another word for Native, from when it was that everywhere
	Water     = "water"     // github.com/songgao/water, one packet a call; Linux and macOS
)

// maxPacket is the largest IP packet, bytes.
const maxPacket = 65535

// A Queue reads and writes batches of IP packets. One goroutine reads; any number may call Write.
//
// Read waits for a packet and returns it with those that can be had without waiting. They and their
// memory are the caller's until its next call. Write sends n groups; an error is about gs[n], and the
// caller may go on behind it. It keeps nothing. Offloads says whether packets that stand for many are read
// and may be written; without any, every packet that is read is complete, and every one written must be. An
// error that is os.ErrClosed ends the queue.
type Queue interface {
	Read() ([]segment.Packet, error)
	Write(gs []segment.Group) (n int, err error)
	Offloads() (tcp, udp bool)
	Close() error
}

// Config says which device to open.
type Config struct {
	Name    string // empty: the system chooses
	MTU     int    // bytes; 0: 1500
	Backend string // Native (the default) or Water
	Persist bool   // keep the device when the process ends; Linux only
	Queues  int    // 0: one; more need Linux and its own backend
	Offload Switch // of segmentation offloads, which Linux's own backend has
}

// A Switch says whether something is used where the system has it.
type Switch uint8

// The positions of a Switch.
const (
	Auto Switch = iota // used where the system has it
	Off
)

// An Offload is one of the ways to pass large packets, as it came out.
type Offload struct {
	Name   string // tun-tcp: TCP segmentation both ways; tun-udp: UDP
	On     bool
	Reason string // why it is off
}

const (
	offloadTCP, offloadUDP = "tun-tcp", "tun-udp"
	switchedOff            = "switched off"
)

// noOffloads are a device's offloads where the backend has none.
func noOffloads(reason string) []Offload {
	return []Offload{{Name: offloadTCP, Reason: reason}, {Name: offloadUDP, Reason: reason}}
}

// A Device is an open TUN device.
type Device struct {
	name     string
	mtu      int
	queues   []Queue
	offloads []Offload
	delete   func() error // ends the persistence; nil where the device goes with its descriptor

	closeOnce sync.Once
	closeErr  error
}

// Open opens the device, creating it if necessary. A persistent device that an earlier process left
// is taken over with its addresses and routes.
func Open(cfg Config) (*Device, error) {
	if cfg.MTU == 0 {
		cfg.MTU = 1500
	}
	if cfg.Queues == 0 {
		cfg.Queues = 1
	}
	if cfg.Backend == "" || cfg.Backend == WireGuard {
		cfg.Backend = Native
	}
	if cfg.MTU < 576 || cfg.MTU > 65535 {
		return nil, fmt.Errorf("tun: MTU is %d, want 576 to 65535", cfg.MTU)
	}
	if cfg.Queues < 1 || cfg.Queues > 256 {
		return nil, fmt.Errorf("tun: %d queues, want 1 to 256", cfg.Queues)
	}
	d, err := open(cfg)
	if err != nil {
		return nil, fmt.Errorf("tun: device %q: %w", cfg.Name, err)
	}
	return d, nil
}

// Name is the device's name as the system knows it.
func (d *Device) Name() string { return d.name }

// MTU is the MTU that the device was given, bytes.
func (d *Device) MTU() int { return d.mtu }

// Queues are the device's queues; at least one.
func (d *Device) Queues() []Queue { return d.queues }

// Offloads says which offloads are in use, and why others are not.
func (d *Device) Offloads() []Offload { return d.offloads }

// Close closes all queues that are still open. A persistent device stays, with its routes.
func (d *Device) Close() error {
	d.closeOnce.Do(func() {
		var errs []error
		for _, q := range d.queues {
			if err := q.Close(); !errors.Is(err, os.ErrClosed) {
				errs = append(errs, err)
			}
		}
		d.closeErr = errors.Join(errs...)
	})
	return d.closeErr
}

// Remove removes a persistent device that no process has open, and its routes with it. One that is not
// there is no error.
func Remove(name string) error {
	if err := remove(name); err != nil {
		return fmt.Errorf("tun: device %q: %w", name, err)
	}
	return nil
}

// Delete removes the device, persistent or not, and its routes with it. It closes the queues, if that
// has not been done.
func (d *Device) Delete() error {
	var err error
	if d.delete != nil {
		err = d.delete()
	}
	return errors.Join(err, d.Close())
}

//go:build !linux

package underlay

import (
	"fmt"
	"net/netip"
	"runtime"

	"meshrouter/dataplane/esp"
)

// Sockets cannot be opened on this system.
type Sockets struct{ never struct{} }

func missing() error {
	return fmt.Errorf("underlay: the sockets for ESP and IKE are missing on %s", runtime.GOOS)
}

// Open says that the sockets are missing on this system.
func Open(netip.Addr) (*Sockets, error) { return nil, missing() }

// Receivers is 0.
func (s *Sockets) Receivers() int { return 0 }

// Local is the zero address.
func (s *Sockets) Local() netip.Addr { return netip.Addr{} }

// Open says that the sockets are missing on this system.
func (o Options) Open(netip.Addr) (*Sockets, error) { return nil, missing() }

// Offloads is empty.
func (s *Sockets) Offloads() []Offload { return nil }

// Receive fails.
func (s *Sockets) Receive(int) ([]Packet, error) { return nil, missing() }

// Control is false.
func (s *Sockets) Control(int) bool { return false }

// SendProbe fails.
func (s *Sockets) SendProbe(esp.Sealed) error { return missing() }

// Counters is zero.
func (s *Sockets) Counters() Counters { return Counters{} }

// Drops has nothing to tell.
func (s *Sockets) Drops(func(reason string, n uint64)) {}

// Send fails.
func (s *Sockets) Send([]esp.Sealed) (int, error) { return 0, missing() }

// SendIKE fails.
func (s *Sockets) SendIKE(Datagram) error { return missing() }

// SendKeepalive fails.
func (s *Sockets) SendKeepalive(netip.AddrPort) error { return missing() }

// Close does nothing.
func (s *Sockets) Close() error { return nil }

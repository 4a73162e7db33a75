//go:build !linux

package ring

import (
	"fmt"
	"net/netip"
	"runtime"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/underlay/ether"
)

// A Path cannot be opened on this system.
type Path struct{ never struct{} }

func missing() error { return fmt.Errorf("ring: packet rings are missing on %s", runtime.GOOS) }

// Open says that packet rings are missing on this system.
func Open(netip.Addr) (*Path, error) { return nil, missing() }

// Receivers is 0.
func (p *Path) Receivers() int { return 0 }

// Receive fails.
func (p *Path) Receive(int) ([]ether.Packet, error) { return nil, missing() }

// Send leaves everything.
func (p *Path) Send(ps, rest []esp.Sealed) (n int, left []esp.Sealed, err error) {
	return 0, append(rest, ps...), nil
}

// Describe says that packet rings are missing.
func (p *Path) Describe() string { return missing().Error() }

// Drops has nothing to tell.
func (p *Path) Drops(func(reason string, n uint64)) {}

// Close does nothing.
func (p *Path) Close() error { return nil }

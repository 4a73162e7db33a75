//go:build !linux && !openbsd && !freebsd && !netbsd && !darwin

package state

import (
	"fmt"
	"net/netip"
	"runtime"
)

// The bounds of a blob and its name, bytes.
const (
	MaxBlob = 4096
	MaxName = 255
)

// Options changes how a file is opened.
type Options struct{ BootID string }

// A Key names the counters of an SA.
type Key struct {
	Dir    byte
	SPI    uint32
	Remote netip.Addr
}

// A File cannot be opened on this system.
type File struct{ never struct{} }

func unsupported() error {
	return fmt.Errorf("state file: mapped files are missing on %s", runtime.GOOS)
}

// Open says that the state file is missing on this system.
func Open(string, Options) (*File, error) { return nil, unsupported() }

// Resumed is false.
func (f *File) Resumed() bool { return false }

// Remarks is empty.
func (f *File) Remarks() []string { return nil }

// Path is empty.
func (f *File) Path() string { return "" }

// Sequence is 0.
func (f *File) Sequence() uint32 { return 0 }

// SetSequence does nothing.
func (f *File) SetSequence(uint32) {}

// Counters fails.
func (f *File) Counters(byte, uint32, netip.Addr) ([]byte, error) { return nil, unsupported() }

// Lookup finds nothing.
func (f *File) Lookup(byte, uint32, netip.Addr) ([]byte, bool) { return nil, false }

// Release does nothing.
func (f *File) Release(byte, uint32, netip.Addr) {}

// Keys is empty.
func (f *File) Keys() []Key { return nil }

// PutBlob fails.
func (f *File) PutBlob(string, []byte) error { return unsupported() }

// Blobs is empty.
func (f *File) Blobs() map[string][]byte { return nil }

// Close does nothing.
func (f *File) Close() error { return nil }

// Remove does nothing.
func (f *File) Remove() error { return nil }

// InMemory is false: nobody has found out yet how to ask this system.
func InMemory(string) bool { return false }

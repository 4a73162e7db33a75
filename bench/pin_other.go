//go:build !linux

package bench

// holdToOneCore does nothing where a thread cannot be held to a core.
func holdToOneCore() (release func()) { return func() {} }

//go:build !amd64

package hmacs

// A method is a way to compute one hash: here the standard library.
type method struct{}

func (method) String() string { return "portable" }

func (method) sum(h Hash, ops []Op, _ int) { sumPortable(h, ops) }

func best() *implementation { return new(implementation) }

// available lists the implementations that this machine has.
func available() []*implementation { return []*implementation{best()} }

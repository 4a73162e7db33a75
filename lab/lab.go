package lab

import (
	"errors"
	"io"
)

// Options says what to run and how to show it. The zero value runs the embedded triangle.
type Options struct {
	// Mesh is the mesh file; empty means the embedded examples/triangle.yaml. Its secrets file is
	// neither needed nor read: each run makes secrets of its own.
	Mesh string
	// Binary is the meshrouter that runs at the sites; empty means this executable.
	Binary string
	// JSON writes one Report to Stdout; progress goes to Stderr then.
	JSON bool
	// Keep leaves the lab running after its last stage until the context ends, and prints how to
	// look around.
	Keep bool
	// Down stops the runs that Keep holds and cleans up after killed ones, and does nothing else.
	Down bool
	// Save is a directory that gets logs, capture and keys before cleanup removes them; empty: none.
	Save string
	// Verbose lets the routers log at debug level and shows what is waited for.
	Verbose bool
	// Sabotage is the name of a Fault to build in: the run must then fail in that fault's stage.
	Sabotage string

	Stdout, Stderr io.Writer // nil: discard
}

// ErrNotRoot is returned, with nothing changed, when the lab may not make network namespaces.
var ErrNotRoot = errors.New("the lab needs root for network namespaces; run: sudo meshrouter lab (or: make lab)")

// A StageError says which stage did not hold. The report has the same text as its detail.
type StageError struct {
	Stage string
	Err   error
}

func (e *StageError) Error() string { return "lab: " + e.Stage + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *StageError) Unwrap() error { return e.Err }

package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// The parts.
const (
	Crypto = "crypto"
	SPF    = "spf"
	IKE    = "ike"
	Tunnel = "tunnel"
)

// Parts lists the names of all parts, in the order in which they run.
func Parts() []string { return []string{Crypto, SPF, IKE, Tunnel} }

// Options says what to measure and how to show it. The zero value measures everything at length.
type Options struct {
	Parts  []string // names of Parts, once each; empty: all
	Quick  bool     // all four parts within 50 seconds, of fewer and shorter rounds
	JSON   bool     // write one Document to Stdout; else tables
	Binary string   // the meshrouter that runs at the two sites; empty: this executable
	// Version is that of the program, for the document.
	Version        string
	Stdout, Stderr io.Writer // figures and progress; nil: discard
}

// ErrUnsupported is wrapped by the error that says what a part lacks on this machine; nothing was
// measured then.
var ErrUnsupported = errors.New("cannot be measured here")

// A pace is how much time a part takes.
type pace struct {
	quick, full           time.Duration // for all rounds
	quickSlice, fullSlice time.Duration // for one entry in one round
}

const (
	leastRounds = 3
	fullRounds  = 15
)

// plan turns a pace into rounds; what a part prepares before its rounds comes on top.
func (p pace) plan(quick bool) rounds {
	if quick {
		return rounds{budget: p.quick, slice: p.quickSlice, least: leastRounds, most: fullRounds}
	}
	return rounds{budget: p.full, slice: p.fullSlice, least: fullRounds, most: fullRounds}
}

// A run is one call of Run.
type run struct {
	Options
	doc *Document
}

// say writes a line of progress.
func (r *run) say(format string, args ...any) {
	_, _ = fmt.Fprintf(r.Stderr, format+"\n", args...)
}

// Run measures the parts and writes the figures. What a part lacks is found before any is measured.
func Run(ctx context.Context, o Options) error {
	o.Stdout, o.Stderr = cmp.Or[io.Writer](o.Stdout, io.Discard), cmp.Or[io.Writer](o.Stderr, io.Discard)
	if len(o.Parts) == 0 {
		o.Parts = Parts()
	}
	for _, p := range o.Parts {
		if !slices.Contains(Parts(), p) {
			return fmt.Errorf("there is no part %q: there are %v", p, Parts())
		}
	}
	if slices.Contains(o.Parts, Tunnel) {
		if err := tunnelPossible(); err != nil {
			return fmt.Errorf("bench %s: %w", Tunnel, err)
		}
	}
	before := readTicks()
	begun := time.Now()
	r := &run{Options: o, doc: newDocument(begun, o)}
	parts := map[string]func(context.Context) error{Crypto: r.crypto, SPF: r.spf, IKE: r.ike, Tunnel: r.tunnel}
	for _, p := range Parts() {
		if !slices.Contains(o.Parts, p) {
			continue
		}
		r.say("%s:", p)
		if err := parts[p](ctx); ctx.Err() != nil {
			return fmt.Errorf("bench %s: interrupted", p) // what else went wrong followed from that
		} else if err != nil {
			return fmt.Errorf("bench %s: %w", p, err)
		}
	}
	r.doc.Seconds = digits(time.Since(begun).Seconds())
	r.doc.measured(before, readTicks())
	if !o.JSON {
		r.doc.Table(o.Stdout)
		return nil
	}
	b, err := json.MarshalIndent(r.doc, "", "  ")
	if err != nil {
		return err
	}
	_, err = o.Stdout.Write(append(b, '\n'))
	return err
}

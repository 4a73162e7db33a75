package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// The parts.
const (
	Crypto    = "crypto"
	SPF       = "spf"
	IKE       = "ike"
	ScaleTo   = "scale"
	Tunnel    = "tunnel"
	Profiling = "profile"
)

// Parts lists the names of all parts, in the order in which they run. Profiling slows what it looks at,
// so it runs only when it is named.
func Parts() []string { return append(defaultParts(), Profiling) }

func defaultParts() []string { return []string{Crypto, SPF, IKE, ScaleTo, Tunnel} }

// Options says what to measure and how to show it. The zero value measures everything at length.
type Options struct {
	Parts  []string // names of Parts, once each; empty: all but the profile
	Quick  bool     // within 50 seconds, of fewer and shorter rounds
	JSON   bool     // write one Document to Stdout; else tables
	Binary string   // the meshrouter that runs at the two sites; empty: this executable
	Rounds int      // at most; 0: as many as Quick says
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

// quickTime is what all parts together may take with Quick, without what they prepare; a part that runs
// alone gets all of it, in longer slices and more rounds.
const quickTime = 32 * time.Second

// quickEnd is when the last round with Quick must have ended; to stop routers takes a moment more.
const quickEnd = 45 * time.Second

// plan turns a pace into rounds; what a part prepares before its rounds comes on top.
func (r *run) plan(p pace) rounds {
	most := cmp.Or(r.Rounds, fullRounds)
	if r.Quick {
		stretch := float64(quickTime) / float64(r.quickTotal)
		return rounds{budget: time.Duration(float64(p.quick) * stretch), slice: p.quickSlice, least: min(leastRounds, most), most: most, deadline: r.doc.began.Add(quickEnd)}
	}
	return rounds{budget: p.full, slice: p.fullSlice, least: most, most: most}
}

// quickTable is how Quick divides its time; a part may form several paces of its share.
var quickTable = map[string]time.Duration{
	Crypto: 6 * time.Second, SPF: 2 * time.Second, IKE: 2 * time.Second, ScaleTo: 4 * time.Second, Tunnel: 24 * time.Second,
	Profiling: 5 * time.Second,
}

// A run is one call of Run.
type run struct {
	Options
	doc        *Document
	quickTotal time.Duration // of the parts that run
}

// say writes a line of progress.
func (r *run) say(format string, args ...any) {
	_, _ = fmt.Fprintf(r.Stderr, format+"\n", args...)
}

// Run measures the parts and writes the figures. What a part lacks is found before any is measured.
func Run(ctx context.Context, o Options) (failure error) {
	o.Stdout, o.Stderr = cmp.Or[io.Writer](o.Stdout, io.Discard), cmp.Or[io.Writer](o.Stderr, io.Discard)
	if len(o.Parts) == 0 {
		o.Parts = defaultParts()
	}
	var err error
	if o.Binary == "" {
		if o.Binary, err = os.Executable(); err != nil {
			return err
		}
	}
	for _, p := range o.Parts {
		if !slices.Contains(Parts(), p) {
			return fmt.Errorf("there is no part %q: there are %v", p, Parts())
		}
	}
	for _, p := range []string{Tunnel, Profiling} {
		if !slices.Contains(o.Parts, p) {
			continue
		}
		if err := tunnelPossible(); err != nil {
			return fmt.Errorf("bench %s: %w", p, err)
		}
		unlock, err := lockRunDir()
		if err != nil {
			return fmt.Errorf("bench %s: %w", p, err)
		}
		defer func() { failure = errors.Join(failure, unlock()) }()
		break
	}
	before := readTicks()
	begun := time.Now()
	r := &run{Options: o, doc: newDocument(begun, o)}
	for _, p := range o.Parts {
		r.quickTotal += quickTable[p]
	}
	parts := map[string]func(context.Context) error{
		Crypto: r.crypto, SPF: r.spf, IKE: r.ike, ScaleTo: r.scale, Tunnel: r.tunnel, Profiling: r.profile,
	}
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

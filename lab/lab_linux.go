package lab

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"meshrouter/mesh"
)

// A lab is one run.
type lab struct {
	o        Options
	show     *progress
	report   Report
	config   config
	inv      *mesh.Inventory
	dir      *runDir
	spawner  *spawner
	internet *internet
	sites    []*site // by number
	capture  *capture
	marker   marker
	pings    uint64  // number of the last echo request of the stage ping
	stream   *stream // runs over cut and mend
	cut      crossing
	cutAt    int // number of the first probe that was sent after the cut
	direct   probe
	faults   []func() // what ends the faults that were built in
}

// A step is a stage to run.
type step struct {
	name  string
	limit time.Duration // plus a share for each link
	run   func(context.Context) (detail string, err error)
}

// steps are the stages before cleanup, in order.
func (l *lab) steps() []step {
	return []step{
		{"netns", 20 * time.Second, l.stageNetns},
		{"ike", 30 * time.Second, l.stageIKE},
		{"esp", 20 * time.Second, l.stageESP},
		{"gre", 15 * time.Second, l.stageGRE},
		{"ospf", 60 * time.Second, l.stageOSPF},
		{"ping", 30 * time.Second, l.stagePing},
		{"wire", 60 * time.Second, l.stageWire},
		{"cut", 30 * time.Second, l.stageCut},
		{"mend", 60 * time.Second, l.stageMend},
	}
}

const (
	perLink      = 500 * time.Millisecond // more time for each link of a large mesh
	faultTime    = 12 * time.Second       // enough for the stage that a fault is to fail
	cleanupLimit = 30 * time.Second
)

// Run runs the lab and cleans up after itself, whatever happens. It returns nil only if every stage
// held. It needs root. Cancelling the context ends the run early and in order.
func Run(ctx context.Context, o Options) error {
	o.Stdout, o.Stderr = cmp.Or[io.Writer](o.Stdout, io.Discard), cmp.Or[io.Writer](o.Stderr, io.Discard)
	if os.Geteuid() != 0 {
		return ErrNotRoot
	}
	if o.Down {
		return down(ctx, o)
	}
	l, err := newLab(o)
	if err != nil {
		return err
	}
	if err := l.open(ctx); err != nil {
		return errors.Join(err, l.close(context.WithoutCancel(ctx)))
	}
	failure := l.runStages(ctx)
	if failure == nil && !o.JSON {
		l.tables(ctx)
	}
	if failure != nil {
		l.logTails(failure)
	}
	if o.Keep && ctx.Err() == nil {
		l.dir.record.Kept = true
		if err := l.dir.save(); err != nil {
			return errors.Join(failure, err, l.close(context.WithoutCancel(ctx)))
		}
		l.howToLookAround()
		<-ctx.Done()
	}
	if err := l.runStage(context.WithoutCancel(ctx), step{"cleanup", cleanupLimit, l.stageCleanup}); failure == nil {
		failure = err
	}
	return errors.Join(failure, l.publish(failure))
}

// down is `meshrouter lab --down`.
func down(ctx context.Context, o Options) error {
	ctx, cancel := context.WithTimeout(ctx, 2*cleanupLimit)
	defer cancel()
	found, err := stopRuns(ctx, func(record) bool { return true })
	if err == nil {
		var more []string
		more, err = clearLeftovers(ctx)
		found = append(found, more...)
	}
	for _, f := range found {
		_, _ = fmt.Fprintln(o.Stdout, f)
	}
	if len(found) == 0 && err == nil {
		_, _ = fmt.Fprintln(o.Stdout, "no lab is kept, and none has left anything behind")
	}
	return err
}

// newLab checks everything that can be checked before anything is made.
func newLab(o Options) (*lab, error) {
	if o.Sabotage != "" {
		if _, ok := faultNamed(o.Sabotage); !ok {
			var names []string
			for _, f := range faultTable {
				names = append(names, f.Name)
			}
			return nil, fmt.Errorf("no fault %q: there are %s", o.Sabotage, strings.Join(names, ", "))
		}
	}
	if o.Binary == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		o.Binary = self
	}
	name, src, err := readMesh(o)
	if err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp("", "meshrouter-lab")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch) //nolint:errcheck // empty
	l := &lab{o: o}
	if l.config, l.inv, err = newConfig(name, src, scratch); err != nil {
		return nil, err
	}
	out := o.Stdout
	if o.JSON {
		out = o.Stderr
	}
	l.show = newProgress(out, o.Verbose)
	l.report = Report{Mesh: l.inv.Name, Sites: len(l.inv.Sites), Links: len(l.inv.Links), Stages: []Stage{}, Fault: o.Sabotage}
	return l, nil
}

// open clears what killed runs left, and makes the run's directory.
func (l *lab) open(ctx context.Context) error {
	found, err := clearLeftovers(ctx)
	if err != nil {
		return fmt.Errorf("clear what a killed run left: %w", err)
	}
	for _, f := range found {
		l.show.say("cleared what a killed lab left: %s\n", f)
	}
	if l.dir, err = newRunDir(l.inv.Name); err != nil {
		return err
	}
	l.spawner = newSpawner()
	l.marker = marker([]byte(randomText(len(l.marker))))
	l.show.say("mesh %s: %d sites, %d links; run %s\n", l.inv.Name, len(l.inv.Sites), len(l.inv.Links), l.dir.record.ID)
	return nil
}

// runStages runs the stages until one does not hold.
func (l *lab) runStages(ctx context.Context) error {
	for _, s := range l.steps() {
		if err := l.runStage(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// runStage runs one stage within its time and reports it.
func (l *lab) runStage(ctx context.Context, s step) error {
	limit := s.limit + time.Duration(len(l.inv.Links))*perLink
	if f, ok := faultNamed(l.o.Sabotage); ok && f.Stage == s.name && s.name != "cleanup" {
		limit = min(limit, faultTime)
	}
	stageCtx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	l.show.begin(s.name)
	begun := time.Now()
	detail, err := s.run(stageCtx)
	stage := Stage{Name: s.name, OK: err == nil, Seconds: time.Since(begun).Seconds(), Detail: detail}
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("interrupted: %w", err)
		}
		err = &StageError{s.name, err}
		stage.Detail = errors.Unwrap(err).Error()
		l.report.Failed = cmp.Or(l.report.Failed, s.name)
	}
	l.report.Stages = append(l.report.Stages, stage)
	l.show.end(stage)
	return err
}

// publish writes the report.
func (l *lab) publish(failure error) error {
	l.report.OK = failure == nil
	if !l.o.JSON {
		return nil
	}
	b, err := json.MarshalIndent(l.report, "", "  ")
	if err != nil {
		return err
	}
	_, err = l.o.Stdout.Write(append(b, '\n'))
	return err
}

// until polls until the condition is nil. It gives up when the context ends, or at once when a
// router has ended, and then says what was still missing.
func (l *lab) until(ctx context.Context, condition func(context.Context) error) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	begun := time.Now()
	var missing error
	for {
		err := condition(ctx)
		if err == nil {
			return nil
		}
		if missing == nil || ctx.Err() == nil { // else it is about the end of the time, not about what is missing
			missing = err
		}
		for _, s := range l.sites {
			if s.router != nil {
				if gone := s.router.running(); gone != nil {
					s.router.missed = true
					return gone
				}
			}
		}
		if ctx.Err() == nil {
			l.show.wait(err.Error())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %.1f s: %w", time.Since(begun).Seconds(), missing)
		case <-tick.C:
		}
	}
}

// logTails prints the end of each router's log when a stage has failed.
func (l *lab) logTails(failure error) {
	var stage *StageError
	if errors.As(failure, &stage) && errors.Is(stage.Err, context.Canceled) {
		return
	}
	for _, s := range l.sites {
		if s.router != nil {
			l.show.say("  last lines of %s:%s\n", s.Name, s.router.tail())
		}
	}
}

// stageCleanup takes everything away and verifies that nothing is left.
func (l *lab) stageCleanup(ctx context.Context) (string, error) {
	routers, namespaces := 0, len(l.dir.record.namespaces())
	for _, s := range l.sites {
		if s.router != nil {
			routers++
		}
	}
	if err := l.close(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d routers stopped in order, %d namespaces deleted, nothing left", routers, namespaces), nil
}

// close ends everything of the run, in order, as far as it exists. It goes on after an error.
func (l *lab) close(ctx context.Context) error {
	if l.dir == nil {
		return nil
	}
	for _, end := range l.faults {
		end()
	}
	if l.stream != nil {
		l.stream.halt(ctx)
		l.stream = nil
	}
	errs := []error{l.stopRouters(ctx)}
	if l.capture != nil {
		errs = append(errs, l.capture.close())
	}
	if l.spawner != nil {
		l.spawner.close()
	}
	if l.o.Save != "" {
		errs = append(errs, l.save())
	}
	errs = append(errs, l.deleteNamespaces())
	rec := l.dir.record
	if l.o.Sabotage == leftover {
		if ns, err := newNamespace(l.dir.namespace("leftover")); err == nil {
			errs = append(errs, l.verifyClean(), ns.delete())
		}
	} else {
		errs = append(errs, l.verifyClean())
	}
	errs = append(errs, rec.remove(ctx))
	if _, err := os.Stat(l.dir.path); err == nil {
		errs = append(errs, fmt.Errorf("%s is still there", l.dir.path))
	}
	return errors.Join(errs...)
}

// stopRouters asks all routers to end and checks that each has taken its device and routes away.
func (l *lab) stopRouters(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, cleanupLimit/2)
	defer cancel()
	results := make(chan error, len(l.sites))
	for _, s := range l.sites {
		go func() { results <- s.stopRouter(ctx) }() // all are waited for below
	}
	var errs []error
	for range l.sites {
		errs = append(errs, <-results)
	}
	return errors.Join(errs...)
}

// stopRouter ends one router, by force if it must be.
func (s *site) stopRouter(ctx context.Context) error {
	r := s.router
	if r == nil || r.cmd == nil || r.cmd.Process == nil {
		return nil
	}
	if gone := r.running(); gone != nil {
		if r.missed {
			return nil
		}
		return fmt.Errorf("%w%s", gone, r.lastWords())
	}
	if err := r.signal(ctx, unix.SIGTERM); err != nil {
		return errors.Join(err, r.signal(context.WithoutCancel(ctx), unix.SIGKILL))
	}
	if r.waitErr != nil {
		return fmt.Errorf("the router of %s ended with %s%s", s.Name, exitText(r.waitErr), r.lastWords())
	}
	if _, err := s.ns.nl.LinkByName(s.TUN); err == nil {
		return fmt.Errorf("the router of %s has left its device %s behind", s.Name, s.TUN)
	}
	for _, path := range []string{r.socket, r.state} {
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("the router of %s has left %s behind", s.Name, path)
		}
	}
	return nil
}

func (l *lab) deleteNamespaces() error {
	var errs []error
	for _, s := range l.sites {
		if s.host != nil {
			errs = append(errs, s.host.ns.delete())
		}
		errs = append(errs, s.ns.delete())
	}
	if l.internet != nil {
		errs = append(errs, l.internet.ns.delete())
	}
	return errors.Join(errs...)
}

// verifyClean is an error when a process or a namespace of the run is left.
func (l *lab) verifyClean() error {
	var left []string
	for _, name := range l.dir.record.namespaces() {
		left = append(left, "namespace "+name)
	}
	for _, p := range l.dir.record.alive() {
		left = append(left, fmt.Sprintf("process %d of %s", p.PID, p.Site))
	}
	if len(left) > 0 {
		return fmt.Errorf("left behind: %s", strings.Join(left, ", "))
	}
	return nil
}

// save copies what a look afterwards needs. Secrets are left out, session keys are not.
func (l *lab) save() error {
	if err := os.MkdirAll(l.o.Save, 0o700); err != nil {
		return err
	}
	return filepath.WalkDir(l.dir.path, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(l.dir.path, path)
		if err != nil {
			return err
		}
		target := filepath.Join(l.o.Save, rel)
		switch {
		case d.IsDir():
			return os.MkdirAll(target, 0o700)
		case !d.Type().IsRegular() || d.Name() == secretsName:
			return nil
		}
		b, err := os.ReadFile(path) //nolint:gosec // below our own directory
		if err != nil {
			return err
		}
		return os.WriteFile(target, b, 0o600) //nolint:gosec // where the operator wants it
	})
}

// howToLookAround prints commands for a lab that is kept.
func (l *lab) howToLookAround() {
	s := l.sites[0]
	for _, other := range l.sites {
		if other.router != nil && other.host != nil {
			s = other
			break
		}
	}
	l.show.say("\nThe lab stays until Ctrl-C or: %s lab --down\n", l.o.Binary)
	l.show.say("  namespaces    ip netns list | grep %s\n", l.dir.record.prefix())
	l.show.say("  a shell       ip netns exec %s bash\n", s.ns.name)
	if s.router != nil {
		l.show.say("  its router    %s show neighbor --socket %s\n", l.o.Binary, s.router.socket)
		l.show.say("  its log       tail -f %s\n", s.router.logFile)
	}
	for _, other := range l.sites {
		if s.host != nil && other != s && other.host != nil {
			l.show.say("  a ping        ip netns exec %s ping %s\n", s.host.ns.name, other.host.addr)
			break
		}
	}
	if l.internet != nil {
		l.show.say("  the wire      ip netns exec %s tcpdump -ni any\n", l.internet.ns.name)
	}
	if l.capture != nil && s.router != nil {
		l.show.say("  its packets   WIRESHARK_CONFIG_DIR=%s tshark -r %s\n", s.router.keylog, l.capture.path)
	}
	l.show.say("\n")
}

// addresses is the set of the sites' outer addresses.
func (l *lab) addresses() map[netip.Addr]bool {
	set := make(map[netip.Addr]bool)
	for _, s := range l.inv.Sites {
		set[s.Address] = true
	}
	return set
}

// sortedKeys lists the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

package lab

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// runsDir holds one directory per run, on tmpfs: it does not outlive the boot, as namespaces do not.
const runsDir = "/run/meshrouter-lab"

// A runDir is the directory of one run and the record of what the run has made. The record is
// written before a thing is made, so that a killed run never leaves something unrecorded.
type runDir struct {
	path   string
	record record
}

// A record is the file run.json. A pid alone means little: numbers are used again.
type record struct {
	ID        string    `json:"id"`
	Mesh      string    `json:"mesh"`
	Owner     process   `json:"owner"`
	Kept      bool      `json:"kept"` // all stages are done, and it stays to be looked at
	Processes []process `json:"processes"`
}

// A process is a process id and when that process started, in clock ticks since the boot.
type process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start_ticks"`
	Site  string `json:"site,omitempty"`
}

// newRunDir makes the directory of a new run.
func newRunDir(mesh string) (*runDir, error) {
	unlock, err := lockRuns()
	if err != nil {
		return nil, err
	}
	defer unlock()
	self, err := processOf(os.Getpid())
	if err != nil {
		return nil, err
	}
	for {
		id := make([]byte, 3)
		_, _ = rand.Read(id) // never fails
		d := &runDir{record: record{ID: hex.EncodeToString(id), Mesh: mesh, Owner: self}}
		d.path = filepath.Join(runsDir, d.record.ID)
		err := os.Mkdir(d.path, 0o700)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return d, d.save()
	}
}

// lockRuns keeps two runs from looking at each other half made.
func lockRuns() (unlock func(), err error) {
	if err := os.MkdirAll(runsDir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(runsDir, ".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return func() { _ = f.Close() }, nil
}

// save writes the record in one step.
func (d *runDir) save() error {
	b, err := json.MarshalIndent(d.record, "", "  ")
	if err != nil {
		return err
	}
	tmp := filepath.Join(d.path, "run.json.new")
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(d.path, "run.json"))
}

// started records a process of the run.
func (d *runDir) started(p process) error {
	d.record.Processes = append(d.record.Processes, p)
	return d.save()
}

// namespace is the name of one of the run's namespaces.
func (d *runDir) namespace(name string) string { return d.record.prefix() + name }

func (r record) prefix() string { return "mrlab-" + r.ID + "-" }

// file is a path inside the run's directory.
func (d *runDir) file(name string) string { return filepath.Join(d.path, name) }

// namespaces lists what exists of the run's namespaces.
func (r record) namespaces() []string {
	entries, _ := os.ReadDir(netnsDir) // missing: none were ever made
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), r.prefix()) {
			names = append(names, e.Name())
		}
	}
	return names
}

// alive lists the run's processes that still run.
func (r record) alive() []process {
	return slices.DeleteFunc(slices.Clone(r.Processes), func(p process) bool { return !p.alive() })
}

// readRecords returns the records of all runs, by name of their directories. A directory without a
// readable record belongs to a run that died before it made anything.
func readRecords() (map[string]record, error) {
	entries, err := os.ReadDir(runsDir)
	if err != nil {
		return nil, err
	}
	records := make(map[string]record)
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		rec := record{ID: e.Name()}
		if b, err := os.ReadFile(filepath.Join(runsDir, e.Name(), "run.json")); err == nil {
			if err := json.Unmarshal(b, &rec); err != nil || rec.ID != e.Name() {
				rec = record{ID: e.Name()}
			}
		}
		records[e.Name()] = rec
	}
	return records, nil
}

// clearLeftovers removes what killed runs left behind, says what it was, and touches nothing that
// belongs to a live one.
func clearLeftovers(ctx context.Context) (found []string, err error) {
	unlock, err := lockRuns()
	if err != nil {
		return nil, err
	}
	defer unlock()
	records, err := readRecords()
	if err != nil {
		return nil, err
	}
	for _, rec := range records {
		if rec.Owner.alive() {
			continue
		}
		processes, namespaces := len(rec.alive()), len(rec.namespaces())
		if e := rec.remove(ctx); e != nil {
			err = errors.Join(err, e)
			continue
		}
		found = append(found, fmt.Sprintf("run %s: %d processes, %d namespaces", rec.ID, processes, namespaces))
	}
	slices.Sort(found)
	return found, err
}

// remove ends the run's processes, deletes its namespaces and its directory.
func (r record) remove(ctx context.Context) error {
	var errs []error
	for _, p := range r.alive() {
		if err := p.kill(ctx); err != nil {
			errs = append(errs, err)
		}
	}
	for _, name := range r.namespaces() {
		if err := deleteNamespace(name); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 { // else the record must stay
		errs = append(errs, os.RemoveAll(filepath.Join(runsDir, r.ID)))
	}
	return errors.Join(errs...)
}

// stopRuns ends the kept runs that are wanted, as Ctrl-C would, and waits for them. A run that is
// still at work is left alone.
func stopRuns(ctx context.Context, wanted func(record) bool) (found []string, err error) {
	records, err := readRecords()
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, rec := range records {
		if !rec.Kept || !rec.Owner.alive() || !wanted(rec) {
			continue
		}
		if err := unix.Kill(rec.Owner.PID, unix.SIGTERM); err != nil {
			return found, fmt.Errorf("run %s (pid %d): %w", rec.ID, rec.Owner.PID, err)
		}
		if !poll(ctx, func() bool { return !rec.Owner.alive() }) {
			return found, fmt.Errorf("run %s (pid %d) does not end", rec.ID, rec.Owner.PID)
		}
		found = append(found, fmt.Sprintf("run %s: stopped", rec.ID))
	}
	slices.Sort(found)
	return found, nil
}

// processOf describes a running process.
func processOf(pid int) (process, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	state, start, ok := parseStat(string(b))
	if !ok || state == "Z" || state == "X" { // dead but not yet waited for
		return process{}, os.ErrProcessDone
	}
	return process{PID: pid, Start: start}, nil
}

// parseStat takes state and starttime out of /proc/PID/stat (proc_pid_stat(5), fields 3 and 22). The
// name before them, in parentheses, may hold anything.
func parseStat(s string) (state string, start uint64, ok bool) {
	fields := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
	if len(fields) < 20 {
		return "", 0, false
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	return fields[0], start, err == nil
}

// alive reports whether the very same process still runs.
func (p process) alive() bool {
	now, err := processOf(p.PID)
	return err == nil && now.Start == p.Start
}

// kill ends the process at once and waits until it is gone.
func (p process) kill(ctx context.Context) error {
	if err := unix.Kill(p.PID, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill %d: %w", p.PID, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if !poll(ctx, func() bool { return !p.alive() }) {
		return fmt.Errorf("process %d does not end", p.PID)
	}
	return nil
}

// pollInterval is how often a condition is looked at for which there is no event.
const pollInterval = 20 * time.Millisecond

// poll waits until the condition holds; false when the context ends first.
func poll(ctx context.Context, condition func() bool) bool {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		if condition() {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

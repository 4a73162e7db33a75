//go:build lab && linux

package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// builtOnce builds meshrouter once.
var builtOnce = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "meshrouter-lab-test")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "meshrouter")
	out, err := exec.Command("go", "build", "-buildvcs=false", "-o", path, "meshrouter/cmd/meshrouter").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := builtOnce(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

func built(t *testing.T) string {
	t.Helper()
	path, err := builtOnce()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs the lab as the command does and returns its report.
func run(t *testing.T, o Options) (Report, error) {
	t.Helper()
	var out bytes.Buffer
	o.JSON, o.Stdout, o.Stderr, o.Binary = true, &out, t.Output(), built(t)
	err := Run(t.Context(), o)
	var r Report
	if e := json.Unmarshal(out.Bytes(), &r); e != nil {
		t.Fatalf("%v; the document is %q, the error %v", e, out.String(), err)
	}
	return r, err
}

func stageNames(r Report) string {
	var names []string
	for _, s := range r.Stages {
		names = append(names, s.Name)
	}
	return strings.Join(names, " ")
}

const allStages = "netns ike esp gre ospf ping wire cut mend cleanup"

func TestTriangle(t *testing.T) {
	r, err := run(t, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := stageNames(r); got != allStages {
		t.Errorf("stages %q", got)
	}
	for _, s := range r.Stages {
		if !s.OK || s.Detail == "" || s.Seconds <= 0 {
			t.Errorf("stage %+v", s)
		}
	}
	if !r.OK || r.RerouteMS == nil || *r.RerouteMS <= 0 || *r.RerouteMS > 5000 || r.Lost == nil || !r.Restored || r.LostAtMend == nil || *r.LostAtMend != 0 {
		t.Errorf("report %+v", r)
	}
	if len(r.PathBefore) != 2 || len(r.PathDuring) != 3 || !slices.Equal(r.PathBefore, r.PathAfter) {
		t.Errorf("paths %v, %v, %v", r.PathBefore, r.PathDuring, r.PathAfter)
	}
}

// Each fault fails its own stage, and no other: the stages before it hold, and cleanup does.
func TestSabotage(t *testing.T) {
	built(t)
	for _, f := range Faults() {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			r, err := run(t, Options{Sabotage: f.Name})
			var stage *StageError
			if !errors.As(err, &stage) || stage.Stage != f.Stage {
				t.Errorf("error %v, want one of stage %s", err, f.Stage)
			}
			if r.OK || r.Failed != f.Stage {
				t.Errorf("ok %t, failed %q, want %s", r.OK, r.Failed, f.Stage)
			}
			upTo, _, _ := strings.Cut(allStages, f.Stage)
			want := upTo + f.Stage
			if f.Stage != "cleanup" {
				want += " cleanup"
			}
			if got := stageNames(r); got != want {
				t.Errorf("stages %q, want %q", got, want)
			}
			for _, s := range r.Stages {
				if s.OK == (s.Name == f.Stage) {
					t.Errorf("stage %s: ok %t: %s", s.Name, s.OK, s.Detail)
				}
			}
		})
	}
}

// A mesh without another path says so, and measures until the link is mended.
func TestTwoSites(t *testing.T) {
	r, err := run(t, Options{Mesh: writeMesh(t, `
mesh: pair
tunnels: 10.255.0.0/16
secrets: none.yaml
ospf: {area: 0.0.0.0, auth: {md5: {id: 1, key: $ospf}}, hello: 1s, dead: 4s}
sites:
  a: {number: 1, address: 192.0.2.1, lan: [10.1.0.0/24]}
  b: {number: 2, address: 198.51.100.2, lan: [10.2.0.0/28, 10.2.1.0/24]}
links: full
`)})
	if err != nil {
		t.Fatal(err)
	}
	if r.RerouteMS != nil || r.Lost == nil || *r.Lost < steadyProbes || !r.Restored || stageNames(r) != allStages {
		t.Errorf("report %+v", r)
	}
}

// Two hubs and two dozen sites in all.
func TestManySites(t *testing.T) {
	var sites strings.Builder
	for i := 1; i <= 24; i++ {
		fmt.Fprintf(&sites, "  s%d: {number: %d, address: 192.0.2.%d, lan: [10.%d.0.0/24]}\n", i, i, i, i)
	}
	r, err := run(t, Options{Mesh: writeMesh(t, `
mesh: many
tunnels: 10.255.0.0/16
secrets: none.yaml
ospf: {area: 0.0.0.0, auth: {md5: {id: 1, key: $ospf}}, hello: 1s, dead: 4s}
sites:
`+sites.String()+`
links: {hub: [s1, s2]}
`)})
	if err != nil {
		t.Fatal(err)
	}
	if r.Sites != 24 || r.Links != 45 || !r.OK || !r.Restored {
		t.Errorf("report %+v", r)
	}
}

func writeMesh(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mesh.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A watched is a `meshrouter lab` process whose output the test reads.
type watched struct {
	cmd *exec.Cmd
	mu  sync.Mutex
	out bytes.Buffer
}

func (w *watched) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Write(b)
}

func (w *watched) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.String()
}

// launch starts the command and waits until its output has the text.
func launch(t *testing.T, wait string, args ...string) *watched {
	t.Helper()
	w := &watched{cmd: exec.Command(built(t), append([]string{"lab"}, args...)...)}
	w.cmd.Stdout, w.cmd.Stderr = w, w
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.cmd.Process.Kill(); _ = w.cmd.Wait() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if !poll(ctx, func() bool { return strings.Contains(w.text(), wait) }) {
		t.Fatalf("no %q in:\n%s", wait, w.text())
	}
	return w
}

// runOf finds the record of the process's run.
func runOf(t *testing.T, pid int) record {
	t.Helper()
	records, err := readRecords()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if r.Owner.PID == pid {
			return r
		}
	}
	t.Fatalf("no run of process %d", pid)
	return record{}
}

func assertGone(t *testing.T, r record) {
	t.Helper()
	if names := r.namespaces(); len(names) > 0 {
		t.Errorf("namespaces left: %v", names)
	}
	if alive := r.alive(); len(alive) > 0 {
		t.Errorf("processes left: %v", alive)
	}
	if _, err := os.Stat(filepath.Join(runsDir, r.ID)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("directory of the run: %v", err)
	}
}

// Ctrl-C in the middle cleans up, and the run has not succeeded.
func TestInterrupted(t *testing.T) {
	w := launch(t, "netns")
	r := runOf(t, w.cmd.Process.Pid)
	if err := w.cmd.Process.Signal(unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Wait(); err == nil {
		t.Error("exit status 0")
	}
	if !strings.Contains(w.text(), "nothing left") {
		t.Errorf("no cleanup in:\n%s", w.text())
	}
	assertGone(t, r)
}

// What kill -9 leaves behind, the next run takes away; the routers die with their lab.
func TestKilledRunIsClearedUp(t *testing.T) {
	w := launch(t, "netns")
	r := runOf(t, w.cmd.Process.Pid)
	if len(r.Processes) != 3 || len(r.namespaces()) != 7 {
		t.Fatalf("%d processes, namespaces %v", len(r.Processes), r.namespaces())
	}
	if err := w.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = w.cmd.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if !poll(ctx, func() bool { return len(r.alive()) == 0 }) {
		t.Errorf("routers outlive their lab: %v", r.alive())
	}
	if len(r.namespaces()) != 7 {
		t.Fatalf("namespaces %v: this test tests nothing", r.namespaces())
	}
	if _, err := clearLeftovers(t.Context()); err != nil {
		t.Error(err)
	}
	assertGone(t, r)
}

// `lab --keep` stays until `lab --down` ends it. The command would end every kept run of the machine,
// so the test asks for its own.
func TestKeepAndDown(t *testing.T) {
	w := launch(t, "lab --down", "--keep")
	r := runOf(t, w.cmd.Process.Pid)
	if len(r.alive()) != 3 {
		t.Errorf("%d routers", len(r.alive()))
	}
	found, err := stopRuns(t.Context(), func(other record) bool { return other.ID == r.ID })
	if err != nil || len(found) != 1 {
		t.Errorf("stopped %q, %v", found, err)
	}
	if err := w.cmd.Wait(); err != nil {
		t.Errorf("lab --keep: %v\n%s", err, w.text())
	}
	assertGone(t, r)
}

package peer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"meshrouter/control"
	"meshrouter/internal/testvectors"
)

// A Router is `meshrouter run` in a namespace: the real binary with its files in a directory of its own.
type Router struct {
	*Namespace
	Site   string
	Dir    string // mesh.yaml, mesh.secrets.yaml, state, socket, log
	KeyLog string // Wireshark's configuration directory, for Capture.Tshark
	env    []string
	cmd    *exec.Cmd
	exited chan error // the end of cmd, once
}

// Router writes the mesh file and its secrets (mesh must say `secrets: mesh.secrets.yaml`) and starts
// the router of site, with env added to its environment ("NAME=value"). It is told to end (SIGTERM) when the
// test does, and must then exit with 0.
func (ns *Namespace) Router(site, mesh, secrets string, env ...string) *Router {
	tb := ns.net.tb
	tb.Helper()
	r := &Router{Namespace: ns, Site: site, Dir: tb.TempDir(), env: env}
	r.KeyLog = filepath.Join(r.Dir, "keylog")
	r.write("mesh.yaml", mesh)
	r.write("mesh.secrets.yaml", secrets)
	tb.Cleanup(func() {
		if tb.Failed() {
			var counters json.RawMessage
			err := r.Show("counters", &counters)
			tb.Logf("the counters of %s: %s %v", site, counters, err)
		}
		if r.cmd != nil {
			if err := r.Signal(syscall.SIGTERM); err != nil {
				tb.Errorf("%s: %v", site, err)
			}
		}
		if tb.Failed() {
			tb.Logf("the log of %s ends with:\n%s", site, tail(r.path("log"), 60))
		}
	})
	r.Start()
	return r
}

func (r *Router) path(name string) string { return filepath.Join(r.Dir, name) }

func (r *Router) write(name, content string) {
	r.net.tb.Helper()
	if err := os.WriteFile(r.path(name), []byte(content), 0o600); err != nil {
		r.net.tb.Fatal(err)
	}
}

// Start starts the router and waits until it answers on its control socket.
func (r *Router) Start() {
	tb := r.net.tb
	tb.Helper()
	binary, err := built(testvectors.Root(tb))
	if err != nil {
		tb.Fatal(err)
	}
	log, err := os.OpenFile(r.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	r.cmd = r.Command(context.Background(), binary, "run", "--mesh", r.path("mesh.yaml"), "--site", r.Site,
		"--socket", r.path("socket"), "--state", r.path("state"), "--keylog", r.KeyLog, "--log-level", "debug")
	r.cmd.Stdout, r.cmd.Stderr = log, log
	r.cmd.Env = append(os.Environ(), r.env...)
	if err := r.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	r.exited = make(chan error, 1)
	go func(cmd *exec.Cmd, exited chan<- error) { exited <- cmd.Wait() }(r.cmd, r.exited)
	Eventually(tb, 10*time.Second, r.Site+" answers", func() error {
		var summary any
		return r.Show("summary", &summary)
	})
}

// Signal sends SIGTERM (end), SIGUSR2 (leave for a restart) or SIGKILL and waits for the exit. After
// SIGKILL the exit status is not looked at.
func (r *Router) Signal(sig syscall.Signal) error {
	cmd := r.cmd
	r.cmd = nil
	if err := cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case err := <-r.exited:
		if sig == syscall.SIGKILL {
			return nil
		}
		return err
	case <-time.After(10 * time.Second):
		return errors.Join(fmt.Errorf("still running 10 s after %v", sig), cmd.Process.Kill())
	}
}

// Restart ends the router by a signal and starts it again with another mesh file.
func (r *Router) Restart(sig syscall.Signal, mesh string) {
	r.net.tb.Helper()
	if err := r.Signal(sig); err != nil {
		r.net.tb.Fatal(err)
	}
	r.write("mesh.yaml", mesh)
	r.Start()
}

// Reload replaces the mesh file and sends SIGHUP.
func (r *Router) Reload(mesh string) {
	r.net.tb.Helper()
	r.write("mesh.yaml", mesh)
	if err := r.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		r.net.tb.Fatal(err)
	}
}

// Show decodes the document of a view ("neighbors", "sad") into what into points to.
func (r *Router) Show(view string, into any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return control.Dial(r.path("socket")).Get(ctx, view, into)
}

// Log is what the router has logged so far.
func (r *Router) Log() string {
	r.net.tb.Helper()
	b, err := os.ReadFile(r.path("log"))
	if err != nil {
		r.net.tb.Fatal(err)
	}
	return string(b)
}

// build holds the binary that all Routers of this process run.
var build struct { //nolint:gochecknoglobals // built once, removed by Main
	once sync.Once
	dir  string
	err  error
}

// built builds meshrouter the first time and returns its path.
func built(root string) (string, error) {
	build.once.Do(func() {
		if build.dir, build.err = os.MkdirTemp("", "meshrouter-interop-"); build.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-o", filepath.Join(build.dir, "meshrouter"), "./cmd/meshrouter") //nolint:noctx,gosec // bounded by the test's own time
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			build.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	return filepath.Join(build.dir, "meshrouter"), build.err
}

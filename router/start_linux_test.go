package router

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"meshrouter/control"
	"meshrouter/examples"
	"meshrouter/state"
)

// startable is a directory with the triangle's files, and the options to start London from it. The start
// fails at the outer sockets at the latest: no host has London's address.
func startable(t *testing.T) (dir string, o Options) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]string{"mesh.yaml": string(examples.Triangle), "triangle.secrets.yaml": "ospf: key\npsk: key\n", "other": "something else\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, Options{
		MeshFile: filepath.Join(dir, "mesh.yaml"), Site: "london", Logger: slog.New(slog.DiscardHandler),
		Socket: filepath.Join(dir, "socket"), State: filepath.Join(dir, "state"),
	}
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// A bad value of a flag is a FlagError that names the flag, and leaves nothing behind.
func TestBadFlags(t *testing.T) {
	t.Parallel()
	for flag, set := range map[string]func(o *Options, path string){
		"--socket": func(o *Options, path string) { o.Socket = path },
		"--state":  func(o *Options, path string) { o.State = path },
		"--keylog": func(o *Options, path string) { o.KeyLog = path },
	} {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			dir, o := startable(t)
			before := files(t, dir)
			set(&o, filepath.Join(dir, "other"))
			err := Run(t.Context(), o)
			if bad, ok := errors.AsType[*FlagError](err); !ok || bad.Flag != flag {
				t.Errorf("error %v, want a FlagError of %s", err, flag)
			}
			if after := files(t, dir); !slices.Equal(before, after) {
				t.Errorf("files %v, before %v", after, before)
			}
			if b, err := os.ReadFile(filepath.Join(dir, "other")); err != nil || string(b) != "something else\n" {
				t.Errorf("the file that was named is now %q, %v", b, err)
			}
		})
	}
}

// A second router of a site is not a bad flag, and does not disturb the first.
func TestSecondRouter(t *testing.T) {
	t.Parallel()
	_, o := startable(t)
	l, err := control.Listen(o.Socket)
	if err != nil {
		t.Fatal(err)
	}
	err = Run(t.Context(), o)
	if _, flag := errors.AsType[*FlagError](err); flag || !errors.Is(err, control.ErrInUse) {
		t.Errorf("error %v, want control.ErrInUse", err)
	}
	if _, err := os.Lstat(o.Socket); err != nil {
		t.Errorf("the first router's socket: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// A router that is still stopping holds the state after its socket is gone: the message says so.
func TestStateInUse(t *testing.T) {
	t.Parallel()
	_, o := startable(t)
	f, err := state.Open(o.State, state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), o); !errors.Is(err, state.ErrInUse) || !strings.Contains(err.Error(), "just stopping") {
		t.Errorf("error %v, want state.ErrInUse and what to do", err)
	}
	if err := f.Remove(); err != nil {
		t.Fatal(err)
	}
}

// Who lacks a right is told whose work this is; other errors stay as they are.
func TestNeedsRoot(t *testing.T) {
	t.Parallel()
	for _, refused := range []error{syscall.EPERM, syscall.EACCES} {
		if err := needsRoot(refused); !errors.Is(err, refused) || !strings.Contains(err.Error(), "needs root") {
			t.Errorf("%v became %v", refused, err)
		}
	}
	if err := needsRoot(syscall.EIO); err != syscall.EIO { //nolint:errorlint // the very same
		t.Errorf("EIO became %v", err)
	}
}

// A start that fails leaves what an earlier process has left for the next attempt, and nothing of its own.
func TestFailedStart(t *testing.T) {
	t.Parallel()
	dir, o := startable(t)
	before := files(t, dir)
	if err := Run(t.Context(), o); err == nil {
		t.Fatal("the router runs on an address that this host does not have")
	}
	if after := files(t, dir); !slices.Equal(before, after) {
		t.Errorf("files %v, before %v", after, before)
	}

	f, err := state.Open(o.State, state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.PutBlob("london-tokyo", []byte("an SA")), f.Close()); err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), o); err == nil {
		t.Fatal("the router runs on an address that this host does not have")
	}
	if f, err = state.Open(o.State, state.Options{}); err != nil {
		t.Fatal(err)
	}
	if got := string(f.Blobs()["london-tokyo"]); !f.Resumed() || got != "an SA" {
		t.Errorf("after a failed start the state holds %q, resumed %t", got, f.Resumed())
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

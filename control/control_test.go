package control

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

type answer struct {
	Value int `json:"value"`
}

// serve runs a router's end at path until the test ends.
func serve(t *testing.T, path string) {
	t.Helper()
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Serve(ctx, l, Handler(map[string]View{
			"fib":    func(context.Context) (any, error) { return answer{7}, nil },
			"broken": func(context.Context) (any, error) { return nil, errors.New("no SA yet") },
			"odd":    func(context.Context) (any, error) { return func() {}, nil },
		}))
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the socket is left behind: %v", err)
		}
	})
}

func TestGet(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "run", "london.sock")
	serve(t, path)
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Fatalf("socket: %v, %v, want mode 0600", info.Mode(), err)
	}
	if dir, _ := os.Stat(filepath.Dir(path)); dir.Mode().Perm() != 0o700 {
		t.Errorf("directory has mode %v, want 0700", dir.Mode())
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	c := Dial(path)
	var got answer
	if err := c.Get(t.Context(), "fib", &got); err != nil || got.Value != 7 {
		t.Errorf("Get: %v, %v", got, err)
	}
	var raw json.RawMessage
	if err := c.Get(t.Context(), "fib", &raw); err != nil || strings.TrimSpace(string(raw)) != `{"value":7}` {
		t.Errorf("raw: %s, %v", raw, err)
	}
	views, err := c.Views(t.Context())
	if err != nil || !slices.Equal(views, []string{"broken", "fib", "odd"}) {
		t.Errorf("Views: %v, %v", views, err)
	}
	for view, want := range map[string]string{
		"broken":  "meshrouter at " + path + ": no SA yet",
		"odd":     "json: unsupported type",
		"nothing": `no view "nothing": there are broken, fib, odd`,
		"../fib":  `no view "../fib"`,
	} {
		if err := c.Get(t.Context(), view, &got); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Get(%q): %v, want %q", view, err, want)
		}
	}
	var text string
	if err := c.Get(t.Context(), "fib", &text); err == nil || !strings.Contains(err.Error(), "not what this version expects") {
		t.Errorf("wrong type: %v", err)
	}
}

func TestOnlyGET(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.sock")
	serve(t, path)
	for _, target := range []string{"/", "/v2/fib", "/v1/fib/x"} {
		resp, err := Dial(path).http.Post("http://meshrouter"+target, "text/plain", nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("POST %s: %s", target, resp.Status)
		}
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "osaka.sock")
	err := Dial(path).Get(t.Context(), "fib", &answer{})
	want := "no meshrouter runs for site osaka here (nobody answers on " + path + "): start it with meshrouter run --mesh FILE --site osaka"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	stale(t, path)
	if err := Dial(path).Get(t.Context(), "fib", &answer{}); err == nil || err.Error() != want {
		t.Errorf("stale socket: %v", err)
	}
}

func TestNotARouter(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // test
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("220 hello\r\n"))
			_ = conn.Close()
		}
	}()
	if err := Dial(path).Get(t.Context(), "fib", &answer{}); err == nil || !strings.Contains(err.Error(), "meshrouter at "+path+": ") {
		t.Errorf("%v", err)
	}
}

// stale leaves a socket at path that nobody listens on, as a killed router does.
func stale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestListenTakesOverAStaleSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.sock")
	stale(t, path)
	serve(t, path)
	if err := Dial(path).Get(t.Context(), "fib", &answer{}); err != nil {
		t.Error(err)
	}
}

func TestListenRefusesALiveSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.sock")
	serve(t, path)
	if _, err := Listen(path); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), path) {
		t.Errorf("second Listen: %v", err)
	}
	if err := Dial(path).Get(t.Context(), "fib", &answer{}); err != nil {
		t.Errorf("the first one suffered: %v", err)
	}
}

func TestListenRefusesOtherFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.sock")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "is not a socket") {
		t.Errorf("Listen: %v", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "precious" {
		t.Errorf("the file was changed: %q", b)
	}
}

func TestListenPathTooLong(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), strings.Repeat("x", 120), "a.sock")
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "about 100 bytes") {
		t.Errorf("Listen: %v", err)
	}
}

func TestCloseKeepsASuccessorsSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.sock")
	old, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	serve(t, path)
	if err := old.Close(); err != nil {
		t.Error(err)
	}
	if err := Dial(path).Get(t.Context(), "fib", &answer{}); err != nil {
		t.Error(err)
	}
}

func TestSockets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if got := Sockets(filepath.Join(dir, "none")); got != nil {
		t.Errorf("missing directory: %v", got)
	}
	stale(t, filepath.Join(dir, "tokyo.sock"))
	stale(t, filepath.Join(dir, "osaka.sock"))
	if err := os.WriteFile(filepath.Join(dir, "fake.sock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want := []string{filepath.Join(dir, "osaka.sock"), filepath.Join(dir, "tokyo.sock")}
	if got := Sockets(dir); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

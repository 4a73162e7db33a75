package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Dir is where routers put their sockets unless told otherwise.
const Dir = "/run/meshrouter"

// SocketPath is the default socket of a site's router.
func SocketPath(site string) string { return filepath.Join(Dir, site+".sock") }

// Sockets lists the sockets in dir, sorted by name. A missing directory holds none.
func Sockets(dir string) []string {
	entries, _ := os.ReadDir(dir) // not there, or not readable: none to offer
	var paths []string
	for _, e := range entries {
		if e.Type() == fs.ModeSocket && strings.HasSuffix(e.Name(), ".sock") {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths
}

// dialTimeout bounds the question whether somebody listens on a socket that is already there.
const dialTimeout = 2 * time.Second

// ErrInUse means that a router answers on the socket already.
var ErrInUse = errors.New("a meshrouter already answers there: stop it, or choose another path with --socket")

// Listen makes the socket with mode 0600, and its directory with mode 0700 if it is missing. It
// replaces a socket that nobody answers on, and refuses one that is in use or is another kind of
// file. Closing the listener removes the socket.
func Listen(path string) (net.Listener, error) {
	if err := vacant(path); err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	// Bound in a private directory and then moved: at no time can others connect to it, and a stale
	// socket is replaced in one step.
	private, err := os.MkdirTemp(dir, ".")
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	defer os.RemoveAll(private) //nolint:errcheck // empty by then; a leftover does no harm
	bound := filepath.Join(private, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: bound, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("control socket %s (a unix socket's path may have about 100 bytes): %w", path, err)
	}
	l.SetUnlinkOnClose(false)
	own := &listener{UnixListener: l, path: path}
	if err = os.Chmod(bound, 0o600); err == nil {
		own.info, err = os.Lstat(bound)
	}
	if err == nil {
		err = os.Rename(bound, path)
	}
	if err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return own, nil
}

// vacant reports why path cannot become our socket, or nil.
func vacant(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("control socket: %s is not a socket: remove it, or choose another path with --socket", path)
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close()
		return fmt.Errorf("control socket %s: %w", path, ErrInUse)
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil
	}
	return fmt.Errorf("control socket: is %s in use? %w", path, err)
}

// A listener removes its socket when closed, unless another process has put its own there.
type listener struct {
	*net.UnixListener
	path string
	info fs.FileInfo
	once sync.Once
}

// Close stops listening and removes the socket.
func (l *listener) Close() error {
	err := l.UnixListener.Close()
	l.once.Do(func() {
		if now, serr := os.Lstat(l.path); serr == nil && os.SameFile(now, l.info) {
			_ = os.Remove(l.path)
		}
	})
	return err
}

// Serve answers requests on l until ctx is cancelled; then it closes l, waits a moment for answers
// under way and returns nil.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       30 * time.Second,
		MaxHeaderBytes:    16 << 10,
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }() // ends with Shutdown or Close below
	select {
	case err := <-done:
		return fmt.Errorf("control socket: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		_ = srv.Close()
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}

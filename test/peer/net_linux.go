package peer

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"meshrouter/internal/testvectors"
)

// A Net is one Ethernet segment and the peers on it.
type Net struct {
	tb      testing.TB
	prefix  string // of the namespaces: mrtPID-N
	scripts string
}

// Settings are the environment variables that a script of test/peers documents in its header.
type Settings map[string]string

// nets numbers the Nets of this process.
var nets atomic.Int32 //nolint:gochecknoglobals // namespaces are global to the machine as well

// NewNet returns an empty segment. It goes with the test, as everything on it does.
func NewNet(tb testing.TB) *Net {
	tb.Helper()
	n := &Net{
		tb:      tb,
		prefix:  fmt.Sprintf("mrt%d-%d", os.Getpid(), nets.Add(1)),
		scripts: filepath.Join(testvectors.Root(tb), "test", "peers"),
	}
	tb.Cleanup(func() { _ = os.RemoveAll(n.state()) })
	return n
}

// state is the scripts' directory of pids, logs and configurations.
func (n *Net) state() string { return filepath.Join("/tmp", "meshrouter-peers-"+n.prefix) }

// script runs a script of test/peers to its end and returns what it printed.
func (n *Net) script(s Settings, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(n.scripts, name), args...) //nolint:gosec // our own scripts
	cmd.Env = append(os.Environ(), "PEERS_PREFIX="+n.prefix, "PEERS_STATE="+n.state())
	for k, v := range s {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	// The daemons that the script starts have closed these; WaitDelay is for one that has not.
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return string(out), err
}

// must is script for what has to succeed.
func (n *Net) must(s Settings, name string, args ...string) {
	n.tb.Helper()
	if _, err := n.script(s, name, args...); err != nil {
		n.tb.Fatal(err)
	}
}

// A Namespace is a network namespace with eth0 on the segment: a place for the router under test, or
// that of a peer.
type Namespace struct {
	net  *Net
	Name string // as `ip netns exec` wants it
}

// Namespace makes a namespace with address cidr on eth0.
func (n *Net) Namespace(name, cidr string) *Namespace {
	n.tb.Helper()
	n.must(nil, "wire", "up", name, cidr)
	n.tb.Cleanup(func() { n.must(nil, "wire", "down", name) })
	return n.namespace(name)
}

func (n *Net) namespace(name string) *Namespace {
	return &Namespace{net: n, Name: n.prefix + "-" + name}
}

// Command is a command in the namespace, not yet started, killed when ctx ends.
func (ns *Namespace) Command(ctx context.Context, args ...string) *exec.Cmd {
	//nolint:gosec // the tests' own commands
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", ns.Name}, args...)...)
}

// Try runs a command in the namespace, for at most a minute, and returns what it printed.
func (ns *Namespace) Try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := ns.Command(ctx, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %s: %w: %s", ns.Name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return string(out), err
}

// Run is Try for what has to succeed.
func (ns *Namespace) Run(args ...string) string {
	ns.net.tb.Helper()
	out, err := ns.Try(args...)
	if err != nil {
		ns.net.tb.Fatal(err)
	}
	return out
}

// AddLAN makes lan0 with address cidr in the namespace: a stub network.
func (ns *Namespace) AddLAN(cidr string) {
	ns.net.tb.Helper()
	ns.Run("ip", "link", "add", "lan0", "type", "veth", "peer", "name", "lan0p")
	ns.Run("ip", "addr", "add", cidr, "dev", "lan0")
	ns.Run("ip", "link", "set", "lan0", "up")
	ns.Run("ip", "link", "set", "lan0p", "up")
}

// Link joins two namespaces by a wire of their own: interface aName with address aCIDR in a, bName with
// bCIDR in b.
func (n *Net) Link(a *Namespace, aName, aCIDR string, b *Namespace, bName, bCIDR string) {
	n.tb.Helper()
	a.Run("ip", "link", "add", aName, "type", "veth", "peer", "name", bName, "netns", b.Name)
	a.Run("ip", "addr", "add", aCIDR, "dev", aName)
	b.Run("ip", "addr", "add", bCIDR, "dev", bName)
	a.Run("ip", "link", "set", aName, "up")
	b.Run("ip", "link", "set", bName, "up")
}

// Do runs f on a thread inside the namespace; sockets and devices that f opens stay there.
func (ns *Namespace) Do(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		h, err := netns.GetFromName(ns.Name)
		if err == nil {
			err = netns.Set(h)
			_ = h.Close()
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// Cut makes the segment swallow every frame from and to the peer called name, silently: links stay up
// and sends succeed. Cut(name, false) mends it.
func (n *Net) Cut(name string, cut bool) {
	n.tb.Helper()
	wire, table := n.namespace("wire"), "cut-"+name
	if !cut {
		wire.Run("nft", "delete", "table", "bridge", table)
		return
	}
	wire.Run("nft", fmt.Sprintf(`table bridge %s {
		chain forward {
			type filter hook forward priority 0
			iifname "v-%s" drop
			oifname "v-%s" drop
		}
	}`, table, name, name))
}

// Eventually asks every 50 ms until done returns nil. After d it fails the test with the last answer.
func Eventually(tb testing.TB, d time.Duration, what string, done func() error) {
	tb.Helper()
	begin := time.Now()
	every := time.NewTicker(50 * time.Millisecond)
	defer every.Stop()
	for {
		err := done()
		if err == nil {
			tb.Logf("%s after %v", what, time.Since(begin).Round(10*time.Millisecond))
			return
		}
		if time.Since(begin) > d {
			tb.Fatalf("%s: not within %v: %v", what, d, err)
		}
		<-every.C
	}
}

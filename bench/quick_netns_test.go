//go:build netns && linux

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// build builds meshrouter for the test.
func build(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("network namespaces need root")
	}
	path := filepath.Join(t.TempDir(), "meshrouter")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", path, "meshrouter/cmd/meshrouter").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// A killed bench takes its routers with it, and the next one takes over what it left and ends in time, with
// a figure for everything.
func TestKilledThenQuick(t *testing.T) {
	binary := build(t)
	children := killed(t, binary)
	eventually(t, "the children of a killed bench end", func() bool {
		for _, pid := range children {
			if stat, err := os.ReadFile(fmt.Sprintf("/proc/%s/stat", pid)); err == nil && !bytes.Contains(stat, []byte(") Z ")) {
				return false
			}
		}
		return true
	})

	var out, progress bytes.Buffer
	begun := time.Now()
	err := Run(t.Context(), Options{Quick: true, JSON: true, Binary: binary, Stdout: &out, Stderr: &progress})
	took := time.Since(begun)
	if err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	if took > 50*time.Second {
		t.Errorf("quick took %v, want at most 50 s\n%s", took, progress.String())
	}
	var d Document
	if err := json.Unmarshal(out.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	if d.Traffic == nil || d.DES3["encrypt_vs_crypto_des"] <= 0 || d.DES3["decrypt_vs_crypto_des"] <= 0 || d.CPU == "" ||
		len(d.SPF) != len(routersTable) || len(d.IKE) != len(negotiationTable) || d.Scale == nil || len(d.Scale.Rows) != len(scaleTable) {
		t.Fatalf("a part is missing:\n%s", out.String())
	}
	for _, p := range d.Peers {
		if p.Name != wireguardPath || p.Part != Tunnel {
			continue
		}
		there := d.TCPVsWireGuard != nil && d.UDP64VsWireGuard != nil
		if there != (p.Missing == "") {
			t.Errorf("wireguard-go is missing because %q, and there are ratios: %t", p.Missing, there)
		}
		t.Logf("wireguard-go: %+v", p)
	}
	for name, s := range d.Spread {
		if s.Median <= 0 || s.N < 1 || s.P10 > s.Median || s.Median > s.P90 {
			t.Errorf("%s is %+v", name, s)
		}
	}
	if d.TCP3DES <= 0 || d.TCPGCM <= 0 || d.TCPVeth <= 0 {
		t.Errorf("a headline is missing: %+v", d.Traffic)
	}
	if _, err := os.Stat(runDir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", runDir, err)
	}
}

// killed starts a bench, kills it once its routers run, and returns the processes that it had started.
func killed(t *testing.T, binary string) (children []string) {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), binary, "bench", "tunnel")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()         //nolint:errcheck // it was killed
	defer cmd.Process.Kill() //nolint:errcheck // it may have ended
	eventually(t, "two routers of two pairs run", func() bool {
		sockets, err := filepath.Glob(filepath.Join(runDir, "*", "*.sock"))
		if err != nil {
			t.Fatal(err)
		}
		children = nil
		lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, list := range lists {
			if text, err := os.ReadFile(list); err == nil {
				children = append(children, strings.Fields(string(text))...)
			}
		}
		return len(sockets) >= 4 && len(children) >= 4
	})
	return children
}

// eventually polls for 20 seconds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

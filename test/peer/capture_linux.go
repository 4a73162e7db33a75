package peer

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A Capture records every frame of an interface.
type Capture struct {
	File string // pcap
	net  *Net
	cmd  *exec.Cmd
	rest chan struct{} // closed when all of tcpdump's messages have been read
}

// Capture begins to record the segment and returns when tcpdump listens.
func (n *Net) Capture() *Capture {
	n.tb.Helper()
	return n.namespace("wire").Capture("br0")
}

// Capture begins to record an interface of the namespace and returns when tcpdump listens.
func (ns *Namespace) Capture(device string) *Capture {
	n := ns.net
	n.tb.Helper()
	c := &Capture{File: filepath.Join(n.tb.TempDir(), "wire.pcap"), net: n, rest: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	n.tb.Cleanup(cancel)
	c.cmd = ns.Command(ctx, "tcpdump", "-i", device, "-U", "-B", "65536", "-s", "0", "-Z", "root", "-w", c.File)
	messages, err := c.cmd.StderrPipe()
	if err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		n.tb.Fatal(err)
	}
	lines := bufio.NewScanner(messages)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "listening on") {
			go func() {
				defer close(c.rest)
				for lines.Scan() {
				}
			}()
			return c
		}
	}
	n.tb.Fatalf("tcpdump did not start: %v", c.cmd.Wait())
	return nil
}

// Stop ends the recording; the file is complete then.
func (c *Capture) Stop() {
	c.net.tb.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGINT); err != nil {
		c.net.tb.Fatal(err)
	}
	<-c.rest
	if err := c.cmd.Wait(); err != nil {
		c.net.tb.Fatalf("tcpdump: %v", err)
	}
}

// Tshark reads the capture. keyDir, if not empty, is Wireshark's configuration directory with the
// keys (`meshrouter run --keylog`). It returns one line a packet or field set, as args ask.
func (c *Capture) Tshark(keyDir string, args ...string) []string {
	c.net.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "tshark", append([]string{"-n", "-r", c.File}, args...)...) //nolint:gosec // the tests' own arguments
	if keyDir != "" {
		cmd.Env = append(cmd.Environ(), "WIRESHARK_CONFIG_DIR="+keyDir)
	}
	out, err := cmd.Output()
	if err != nil {
		c.net.tb.Fatal(fmt.Errorf("tshark %s: %w", strings.Join(args, " "), err))
	}
	text := strings.TrimRight(string(out), "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

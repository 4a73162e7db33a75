package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A process is one that we started.
type process struct {
	*exec.Cmd
	exited chan struct{} // closed once err is set
	err    error
}

// spawn starts a process inside the namespace.
func (n *namespace) spawn(cmd *exec.Cmd) (*process, error) {
	p := &process{Cmd: cmd, exited: make(chan struct{})}
	if err := n.start(cmd); err != nil {
		return nil, err
	}
	go func() { // ends with the process
		p.err = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// run runs a command inside the namespace to its end and returns what it printed.
func (n *namespace) run(ctx context.Context, cmd *exec.Cmd) (string, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	p, err := n.spawn(cmd)
	if err != nil {
		return "", err
	}
	select {
	case <-p.exited:
	case <-ctx.Done():
		p.stop()
		return "", ctx.Err()
	}
	if p.err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), p.err, firstLines(out.String(), 3))
	}
	return out.String(), nil
}

// logTo writes what a process says to a file.
func logTo(cmd *exec.Cmd, name string) (closeLog func(), err error) {
	log, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600) //nolint:gosec // in our own directory
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = log, log
	return func() { _ = log.Close() }, nil // the process has its own descriptor
}

// stop asks the process to end, and makes it after a while.
func (p *process) stop() {
	_ = p.Process.Signal(unix.SIGTERM)
	timeout := time.AfterFunc(5*time.Second, func() { _ = p.Process.Kill() })
	<-p.exited
	timeout.Stop()
}

// cpu is the processor time that the process has used.
func (p *process) cpu() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Process.Pid))
	if err != nil {
		return 0
	}
	_, text, _ = bytes.Cut(text, []byte(") ")) // the name may hold anything
	fields := strings.Fields(string(text))
	const utime, stime = 11, 12
	if len(fields) <= stime {
		return 0
	}
	user, _ := strconv.ParseInt(fields[utime], 10, 64)
	system, _ := strconv.ParseInt(fields[stime], 10, 64)
	const tick = time.Second / 100 // USER_HZ
	return time.Duration(user+system) * tick
}

// switches is how often threads of the process have given up a core so far, or had to.
func (p *process) switches() (n uint64) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.Process.Pid))
	if err != nil {
		return 0
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task) //nolint:gosec // the kernel's
		if err != nil {
			continue // the thread has ended
		}
		for line := range strings.Lines(string(text)) {
			if _, count, ok := strings.Cut(line, "voluntary_ctxt_switches:"); ok { // nonvoluntary_, too
				more, _ := strconv.ParseUint(strings.TrimSpace(count), 10, 64)
				n += more
			}
		}
	}
	return n
}

// receiveDrops is how many datagrams the sockets of the process's namespace had no room for.
func (p *process) receiveDrops() uint64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/snmp", p.Process.Pid))
	if err != nil {
		return 0
	}
	return parseUDP(string(text), "RcvbufErrors")
}

// parseUDP finds a counter of UDP in a table as /proc/net/snmp is: a line of names, a line of numbers.
func parseUDP(text, counter string) uint64 {
	var names []string
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != "Udp:" {
			continue
		}
		if names == nil {
			names = f
			continue
		}
		for i, name := range names {
			if name == counter && i < len(f) {
				n, _ := strconv.ParseUint(f[i], 10, 64)
				return n
			}
		}
	}
	return 0
}

// poll calls done every few milliseconds until it returns nil, and for so long at most.
func poll(ctx context.Context, limit time.Duration, done func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := done()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

package bench

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"meshrouter/dataplane/esp/des3"
	"meshrouter/internal/cpu"
)

// A contestant is one implementation of ciphers: a library of this process, or a child that does as it is
// told through a pipe.
type contestant interface {
	// check does the workload once to fresh packets and returns what became of them; nil if chance has
	// a part in it. errNotOffered: it does not know the work.
	check(w workload) ([]byte, error)
	// rate does it for about so long and returns payload bytes per second of processor time.
	rate(w workload, d time.Duration) (float64, error)
	close() error
}

// A library is a contestant of this process.
type library struct {
	prepare func(workload) (*task, error)
	tasks   map[workload]*task
}

func newLibrary(prepare func(workload) (*task, error)) *library {
	return &library{prepare, make(map[workload]*task)}
}

func (l *library) task(w workload) (*task, error) {
	if t := l.tasks[w]; t != nil {
		return t, nil
	}
	t, err := l.prepare(w)
	if err == nil {
		l.tasks[w] = t
	}
	return t, err
}

func (l *library) check(w workload) ([]byte, error) {
	t, err := l.task(w)
	if err != nil || t.result == nil {
		return nil, err
	}
	return t.result(), nil
}

func (l *library) rate(w workload, d time.Duration) (float64, error) {
	t, err := l.task(w)
	if err != nil {
		return 0, err
	}
	return perSecond(d, t.once) * float64(w.bytes) * float64(w.batch), nil
}

func (l *library) close() error { return nil }

// A child is a contestant in a process of its own. It speaks first, one line: its name.
//
//	check WORK BYTES BATCH     the packets in hexadecimal; "-" if chance has a part in them
//	run WORK BYTES BATCH MS    bytes and nanoseconds of processor time
//	                           anything else is why not
type child struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	says bytes.Buffer // on its standard error
	name string
}

// startChild starts it; it inherits the core that the caller's thread is held to.
func startChild(cmd *exec.Cmd) (c *child, err error) {
	c = &child{cmd: cmd}
	cmd.Stderr = &c.says
	if c.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c.out = bufio.NewReader(out)
	if c.name, err = c.line(); err != nil {
		_ = c.close()
		return nil, fmt.Errorf("%s: %s", cmd.Path, cmp.Or(strings.TrimSpace(c.says.String()), err.Error()))
	}
	return c, nil
}

func (c *child) line() (string, error) {
	line, err := c.out.ReadString('\n')
	return strings.TrimSpace(line), err
}

func (c *child) ask(format string, args ...any) (string, error) {
	if _, err := fmt.Fprintf(c.in, format+"\n", args...); err != nil {
		return "", fmt.Errorf("%s: %w", c.name, err)
	}
	answer, err := c.line()
	if err != nil {
		return "", fmt.Errorf("%s has ended: %w: %s", c.name, err, c.says.String())
	}
	if strings.HasPrefix(answer, "no ") {
		return "", fmt.Errorf("%s: %s: %w", c.name, answer, errNotOffered)
	}
	return answer, nil
}

func (c *child) check(w workload) ([]byte, error) {
	answer, err := c.ask("check %s %d %d", w.work, w.bytes, w.batch)
	if err != nil || answer == "-" {
		return nil, err
	}
	return hex.DecodeString(answer)
}

func (c *child) rate(w workload, d time.Duration) (float64, error) {
	answer, err := c.ask("run %s %d %d %d", w.work, w.bytes, w.batch, max(1, d.Milliseconds()))
	if err != nil {
		return 0, err
	}
	var done, ns float64
	if _, err := fmt.Sscan(answer, &done, &ns); err != nil || ns <= 0 {
		return 0, fmt.Errorf("%s: it answers %q to %v", c.name, answer, w)
	}
	return done / ns * 1e9, nil
}

// close ends the child: it ends with its input.
func (c *child) close() error {
	_ = c.in.Close()
	return c.cmd.Wait()
}

// CipherWorker is the name of the worker that is a child with our own ciphers.
const CipherWorker = "ciphers"

// serveCiphers is the child's side: this program's own ciphers, at the level that the environment allows.
func serveCiphers(in io.Reader, out io.Writer) error {
	l := newLibrary(ourTask)
	if _, err := fmt.Fprintf(out, "meshrouter %s\n", des3.Implementation()); err != nil {
		return err
	}
	for s := bufio.NewScanner(in); s.Scan(); {
		if _, err := fmt.Fprintln(out, l.answer(s.Text())); err != nil {
			return err
		}
	}
	return nil
}

func (l *library) answer(line string) string {
	var verb string
	var w workload
	var ms int
	if n, _ := fmt.Sscan(line, &verb, &w.work, &w.bytes, &w.batch, &ms); n < 4 || w.bytes < 1 || w.batch < 1 {
		return "no such request"
	}
	if verb == "check" {
		b, err := l.check(w)
		switch {
		case err != nil:
			return "no " + err.Error()
		case b == nil:
			return "-"
		}
		return hex.EncodeToString(b)
	}
	t, err := l.task(w)
	if err != nil {
		return "no " + err.Error()
	}
	calls, used := timed(time.Duration(ms)*time.Millisecond, t.once)
	return fmt.Sprintf("%d %d", calls*w.bytes*w.batch, used.Nanoseconds())
}

// levelChild is this program's ciphers held to a level of machine code.
func levelChild(binary string, l cpu.Level) (*child, error) {
	cmd := helper(binary, CipherWorker)
	cmd.Env = append(os.Environ(), cpu.Variable+"="+l.String())
	return startChild(cmd)
}

package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"meshrouter/control"
)

// A router is one `meshrouter run` in the namespace of its site.
type router struct {
	*control.Client
	site    string
	socket  string
	state   string
	keylog  string
	logFile string
	process process
	cmd     *exec.Cmd
	exited  chan struct{} // closed once waitErr is set
	waitErr error
	missed  bool // its end is the failure of a stage already
}

// A spawner starts processes from one thread that lives as long as the lab, so that the kernel can
// end the processes with it even when the lab is killed (PR_SET_PDEATHSIG counts threads).
type spawner struct {
	jobs chan func()
	done chan struct{}
}

func newSpawner() *spawner {
	s := &spawner{jobs: make(chan func()), done: make(chan struct{})}
	go func() { // ends with close
		runtime.LockOSThread() // never unlocked
		defer close(s.done)
		for job := range s.jobs {
			job()
		}
	}()
	return s
}

func (s *spawner) close() {
	close(s.jobs)
	<-s.done
}

// start starts the command inside the namespace.
func (s *spawner) start(ns *namespace, cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:   true, // Ctrl-C is for the lab, which then stops its routers in order
		Pdeathsig: syscall.SIGKILL,
	}
	result := make(chan error)
	s.jobs <- func() {
		home, err := netns.Get()
		if err != nil {
			result <- err
			return
		}
		if err = netns.Set(ns.fd); err == nil {
			err = cmd.Start() // a child begins in its thread's namespace
		}
		result <- errors.Join(err, netns.Set(home), home.Close())
	}
	return <-result
}

// startRouter starts the site's router.
func (l *lab) startRouter(s *site, mesh string) error {
	r := s.router
	if r == nil {
		r = &router{
			site:    s.Name,
			socket:  l.dir.file(s.Name + ".sock"),
			state:   l.dir.file(s.Name + ".state"),
			keylog:  l.dir.file(s.Name + ".keys"),
			logFile: l.dir.file(s.Name + ".log"),
		}
		r.Client = control.Dial(r.socket)
		s.router = r
	}
	log, err := os.OpenFile(r.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the child has its own descriptor
	args := []string{"run", "--mesh", mesh, "--site", s.Name, "--socket", r.socket, "--state", r.state, "--keylog", r.keylog}
	if l.o.Verbose {
		args = append(args, "--log-level", "debug")
	}
	r.cmd = exec.Command(l.o.Binary, args...) //nolint:gosec,noctx // our own binary; it is stopped in order, not with a context
	r.cmd.Stdout, r.cmd.Stderr = log, log
	if err := l.spawner.start(s.ns, r.cmd); err != nil {
		return fmt.Errorf("start the router of %s: %w", s.Name, err)
	}
	exited := make(chan struct{})
	r.exited, r.missed = exited, false
	cmd := r.cmd
	go func() { // ends with the process
		r.waitErr = cmd.Wait()
		close(exited)
	}()
	p, err := processOf(cmd.Process.Pid)
	if err != nil {
		return fmt.Errorf("the router of %s ended at once%s", s.Name, r.lastWords())
	}
	p.Site = s.Name
	r.process = p
	return l.dir.started(p)
}

// running is nil while the router runs, and says how it ended otherwise.
func (r *router) running() error {
	select {
	case <-r.exited:
		return fmt.Errorf("the router of %s has ended (%s)", r.site, exitText(r.waitErr))
	default:
		return nil
	}
}

// signal sends a signal and waits for the end of the process.
func (r *router) signal(ctx context.Context, sig unix.Signal) error {
	if r.running() != nil {
		return nil
	}
	if err := unix.Kill(r.process.PID, sig); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signal the router of %s: %w", r.site, err)
	}
	select {
	case <-r.exited:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the router of %s does not end after %s", r.site, unix.SignalName(sig))
	}
}

// exitText says how a process ended.
func exitText(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// lastWords is the last line of the router's log, for an error.
func (r *router) lastWords() string {
	lines := strings.Split(r.tail(), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		return "; its last words: " + last
	}
	return ""
}

// tailLines is how much of each log a failure shows.
const tailLines = 12

// tail returns the end of the router's log, for a message.
func (r *router) tail() string {
	f, err := os.Open(r.logFile)
	if err != nil {
		return ""
	}
	defer f.Close() //nolint:errcheck // read-only
	var lines []string
	for sc := bufio.NewScanner(f); sc.Scan(); {
		lines = append(lines, sc.Text())
		if len(lines) > tailLines {
			lines = lines[1:]
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return "\n    " + strings.Join(lines, "\n    ")
}

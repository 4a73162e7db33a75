package lab

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A progress shows one stage after another: on a terminal with a line that moves, elsewhere with
// one plain line per stage.
type progress struct {
	w        io.Writer
	terminal bool
	verbose  bool

	mu      sync.Mutex // guards what follows
	stage   string
	begun   time.Time
	waiting string
	stop    chan struct{} // ends the goroutine that moves the line
	wg      sync.WaitGroup
}

func newProgress(w io.Writer, verbose bool) *progress {
	return &progress{w: w, terminal: isTerminal(w), verbose: verbose}
}

// isTerminal reports whether w is a terminal that understands cursor movements.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// frames is the picture of something that runs.
const frames = "|/-\\"

// begin shows that a stage has started.
func (p *progress) begin(stage string) {
	p.mu.Lock()
	p.stage, p.begun, p.waiting = stage, time.Now(), ""
	p.mu.Unlock()
	if !p.terminal {
		return
	}
	stop := make(chan struct{})
	p.stop = stop
	p.wg.Go(func() { // ends with end
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			p.mu.Lock()
			text := p.waiting
			if r := []rune(text); len(r) > 90 {
				text = string(r[:89]) + "…"
			}
			_, _ = fmt.Fprintf(p.w, "\r\x1b[K   %c  %-8s %6.1f s  %s", frames[i%len(frames)], p.stage, time.Since(p.begun).Seconds(), text)
			p.mu.Unlock()
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	})
}

// wait says what the stage waits for now.
func (p *progress) wait(what string) {
	what, _, _ = strings.Cut(what, "\n")
	p.mu.Lock()
	changed := what != p.waiting
	p.waiting = what
	stage := p.stage
	p.mu.Unlock()
	if changed && p.verbose && !p.terminal {
		_, _ = fmt.Fprintf(p.w, "        %-8s ... %s\n", stage, what)
	}
}

// end shows how the stage went.
func (p *progress) end(s Stage) {
	if p.terminal {
		close(p.stop)
		p.wg.Wait()
		_, _ = io.WriteString(p.w, "\r\x1b[K")
	}
	mark := "ok"
	if !s.OK {
		mark = "FAILED"
	}
	_, _ = fmt.Fprintf(p.w, "%6s  %-8s %6.2f s  %s\n", mark, s.Name, s.Seconds, s.Detail)
}

// say prints text between stages.
func (p *progress) say(format string, args ...any) {
	_, _ = fmt.Fprintf(p.w, format, args...)
}

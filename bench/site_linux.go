package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"meshrouter/control"
	"meshrouter/status"
)

// meshText is a mesh of two sites. The dead interval is long: a benchmark that drowns a router in UDP shall
// measure packets and not the loss of the adjacency.
const meshText = `mesh: bench
tunnels: 10.255.0.0/16
secrets: mesh.secrets.yaml
ospf: {area: 0.0.0.0, auth: {md5: {id: 1, key: $ospf}}, hello: 1s, dead: 60s}
suites:
  bench: {ike: %s, esp: %s, pfs: none}
sites:
  left:  {number: 1, address: 192.0.2.1, lan: [10.1.0.0/24]}
  right: {number: 2, address: 192.0.2.2, lan: [10.2.0.0/24]}
links: full
`

func (n negotiation) mesh() []byte { return fmt.Appendf(nil, meshText, n.name1, n.name2) }

// secretsText protects packets that never leave this machine.
const secretsText = "psk: for a moment\nospf: for a moment\n" //nolint:gosec // as it says

// The addresses of the mesh.
const (
	leftOuter, rightOuter = "192.0.2.1", "192.0.2.2"
	leftLAN, rightLAN     = "10.1.0.1", "10.2.0.1"
)

// A site is one router in its namespace; its LAN is the loopback device, so that iperf3 runs beside it.
type site struct {
	*control.Client
	name   string
	ns     *namespace
	log    string
	router *process
}

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

// A pair is two sites joined by a veth.
type pair struct{ left, right *site }

// newPair makes the two sites; with a negotiation their routers run. As much as there is comes with an error.
func newPair(dir, binary string, n *negotiation) (*pair, error) {
	p := &pair{}
	var err error
	if p.left, err = newSite(dir, "left"); err != nil {
		return p, err
	}
	if p.right, err = newSite(dir, "right"); err != nil {
		return p, err
	}
	if err := join(p.left.ns, "wan0", p.right.ns, "wan0"); err != nil {
		return p, err
	}
	for _, s := range []struct {
		site       *site
		outer, lan string
	}{{p.left, leftOuter, leftLAN}, {p.right, rightOuter, rightLAN}} {
		if err := s.site.ns.up("lo", netip.PrefixFrom(netip.MustParseAddr(s.lan), 32)); err != nil {
			return p, err
		}
		if err := s.site.ns.up("wan0", netip.PrefixFrom(netip.MustParseAddr(s.outer), 24)); err != nil {
			return p, err
		}
	}
	if n != nil {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return p, err
		}
		if err := os.WriteFile(filepath.Join(dir, "mesh.secrets.yaml"), []byte(secretsText), 0o600); err != nil {
			return p, err
		}
		if err := os.WriteFile(filepath.Join(dir, "mesh.yaml"), n.mesh(), 0o600); err != nil {
			return p, err
		}
		for _, s := range []*site{p.left, p.right} {
			if err := s.run(dir, binary); err != nil {
				return p, err
			}
		}
	}
	return p, nil
}

func newSite(dir, name string) (*site, error) {
	ns, err := newNamespace()
	if err != nil {
		return nil, err
	}
	return &site{Client: control.Dial(filepath.Join(dir, name+".sock")), name: name, ns: ns, log: filepath.Join(dir, name+".log")}, nil
}

// run starts the site's router.
func (s *site) run(dir, binary string) error {
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()                                                                               //nolint:errcheck // the child has its own descriptor
	cmd := exec.Command(binary, "run", "--mesh", filepath.Join(dir, "mesh.yaml"), "--site", s.name, //nolint:gosec,noctx // our own binary, stopped in order
		"--socket", filepath.Join(dir, s.name+".sock"), "--state", filepath.Join(dir, s.name+".state"))
	cmd.Stdout, cmd.Stderr = log, log
	s.router, err = s.ns.spawn(cmd)
	return err
}

// close stops everything of the pair.
func (p *pair) close() error {
	var errs []error
	for _, s := range []*site{p.left, p.right} {
		if s == nil {
			continue
		}
		if s.router != nil {
			s.router.stop()
		}
		errs = append(errs, s.ns.close())
	}
	return errors.Join(errs...)
}

// ready waits until both kernels route to the other's LAN by way of the tunnel.
func (p *pair) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := errors.Join(p.left.routes(ctx, rightLAN), p.right.routes(ctx, leftLAN))
		if err == nil {
			return nil
		}
		for _, s := range []*site{p.left, p.right} {
			select {
			case <-s.router.exited:
				return fmt.Errorf("the router of %s has ended: %s", s.name, s.lastWords())
			default:
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the tunnel does not come up: %w: %s", err, p.left.lastWords())
		case <-tick.C:
		}
	}
}

// routes says why the site has no route to the address, if so.
func (s *site) routes(ctx context.Context, to string) error {
	var fib status.FIBDoc
	if err := s.Get(ctx, "fib", &fib); err != nil {
		return err
	}
	for _, e := range fib.Entries {
		if e.Destination.Contains(netip.MustParseAddr(to)) && e.InFIB && e.InKernel {
			return nil
		}
	}
	return fmt.Errorf("%s has no route to %s", s.name, to)
}

// lastWords is the end of the router's log.
func (s *site) lastWords() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "; ")
}

// outbound is the SA that the site's traffic leaves with.
func (s *site) outbound(ctx context.Context) (status.SA, error) {
	var sad status.SADDoc
	if err := s.Get(ctx, "sad", &sad); err != nil {
		return status.SA{}, err
	}
	for _, sa := range sad.SAs {
		if sa.Direction == "out" && sa.Current {
			return sa, nil
		}
	}
	return status.SA{}, fmt.Errorf("%s has no outbound SA", s.name)
}

// iperf sends for so long from left to right, between the outer addresses or the LANs. Each time has a
// server of its own: one that was drowned in UDP may be busy with that long after.
func (p *pair) iperf(ctx context.Context, outer, udp bool, duration time.Duration) (iperfResult, error) {
	from, to := leftLAN, rightLAN
	if outer {
		from, to = leftOuter, rightOuter
	}
	server, err := p.right.ns.spawn(exec.Command("iperf3", "--server", "--one-off")) //nolint:noctx // stopped below
	if err != nil {
		return iperfResult{}, err
	}
	defer server.stop()
	if err := server.listening(ctx); err != nil {
		return iperfResult{}, err
	}

	args := []string{"--client", to, "--bind", from, "--json", "--connect-timeout", "5000", "--time", strconv.Itoa(int(duration.Seconds()))}
	if udp {
		args = append(args, "--udp", "--bitrate", "0", "--length", strconv.Itoa(udpBytes))
	}
	var out bytes.Buffer
	cmd := exec.Command("iperf3", args...) //nolint:gosec,noctx // our own arguments; stopped below
	cmd.Stdout = &out
	client, err := p.left.ns.spawn(cmd)
	if err != nil {
		return iperfResult{}, err
	}
	timeout := time.NewTimer(duration + 15*time.Second)
	defer timeout.Stop()
	select {
	case <-client.exited:
	case <-ctx.Done():
		client.stop()
		return iperfResult{}, ctx.Err()
	case <-timeout.C:
		client.stop()
		return iperfResult{}, fmt.Errorf("%w from %s to %s does not end", errIperf, from, to)
	}
	return parseIperf(out.Bytes()) // it tells its errors there, too
}

// listening waits until the iperf3 server listens on its port. A connection would be its only one, so the
// kernel's table is asked instead.
func (p *process) listening(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, name := range []string{"tcp", "tcp6"} {
			table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", p.Process.Pid, name))
			if err == nil && listens(table) {
				return nil
			}
		}
		select {
		case <-p.exited:
			return fmt.Errorf("the iperf3 server has ended: %w", p.err)
		case <-ctx.Done():
			return fmt.Errorf("the iperf3 server does not listen: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// listens finds the port of iperf3, 5201, in state LISTEN in a table as /proc/net/tcp is.
func listens(table []byte) bool {
	for line := range bytes.Lines(table) {
		f := bytes.Fields(line)
		if len(f) > 3 && bytes.HasSuffix(f[1], []byte(":1451")) && string(f[3]) == "0A" {
			return true
		}
	}
	return false
}

package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// The addresses of the two sites. A LAN is addresses on the loopback device, so that what talks there runs
// beside the router.
const leftOuter, rightOuter = "192.0.2.1", "192.0.2.2"

const lanAddresses = 3 // a site's

func leftLAN(i int) string  { return fmt.Sprintf("10.1.0.%d", 1+i) }
func rightLAN(i int) string { return fmt.Sprintf("10.2.0.%d", 1+i) }

// A site is one end of a wire, in its namespace.
type site struct {
	name   string
	ns     *namespace
	router *process // of the tunnel; nil: none
	device string   // TUN
}

// A pair is two sites joined by a veth.
type pair struct {
	left, right *site
	dir         string    // for files and logs
	cores       [2][]int  // of each site
	workers     []*worker // that generate traffic, stopped first
}

// newPair makes the two sites. As much as there is comes with an error.
func newPair(dir string, cores [2][]int) (*pair, error) {
	p := &pair{dir: dir, cores: cores}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return p, err
	}
	var err error
	if p.left, err = newSite("left", cores[0]); err != nil {
		return p, err
	}
	if p.right, err = newSite("right", cores[1]); err != nil {
		return p, err
	}
	if err := join(p.left.ns, "wan0", p.right.ns, "wan0"); err != nil {
		return p, err
	}
	for _, s := range []struct {
		site  *site
		outer string
		lan   func(int) string
	}{{p.left, leftOuter, leftLAN}, {p.right, rightOuter, rightLAN}} {
		var lans []netip.Prefix
		for i := range lanAddresses {
			lans = append(lans, netip.PrefixFrom(netip.MustParseAddr(s.lan(i)), 32))
		}
		if err := s.site.ns.up("lo", lans...); err != nil {
			return p, err
		}
		if err := s.site.ns.up("wan0", netip.PrefixFrom(netip.MustParseAddr(s.outer), 24)); err != nil {
			return p, err
		}
	}
	return p, nil
}

func newSite(name string, cores []int) (*site, error) {
	ns, err := newNamespace(cores)
	if err != nil {
		return nil, err
	}
	return &site{name: name, ns: ns}, nil
}

// sites are both, as far as they exist.
func (p *pair) sites() (all []*site) {
	for _, s := range []*site{p.left, p.right} {
		if s != nil {
			all = append(all, s)
		}
	}
	return all
}

// close stops everything of the pair.
func (p *pair) close() error {
	var errs []error
	for _, w := range p.workers {
		w.close()
	}
	for _, s := range p.sites() {
		if s.router != nil {
			s.router.stop()
		}
		errs = append(errs, s.ns.close())
	}
	return errors.Join(errs...)
}

// dropped is how many packets the tunnel's devices and the sockets have lost so far.
func (p *pair) dropped() (n uint64) {
	for _, s := range p.sites() {
		if s.router == nil {
			continue
		}
		n += s.router.receiveDrops()
		if c, err := s.ns.statistics(s.device); err == nil {
			n += c.TxDropped + c.RxDropped
		}
	}
	return n
}

// switches are those of both routers.
func (p *pair) switches() (n uint64) {
	for _, s := range p.sites() {
		if s.router != nil {
			n += s.router.switches()
		}
	}
	return n
}

// An endpoint is an address at a site.
type endpoint struct {
	*site
	address string
}

// iperf sends TCP for so long. Each time has a server of its own: the last one's may be busy with a
// connection that was lost.
func iperf(ctx context.Context, from, to endpoint, streams int, duration time.Duration) (iperfResult, error) {
	server, err := to.ns.spawn(exec.Command("iperf3", "--server", "--one-off")) //nolint:noctx // stopped below
	if err != nil {
		return iperfResult{}, err
	}
	defer server.stop()
	if err := server.listening(ctx); err != nil {
		return iperfResult{}, err
	}
	var out bytes.Buffer
	cmd := exec.Command("iperf3", "--client", to.address, "--bind", from.address, "--json", "--connect-timeout", "5000", //nolint:gosec,noctx // our own arguments; stopped below
		"--time", strconv.Itoa(int(duration.Seconds())), "--parallel", strconv.Itoa(streams))
	cmd.Stdout = &out
	client, err := from.ns.spawn(cmd)
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
		return iperfResult{}, fmt.Errorf("%w from %s to %s does not end", errIperf, from.address, to.address)
	}
	return parseIperf(out.Bytes()) // it tells its errors there, too
}

// listening waits until the iperf3 server listens on its port. A connection would be its only one, so the
// kernel's table is asked instead.
func (p *process) listening(ctx context.Context) error {
	return poll(ctx, 5*time.Second, func() error {
		for _, name := range []string{"tcp", "tcp6"} {
			table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", p.Process.Pid, name))
			if err == nil && listens(table) {
				return nil
			}
		}
		return errors.New("the iperf3 server does not listen")
	})
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

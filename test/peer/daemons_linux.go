package peer

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// A daemon is what the peers have in common: a script and a name.
type daemon struct {
	*Namespace
	script, name string
	settings     Settings
}

// start runs the script's "up", and its "down" when the test ends; the logs named are shown if the
// test failed.
func (n *Net) start(s Settings, script, name string, args []string, logs ...string) daemon {
	n.tb.Helper()
	d := daemon{n.namespace(name), script, name, s}
	n.tb.Cleanup(func() {
		if n.tb.Failed() {
			for _, log := range logs {
				n.tb.Logf("%s of %s ends with:\n%s", log, name, tail(filepath.Join(n.state(), name, log), 100))
			}
		}
		if _, err := n.script(s, script, "down", name); err != nil {
			n.tb.Error(err)
		}
	})
	n.must(s, script, append([]string{"up", name}, args...)...)
	return d
}

// do runs a subcommand of the script.
func (d *daemon) do(cmd string, args ...string) (string, error) {
	return d.net.script(d.settings, d.script, append([]string{cmd, d.name}, args...)...)
}

func (d *daemon) mustDo(cmd string, args ...string) {
	d.net.tb.Helper()
	d.net.must(d.settings, d.script, append([]string{cmd, d.name}, args...)...)
}

// Routes are the destinations of the kernel's routes that the routing daemon called proto has made:
// "ospf" for FRR's, "bird" for BIRD's.
func (ns *Namespace) Routes(proto string) (map[string]Route, error) {
	out, err := ns.Try("ip", "-json", "-4", "route", "show", "proto", proto)
	if err != nil {
		return nil, err
	}
	var rows []struct {
		Dst, Gateway, Dev string
		Metric            int
	}
	if err := json.Unmarshal([]byte(out), &rows); err != nil {
		return nil, err
	}
	routes := make(map[string]Route)
	for _, r := range rows {
		routes[r.Dst] = Route{Gateway: r.Gateway, Device: r.Dev, Metric: r.Metric}
	}
	return routes, nil
}

// A Route is a kernel route with one next hop.
type Route struct {
	Gateway, Device string
	Metric          int
}

// Ping sends count echo requests, 10 a second, from source (empty: any) and returns how many were answered.
func (ns *Namespace) Ping(source, to string, count int) (answered int, err error) {
	args := []string{"ping", "-n", "-q", "-i", "0.1", "-W", "1", "-c", fmt.Sprint(count)}
	if source != "" {
		args = append(args, "-I", source)
	}
	out, err := ns.Try(append(args, to)...)
	_, rest, ok := strings.Cut(out, "packets transmitted, ")
	if !ok {
		return 0, fmt.Errorf("ping %s: %w: %s", to, err, out)
	}
	if _, err := fmt.Sscanf(rest, "%d received", &answered); err != nil {
		return 0, fmt.Errorf("ping %s: %w", to, err)
	}
	return answered, nil
}

// FRR is FRR's zebra and ospfd.
type FRR struct{ daemon }

// FRR starts FRR in a new namespace with address cidr on eth0. Settings: see test/peers/frr.
func (n *Net) FRR(name, cidr string, s Settings) *FRR {
	n.tb.Helper()
	return &FRR{n.start(s, "frr", name, []string{cidr}, "frr/ospfd.log", "zebra.out", "ospfd.out")}
}

// FRROn starts FRR in the namespace of a peer that is up, on interface IFACE of its settings.
func (n *Net) FRROn(name string, s Settings) *FRR {
	n.tb.Helper()
	return &FRR{n.start(s, "frr", name, nil, "frr/ospfd.log", "zebra.out", "ospfd.out")}
}

// Vtysh runs one command of vtysh.
func (f *FRR) Vtysh(cmd string) (string, error) { return f.do("vtysh", cmd) }

// JSON runs a show command and decodes what it prints.
func (f *FRR) JSON(cmd string, into any) error {
	out, err := f.Vtysh(cmd + " json")
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), into)
}

// Configure runs configuration commands one after another.
func (f *FRR) Configure(lines ...string) {
	f.net.tb.Helper()
	f.mustDo("vtysh", "configure terminal\n"+strings.Join(lines, "\n"))
}

// Restart stops zebra and ospfd and starts them again. ospfd flushes its LSAs first when it is not killed.
func (f *FRR) Restart(kill bool) {
	f.net.tb.Helper()
	how := "stop"
	if kill {
		how = "kill"
	}
	f.mustDo(how)
	f.mustDo("start")
}

// BIRD is BIRD 2.
type BIRD struct{ daemon }

// BIRD starts BIRD in a new namespace with address cidr on eth0. Settings: see test/peers/bird.
func (n *Net) BIRD(name, cidr string, s Settings) *BIRD {
	n.tb.Helper()
	return &BIRD{n.start(s, "bird", name, []string{cidr}, "bird.log", "bird.out")}
}

// BIRDOn starts BIRD in a namespace that is up, on interface IFACE of its settings.
func (n *Net) BIRDOn(name string, s Settings) *BIRD {
	n.tb.Helper()
	return &BIRD{n.start(s, "bird", name, nil, "bird.log", "bird.out")}
}

// Birdc runs one command of birdc.
func (b *BIRD) Birdc(cmd string) (string, error) { return b.do("birdc", cmd) }

// Restart stops BIRD and starts it again. BIRD flushes its LSAs first when it is not killed.
func (b *BIRD) Restart(kill bool) {
	b.net.tb.Helper()
	how := "stop"
	if kill {
		how = "kill"
	}
	b.mustDo(how)
	b.mustDo("start")
}

// StrongSwan is charon with its ESP in userspace: NAT traversal (UDP 4500) and tunnel mode only.
type StrongSwan struct{ daemon }

// StrongSwan starts charon in a new namespace. Settings: see test/peers/strongswan.
func (n *Net) StrongSwan(name string, s Settings) *StrongSwan {
	n.tb.Helper()
	return &StrongSwan{n.start(s, "strongswan", name, nil, "charon.log", "charon.out")}
}

// Initiate negotiates the child "net" and waits for the end.
func (s *StrongSwan) Initiate() error {
	_, err := s.do("initiate")
	return err
}

// Swanctl runs swanctl: "--list-sas", "--rekey", "--ike", "peer".
func (s *StrongSwan) Swanctl(args ...string) (string, error) { return s.do("swanctl", args...) }

// GRE makes gre1 with address cidr over the tunnel.
func (s *StrongSwan) GRE(cidr string) {
	s.net.tb.Helper()
	s.mustDo("gre", cidr)
}

// Log is what charon has logged so far.
func (s *StrongSwan) Log() string {
	b, err := os.ReadFile(filepath.Join(s.net.state(), s.name, "charon.log"))
	if err != nil {
		s.net.tb.Fatal(err)
	}
	return string(b)
}

// Guest is a Linux machine in QEMU: kernel ESP and GRE, strongSwan's IKE, FRR's OSPF.
type Guest struct{ daemon }

// guests bounds how many run at a time: a guest's processor is emulated, and one that is starved misses
// its own timers.
var guests = make(chan struct{}, max(1, runtime.NumCPU()/2)) //nolint:gochecknoglobals // the machine's processors are

// Guest boots a guest when there is a processor for it. Settings: see test/peers/guest.
func (n *Net) Guest(name string, s Settings) *Guest {
	n.tb.Helper()
	guests <- struct{}{}
	n.tb.Cleanup(func() { <-guests })
	return &Guest{n.start(s, "guest", name, nil, "console.log", "qemu.out")}
}

// Exec runs a shell command in the guest and returns what it printed.
func (g *Guest) Exec(cmd string) (string, error) { return g.do("exec", cmd) }

// Initiate negotiates the child "net" and waits for the end.
func (g *Guest) Initiate() error {
	_, err := g.do("initiate")
	return err
}

// Check says what is missing: the IPsec SA, or a Full OSPF neighbor.
func (g *Guest) Check() error {
	_, err := g.do("check")
	return err
}

// Vtysh runs one command of the guest's vtysh.
func (g *Guest) Vtysh(cmd string) (string, error) { return g.Exec("vtysh -c '" + cmd + "'") }

// tail is the last n lines of a file.
func tail(path string, n int) string {
	b, err := os.ReadFile(path) //nolint:gosec // a log of the tests' own
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

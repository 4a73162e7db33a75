package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

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
  bench: {ike: %[1]s, esp: %[2]s, pfs: none}
sites:
  left:  {number: 1, address: 192.0.2.1, lan: [10.1.0.0/24], offload: %[4]s}
  right: {number: 2, address: 192.0.2.2, lan: [10.2.0.0/24], offload: %[4]s}
defaults: {natt: %[3]s}
links: full
`

// secretsText protects packets that never leave this machine.
const secretsText = "psk: for a moment\nospf: for a moment\n" //nolint:gosec // as it says

// A meshTunnel is two `meshrouter run` with IKE, ESP, GRE and OSPF.
type meshTunnel struct {
	negotiation
	offload string   // the mesh file's value; empty: on
	udp     bool     // UDP encapsulation; else IP protocol 50
	binary  string   // meshrouter
	prefix  []string // arguments before "run", {SITE} being the site's name
	clients [2]*control.Client
}

func (m *meshTunnel) mesh() []byte {
	natt := "off"
	if m.udp {
		natt = "force"
	}
	return fmt.Appendf(nil, meshText, m.name1, m.name2, natt, cmp.Or(m.offload, "on"))
}

// start starts both routers and waits until both kernels route to the other's LAN by way of the tunnel.
func (m *meshTunnel) start(ctx context.Context, p *pair) error {
	if err := os.WriteFile(filepath.Join(p.dir, "mesh.secrets.yaml"), []byte(secretsText), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(p.dir, "mesh.yaml"), m.mesh(), 0o600); err != nil {
		return err
	}
	for i, s := range p.sites() {
		file := func(suffix string) string { return filepath.Join(p.dir, s.name+suffix) }
		var args []string
		for _, a := range m.prefix {
			args = append(args, strings.ReplaceAll(a, "{SITE}", s.name))
		}
		args = append(args, "run", "--mesh", filepath.Join(p.dir, "mesh.yaml"), "--site", s.name, "--socket", file(".sock"), "--state", file(".state"))
		cmd := exec.Command(m.binary, args...) //nolint:gosec,noctx // our own binary, stopped in order
		closeLog, err := logTo(cmd, file(".log"))
		if err != nil {
			return err
		}
		s.router, err = s.ns.spawn(cmd)
		closeLog()
		if err != nil {
			return err
		}
		s.device = fmt.Sprintf("mr%d", i+1)
		m.clients[i] = control.Dial(file(".sock"))
	}
	err := poll(ctx, 30*time.Second, func() error {
		for _, s := range p.sites() {
			select {
			case <-s.router.exited:
				return nil // reported below
			default:
			}
		}
		return errors.Join(m.routes(ctx, 0, rightLAN(0)), m.routes(ctx, 1, leftLAN(0)))
	})
	for _, s := range p.sites() {
		select {
		case <-s.router.exited:
			return fmt.Errorf("the router of %s has ended: %s", s.name, p.lastWords(s))
		default:
		}
	}
	if err != nil {
		return fmt.Errorf("the tunnel does not come up: %w: %s", err, p.lastWords(p.left))
	}
	return nil
}

// routes says why site i has no route to the address, if so.
func (m *meshTunnel) routes(ctx context.Context, i int, to string) error {
	var fib status.FIBDoc
	if err := m.clients[i].Get(ctx, "fib", &fib); err != nil {
		return err
	}
	for _, e := range fib.Entries {
		if e.Destination.Contains(netip.MustParseAddr(to)) && e.InFIB && e.InKernel {
			return nil
		}
	}
	return fmt.Errorf("there is no route to %s", to)
}

// lastWords is the end of a router's log.
func (p *pair) lastWords(s *site) string {
	text, err := os.ReadFile(filepath.Join(p.dir, s.name+".log"))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "; ")
}

// implementation names the cipher and way of the SA that traffic leaves with, and refuses others than
// were asked for.
func (m *meshTunnel) implementation(ctx context.Context) (string, error) {
	sa, err := m.outbound(ctx)
	if err != nil {
		return "", err
	}
	if sa.Encryption != m.encryption {
		return "", fmt.Errorf("the SA's cipher is %s, want %s", sa.Encryption, m.encryption)
	}
	if sa.UDP != m.udp {
		return "", fmt.Errorf("the SA's encapsulation in UDP is %t, want %t", sa.UDP, m.udp)
	}
	return sa.Encryption, nil
}

// sealed is how many bytes the left site's SA has sealed.
func (m *meshTunnel) sealed(ctx context.Context) (uint64, error) {
	sa, err := m.outbound(ctx)
	return sa.Bytes, err
}

// outbound is the SA that the left site's traffic leaves with.
func (m *meshTunnel) outbound(ctx context.Context) (status.SA, error) {
	var sad status.SADDoc
	if err := m.clients[0].Get(ctx, "sad", &sad); err != nil {
		return status.SA{}, err
	}
	for _, sa := range sad.SAs {
		if sa.Direction == "out" && sa.Current {
			return sa, nil
		}
	}
	return status.SA{}, errors.New("there is no outbound SA")
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A strongSwan is charon at both ends, with ESP in user space (kernel-libipsec), since that is what a
// user would pick where the kernel has none. One IKE_SA carries a child for each suite, between LAN
// addresses of its own.
type strongSwan struct {
	version    string // as charon tells it
	algorithms string // what swanctl --list-algs says, left
	p          *pair
}

// strongSwanTable are the children, by LAN address.
var strongSwanTable = [lanAddresses]struct {
	name, proposal string // ours and theirs
	algorithms     []string
	accelerated    []string // plugins that are worth a comparison
}{
	{"3des-sha1", "3des-sha1", []string{"3DES_CBC", "HMAC_SHA1_96"}, []string{"openssl"}},
	{"aes128-sha1", "aes128-sha1", []string{"AES_CBC", "HMAC_SHA1_96"}, []string{"aesni", "openssl"}},
	{"aes128gcm16", "aes128gcm16", []string{"AES_GCM_16"}, []string{"aesni", "openssl"}},
}

// findStrongSwan says what is missing.
func findStrongSwan() error {
	for _, name := range []string{"charon-systemd", "swanctl"} {
		if _, err := lookSbin(name); err != nil {
			return fmt.Errorf("there is no %s (apt-get install charon-systemd strongswan-swanctl libstrongswan-standard-plugins libcharon-extra-plugins)", name)
		}
	}
	for _, plugin := range []string{"kernel-libipsec", "aesni", "openssl"} {
		if matches, _ := filepath.Glob("/usr/lib*/ipsec/plugins/libstrongswan-" + plugin + ".so"); len(matches) == 0 {
			return fmt.Errorf("strongSwan has no plugin %s (apt-get install libstrongswan-standard-plugins libcharon-extra-plugins)", plugin)
		}
	}
	return nil
}

// lookSbin looks where daemons are, too.
func lookSbin(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return exec.LookPath(filepath.Join("/usr/sbin", name))
}

// The plugins' order is the order of preference: aesni before openssl, and no portable code before either.
const strongSwanConf = `charon-systemd {
  load = random nonce aesni openssl kdf kernel-libipsec kernel-netlink socket-default vici
  install_routes = yes
  plugins {
    vici { socket = unix://%[1]s }
    kernel-libipsec { allow_peer_ts = yes }
    socket-default { fwmark = 0x42 }
    kernel-netlink { fwmark = !0x42 }
  }
}
swanctl { load = random openssl }
`

const swanctlConf = `connections {
  bench {
    version = 2
    local_addrs = %[1]s
    remote_addrs = %[2]s
    proposals = aes256-sha256-modp2048
    rekey_time = 0
    local { auth = psk
      id = %[1]s }
    remote { auth = psk
      id = %[2]s }
    children {
%[3]s    }
  }
}
secrets { ike { secret = "for a moment" } }
`

func (w *strongSwan) start(ctx context.Context, p *pair) error {
	w.p = p
	for _, s := range p.sites() {
		if err := w.startSite(ctx, s); err != nil {
			return fmt.Errorf("strongSwan, %s: %w", s.name, err)
		}
	}
	algorithms, err := w.swanctl(ctx, p.left, "--list-algs")
	if err != nil {
		return err
	}
	w.algorithms = algorithms
	version, err := w.swanctl(ctx, p.left, "--version", "--daemon")
	if err != nil {
		return err
	}
	w.version, _, _ = strings.Cut(firstLines(version, 1), ",") // the kernel and the processor follow
	w.version += ", kernel-libipsec"
	for i, suite := range strongSwanTable {
		if _, err := w.swanctl(ctx, p.left, "--initiate", "--child", suite.name, "--timeout", "10"); err != nil {
			return err
		}
		if sas, err := w.swanctl(ctx, p.left, "--list-sas"); err != nil || strings.Count(sas, "INSTALLED") != i+1 {
			return errors.Join(err, fmt.Errorf("%s is not installed: %s", suite.name, firstLines(sas, 3)))
		}
	}
	return nil
}

// startSite starts charon and loads its connections. Debian's AppArmor profiles go by path and keep the
// originals from files outside /etc, so copies run.
func (w *strongSwan) startSite(ctx context.Context, s *site) error {
	dir := filepath.Join(w.p.dir, s.name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, name := range []string{"charon-systemd", "swanctl"} {
		path, err := lookSbin(name)
		if err != nil {
			return err
		}
		program, err := os.ReadFile(path) //nolint:gosec // the system's
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), program, 0o700); err != nil { //nolint:gosec // a program
			return err
		}
	}
	local, remote, localLAN, remoteLAN := leftOuter, rightOuter, leftLAN, rightLAN
	if s.name == "right" {
		local, remote, localLAN, remoteLAN = rightOuter, leftOuter, rightLAN, leftLAN
	}
	var children strings.Builder
	for i, suite := range strongSwanTable {
		fmt.Fprintf(&children, "      %s { local_ts = %s/32\n remote_ts = %s/32\n esp_proposals = %s\n rekey_time = 0 }\n", suite.name, localLAN(i), remoteLAN(i), suite.proposal)
	}
	socket := filepath.Join(dir, "vici")
	for name, text := range map[string]string{
		"strongswan.conf": fmt.Sprintf(strongSwanConf, socket),
		"swanctl.conf":    fmt.Sprintf(swanctlConf, local, remote, children.String()),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	cmd := exec.Command(filepath.Join(dir, "charon-systemd")) //nolint:gosec,noctx // a copy of the system's, stopped in order
	cmd.Env = append(os.Environ(), "STRONGSWAN_CONF="+filepath.Join(dir, "strongswan.conf"))
	closeLog, err := logTo(cmd, filepath.Join(w.p.dir, s.name+".log"))
	if err != nil {
		return err
	}
	s.router, err = s.ns.spawn(cmd)
	closeLog()
	if err != nil {
		return err
	}
	s.device = "ipsec0"
	if err := poll(ctx, 10*time.Second, func() error {
		_, err := os.Stat(socket)
		return err
	}); err != nil {
		return fmt.Errorf("charon does not start: %s", w.p.lastWords(s))
	}
	_, err = w.swanctl(ctx, s, "--load-all")
	return err
}

func (w *strongSwan) swanctl(ctx context.Context, s *site, args ...string) (string, error) {
	dir := filepath.Join(w.p.dir, s.name)
	cmd := exec.Command(filepath.Join(dir, "swanctl"), append(args, "--uri", "unix://"+filepath.Join(dir, "vici"))...) //nolint:gosec,noctx // stopped with ctx
	cmd.Env = append(os.Environ(), "SWANCTL_DIR="+dir, "STRONGSWAN_CONF="+filepath.Join(dir, "strongswan.conf"))
	return s.ns.run(ctx, cmd)
}

// A strongSwanChild is one suite of it, which is a path of its own.
type strongSwanChild struct {
	*strongSwan
	suite int
}

// start is done by the first of them.
func (c *strongSwanChild) start(ctx context.Context, p *pair) error {
	if c.p != nil {
		return nil
	}
	return c.strongSwan.start(ctx, p)
}

func (c *strongSwanChild) implementation(context.Context) (string, error) {
	return chosenPlugins(c.algorithms, strongSwanTable[c.suite].algorithms, strongSwanTable[c.suite].accelerated)
}

// chosenPlugins finds which plugin does each algorithm in the text of swanctl --list-algs, such as
// AES_GCM_16[aesni], and refuses one that is not accelerated: the comparison would be with nothing that
// a user would run.
func chosenPlugins(list string, algorithms, accelerated []string) (string, error) {
	var chosen []string
	for _, algorithm := range algorithms {
		_, rest, found := strings.Cut(list, algorithm+"[")
		plugin, _, closed := strings.Cut(rest, "]")
		if !found || !closed {
			return "", fmt.Errorf("strongSwan has no %s: swanctl --list-algs does not show it", algorithm)
		}
		ok := false
		for _, a := range accelerated {
			ok = ok || a == plugin
		}
		if !ok {
			return "", fmt.Errorf("strongSwan does %s by its plugin %s, which is slow: want one of %v", algorithm, plugin, accelerated)
		}
		chosen = append(chosen, algorithm+"["+plugin+"]")
	}
	return strings.Join(chosen, " "), nil
}

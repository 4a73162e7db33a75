package bench

import (
	"bufio"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// What is measured if there is no wireguard-go on PATH.
const (
	wireguardModule  = "golang.zx2c4.com/wireguard"
	wireguardVersion = "v0.0.0-20260522210424-ecfc5a8d5446"
)

// findWireGuard returns wireguard-go: that on PATH, or one built from its Go module.
func findWireGuard(ctx context.Context) (binary, version string, err error) {
	if binary, err := exec.LookPath("wireguard-go"); err == nil {
		text, _ := exec.CommandContext(ctx, binary, "--version").Output() //nolint:gosec // the user's own; an old one exits with 1
		return binary, firstLines(string(text), 1) + ", found on PATH", nil
	}
	goTool, err := exec.LookPath("go")
	if err != nil {
		return "", "", errors.New("there is no wireguard-go on PATH, and no go to build it with")
	}
	cache, err := cacheDir()
	if err != nil {
		return "", "", err
	}
	dir := filepath.Join(cache, "wireguard-"+wireguardVersion)
	binary, version = filepath.Join(dir, "wireguard"), wireguardModule+" "+wireguardVersion
	if _, err := os.Stat(binary); err == nil {
		return binary, version, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, goTool, "install", "-trimpath", "-buildvcs=false", wireguardModule+"@"+wireguardVersion) //nolint:gosec // constants
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "CGO_ENABLED=0", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("there is no wireguard-go on PATH, and it cannot be built: %w: %s", err, firstLines(string(text), 3))
	}
	return binary, version, nil
}

// uapiDir is where wireguard-go listens for its configuration.
const uapiDir = "/var/run/wireguard"

const wireguardPort = 51820

// A wireguardTunnel is two wireguard-go. It has one cipher, ChaCha20-Poly1305, in UDP.
type wireguardTunnel struct {
	binary string
}

func (w *wireguardTunnel) start(ctx context.Context, p *pair) error {
	keys := make([]*ecdh.PrivateKey, 2)
	for i := range keys {
		var err error
		if keys[i], err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
			return err
		}
	}
	for i, s := range p.sites() {
		s.device = "mrb-" + s.name
		cmd := exec.Command(w.binary, "-f", s.device) //nolint:gosec,noctx // found by us, stopped in order
		cmd.Env = append(os.Environ(), "LOG_LEVEL=error")
		closeLog, err := logTo(cmd, filepath.Join(p.dir, s.name+".log"))
		if err != nil {
			return err
		}
		s.router, err = s.ns.spawn(cmd)
		closeLog()
		if err != nil {
			return err
		}
		peer, peerLAN, ownLAN := rightOuter, rightLAN, leftLAN
		if i == 1 {
			peer, peerLAN, ownLAN = leftOuter, leftLAN, rightLAN
		}
		settings := fmt.Sprintf("private_key=%s\nlisten_port=%d\npublic_key=%s\nendpoint=%s\nallowed_ip=0.0.0.0/0\n",
			hex.EncodeToString(keys[i].Bytes()), wireguardPort, hex.EncodeToString(keys[1-i].PublicKey().Bytes()),
			net.JoinHostPort(peer, strconv.Itoa(wireguardPort)))
		if err := poll(ctx, 10*time.Second, func() error { return configure(ctx, s.device, settings) }); err != nil {
			return fmt.Errorf("wireguard-go: %w: %s", err, p.lastWords(s))
		}
		if err := s.ns.up(s.device); err != nil {
			return err
		}
		if err := s.ns.route(peerLAN(0), s.device, ownLAN(0)); err != nil {
			return err
		}
	}
	return nil
}

// configure sets a device up through its socket (the cross-platform interface of wireguard.com/xplatform).
func configure(ctx context.Context, device, settings string) error {
	c, err := new(net.Dialer).DialContext(ctx, "unix", filepath.Join(uapiDir, device+".sock"))
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // read to the end
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Write([]byte("set=1\n" + settings + "\n")); err != nil {
		return err
	}
	answer, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err
	}
	if answer = strings.TrimSpace(answer); answer != "errno=0" {
		return fmt.Errorf("it answers %s", answer)
	}
	return nil
}

func (w *wireguardTunnel) implementation(context.Context) (string, error) {
	return "ChaCha20-Poly1305 of golang.org/x/crypto", nil // it has no other
}

package peer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Main runs the tests of a package that needs real peers: call it from TestMain. It first sweeps what
// killed runs left behind. Without root or a program that the peers need it fails; it never skips.
func Main(m *testing.M) {
	if missing := missing(); len(missing) > 0 {
		fmt.Fprintf(os.Stderr, "these tests need %s (make test installs the packages)\n", strings.Join(missing, ", "))
		os.Exit(1)
	}
	if dir, err := os.Getwd(); err == nil {
		for ; dir != "/"; dir = filepath.Dir(dir) {
			_ = exec.Command(filepath.Join(dir, "test", "peers", "sweep")).Run() //nolint:gosec,noctx // our own script
		}
	}
	code := m.Run()
	if build.dir != "" {
		_ = os.RemoveAll(build.dir)
	}
	os.Exit(code)
}

func missing() (what []string) {
	if os.Geteuid() != 0 {
		what = append(what, "root")
	}
	path := os.Getenv("PATH") + ":/usr/sbin:/sbin:/usr/lib/frr"
	if err := os.Setenv("PATH", path); err != nil {
		what = append(what, err.Error())
	}
	for _, program := range []string{
		"ip", "nft", "ping", "tcpdump", "tshark", "iperf3", "ike-scan", "python3", "charon-systemd", "swanctl",
		"zebra", "ospfd", "vtysh", "bird", "birdc", "qemu-system-x86_64", "busybox", "cpio", "depmod",
	} {
		if _, err := exec.LookPath(program); err != nil {
			what = append(what, program)
		}
	}
	return what
}

package bench

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// A namespace is a network namespace without a name: the thread that entered it keeps it. When that
// thread ends, also because the program was killed, the processes that it started are killed and the
// kernel takes the namespace away with everything in it.
type namespace struct {
	fd   netns.NsHandle
	nl   *netlink.Handle
	jobs chan func()
	done chan struct{}
}

// The thread, and so its processes, are held to the cores; none: to none.
func newNamespace(cores []int) (*namespace, error) {
	n := &namespace{fd: netns.None(), jobs: make(chan func()), done: make(chan struct{})}
	go func() { // ends with close
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		defer close(n.done)
		for job := range n.jobs {
			job()
		}
	}()
	err := n.do(func() (err error) {
		if len(cores) > 0 {
			var set unix.CPUSet
			for _, c := range cores {
				set.Set(c)
			}
			if err := unix.SchedSetaffinity(0, &set); err != nil {
				return fmt.Errorf("hold a site to cores %v: %w", cores, err)
			}
		}
		if n.fd, err = netns.New(); err != nil {
			return fmt.Errorf("network namespace: %w", err)
		}
		if n.nl, err = netlink.NewHandle(); err != nil {
			return fmt.Errorf("netlink: %w", err)
		}
		// Nothing chatters here by itself, and packets may come by way of the tunnel.
		for _, name := range []string{"ipv6/conf/all/disable_ipv6", "ipv6/conf/default/disable_ipv6"} {
			if err := sysctl(name, "1"); err != nil && !errors.Is(err, os.ErrNotExist) { // a kernel without IPv6
				return err
			}
		}
		for _, name := range []string{"ipv4/conf/all/rp_filter", "ipv4/conf/default/rp_filter"} {
			if err := sysctl(name, "0"); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

// do calls f on the namespace's thread.
func (n *namespace) do(f func() error) error {
	result := make(chan error)
	n.jobs <- func() { result <- f() }
	return <-result
}

// close ends the thread, and with it the processes and the namespace.
func (n *namespace) close() error {
	if n.nl != nil {
		n.nl.Close()
	}
	close(n.jobs)
	<-n.done
	if !n.fd.IsOpen() {
		return nil
	}
	return n.fd.Close()
}

// sysctl sets a value below /proc/sys/net; the calling thread's namespace counts.
func sysctl(name, value string) error {
	return os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0)
}

// start starts a process inside.
func (n *namespace) start(cmd *exec.Cmd) error {
	// Ctrl-C is for us; we then stop them in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return n.do(cmd.Start)
}

// up gives a device addresses and brings it up.
func (n *namespace) up(device string, addresses ...netip.Prefix) error {
	link, err := n.nl.LinkByName(device)
	if err != nil {
		return fmt.Errorf("interface %s: %w", device, err)
	}
	for _, a := range addresses {
		ip := net.IPNet{IP: a.Addr().AsSlice(), Mask: net.CIDRMask(a.Bits(), a.Addr().BitLen())}
		if err := n.nl.AddrAdd(link, &netlink.Addr{IPNet: &ip}); err != nil {
			return fmt.Errorf("address %s on %s: %w", a, device, err)
		}
	}
	return n.nl.LinkSetUp(link)
}

// join makes a veth between two namespaces.
func join(a *namespace, aName string, b *namespace, bName string) error {
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: aName}, PeerName: bName, PeerNamespace: netlink.NsFd(int(b.fd))}
	if err := a.nl.LinkAdd(veth); err != nil {
		return fmt.Errorf("veth %s: %w", strings.Join([]string{aName, bName}, "-"), err)
	}
	return nil
}

// statistics are the counters of a device.
func (n *namespace) statistics(device string) (netlink.LinkStatistics, error) {
	link, err := n.nl.LinkByName(device)
	if err != nil {
		return netlink.LinkStatistics{}, fmt.Errorf("interface %s: %w", device, err)
	}
	if s := link.Attrs().Statistics; s != nil {
		return *s, nil
	}
	return netlink.LinkStatistics{}, fmt.Errorf("interface %s has no counters", device)
}

// route sends what is for an address into a device, from another address.
func (n *namespace) route(to, device, from string) error {
	link, err := n.nl.LinkByName(device)
	if err != nil {
		return fmt.Errorf("interface %s: %w", device, err)
	}
	dst := net.IPNet{IP: net.ParseIP(to).To4(), Mask: net.CIDRMask(32, 32)}
	r := netlink.Route{LinkIndex: link.Attrs().Index, Dst: &dst, Src: net.ParseIP(from), Scope: netlink.SCOPE_LINK}
	if err := n.nl.RouteReplace(&r); err != nil {
		return fmt.Errorf("route to %s by %s: %w", to, device, err)
	}
	return nil
}

package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// netnsDir is where ip-netns(8) looks for named namespaces.
const netnsDir = "/run/netns"

// A namespace is a named network namespace with a netlink connection into it.
type namespace struct {
	name string
	fd   netns.NsHandle
	nl   *netlink.Handle
}

// newNamespace makes a namespace that ip-netns(8) can name too. A name in use is an error.
func newNamespace(name string) (*namespace, error) {
	n := &namespace{name: name, fd: netns.None()}
	err := onOwnThread(func() error {
		fd, err := netns.NewNamed(name)
		n.fd = fd
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("network namespace %s: %w", name, err)
	}
	if n.nl, err = netlink.NewHandleAt(n.fd, unix.NETLINK_ROUTE); err != nil {
		return nil, errors.Join(fmt.Errorf("netlink in %s: %w", name, err), n.delete())
	}
	if err := n.configure(); err != nil {
		return nil, errors.Join(fmt.Errorf("network namespace %s: %w", name, err), n.delete())
	}
	return n, nil
}

// configure brings loopback up and silences what would chatter on the wire by itself.
func (n *namespace) configure() error {
	lo, err := n.nl.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := n.nl.LinkSetUp(lo); err != nil {
		return err
	}
	return n.sysctl(
		"ipv6/conf/all/disable_ipv6", "1",
		"ipv6/conf/default/disable_ipv6", "1",
		"ipv4/conf/all/rp_filter", "0",
		"ipv4/conf/default/rp_filter", "0",
	)
}

// sysctl sets pairs of names below /proc/sys/net and values. A kernel without IPv6 is fine.
func (n *namespace) sysctl(pairs ...string) error {
	return n.do(func() error {
		for i := 0; i < len(pairs); i += 2 {
			path := filepath.Join("/proc/sys/net", pairs[i])
			err := os.WriteFile(path, []byte(pairs[i+1]), 0)
			if errors.Is(err, os.ErrNotExist) && pairs[i][:4] == "ipv6" {
				continue
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// do calls f on a thread inside the namespace. Sockets and processes made by f stay there.
func (n *namespace) do(f func() error) error {
	return onOwnThread(func() error {
		if err := netns.Set(n.fd); err != nil {
			return fmt.Errorf("enter network namespace %s: %w", n.name, err)
		}
		return f()
	})
}

// delete forgets the namespace; the kernel frees it once the last process has left it.
func (n *namespace) delete() error {
	if n.nl != nil {
		n.nl.Close()
		n.nl = nil
	}
	if n.fd.IsOpen() {
		_ = n.fd.Close()
	}
	return deleteNamespace(n.name)
}

// deleteNamespace removes a named namespace, also one that lost its mount.
func deleteNamespace(name string) error {
	path := filepath.Join(netnsDir, name)
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// onOwnThread runs f on a thread that no other goroutine shares, and brings the thread back to its
// namespace afterwards; a thread that cannot go back ends.
func onOwnThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			done <- err
			return
		}
		err = f()
		if netns.Set(home) == nil {
			runtime.UnlockOSThread()
		}
		_ = home.Close()
		done <- err
	}()
	return <-done
}

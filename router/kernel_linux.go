package router

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// routeProtocol marks our routes in the kernel's table (`ip route show proto 109`), so that a later
// start can tell them from everybody else's.
const routeProtocol netlink.RouteProtocol = 109

// kernelSupport says what `run` misses on this system: nothing.
func kernelSupport() error { return nil }

// A kernel keeps the TUN device's addresses and routes in the host's tables. Methods may be called
// from several goroutines.
type kernel struct {
	mu  sync.Mutex
	dev netlink.Link
}

// openKernel finds the device.
func openKernel(tun string) (*kernel, error) {
	dev, err := netlink.LinkByName(tun)
	if err != nil {
		return nil, fmt.Errorf("TUN device %s: %w", tun, err)
	}
	return &kernel{dev: dev}, nil
}

// hasDevice reports whether a device of that name exists.
func hasDevice(name string) bool {
	_, err := netlink.LinkByName(name)
	return err == nil
}

// dropped is how many packets the host has lost on their way to us, because we did not take them out of
// the device's queue in time.
func (k *kernel) dropped() uint64 {
	dev, err := netlink.LinkByIndex(k.dev.Attrs().Index)
	if err != nil || dev.Attrs().Statistics == nil {
		return 0 // the device goes, and its counters with it
	}
	return dev.Attrs().Statistics.TxDropped
}

// setup gives the device its MTU and exactly these addresses, and takes it up.
func (k *kernel) setup(addrs []netip.Addr, mtu int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	name := k.dev.Attrs().Name
	if err := netlink.LinkSetMTU(k.dev, mtu); err != nil {
		return fmt.Errorf("MTU %d of %s: %w", mtu, name, err)
	}
	wanted := map[netip.Addr]bool{}
	for _, a := range addrs {
		wanted[a] = true
	}
	have, err := netlink.AddrList(k.dev, unix.AF_INET)
	if err != nil {
		return fmt.Errorf("addresses of %s: %w", name, err)
	}
	for _, h := range have {
		a, _ := netip.AddrFromSlice(h.IP.To4())
		if wanted[a] {
			delete(wanted, a)
		} else if err := netlink.AddrDel(k.dev, &h); err != nil {
			return fmt.Errorf("remove address %s of %s: %w", a, name, err)
		}
	}
	for _, a := range addrs {
		if !wanted[a] {
			continue
		}
		if err := netlink.AddrAdd(k.dev, &netlink.Addr{IPNet: ipNet(host(a))}); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("add address %s to %s: %w", a, name, err)
		}
	}
	if err := netlink.LinkSetUp(k.dev); err != nil {
		return fmt.Errorf("take %s up: %w", name, err)
	}
	// ICMP errors that the data plane makes carry our own tunnel address and come in by the device.
	for _, knob := range []struct{ name, value string }{{"accept_local", "1"}, {"rp_filter", "0"}, {"forwarding", "1"}} {
		path := "/proc/sys/net/ipv4/conf/" + name + "/" + knob.name
		if err := os.WriteFile(path, []byte(knob.value), 0o600); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("sysctl net.ipv4.conf.%s.%s=%s: %w", name, knob.name, knob.value, err)
		}
	}
	return nil
}

// A kernelRoute sends a prefix into the TUN device.
type kernelRoute struct {
	prefix netip.Prefix
	mtu    int        // of the tunnel it leads to, so that the host's own packets fit; 0: the device's
	src    netip.Addr // what the host's own packets carry; invalid: the kernel chooses
}

// apply changes the kernel's routes. All are tried; the errors are joined.
func (k *kernel) apply(changed []kernelRoute, removed []netip.Prefix) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var errs []error
	for _, r := range changed {
		if err := netlink.RouteReplace(k.route(r)); err != nil {
			errs = append(errs, fmt.Errorf("kernel route %s: %w", r.prefix, err))
		}
	}
	for _, p := range removed {
		if err := netlink.RouteDel(k.route(kernelRoute{prefix: p})); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("remove kernel route %s: %w", p, err))
		}
	}
	return errors.Join(errs...)
}

func (k *kernel) route(r kernelRoute) *netlink.Route {
	nr := &netlink.Route{
		LinkIndex: k.dev.Attrs().Index, Dst: ipNet(r.prefix), Protocol: routeProtocol,
		Scope: netlink.SCOPE_LINK, Priority: routePriority, MTU: r.mtu,
	}
	if r.src.IsValid() {
		nr.Src = r.src.AsSlice()
	}
	return nr
}

// routePriority is the metric of our routes: behind connected and static ones of the same prefix.
const routePriority = 32

// installed lists our routes as the kernel has them.
func (k *kernel) installed() (map[netip.Prefix]bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	filter := &netlink.Route{LinkIndex: k.dev.Attrs().Index, Protocol: routeProtocol}
	list, err := netlink.RouteListFiltered(unix.AF_INET, filter, netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return nil, fmt.Errorf("list the kernel's routes: %w", err)
	}
	have := map[netip.Prefix]bool{}
	for _, r := range list {
		have[prefixOf(r.Dst)] = true
	}
	return have, nil
}

// prefixOf reads a route's destination; nil is the default route.
func prefixOf(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	a, _ := netip.AddrFromSlice(n.IP.To4())
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a, bits)
}

// flush removes all our routes.
func (k *kernel) flush() error {
	have, err := k.installed()
	if err != nil {
		return err
	}
	var all []netip.Prefix
	for p := range have {
		all = append(all, p)
	}
	return k.apply(nil, all)
}

// hostAddressIn returns the host's own address in one of the networks and the name of its device,
// or nothing.
func hostAddressIn(networks ...netip.Prefix) (addr netip.Addr, device string) {
	addrs, err := netlink.AddrList(nil, unix.AF_INET)
	if err != nil {
		return netip.Addr{}, ""
	}
	for _, n := range networks {
		for _, a := range addrs {
			ip, ok := netip.AddrFromSlice(a.IP.To4())
			if !ok || !n.Contains(ip) {
				continue
			}
			if link, err := netlink.LinkByIndex(a.LinkIndex); err == nil {
				device = link.Attrs().Name
			}
			return ip, device
		}
	}
	return netip.Addr{}, ""
}

// forwardingOff says whether the host would not pass packets between a LAN and the tunnels.
func forwardingOff() bool {
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	return err == nil && len(b) > 0 && b[0] == '0'
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

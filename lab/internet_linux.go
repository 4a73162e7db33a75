package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"meshrouter/mesh"
)

// bridgeName is the internet's bridge, in a namespace of its own.
const bridgeName = "internet"

// An internet is one bridge that every site has one address on.
type internet struct {
	ns    *namespace
	ports map[int]*mesh.Site // interface index of a bridge port: the site behind it
	cut   *filter            // the packets that it drops now, or nil
}

// newInternet makes the bridge.
func newInternet(name string) (*internet, error) {
	ns, err := newNamespace(name)
	if err != nil {
		return nil, err
	}
	snooping := false
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridgeName}, MulticastSnooping: &snooping}
	if err := ns.nl.LinkAdd(bridge); err != nil {
		return nil, errors.Join(fmt.Errorf("bridge: %w", err), ns.delete())
	}
	if err := ns.nl.LinkSetUp(bridge); err != nil {
		return nil, errors.Join(fmt.Errorf("bridge: %w", err), ns.delete())
	}
	return &internet{ns: ns, ports: make(map[int]*mesh.Site)}, nil
}

// A site is one site of the mesh with its router and its LAN host.
type site struct {
	*mesh.Site
	ends   []mesh.End
	ns     *namespace
	host   *host // nil without a LAN that has room for one
	router *router
}

// A host stands on the first LAN of a site; its default route is the site's router.
type host struct {
	ns   *namespace
	addr netip.Addr
}

// newSite makes the namespaces of a site and its LAN host and joins them to the internet.
func (in *internet) newSite(s *mesh.Site, all []*mesh.Site, ends []mesh.End, dir *runDir) (*site, error) {
	ns, err := newNamespace(dir.namespace("site-" + s.Name))
	if err != nil {
		return nil, err
	}
	st := &site{Site: s, ends: ends, ns: ns}
	if err := st.plugIn(in, all); err != nil {
		return st, fmt.Errorf("site %s: %w", s.Name, err)
	}
	if err := st.addLANs(dir.namespace("lan-" + s.Name)); err != nil {
		return st, fmt.Errorf("LAN of %s: %w", s.Name, err)
	}
	if err := ns.sysctl("ipv4/ip_forward", "1"); err != nil {
		return st, err
	}
	return st, hideClosedPorts(ns, st.wan())
}

// wan names the interface to the internet; a device that the mesh file wants for a LAN keeps its name.
func (s *site) wan() string {
	name := "wan0"
	for slices.ContainsFunc(s.LANInterfaces, func(l mesh.LANInterface) bool { return l.Name == name }) || s.TUN == name {
		name += "x"
	}
	return name
}

// plugIn joins the site to the bridge: its address as a host address, and one route without a
// gateway to each other site's. Nothing else is reachable, and there is no default route.
func (s *site) plugIn(in *internet, all []*mesh.Site) error {
	port := fmt.Sprintf("site%d", s.Number)
	wan := &netlink.Veth{
		// One segment: a veth would else hand over runs of packets as one, which no wire can carry.
		LinkAttrs:     netlink.LinkAttrs{Name: s.wan(), MTU: s.LinkMTU, GSOMaxSegs: 1},
		PeerName:      port,
		PeerNamespace: netlink.NsFd(int(in.ns.fd)),
	}
	if err := s.ns.nl.LinkAdd(wan); err != nil {
		return fmt.Errorf("interface %s: %w", s.wan(), err)
	}
	bridge, err := in.ns.nl.LinkByName(bridgeName)
	if err != nil {
		return err
	}
	peer, err := in.ns.nl.LinkByName(port)
	if err != nil {
		return err
	}
	if err := in.ns.nl.LinkSetMTU(peer, s.LinkMTU); err != nil {
		return err
	}
	if err := in.ns.nl.LinkSetMaster(peer, bridge); err != nil {
		return err
	}
	if err := in.ns.nl.LinkSetUp(peer); err != nil {
		return err
	}
	in.ports[peer.Attrs().Index] = s.Site
	link, err := s.ns.up(s.wan(), netip.PrefixFrom(s.Address, 32))
	if err != nil {
		return err
	}
	for _, other := range all {
		if other == s.Site {
			continue
		}
		err := s.ns.nl.RouteAdd(&netlink.Route{
			LinkIndex: link.Attrs().Index,
			Scope:     netlink.SCOPE_LINK,
			Dst:       ipNet(netip.PrefixFrom(other.Address, 32)),
			Src:       s.Address.AsSlice(),
			Protocol:  unix.RTPROT_STATIC,
		})
		if err != nil {
			return fmt.Errorf("route to %s: %w", other.Address, err)
		}
	}
	return nil
}

// addLANs makes each LAN: the site's device with the first address, and the host's end of it. The
// host stands on the first LAN with room for one.
func (s *site) addLANs(hostName string) error {
	for i, lan := range s.LAN {
		router, hostAddr := lanAddresses(lan)
		if !hostAddr.IsValid() {
			continue // a single address: announced, with nobody behind it
		}
		if s.host == nil {
			ns, err := newNamespace(hostName)
			if err != nil {
				return err
			}
			s.host = &host{ns: ns, addr: hostAddr}
		}
		dev, far := s.lanDevice(lan, i), fmt.Sprintf("eth%d", i)
		if _, err := s.ns.nl.LinkByName(dev); err != nil { // several LANs may share a device
			if err := s.ns.nl.LinkAdd(&netlink.Veth{
				LinkAttrs:     netlink.LinkAttrs{Name: dev},
				PeerName:      far,
				PeerNamespace: netlink.NsFd(int(s.host.ns.fd)),
			}); err != nil {
				return fmt.Errorf("interface %s: %w", dev, err)
			}
			if _, err := s.host.ns.up(far, netip.PrefixFrom(hostAddr, lan.Bits())); err != nil {
				return err
			}
		}
		if _, err := s.ns.up(dev, netip.PrefixFrom(router, lan.Bits())); err != nil {
			return err
		}
		if hostAddr == s.host.addr {
			if err := s.host.ns.nl.RouteAdd(&netlink.Route{Gw: router.AsSlice()}); err != nil {
				return fmt.Errorf("default route of the host: %w", err)
			}
		}
	}
	return nil
}

// lanDevice names the device of a LAN: the mesh file's, or one of our own.
func (s *site) lanDevice(lan netip.Prefix, i int) string {
	for _, l := range s.LANInterfaces {
		if l.Prefix == lan {
			return l.Name
		}
	}
	return fmt.Sprintf("lan%d", i)
}

// lanAddresses picks the router's and the host's address on a LAN: .1 and .10, or what a small
// prefix has; an invalid host when there is no room for two.
func lanAddresses(lan netip.Prefix) (router, host netip.Addr) {
	lan = lan.Masked()
	switch {
	case lan.Bits() >= 32:
		return lan.Addr(), netip.Addr{}
	case lan.Bits() == 31: // RFC 3021
		return lan.Addr(), lan.Addr().Next()
	}
	router = lan.Addr().Next()
	host = router.Next()
	if lan.Bits() <= 28 {
		for range 8 {
			host = host.Next()
		}
	}
	return router, host
}

// up gives the device an address and brings it up.
func (n *namespace) up(dev string, addr netip.Prefix) (netlink.Link, error) {
	link, err := n.nl.LinkByName(dev)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", dev, err)
	}
	if err := n.nl.AddrAdd(link, &netlink.Addr{IPNet: ipNet(addr)}); err != nil {
		return nil, fmt.Errorf("address %s on %s: %w", addr, dev, err)
	}
	if err := n.nl.LinkSetUp(link); err != nil {
		return nil, fmt.Errorf("interface %s: %w", dev, err)
	}
	return link, nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

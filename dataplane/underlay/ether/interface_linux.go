package ether

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
)

// An Interface is what carries the outer address.
type Interface struct {
	Host
	Name   string
	Index  int
	MTU    int    // of IPv4 packets, bytes
	Queues int    // receive queues, at most: of those that the driver could have
	Kind   string // of the link: "device", "veth", "bridge" …
	Master int    // index of the bridge, bond or VRF that it belongs to; 0: none
	// Program is the identity of an XDP program that is attached already; 0: none.
	Program uint32
}

// find looks for the one Ethernet interface that has the address local, in the handle's network namespace.
func find(h *netlink.Handle, local netip.Addr) (Interface, error) {
	if !local.Is4() {
		return Interface{}, fmt.Errorf("ether: outer address is %v, want IPv4", local)
	}
	addrs, err := h.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return Interface{}, fmt.Errorf("ether: list of addresses: %w", err)
	}
	index := 0
	for _, a := range addrs {
		if ip, ok := netip.AddrFromSlice(a.IP.To4()); !ok || ip != local {
			continue
		}
		if index != 0 && index != a.LinkIndex {
			return Interface{}, fmt.Errorf("ether: interfaces %d and %d both have the address %v", index, a.LinkIndex, local)
		}
		index = a.LinkIndex
	}
	if index == 0 {
		return Interface{}, fmt.Errorf("ether: no interface has the address %v", local)
	}
	link, err := h.LinkByIndex(index)
	if err != nil {
		return Interface{}, fmt.Errorf("ether: interface %d: %w", index, err)
	}
	return describe(link, local)
}

func describe(link netlink.Link, local netip.Addr) (Interface, error) {
	a := link.Attrs()
	if a.EncapType != "ether" || len(a.HardwareAddr) != len(MAC{}) {
		return Interface{}, fmt.Errorf("ether: interface %s is of type %s with a %d-byte address, want Ethernet", a.Name, a.EncapType, len(a.HardwareAddr))
	}
	i := Interface{
		Host: Host{Addr: local, MAC: MAC(a.HardwareAddr)}, Name: a.Name, Index: a.Index,
		MTU: a.MTU, Queues: max(a.NumRxQueues, 1), Kind: link.Type(), Master: a.MasterIndex,
	}
	if a.Xdp != nil && a.Xdp.Attached {
		i.Program = a.Xdp.ProgId
	}
	return i, nil
}

// Plain returns an error unless frames of the interface are simply those of a port: upper devices (VLAN, bridge,
// bond, tunnel), ports that belong to one, and wireless ones are not.
func (i *Interface) Plain() error {
	switch {
	case i.Kind != "device" && i.Kind != "veth":
		return fmt.Errorf("ether: interface %s is a %s, want a plain Ethernet port", i.Name, i.Kind)
	case i.Master != 0:
		return fmt.Errorf("ether: interface %s belongs to interface %d, want one that stands alone", i.Name, i.Master)
	}
	switch _, err := os.Lstat(filepath.Join("/sys/class/net", i.Name, "phy80211")); {
	case err == nil:
		return fmt.Errorf("ether: interface %s is wireless, want a plain Ethernet port", i.Name)
	case !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("ether: interface %s: %w", i.Name, err)
	}
	return nil
}

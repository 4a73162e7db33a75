package lan

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
)

// Protocol is OSPF's IP protocol number (RFC 2328, A.1).
const Protocol = 89

// The fields of the IP header that RFC 2328, A.1 asks for.
const (
	ttl = 1
	tos = 0xc0
)

// AllSPFRouters is the group of every OSPF router, 224.0.0.5.
func AllSPFRouters() netip.Addr { return netip.AddrFrom4([4]byte{224, 0, 0, 5}) }

// AllDRouters is the group of the designated router and its backup, 224.0.0.6.
func AllDRouters() netip.Addr { return netip.AddrFrom4([4]byte{224, 0, 0, 6}) }

// A Conn is a protocol 89 socket on one interface. ReadFrom and WriteTo may be used at the same
// time; each by one goroutine at a time.
type Conn struct {
	name  string
	index int
	src   netip.Addr
	pc    *ipv4.PacketConn
}

// Open opens the interface called ifname in the network namespace of the calling thread. Packets
// leave with source src, an address of the interface; the zero Addr lets the kernel pick one (it
// always does so on the BSDs). It takes CAP_NET_RAW.
func Open(ifname string, src netip.Addr) (*Conn, error) {
	ifi, err := net.InterfaceByName(ifname)
	if err != nil {
		return nil, fmt.Errorf("lan: %s: %w", ifname, err)
	}
	lc := net.ListenConfig{Control: bindToDevice(ifname)}
	ip, err := lc.ListenPacket(context.Background(), fmt.Sprintf("ip4:%d", Protocol), "0.0.0.0")
	if err != nil {
		return nil, fmt.Errorf("lan: %s: %w", ifname, err)
	}
	c := &Conn{name: ifname, index: ifi.Index, src: src, pc: ipv4.NewPacketConn(ip)}
	if err := c.setOptions(ifi); err != nil {
		_ = ip.Close()
		return nil, fmt.Errorf("lan: %s: %w", ifname, err)
	}
	return c, nil
}

func (c *Conn) setOptions(ifi *net.Interface) error {
	for _, group := range []netip.Addr{AllSPFRouters(), AllDRouters()} {
		if err := c.pc.JoinGroup(ifi, ipAddr(group)); err != nil {
			return fmt.Errorf("join %v: %w", group, err)
		}
	}
	for _, o := range []struct {
		name string
		err  error
	}{
		{"multicast interface", c.pc.SetMulticastInterface(ifi)},
		{"multicast TTL", c.pc.SetMulticastTTL(ttl)},
		{"multicast loopback", c.pc.SetMulticastLoopback(false)},
		{"TTL", c.pc.SetTTL(ttl)},
		{"TOS", c.pc.SetTOS(tos)},
		{"control messages", c.pc.SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true)},
	} {
		if o.err != nil {
			return fmt.Errorf("set %s: %w", o.name, o.err)
		}
	}
	return nil
}

// Interface is the interface's name.
func (c *Conn) Interface() string { return c.name }

// ReadFrom waits for the next packet from another router and copies its payload to b; what is
// longer than b is cut. dst is the address it was sent to: a group or one of our own. After Close
// the error is net.ErrClosed.
func (c *Conn) ReadFrom(b []byte) (n int, src, dst netip.Addr, err error) {
	for {
		n, cm, from, err := c.pc.ReadFrom(b)
		if err != nil {
			return 0, netip.Addr{}, netip.Addr{}, err
		}
		if cm == nil || cm.IfIndex != c.index {
			continue // heard on another interface
		}
		src, ok := addrOf(from)
		dst, ok2 := netip.AddrFromSlice(cm.Dst)
		if ok && ok2 {
			return n, src, dst.Unmap(), nil
		}
	}
}

// WriteTo sends payload to dst, a group or a neighbor on this interface.
func (c *Conn) WriteTo(dst netip.Addr, payload []byte) error {
	cm := ipv4.ControlMessage{IfIndex: c.index}
	if c.src.IsValid() {
		cm.Src = c.src.AsSlice()
	}
	_, err := c.pc.WriteTo(payload, &cm, ipAddr(dst))
	return err
}

// Close leaves the groups and ends a waiting ReadFrom.
func (c *Conn) Close() error { return c.pc.Close() }

func ipAddr(a netip.Addr) *net.IPAddr { return &net.IPAddr{IP: a.AsSlice()} }

func addrOf(a net.Addr) (netip.Addr, bool) {
	ip, ok := a.(*net.IPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	addr, ok := netip.AddrFromSlice(ip.IP)
	return addr.Unmap(), ok
}

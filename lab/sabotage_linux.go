package lab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

const icmpEchoReply = ipv4.ICMPTypeEchoReply

// writeConfigs writes what the routers read and returns the paths of two mesh files: the one that
// all sites share, and the first site's, which differs only when a fault is built into it.
func (l *lab) writeConfigs() (shared, first string, err error) {
	if shared, err = l.config.write(l.dir.file("config")); err != nil {
		return "", "", err
	}
	s := l.sites[0]
	c := config{src: bytes.Clone(l.config.src), secrets: maps.Clone(l.config.secrets)}
	switch l.o.Sabotage {
	case wrongPSK:
		c.replaceSecret(string(s.ends[0].PSK))
	case wrongMD5:
		if len(s.ends[0].Auth.Keys) == 0 {
			return "", "", errors.New("the mesh has no OSPF key to make wrong")
		}
		c.replaceSecret(string(s.ends[0].Auth.Keys[0].Key))
	case wrongSuite:
		err = c.changeSuites(s.ends[0].Suite.ESP.ID)
	case greKey:
		err = c.set("{gre: {key: 4242}}", "defaults")
	default:
		return shared, shared, nil
	}
	if err != nil {
		return "", "", fmt.Errorf("sabotage %s: %w", l.o.Sabotage, err)
	}
	first, err = c.write(l.dir.file("sabotaged"))
	return shared, first, err
}

// replaceSecret gives the secrets with this value another one of the same length.
func (c *config) replaceSecret(value string) {
	for name, v := range c.secrets {
		if v == value {
			c.secrets[name] = randomText(len(v))
		}
	}
}

// changeSuites writes another cipher into each suite.
func (c *config) changeSuites(now uint8) error {
	const tripleDES = 3
	other := "3des-sha1"
	if now == tripleDES {
		other = "aes128-sha1"
	}
	suites := c.keys("suites")
	if len(suites) == 0 {
		return errors.New("the mesh file has no suites to change")
	}
	for _, name := range suites {
		if err := c.set(other, "suites", name, "esp"); err != nil {
			return err
		}
	}
	return nil
}

// beforeNetns builds in faults of the namespaces.
func (l *lab) beforeNetns() {
	if l.o.Sabotage != namespaceTaken {
		return
	}
	last := l.inv.Sites[len(l.inv.Sites)-1]
	if ns, err := newNamespace(l.dir.namespace("site-" + last.Name)); err == nil {
		l.faults = append(l.faults, func() { _ = ns.delete() })
	}
}

// withholdRoutes takes each route to the LANs of the last site away from the first site's kernel, as
// soon as the kernel reports it.
func (l *lab) withholdRoutes() error {
	if l.o.Sabotage != routeWithheld {
		return nil
	}
	victim, last := l.sites[0], l.sites[len(l.sites)-1]
	updates, done := make(chan netlink.RouteUpdate), make(chan struct{})
	err := netlink.RouteSubscribeWithOptions(updates, done, netlink.RouteSubscribeOptions{Namespace: &victim.ns.fd})
	if err != nil {
		return err
	}
	l.faults = append(l.faults, func() { close(done) })
	go func() { // ends when the subscription does
		for u := range updates {
			for _, lan := range last.LAN {
				if u.Type == unix.RTM_NEWROUTE && u.Dst != nil && u.Dst.String() == lan.Masked().String() {
					_ = victim.ns.nl.RouteDel(&u.Route)
				}
			}
		}
	}()
	return nil
}

// beforePing builds in faults that pings must notice.
func (l *lab) beforePing() {
	if l.o.Sabotage != hostDown {
		return
	}
	h := l.sites[len(l.sites)-1].host
	if link, err := h.ns.nl.LinkByName("eth0"); err == nil {
		_ = h.ns.nl.LinkSetDown(link)
	}
}

// beforeWire builds in faults that the capture must show.
func (l *lab) beforeWire() error {
	switch a, b := l.sites[0], l.sites[1]; l.o.Sabotage {
	case greInClear: // GRE with an IPv4 header of nobody
		return a.sendRaw(b.Address, unix.IPPROTO_GRE, append([]byte{0, 0, 8, 0}, make([]byte, 20)...))
	case markerInClear: // an SPI of nobody and a sequence number, then the marker
		body := binary.BigEndian.AppendUint32(nil, 0xfeedbeef)
		body = binary.BigEndian.AppendUint32(body, 1)
		return a.sendRaw(b.Address, unix.IPPROTO_ESP, append(append(body, l.marker[:]...), make([]byte, 24)...))
	case noKeyLog:
		for _, s := range l.sites {
			if err := os.Remove(filepath.Join(s.router.keylog, "esp_sa")); err != nil {
				return err
			}
		}
	}
	return nil
}

// sendRaw sends one IPv4 packet from the site's own address.
func (s *site) sendRaw(dst netip.Addr, protocol int, body []byte) error {
	return s.ns.do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
		if err != nil {
			return err
		}
		defer unix.Close(fd) //nolint:errcheck // sent already
		return unix.Sendto(fd, body, 0, &unix.SockaddrInet4{Addr: dst.As4()})
	})
}

// applyCut cuts the chosen link, or what a fault makes of it.
func (l *lab) applyCut() error {
	pairs := [][2]netip.Addr{{l.cut.link.A.Address, l.cut.link.B.Address}}
	switch l.o.Sabotage {
	case notCut:
		return nil
	case noDetour:
		for _, end := range l.site(l.cut.to).ends {
			pairs = append(pairs, [2]netip.Addr{end.Local, end.Remote})
		}
	}
	return l.internet.dropBetween(pairs...)
}

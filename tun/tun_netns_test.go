//go:build netns

package tun

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"meshrouter/dataplane/segment"
	"meshrouter/internal/ipv4"
)

// inNamespace moves the test to a network namespace of its own, which ends with its thread.
func inNamespace(t testing.TB) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread must not serve anyone else
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("unshare: %v (this test needs root)", err)
	}
}

func addressed(t *testing.T, name string) netlink.Link {
	t.Helper()
	link, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	addr, err := netlink.ParseAddr("10.255.0.1/32")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrAdd(link, addr); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		t.Fatal(err)
	}
	_, dst, _ := net.ParseCIDR("10.2.0.0/16")
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: dst, Scope: netlink.SCOPE_LINK}); err != nil {
		t.Fatal(err)
	}
	return link
}

func TestPersistentDeviceIsTakenOverWithItsRoutes(t *testing.T) {
	for _, backend := range []string{WireGuard, Water} {
		t.Run(backend, func(t *testing.T) {
			inNamespace(t)
			cfg := Config{Name: "mtest0", MTU: 1400, Backend: backend, Persist: true}
			d, err := Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			link := addressed(t, d.Name())
			if link.Attrs().MTU != 1400 {
				t.Errorf("MTU is %d, want 1400", link.Attrs().MTU)
			}
			if second, err := Open(cfg); err == nil {
				t.Errorf("a second process could open %s", second.Name())
			} else if !errors.Is(err, unix.EBUSY) {
				t.Errorf("second Open: %v, want EBUSY", err)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			again, err := Open(cfg)
			if err != nil {
				t.Fatalf("taking the device over: %v", err)
			}
			routes, err := netlink.RouteList(link, netlink.FAMILY_V4)
			if err != nil || len(routes) != 1 {
				t.Errorf("routes after the take-over: %v, %v; want the one of before", routes, err)
			}
			if err := again.Delete(); err != nil {
				t.Fatal(err)
			}
			if l, err := netlink.LinkByName("mtest0"); err == nil {
				t.Errorf("%s is there after Delete", l.Attrs().Name)
			}
		})
	}
}

// The engine closes the queues when it ends; the device is deleted after that.
func TestDeleteAfterTheQueuesAreClosed(t *testing.T) {
	for _, backend := range []string{WireGuard, Water} {
		t.Run(backend, func(t *testing.T) {
			inNamespace(t)
			d, err := Open(Config{Name: "mtest0", Backend: backend, Persist: true})
			if err != nil {
				t.Fatal(err)
			}
			for _, q := range d.Queues() {
				if err := q.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := netlink.LinkByName("mtest0"); err != nil {
				t.Fatalf("a persistent device went with its queue: %v", err)
			}
			if err := d.Delete(); err != nil {
				t.Fatal(err)
			}
			if _, err := netlink.LinkByName("mtest0"); err == nil {
				t.Error("the device is there after Delete")
			}
		})
	}
}

func TestPacketsCrossTheDevice(t *testing.T) {
	for _, cfg := range []Config{
		{Name: "mtest0", Backend: WireGuard},
		{Name: "mtest0", Backend: WireGuard, Queues: 2},
		{Name: "mtest0", Backend: Water},
	} {
		t.Run(cfg.Backend, func(t *testing.T) {
			inNamespace(t)
			d, err := Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = d.Close() }) // ends the readers
			addressed(t, d.Name())
			conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.MustParseAddrPort("10.2.0.9:7")))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			found := make(chan []byte, len(d.Queues()))
			for _, q := range d.Queues() {
				go func() { found <- readUDP(q) }()
			}
			if _, err := conn.Write([]byte("there")); err != nil {
				t.Fatal(err)
			}
			packet := <-found
			h, payload, err := ipv4.Parse(packet)
			if err != nil {
				t.Fatal(err)
			}
			if h.Dst() != netip.MustParseAddr("10.2.0.9") || string(payload[8:]) != "there" {
				t.Fatalf("read % x", packet)
			}

			// The answer: addresses and ports exchanged, checksum 0 (none, RFC 768).
			reply := ipv4.AppendHeader(nil, ipv4.Fields{TTL: 64, Protocol: 17, Src: h.Dst(), Dst: h.Src()}, 8+4)
			reply = append(reply, payload[2], payload[3], payload[0], payload[1], 0, 12, 0, 0)
			reply = append(reply, "back"...)
			if _, err := d.Queues()[0].Write([]segment.Group{{Pieces: [][]byte{reply}}}); err != nil {
				t.Fatal(err)
			}
			answer := make([]byte, 100)
			if n, err := conn.Read(answer); err != nil || string(answer[:n]) != "back" {
				t.Errorf("the host read %q, %v", answer[:n], err)
			}
		})
	}
}

// readUDP returns the first UDP packet that the host sends; it may speak of IPv6 neighbours first.
func readUDP(q Queue) []byte {
	for {
		ps, err := q.Read()
		if errors.Is(err, os.ErrClosed) {
			return nil
		}
		for i := range ps {
			if p := ps[i].Buf[ps[i].Start:ps[i].End]; p[0]>>4 == 4 && p[9] == 17 {
				return p
			}
		}
	}
}

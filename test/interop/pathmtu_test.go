//go:build interop

package interop

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meshrouter/status"
	"meshrouter/test/peer"
)

// Two of our routers with a link of 1300 bytes on their way, behind which nobody says that packets are too
// large: both find out, and then nothing is fragmented any more.
//
//	r eth0 ── br0 ── eth0 m ── 1300 bytes ── q ── wan s
func TestPathMTU(t *testing.T) {
	t.Parallel()
	for _, w := range []struct{ name, suite, link string }{
		{"UDP", suiteGCM, encapsulated},
		{"protocol 50", suite3DES, plain},
	} {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			n := peer.NewNet(t)
			us, m := n.Namespace("r", outerOurs+"/24"), n.Namespace("m", "192.0.2.254/24")
			q, them := n.Namespace("q", "192.0.2.253/24"), n.Namespace("s", "192.0.2.252/24")
			for _, ns := range []*peer.Namespace{q, them} {
				ns.Run("ip", "link", "set", "eth0", "down")
			}
			n.Link(m, "narrow", "203.0.113.1/24", q, "narrow", "203.0.113.2/24")
			n.Link(q, "near", "198.51.100.254/24", them, "wan", "198.51.100.1/24")
			for _, ns := range []*peer.Namespace{m, q} {
				ns.Run("ip", "link", "set", "narrow", "mtu", "1300")
				ns.Run("nft", `table ip silence { chain output { type filter hook output priority 0; icmp type destination-unreachable icmp code frag-needed drop; }; }`)
			}
			us.Run("ip", "link", "set", "eth0", "gso_max_segs", "1")
			them.Run("ip", "link", "set", "wan", "gso_max_segs", "1")
			us.Run("ip", "route", "add", "198.51.100.0/24", "via", "192.0.2.254")
			m.Run("ip", "route", "add", "198.51.100.0/24", "via", "203.0.113.2")
			q.Run("ip", "route", "add", "192.0.2.0/24", "via", "203.0.113.1")
			them.Run("ip", "route", "add", "192.0.2.0/24", "via", "198.51.100.254")

			mesh := fmt.Sprintf(`mesh: narrow
tunnels: 10.255.0.0/16
secrets: mesh.secrets.yaml
ospf: {area: 0.0.0.0, auth: {md5: {id: 1, key: $ospf}}, hello: 1s, dead: 8s}
suites:
  chosen: {%s}
sites:
  theirs: {number: 1, address: 198.51.100.1, lan: [172.16.1.0/24]}
  ours: {number: 2, address: 192.0.2.2, lan: [10.1.0.0/24]}
links:
  - {between: [theirs, ours], suite: chosen, %s}
`, w.suite, w.link)
			us.AddLAN(ourHost + "/24")
			them.AddLAN("172.16.1.1/24")
			theirs := &stack{them.Router("theirs", mesh, stackSecrets), t}
			ours := &stack{us.Router("ours", mesh, stackSecrets), t}
			ours.up()
			near, far := peer.Host{Namespace: us, Address: ourHost}, peer.Host{Namespace: them, Address: "172.16.1.1"}
			if err := peer.Exchange(near, far, 1<<18); err != nil {
				t.Errorf("during the search: %v", err)
			}

			// What ESP adds is the same for 200 bytes less: they are whole blocks of every cipher.
			most := ours.tunnelMTU() - 200
			found := 0
			for _, s := range []*stack{ours, theirs} {
				peer.Eventually(t, 60*time.Second, s.Site+" knows the path's MTU", func() error {
					var doc status.TunnelsDoc
					if err := s.Show("tunnels", &doc); err != nil {
						return err
					}
					if found = doc.Tunnels[0].PathMTUBytes; found > most || found <= most-8 {
						return fmt.Errorf("%d bytes, want %d or up to 7 less", found, most)
					}
					return nil
				})
			}

			capture := m.Capture("narrow")
			if err := errors.Join(peer.Exchange(near, far, 4<<20), peer.Exchange(far, near, 1<<20)); err != nil {
				t.Error(err)
			}
			if err := peer.Datagrams(near, far, found, found-28, found-27, 3000); err != nil {
				t.Error(err)
			}
			ours.pingsUpTo(ourHost, "172.16.1.1", found)
			for _, way := range [][2]peer.Host{{near, far}, {far, near}} {
				if mss, err := segments(way[0], way[1]); err != nil || mss > found-40 || mss < found-60 {
					t.Errorf("TCP segments from %s have %d bytes, %v; the path carries packets of %d", way[0].Address, mss, err, found)
				}
			}
			capture.Stop()
			if fragments := capture.Tshark("", "-Y", "ip.flags.mf == 1 or ip.frag_offset > 0"); len(fragments) > 0 {
				t.Errorf("%d fragments on the wire, the first: %s", len(fragments), fragments[0])
			}
			if large := capture.Tshark("", "-Y", "esp and ip.len > 1250 and ip.len <= 1300"); len(large) < 5000 {
				t.Errorf("%d ESP packets of nearly 1300 bytes in the capture: too few for what was sent", len(large))
			}
			ours.clean()
			theirs.clean()
		})
	}
}

// segments is how large the segments of a TCP connection are that a sends to b.
func segments(a, b peer.Host) (mss int, err error) {
	var listener *net.TCPListener
	if err := b.Do(func() (err error) {
		listener, err = net.ListenTCP("tcp4", &net.TCPAddr{IP: net.ParseIP(b.Address)})
		return err
	}); err != nil {
		return 0, err
	}
	defer func() { _ = listener.Close() }()
	c, err := a.Dial(netip.MustParseAddrPort(listener.Addr().String()), a.Address)
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	if e := raw.Control(func(fd uintptr) { mss, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG) }); e != nil {
		return 0, e
	}
	return mss, err
}

//go:build interop

package interop

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"meshrouter/test/peer"
)

// A Linux site in QEMU, kernel ESP and kernel GRE: IKEv1, OSPF FULL with MD5, routes both ways and LAN to
// LAN, in tunnel and in transport mode; the guest drops GRE that is not inside IPsec, and the capture shows
// that ESP carries it. Then the wire is cut, silently: both sides notice, and come back when it is mended.
func TestLinuxSite(t *testing.T) {
	t.Parallel()
	gre := peer.Settings{
		"MODE": "transport", "LOCAL_TS": outerTheirs + "/32[gre]", "REMOTE_TS": outerOurs + "/32[gre]",
	}
	for _, m := range []struct {
		name, link string
		settings   peer.Settings
	}{
		{"tunnel, we initiate", "hello: 2s, dead: 8s, mtu: 1400, initiate: ours, " + tunnelMode, nil},
		{"tunnel, they initiate", "hello: 2s, dead: 8s, mtu: 1400, initiate: theirs, " + tunnelMode, nil},
		{"transport, we initiate", "hello: 2s, dead: 8s, mtu: 1400, initiate: ours, mode: transport, protocol: gre", gre},
		{"transport, they initiate", "hello: 2s, dead: 8s, mtu: 1400, initiate: theirs, mode: transport, protocol: gre", gre},
	} {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			n := peer.NewNet(t)
			settings := peer.Settings{"OSPF_HELLO": "2", "OSPF_DEAD": "8"}
			maps.Copy(settings, m.settings)
			guest := n.Guest("g", settings)
			capture := n.Capture()
			s := startStack(t, n, stackMesh("{ike: 8h, esp: 1h}", m.link))
			if strings.Contains(m.name, "they") {
				if err := guest.Initiate(); err != nil {
					t.Fatal(err)
				}
			}
			linuxSiteUp(t, s, guest)
			s.withoutLoss("at rest", 3, func() {})
			if out, err := guest.Exec("ip -s xfrm state | grep -c 'proto esp'"); err != nil {
				t.Errorf("the guest's kernel has no SA: %s%v", out, err)
			}

			n.Cut("r", true)
			peer.Eventually(t, 12*time.Second, "we notice", func() error { return s.neighborIs("") })
			peer.Eventually(t, 8*time.Second, "our route goes", func() error { return s.routed("172.16.1.0/24", false) })
			peer.Eventually(t, 20*time.Second, "they notice", func() error {
				out, err := guest.Exec("ip route show 10.1.0.0/24 proto ospf")
				if err == nil && out != "" {
					err = fmt.Errorf("still there: %s", out)
				}
				return err
			})
			n.Cut("r", false)
			linuxSiteUp(t, s, guest)
			s.onTheWire(capture)
		})
	}
}

// The kernel of a Linux site takes bulk data, and sends it, by each way of ours and with each suite. Between
// ways our router restarts with another mesh file; SAs go on where suite and encapsulation stay.
func TestLinuxSiteWays(t *testing.T) {
	t.Parallel()
	n := peer.NewNet(t)
	guest := n.Guest("g", peer.Settings{"OSPF_HELLO": "2", "OSPF_DEAD": "8"})
	mesh := func(suite, offload, link string) string {
		return withOffload(withSuite(suite, "hello: 2s, dead: 8s, mtu: 1400, initiate: ours, "+link+tunnelMode), offload)
	}
	notNeeded := []string{"-protocol-50: not yet needed"}
	s := startStack(t, n, mesh(suite3DES, "off", ""))
	linuxSiteUp(t, s, guest)
	s.announces(everythingOff...)
	s.exchangeWithGuest(guest, ourHost, "172.16.1.1")
	encryption := "3des-sha1"
	for _, w := range []struct {
		name, suite, encryption, offload, link string
		announced                              []string
	}{
		{"rings", suite3DES, "3des-sha1", "{protocol-50: ring}", "", []string{"protocol-50: ring"}},
		{"AF_XDP", suite3DES, "3des-sha1", "{protocol-50: xdp}", "", []string{"protocol-50: AF_XDP"}},
		{"everything on", suite3DES, "3des-sha1", "on", "", slices.Concat(everythingOn, []string{"protocol-50: AF_XDP"})},
		{"UDP, everything on", suite3DES, "3des-sha1", "on", "natt: force, ", slices.Concat(everythingOn, notNeeded)},
		{"UDP, everything off", suite3DES, "3des-sha1", "off", "natt: force, ", everythingOff},
		{"AES-CBC, SHA-1", suiteCBC, "aes128-sha1", "on", "", []string{"protocol-50: AF_XDP"}},
		{"AES-CBC, SHA-256", suiteSHA256, "aes256-sha256", "on", "", []string{"protocol-50: AF_XDP"}},
		{"AES-GCM", suiteGCM, "aes256gcm16", "on", "", []string{"protocol-50: AF_XDP"}},
	} {
		begun := time.Now()
		end := syscall.SIGUSR2
		if w.encryption != encryption || strings.HasPrefix(w.name, "UDP") {
			end = syscall.SIGTERM
		}
		if w.encryption != encryption {
			ike, _, _ := strings.Cut(strings.TrimPrefix(w.suite, "ike: "), ",")
			if out, err := guest.Exec(fmt.Sprintf("sed -i -e 's/^ *proposals = .*/proposals = %s/' -e 's/^ *esp_proposals = .*/esp_proposals = %s/' /etc/site/swanctl.conf && swanctl --load-all", ike, w.encryption)); err != nil {
				t.Fatal(out, err)
			}
			encryption = w.encryption
		}
		s.Restart(end, mesh(w.suite, w.offload, w.link))
		peer.Eventually(t, 30*time.Second, w.name, func() error { return s.carries(1) })
		s.exchangeWithGuest(guest, tunnelOurs, tunnelTheirs)
		s.pingsUpTo(tunnelOurs, tunnelTheirs, s.tunnelMTU())
		s.announces(w.announced...)
		s.clean()
		t.Logf("%s: %v", w.name, time.Since(begun).Round(10*time.Millisecond))
	}
	stat, err := guest.Exec("cat /proc/net/xfrm_stat")
	if err != nil {
		t.Fatal(stat, err)
	}
	for _, name := range []string{"XfrmInStateProtoError", "XfrmInStateSeqError", "XfrmInHdrError"} { // forged, replayed, broken
		if value := strings.Fields(stat[max(0, strings.Index(stat, name)):]); len(value) < 2 || value[0] != name || value[1] != "0" {
			t.Errorf("the guest's kernel has refused packets of ours: no %s 0 in\n%s", name, stat)
		}
	}
}

// exchangeWithGuest sends a megabyte by TCP each way, and compares sums.
func (s *stack) exchangeWithGuest(guest *peer.Guest, near, far string) {
	s.t.Helper()
	const size, port = 1 << 20, 7001
	sent, err := guest.Exec(fmt.Sprintf("head -c %d /dev/urandom >/tmp/out; sha256sum </tmp/out; (nc -l -p %d </tmp/out >/tmp/in; sha256sum </tmp/in >/tmp/sum) >/dev/null 2>&1 &", size, port))
	if err != nil {
		s.t.Fatal(sent, err)
	}
	var c net.Conn
	peer.Eventually(s.t, 10*time.Second, "the guest listens", func() error {
		c, err = s.Dial(netip.AddrPortFrom(netip.MustParseAddr(far), port), near)
		return err
	})
	sums, err := peer.Talk(c, size)
	if err != nil {
		s.t.Error(err)
	}
	received, err := guest.Exec("while ! [ -s /tmp/sum ]; do sleep 0.1; done; cat /tmp/sum; rm /tmp/sum")
	if err != nil {
		s.t.Fatal(received, err)
	}
	if !strings.HasPrefix(sent, fmt.Sprintf("%x ", sums.Received)) || !strings.HasPrefix(received, fmt.Sprintf("%x ", sums.Sent)) {
		s.t.Errorf("the guest sent %s, received %s; we received %x, sent %x", sent, received, sums.Received, sums.Sent)
	}
}

// A router LSA of ours that does not fit into one packet of the tunnel reaches FRR in fragments.
func TestLinuxSiteLargeRouterLSA(t *testing.T) {
	t.Parallel()
	const networks = 130
	n := peer.NewNet(t)
	guest := n.Guest("g", peer.Settings{"OSPF_HELLO": "2", "OSPF_DEAD": "8"})
	lans := make([]string, networks)
	for i := range lans {
		lans[i] = fmt.Sprintf("10.7.%d.0/24", i)
	}
	mesh := stackMesh("{ike: 8h, esp: 1h}", "hello: 2s, dead: 8s, mtu: 1400, initiate: ours, "+tunnelMode)
	s := startStack(t, n, strings.Replace(mesh, "10.1.0.0/24", "10.1.0.0/24, "+strings.Join(lans, ", "), 1))
	linuxSiteUp(t, s, guest)
	peer.Eventually(t, 30*time.Second, "all networks in the guest's kernel", func() error {
		out, err := guest.Exec("ip route show proto ospf")
		if got := strings.Count(out, "10.7."); err == nil && got != networks {
			err = fmt.Errorf("%d of %d", got, networks)
		}
		return err
	})
}

// linuxSiteUp waits until both sides are up and have each other's LAN.
func linuxSiteUp(t *testing.T, s *stack, guest *peer.Guest) {
	t.Helper()
	s.up()
	peer.Eventually(t, 20*time.Second, "the guest is up", guest.Check)
	peer.Eventually(t, 20*time.Second, "the guest's route to our LAN", func() error {
		out, err := guest.Exec("ip route show 10.1.0.0/24 proto ospf")
		if err == nil && !strings.Contains(out, tunnelOurs) {
			err = fmt.Errorf("%q", out)
		}
		return err
	})
	peer.Eventually(t, 10*time.Second, "the guest pings our LAN", func() error {
		_, err := guest.Exec("ping -c1 -W1 -I 172.16.1.1 " + ourHost)
		return err
	})
}

//go:build interop

package interop

import (
	"fmt"
	"maps"
	"strings"
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

//go:build interop

package interop

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"meshrouter/test/peer"
)

// startStrongSwan starts charon with ESP in userspace, GRE over it and BIRD on that.
func startStrongSwan(t *testing.T, n *peer.Net, s peer.Settings) (*peer.StrongSwan, func()) {
	t.Helper()
	swan := n.StrongSwan("s", s)
	return swan, func() { // once there is a tunnel
		swan.GRE(tunnelTheirs + "/30")
		n.BIRDOn("s", peer.Settings{"IFACE": "gre1", "OSPF_HELLO": "1", "OSPF_DEAD": "4", "LAN": "172.16.1.1/24"})
	}
}

// strongSwan in both roles: IKEv1 main mode with 3DES, SHA1 and modp1024, ESP in UDP both ways with data,
// and a rekey of either phase by either side while a ping runs, without a loss. Bulk data then passes by the
// routes of OSPF, in one role with everything on that is fast, in the other one with everything off.
func TestStrongSwan(t *testing.T) {
	t.Parallel()
	for _, initiator := range []string{"ours", "theirs"} {
		t.Run(initiator+" initiates", func(t *testing.T) {
			t.Parallel()
			n := peer.NewNet(t)
			swan, overlay := startStrongSwan(t, n, nil)
			capture := n.Capture()
			mesh := stackMesh("{ike: 8h, esp: 1h}", "mtu: 1320, initiate: "+initiator+", "+tunnelMode)
			if initiator == "theirs" {
				mesh = withOffload(mesh, "off")
			}
			s := startStack(t, n, mesh)
			if initiator == "theirs" {
				if err := swan.Initiate(); err != nil {
					t.Fatal(err)
				}
			}
			peer.Eventually(t, 20*time.Second, "SAs both ways", s.secured)
			overlay()
			s.up()
			list, err := swan.Swanctl("--list-sas")
			if err != nil || !strings.Contains(list, "IKEv1") || !strings.Contains(list, "3DES_CBC/HMAC_SHA1_96") || !strings.Contains(list, "MODP_1024") {
				t.Errorf("swanctl --list-sas: %v\n%s", err, list)
			}

			s.withoutLoss("they rekey phase 2", 4, func() {
				old, err := s.outboundSPI()
				if err != nil {
					t.Error(err)
				}
				if out, err := swan.Swanctl("--rekey", "--child", "net"); err != nil {
					t.Error(out, err)
				}
				peer.Eventually(t, 3*time.Second, "another outbound SA is in use", func() error { return s.newOutbound(old) })
			})
			s.withoutLoss("they rekey phase 1", 4, func() {
				old, err := s.cookie()
				if err != nil {
					t.Error(err)
				}
				if out, err := swan.Swanctl("--rekey", "--ike", "peer"); err != nil {
					t.Error(out, err)
				}
				// strongSwan sends a lost message again after 4 s.
				peer.Eventually(t, 10*time.Second, "another ISAKMP SA is in use", func() error { return s.newCookie(old) })
			})
			s.onTheWire(capture)
			s.carriesBulk(peer.Host{Namespace: s.Namespace, Address: ourHost}, peer.Host{Namespace: swan.Namespace, Address: "172.16.1.1"}, 2<<20)
			s.clean(noGREYet)
		})
	}
}

// newCookie is nil when there is an ISAKMP SA that is not the one called old.
func (s *stack) newCookie(old string) error {
	c, err := s.cookie()
	if err == nil && c == old {
		err = fmt.Errorf("ISAKMP SA %s is still in use", old)
	}
	return err
}

// A router that is killed and started again goes on with the same SAs: no new main or quick mode, and
// strongSwan, which knows nothing of it, takes its packets because their sequence numbers go on.
func TestStrongSwanRestart(t *testing.T) {
	t.Parallel()
	n := peer.NewNet(t)
	_, overlay := startStrongSwan(t, n, nil)
	s := startStack(t, n, stackMesh("{ike: 8h, esp: 1h}", "mtu: 1320, initiate: ours, "+tunnelMode))
	peer.Eventually(t, 20*time.Second, "SAs both ways", s.secured)
	overlay()
	s.up()
	before, err := s.outboundSPI()
	if err != nil {
		t.Fatal(err)
	}

	capture := n.Capture()
	if err := s.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.Start()
	s.up()
	if err := s.newOutbound(before); err == nil {
		t.Errorf("the outbound SA is not %#x any more", before)
	}
	capture.Stop()
	negotiations := "isakmp.exchangetype == 2 or isakmp.exchangetype == 32" // main mode, quick mode
	if got := capture.Tshark("", "-Y", negotiations); len(got) > 0 {
		t.Errorf("negotiated again:\n%s", strings.Join(got, "\n"))
	}
}

// Lifetimes so short that we rekey both phases during one ping (SAs of less than a minute are not rekeyed).
func TestStrongSwanOurRekeys(t *testing.T) {
	t.Parallel()
	n := peer.NewNet(t)
	_, overlay := startStrongSwan(t, n, nil)
	s := startStack(t, n, stackMesh("{ike: 70s, esp: 60s}", "mtu: 1320, initiate: ours, "+tunnelMode))
	peer.Eventually(t, 20*time.Second, "SAs both ways", s.secured)
	overlay()
	s.up()
	s.withoutLoss("we rekey both phases", 55, func() {
		spi, err := s.outboundSPI()
		if err != nil {
			t.Error(err)
		}
		cookie, err := s.cookie()
		if err != nil {
			t.Error(err)
		}
		peer.Eventually(t, 50*time.Second, "another outbound SA is in use", func() error { return s.newOutbound(spi) })
		peer.Eventually(t, 50*time.Second, "another ISAKMP SA is in use", func() error { return s.newCookie(cookie) })
	})
}

// With the wrong key nobody comes up, and the log names the line of the secrets file.
func TestStrongSwanWrongPSK(t *testing.T) {
	t.Parallel()
	n := peer.NewNet(t)
	startStrongSwan(t, n, peer.Settings{"PSK": "another key"})
	s := startStack(t, n, stackMesh("{ike: 8h, esp: 1h}", "mtu: 1320, initiate: ours, "+tunnelMode))
	peer.Eventually(t, 30*time.Second, "the log tells of the key and where it stands", func() error {
		log := s.Log()
		if !strings.Contains(log, "mesh.secrets.yaml:1:") || !strings.Contains(strings.ToLower(log), "psk") {
			return fmt.Errorf("not in the log")
		}
		return nil
	})
	if err := s.secured(); err == nil {
		t.Error("there are SAs in spite of the wrong key")
	}
}

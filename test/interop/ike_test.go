//go:build interop

package interop

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"meshrouter/status"
	"meshrouter/test/peer"
)

// The tests of this file need no OSPF: IKE, ESP and a ping through GRE.

// withSuite is stackMesh with another suite.
func withSuite(suite, link string) string {
	return strings.Replace(stackMesh("{ike: 8h, esp: 1h}", link), "ike: 3des-sha1-modp1024, esp: 3des-sha1, pfs: none", suite, 1)
}

// begin lets the end called initiator negotiate.
func begin(t *testing.T, initiator string, s *stack, swan *peer.StrongSwan) {
	t.Helper()
	if initiator == "theirs" {
		if err := swan.Initiate(); err != nil {
			t.Error(err)
		}
	}
	peer.Eventually(t, 30*time.Second, "SAs both ways", s.secured)
}

// carries is nil when the tunnel's other end answers pings in GRE in ESP.
func (s *stack) carries(count int) error {
	n, err := s.Ping(tunnelOurs, tunnelTheirs, count)
	if err == nil && n != count {
		err = fmt.Errorf("%d of %d pings through the tunnel were answered", n, count)
	}
	return err
}

// ikeState is the state of our one peer and its reason.
func (s *stack) ikeState() (state, reason string, err error) {
	var doc status.IKEDoc
	if err := s.Show("ike", &doc); err != nil {
		return "", "", err
	}
	if len(doc.Peers) != 1 {
		return "", "", fmt.Errorf("%d peers", len(doc.Peers))
	}
	return doc.Peers[0].State, doc.Peers[0].Reason, nil
}

// logged is nil when one line of our log has all the words.
func (s *stack) logged(words ...string) error {
	for line := range strings.Lines(s.Log()) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			return nil
		}
	}
	return fmt.Errorf("no line of the log has %q", words)
}

// 3DES, AES-CBC with SHA-1 and SHA-256, AES-GCM, and PFS with each group, in both roles, with a rekey at their
// word. TCP both ways fills the lanes of the ciphers: in one role with everything on that is fast, in the
// other one with everything off.
func TestIKESuites(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ suite, ike, esp, want string }{
		{"ike: 3des-sha1-modp1024, esp: 3des-sha1, pfs: modp1024", "3des-sha1-modp1024", "3des-sha1-modp1024", "ESP:3DES_CBC/HMAC_SHA1_96"},
		{"ike: aes128-sha1-modp1536, esp: aes128-sha1, pfs: modp1536", "aes128-sha1-modp1536", "aes128-sha1-modp1536", "ESP:AES_CBC-128/HMAC_SHA1_96"},
		{"ike: aes256-sha256-modp2048, esp: aes256-sha256, pfs: modp2048", "aes256-sha256-modp2048", "aes256-sha256-modp2048", "ESP:AES_CBC-256/HMAC_SHA2_256_128"},
		{"ike: aes128-sha256-modp2048, esp: aes128gcm16, pfs: none", "aes128-sha256-modp2048", "aes128gcm16", "ESP:AES_GCM_16-128"},
	} {
		for _, initiator := range []string{"ours", "theirs"} {
			t.Run(c.esp+", "+initiator+" initiates", func(t *testing.T) {
				t.Parallel()
				n := peer.NewNet(t)
				swan := n.StrongSwan("s", peer.Settings{"IKE": c.ike, "ESP": c.esp})
				mesh := withSuite(c.suite, "mtu: 1320, initiate: "+initiator+", "+tunnelMode)
				announced := slices.Concat(everythingOn, []string{"-protocol-50: not yet needed"}) // libipsec knows UDP only
				if initiator == "theirs" {
					mesh, announced = withOffload(mesh, "off"), everythingOff
				}
				s := startStack(t, n, mesh)
				begin(t, initiator, s, swan)
				swan.GRE(tunnelTheirs + "/30")
				peer.Eventually(t, 20*time.Second, "data both ways", func() error { return s.carries(3) })
				s.announces(announced...)
				s.carriesBulk(peer.Host{Namespace: s.Namespace, Address: tunnelOurs}, peer.Host{Namespace: swan.Namespace, Address: tunnelTheirs}, 2<<20)
				s.clean(noGREYet)
				old, err := s.outboundSPI()
				if err != nil {
					t.Fatal(err)
				}
				if out, err := swan.Swanctl("--rekey", "--child", "net"); err != nil {
					t.Error(out, err)
				}
				peer.Eventually(t, 10*time.Second, "another outbound SA is in use", func() error { return s.newOutbound(old) })
				if err := s.carries(5); err != nil {
					t.Error(err)
				}
				list, err := swan.Swanctl("--list-sas")
				if err != nil || !strings.Contains(list, c.want) {
					t.Errorf("swanctl --list-sas says no %s: %v\n%s", c.want, err, list)
				}
			})
		}
	}
}

// We rekey either phase of SAs that they began, during a ping, without a loss: standby takes over what the
// end that began does not do. Their lifetimes are longer than ours.
func TestIKEOurRekeysOfTheirSAs(t *testing.T) {
	t.Parallel()
	n := peer.NewNet(t)
	swan := n.StrongSwan("s", nil)
	s := startStack(t, n, stackMesh("{ike: 70s, esp: 60s}", "mtu: 1320, initiate: {ours: standby, theirs: always}, "+tunnelMode))
	begin(t, "theirs", s, swan)
	swan.GRE(tunnelTheirs + "/30")
	peer.Eventually(t, 20*time.Second, "data both ways", func() error { return s.carries(3) })
	spi, err := s.outboundSPI()
	if err != nil {
		t.Fatal(err)
	}
	cookie, err := s.cookie()
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	for s.newOutbound(spi) != nil || s.newCookie(cookie) != nil {
		if err := s.carries(50); err != nil { // five seconds at a time
			t.Error(err)
		}
		if time.Since(begun) > 90*time.Second {
			t.Fatalf("no rekey of both phases in 90 s: %v, %v", s.newOutbound(spi), s.newCookie(cookie))
		}
	}
	if err := s.carries(50); err != nil {
		t.Error(err)
	}
	if err := s.logged("event=isakmp_established", ":4500"); err != nil {
		t.Error(err)
	}
}

// A dead peer is noticed by DPD although nobody says a word, and the link comes up again when it is back.
func TestIKEDeadPeer(t *testing.T) {
	t.Parallel()
	n := peer.NewNet(t)
	swan := n.StrongSwan("s", nil)
	s := startStack(t, n, stackMesh("{ike: 8h, esp: 1h}", "mtu: 1320, dpd: 2s, initiate: ours, "+tunnelMode))
	begin(t, "ours", s, swan)
	swan.GRE(tunnelTheirs + "/30") // without it their kernel refuses our Hellos, which is a sign of life
	old, err := s.outboundSPI()
	if err != nil {
		t.Fatal(err)
	}
	peer.Eventually(t, 20*time.Second, "questions are answered", func() error { return s.logged("event=dpd_probe", "try 1") })
	if state, reason, err := s.ikeState(); state != "up" || err != nil {
		t.Errorf("the peer is %s: %s, %v", state, reason, err)
	}
	n.Cut("s", true)
	peer.Eventually(t, 40*time.Second, "the peer is declared dead", func() error { return s.logged("event=dpd_dead", "8 questions") })
	if s.secured() == nil {
		t.Error("SAs with a dead peer are left")
	}
	n.Cut("s", false)
	peer.Eventually(t, 40*time.Second, "SAs both ways again", s.secured)
	if err := s.newOutbound(old); err != nil {
		t.Error(err)
	}
	peer.Eventually(t, 20*time.Second, "data both ways", func() error { return s.carries(3) })
}

// They delete the ESP SA, then the ISAKMP SA: ours go as well, and we begin anew. When we stop, theirs go.
func TestIKEDelete(t *testing.T) {
	t.Parallel()
	n := peer.NewNet(t)
	swan := n.StrongSwan("s", nil)
	s := startStack(t, n, stackMesh("{ike: 8h, esp: 1h}", "mtu: 1320, initiate: ours, "+tunnelMode))
	begin(t, "ours", s, swan)
	cookie, err := s.cookie()
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range [][]string{{"--child", "net"}, {"--ike", "peer"}} {
		old, err := s.outboundSPI()
		if err != nil {
			t.Fatal(err)
		}
		if out, err := swan.Swanctl(append([]string{"--terminate"}, what...)...); err != nil {
			t.Error(out, err)
		}
		peer.Eventually(t, 30*time.Second, "another outbound SA is in use", func() error { return s.newOutbound(old) })
	}
	if err := errors.Join(s.newCookie(cookie), s.logged("event=deleted")); err != nil {
		t.Error(err)
	}
	swan.GRE(tunnelTheirs + "/30")
	peer.Eventually(t, 20*time.Second, "data both ways", func() error { return s.carries(3) })

	if err := s.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	peer.Eventually(t, 5*time.Second, "they have no SA", func() error {
		list, err := swan.Swanctl("--list-sas")
		if err == nil && strings.Contains(list, "peer: #") {
			err = fmt.Errorf("swanctl --list-sas:\n%s", list)
		}
		return err
	})
}

// A mismatch is logged with what we offered, what they offered, and the line of the mesh file to change.
func TestIKEMismatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, initiator string
		settings        peer.Settings
		words           []string // on one line of our log
	}{
		{"phase 1", "theirs", peer.Settings{"IKE": "aes256-sha256-modp2048"}, []string{
			"event=no_proposal_chosen", "They offer transform 1: encryption aes-cbc-256, hash sha2-256", "group modp2048", "we want modp1024", "We allow 3des-cbc/sha1/modp1024",
		}},
		{"phase 1", "ours", peer.Settings{"IKE": "aes256-sha256-modp2048"}, []string{
			"event=clear_notification", "NO-PROPOSAL-CHOSEN", "the peer refuses what we offer in phase 1: 3des-cbc/sha1/modp1024",
		}},
		{"phase 2", "theirs", peer.Settings{"ESP": "aes128-sha1"}, []string{
			"event=no_proposal_chosen", "They offer transform 1: cipher aes-128", "we want 3des", "We allow 3des/hmac-sha1",
		}},
		{"phase 2", "ours", peer.Settings{"ESP": "aes128-sha1"}, []string{
			"event=peer_refuses", "NO-PROPOSAL-CHOSEN", "the peer refuses what we offer in phase 2: 3des/hmac-sha1",
		}},
		{"PFS", "theirs", peer.Settings{"ESP": "3des-sha1-modp1024"}, []string{
			"event=no_proposal_chosen", "PFS group modp1024, we want none",
		}},
		{"proxy ids", "theirs", peer.Settings{"LOCAL_TS": "10.99.0.7/32"}, []string{
			"event=wrong_proxy_id", "they say IDci 10.99.0.7", "we want IDci 10.99.0.1", "IDcr 10.99.0.2",
		}},
		{"pre-shared key", "theirs", peer.Settings{"PSK": "another key"}, []string{
			"event=wrong_psk", "does not decrypt: the pre-shared keys differ",
		}},
	} {
		t.Run(c.name+", "+c.initiator+" initiates", func(t *testing.T) {
			t.Parallel()
			n := peer.NewNet(t)
			swan := n.StrongSwan("s", c.settings)
			s := startStack(t, n, stackMesh("{ike: 8h, esp: 1h}", "mtu: 1320, initiate: "+c.initiator+", "+tunnelMode))
			if c.initiator == "theirs" {
				if err := swan.Initiate(); err == nil {
					t.Error("strongSwan has come up")
				}
			}
			where := map[string]string{"pre-shared key": "mesh.secrets.yaml:1:", "proxy ids": "mesh.yaml:11:"}[c.name]
			if where == "" {
				where = "mesh.yaml:6:" // the suite
			}
			peer.Eventually(t, 30*time.Second, "the log explains", func() error { return s.logged(append(c.words, where)...) })
			if s.secured() == nil {
				t.Error("there are SAs in spite of the mismatch")
			}
			if state, reason, err := s.ikeState(); state == "up" || err != nil || !strings.Contains(reason, where) {
				t.Errorf("show ike says %s: %s, %v", state, reason, err)
			}
		})
	}
}

// ike-scan knocks: a suite that we have is answered by message 2 and one that we do not have by
// NO-PROPOSAL-CHOSEN, NAT traversal is announced to who has announced it, and nobody else gets a word.
func TestIKEScan(t *testing.T) {
	t.Parallel()
	n := peer.NewNet(t)
	scanner, stranger := n.Namespace("p", outerTheirs+"/24"), n.Namespace("q", "192.0.2.9/24")
	s := startStack(t, n, stackMesh("{ike: 8h, esp: 1h}", "mtu: 1320, initiate: theirs, "+tunnelMode))
	const natt = "4a131c81070358455c5728f20e95452f"
	for _, c := range []struct {
		name      string
		from      *peer.Namespace
		args      []string
		want, not []string
	}{
		{"our suite", scanner, []string{"--trans=5,2,1,2"}, []string{"Main Mode Handshake returned", "Enc=3DES Hash=SHA1", "Group=2:modp1024", "Auth=PSK", "1 returned handshake"}, []string{natt}},
		{"another suite", scanner, []string{"--trans=7/128,2,1,2"}, []string{"NO-PROPOSAL-CHOSEN", "1 returned notify"}, []string{"Handshake returned"}},
		{"NAT traversal", scanner, []string{"--trans=5,2,1,2", "--vendor=" + natt}, []string{"Main Mode Handshake returned", natt}, nil},
		{"aggressive mode", scanner, []string{"--aggressive", "--id=x", "--trans=5,2,1,2"}, []string{"0 returned handshake; 0 returned notify"}, []string{"Handshake returned"}},
		{"IKEv2", scanner, []string{"--ikev2"}, []string{"0 returned handshake; 0 returned notify"}, nil},
		{"a stranger", stranger, []string{"--trans=5,2,1,2"}, []string{"0 returned handshake; 0 returned notify"}, nil},
	} {
		out, err := c.from.Try(append(append([]string{"ike-scan", "--nodns", "-M", "--retry=2"}, c.args...), outerOurs)...)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		for _, w := range c.want {
			if !strings.Contains(out, w) {
				t.Errorf("%s: ike-scan does not say %q:\n%s", c.name, w, out)
			}
		}
		for _, w := range c.not {
			if strings.Contains(out, w) {
				t.Errorf("%s: ike-scan says %q:\n%s", c.name, w, out)
			}
		}
	}
	if state, reason, err := s.ikeState(); state == "up" || err != nil {
		t.Errorf("the peer is %s: %s, %v", state, reason, err)
	}
}

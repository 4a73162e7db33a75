package ike

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"meshrouter/ike/isakmp"
)

// up runs a bench until both ends must be up and checks it.
func (b *bench) up() {
	b.t.Helper()
	b.run(10 * time.Second)
	for i := range 2 {
		if st := b.status(i); st.State != PeerUp {
			b.t.Fatalf("end %d is %s: %s", i, st.State, st.Reason)
		}
	}
	b.agree()
}

// agree checks that each end's outbound SA is an inbound SA of the other, keys and all.
func (b *bench) agree() {
	b.t.Helper()
	for i := range 2 {
		out := b.engines[i].peers[0].out
		if out == nil {
			b.t.Errorf("end %d has no outbound SA", i)
			continue
		}
		in := b.engines[1-i].inbound[out.outSA.SPI]
		if in == nil || !bytes.Equal(in.in.EncKey, out.outSA.EncKey) || !bytes.Equal(in.in.AuthKey, out.outSA.AuthKey) ||
			in.in.Src != out.outSA.Src || in.in.Dst != out.outSA.Dst || in.in.Mode != out.outSA.Mode || in.in.UDP != out.outSA.UDP {
			b.t.Errorf("what end %d sends is not what end %d takes:\n%s", i, 1-i, out.outSA)
		}
	}
}

// mentions checks that an event of that name says all the words.
func (b *bench) mentions(i int, name EventName, words ...string) {
	b.t.Helper()
	for _, ev := range find[Event](b.log[i]) {
		if ev.Name == name && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(ev.Text, w) }) {
			return
		}
	}
	b.t.Errorf("end %d: no event %s that mentions %q in", i, name, words)
	for _, ev := range find[Event](b.log[i]) {
		b.t.Logf("  %s", ev)
	}
}

// TestSuites negotiates every suite that is on offer, both phases and PFS.
func TestSuites(t *testing.T) {
	t.Parallel()
	phase1 := []Phase1Transform{
		{Encryption: isakmp.TripleDESCBC, Hash: isakmp.SHA1, Group: isakmp.MODP1024},
		{Encryption: isakmp.TripleDESCBC, Hash: isakmp.MD5, Group: isakmp.MODP1024},
		{Encryption: isakmp.AESCBC, KeyLength: 128, Hash: isakmp.SHA1, Group: isakmp.MODP1536},
		{Encryption: isakmp.AESCBC, Hash: isakmp.SHA1, Group: isakmp.MODP1024},
		{Encryption: isakmp.AESCBC, KeyLength: 256, Hash: isakmp.SHA2_256, Group: isakmp.MODP2048},
		{Encryption: isakmp.AESCBC, KeyLength: 192, Hash: isakmp.SHA2_512, Group: isakmp.MODP3072},
	}
	phase2 := []struct {
		t    Phase2Transform
		n, m int // bytes of key
	}{
		{Phase2Transform{ID: isakmp.ESP3DES, Auth: isakmp.HMACSHA}, 24, 20},
		{Phase2Transform{ID: isakmp.ESP3DES, Auth: isakmp.HMACMD5}, 24, 16},
		{Phase2Transform{ID: isakmp.ESPAES, KeyLength: 128, Auth: isakmp.HMACSHA}, 16, 20},
		{Phase2Transform{ID: isakmp.ESPAES, KeyLength: 256, Auth: isakmp.HMACSHA2_256}, 32, 32},
		{Phase2Transform{ID: isakmp.ESPAESGCM16, KeyLength: 128}, 20, 0}, // with 4 bytes of salt (RFC 4106, 8.1)
		{Phase2Transform{ID: isakmp.ESPAESGCM16, KeyLength: 256}, 36, 0},
		{Phase2Transform{ID: isakmp.ESPNull, Auth: isakmp.HMACSHA}, 0, 20},
	}
	try := func(p1 Phase1Transform, p2 Phase2Transform, pfs Group, mode EncapsulationMode, n, m int) {
		t.Run(fmt.Sprintf("%s,%s,%s,%s", p1, p2, pfs, mode), func(t *testing.T) {
			t.Parallel()
			a, b := testPair()
			for _, c := range []*PeerConfig{&a, &b} {
				c.Phase1, c.Phase2, c.PFS, c.Mode = []Phase1Transform{p1}, []Phase2Transform{p2}, pfs, mode
			}
			bn := newBench(t, a, b)
			bn.up()
			sa := bn.engines[0].peers[0].out.outSA
			if len(sa.EncKey) != n || len(sa.AuthKey) != m || sa.Mode != mode {
				t.Errorf("keys of %d and %d bytes, mode %s; want %d, %d, %s", len(sa.EncKey), len(sa.AuthKey), sa.Mode, n, m, mode)
			}
		})
	}
	for _, p := range phase1 {
		try(p, phase2[0].t, isakmp.NoGroup, isakmp.Tunnel, 24, 20)
	}
	for _, p := range phase2 {
		try(phase1[0], p.t, isakmp.NoGroup, isakmp.Transport, p.n, p.m)
	}
	for _, g := range []Group{isakmp.MODP1024, isakmp.MODP1536, isakmp.MODP2048} {
		try(phase1[0], phase2[0].t, g, isakmp.Tunnel, 24, 20)
	}
}

// TestMismatch: each kind of disagreement ends with both sides told apart and the place to change.
func TestMismatch(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name      string
		change    func(b *PeerConfig)
		event     EventName // at the responder
		words     []string
		initiator []string // words in the initiator's reason
	}{
		{
			"encryption", func(b *PeerConfig) { b.Phase1[0] = Phase1Transform{isakmp.AESCBC, 128, isakmp.SHA1, isakmp.MODP1024} }, EventNoProposalChosen,
			[]string{"phase 1", "encryption 3des-cbc, we want aes-cbc-128", "mesh.yaml:12:5"}, []string{"3des-cbc/sha1/modp1024", "mesh.yaml:12:5"},
		},
		{"hash", func(b *PeerConfig) { b.Phase1[0].Hash = isakmp.SHA2_256 }, EventNoProposalChosen, []string{"hash sha1, we want sha2-256"}, []string{"NO-PROPOSAL-CHOSEN"}},
		{"group", func(b *PeerConfig) { b.Phase1[0].Group = isakmp.MODP2048 }, EventNoProposalChosen, []string{"group modp1024, we want modp2048"}, nil},
		{"lifetime", func(b *PeerConfig) { b.Phase1Max = time.Hour }, EventNoProposalChosen, []string{"lifetime 8h0m0s, we want 1m0s to 1h0m0s"}, nil},
		{"pre-shared key", func(b *PeerConfig) { b.PSK = []byte("another") }, EventWrongPSK, []string{"message 5", "pre-shared keys differ", "mesh.yaml:12:5"}, []string{"pre-shared keys differ"}},
		{
			"identity", func(b *PeerConfig) { b.RemoteID = Identity{isakmp.IDFQDN, []byte("a.example.org")} }, EventWrongIdentity,
			[]string{"192.0.2.1", "a.example.org", "mesh.yaml:12:5"}, nil,
		},
		{
			"cipher", func(b *PeerConfig) { b.Phase2[0] = Phase2Transform{isakmp.ESPAES, 128, isakmp.HMACSHA} }, EventNoProposalChosen,
			[]string{"phase 2", "cipher 3des, we want aes-128"}, []string{"phase 2", "3des/hmac-sha1"},
		},
		{"integrity", func(b *PeerConfig) { b.Phase2[0].Auth = isakmp.HMACMD5 }, EventNoProposalChosen, []string{"authentication hmac-sha1, we want hmac-md5"}, nil},
		{"PFS", func(b *PeerConfig) { b.PFS = isakmp.MODP1024 }, EventNoProposalChosen, []string{"PFS group none, we want modp1024"}, nil},
		{"mode", func(b *PeerConfig) { b.Mode = isakmp.Transport }, EventNoProposalChosen, []string{"encapsulation tunnel, we want transport"}, nil},
		{
			"proxy ids", func(b *PeerConfig) { b.RemoteTS = Selector{Prefix: netip.MustParsePrefix("10.1.0.0/16")} }, EventWrongProxyID,
			[]string{"they say IDci 192.0.2.1, IDcr 192.0.2.2", "we want IDci 10.1.0.0/16, IDcr 192.0.2.2"}, []string{"local 192.0.2.1, remote 192.0.2.2"},
		},
		{"protocol", func(b *PeerConfig) { b.LocalTS.Protocol, b.RemoteTS.Protocol = 47, 47 }, EventWrongProxyID, []string{"IDci 192.0.2.1 proto 47"}, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, b := testPair()
			c.change(&b)
			bn := newBench(t, a, b)
			bn.run(5 * time.Minute)
			bn.mentions(1, c.event, c.words...)
			for i := range 2 {
				if st := bn.status(i); st.State == PeerUp || len(st.SAs) != 0 {
					t.Errorf("end %d is up, with %d SAs", i, len(st.SAs))
				}
			}
			changed := find[PeerChanged](bn.log[0])
			if !slices.ContainsFunc(changed, func(o PeerChanged) bool {
				return !slices.ContainsFunc(c.initiator, func(w string) bool { return !strings.Contains(o.Reason, w) })
			}) {
				t.Errorf("the initiator never says %q; last reason %q", c.initiator, bn.status(0).Reason)
			}
			if c.event == EventNoProposalChosen || c.event == EventWrongProxyID {
				for _, ev := range find[Event](bn.log[1]) {
					if ev.Name == c.event && len(ev.Mismatch) == 0 {
						t.Error("the event has no table of differences")
					}
				}
			}
		})
	}
}

// TestFirstAcceptable: a list is answered by its first transform that is allowed, the others are stepped over one by
// one, single DES and unknown attributes included (screenos-facts.md, 1 and 7.8). The answer is that
// transform byte for byte (openbsd-facts.md, 4).
func TestFirstAcceptable(t *testing.T) {
	t.Parallel()
	_, b := testPair()
	e := New(seeded(1), EngineOptions{})
	e.Step(testStart, Configure{Config{Peers: []PeerConfig{b}}}, nil)
	transform := func(number uint8, enc Encryption, hash Hash, extra ...isakmp.Attribute) isakmp.Transform {
		o := isakmp.Phase1Offer{Encryption: enc, Hash: hash, Auth: isakmp.PreSharedKey, Group: isakmp.MODP1024, Life: isakmp.Lifetime{Seconds: 28800}, Unknown: extra}
		as := o.Attributes()
		slices.Reverse(as[:4]) // not our order
		return isakmp.Transform{Number: number, ID: isakmp.TransformKeyIKE, Attributes: as}
	}
	offer := proposalOf(isakmp.Proposal{Number: 1, Protocol: isakmp.ProtocolISAKMP, Transforms: []isakmp.Transform{
		transform(1, isakmp.DESCBC, isakmp.SHA1),
		transform(2, isakmp.TripleDESCBC, isakmp.MD5),
		transform(3, isakmp.TripleDESCBC, isakmp.SHA1, isakmp.NewAttribute(16399, 1)),
		{Number: 4, ID: isakmp.TransformKeyIKE, Attributes: []isakmp.Attribute{{Type: 1, Data: []byte{1, 2, 3}}}},
		transform(77, isakmp.TripleDESCBC, isakmp.SHA1),
		transform(6, isakmp.TripleDESCBC, isakmp.SHA1),
	}})
	h := isakmp.Header{InitiatorCookie: isakmp.Cookie{1}, Version: isakmp.Version1, Exchange: isakmp.IdentityProtection}
	outs := e.Step(testStart, Datagram{
		Local: netip.AddrPortFrom(b.Local, 500), Remote: netip.AddrPortFrom(b.Remote, 500),
		Payload: h.Message(isakmp.Payload{Type: isakmp.PayloadSA, Body: offer.Append(nil)}),
	}, nil)
	sends := find[Send](outs)
	if len(sends) != 1 {
		t.Fatalf("got %v", outs)
	}
	ps, _, err := isakmp.ParsePayloads(isakmp.PayloadSA, sends[0].Payload[isakmp.HeaderSize:])
	if err != nil {
		t.Fatal(err)
	}
	want := offer
	want.Proposals = slices.Clone(offer.Proposals)
	want.Proposals[0].Transforms = offer.Proposals[0].Transforms[4:5]
	if got := ps[0].Body; !bytes.Equal(got, want.Append(nil)) {
		t.Errorf("answered with\n%x, want\n%x", got, want.Append(nil))
	}
}

// TestIdentities: which identities of the peer are taken for the configured one (openbsd-facts.md, 2;
// isakmpd-wire.md, 3).
func TestIdentities(t *testing.T) {
	t.Parallel()
	addr := netip.MustParseAddr("192.0.2.1")
	host := Identity{isakmp.IDIPv4Addr, addr.AsSlice()}
	slash := isakmp.SubnetID(netip.PrefixFrom(addr, 32))
	text := func(s string) isakmp.ID { return isakmp.ID{Type: isakmp.IDFQDN, Data: []byte(s)} }
	cases := []struct {
		want Identity
		got  isakmp.ID
		ok   bool
	}{
		{Identity{}, text("anything"), true},
		{host, isakmp.AddrID(addr), true},
		{host, slash, true},
		{host, text("192.0.2.1"), true},
		{host, text("192.0.2.1/32"), true},
		{host, text("192.0.2.2"), false},
		{host, text("192.0.2.1/31"), false},
		{host, isakmp.AddrID(netip.MustParseAddr("192.0.2.2")), false},
		{Identity{slash.Type, slash.Data}, isakmp.AddrID(addr), true},
		{Identity{isakmp.IDFQDN, []byte("a.example.org")}, text("a.example.org"), true},
		{Identity{isakmp.IDFQDN, []byte("a.example.org")}, isakmp.ID{Type: isakmp.IDUserFQDN, Data: []byte("a.example.org")}, true},
		{Identity{isakmp.IDFQDN, []byte("a.example.org")}, text("b.example.org"), false},
		{Identity{isakmp.IDFQDN, []byte("192.0.2.1/32")}, text("192.0.2.1/32"), true},
	}
	for _, c := range cases {
		if got := c.want.matches(c.got); got != c.ok {
			t.Errorf("%s for %v: %v, want %v", c.got, c.want, got, c.ok)
		}
	}
}

// TestHostForms: a host as proxy id is the same as an address and as a /32, whichever we send
// (screenos-facts.md, 1 and 7.1).
func TestHostForms(t *testing.T) {
	t.Parallel()
	for _, subnetA := range []bool{false, true} {
		for _, subnetB := range []bool{false, true} {
			a, b := testPair()
			a.LocalTS.Subnet, a.RemoteTS.Subnet = subnetA, subnetA
			b.LocalTS.Subnet, b.RemoteTS.Subnet = subnetB, subnetB
			newBench(t, a, b).up()
		}
	}
}

// TestNATTraversal detects NATs, or is made to, floats to port 4500 with message 5, and negotiates UDP
// encapsulation in the words of the RFC and of the drafts (RFC 3947; openbsd-facts.md, 3).
func TestNATTraversal(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name         string
		a, b         NATTraversal
		natAt        int  // 1: the initiator is behind a NAT that changes its port, 2: the responder
		draft        bool // the responder knows draft 03 only
		udp          bool
		nat0, nat1   string
		keepalives   [2]bool
		wantedPortAt int
	}{
		{name: "no NAT", nat0: "none", nat1: "none"},
		{name: "forced by the initiator", a: NATTForce, udp: true, nat0: "forced", nat1: "remote", keepalives: [2]bool{true, false}},
		{name: "forced by the responder", b: NATTForce, udp: true, nat0: "remote", nat1: "forced", keepalives: [2]bool{false, true}},
		{name: "forced by both", a: NATTForce, b: NATTForce, udp: true, nat0: "remote", nat1: "remote", keepalives: [2]bool{true, true}},
		{name: "draft", a: NATTForce, draft: true, udp: true, nat0: "forced", nat1: "remote", keepalives: [2]bool{true, false}},
		{name: "NAT before the initiator", natAt: 1, udp: true, nat0: "local", nat1: "remote", keepalives: [2]bool{true, false}},
		{name: "off at one end", a: NATTForce, b: NATTOff, nat0: "none", nat1: "none"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, b := testPair()
			a.NATT, b.NATT = c.a, c.b
			bn := newBench(t, a, b)
			if c.draft {
				bn.change = func(_ int, o *Send) { // neither end learns of the RFC
					rfc, draft := isakmp.VendorNATT.VendorID().Body, isakmp.VendorNATT03.VendorID().Body
					o.Payload = bytes.ReplaceAll(o.Payload, rfc, draft)
				}
			}
			if c.natAt == 1 {
				bn.nat = func(from int, d *Datagram) {
					if from == 0 { // outbound: another source port
						d.Remote = netip.AddrPortFrom(d.Remote.Addr(), d.Remote.Port()+40000)
					} else { // inbound: back again
						d.Local = netip.AddrPortFrom(d.Local.Addr(), d.Local.Port()-40000)
					}
				}
			}
			bn.run(10 * time.Second)
			for i := range 2 {
				st := bn.status(i)
				if st.State != PeerUp {
					t.Fatalf("end %d is %s: %s", i, st.State, st.Reason)
				}
				if want := []string{c.nat0, c.nat1}[i]; st.NAT != want {
					t.Errorf("end %d: NAT %q, want %q", i, st.NAT, want)
				}
				sa := bn.engines[i].peers[0].out.outSA
				if sa.UDP != c.udp || c.udp && (sa.Src.Port() == 0 || sa.Dst.Port() == 0) || !c.udp && sa.Dst.Port() != 0 {
					t.Errorf("end %d: %s, UDP wanted: %v", i, sa, c.udp)
				}
			}
			if c.natAt == 1 {
				if got := bn.engines[1].peers[0].out.outSA.Dst.Port(); got != 44500 {
					t.Errorf("the responder sends to port %d, want the NAT's 44500", got)
				}
			}
			for _, o := range bn.wire {
				h, err := isakmp.ParseHeader(o.Payload)
				if err != nil {
					t.Fatal(err)
				}
				if encrypted := h.Flags&isakmp.FlagEncryption != 0; c.udp && (o.Local.Port() == 4500) != encrypted {
					t.Errorf("%s from port %d", o, o.Local.Port())
				}
			}
			bn.run(70 * time.Second)
			for i, want := range c.keepalives {
				if n := len(find[NATKeepalive](bn.log[i])); (n == 3 || n == 4) != want || !want && n != 0 {
					t.Errorf("end %d: %d keepalives in 80 s, wanted: %v", i, n, want)
				}
			}
			if c.draft && plainText(bn, 0).Encapsulation != isakmp.UDPTunnelDraft {
				t.Errorf("encapsulation %s, want that of the draft", plainText(bn, 0).Encapsulation)
			}
		})
	}
}

// plainText is the offer of the last quick mode of an end.
func plainText(b *bench, i int) isakmp.Phase2Offer {
	b.t.Helper()
	quicks := b.engines[i].peers[0].quicks
	o, err := isakmp.ParsePhase2Offer(quicks[len(quicks)-1].offer.Proposals[0].Transforms[0])
	if err != nil {
		b.t.Fatal(err)
	}
	return o
}

// TestRemoteMoves: a NAT gives the peer another port. An authentic message moves our end, and only that.
func TestRemoteMoves(t *testing.T) {
	t.Parallel()
	a, b := testPair()
	a.NATT, a.DPD = NATTForce, 20*time.Second
	bn := newBench(t, a, b)
	bn.up()
	p := bn.engines[1].peers[0]
	garbage := bytes.Clone(bn.wire[len(bn.wire)-1].Payload)
	garbage[len(garbage)-1] ^= 1
	moved := netip.MustParseAddrPort("192.0.2.1:61000")
	bn.do(1, Datagram{Local: p.current().local, Remote: moved, Payload: garbage})
	if p.current().remote == moved {
		t.Error("a forged message moved the peer")
	}
	bn.nat = func(from int, d *Datagram) {
		if from == 0 {
			d.Remote = moved
		} else {
			d.Local = netip.AddrPortFrom(d.Local.Addr(), portNATT)
		}
	}
	bn.run(30 * time.Second)
	if p.current().remote != moved || p.out.outSA.Dst != moved {
		t.Errorf("the peer is at %s, ESP goes to %s, want %s", p.current().remote, p.out.outSA.Dst, moved)
	}
	if m := find[MoveRemote](bn.log[1]); len(m) != 1 || m[0].Remote != moved {
		t.Errorf("told the data plane %v", m)
	}
	moved = netip.MustParseAddrPort("192.0.2.1:62000")
	bn.do(1, RemoteMoved{Peer: "a-b", Remote: moved})
	if p.out.outSA.Dst != moved || p.current().remote != moved {
		t.Errorf("RemoteMoved: ESP goes to %s, want %s", p.out.outSA.Dst, moved)
	}
	if m := find[MoveRemote](bn.log[1]); len(m) != 1 {
		t.Error("the data plane was told what it had told")
	}
}

package ike

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"meshrouter/ike/isakmp"
	"meshrouter/ike/keys"
)

// TestGoldenHandshakes compares whole sessions of two seeded engines with testdata/*.txtar: the configuration, every
// datagram of both roles as annotated hex, what each end did, the keys. Read each diff of -update.
func TestGoldenHandshakes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, title string
		change      func(a, b *PeerConfig)
	}{
		{"mainmode-3des-psk", "Main mode and quick mode, 3DES, SHA-1, modp1024, profile openbsd; then both SAs are deleted.", func(a, b *PeerConfig) {
			a.Profile, b.Profile = ProfileOpenBSD, ProfileOpenBSD
		}},
		{"mainmode-aes-gcm-pfs", "AES-256 and SHA2-256 in main mode, AES-GCM-16 with PFS modp2048 in quick mode.", func(a, b *PeerConfig) {
			for _, c := range []*PeerConfig{a, b} {
				c.Phase1 = []Phase1Transform{{Encryption: isakmp.AESCBC, KeyLength: 256, Hash: isakmp.SHA2_256, Group: isakmp.MODP2048}}
				c.Phase2 = []Phase2Transform{{ID: isakmp.ESPAESGCM16, KeyLength: 128}}
				c.PFS = isakmp.MODP2048
			}
		}},
		{"natt-forced", "NAT traversal, forced by the initiator: port 4500 from message 5, encapsulation udp-encap-tunnel.", func(a, b *PeerConfig) {
			a.NATT = NATTForce
		}},
		{"screenos-subnet-ids", "As towards ScreenOS: hosts as /32 subnets, lifetimes of 28800 s and 3600 s.", func(a, b *PeerConfig) {
			for _, c := range []*PeerConfig{a, b} {
				c.Profile, c.LocalTS.Subnet, c.RemoteTS.Subnet = ProfileScreenOS, true, true
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a, b := testPair()
			c.change(&a, &b)
			bn := newBench(t, a, b)
			tr := &transcript{bn: bn}
			bn.change = func(from int, o *Send) { tr.datagram(from, *o) }
			bn.run(2 * time.Second)
			tr.flush()
			bn.do(0, Terminate{})
			tr.flush()
			golden(t, c.name+".txtar", fmt.Sprintf("# %s\n# Seeds 1 (initiator) and 2 (responder). Written by TestGoldenHandshakes -update.\n-- initiator --\n%s-- responder --\n%s-- datagrams --\n%s-- outputs of the initiator --\n%s-- outputs of the responder --\n%s",
				c.title, configText(a), configText(b), tr.b.String(), outputsText(bn.log[0]), outputsText(bn.log[1])))
		})
	}
}

func configText(c PeerConfig) string {
	return fmt.Sprintf("local %s remote %s psk %q profile %d natt %d mode %s\nphase 1 %s %s\nphase 2 %s pfs %s %s\nproxy ids %s %s\n",
		c.Local, c.Remote, []byte(c.PSK), c.Profile, c.NATT, c.Mode, phase1List(c.Phase1), c.Phase1Lifetime,
		c.Phase2[0], c.PFS, c.Phase2Lifetime, c.LocalTS, c.RemoteTS)
}

// outputsText is what an end did, with the keys that are secret everywhere but here.
func outputsText(outs []Output) string {
	var b strings.Builder
	for _, o := range outs {
		switch o := o.(type) {
		case Send, Event, Persist:
			continue
		case ISAKMPKey:
			fmt.Fprintf(&b, "isakmp key %x\n", []byte(o.Key))
		case AddInbound:
			fmt.Fprintf(&b, "%s\n  encryption %x\n  integrity %x\n", o, []byte(o.SA.EncKey), []byte(o.SA.AuthKey))
		case UseOutbound:
			fmt.Fprintf(&b, "%s\n  encryption %x\n  integrity %x\n", o, []byte(o.SA.EncKey), []byte(o.SA.AuthKey))
		default:
			fmt.Fprintf(&b, "%s\n", o)
		}
	}
	return b.String()
}

// A transcript annotates datagrams, encrypted ones once the keys are there: with those of the first ISAKMP SA.
type transcript struct {
	bn      *bench
	b       strings.Builder
	n       int
	pending []Send
	sa      *isakmpSA
	chains  map[uint32]*keys.Chain
}

func (tr *transcript) datagram(_ int, o Send) { tr.pending = append(tr.pending, o) }

// flush writes what has come.
func (tr *transcript) flush() {
	if tr.sa == nil {
		tr.sa = tr.bn.engines[0].peers[0].current()
		tr.chains = make(map[uint32]*keys.Chain)
		chain, err := tr.sa.keys.Phase1Chain(tr.sa.main.x)
		if err != nil {
			tr.bn.t.Fatal(err)
		}
		tr.chains[0] = &chain
	}
	for _, o := range tr.pending {
		h, err := isakmp.ParseHeader(o.Payload)
		if err != nil {
			tr.bn.t.Fatal(err)
		}
		tr.n++
		fmt.Fprintf(&tr.b, "%d %s > %s %s, message id %08x, flags %d, %d bytes\n", tr.n, o.Local, o.Remote, h.Exchange, h.MessageID, h.Flags, h.Length)
		fmt.Fprintf(&tr.b, "  header %x\n", o.Payload[:isakmp.HeaderSize])
		clear := o.Payload[isakmp.HeaderSize:]
		if h.Flags&isakmp.FlagEncryption != 0 {
			fmt.Fprintf(&tr.b, "  encrypted %x\n", clear)
			clear = tr.open(h.MessageID, o.Payload)
		}
		ps, rest, err := isakmp.ParsePayloads(h.NextPayload, clear)
		if err != nil {
			tr.bn.t.Fatalf("datagram %d: %v", tr.n, err)
		}
		for _, p := range ps {
			fmt.Fprintf(&tr.b, "  %-5s %x\n", p.Type, p.Raw)
		}
		if len(rest) > 0 {
			fmt.Fprintf(&tr.b, "  padding %x\n", rest)
		}
	}
	tr.pending = nil
}

// open decrypts a message.
func (tr *transcript) open(id uint32, raw []byte) []byte {
	chain := tr.chains[id]
	if chain == nil {
		next, err := tr.sa.keys.Phase2Chain(tr.sa.lastBlock, id)
		if err != nil {
			tr.bn.t.Fatal(err)
		}
		chain = &next
		tr.chains[id] = chain
	}
	clear, next, err := chain.Open(raw)
	if err != nil {
		tr.bn.t.Fatal(err)
	}
	*chain = next
	return clear
}

// TestTables compares the exchanges' tables with the figures of RFC 2409, 5.4 and 5.5, in words.
func TestTables(t *testing.T) {
	t.Parallel()
	set := func(p payloadSet) string {
		var names []string
		for i := range isakmp.PayloadType(64) {
			if p&(1<<i) != 0 {
				names = append(names, i.String())
			}
		}
		return strings.Join(names, " ")
	}
	role := map[bool]string{true: "initiator", false: "responder"}
	var b strings.Builder
	for _, r := range mainModeTable {
		fmt.Fprintf(&b, "main mode %s %d encrypted=%v: %s; then %d\n", role[r.initiator], r.number, r.encrypted, set(r.required), r.next)
	}
	for _, r := range quickModeTable {
		fmt.Fprintf(&b, "quick mode %s %d: %s; then %d\n", role[r.initiator], r.number, set(r.required), r.next)
	}
	want := `main mode responder 1 encrypted=false: SA; then 3
main mode initiator 2 encrypted=false: SA; then 4
main mode responder 3 encrypted=false: KE NONCE; then 5
main mode initiator 4 encrypted=false: KE NONCE; then 6
main mode responder 5 encrypted=true: ID HASH; then 0
main mode initiator 6 encrypted=true: ID HASH; then 0
quick mode responder 1: SA HASH NONCE; then 3
quick mode initiator 2: SA HASH NONCE; then 0
quick mode responder 3: HASH; then 0
quick mode initiator 4: HASH N; then 0
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func ExampleEngine() {
	type arrival struct {
		at netip.Addr
		in Input
	}
	a, b := testPair()
	now := testStart
	engines := map[netip.Addr]*Engine{a.Local: New(seeded(1), EngineOptions{}), b.Local: New(seeded(2), EngineOptions{})}
	do := func(at netip.Addr, in Input) {
		for queue := []arrival{{at, in}}; len(queue) > 0; queue = queue[1:] {
			q := queue[0]
			for _, o := range engines[q.at].Step(now, q.in, nil) {
				switch o := o.(type) {
				case Send: // the network
					queue = append(queue, arrival{o.Remote.Addr(), Datagram{Local: o.Remote, Remote: o.Local, Payload: o.Payload}})
				case Compute: // a pool of goroutines
					queue = append(queue, arrival{q.at, Computed{ID: o.ID, Result: o.Job()}})
				case PeerChanged:
					fmt.Println(q.at, o.State)
				}
			}
		}
	}
	do(b.Local, Configure{Config{Peers: []PeerConfig{b}}})
	do(a.Local, Configure{Config{Peers: []PeerConfig{a}}})
	now = engines[a.Local].Deadline()
	do(a.Local, Tick{})
	// Output:
	// 192.0.2.2 down
	// 192.0.2.1 down
	// 192.0.2.1 negotiating
	// 192.0.2.2 negotiating
	// 192.0.2.1 up
	// 192.0.2.2 up
}

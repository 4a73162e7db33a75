package ike

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"meshrouter/ike/isakmp"
	"meshrouter/ike/keys"
	"meshrouter/internal/recordings"
)

// sessionRecording dissects a session of two strongSwans into what a replay needs, opening it with our own
// keys: what they open is what strongSwan computed.
func sessionRecording(t *testing.T, session *recordings.Session) *recordings.Recording {
	t.Helper()
	rec := &recordings.Recording{Scenario: session.Name, IPsecConf: map[string]string{}}
	var x keys.Exchange
	var k *keys.Keys
	chains := map[uint32]*keys.Chain{}
	var lastBlock []byte
	quick := map[uint32]*recordings.Phase2{}
	var ids []uint32
	suite := keys.Suite{Encryption: isakmp.TripleDESCBC, Hash: isakmp.SHA1}
	if session.Name == "v1-main-aes-pfs" {
		suite = keys.Suite{Encryption: isakmp.AESCBC, KeyLength: 128, Hash: isakmp.SHA1}
	}
	for i, p := range session.Packets {
		if p.Kind != "ike" {
			continue
		}
		h, err := isakmp.ParseHeader(p.Data)
		if err != nil {
			t.Fatal(err)
		}
		src, dst := netip.MustParseAddr(session.Initiator), netip.MustParseAddr(session.Responder)
		fromInitiator := p.Src == session.Initiator
		if !fromInitiator {
			src, dst = dst, src
		}
		m := recordings.Message{
			Frame: i + 1, Seconds: float64(i) / 100, Src: src, Dst: dst, SrcPort: p.Port, DstPort: p.Port,
			InitiatorCookie: h.InitiatorCookie[:], ResponderCookie: h.ResponderCookie[:], MessageID: spiBytes(h.MessageID),
			Exchange: map[isakmp.ExchangeType]string{isakmp.IdentityProtection: "main", isakmp.QuickMode: "quick", isakmp.Informational: "informational"}[h.Exchange],
			Flags:    uint8(h.Flags), Length: h.Length, IKE: p.Data,
		}
		clear := []byte(p.Data[isakmp.HeaderSize:])
		if m.Encrypted() {
			if k == nil {
				x.CookieI, x.CookieR = h.InitiatorCookie, h.ResponderCookie
				if k, err = keys.Derive(suite, []byte(session.PSK), x, session.InitiatorValues.First("shared Diffie Hellman secret")); err != nil {
					t.Fatal(err)
				}
				c, err := k.Phase1Chain(x)
				if err != nil {
					t.Fatal(err)
				}
				chains[0] = &c
			}
			c := chains[h.MessageID]
			if c == nil {
				next, err := k.Phase2Chain(lastBlock, h.MessageID)
				if err != nil {
					t.Fatal(err)
				}
				c = &next
				chains[h.MessageID] = c
			}
			m.IV = c.IV()
			if clear, *c, err = c.Open(p.Data); err != nil {
				t.Fatal(err)
			}
			m.Plaintext = clear
			if h.MessageID == 0 {
				lastBlock = c.IV()
			}
		}
		ps, rest, err := isakmp.ParsePayloads(h.NextPayload, clear)
		if err != nil {
			t.Fatalf("%s packet %d: %v", session.Name, i+1, err)
		}
		m.Padding = rest
		for _, p := range ps {
			out := recordings.Payload{Type: p.Type.String(), Data: p.Body}
			switch p.Type {
			case isakmp.PayloadSA:
				sa, err := isakmp.ParseSA(p.Body)
				if err != nil {
					t.Fatal(err)
				}
				out.Proposals = []recordings.Proposal{{SPI: sa.Proposals[0].SPI}}
			case isakmp.PayloadKE:
				switch q := quick[h.MessageID]; {
				case q != nil && fromInitiator:
					q.PublicI = p.Body
				case q != nil:
					q.PublicR = p.Body
				case fromInitiator:
					x.PublicI = p.Body
				default:
					x.PublicR = p.Body
				}
			case isakmp.PayloadNonce:
				q := quick[h.MessageID]
				if h.MessageID != 0 && q == nil {
					q = &recordings.Phase2{MessageID: spiBytes(h.MessageID)}
					quick[h.MessageID] = q
					ids = append(ids, h.MessageID)
					if body, ok := isakmp.Find(ps, isakmp.PayloadKE); ok {
						q.PublicI = body.Body
					}
				}
				switch {
				case q != nil && fromInitiator:
					q.NonceI = p.Body
				case q != nil:
					q.NonceR = p.Body
				case fromInitiator:
					x.NonceI = p.Body
				default:
					x.NonceR = p.Body
				}
			default:
			}
			m.Payloads = append(m.Payloads, out)
		}
		rec.Messages = append(rec.Messages, m)
	}
	rec.Phase1 = []recordings.Phase1{{
		InitiatorCookie: x.CookieI[:], ResponderCookie: x.CookieR[:], PublicI: x.PublicI, PublicR: x.PublicR,
		NonceI: x.NonceI, NonceR: x.NonceR, Shared: session.InitiatorValues.First("shared Diffie Hellman secret"),
	}}
	for i, id := range ids {
		if secrets := session.InitiatorValues.All("DH secret"); len(secrets) > i {
			quick[id].Shared = secrets[i]
		}
		rec.Phase2 = append(rec.Phase2, *quick[id])
	}
	return rec
}

// sessionPeer is the configuration of an end of the sessions (vectors/README.md, captures/ike).
func sessionPeer(session *recordings.Session, host string) func(*PeerConfig) {
	return func(c *PeerConfig) {
		*c = PeerConfig{
			ID: "recorded", Local: netip.MustParseAddr(session.Initiator), Remote: netip.MustParseAddr(session.Responder),
			PSK: []byte(session.PSK), Profile: ProfileStrongSwan, Mode: isakmp.Tunnel, Source: "mesh.yaml:12:5", NATT: NATTForce,
			Phase1:  []Phase1Transform{{Encryption: isakmp.TripleDESCBC, Hash: isakmp.SHA1, Group: isakmp.MODP1024}},
			Phase2:  []Phase2Transform{{ID: isakmp.ESP3DES, Auth: isakmp.HMACSHA}},
			LocalTS: Selector{Prefix: netip.MustParsePrefix("10.11.0.0/24")}, RemoteTS: Selector{Prefix: netip.MustParsePrefix("10.22.0.0/24")},
			Phase1Lifetime: 15840 * time.Second, Phase2Lifetime: 3960 * time.Second,
		}
		if session.Name == "v1-main-aes-pfs" {
			c.Phase1[0] = Phase1Transform{Encryption: isakmp.AESCBC, KeyLength: 128, Hash: isakmp.SHA1, Group: isakmp.MODP2048}
			c.Phase2[0] = Phase2Transform{ID: isakmp.ESPAES, KeyLength: 128, Auth: isakmp.HMACSHA}
			c.PFS = isakmp.MODP2048
		}
		if host == session.Responder {
			c.Local, c.Remote, c.LocalTS, c.RemoteTS = c.Remote, c.Local, c.RemoteTS, c.LocalTS
			c.Initiate = InitiateNever
		}
	}
}

// TestStrongSwanSessions replays the main mode sessions of two strongSwans: our responder leads the recorded
// initiator to the end of every quick mode with the recorded keys, our initiator accepts the recorded
// responder. Aggressive mode is refused by name.
func TestStrongSwanSessions(t *testing.T) {
	t.Parallel()
	for _, session := range recordings.StrongSwan(t) {
		t.Run(session.Name, func(t *testing.T) {
			t.Parallel()
			if session.Name == "v1-aggr-3des" {
				e := New(seeded(1), EngineOptions{})
				c := PeerConfig{}
				sessionPeer(session, session.Responder)(&c)
				e.Step(testStart, Configure{Config{Peers: []PeerConfig{c}}}, nil)
				for _, p := range session.Packets {
					if p.Kind == "ike" && p.Src == session.Initiator {
						e.Step(testStart, Datagram{netip.AddrPortFrom(c.Local, p.Port), netip.AddrPortFrom(c.Remote, p.Port), p.Data}, nil)
					}
				}
				if n := e.Counters()[EventAggressiveRefused]; n != 2 {
					t.Errorf("%s is %d, want 2: messages 1 and 3", EventAggressiveRefused, n)
				}
				return
			}
			rec := sessionRecording(t, session)
			for _, host := range []string{session.Responder, session.Initiator} {
				r := newReplay(t, rec, host, sessionPeer(session, host))
				r.play()
				outs := find[UseOutbound](r.outs)
				ins := find[AddInbound](r.outs)
				encI, encR := session.ResponderValues.All("encryption initiator key"), session.ResponderValues.All("encryption responder key")
				authI, authR := session.ResponderValues.All("integrity initiator key"), session.ResponderValues.All("integrity responder key")
				if host == session.Initiator { // ours rekeys in its own time
					encI = encI[:1]
				}
				if len(outs) != len(encI) || len(ins) != len(encI) {
					t.Errorf("%s: %d outbound, %d inbound SAs, want %d\n%s", host, len(outs), len(ins), len(encI), r.summary())
					continue
				}
				if host == session.Initiator {
					ins, outs = nil, nil
					for _, o := range find[AddInbound](r.outs) {
						outs = append(outs, UseOutbound(o))
					}
					for _, o := range find[UseOutbound](r.outs) {
						ins = append(ins, AddInbound(o))
					}
				}
				for i := range outs {
					// strongSwan's "initiator key" protects what the initiator sends.
					if !bytes.Equal(ins[i].SA.EncKey, encI[i]) || !bytes.Equal(ins[i].SA.AuthKey, authI[i]) ||
						!bytes.Equal(outs[i].SA.EncKey, encR[i]) || !bytes.Equal(outs[i].SA.AuthKey, authR[i]) {
						t.Errorf("keys of pair %d are not the recorded ones", i)
					}
				}
				if !ins[0].SA.UDP || ins[0].SA.Src.Port() != 4500 {
					t.Errorf("SA %s, want it in UDP from port 4500", ins[0].SA)
				}
			}
		})
	}
}

package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"meshrouter/ike"
	"meshrouter/ike/isakmp"
	"meshrouter/internal/secret"
)

// A negotiation is what two engines agree on.
type negotiation struct {
	name1, name2 string
	encryption   string // as `show sad` has it
	phase1       ike.Phase1Transform
	phase2       ike.Phase2Transform
}

var negotiationTable = []negotiation{
	{
		"3des-sha1-modp1024", "3des-sha1", "3des-cbc",
		ike.Phase1Transform{Encryption: isakmp.TripleDESCBC, Hash: isakmp.SHA1, Group: isakmp.MODP1024},
		ike.Phase2Transform{ID: isakmp.ESP3DES, Auth: isakmp.HMACSHA},
	},
	{
		"aes128-sha1-modp1536", "aes128-sha1", "aes",
		ike.Phase1Transform{Encryption: isakmp.AESCBC, KeyLength: 128, Hash: isakmp.SHA1, Group: isakmp.MODP1536},
		ike.Phase2Transform{ID: isakmp.ESPAES, KeyLength: 128, Auth: isakmp.HMACSHA},
	},
	{
		"aes256-sha256-modp2048", "aes128gcm16", "aes-128-gcm",
		ike.Phase1Transform{Encryption: isakmp.AESCBC, KeyLength: 256, Hash: isakmp.SHA2_256, Group: isakmp.MODP2048},
		ike.Phase2Transform{ID: isakmp.ESPAESGCM16, KeyLength: 128},
	},
}

// The two ends.
var endTable = [2]netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, 1}), netip.AddrFrom4([4]byte{192, 0, 2, 2})}

const peerName ike.PeerID = "left-right"

// An end is one engine, the processor time it has used, and the SAs it has made.
type end struct {
	engine   *ike.Engine
	used     time.Duration
	in, out  *ike.ChildSA
	incoming []ike.Input
}

// config is that of end i.
func (n negotiation) config(i int) ike.Config {
	selector := func(a netip.Addr) ike.Selector { return ike.Selector{Prefix: netip.PrefixFrom(a, 32)} }
	local, remote := endTable[i], endTable[1-i]
	p := ike.PeerConfig{
		ID: peerName, Local: local, Remote: remote, PSK: secret.Key("a key that both of them have"),
		Initiate: ike.InitiateNever,
		Phase1:   []ike.Phase1Transform{n.phase1}, Phase2: []ike.Phase2Transform{n.phase2},
		Mode: isakmp.Tunnel, LocalTS: selector(local), RemoteTS: selector(remote),
	}
	if i == 0 {
		p.Initiate = ike.InitiateAlways
	}
	return ike.Config{Peers: []ike.PeerConfig{p}}
}

// handshake runs one main mode and one quick mode between two new engines, and returns the processor time
// that the initiator and the responder have used, computations included.
func (n negotiation) handshake() (used [2]time.Duration, err error) {
	now := time.Unix(1_700_000_000, 0)
	var ends [2]*end
	for i := range ends {
		ends[i] = &end{engine: ike.New(rand.Reader, ike.EngineOptions{}), incoming: []ike.Input{ike.Configure{Config: n.config(i)}}}
	}
	if err := ends[1].take(now, ends[0]); err != nil { // the responder listens first
		return used, err
	}
	ends[1].used = 0
	for rest := 0; ; {
		busy := false
		for i, e := range ends {
			for len(e.incoming) > 0 {
				busy = true
				if err := e.take(now, ends[1-i]); err != nil {
					return used, err
				}
			}
		}
		if busy {
			continue
		}
		if ends[0].up() && ends[1].up() {
			break
		}
		// Nobody has anything to say: a timer must be next.
		if rest++; rest > 10 {
			return used, errors.New("the engines do not come to an end")
		}
		for _, e := range ends {
			if d := e.engine.Deadline(); d.After(now) {
				now = d
			}
			e.incoming = append(e.incoming, ike.Tick{})
		}
	}
	return [2]time.Duration{ends[0].used, ends[1].used}, agree(ends[0], ends[1])
}

func (e *end) up() bool { return e.in != nil && e.out != nil }

// take feeds the end its first input and does what it asks for.
func (e *end) take(now time.Time, other *end) error {
	in := e.incoming[0]
	e.incoming = e.incoming[1:]
	begun := cpuTime()
	outputs := e.engine.Step(now, in, nil)
	e.used += cpuTime() - begun
	for _, o := range outputs {
		switch o := o.(type) {
		case ike.Send:
			other.incoming = append(other.incoming, ike.Datagram{Local: o.Remote, Remote: o.Local, Payload: o.Payload})
		case ike.Compute:
			begun := cpuTime()
			result := o.Job()
			e.used += cpuTime() - begun
			e.incoming = append(e.incoming, ike.Computed{ID: o.ID, Result: result})
		case ike.AddInbound:
			e.in = &o.SA
		case ike.UseOutbound:
			e.out = &o.SA
		case ike.Event:
			if o.Severity == ike.Warning {
				return fmt.Errorf("%s: %s", o.Name, o.Text)
			}
		}
	}
	return nil
}

// agree says what differs between the two ends' SAs.
func agree(a, b *end) error {
	for _, pair := range [][2]*ike.ChildSA{{a.out, b.in}, {b.out, a.in}} {
		x, y := pair[0], pair[1]
		if x.SPI != y.SPI || len(x.EncKey) == 0 || !bytes.Equal(x.EncKey, y.EncKey) || !bytes.Equal(x.AuthKey, y.AuthKey) {
			return errors.New("the two ends hold different SAs")
		}
	}
	return nil
}

// ike measures handshakes.
func (r *run) ike(ctx context.Context) error {
	for _, n := range negotiationTable { // once before it counts
		if _, err := n.handshake(); err != nil {
			return fmt.Errorf("%s: %w", n.name1, err)
		}
	}
	type ends struct{ initiator, responder []float64 }
	perEnd := make([]ends, len(negotiationTable))
	plan := r.plan(pace{quick: 2 * time.Second, full: 30 * time.Second, quickSlice: 150 * time.Millisecond, fullSlice: time.Second})
	values, err := plan.run(ctx, len(negotiationTable), func(i int) (float64, error) {
		var used [2]time.Duration
		count := 0.0
		for begun := time.Now(); time.Since(begun) < plan.slice; {
			u, err := negotiationTable[i].handshake()
			if err != nil {
				return 0, fmt.Errorf("%s: %w", negotiationTable[i].name1, err)
			}
			used[0], used[1], count = used[0]+u[0], used[1]+u[1], count+1
		}
		perEnd[i].initiator = append(perEnd[i].initiator, count/used[0].Seconds())
		perEnd[i].responder = append(perEnd[i].responder, count/used[1].Seconds())
		return count / (used[0] + used[1]).Seconds(), nil
	})
	if err != nil {
		return err
	}
	for i, n := range negotiationTable {
		row := IKERow{
			Phase1: n.name1, Phase2: n.name2, Handshakes: newSample(values[i]),
			Initiator: newSample(perEnd[i].initiator).Median, Responder: newSample(perEnd[i].responder).Median,
		}
		r.doc.IKE = append(r.doc.IKE, row)
		r.say("  %s: %.0f handshakes a second, both ends on one core", n.name1, row.Handshakes.Median)
	}
	return nil
}

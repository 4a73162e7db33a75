package ospf

import (
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestNeighborFSM prints the table and compares it with a copy of RFC 2328, 10.3 in words.
func TestNeighborFSM(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, row := range neighborFSM {
		next := "by action"
		if row.next != byAction {
			next = row.next.String()
		}
		fmt.Fprintf(&b, "%-13s %-18s %-10s %s\n", setName(row.in), row.on, next, actionName(row.action))
	}
	want, err := os.ReadFile("testdata/neighbor-fsm.txt")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("neighborFSM differs from testdata/neighbor-fsm.txt (-file +table):\n%s", diff)
	}
}

func TestInterfaceFSM(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, row := range interfaceFSM {
		fmt.Fprintf(&b, "%v, %v: %v\n", row.in, row.on, row.next)
	}
	const want = "Down, InterfaceUp: Point-to-Point\nPoint-to-Point, InterfaceDown: Down\n"
	if b.String() != want {
		t.Errorf("interfaceFSM is\n%swant\n%s", b.String(), want)
	}
}

func setName(set NeighborState) string {
	for name, s := range map[string]NeighborState{
		"Any": anyState, "Init+": initUp, "2-Way+": twoWayUp, "ExStart+": exStartUp, "Exchange+": exchangeUp,
	} {
		if s == set {
			return name
		}
	}
	return set.String()
}

func actionName(f func(*neighbor, *step)) string {
	name := runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()
	return name[strings.LastIndex(name, ".")+1:]
}

// TestUnlistedEvent: a pair that is not in the table is told, not fatal.
func TestUnlistedEvent(t *testing.T) {
	t.Parallel()
	p := newPuppet(t, peerID)
	p.hello()
	n, _ := p.in.byName["t"].neighbor(peerID)
	s := &step{in: p.in, now: p.now}
	s.fire(n, loadingDone, "")
	if len(s.out) != 1 || p.in.counters["neighbor_event_unexpected"] != 1 {
		t.Errorf("%v %v", s.out, p.in.counters)
	}
}

// TestDestinations: a packet is taken on 224.0.0.5, 224.0.0.6 (old ospfd floods there) and our own address, and nowhere
// else (RFC 2328, 8.2; openbsd-facts.md, 7).
func TestDestinations(t *testing.T) {
	t.Parallel()
	for dst, want := range map[string]uint64{"224.0.0.5": 0, "224.0.0.6": 0, "10.254.0.1": 0, "10.254.0.3": 1, "10.1.0.1": 1} {
		p := newPuppet(t, peerID)
		p.full()
		b := Auth{}.Seal(append(Header{Version: version, Type: LSUpdatePacket, RouterID: peerID}.Append(nil), LinkStateUpdate{}.Append(nil)...), 0)
		p.step(Packet{Interface: "t", Src: addr(0x0afe0002), Dst: mustAddr(dst), Payload: b})
		p.wantCount("destination_mismatch", want)
		p.wantCount("packet_malformed", 0)
	}
}

// TestPeerElsewhere: a neighbor that is not where the configuration has it is taken, with a warning; the routes lead to
// the address it sends from (openbsd-facts.md, 7).
func TestPeerElsewhere(t *testing.T) {
	t.Parallel()
	c := puppetConfig()
	c.Interfaces[0].Peer = mustAddr("10.254.0.77")
	p := newPuppetWith(t, peerID, c)
	p.full()
	p.wantCount("peer_address_mismatch", 1)
	p.flood(p.theirs(1, 1, linkTo(ownID, "10.254.0.2", 10), RouterLink{0x0a090000, 0xffff0000, StubLink, 1}))
	p.run(defaultSPFHold * 2)
	for _, r := range p.in.Routes() {
		if r.Prefix.String() == "10.9.0.0/16" && r.NextHops[0].Addr == mustAddr("10.254.0.2") {
			return
		}
	}
	t.Errorf("routes %v", p.in.Routes())
}

// TestSecondNeighbor: a live neighbor is not pushed out by another router id at another address.
func TestSecondNeighbor(t *testing.T) {
	t.Parallel()
	p := newPuppet(t, peerID)
	p.full()
	b := Header{Version: version, Type: HelloPacket, RouterID: 77}.Append(nil)
	b = Hello{HelloInterval: 10, RouterDeadInterval: 40, Options: OptionE}.Append(b)
	p.step(Packet{Interface: "t", Src: mustAddr("10.254.0.3"), Dst: allSPFRouters(), Payload: Auth{}.Seal(b, 0)})
	p.wantState(Full)
	p.wantCount("second_neighbor", 1)
}

// TestOldSequence: a cryptographic sequence number below the last is refused, an equal one is not; after the neighbor is down
// any is taken (RFC 2328, D.5.3; openbsd-facts.md, 7).
func TestOldSequence(t *testing.T) {
	t.Parallel()
	c := puppetConfig()
	c.Interfaces[0].Auth = Auth{CryptographicAuth, []Key{{1, []byte("k")}}}
	p := newPuppetWith(t, peerID, c)
	p.seq = 1000
	p.full()
	p.seq--
	p.hello(ownID)
	p.wantCount("auth_sequence_old", 0)
	p.seq -= 10
	p.hello(ownID)
	p.wantCount("auth_sequence_old", 1)
	p.seq = 0
	p.run(c.Interfaces[0].withDefaults().RouterDeadInterval)
	p.wantState(Down)
	p.hello(ownID)
	p.wantCount("auth_sequence_old", 1)
	p.wantState(ExStart)
}

// TestSendSequence: what is sent is max(previous + 1, Unix seconds), never below what was reserved before a restart, and
// reserved before it is sent (openbsd-facts.md, 7).
func TestSendSequence(t *testing.T) {
	t.Parallel()
	c := puppetConfig()
	c.Interfaces[0].Auth = Auth{CryptographicAuth, []Key{{1, []byte("k")}}}
	for _, first := range []uint32{0, 2_000_000_000} {
		c.FirstSequence = first
		in := New()
		now := mustTime("2025-01-01T00:00:00Z")
		var out []Output
		out = in.Step(now, Configure{c}, out)
		out = in.Step(now, InterfaceUp{"t"}, out)
		for range 3 * reserveSteps {
			now = in.Deadline()
			out = in.Step(now, Tick{}, out)
		}
		var reserved, last uint32
		clock := clockSequence(mustTime("2025-01-01T00:00:00Z"))
		for _, o := range out {
			switch o := o.(type) {
			case ReserveSequence:
				reserved = o.UpTo
			case Send:
				h, _, _, _ := ParsePacket(o.Payload)
				seq := number(addrOf(h.Authentication[4:]))
				if seq <= last || seq > reserved || seq < first || seq < clock {
					t.Fatalf("first %d: sequence %d after %d, reserved %d, clock %d", first, seq, last, reserved, clock)
				}
				last = seq
			}
		}
		if last == 0 {
			t.Error("nothing sent")
		}
	}
}

// TestHelloMask: the Hello carries the mask of the profile, whatever the address has (openbsd-facts.md, 7: /32 on a gre;
// screenos-facts.md, 4 and 7: the /30), and the Database Description the profile's MTU.
func TestHelloMask(t *testing.T) {
	t.Parallel()
	for _, m := range [][4]byte{{255, 255, 255, 255}, {255, 255, 255, 252}, {0, 0, 0, 0}} {
		c := puppetConfig()
		c.Interfaces[0].HelloMask, c.Interfaces[0].DDMTU = m, 1476
		p := newPuppetWith(t, peerID, c)
		p.twoWay()
		sent := p.take()
		if h, ok := sent[0].body.(Hello); !ok || h.NetworkMask != number(addrOf(m[:])) {
			t.Errorf("%v: sent %+v", m, sent[0])
		}
		if d, ok := sent[len(sent)-1].body.(DatabaseDescription); !ok || d.MTU != 1476 {
			t.Errorf("sent %+v", sent[len(sent)-1])
		}
	}
}

// TestFlappingNeighbor: a neighbor that changes its mind all the time provokes few Hellos: ScreenOS
// counts them against floods (screenos-facts.md, 4).
func TestFlappingNeighbor(t *testing.T) {
	t.Parallel()
	p := newPuppet(t, peerID)
	p.take()
	for range 1000 { // 100 s
		p.run(100 * time.Millisecond)
		p.hello()
		p.hello(ownID)
	}
	if n := len(take[Hello](p)); n > 11*(1+maxTriggered) {
		t.Errorf("%d Hellos in 100 s", n)
	}
}

//go:build interop

package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"meshrouter/status"
	"meshrouter/test/peer"
)

const (
	loadHello, loadDead = 1 * time.Second, 4 * time.Second
	loadTime            = 15 * time.Second
	// overload is how many times what arrives is offered.
	overload = 3
	// One datagram fills a packet of the tunnel.
	loadDatagram = 1340
	// So many are sent at once, and the TUN device takes them as one.
	loadBatch = 20
)

// Three times what the tunnel carries, both ways, between two routers that have one processor and 3DES without
// machine code: the adjacency stays as it is, hellos come in time, and what is lost is counted where it was
// lost. Nothing else runs meanwhile but the same with the other way of ESP.
func TestFairUnderLoad(t *testing.T) {
	for _, w := range []struct{ name, link string }{{"UDP", encapsulated}, {"protocol 50", plain}} {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			underLoad(t, w.link)
		})
	}
}

func underLoad(t *testing.T, link string) {
	n := peer.NewNet(t)
	mesh := fmt.Sprintf(`mesh: load
tunnels: 10.255.0.0/16
secrets: mesh.secrets.yaml
ospf: {area: 0.0.0.0, auth: {md5: {id: 1, key: $ospf}}, hello: %v, dead: %v}
suites:
  chosen: {%s}
sites:
  theirs: {number: 1, address: 192.0.2.1, lan: [172.16.1.0/24]}
  ours: {number: 2, address: 192.0.2.2, lan: [10.1.0.0/24]}
links:
  - {between: [theirs, ours], suite: chosen, %s, path-mtu: off}
`, loadHello, loadDead, suite3DES, link)
	var ends []*loaded
	for _, e := range []struct{ ns, site, outer, lan, far string }{
		{"s", "theirs", outerTheirs, "172.16.1.1", ourHost},
		{"r", "ours", outerOurs, ourHost, "172.16.1.1"},
	} {
		ns := n.Namespace(e.ns, e.outer+"/24")
		ns.AddLAN(e.lan + "/24")
		ns.Run("ip", "link", "set", "eth0", "gso_max_segs", "1") // so that its counter counts packets
		ns.Run("nft", `table ip sink { chain input { type filter hook input priority 0; udp dport 9 counter drop; }; }`)
		end := &loaded{lan: e.lan, far: netip.AddrPortFrom(netip.MustParseAddr(e.far), 9)}
		end.flood.Size, end.flood.Batch = loadDatagram, loadBatch
		end.stack = &stack{ns.Router(e.site, mesh, stackSecrets, "MESHROUTER_CPU=portable", "GOMAXPROCS=1"), t}
		end.announces("tun-udp", "udp-segment")
		ends = append(ends, end)
	}
	ends[1].up()

	ctx, cancel := context.WithTimeout(t.Context(), loadTime)
	defer cancel()
	var work sync.WaitGroup
	neighbors := make([]watched, len(ends))
	for i, e := range ends {
		e.flood.Rate.Store(1000)
		work.Go(func() {
			if err := e.flood.Pour(ctx, peer.Host{Namespace: e.Namespace, Address: e.lan}, e.far); err != nil {
				t.Error(err)
			}
		})
		work.Go(func() { neighbors[i] = e.watch(ctx) })
		work.Go(func() { e.adapt(ctx, ends[1-i]) })
	}
	work.Wait()
	for i, e := range ends {
		w := neighbors[i]
		t.Logf("%s: neighbor asked for %d times, at least %.1f s from being dead; the answer took at most %v", e.Site, w.answers, w.deadIn, w.slowest.Round(time.Millisecond))
		if w.problem != "" || w.answers < int(loadTime/time.Second) {
			t.Errorf("%s: %d answers: %s", e.Site, w.answers, w.problem)
		}
		// A hello may be late by less than one interval.
		if bound := (loadDead - 2*loadHello).Seconds(); w.deadIn < bound {
			t.Errorf("%s: the neighbor was %.1f s from being declared dead, want at least %.1f", e.Site, w.deadIn, bound)
		}
	}
	for _, e := range ends {
		// What the host's queue holds still has to go through.
		last, since := e.tunnel(), time.Now()
		peer.Eventually(t, 30*time.Second, e.Site+" is idle", func() error {
			now := e.tunnel()
			in, out := now.PacketsIn-last.PacketsIn, now.PacketsOut-last.PacketsOut
			if in > 10 || out > 10 { // more than hellos
				last, since = now, time.Now()
			}
			if time.Since(since) < time.Second {
				return fmt.Errorf("%d packets in and %d out since just now", in, out)
			}
			return nil
		})
	}
	total := []traffic{ends[0].traffic(), ends[1].traffic()}
	for i, e := range ends {
		e.account(total[i], total[1-i])
	}
}

// A loaded router has a flood sent to it and from it.
type loaded struct {
	*stack
	flood peer.Flood
	lan   string
	far   netip.AddrPort
}

// adapt has our host offer what the other end opens, times overload.
func (e *loaded) adapt(ctx context.Context, other *loaded) {
	const interval = 500 * time.Millisecond
	every := time.NewTicker(interval)
	defer every.Stop()
	before, at := other.tunnel().PacketsIn, time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		now, opened := time.Now(), other.tunnel().PacketsIn
		rate := float64(opened-before) / now.Sub(at).Seconds()
		before, at = opened, now
		e.flood.Rate.Store(max(1000, uint64(overload*rate)))
	}
}

// tunnel is the state of the one tunnel; zero if the router does not tell.
func (e *loaded) tunnel() (t status.Tunnel) {
	var doc status.TunnelsDoc
	if err := e.Show("tunnels", &doc); err != nil || len(doc.Tunnels) != 1 {
		e.t.Errorf("tunnels: %+v, %v", doc, err)
		return t
	}
	return doc.Tunnels[0]
}

// traffic is what one end has carried since it began, in packets.
type traffic struct {
	offered   uint64 // by the host to the TUN device
	sealed    uint64
	arrived   uint64 // on eth0
	opened    uint64
	delivered uint64 // to the host, of what the other host has offered
	// What the router says it has lost, in front of the TUN device and of the sockets, and within.
	tun, sockets, inside map[string]uint64
	received             uint64 // from its sockets
}

func (e *loaded) traffic() (f traffic) {
	e.t.Helper()
	f.offered = e.flood.Sent.Load()
	found := regexp.MustCompile(`counter packets (\d+) bytes (\d+)`).FindStringSubmatch(e.Run("nft", "list", "table", "ip", "sink"))
	if found == nil {
		e.t.Fatal("nft shows no counter")
	}
	large, _ := strconv.ParseUint(found[1], 10, 64) // digits
	bytes, _ := strconv.ParseUint(found[2], 10, 64)
	f.delivered = (bytes - 28*large) / loadDatagram // joined ones count as one packet with one header
	var links []struct {
		Stats struct{ RX struct{ Packets uint64 } } `json:"stats64"`
	}
	if err := json.Unmarshal([]byte(e.Run("ip", "-s", "-j", "link", "show", "eth0")), &links); err != nil || len(links) != 1 {
		e.t.Fatalf("ip link: %v, %v", links, err)
	}
	f.arrived = links[0].Stats.RX.Packets
	t := e.tunnel()
	f.opened, f.sealed = t.PacketsIn, t.PacketsOut
	f.tun, f.sockets, f.inside = e.counters("tun"), e.counters("underlay"), e.counters("dataplane")
	f.received = f.sockets["packets_received"]
	for _, name := range []string{"packets_received", "packets_sent", "messages_received", "messages_sent", "segment_refused"} {
		delete(f.sockets, name) // no losses
	}
	return f
}

// account compares what went in at each step of the way with what came out and what was counted as lost. other
// is the other end.
func (e *loaded) account(f, other traffic) {
	e.t.Helper()
	inFront, onArrival, inside := f.tun["queue_full"]*loadBatch, sum(f.sockets), sum(f.inside)
	e.t.Logf("%s: of %d packets %d were not taken from the host, %d sealed; %d arrived, %d lost on arrival %v, %d within %v, %d opened, %d delivered",
		e.Site, f.offered, inFront, f.sealed, f.arrived, onArrival, positive(f.sockets), inside, positive(f.inside), f.opened, f.delivered)
	if f.offered < 2*other.delivered {
		e.t.Errorf("%s: %d packets offered and %d delivered: that was no overload", e.Site, f.offered, other.delivered)
	}
	for _, step := range []struct {
		what    string
		in, out uint64
	}{
		{"host to tunnel", f.offered, inFront + f.sealed},
		{"wire to router", f.arrived, onArrival + f.received},
		{"router to tunnel", f.received, inside + f.opened},
		{"tunnel to host", f.opened, f.delivered},
	} {
		// OSPF, IKE and ARP have packets of their own, some hundred.
		if slack := 300 + step.in/200; step.in > step.out+slack || step.out > step.in+slack {
			e.t.Errorf("%s, %s: %d packets in, %d out or counted as lost", e.Site, step.what, step.in, step.out)
		}
	}
}

func sum(counts map[string]uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// positive are the counters that are not 0.
func positive(counts map[string]uint64) map[string]uint64 {
	some := maps.Clone(counts)
	maps.DeleteFunc(some, func(_ string, n uint64) bool { return n == 0 })
	return some
}

// watched is what was seen of a neighbor.
type watched struct {
	answers int
	deadIn  float64       // the least, seconds
	slowest time.Duration // the longest that `show` took
	problem string
}

// watch asks for the neighbor ten times a second.
func (e *loaded) watch(ctx context.Context) (w watched) {
	w.deadIn = math.Inf(1)
	var first *status.Neighbor
	every := time.NewTicker(100 * time.Millisecond)
	defer every.Stop()
	for {
		begun := time.Now()
		var doc status.NeighborsDoc
		if err := e.Show("neighbors", &doc); err != nil || len(doc.Neighbors) != 1 {
			w.problem = fmt.Sprintf("neighbors %+v, %v", doc.Neighbors, err)
			return w
		}
		w.slowest = max(w.slowest, time.Since(begun))
		n := doc.Neighbors[0]
		if first == nil {
			first = &n
		}
		if n.State != "FULL" || n.StateChanges != first.StateChanges || n.UptimeSeconds < first.UptimeSeconds {
			w.problem = fmt.Sprintf("the neighbor was %+v and is %+v", *first, n)
			return w
		}
		w.answers++
		w.deadIn = min(w.deadIn, n.DeadInSeconds)
		select {
		case <-ctx.Done():
			return w
		case <-every.C:
		}
	}
}

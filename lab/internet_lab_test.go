//go:build lab && linux

package lab

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"meshrouter/mesh"
)

// bare makes a lab with two sites but no routers; the kernels route between the LANs by themselves.
func bare(t *testing.T) (*lab, *site, *site) {
	t.Helper()
	inv := inventory("a-b")
	for i, s := range inv.Sites {
		s.Address = netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})
		s.LAN = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i + 1), 0, 0}), 24)}
		s.LinkMTU, s.TUN = 1500, "none"
	}
	l := &lab{inv: inv, show: newProgress(t.Output(), true), marker: marker([]byte(randomText(16)))}
	if err := l.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := l.makeInternet(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, b := l.sites[0], l.sites[1]
	for _, p := range [][2]*site{{a, b}, {b, a}} {
		wan, err := p[0].ns.nl.LinkByName(p[0].wan())
		if err != nil {
			t.Fatal(err)
		}
		route := &netlink.Route{LinkIndex: wan.Attrs().Index, Dst: ipNet(p[1].LAN[0]), Gw: p[1].Address.AsSlice()}
		if err := p[0].ns.nl.RouteAdd(route); err != nil {
			t.Fatal(err)
		}
	}
	return l, a, b
}

// The measuring itself: a cut of known length is measured with that length, nobody notices it but
// by the silence, and the capture shows what was sent all the time.
func TestCutIsSilentAndMeasured(t *testing.T) {
	l, a, b := bare(t)
	s, err := startStream(a.host, b.host, l.marker, 7)
	if err != nil {
		t.Fatal(err)
	}
	l.stream = s
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	flows := func(from, n int) bool {
		return poll(ctx, func() bool { return steady(s.sofar(), from, n, time.Now(), probeGrace) })
	}
	if !flows(0, 20) {
		t.Fatalf("probes do not flow: %+v", measure(s.sofar(), 0))
	}
	// The bridge sees host addresses here, not the sites': nothing wraps the packets.
	begun := time.Now()
	if err := l.internet.dropBetween([2]netip.Addr{a.host.addr, b.host.addr}); err != nil {
		t.Fatal(err)
	}
	cut := len(s.sofar())
	if !poll(ctx, func() bool { return len(s.sofar()) >= cut+50 }) {
		t.Fatal("no probes")
	}
	swallowed, err := l.internet.dropped()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.internet.mend(); err != nil {
		t.Fatal(err)
	}
	mended, took := len(s.sofar()), time.Since(begun)
	if !flows(mended, 20) {
		t.Fatal("probes do not flow after the cut")
	}
	l.stream = nil
	s.halt(ctx)
	probes := s.sofar()
	in := measure(probes, 0)
	if in.lost < 48 || in.back < 0 || in.away < took-100*time.Millisecond || in.away > took+100*time.Millisecond {
		t.Errorf("a cut of %s was measured as %+v", took, in)
	}
	if swallowed < 48 || swallowed > uint64(in.lost)+2 {
		t.Errorf("the bridge swallowed %d packets, %d probes are lost", swallowed, in.lost)
	}
	if err := s.failures(); err != nil {
		t.Errorf("the cut was noticed by the sender: %v", err)
	}
	if p := probes[0]; p.ttl != 62 || p.forwardTTL != 62 {
		t.Errorf("TTLs %d and %d, want 62 after two routers", p.ttl, p.forwardTTL)
	}
	if err := l.capture.sync(); err != nil {
		t.Fatal(err)
	}
	all := map[netip.Addr]bool{a.host.addr: true, b.host.addr: true}
	w, err := inspect(l.capture.path, all, l.marker)
	if err != nil {
		t.Fatal(err)
	}
	// Requests count also while cut; their replies were never sent.
	if want := 2*len(probes) - in.lost; len(w.marked) != want {
		t.Errorf("the capture has %d marked frames, want %d", len(w.marked), want)
	}
	if n := w.strangers["ICMP in clear"]; n != len(w.marked) {
		t.Errorf("%d ICMP frames, %d with the marker: the cut has made ICMP errors", n, len(w.marked))
	}
	if err := w.verdict(0); err == nil {
		t.Error("pings in clear pass the wire check")
	}
}

func TestPingAllNamesTheSilent(t *testing.T) {
	l, a, b := bare(t)
	p, err := newPinger(a.host, l.marker, 1, icmpEchoReply)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	nobody := netip.MustParseAddr("10.2.0.77")
	sent, err := p.pingAll(t.Context(), []netip.Addr{b.host.addr, nobody}, 2, &l.pings)
	if sent != 4 || l.pings != 4 || err == nil || !strings.Contains(err.Error(), "2 of 4") || strings.Contains(err.Error(), b.host.addr.String()) {
		t.Errorf("%d sent, %v", sent, err)
	}
}

// No host, and no site, can reach anything without a router: there is no default route.
func TestNothingLeaks(t *testing.T) {
	_, a, _ := bare(t)
	routes, err := a.ns.nl.RouteList(nil, unix.AF_INET)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		if r.Dst == nil || r.Dst.IP.IsUnspecified() {
			t.Errorf("a site has a default route: %v", r)
		}
	}
	err = a.sendRaw(netip.MustParseAddr("198.51.100.1"), unix.IPPROTO_ESP, []byte{1, 2, 3, 4, 5, 6, 7, 8})
	if !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("sending to nowhere: %v", err)
	}
}

// What a killed run left goes; what a live one has stays.
func TestLeftovers(t *testing.T) {
	live, a, _ := bare(t)
	dead := &lab{inv: &mesh.Inventory{}, show: live.show}
	if err := dead.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	dead.spawner.close()
	ns, err := newNamespace(dead.dir.namespace("x"))
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := processOf(child.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	bystander := exec.Command("sleep", "60")
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bystander.Process.Kill(); _ = bystander.Wait() }()
	reused, err := processOf(bystander.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	reused.Start-- // the pid was the run's once, but the process is another
	dead.dir.record.Processes = []process{p, reused}
	dead.dir.record.Owner.Start-- // its owner is gone, and we have its pid
	if err := dead.dir.save(); err != nil {
		t.Fatal(err)
	}
	found, err := clearLeftovers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(found, "run "+dead.dir.record.ID+": 1 processes, 1 namespaces") {
		t.Errorf("found %q", found)
	}
	_ = child.Wait()
	if p.alive() {
		t.Error("the dead run's process lives")
	}
	if _, err := processOf(bystander.Process.Pid); err != nil {
		t.Errorf("a process with a number that the run once had was ended: %v", err)
	}
	if _, err := os.Stat(dead.dir.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory: %v", err)
	}
	if names := dead.dir.record.namespaces(); len(names) > 0 {
		t.Errorf("its namespaces: %v", names)
	}
	_ = ns.fd.Close()
	if _, err := a.ns.nl.LinkByName(a.wan()); err != nil {
		t.Errorf("the live run was touched: %v", err)
	}
}

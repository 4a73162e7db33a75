//go:build lab && linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"meshrouter/mesh"
	"meshrouter/state"
	"meshrouter/status"
)

const mixed = "testdata/mixed.yaml"

// All stages hold with every kind of link.
func TestMixed(t *testing.T) {
	r, err := run(t, Options{Mesh: mixed})
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK || !r.Restored || stageNames(r) != allStages {
		t.Errorf("report %+v", r)
	}
}

// What a host behind a site meets: the path's MTU, the hops, and more than one path.
func TestMixedPaths(t *testing.T) {
	l := up(t, "ospf", mixed)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ada, bell, dirac, euler := l.sites[0], l.sites[1], l.sites[3], l.sites[4]

	tunnel := func(s *site, link string) status.Tunnel {
		var doc status.TunnelsDoc
		if err := s.router.Get(ctx, "tunnels", &doc); err != nil {
			t.Fatal(err)
		}
		found, ok := find(doc.Tunnels, func(x status.Tunnel) bool { return x.Link == link })
		if !ok {
			t.Fatalf("%s has no tunnel %s", s.Name, link)
		}
		return found
	}
	// Euler reaches bell by ada, where the way gets narrower: ada's data plane must say so to a host two
	// tunnels away from the narrow one (RFC 1191).
	wide, narrow := tunnel(euler, "ada-euler").MTUBytes, tunnel(ada, "ada-bell").MTUBytes
	if narrow >= wide {
		t.Fatalf("the tunnel to bell has MTU %d, that to euler %d: nothing to find out", narrow, wide)
	}
	for _, tt := range []struct {
		from, to *site
		want     int
	}{{euler, bell, narrow}, {bell, euler, narrow}, {ada, euler, wide}} {
		if got, err := pathMTU(tt.from, tt.to); got != tt.want || err != nil {
			t.Errorf("path MTU from %s to %s: %d, %v; want %d", tt.from.Name, tt.to.Name, got, err, tt.want)
		}
	}

	// RFC 1812, 5.3.1: each hop is counted once, and the one where TTL ends says so by its address.
	hops, err := hops(euler, bell)
	want := []netip.Addr{
		firstLAN(euler), tunnel(ada, "ada-euler").TunnelLocal.Addr(), firstLAN(bell), bell.host.addr,
	}
	if err != nil || !slices.Equal(hops, want) {
		t.Errorf("hops from %s to %s: %v, %v; want %v", euler.Name, bell.Name, hops, err, want)
	}

	// Dirac reaches ada by cerf and by euler at equal cost: flows spread, and each stays where it is.
	sent := func() [2]uint64 {
		return [2]uint64{tunnel(dirac, "cerf-dirac").PacketsOut, tunnel(dirac, "dirac-euler").PacketsOut}
	}
	before := sent()
	const flows, packets = 64, 10
	if err := sendFlows(dirac, ada, flows, packets); err != nil {
		t.Fatal(err)
	}
	// A refusal by the far host costs the next packet of its flow; OSPF's own packets are few beside these.
	after := sent()
	share := [2]uint64{after[0] - before[0], after[1] - before[1]}
	if share[0]+share[1] < flows*packets*3/4 || min(share[0], share[1]) < flows*packets/5 {
		t.Errorf("of %d packets in %d flows %d left by cerf and %d by euler", flows*packets, flows, share[0], share[1])
	}
}

// firstLAN is the router's own address in its LAN.
func firstLAN(s *site) netip.Addr {
	router, _ := lanAddresses(s.LAN[0])
	return router
}

// dialUDP is a socket of from's host to a port of to's host that nobody listens on.
func dialUDP(from, to *site) (fd int, err error) {
	err = from.host.ns.do(func() error {
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return errors.Join(
			unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO),
			unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVERR, 1),
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}),
			unix.Connect(fd, &unix.SockaddrInet4{Port: 33434, Addr: to.host.addr.As4()}))
	})
	return fd, err
}

// pathMTU sends packets with DF, as large as the host believes they may be, until one arrives and is
// refused by the host at the other end; it returns that one's size.
func pathMTU(from, to *site) (int, error) {
	fd, err := dialUDP(from, to)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd) //nolint:errcheck // nothing to lose
	for range 20 {
		mtu, err := unix.GetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU)
		if err != nil {
			return 0, err
		}
		if _, err := unix.Write(fd, make([]byte, mtu-28)); err != nil && !errors.Is(err, unix.EMSGSIZE) {
			return 0, err
		}
		switch who, kind, _ := socketError(fd); {
		case kind == icmpPortUnreachable && who == to.host.addr:
			return mtu, nil
		case kind == icmpNothing:
			return 0, fmt.Errorf("%d bytes vanish without a word", mtu)
		}
	}
	return 0, errors.New("the path's MTU does not settle")
}

// hops sends packets with rising TTL and returns who answers them, up to the host at the other end.
func hops(from, to *site) ([]netip.Addr, error) {
	fd, err := dialUDP(from, to)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd) //nolint:errcheck // nothing to lose
	var found []netip.Addr
	for ttl := 1; ttl <= 10; ttl++ {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, ttl); err != nil {
			return found, err
		}
		if _, err := unix.Write(fd, make([]byte, 32)); err != nil {
			return found, err
		}
		who, kind, err := socketError(fd)
		if kind == icmpNothing {
			return found, fmt.Errorf("no answer at TTL %d: %w", ttl, err)
		}
		found = append(found, who)
		if kind == icmpPortUnreachable {
			return found, nil
		}
	}
	return found, errors.New("too many hops")
}

// ICMP type and code of an error in one number.
const (
	icmpNothing         = -1
	icmpPortUnreachable = 3<<8 | 3
)

// socketError waits a second for the next error on a socket: who sent it and what it says. An error of
// this host's own is 0.
func socketError(fd int) (who netip.Addr, kind int, err error) {
	for begun := time.Now(); time.Since(begun) < time.Second; time.Sleep(5 * time.Millisecond) {
		oob := make([]byte, 512)
		_, n, _, _, err := unix.Recvmsg(fd, make([]byte, 2048), oob, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) {
			continue
		}
		if err != nil {
			return who, icmpNothing, err
		}
		messages, err := unix.ParseSocketControlMessage(oob[:n])
		if err != nil {
			return who, icmpNothing, err
		}
		for _, m := range messages {
			if m.Header.Type != unix.IP_RECVERR || len(m.Data) < 16+unix.SizeofSockaddrInet4 {
				continue
			}
			e := (*unix.SockExtendedErr)(unsafe.Pointer(&m.Data[0]))
			if e.Origin != unix.SO_EE_ORIGIN_ICMP {
				return who, 0, nil
			}
			offender := (*unix.RawSockaddrInet4)(unsafe.Pointer(&m.Data[16]))
			return netip.AddrFrom4(offender.Addr), int(e.Type)<<8 | int(e.Code), nil
		}
	}
	return who, icmpNothing, errors.New("nothing in a second")
}

// sendFlows sends packets from many ports of one host to many of the other, which need not answer.
func sendFlows(from, to *site, flows, packets int) error {
	return from.host.ns.do(func() error {
		for i := range flows {
			c, err := net.DialUDP("udp4", &net.UDPAddr{Port: 20000 + i}, &net.UDPAddr{IP: to.host.addr.AsSlice(), Port: 9})
			if err != nil {
				return err
			}
			for range packets {
				_, _ = c.Write([]byte("flow")) // refusals of the far host count as errors
				time.Sleep(200 * time.Microsecond)
			}
			if err := c.Close(); err != nil {
				return err
			}
		}
		return nil
	})
}

// edit writes the mesh file with one change, and the secrets of the links that are left.
func edit(t *testing.T, l *lab, pairs ...string) {
	t.Helper()
	c := config{src: slices.Clone(l.config.src), secrets: maps.Clone(l.config.secrets)}
	for i := 0; i < len(pairs); i += 2 {
		if strings.Count(string(c.src), pairs[i]) != 1 {
			t.Fatalf("%q is not once in the mesh file:\n%s", pairs[i], c.src)
		}
		c.src = []byte(strings.Replace(string(c.src), pairs[i], pairs[i+1], 1))
	}
	for _, link := range l.inv.Links {
		if !strings.Contains(string(c.src), fmt.Sprintf("between: [%s, %s]", link.A.Name, link.B.Name)) {
			delete(c.secrets, link.Name)
		}
	}
	if _, err := c.write(l.dir.file("config")); err != nil {
		t.Fatal(err)
	}
}

// reloadAll sends SIGHUP to all routers and waits until the condition holds.
func reloadAll(ctx context.Context, t *testing.T, l *lab, what string, condition func(ctx context.Context) error) {
	t.Helper()
	for _, s := range l.sites {
		if err := unix.Kill(s.router.process.PID, unix.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.until(ctx, condition); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	t.Log(what)
}

// SIGHUP with a link that came, went or changed does not disturb the others: not a ping is lost, and
// they keep SAs and adjacencies. A file with errors changes nothing.
func TestReload(t *testing.T) {
	const removed = "\n  - {between: [bell, cerf], suite: gcm128, mode: transport, gre: {key: 42, keepalive: 1s, count: 3}}"
	l := up(t, "ping", mixed)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	ada, bell, euler := l.sites[0], l.sites[1], l.sites[4]
	s, err := startStream(ada.host, euler.host, l.marker, 0x2345)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if s != nil {
			s.halt(ctx)
		}
	}()
	if !poll(ctx, func() bool { return steady(s.sofar(), 0, 50, time.Now(), probeGrace) }) {
		t.Fatal("probes do not flow")
	}
	spis := func(s *site, link string) (in []uint32) {
		for _, sa := range sad(ctx, t, s) {
			if sa.Link == link {
				in = append(in, sa.SPI)
			}
		}
		return in
	}
	neighbor := func(s *site, link string) status.Neighbor {
		var doc status.NeighborsDoc
		if err := s.router.Get(ctx, "neighbors", &doc); err != nil {
			t.Fatal(err)
		}
		n, _ := find(doc.Neighbors, func(n status.Neighbor) bool { return n.Interface == link })
		return n
	}
	kept, changes := spis(ada, "ada-euler"), neighbor(ada, "ada-euler").StateChanges
	bellSAs := spis(bell, "ada-bell")

	edit(t, l, removed, "")
	reloadAll(ctx, t, l, "a link removed", func(ctx context.Context) error {
		var doc status.TunnelsDoc
		if err := bell.router.Get(ctx, "tunnels", &doc); err != nil {
			return err
		}
		if len(doc.Tunnels) != 1 || len(spis(bell, "bell-cerf")) > 0 || neighbor(bell, "bell-cerf").State != "" {
			return fmt.Errorf("bell still has bell-cerf: %v, %v, %+v", doc.Tunnels, spis(bell, "bell-cerf"), neighbor(bell, "bell-cerf"))
		}
		return nil
	})
	l.config.write(l.dir.file("config")) //nolint:errcheck // the next condition shows
	reloadAll(ctx, t, l, "the link is back", func(ctx context.Context) error { return l.adjacent(ctx, l.inv.Links) })

	edit(t, l, "{between: [ada, bell]}", "{between: [ada, bell], suite: cbc, gre: {key: 7}}",
		"dirac: {number: 4, address: 192.0.2.4, lan: [10.4.0.0/24]", "dirac: {number: 4, address: 192.0.2.4, lan: [10.4.0.0/24, 10.44.0.0/24]")
	reloadAll(ctx, t, l, "a link with another suite, a LAN more", func(ctx context.Context) error {
		for _, sa := range sad(ctx, t, bell) {
			if sa.Link == "ada-bell" && sa.Encryption != "aes-256" {
				return fmt.Errorf("an SA of ada-bell uses %s", sa.Encryption)
			}
		}
		var rib status.RIBDoc
		if err := ada.router.Get(ctx, "rib", &rib); err != nil {
			return err
		}
		if !slices.ContainsFunc(rib.Routes, func(r status.Route) bool { return r.Destination.String() == "10.44.0.0/24" }) {
			return errors.New("ada has no route to the new LAN")
		}
		return l.adjacent(ctx, l.inv.Links)
	})
	if now := spis(bell, "ada-bell"); len(now) < 2 || slices.ContainsFunc(now, func(spi uint32) bool { return slices.Contains(bellSAs, spi) }) {
		t.Errorf("SAs of the link with another suite: %x, before %x", now, bellSAs)
	}

	// A cost changes in place; an error in the file changes nothing.
	full := neighbor(bell, "bell-cerf").StateChanges
	edit(t, l, "suite: gcm128, mode: transport, gre: {key: 42,", "cost: 77, suite: gcm128, mode: transport, gre: {key: 42,")
	reloadAll(ctx, t, l, "another cost", func(ctx context.Context) error {
		var doc status.InterfacesDoc
		if err := bell.router.Get(ctx, "interfaces", &doc); err != nil {
			return err
		}
		if i, _ := find(doc.Interfaces, func(i status.Interface) bool { return i.Name == "bell-cerf" }); i.Cost != 77 {
			return fmt.Errorf("the cost is %d", i.Cost)
		}
		return l.adjacent(ctx, l.inv.Links)
	})
	if now := neighbor(bell, "bell-cerf").StateChanges; now != full {
		t.Errorf("another cost moved the adjacency: %d changes, before %d", now, full)
	}
	before := sad(ctx, t, bell)
	edit(t, l, "number: 2", "number: 1")
	reloadAll(ctx, t, l, "a file with an error", func(context.Context) error {
		for _, s := range l.sites {
			if b, err := os.ReadFile(s.router.logFile); err != nil || !strings.Contains(string(b), "nothing was changed") {
				return fmt.Errorf("%s does not complain: %w", s.Name, err)
			}
		}
		return nil
	})
	for _, sa := range before {
		if !slices.Contains(spis(bell, sa.Link), sa.SPI) {
			t.Errorf("SA 0x%08x of %s has gone", sa.SPI, sa.Link)
		}
	}

	s.halt(ctx)
	if lost := measure(s.sofar(), 0); lost.lost > 0 || s.failures() != nil {
		t.Errorf("%d probes of a link that did not change were lost, from number %d; %v", lost.lost, lost.first, s.failures())
	}
	s = nil
	if now := spis(ada, "ada-euler"); !slices.Equal(now, kept) {
		t.Errorf("the link that did not change has SAs %x, before %x", now, kept)
	}
	if now := neighbor(ada, "ada-euler").StateChanges; now != changes {
		t.Errorf("the adjacency that did not change changed %d times, before %d", now, changes)
	}
}

// A router that was killed starts with another mesh file: the link that is gone is forgotten with its SAs,
// the device has another name and the old one is gone, and the rest goes on.
func TestRestartWithAnotherMesh(t *testing.T) {
	l := up(t, "ospf", mixed)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cerf := l.sites[2]
	before := sad(ctx, t, cerf)
	if err := cerf.router.signal(ctx, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := cerf.ns.nl.LinkByName("mr3"); err != nil {
		t.Fatalf("the device did not outlive the kill: %v", err)
	}
	edit(t, l, "\n  - {between: [cerf, dirac], suite: cbc, natt: force}", "", "cerf: {number: 3,", "cerf: {number: 3, tun: other,")
	if err := l.startRouter(cerf, l.dir.file("config/mesh.yaml")); err != nil {
		t.Fatal(err)
	}
	left := slices.DeleteFunc(slices.Clone(l.inv.Links), func(link *mesh.Link) bool { return link.Name == "cerf-dirac" })
	if err := l.until(ctx, func(ctx context.Context) error { return l.adjacent(ctx, left) }); err != nil {
		t.Fatal(err)
	}
	if _, err := cerf.ns.nl.LinkByName("mr3"); err == nil {
		t.Error("the device of before is left")
	}
	if _, err := cerf.ns.nl.LinkByName("other"); err != nil {
		t.Error(err)
	}
	after := sad(ctx, t, cerf)
	for _, was := range before {
		same := func(sa status.SA) bool { return sa.SPI == was.SPI && sa.Direction == was.Direction }
		if sa, ok := find(after, same); ok != (was.Link != "cerf-dirac") || ok && !sa.Restored {
			t.Errorf("SA 0x%08x %s of %s: found %t, restored %t", was.SPI, was.Direction, was.Link, ok, sa.Restored)
		}
	}
	cerf.TUN = "other" // for the check at the end
}

// A state whose SAs have lost their sequence numbers is not used, and IKE does not go on believing in it.
func TestRestartWithoutSequenceNumbers(t *testing.T) {
	l := up(t, "ospf", "")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	victim := l.sites[1]
	before := sad(ctx, t, victim)
	if err := victim.router.signal(ctx, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	f, err := state.Open(victim.router.state, state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range f.Keys() {
		f.Release(k.Dir, k.SPI, k.Remote)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.startRouter(victim, l.dir.file("config/mesh.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := l.until(ctx, func(ctx context.Context) error {
		var doc status.SADDoc
		if err := victim.router.Get(ctx, "sad", &doc); err != nil {
			return err
		}
		for _, sa := range doc.SAs {
			if slices.ContainsFunc(before, func(was status.SA) bool { return was.SPI == sa.SPI }) {
				return fmt.Errorf("SA 0x%08x is used again", sa.SPI)
			}
		}
		return l.adjacent(ctx, l.inv.Links)
	}); err != nil {
		t.Fatal(err)
	}
}

// A device that goes down for a moment costs its routes in the kernel; the router gives them back.
func TestRoutesAreRepaired(t *testing.T) {
	l := up(t, "ospf", "")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s := l.sites[0]
	device, err := s.ns.nl.LinkByName(s.TUN)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.ns.nl.LinkSetDown(device), s.ns.nl.LinkSetUp(device)); err != nil {
		t.Fatal(err)
	}
	if routes, err := s.kernelRoutes(); err != nil || len(routes) > 0 {
		t.Fatalf("%d routes outlived the device's fall, %v: nothing to repair", len(routes), err)
	}
	if _, err := l.stageOSPF(ctx); err != nil {
		t.Error(err)
	}
}

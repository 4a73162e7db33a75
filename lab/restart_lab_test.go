//go:build lab && linux

package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meshrouter/status"
)

// up runs the lab with a mesh file, or the triangle, to the end of the named stage and takes it down with
// the test.
func up(t *testing.T, last, mesh string) *lab {
	t.Helper()
	l, err := newLab(Options{Mesh: mesh, Binary: built(t), Stdout: t.Output(), Verbose: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			l.logTails(nil)
		}
		if err := l.close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	for _, s := range l.steps() {
		if err := l.runStage(t.Context(), s); err != nil {
			l.logTails(err)
			t.Fatal(err)
		}
		if s.name == last {
			break
		}
	}
	return l
}

// A router that is killed in mid-traffic and started again goes on where it was: no negotiation,
// the same SAs, sequence numbers that rise, and a replay window that remembers.
func TestRestartWithoutNegotiation(t *testing.T) {
	l := up(t, "ping", "")
	if err := restart(t, l, unix.SIGKILL, true); err != nil {
		t.Errorf("killed, with its state: %v", err)
	}
	if err := restart(t, l, unix.SIGUSR2, true); err != nil {
		t.Errorf("told to leave, with its state: %v", err)
	}
	// The control: without the state file, the very same check must fail.
	if err := restart(t, l, unix.SIGKILL, false); err == nil {
		t.Error("without its state the restart passes too: the check checks nothing")
	} else {
		t.Logf("without its state: %v", err)
	}
}

// restart ends the second site's router by a signal, under traffic from the first, starts it again and
// reports what does not hold. The lab is in order again when it returns.
func restart(t *testing.T, l *lab, end unix.Signal, keepState bool) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	near, victim := l.sites[0], l.sites[1]
	s, err := startStream(near.host, victim.host, l.marker, 0x1234)
	if err != nil {
		t.Fatal(err)
	}
	defer s.halt(ctx)
	if !poll(ctx, func() bool { return steady(s.sofar(), 0, 50, time.Now(), probeGrace) }) {
		t.Fatal("probes do not flow")
	}
	before := sad(ctx, t, victim)
	if err := l.capture.sync(); err != nil {
		t.Fatal(err)
	}

	killed := time.Now()
	if err := victim.router.signal(ctx, end); err != nil {
		t.Fatal(err)
	}
	number := len(s.sofar())
	if !keepState {
		if err := os.Remove(victim.router.state); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.startRouter(victim, l.dir.file("config/mesh.yaml")); err != nil {
		t.Fatal(err)
	}
	if !poll(ctx, func() bool { return slices.ContainsFunc(s.sofar()[number:], func(p probe) bool { return p.answered }) }) {
		t.Fatalf("no pong after the restart; %s", victim.router.tail())
	}
	pong := time.Now()
	// Counted in what is known by now: some that are on their way may count as lost.
	away := measure(settled(s.sofar(), time.Now()), number)
	t.Logf("%s, state kept: %t; pong %s after it, %d probes lost", unix.SignalName(end), keepState, pong.Sub(killed).Round(time.Millisecond), away.lost)
	if err := l.capture.sync(); err != nil {
		t.Fatal(err)
	}
	verdict := errors.Join(
		noIKE(t, l, killed, pong),
		sameSAs(before, sad(ctx, t, victim)),
		risingSequences(t, l, victim.Address),
		replaysRefused(ctx, t, l, s, victim, killed),
	)
	// In order again for whoever comes next.
	if err := l.until(ctx, func(ctx context.Context) error { return l.adjacent(ctx, l.inv.Links) }); err != nil {
		t.Fatal(err)
	}
	return verdict
}

func sad(ctx context.Context, t *testing.T, s *site) []status.SA {
	t.Helper()
	var doc status.SADDoc
	if err := s.router.Get(ctx, "sad", &doc); err != nil {
		t.Fatal(err)
	}
	return doc.SAs
}

// noIKE is an error when any IKE packet was sent between two times.
func noIKE(t *testing.T, l *lab, from, to time.Time) error {
	t.Helper()
	n := 0
	eachFrame(t, l, func(f frame) {
		if f.kind == ikeFrame && f.at.After(from) && f.at.Before(to) {
			n++
		}
	})
	if n > 0 {
		return fmt.Errorf("%d IKE packets between the kill and the first pong", n)
	}
	return nil
}

// sameSAs is an error when an SA has gone, is new, or has gone back.
func sameSAs(before, after []status.SA) error {
	key := func(sa status.SA) string { return fmt.Sprintf("%s %s 0x%08x", sa.Link, sa.Direction, sa.SPI) }
	var errs []error
	for _, was := range before {
		now, ok := find(after, func(sa status.SA) bool { return key(sa) == key(was) })
		switch {
		case !ok:
			errs = append(errs, fmt.Errorf("SA %s is gone", key(was)))
		case now.Sequence < was.Sequence:
			errs = append(errs, fmt.Errorf("SA %s went back from sequence number %d to %d", key(was), was.Sequence, now.Sequence))
		case !now.Restored:
			errs = append(errs, fmt.Errorf("SA %s does not say that it was restored", key(was)))
		}
	}
	if len(after) != len(before) {
		errs = append(errs, fmt.Errorf("%d SAs, %d before", len(after), len(before)))
	}
	return errors.Join(errs...)
}

// risingSequences is an error unless the ESP sequence numbers of each SA from src rise strictly.
func risingSequences(t *testing.T, l *lab, src netip.Addr) error {
	t.Helper()
	last := make(map[uint32]uint32)
	var bad []string
	eachFrame(t, l, func(f frame) {
		if f.kind != espFrame || f.src != src {
			return
		}
		if f.seq <= last[f.spi] {
			bad = append(bad, fmt.Sprintf("SPI 0x%08x: %d after %d", f.spi, f.seq, last[f.spi]))
		}
		last[f.spi] = f.seq
	})
	if len(bad) > 0 {
		return fmt.Errorf("sequence numbers do not rise: %s", strings.Join(bad[:min(len(bad), 3)], ", "))
	}
	return nil
}

// replaysRefused sends again what was captured for the victim before the kill. Each packet must be
// counted as a replay, and none delivered.
func replaysRefused(ctx context.Context, t *testing.T, l *lab, s *stream, victim *site, killed time.Time) error {
	t.Helper()
	var old [][]byte
	eachFrame(t, l, func(f frame) {
		if f.kind == espFrame && f.dst == victim.Address && f.at.Before(killed) {
			old = append(old, slices.Clone(f.raw))
		}
	})
	old = old[max(0, len(old)-40):] // within the window: an old one would be refused without memory
	if len(old) < 40 {
		t.Fatalf("only %d ESP packets before the kill", len(old))
	}
	drops := func() (n uint64) {
		for _, sa := range sad(ctx, t, victim) {
			n += sa.ReplayDrops
		}
		return n
	}
	before := drops()
	inject(t, l, victim, old)
	short, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	var errs []error
	if !poll(short, func() bool { return drops() >= before+uint64(len(old)) }) {
		errs = append(errs, fmt.Errorf("%d of %d replays were counted", drops()-before, len(old)))
	}
	for i, p := range s.sofar() {
		if p.copies > 1 {
			errs = append(errs, fmt.Errorf("probe %d was delivered %d times", i, p.copies))
			break
		}
	}
	return errors.Join(errs...)
}

// inject puts frames on the wire to a site, as somebody on the internet could.
func inject(t *testing.T, l *lab, to *site, frames [][]byte) {
	t.Helper()
	port, err := l.internet.ns.nl.LinkByName(fmt.Sprintf("site%d", to.Number))
	if err != nil {
		t.Fatal(err)
	}
	err = l.internet.ns.do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd) //nolint:errcheck // sent already
		for _, b := range frames {
			protocol := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_IP))
			if err := unix.Sendto(fd, b, 0, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: port.Attrs().Index}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func eachFrame(t *testing.T, l *lab, visit func(frame)) {
	t.Helper()
	if err := readFrames(l.capture.path, l.addresses(), visit); err != nil {
		t.Fatal(err)
	}
}

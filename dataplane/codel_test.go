package dataplane

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/underlay"
)

// dropsAt takes packets out of a queue, one a millisecond, that have waited so long, and returns when the
// dropped ones were.
func dropsAt(c *codel, now *int64, wait time.Duration, packets int) (at []time.Duration) {
	for i := range packets {
		if c.drop(*now, wait, codelShort) {
			at = append(at, time.Duration(i)*time.Millisecond)
		}
		*now += int64(time.Millisecond)
	}
	return at
}

// RFC 8289, 5.5 and 5.6: nothing for an interval, then drops that come closer by the square root of
// their number, then nothing as soon as one packet has waited less than the target.
func TestControlLaw(t *testing.T) {
	t.Parallel()
	var c codel
	now := time.Unix(1000, 0).UnixNano()
	if at := dropsAt(&c, &now, codelTarget-1, 1000); at != nil {
		t.Errorf("packets below the target dropped at %v", at)
	}
	at := dropsAt(&c, &now, codelTarget, 400)
	want := []time.Duration{100, 200, 271, 329, 379} // + 100/sqrt(n) ms each
	if len(at) != len(want) {
		t.Fatalf("drops at %v, want at %d ms", at, want)
	}
	for i := range want {
		if d := at[i] - want[i]*time.Millisecond; d < -time.Millisecond || d > time.Millisecond {
			t.Errorf("drop %d at %v, want at %d ms", i, at[i], want[i])
		}
	}
	if c.drop(now, codelTarget-1, codelShort); c.dropping {
		t.Error("dropping goes on after a packet below the target")
	}
	// Soon after, dropping begins again where it had come to, an interval later.
	at = dropsAt(&c, &now, codelTarget, 250)
	if len(at) < 3 || at[0] != 100*time.Millisecond || at[1]-at[0] > 60*time.Millisecond {
		t.Errorf("the second time drops at %v, want from 100 ms on at the pace of before", at)
	}
	// Long after, it begins anew.
	dropsAt(&c, &now, 0, 3000)
	if at = dropsAt(&c, &now, codelTarget, 250); len(at) != 2 {
		t.Errorf("the third time drops at %v, want at 100 and 200 ms", at)
	}
	// Once the queue has stood for an interval, no packet may wait longer than the limit, whatever the law says.
	c = codel{}
	if at = dropsAt(&c, &now, codelLimit+1, 150); len(at) != 50 || at[0] != codelInterval {
		t.Errorf("%d of 50 packets beyond the limit dropped, at %v", len(at), at)
	}
	// A few packets that come late are no queue, whatever was before and however long it lasts.
	for range 1000 {
		if c.drop(now, time.Second, codelShort-1) {
			t.Fatal("one of few packets was dropped")
		}
		now += int64(time.Millisecond)
	}
	if c.drop(now, -time.Hour, codelShort) {
		t.Error("a packet from the future was dropped: the clock was set back")
	}
}

// Three times as many packets as can be opened, for five seconds of a simulated clock: those that are
// opened have not waited long, what is lost is counted, and control packets lose nothing.
func TestOverload(t *testing.T) {
	t.Parallel()
	w := idle(t, link{mode: esp.Tunnel, cipher: esp.AESGCM16})
	now := time.Unix(1000, 0)
	w.e.now = func() time.Time { return now }
	in := w.e.view.Load().tunnel(0).inbound[0]
	const (
		service = 50 * time.Microsecond // to open one
		arrival = service / 3
		room    = 1800 // packets in 4 MB of socket buffer
		batch   = 64
		// The law is sure of a queue that stands after an interval, and then has to empty it.
		settled = 2 * codelInterval
	)
	// Forgeries: they take as long to refuse as others take to open.
	forgery := make([]byte, 200)
	binary.BigEndian.PutUint32(forgery, in.sa.SPI())
	binary.BigEndian.PutUint32(forgery[4:], 7)
	packetAt := func(at time.Time) underlay.Packet {
		forgery := bytes.Clone(forgery)
		binary.BigEndian.PutUint64(forgery[8:], uint64(at.UnixNano()))
		return underlay.Packet{Payload: forgery, Kind: underlay.ESP, Local: in.sa.Dst(), Remote: in.sa.Src(), Arrived: at.UnixNano()}
	}
	count := func(r reason) int { return int(w.e.drops[r].Load()) }
	var queue []time.Time
	arrived, full := 0, 0
	start, next, longest := now, now, time.Duration(0)
	for now.Sub(start) < 5*time.Second {
		for ; !next.After(now); next = next.Add(arrival) {
			if arrived++; len(queue) == room {
				if full++; next.Sub(start) > settled {
					t.Fatalf("the socket's buffer is full at %v", next.Sub(start))
				}
			} else {
				queue = append(queue, next)
			}
		}
		n := min(batch, len(queue))
		if n == 0 {
			now = next
			continue
		}
		var ps []underlay.Packet
		for _, at := range queue[:n] {
			ps = append(ps, packetAt(at))
		}
		opened, late := count(dropAuth), count(dropQueueDelay)
		w.fromPeers(ps)
		opened, late = count(dropAuth)-opened, count(dropQueueDelay)-late
		if opened+late != n {
			t.Fatalf("of %d packets %d were opened and %d dropped", n, opened, late)
		}
		for i := range w.jobs {
			longest = max(longest, time.Duration(now.UnixNano()-int64(binary.BigEndian.Uint64(w.jobs[i].Pkt[8:]))))
		}
		if now.Sub(start) < settled {
			longest = 0
		}
		now = now.Add(time.Duration(opened) * service)
		queue = queue[n:]
	}
	opened, late := count(dropAuth), count(dropQueueDelay)
	if sum := opened + late + full + len(queue); sum != arrived {
		t.Errorf("%d opened, %d late, %d not queued, %d waiting: %d of %d packets", opened, late, full, len(queue), sum, arrived)
	}
	if least := int(5 * time.Second / service * 95 / 100); opened < least {
		t.Errorf("%d packets opened in 5 s, want at least %d: dropping must not cost what could be opened", opened, least)
	}
	if longest > codelLimit {
		t.Errorf("a packet that was opened has waited %v, want at most %v", longest, codelLimit)
	}
	if late < arrived/2 {
		t.Errorf("%d of %d packets dropped for having waited too long, want two in three", late, arrived)
	}

	// The receiver of control packets has the same SA, and drops nothing, however late it comes.
	w.e.underlay = allControl{w.e.underlay}
	control := newWorker(w.e, w.queue, 1)
	before := count(dropAuth)
	control.fromPeers([]underlay.Packet{packetAt(start), packetAt(start), packetAt(start)})
	if n := count(dropAuth) - before; n != 3 {
		t.Errorf("of 3 control packets %d were opened", n)
	}

	// Nor do the few data packets that a router finds which did not run for a while.
	before = count(dropQueueDelay)
	for range 100 {
		w.fromPeers([]underlay.Packet{packetAt(now.Add(-50 * time.Millisecond)), packetAt(now.Add(-30 * time.Millisecond))})
		now = now.Add(50 * time.Millisecond)
	}
	if n := count(dropQueueDelay) - before; n != 0 {
		t.Errorf("%d of 200 packets dropped that waited for the router, not in a queue", n)
	}
}

// allControl is an Underlay with nothing but receivers of control packets.
type allControl struct{ Underlay }

func (allControl) Control(int) bool { return true }

package router

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"log/slog"
	"sync"
	"time"

	"meshrouter/dataplane"
	"meshrouter/dataplane/fib"
	"meshrouter/ike"
	"meshrouter/internal/ipv4"
	"meshrouter/liveness"
)

const icmpEcho = 8 // RFC 792

// A pathMTUBoard finds out what each tunnel's path carries: it pings the peer's tunnel address with packets
// of the size in question, and has the tunnel use no more than what came back (RFC 8899).
type pathMTUBoard struct {
	r     *Router
	token [8]byte // what tells our probes from anyone's

	mu       sync.Mutex // guards what follows
	searches map[string]*liveness.PathMTU
}

func newPathMTUBoard(r *Router) *pathMTUBoard {
	b := &pathMTUBoard{r: r, searches: map[string]*liveness.PathMTU{}}
	_, _ = rand.Read(b.token[:]) // never fails: it ends the program instead
	return b
}

// tick sends what is due. Only tunnels with an SA are searched.
func (b *pathMTUBoard) tick(now time.Time) {
	for _, l := range b.r.plan.Load().order {
		if !l.PathMTU || b.r.peer(l.Link).state == ike.PeerUp {
			b.step(now, l)
		}
	}
}

func (b *pathMTUBoard) step(now time.Time, l *link) {
	configured, _ := l.tunnelMTU(b.r.encapsulated(l))
	b.mu.Lock()
	s := b.searches[l.Link]
	switch {
	case !l.PathMTU && s == nil:
		b.mu.Unlock()
		return
	case !l.PathMTU: // a reload has switched it off
		delete(b.searches, l.Link)
		b.mu.Unlock()
		b.use(l, configured)
		return
	case s == nil:
		s = new(liveness.PathMTU)
		b.searches[l.Link] = s
	}
	s.SetMax(configured)
	size, seq, changed := s.Tick(now)
	mtu := s.MTU()
	b.mu.Unlock()
	if changed {
		b.use(l, mtu)
	}
	if size == 0 {
		return
	}
	if err := b.r.dp.Probe(l.id, b.probe(l, seq, size)); err != nil {
		b.r.limited.log(slog.LevelDebug, "pathmtu/"+l.Link, "path MTU probe not sent", slog.String("link", l.Link), slog.Int("bytes", size), slog.Any("error", err))
	}
}

// probe is an echo request of size bytes to the peer's tunnel address.
func (b *pathMTUBoard) probe(l *link, seq uint16, size int) []byte {
	icmp := make([]byte, size-ipv4.HeaderLen)
	icmp[0] = icmpEcho
	binary.BigEndian.PutUint16(icmp[4:], dataplane.ProbeID)
	binary.BigEndian.PutUint16(icmp[6:], seq)
	copy(icmp[8:], b.token[:])
	binary.BigEndian.PutUint16(icmp[2:], ipv4.Checksum(icmp, 0))
	packet := ipv4.AppendHeader(make([]byte, 0, size), ipv4.Fields{
		TTL: 64, Protocol: ipv4.ProtocolICMP, DF: true, Src: l.TunnelLocal.Addr(), Dst: l.TunnelRemote.Addr(),
	}, len(icmp))
	return append(packet, icmp...)
}

// heard takes the answer to a probe, or the first fragment of it: it came through the tunnel t.
func (b *pathMTUBoard) heard(now time.Time, t fib.TunnelID, icmp []byte) {
	l := b.r.plan.Load().tunnels[t]
	if l == nil || len(icmp) < 8+len(b.token) || !bytes.Equal(icmp[8:8+len(b.token)], b.token[:]) {
		return
	}
	b.mu.Lock()
	s := b.searches[l.Link]
	changed := s != nil && s.Heard(now, binary.BigEndian.Uint16(icmp[6:]))
	mtu := 0
	if changed {
		mtu = s.MTU()
	}
	b.mu.Unlock()
	if changed {
		b.use(l, mtu)
	}
}

// use makes a size the tunnel's MTU.
func (b *pathMTUBoard) use(l *link, mtu int) {
	b.r.log.Info("path MTU", slog.String("link", l.Link), slog.Int("bytes", mtu))
	b.r.dp.Update(func(u *dataplane.Update) { u.SetMTU(l.id, mtu) })
}

// forget ends the search of a link that is no more.
func (b *pathMTUBoard) forget(link string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.searches, link)
}

// limit is the MTU that a link's tunnel may use: what is configured, or less if the path carries less.
func (b *pathMTUBoard) limit(link string, configured int) int {
	if found := b.found(link); found != 0 {
		return min(found, configured)
	}
	return configured
}

// found is what the path of a link is known to carry, bytes; 0: that is not known.
func (b *pathMTUBoard) found(link string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.searches[link]; s != nil && s.Confirmed() {
		return s.MTU()
	}
	return 0
}

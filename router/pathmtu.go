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
		if l.PathMTU && b.r.peer(l.Link).state == ike.PeerUp {
			b.step(now, l)
		}
	}
}

func (b *pathMTUBoard) step(now time.Time, l *link) {
	b.mu.Lock()
	s := b.searches[l.Link]
	if s == nil { // a reload has ended it just now
		b.mu.Unlock()
		return
	}
	size, seq, changed := s.Tick(now)
	b.mu.Unlock()
	if changed {
		b.use(l)
	}
	if size == 0 {
		return
	}
	if err := b.r.dp.Probe(l.id, b.probe(l, seq, size)); err != nil {
		b.r.limited.log(slog.LevelDebug, "pathmtu/"+l.Link, "path MTU probe not sent", slog.String("link", l.Link), slog.Int("bytes", size), slog.Any("error", err))
	}
}

// probe is an echo request of size bytes to the peer's tunnel address. It is a control packet, so that a
// tunnel with more traffic than it carries is not taken for one with a smaller MTU.
func (b *pathMTUBoard) probe(l *link, seq uint16, size int) []byte {
	icmp := make([]byte, size-ipv4.HeaderLen)
	icmp[0] = icmpEcho
	binary.BigEndian.PutUint16(icmp[4:], dataplane.ProbeID)
	binary.BigEndian.PutUint16(icmp[6:], seq)
	copy(icmp[8:], b.token[:])
	binary.BigEndian.PutUint16(icmp[2:], ipv4.Checksum(icmp, 0))
	packet := ipv4.AppendHeader(make([]byte, 0, size), ipv4.Fields{
		TOS: tosControl, TTL: 64, Protocol: ipv4.ProtocolICMP, DF: true, Src: l.TunnelLocal.Addr(), Dst: l.TunnelRemote.Addr(),
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
	b.mu.Unlock()
	if changed {
		b.use(l)
	}
}

// use makes what was found the tunnel's MTU. It is asked for inside of Update: of several that change the
// tunnel at once, the last one then has the last word of the search.
func (b *pathMTUBoard) use(l *link) {
	mtu := 0
	b.r.dp.Update(func(u *dataplane.Update) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if s := b.searches[l.Link]; s != nil {
			mtu = s.MTU()
			u.SetMTU(l.id, mtu)
		}
	})
	if mtu != 0 {
		b.r.log.Info("path MTU", slog.String("link", l.Link), slog.Int("bytes", mtu))
	}
}

// forget ends the search of a link that is no more.
func (b *pathMTUBoard) forget(link string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.searches, link)
}

// limit is the MTU that a link's tunnel may use: what is configured, or less if the path carries less. The
// search begins here, and begins anew if what is configured has changed; a link that is not searched has none.
// Whoever configures a tunnel asks inside of Update, see use.
func (b *pathMTUBoard) limit(l *link, configured int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !l.PathMTU {
		delete(b.searches, l.Link)
		return configured
	}
	s := b.searches[l.Link]
	if s == nil {
		s = new(liveness.PathMTU)
		b.searches[l.Link] = s
	}
	s.SetMax(configured)
	return s.MTU()
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

package router

import (
	"log/slog"
	"sync"
	"time"

	"meshrouter/dataplane/fib"
	"meshrouter/dataplane/gre"
	"meshrouter/ike"
	"meshrouter/liveness"
	"meshrouter/ospf"
)

// A keepaliveBoard sends GRE keepalives through the links that ask for them, and lets OSPF know
// when they stop coming back.
type keepaliveBoard struct {
	r *Router

	mu      sync.Mutex // guards what follows
	watches map[string]*liveness.Keepalive
}

// tick sends what is due. Only tunnels with an SA are watched: of the others IKE speaks.
func (b *keepaliveBoard) tick(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.r.plan.Load().order {
		if l.Keepalive.Interval == 0 || b.r.peer(l.Link).state != ike.PeerUp {
			b.forget(l.Link)
			continue
		}
		w := b.watches[l.Link]
		if w == nil {
			w = new(liveness.Keepalive)
			b.watches[l.Link] = w
		}
		w.Interval, w.Count = l.Keepalive.Interval, l.Keepalive.Count // a reload may have changed them
		send, lost := w.Tick(now)
		if lost {
			b.r.log.Warn("GRE keepalives do not come back", slog.String("link", l.Link), slog.Int("count", l.Keepalive.Count))
			b.r.ospf.Post(ospf.InterfaceDown{Interface: l.Link, Reason: "GRE keepalives do not come back"})
		}
		if send {
			packet := gre.Keepalive{Local: l.GRELocal, Remote: l.GRERemote, Key: l.GREKey, TTL: 64}.Append(nil)
			if err := b.r.dp.Inject(l.id, packet); err != nil {
				b.r.limited.log(slog.LevelDebug, "keepalive/"+l.Link, "keepalive not sent", slog.String("link", l.Link), slog.Any("error", err))
			}
		}
	}
}

// forget ends the watch over a link. If keepalives had taken it down, its SAs alone count from here on.
func (b *keepaliveBoard) forget(link string) {
	if w := b.watches[link]; w != nil && w.Lost() && b.r.peer(link).state == ike.PeerUp {
		b.r.ospf.Post(ospf.InterfaceUp{Interface: link})
	}
	delete(b.watches, link)
}

// heard takes a keepalive that came back.
func (b *keepaliveBoard) heard(t fib.TunnelID) {
	l := b.r.plan.Load().tunnels[t]
	if l == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if w := b.watches[l.Link]; w != nil && w.Heard() {
		b.r.log.Info("GRE keepalives come back again", slog.String("link", l.Link))
		b.r.ospf.Post(ospf.InterfaceUp{Interface: l.Link})
	}
}

// lost reports whether the link's keepalives have stopped coming back.
func (b *keepaliveBoard) lost(link string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.watches[link]
	return w != nil && w.Lost()
}

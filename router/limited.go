package router

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	limitedInterval = 10 * time.Second // how often one kind of message may be logged
	maxLimits       = 4096             // kinds remembered; when it is full all are forgotten
)

// A limitedLogger logs each kind of message at most once an interval and says how many it kept
// back, so that nobody on the network can fill the log.
type limitedLogger struct {
	to  *slog.Logger
	now func() time.Time

	mu    sync.Mutex // guards what follows
	kinds map[string]*limit
}

// A limit is when a kind may be logged again, and how often it was not since.
type limit struct {
	until time.Time
	kept  int
}

// log writes a message of the kind that key names, unless the last one was just now.
func (l *limitedLogger) log(level slog.Level, key, text string, attrs ...slog.Attr) {
	kept, ok := l.pass(l.now(), key)
	if !ok {
		return
	}
	if kept > 0 {
		attrs = append(attrs, slog.Int("suppressed", kept))
	}
	l.to.LogAttrs(context.Background(), level, text, attrs...) //nolint:sloglint // callers give constants
}

// pass reports whether a message of the kind may be logged now, and how many were kept back before.
func (l *limitedLogger) pass(now time.Time, key string) (kept int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.kinds[key]
	if k == nil {
		if len(l.kinds) >= maxLimits {
			clear(l.kinds)
		}
		k = &limit{}
		l.kinds[key] = k
	}
	if now.Before(k.until) {
		k.kept++
		return 0, false
	}
	kept = k.kept
	*k = limit{until: now.Add(limitedInterval)}
	return kept, true
}

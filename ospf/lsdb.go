package ospf

import (
	"bytes"
	"time"
)

// An lsdb is the link-state database of the area and of the AS (RFC 2328, 12.2). It finds LSAs by key;
// all is in the order of arrival, so that nothing depends on a map's order.
type lsdb struct {
	byKey   map[LSAKey]*lsaEntry
	routers map[RouterID]*lsaEntry // router-LSAs, for the route calculation
	all     []*lsaEntry
	bytes   int
	maxAge  queue[*lsaEntry, struct{}] // at MaxAge, waiting for acknowledgments
}

// An lsaEntry is the place of one LSA; newer instances take the place of older ones.
type lsaEntry struct {
	key       LSAKey
	lsa       LSA // with the age it had when installed
	body      lsaBody
	installed time.Time
	lastSent  time.Time      // in a Link State Update, on any interface
	previous  time.Time      // when the instance before this one was last sent
	received  bool           // from a neighbor; not of our own making
	arrivals  arrivals       // of instances from neighbors
	link      *ospfInterface // where it came from, for link-local LSAs
	holders   int            // Link state retransmission lists it is on
	index     int            // in lsdb.all
	removed   bool
	absent    bool // the originator of this DoNotAge LSA was unreachable at the last look
	timer     timer
	vertex    vertex // of the route calculation
}

// lsaBody is the decoded body of the types that the route calculation knows; one of them, or none.
type lsaBody struct {
	router   *RouterLSA
	network  *NetworkLSA
	summary  *SummaryLSA
	external *ExternalLSA
}

func parseBody(t LSType, b []byte) (lsaBody, error) {
	switch t {
	case RouterLSAType:
		l, err := ParseRouterLSA(b)
		return lsaBody{router: &l}, err
	case NetworkLSAType:
		l, err := ParseNetworkLSA(b)
		return lsaBody{network: &l}, err
	case SummaryLSAType, ASBRSummaryLSAType:
		l, err := ParseSummaryLSA(b)
		return lsaBody{summary: &l}, err
	case ExternalLSAType:
		l, err := ParseExternalLSA(b)
		return lsaBody{external: &l}, err
	case NSSALSAType, OpaqueLinkType, OpaqueAreaType, OpaqueASType:
	}
	return lsaBody{}, nil
}

func (db *lsdb) init() {
	db.byKey = make(map[LSAKey]*lsaEntry)
	db.routers = make(map[RouterID]*lsaEntry)
}

func (db *lsdb) get(k LSAKey) *lsaEntry { return db.byKey[k] }

// self lists the LSAs that the router id advertises.
func (db *lsdb) self(id RouterID) []*lsaEntry {
	var own []*lsaEntry
	for _, e := range db.all {
		if e.key.AdvRouter == id {
			own = append(own, e)
		}
	}
	return own
}

// put stores l in its place and reports whether the route calculation can see a difference
// (RFC 2328, 13.2).
func (db *lsdb) put(now time.Time, l LSA, body lsaBody) (e *lsaEntry, differs bool) {
	h := l.Header()
	e = db.byKey[h.LSAKey]
	if e == nil {
		e = &lsaEntry{key: h.LSAKey, index: len(db.all)}
		db.byKey[e.key] = e
		if e.key.Type == RouterLSAType && uint32(e.key.ID) == uint32(e.key.AdvRouter) { // 12.4.1
			db.routers[e.key.AdvRouter] = e
		}
		db.all = append(db.all, e)
		differs = true
	} else {
		db.bytes -= len(e.lsa)
		old := e.lsa.Header()
		differs = old.Options != h.Options || (e.age(now) == MaxAge) != (h.age() == MaxAge) || !bytes.Equal(e.lsa.Body(), l.Body())
	}
	db.bytes += len(l)
	e.lsa, e.body, e.installed = l, body, now
	if !e.lastSent.IsZero() {
		e.previous, e.lastSent = e.lastSent, time.Time{}
	}
	if h.age() == MaxAge {
		db.maxAge.put(e, struct{}{})
	} else {
		db.maxAge.remove(e)
	}
	return e, differs
}

func (db *lsdb) remove(e *lsaEntry) {
	last := db.all[len(db.all)-1]
	db.all[e.index], last.index = last, e.index
	db.all[len(db.all)-1] = nil
	db.all = db.all[:len(db.all)-1]
	delete(db.byKey, e.key)
	if db.routers[e.key.AdvRouter] == e {
		delete(db.routers, e.key.AdvRouter)
	}
	db.maxAge.remove(e)
	db.bytes -= len(e.lsa)
	e.removed = true
}

// age is the LSA's age now, seconds, without the DoNotAge bit.
func (e *lsaEntry) age(now time.Time) uint16 {
	age := e.lsa.age()
	if e.frozen() {
		return age
	}
	passed := max(now.Sub(e.installed)/time.Second, 0)
	return uint16(min(time.Duration(age)+passed, MaxAge)) //nolint:gosec // at most MaxAge
}

// expired says whether e has been set to MaxAge, by its originator or by its timer: it takes no part in the route
// calculation (RFC 2328, 12.2.2, 16.1 (2)).
func (e *lsaEntry) expired() bool { return e.lsa.age() == MaxAge }

func (e *lsaEntry) frozen() bool { return e.lsa[0]&(doNotAge>>8) != 0 }

// header is the header with the age of now.
func (e *lsaEntry) header(now time.Time) LSAHeader {
	h := e.lsa.Header()
	h.Age = e.age(now) | h.Age&doNotAge
	return h
}

// outgoing is a copy for a Link State Update: the age grows by InfTransDelay, which is at least 1 s, so that
// no LSA leaves with age 0 (RFC 2328, 13.3).
func (e *lsaEntry) outgoing(now time.Time, delay time.Duration) LSA {
	e.lastSent = now
	l := LSA(bytes.Clone(e.lsa))
	age := min(time.Duration(e.age(now))+(delay+time.Second-1)/time.Second, MaxAge)
	l.setAge(uint16(age) | e.lsa.Header().Age&doNotAge) //nolint:gosec // at most MaxAge
	return l
}

// dbFull says whether another LSA of that many bytes, after so many others that are on their way, finds no room.
func (in *Instance) dbFull(coming, size int) bool {
	return len(in.db.all)+coming >= in.cfg.MaxLSAs || in.db.bytes+size > in.cfg.MaxLSABytes
}

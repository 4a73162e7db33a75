package ospf

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// event is an event of the neighbor machine (RFC 2328, 10.2). Start belongs to NBMA networks.
type event uint8

const (
	helloReceived event = iota
	twoWayReceived
	negotiationDone
	exchangeDone
	badLSReq
	loadingDone
	adjOK
	seqNumberMismatch
	oneWayReceived
	killNbr
	inactivityTimer
	llDown
)

var eventNames = [...]string{
	"HelloReceived", "2-WayReceived", "NegotiationDone", "ExchangeDone", "BadLSReq", "LoadingDone",
	"AdjOK?", "SeqNumberMismatch", "1-WayReceived", "KillNbr", "InactivityTimer", "LLDown",
}

func (e event) String() string { return eventNames[e] }

var stateNames = []struct {
	state NeighborState
	name  string
}{
	{Down, "Down"}, {Attempt, "Attempt"}, {Init, "Init"}, {TwoWay, "2-Way"}, {ExStart, "ExStart"},
	{Exchange, "Exchange"}, {Loading, "Loading"}, {Full, "Full"},
}

// String is the RFC's word for the state.
func (st NeighborState) String() string {
	for _, n := range stateNames {
		if n.state == st {
			return n.name
		}
	}
	return fmt.Sprintf("states %#x", uint16(st))
}

// Sets of states, for the table.
const (
	fullUp     = Full
	exchangeUp = Exchange | Loading | Full
	exStartUp  = ExStart | exchangeUp
	twoWayUp   = TwoWay | exStartUp
	initUp     = Init | twoWayUp
	anyState   = Down | Attempt | initUp
	byAction   = NeighborState(0) // the action says what is next
)

type transition struct {
	in     NeighborState // a set
	on     event
	action func(*neighbor, *step)
	next   NeighborState
}

// neighborFSM is the table of RFC 2328, 10.3, row for row, but for the two rows of NBMA networks (Start;
// HelloReceived in Attempt). The state changes first, then the action runs.
var neighborFSM = []transition{
	{Down, helloReceived, (*neighbor).appear, Init},
	{initUp, helloReceived, (*neighbor).restartInactivityTimer, byAction},
	{Init, twoWayReceived, (*neighbor).considerAdjacency, byAction},
	{ExStart, negotiationDone, (*neighbor).listDatabase, Exchange},
	{Exchange, exchangeDone, (*neighbor).load, byAction},
	{Loading, loadingDone, (*neighbor).nothing, Full},
	{TwoWay, adjOK, (*neighbor).considerAdjacency, byAction},
	{exStartUp, adjOK, (*neighbor).reconsiderAdjacency, byAction},
	{exchangeUp, seqNumberMismatch, (*neighbor).restartExchange, ExStart},
	{exchangeUp, badLSReq, (*neighbor).restartExchange, ExStart},
	{anyState, killNbr, (*neighbor).clear, Down},
	{anyState, llDown, (*neighbor).clear, Down},
	{anyState, inactivityTimer, (*neighbor).clear, Down},
	{twoWayUp, oneWayReceived, (*neighbor).becomeOneWay, Init},
	{twoWayUp, twoWayReceived, (*neighbor).nothing, byAction},
	{Init, oneWayReceived, (*neighbor).nothing, byAction},
}

// A neighbor is the data structure of RFC 2328, 10.
type neighbor struct {
	f        *ospfInterface
	id       RouterID
	addr     netip.Addr
	priority uint8
	options  Options
	state    NeighborState
	since    time.Time // of the state
	changes  int
	reason   string // why it is not Full

	inactivity timer
	sequence   uint32 // the last cryptographic sequence number taken
	mtuTold    bool

	// The exchange (exchange.go).
	master     bool // we are the master
	ddSequence uint32
	lastSent   DatabaseDescription
	lastTaken  ddIdentity
	ddTimer    timer
	summary    []*lsaEntry // what is still to be described
	requests   queue[LSAKey, request]
	asked      int // requests of the packet under way that are not answered
	askTimer   timer

	// Flooding (flood.go).
	retransmit      queue[*lsaEntry, time.Time] // when last sent
	retransmitTimer timer
	repeats         queue[*lsaEntry, time.Time] // those of them that it may have refused for MinLSArrival, when last sent
	repeatTimer     timer
	answers         queue[*lsaEntry, struct{}] // asked for by the neighbor, not sent yet
}

func newNeighbor(f *ospfInterface, id RouterID, src netip.Addr) *neighbor {
	n := &neighbor{f: f, id: id, addr: src, state: Down}
	n.inactivity.fire = func(s *step) {
		s.raise(n, inactivityTimer, fmt.Sprintf("no hello for %v", f.cfg.RouterDeadInterval))
	}
	n.ddTimer.fire = n.ddDue
	n.askTimer.fire = n.sendRequest
	n.retransmitTimer.fire = n.retransmitDue
	n.repeatTimer.fire = n.repeatDue
	return n
}

// handle runs one event through neighborFSM.
func (n *neighbor) handle(s *step, e event, reason string) {
	for _, row := range neighborFSM {
		if row.in&n.state != 0 && row.on == e {
			if row.next != byAction {
				n.become(s, row.next, reason)
			}
			row.action(n, s)
			return
		}
	}
	s.event(n.f, "neighbor_event_unexpected", false, fmt.Sprintf("%s: neighbor %v: %v in state %v", n.f.cfg.Name, n.id, e, n.state))
}

// become changes the state and does what hangs on it: the count of loading neighbors, our
// router-LSA, the routes.
func (n *neighbor) become(s *step, to NeighborState, reason string) {
	from := n.state
	if from == to {
		return
	}
	n.state, n.since = to, s.now
	if to == Full {
		n.f.lastError = "" // whatever was wrong here is mended
	}
	n.changes++
	if to == Full {
		n.reason = ""
	} else if reason != "" {
		n.reason = reason
	}
	s.out = append(s.out, NeighborChanged{n.f.cfg.Name, n.id, n.addr, from, to, reason})
	const loading = Exchange | Loading
	switch was, is := from&loading != 0, to&loading != 0; {
	case is && !was:
		s.in.loading++
	case was && !is:
		s.in.loading--
		s.reapAll()
	}
	if from == Full || to == Full {
		s.in.own.wanted = true
		s.scheduleSPF()
	}
}

func (n *neighbor) nothing(*step) {}

// appear answers a neighbor's first Hello at once.
func (n *neighbor) appear(s *step) {
	n.restartInactivityTimer(s)
	n.f.helloNow(s)
}

func (n *neighbor) restartInactivityTimer(s *step) {
	n.inactivity.set(s, s.now.Add(n.f.cfg.RouterDeadInterval))
}

// considerAdjacency goes on to the exchange: on a point-to-point link every neighbor becomes
// adjacent (RFC 2328, 10.4).
func (n *neighbor) considerAdjacency(s *step) {
	n.become(s, ExStart, "")
	n.startExchange(s)
}

// reconsiderAdjacency finds that a point-to-point neighbor stays adjacent.
func (n *neighbor) reconsiderAdjacency(*step) {}

// clear forgets the conversation and the timers. The neighbor itself stays for `show neighbor`.
func (n *neighbor) clear(s *step) {
	n.clearLists(s)
	n.inactivity.stop(s)
	n.sequence = 0
}

// becomeOneWay drops the adjacency, and answers at once: the neighbor has started afresh.
func (n *neighbor) becomeOneWay(s *step) {
	n.clearLists(s)
	n.f.helloNow(s)
}

// clearLists empties the lists of the exchange and of flooding.
func (n *neighbor) clearLists(s *step) {
	n.ddTimer.stop(s)
	n.askTimer.stop(s)
	n.retransmitTimer.stop(s)
	n.repeatTimer.stop(s)
	n.repeats.clear()
	n.summary, n.asked = nil, 0
	n.lastSent, n.lastTaken = DatabaseDescription{}, ddIdentity{}
	n.requests.clear()
	n.answers.clear()
	for e := range n.retransmit.all() {
		n.retransmit.remove(e)
		s.release(e)
	}
}

// adjacent says whether LSAs are flooded to the neighbor.
func (n *neighbor) adjacent() bool { return n.state&exchangeUp != 0 }

// receive takes a packet off an interface (RFC 2328, 8.2).
func (s *step) receive(p Packet) {
	f := s.known(p.Interface)
	if f == nil {
		return
	}
	if f.state == InterfaceDownState {
		s.count("packet_on_down_interface")
		return
	}
	h, body, trailer, err := ParsePacket(p.Payload)
	if err != nil {
		s.refuse(f, nil, "packet_malformed", fmt.Errorf("from %v on %s: %w", p.Src, f.cfg.Name, err))
		return
	}
	where := fmt.Sprintf("%v from %v on %s", h.Type, p.Src, f.cfg.Name)
	n, _ := f.neighbor(h.RouterID)
	if name, err := s.headerMismatch(f, where, h, p); err != nil {
		s.refuse(f, n, name, err)
		return
	}
	seq, refused := f.cfg.Auth.verify(where, h, p.Payload[:h.Length], trailer)
	if refused != nil {
		s.refuse(f, n, refused.name, refused.err)
		return
	}
	if n != nil && n.state > Down && h.AuType == CryptographicAuth {
		if seq < n.sequence {
			s.refuse(f, n, "auth_sequence_old", &MismatchError{where, "CryptographicSequenceNumber", seq, fmt.Sprintf("at least %d", n.sequence), "RFC 2328, D.5.3"})
			return
		}
		n.sequence = seq
	}
	if h.Type == HelloPacket {
		s.receiveHello(f, where, h, p.Src, seq, body)
		return
	}
	if n == nil || n.state == Down {
		s.count("packet_without_neighbor")
		return
	}
	if err := n.receive(s, where, h.Type, body); err != nil {
		s.refuse(f, n, "packet_malformed", fmt.Errorf("%s: %w", where, err))
	}
}

// receive takes a packet of the conversation.
func (n *neighbor) receive(s *step, where string, t PacketType, body []byte) error {
	switch t {
	case DatabaseDescriptionPacket:
		d, err := ParseDatabaseDescription(body)
		if err != nil {
			return err
		}
		n.receiveDD(s, where, d)
	case LSRequestPacket:
		q, err := ParseLinkStateRequest(body)
		if err != nil {
			return err
		}
		n.receiveRequest(s, q)
	case LSUpdatePacket:
		u, err := ParseLinkStateUpdate(body)
		n.receiveUpdate(s, where, u)
		return err
	case LSAckPacket:
		a, err := ParseLinkStateAck(body)
		if err != nil {
			return err
		}
		n.receiveAck(s, a)
	case HelloPacket:
	default:
		return fmt.Errorf("packet type %d is unknown (RFC 2328, A.3.1)", uint8(t))
	}
	return nil
}

// headerMismatch is the first thing wrong with a header, and its counter (RFC 2328, 8.2).
func (s *step) headerMismatch(f *ospfInterface, where string, h Header, p Packet) (string, error) {
	switch {
	case h.Version != version:
		return "version_mismatch", &MismatchError{where, "Version", h.Version, version, "RFC 2328, 8.2"}
	case p.Dst != allSPFRouters() && p.Dst != allDRouters() && p.Dst != f.cfg.Address.Addr():
		return "destination_mismatch", &MismatchError{where, "destination", p.Dst,
			fmt.Sprintf("%v, %v or %v", allSPFRouters(), allDRouters(), f.cfg.Address.Addr()), "RFC 2328, 8.2"}
	case h.Area != s.in.cfg.Area:
		return "area_mismatch", &MismatchError{where, "AreaID", h.Area, s.in.cfg.Area, "RFC 2328, 8.2"}
	case h.RouterID == s.in.cfg.RouterID:
		return "router_id_collision", fmt.Errorf("%s: RouterID %v is our own: two routers have it, or our packets come back (RFC 2328, 10.5)", where, h.RouterID)
	case h.RouterID == 0:
		return "router_id_zero", &MismatchError{where, "RouterID", h.RouterID, "a number of its own", "RFC 2328, 1.2"}
	}
	return "", nil
}

// receiveHello is RFC 2328, 10.5. The network mask is not looked at: the link is point-to-point.
func (s *step) receiveHello(f *ospfInterface, where string, hd Header, src netip.Addr, seq uint32, body []byte) {
	n, known := f.neighbor(hd.RouterID)
	h, err := ParseHello(body)
	if err != nil {
		s.refuse(f, n, "packet_malformed", fmt.Errorf("%s: %w", where, err))
		return
	}
	if name, err := f.helloMismatch(where, h); err != nil {
		s.refuse(f, n, name, err)
		return
	}
	if !known || n.state == Down {
		if n = f.addNeighbor(s, hd.RouterID, src); n == nil {
			return
		}
		n.sequence = seq
		f.checkPeer(s, where, src)
	}
	if n.addr != src {
		s.event(f, "neighbor_address_changed", true, fmt.Sprintf("%s: neighbor %v has moved from %v to %v", f.cfg.Name, n.id, n.addr, src))
		n.addr = src
		s.in.own.wanted = true
		s.scheduleSPF()
	}
	n.priority = h.Priority
	if n.state < ExStart {
		n.options = h.Options
	}
	s.fire(n, helloReceived, "")
	if slices.Contains(h.Neighbors, s.in.cfg.RouterID) {
		s.fire(n, twoWayReceived, "")
	} else {
		s.fire(n, oneWayReceived, "its hello does not list us: it has restarted, or does not hear us")
	}
}

// helloMismatch is the first parameter that differs, and its counter.
func (f *ospfInterface) helloMismatch(where string, h Hello) (string, error) {
	ours := struct {
		hello uint16
		dead  uint32
	}{seconds[uint16](f.cfg.HelloInterval), seconds[uint32](f.cfg.RouterDeadInterval)}
	const ref = "RFC 2328, 10.5"
	switch {
	case h.HelloInterval != ours.hello:
		return "hello_interval_mismatch", &MismatchError{where, "HelloInterval", h.HelloInterval, ours.hello, ref}
	case h.RouterDeadInterval != ours.dead:
		return "dead_interval_mismatch", &MismatchError{where, "RouterDeadInterval", h.RouterDeadInterval, ours.dead, ref}
	case h.Options&OptionE != ourOptions&OptionE:
		return "options_mismatch", &MismatchError{where, "Options", fmt.Sprintf("%#02x (stub area)", uint8(h.Options)),
			fmt.Sprintf("%#02x with the E bit", uint8(ourOptions)), ref}
	}
	return "", nil
}

// checkPeer tells when the neighbor is not where the configuration has it: its routes will lead to
// the address it sends from.
func (f *ospfInterface) checkPeer(s *step, where string, src netip.Addr) {
	if f.cfg.Peer.IsValid() && f.cfg.Peer != src {
		s.event(f, "peer_address_mismatch", true, (&MismatchError{where, "source address", src, f.cfg.Peer, f.cfg.Source}).Error())
	}
}

package dataplane

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/fib"
	"meshrouter/dataplane/segment"
	"meshrouter/dataplane/underlay"
	"meshrouter/internal/ipv4"
	"meshrouter/tun"
)

// marker is in every payload that the tests send, and must never be seen between the sites.
const marker = "\xf0\x9f\x94\x92marker\x00\x01"

// A network is some sites on a Hub, inside a synctest bubble.
type network struct {
	t   *testing.T
	hub *underlay.Hub

	mu   sync.Mutex
	wire []underlay.Wire // everything sent, copied
	lose func(w *underlay.Wire) bool

	offload bool // of the TUN devices
}

func newNetwork(t *testing.T, offload bool) *network {
	n := &network{t: t, hub: underlay.NewHub(), offload: offload}
	n.hub.SetFilter(func(w *underlay.Wire) bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		if bytes.Contains(w.Payload, []byte(marker)) {
			t.Errorf("a clear packet between %v and %v: % x", w.Src, w.Dst, w.Payload)
		}
		if n.lose != nil && n.lose(w) {
			return false
		}
		n.wire = append(n.wire, underlay.Wire{UDP: w.UDP, TOS: w.TOS, Src: w.Src, Dst: w.Dst, Payload: bytes.Clone(w.Payload)})
		return true
	})
	return n
}

// sent waits until nothing moves any more and returns what was sent between the sites since it was last asked.
func (n *network) sent() []underlay.Wire {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.wire
	n.wire = nil
	return w
}

// setLose makes f decide, of each packet, whether it is lost; it may change the packet.
func (n *network) setLose(f func(w *underlay.Wire) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lose = f
}

// A site is an engine with its host.
type site struct {
	*Engine
	n     *network
	index int
	host  tun.Queue
	under *underlay.Memory
	links int // tunnels so far

	mu       sync.Mutex
	received [][]byte // by the host
	control  []controlPacket
	acquired []fib.TunnelID
	moved    []movedPeer
	ike      []Datagram
}

func (s *site) outer() netip.Addr        { return netip.AddrFrom4([4]byte{192, 0, 2, byte(s.index)}) }
func (s *site) lan(host byte) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(s.index), 0, host}) }
func (s *site) lanPrefix() netip.Prefix  { return netip.PrefixFrom(s.lan(0), 16) }
func (s *site) tunnelAddr(peer *site) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 255, byte(s.index), byte(peer.index)})
}

// site starts the engine of site number index, whose LAN 10.index.0.0/16 is behind its host.
func (n *network) site(index int) *site {
	n.t.Helper()
	s := &site{n: n, index: index}
	s.under = n.hub.Join(s.outer())
	device, host := pairOf(n.offload)
	s.host = host.Queues()[0]
	engine, err := New(Config{
		Queues:   []Queue{device.Queues()[0]},
		Underlay: s.under,
		Handlers: Handlers{
			Control: func(id fib.TunnelID, p []byte) {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.control = append(s.control, controlPacket{id, bytes.Clone(p)})
			},
			Acquire: func(id fib.TunnelID) {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.acquired = append(s.acquired, id)
			},
			Moved: func(id fib.TunnelID, to netip.AddrPort) {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.moved = append(s.moved, movedPeer{id, to})
			},
			IKE: func(d Datagram) {
				s.mu.Lock()
				defer s.mu.Unlock()
				d.Payload = bytes.Clone(d.Payload)
				s.ike = append(s.ike, d)
			},
		},
	})
	if err != nil {
		n.t.Fatal(err)
	}
	s.Engine = engine
	s.Update(func(u *Update) {
		u.SetRoutes([]fib.Route{{Prefix: s.lanPrefix(), NextHops: []fib.NextHop{{Local: true}}}}, nil)
	})
	ctx, cancel := context.WithCancel(n.t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		if err := engine.Run(ctx); err != nil {
			n.t.Errorf("site %d: Run: %v", index, err)
		}
	})
	done.Go(s.listen)
	n.t.Cleanup(func() {
		cancel()
		done.Wait()
	})
	return s
}

// pairOf is a TUN device with and without offloads, and the host's side of it.
func pairOf(offload bool) (device, host *tun.Device) {
	if offload {
		return tun.OffloadPair()
	}
	return tun.Pair()
}

// listen is the host: it keeps what comes out of the TUN device.
func (s *site) listen() {
	for {
		pkts, err := readAll(s.host)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.received = append(s.received, pkts...)
		s.mu.Unlock()
	}
}

// readAll waits for packets of a queue, and returns copies of them, cut to what they stand for.
func readAll(q tun.Queue) (pkts [][]byte, err error) {
	ps, err := q.Read()
	for i := range ps {
		var c segment.Cutter
		if err := ps[i].Cut(&c); err != nil {
			return nil, err
		}
		for j := range c.Len() {
			pkts = append(pkts, make([]byte, c.Size(j)))
			c.Put(j, pkts[len(pkts)-1])
		}
	}
	return pkts, err
}

// writeAll writes packets to a queue.
func writeAll(q tun.Queue, pkts ...[]byte) error {
	gs := make([]segment.Group, len(pkts))
	for i := range pkts {
		gs[i].Pieces = pkts[i : i+1]
	}
	_, err := q.Write(gs)
	return err
}

// send makes the host send packets.
func (s *site) send(pkts ...[]byte) {
	s.n.t.Helper()
	if err := writeAll(s.host, pkts...); err != nil {
		s.n.t.Fatal(err)
	}
}

// got waits until nothing moves any more and returns what the host received since it was last asked.
func (s *site) got() [][]byte {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.received
	s.received = nil
	return r
}

// controls is got for the control handler.
func (s *site) controls() []controlPacket {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.control
	s.control = nil
	return c
}

func (s *site) acquires() []fib.TunnelID {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.acquired
	s.acquired = nil
	return a
}

func (s *site) moves() []movedPeer {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.moved
	s.moved = nil
	return m
}

// dropped checks that exactly these drops were counted, each once, since the engine began.
func (s *site) dropped(want ...reason) {
	s.n.t.Helper()
	synctest.Wait()
	counts := make(map[string]uint64)
	for _, r := range want {
		counts[r.String()]++
	}
	for name, n := range s.Drops() {
		if n != counts[name] {
			s.n.t.Errorf("site %d: %d packets dropped as %s, want %d", s.index, n, name, counts[name])
		}
	}
}

// A link describes a tunnel between two sites. The zero value is a usual one.
type link struct {
	cipher esp.Cipher // 0: 3DES with HMAC-SHA1
	mode   esp.Mode   // 0: tunnel
	udp    bool
	key    *uint32
	mtu    int  // 0: 1422
	noSA   bool // no SA yet
}

// A joint is a link as one of its sites sees it.
type joint struct {
	link
	id       fib.TunnelID
	from, to *site
}

// join makes a tunnel between two sites with an SA pair and a route to the other's LAN.
func (n *network) join(a, b *site, l link) (ja, jb joint) {
	n.t.Helper()
	if l.mode == 0 {
		l.mode = esp.Tunnel
	}
	if l.mtu == 0 {
		l.mtu = 1422
	}
	ja, jb = joint{l, fib.TunnelID(a.links), a, b}, joint{l, fib.TunnelID(b.links), b, a}
	a.links, b.links = a.links+1, b.links+1
	for _, j := range []joint{ja, jb} {
		j.from.Update(func(u *Update) {
			u.SetTunnel(j.config())
			u.SetRoutes([]fib.Route{{Prefix: j.to.lanPrefix(), NextHops: []fib.NextHop{{Tunnel: j.id}}}}, nil)
		})
	}
	if !l.noSA {
		n.key(ja, jb, 1)
	}
	return ja, jb
}

func (j joint) config() TunnelConfig {
	return TunnelConfig{
		ID: j.id, Name: fmt.Sprintf("%d-%d", j.from.index, j.to.index),
		Local: j.from.outer(), Remote: j.to.outer(), GREKey: j.key,
		Address: j.from.tunnelAddr(j.to), MTU: j.mtu,
	}
}

// spi is the SPI of the SA from one site to another, of a generation.
func spi(from, to *site, generation int) uint32 {
	return uint32(0x1000 + generation<<8 + from.index<<4 + to.index)
}

// params is the SA that carries what j.from sends.
func (j joint) params(generation int) esp.Params {
	port := uint16(0)
	if j.udp {
		port = underlay.NATPort
	}
	p := esp.Params{
		SPI: spi(j.from, j.to, generation), Cipher: j.cipher, Mode: j.mode,
		Src: netip.AddrPortFrom(j.from.outer(), port), Dst: netip.AddrPortFrom(j.to.outer(), port),
	}
	seed := byte(p.SPI) + byte(generation)*7
	fill := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = seed + byte(i*13)
		}
		return b
	}
	switch j.cipher {
	case esp.AESGCM16:
		p.EncKey = fill(20)
	default:
		p.Cipher, p.Auth, p.EncKey, p.AuthKey = esp.TripleDESCBC, esp.HMACSHA1, fill(24), fill(20)
	}
	return p
}

// key gives both ends SAs of a generation: inbound first, as IKE does.
func (n *network) key(ja, jb joint, generation int) {
	n.t.Helper()
	for _, j := range []joint{ja, jb} {
		back := joint{j.link, 0, j.to, j.from}
		j.from.Update(func(u *Update) { u.AddInbound(j.id, mustSA(n.t, esp.NewInbound, back.params(generation))) })
	}
	for _, j := range []joint{ja, jb} {
		j.from.Update(func(u *Update) { u.SetOutbound(j.id, mustSA(n.t, esp.NewOutbound, j.params(generation))) })
	}
}

func mustSA(t testing.TB, make func(esp.Params) (*esp.SA, error), p esp.Params) *esp.SA {
	t.Helper()
	sa, err := make(p)
	if err != nil {
		t.Fatal(err)
	}
	return sa
}

// A forger speaks for a peer packet by packet: it has the keys, and none of our engine's manners.
type forger struct {
	n       *network
	j       joint
	out, in *esp.SA
}

// forge returns a forger for the far end of j, where nobody must be.
func (n *network) forge(j joint) *forger {
	back := joint{j.link, 0, j.to, j.from}
	return &forger{n, j, mustSA(n.t, esp.NewOutbound, back.params(1)), mustSA(n.t, esp.NewInbound, j.params(1))}
}

// seal makes an ESP packet.
func (f *forger) seal(next uint8, payload []byte) []byte {
	f.n.t.Helper()
	seq, err := f.out.NextSequence(1)
	if err != nil {
		f.n.t.Fatal(err)
	}
	buf := append(make([]byte, esp.HeadRoom, esp.HeadRoom+len(payload)+esp.TailRoom), payload...)
	out := new(esp.Batch).Seal([]esp.Job{{SA: f.out, Seq: seq, Pkt: buf, NextHeader: next}}, nil)
	return bytes.Clone(out[0].Bytes())
}

// deliver puts an ESP packet on the wire.
func (f *forger) deliver(packet []byte) {
	f.n.hub.Deliver(underlay.Wire{UDP: f.j.udp, Src: f.out.Src(), Dst: f.out.Dst(), Payload: packet})
}

// send seals and delivers.
func (f *forger) send(next uint8, payload []byte) { f.deliver(f.seal(next, payload)) }

// delivery makes a delivery packet from the peer to us.
func (f *forger) delivery(protocol uint8, payload []byte) []byte {
	return packet(ipv4.Fields{TTL: 64, Protocol: protocol, Src: f.j.to.outer(), Dst: f.j.from.outer()}, payload)
}

// got opens what our engine has sent to the peer since it was last asked.
func (f *forger) got() (packets [][]byte, next []uint8) {
	f.n.t.Helper()
	for _, w := range f.n.sent() {
		jobs := []esp.Job{{SA: f.in, Pkt: w.Payload}}
		new(esp.Batch).Open(jobs)
		if jobs[0].Err != nil {
			f.n.t.Fatalf("opening what was sent to %v: %v", w.Dst, jobs[0].Err)
		}
		packets, next = append(packets, jobs[0].Pkt), append(next, jobs[0].NextHeader)
	}
	return packets, next
}

// packet makes an IPv4 packet.
func packet(f ipv4.Fields, payload []byte) []byte {
	return append(ipv4.AppendHeader(nil, f, len(payload)), payload...)
}

// udp makes a UDP packet without a checksum; the payload is the marker and what follows.
func udp(src, dst netip.Addr, payload string) []byte {
	b := binary.BigEndian.AppendUint16(nil, 1000)
	b = binary.BigEndian.AppendUint16(b, 2000)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(marker)+len(payload)))
	b = append(b, 0, 0)
	b = append(append(b, marker...), payload...)
	return packet(ipv4.Fields{TTL: 64, Protocol: ipv4.ProtocolUDP, Src: src, Dst: dst}, b)
}

// echoRequest makes an ICMP echo request.
func echoRequest(src, dst netip.Addr, seq uint16) []byte {
	b := []byte{8, 0, 0, 0, 0x12, 0x34}
	b = binary.BigEndian.AppendUint16(b, seq)
	b = append(b, marker...)
	binary.BigEndian.PutUint16(b[2:], ipv4.Checksum(b, 0))
	return packet(ipv4.Fields{TTL: 64, Protocol: ipv4.ProtocolICMP, Src: src, Dst: dst}, b)
}

// greOf puts a plain GRE header in front.
func greOf(protocol uint16, payload []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{0, 0}, protocol), payload...)
}

// onlyOne returns the only packet of a list.
func onlyOne(t testing.TB, what string, packets [][]byte) []byte {
	t.Helper()
	if len(packets) != 1 {
		t.Fatalf("%s: %d packets, want 1", what, len(packets))
	}
	return packets[0]
}

func mustParse(t testing.TB, pkt []byte) (ipv4.Header, []byte) {
	t.Helper()
	h, payload, err := ipv4.Parse(pkt)
	if err != nil || !h.ChecksumOK() {
		t.Fatalf("not an IPv4 packet with a right checksum (%v): % x", err, pkt)
	}
	return h, payload
}

// bubble runs a test with fake time and goroutines that synctest.Wait can wait for, with TUN devices
// that have offloads and with ones that have none.
func bubble(t *testing.T, f func(t *testing.T, n *network)) {
	t.Helper()
	for _, offload := range []bool{false, true} {
		bubbleWith(t, offload, f)
	}
}

func bubbleWith(t *testing.T, offload bool, f func(t *testing.T, n *network)) {
	t.Helper()
	t.Run(fmt.Sprintf("offload=%v", offload), func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t, newNetwork(t, offload)) })
	})
}

func wait(d time.Duration) { time.Sleep(d) } // fake time

func sameOrder(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }

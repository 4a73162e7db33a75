package dataplane

import (
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/fib"
	"meshrouter/dataplane/segment"
	"meshrouter/dataplane/underlay"
)

// A cable is an underlay that keeps what is sent, as packets for the far end, until the next batch.
type cable struct {
	memory  []byte
	packets []underlay.Packet
	calls   int
	probes  []esp.Sealed
}

func (c *cable) Receivers() int                         { return 1 }
func (c *cable) Control(int) bool                       { return false }
func (c *cable) Receive(int) ([]underlay.Packet, error) { return nil, os.ErrClosed }
func (c *cable) SendProbe(p esp.Sealed) error           { c.probes = append(c.probes, p); return nil }
func (c *cable) SendIKE(Datagram) error                 { return nil }
func (c *cable) SendKeepalive(netip.AddrPort) error     { return nil }
func (c *cable) Close() error                           { return nil }
func (c *cable) reset()                                 { c.memory, c.packets = c.memory[:0], c.packets[:0] }
func (c *cable) Send(ps []esp.Sealed) (int, error) {
	c.calls++
	for _, p := range ps {
		at := len(c.memory)
		c.memory = append(c.memory, p.Bytes()...)
		c.packets = append(c.packets, underlay.Packet{
			Payload: c.memory[at:len(c.memory):len(c.memory)], Kind: underlay.ESP,
			Local: p.SA().Dst(), Remote: p.SA().Src(),
		})
	}
	return len(ps), nil
}

// A sink is a host that counts what it gets.
type sink struct {
	offload bool
	packets int // pieces: as many as came through the tunnel
	groups  int
}

func (s *sink) Read() ([]segment.Packet, error) { return nil, os.ErrClosed }
func (s *sink) Offloads() (tcp, udp bool)       { return s.offload, s.offload }
func (s *sink) Close() error                    { return nil }
func (s *sink) Write(gs []segment.Group) (int, error) {
	for i := range gs {
		s.packets += len(gs[i].Pieces)
	}
	s.groups += len(gs)
	return len(gs), nil
}

// A rig is two engines whose workers are driven by hand, so that nothing but the way of the packets is
// measured: one goroutine, no scheduler, no system calls.
type rig struct {
	cable    cable
	sink     sink
	from, to *worker
	packets  []segment.Packet
	count    int        // packets in the tunnel for packets
	headers  [][20]byte // for packets, in turns, so that their memory stays as hot as a TUN queue's
	next     int
}

// A load is what a rig is measured with. The zero value is one tunnel.
type load struct {
	link
	tunnels int // that are there
	busy    int // that have traffic, evenly
	routes  int // besides those of the tunnels
	size    int // bytes of each packet
	large   bool
	// scattered: the routes are /28s here and there in a /8, instead of /24s side by side
	scattered bool
}

// route is the network of one of the load's routes.
func (l load) route(i int) netip.Prefix {
	if l.scattered {
		j := i * 40503 % (1 << 20)
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{40, byte(j >> 12), byte(j >> 4), byte(j << 4)}), 28)
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(40 + i>>16), byte(i >> 8), byte(i), 0}), 24)
}

func (l load) String() string {
	suite := map[esp.Cipher]string{0: "3des-sha1", esp.AESGCM16: "aes-gcm-128", esp.NullCipher: "null-sha1"}[l.cipher]
	return fmt.Sprintf("suite=%s/size=%d/tunnels=%d/busy=%d/routes=%d/large=%v", suite, l.size, l.tunnels, l.busy, l.routes, l.large)
}

func tunnelNet(id int) netip.Addr { return netip.AddrFrom4([4]byte{20, byte(id >> 8), byte(id), 9}) }

func newRig(tb testing.TB, l load) *rig {
	tb.Helper()
	r := &rig{sink: sink{offload: l.large}}
	sa, sb := &site{index: 1}, &site{index: 2}
	l.mode, l.mtu = esp.Tunnel, 1422
	engine := func() *Engine {
		e, err := New(Config{Queues: []Queue{&r.sink}, Underlay: &r.cable})
		if err != nil {
			tb.Fatal(err)
		}
		return e
	}
	a, b := engine(), engine()
	there, back := joint{l.link, 0, sa, sb}, joint{l.link, 0, sb, sa}
	params := func(j joint, id int) esp.Params {
		p := j.params(1)
		p.SPI = uint32(1000 + id*0x1001)
		return p
	}
	a.Update(func(u *Update) {
		var routes []fib.Route
		for id := range l.tunnels {
			c := there.config()
			c.ID = fib.TunnelID(id)
			u.SetTunnel(c)
			u.SetOutbound(c.ID, mustSA(tb, esp.NewOutbound, params(there, id)))
			routes = append(routes, fib.Route{Prefix: netip.PrefixFrom(tunnelNet(id), 24).Masked(), NextHops: []fib.NextHop{{Tunnel: c.ID}}})
		}
		for i := range l.routes {
			routes = append(routes, fib.Route{Prefix: l.route(i), NextHops: []fib.NextHop{{Tunnel: fib.TunnelID(i % l.tunnels)}}})
		}
		u.SetRoutes(routes, nil)
	})
	b.Update(func(u *Update) {
		for id := range l.tunnels {
			c := back.config()
			c.ID = fib.TunnelID(id)
			u.SetTunnel(c)
			u.AddInbound(c.ID, mustSA(tb, esp.NewInbound, params(there, id)))
		}
		u.SetRoutes([]fib.Route{{Prefix: netip.MustParsePrefix("0.0.0.0/0"), NextHops: []fib.NextHop{{Local: true}}}}, nil)
	})
	r.from, r.to = newWorker(a, &r.sink, -1), newWorker(b, &r.sink, 0)
	const batch = 64
	dst := func(i int) netip.Addr {
		if l.routes > 0 {
			a := l.route(i * 7919 % l.routes).Addr().As4()
			a[3] += 9
			return netip.AddrFrom4(a)
		}
		return tunnelNet(i % l.busy)
	}
	if l.large {
		p := segment.Packet{Buf: largeTCP(inner4(1), dst(0), (l.size-40)*46), Offload: tcpOffload(uint16(l.size - 40))}
		p.End = len(p.Buf)
		r.packets, r.count = []segment.Packet{p}, 46
		return r
	}
	payload := string(make([]byte, l.size-28-len(marker)))
	for range batch {
		p := segment.Packet{Buf: udp(inner4(1), dst(0), payload)}
		p.End = len(p.Buf)
		r.packets = append(r.packets, p)
	}
	for i := range 1 << 14 {
		r.headers = append(r.headers, [20]byte(udp(inner4(1), dst(i), payload)))
	}
	r.count = batch
	return r
}

// move moves a batch through the tunnels.
func (r *rig) move() {
	r.cable.reset()
	for i := range r.packets {
		if r.headers != nil {
			copy(r.packets[i].Buf, r.headers[r.next%len(r.headers)][:])
			r.next++
		}
	}
	r.from.begin()
	r.from.lookAhead(r.packets)
	for i := range r.packets {
		r.from.fromHost(&r.packets[i])
	}
	r.from.finish()
	r.to.fromPeers(r.cable.packets)
}

// check moves the packets once and sees them arrive.
func (r *rig) check(tb testing.TB) {
	tb.Helper()
	r.sink.packets = 0
	r.move()
	if r.sink.packets != r.count {
		tb.Fatalf("%d of %d packets arrived; %v, %v", r.sink.packets, r.count, r.from.e.Drops(), r.to.e.Drops())
	}
}

// BenchmarkForward moves packets from TUN to TUN through two engines without sockets, so it counts both ends:
// FIB, cutting, GRE, sealing, opening, FIB, joining. One operation is one packet in the tunnel.
func BenchmarkForward(b *testing.B) {
	loads := []load{}
	for _, cipher := range []esp.Cipher{0, esp.AESGCM16} {
		for _, size := range []int{64, 512, 1400} {
			loads = append(loads, load{link: link{cipher: cipher}, tunnels: 1, busy: 1, size: size})
		}
		loads = append(loads, load{link: link{cipher: cipher}, tunnels: 1, busy: 1, size: 1400, large: true})
	}
	gcm := link{cipher: esp.AESGCM16}
	for _, n := range []int{16, 1000, 10000} {
		loads = append(loads, load{link: gcm, tunnels: n, busy: 1, size: 64}, load{link: gcm, tunnels: n, busy: min(n, 1000), size: 64})
	}
	for _, n := range []int{10, 1000, 100000} {
		loads = append(loads, load{link: gcm, tunnels: 1, busy: 1, routes: n, size: 64})
	}
	for _, l := range loads {
		b.Run(l.String(), func(b *testing.B) {
			r := newRig(b, l)
			r.check(b)
			b.SetBytes(int64(l.size))
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if n++; n%r.count == 0 { // one iteration is one packet
					r.move()
				}
			}
		})
	}
}

// BenchmarkScale compares loads in turns, so that a busy machine disturbs both sides, and reports the
// ratio of their best times: what a packet costs more when there is more of something.
func BenchmarkScale(b *testing.B) {
	gcm := link{cipher: esp.AESGCM16}
	for _, tt := range []struct {
		name       string
		base, more load
	}{
		{"tunnels=1to16", load{link: gcm, tunnels: 1, busy: 1, size: 64}, load{link: gcm, tunnels: 16, busy: 1, size: 64}},
		{"tunnels=1to1000", load{link: gcm, tunnels: 1, busy: 1, size: 64}, load{link: gcm, tunnels: 1000, busy: 1, size: 64}},
		{"tunnels=1to10000", load{link: gcm, tunnels: 1, busy: 1, size: 64}, load{link: gcm, tunnels: 10000, busy: 1, size: 64}},
		{"busy=16to1000/size=64", load{link: gcm, tunnels: 1000, busy: 16, size: 64}, load{link: gcm, tunnels: 1000, busy: 1000, size: 64}},
		{"busy=16to1000/size=1400", load{link: gcm, tunnels: 1000, busy: 16, size: 1400}, load{link: gcm, tunnels: 1000, busy: 1000, size: 1400}},
		{"routes=10to100000", load{link: gcm, tunnels: 1, busy: 1, routes: 10, size: 64}, load{link: gcm, tunnels: 1, busy: 1, routes: 100000, size: 64}},
		{"routes=10to100000/scattered", load{link: gcm, tunnels: 1, busy: 1, routes: 10, size: 64, scattered: true}, load{link: gcm, tunnels: 1, busy: 1, routes: 100000, size: 64, scattered: true}},
	} {
		b.Run(tt.name, func(b *testing.B) {
			base, more := newRig(b, tt.base), newRig(b, tt.more)
			base.check(b)
			more.check(b)
			best := func(r *rig) float64 { // nanoseconds a packet
				moves := 1 + 20000/r.count
				begin := time.Now()
				for range moves {
					r.move()
				}
				return float64(time.Since(begin).Nanoseconds()) / float64(moves*r.count)
			}
			nsBase, nsMore := best(base), best(more)
			for b.Loop() {
				nsBase, nsMore = min(nsBase, best(base)), min(nsMore, best(more))
			}
			b.ReportMetric(nsBase, "ns/packet-base")
			b.ReportMetric(nsMore, "ns/packet-more")
			b.ReportMetric(nsMore/nsBase, "ratio")
		})
	}
}

// BenchmarkFIBChange is Update with one route, with as many tunnels and routes as there are.
func BenchmarkFIBChange(b *testing.B) {
	for _, n := range []int{10, 10000, 100000} {
		b.Run(fmt.Sprintf("tunnels=10000/routes=%d", n), func(b *testing.B) {
			r := newRig(b, load{link: link{cipher: esp.AESGCM16}, tunnels: 10000, busy: 1, routes: n, size: 64})
			prefix := netip.MustParsePrefix("40.0.5.0/24")
			b.ReportAllocs()
			id := fib.TunnelID(0)
			for b.Loop() {
				id = (id + 1) % 10000
				r.from.e.Update(func(u *Update) {
					u.SetRoutes([]fib.Route{{Prefix: prefix, NextHops: []fib.NextHop{{Tunnel: id}}}}, nil)
				})
			}
		})
	}
}

package dataplane

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/segment"
	"meshrouter/internal/ipv4"
)

// largeTCP makes a TCP packet of so many bytes of payload as the host leaves it for segmentation: its
// checksum field holds the sum of the pseudo header.
func largeTCP(src, dst netip.Addr, n int) []byte {
	tcp := make([]byte, 20+n)
	binary.BigEndian.PutUint16(tcp, 1000)
	binary.BigEndian.PutUint16(tcp[2:], 2000)
	tcp[12], tcp[13] = 5<<4, 0x18 // ACK, PSH
	for i := range tcp[20:] {
		tcp[20+i] = byte(i * 7)
	}
	copy(tcp[20:], marker)
	binary.BigEndian.PutUint16(tcp[16:], ipv4.Fold(uint64(ipv4.PseudoHeaderSum(src, dst, ipv4.ProtocolTCP, len(tcp)))))
	return packet(ipv4.Fields{TTL: 64, Protocol: ipv4.ProtocolTCP, DF: true, Src: src, Dst: dst}, tcp)
}

// tcpOffload is what the host says beside a largeTCP that is to be cut into segments of size bytes of payload.
func tcpOffload(size uint16) segment.Offload {
	return segment.Offload{
		Flags: segment.NeedsChecksum, GSOType: segment.GSOTCPv4, HdrLen: 40, GSOSize: size,
		CsumStart: 20, CsumOffset: 16,
	}
}

// largeUDP is largeTCP for UDP, without DF.
func largeUDP(src, dst netip.Addr, n int) (pkt []byte, offload func(size uint16) segment.Offload) {
	b := make([]byte, 8+n)
	binary.BigEndian.PutUint16(b, 1000)
	binary.BigEndian.PutUint16(b[2:], 2000)
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	for i := range b[8:] {
		b[8+i] = byte(i * 3)
	}
	copy(b[8:], marker)
	binary.BigEndian.PutUint16(b[6:], ipv4.Fold(uint64(ipv4.PseudoHeaderSum(src, dst, ipv4.ProtocolUDP, len(b)))))
	return packet(ipv4.Fields{TTL: 64, Protocol: ipv4.ProtocolUDP, Src: src, Dst: dst}, b), func(size uint16) segment.Offload {
		return segment.Offload{Flags: segment.NeedsChecksum, GSOType: segment.GSOUDPL4, HdrLen: 28, GSOSize: size, CsumStart: 20, CsumOffset: 6}
	}
}

// cutAll is what a large packet stands for.
func cutAll(t *testing.T, pkt []byte, o segment.Offload) [][]byte {
	t.Helper()
	var c segment.Cutter
	if err := (&segment.Packet{Buf: pkt, End: len(pkt), Offload: o}).Cut(&c); err != nil {
		t.Fatal(err)
	}
	var pieces [][]byte
	for i := range c.Len() {
		pieces = append(pieces, make([]byte, c.Size(i)))
		c.Put(i, pieces[i])
	}
	return pieces
}

// sendLarge makes the host send a packet that stands for many.
func (s *site) sendLarge(pkt []byte, o segment.Offload) {
	s.n.t.Helper()
	if _, err := s.host.Write([]segment.Group{{Offload: o, Pieces: [][]byte{pkt}}}); err != nil {
		s.n.t.Fatal(err)
	}
}

func TestLargePacketsArriveAsTheSegmentsTheyStandFor(t *testing.T) {
	t.Parallel()
	udpPacket, udpOffload := largeUDP(inner4(1), inner4(2), 20000)
	for _, tt := range []struct {
		name    string
		link    link
		pkt     []byte
		offload segment.Offload
	}{
		{"TCP", link{}, largeTCP(inner4(1), inner4(2), 64000), tcpOffload(1382)},
		{"TCP, transport mode, UDP encapsulation", link{mode: esp.Transport, udp: true, cipher: esp.AESGCM16}, largeTCP(inner4(1), inner4(2), 30001), tcpOffload(1000)},
		{"TCP, tiny segments", link{cipher: esp.AESGCM16}, largeTCP(inner4(1), inner4(2), 5000), tcpOffload(10)},
		{"UDP", link{}, udpPacket, udpOffload(1394)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubbleWith(t, true, func(t *testing.T, n *network) {
				a, b := n.site(1), n.site(2)
				n.join(a, b, tt.link)
				want := cutAll(t, tt.pkt, tt.offload)
				a.sendLarge(tt.pkt, tt.offload)
				got := b.got()
				if !sameOrder(got, want) {
					t.Errorf("%d segments arrived, want %d, or others", len(got), len(want))
				}
				if w := n.sent(); len(w) != len(want) {
					t.Errorf("%d packets between the sites, want %d", len(w), len(want))
				}
				a.dropped()
				b.dropped()
			})
		})
	}
}

// Without room for a segment, a large packet is refused once, or each segment is fragmented.
func TestLargePacketForASmallerTunnel(t *testing.T) {
	t.Parallel()
	bubbleWith(t, true, func(t *testing.T, n *network) {
		a, b := n.site(1), n.site(2)
		n.join(a, b, link{})
		pkt := largeTCP(inner4(1), inner4(2), 20000)
		first := cutAll(t, pkt, tcpOffload(1383))[0]
		a.sendLarge(pkt, tcpOffload(1383))
		h, icmp := mustParse(t, onlyOne(t, "ICMP error", a.got()))
		if h.Src() != a.tunnelAddr(b) || icmp[0] != 3 || icmp[1] != 4 || binary.BigEndian.Uint16(icmp[6:]) != 1422 || !bytes.Equal(icmp[8:36], first[:28]) {
			t.Errorf("ICMP error is % x", icmp[:36])
		}
		if w := n.sent(); len(w) != 0 {
			t.Errorf("%d packets left", len(w))
		}
		a.dropped(dropTooBig)

		pkt, offload := largeUDP(inner4(1), inner4(2), 10000)
		a.sendLarge(pkt, offload(2500))
		r := ipv4.NewReassembler(1<<20, time.Second)
		var whole [][]byte
		for _, piece := range b.got() {
			if len(piece) > 1422 {
				t.Errorf("a piece of %d bytes came through a tunnel of 1422", len(piece))
			}
			if w, ok := r.Add(time.Now(), piece); ok {
				whole = append(whole, w)
			}
		}
		if want := cutAll(t, pkt, offload(2500)); !sameOrder(whole, want) {
			t.Errorf("%d datagrams arrived in fragments, want %d, or others", len(whole), len(want))
		}
	})
}

func TestLargePacketWaitsForAnSA(t *testing.T) {
	t.Parallel()
	bubbleWith(t, true, func(t *testing.T, n *network) {
		a, b := n.site(1), n.site(2)
		ja, jb := n.join(a, b, link{noSA: true})
		pkt := largeTCP(inner4(1), inner4(2), 20000)
		want := cutAll(t, pkt, tcpOffload(1000))
		a.sendLarge(pkt, tcpOffload(1000))
		synctest.Wait()
		n.key(ja, jb, 1)
		if got := b.got(); !sameOrder(got, want[len(want)-maxPending:]) {
			t.Errorf("%d segments came when the SA did, want the last %d", len(got), maxPending)
		}
		a.dropped(slices.Repeat([]reason{dropNoSA}, len(want)-maxPending)...)
	})
}

func TestNonsenseFromTheHost(t *testing.T) {
	t.Parallel()
	bubbleWith(t, true, func(t *testing.T, n *network) {
		a, b := n.site(1), &site{n: n, index: 2}
		n.joinAlone(a, b, link{})
		a.sendLarge(largeTCP(inner4(1), inner4(2), 5000), segment.Offload{GSOType: segment.GSOTCPv4, GSOSize: 1000})
		a.sendLarge(largeTCP(inner4(1), inner4(2), 5000), tcpOffload(0))
		if w := n.sent(); len(w) != 0 {
			t.Errorf("%d packets left", len(w))
		}
		a.dropped(dropSegment, dropSegment)
	})
}

// A SYN whose checksum the host has left to the device is clamped all the same, and its checksum right.
func TestMSSIsClampedBeforeTheChecksumIsThere(t *testing.T) {
	t.Parallel()
	bubbleWith(t, true, func(t *testing.T, n *network) {
		a, b := n.site(1), n.site(2)
		n.join(a, b, link{})
		p := syn(inner4(1), inner4(2), 1460)
		binary.BigEndian.PutUint16(p[36:], ipv4.Fold(uint64(ipv4.PseudoHeaderSum(inner4(1), inner4(2), 6, len(p)-20))))
		a.sendLarge(p, segment.Offload{Flags: segment.NeedsChecksum, CsumStart: 20, CsumOffset: 16})
		h, tcp := mustParse(t, onlyOne(t, "SYN", b.got()))
		if mss := binary.BigEndian.Uint16(tcp[22:]); mss != 1382 {
			t.Errorf("MSS is %d, want 1382", mss)
		}
		if ipv4.Checksum(tcp, ipv4.PseudoHeaderSum(h.Src(), h.Dst(), 6, len(tcp))) != 0 {
			t.Error("the TCP checksum is wrong")
		}
	})
}

// The sealed segments of a large packet lie side by side, so that they can leave as one message.
func TestSealedPacketsLieSideBySide(t *testing.T) {
	t.Parallel()
	for _, mode := range []esp.Mode{esp.Tunnel, esp.Transport} {
		for _, cipher := range []esp.Cipher{0, esp.AESGCM16} {
			t.Run(fmt.Sprintf("%v,cipher=%d", mode, cipher), func(t *testing.T) {
				t.Parallel()
				w := idle(t, link{mode: mode, cipher: cipher})
				seen := &sides{cable: &cable{}}
				w.e.underlay = seen
				w.begin()
				pkt := largeTCP(inner4(1), inner4(2), 64000)
				w.fromHost(&segment.Packet{Buf: pkt, End: len(pkt), Offload: tcpOffload(1300)})
				w.finish()
				if seen.calls != 1 || len(seen.packets) != (64000+1299)/1300 {
					t.Errorf("%d packets in %d calls, want %d in 1", len(seen.packets), seen.calls, (64000+1299)/1300)
				}
				if seen.apart != 0 {
					t.Errorf("%d packets do not lie right behind the one before", seen.apart)
				}
			})
		}
	}
}

// sides counts the packets of a Send that do not follow one another in memory.
type sides struct {
	*cable
	apart int
}

func (s *sides) Send(ps []esp.Sealed) (int, error) {
	for i := 1; i < len(ps); i++ {
		before, b := ps[i-1].Bytes(), ps[i].Bytes()
		if unsafe.Add(unsafe.Pointer(unsafe.SliceData(before)), len(before)) != unsafe.Pointer(unsafe.SliceData(b)) {
			s.apart++
		}
	}
	return s.cable.Send(ps)
}

// What was made for an SA that is replaced or removed before it is numbered leaves with the new one, or
// not at all.
func TestSAChangesWhileABatchIsMade(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(n *network, ja, jb joint)
		want   int // packets that arrive
		drops  []reason
	}{
		{"new SA of another suite", func(n *network, ja, jb joint) {
			ja.cipher, jb.cipher = esp.AESGCM16, esp.AESGCM16
			n.key(ja, jb, 2)
			ja.from.Update(func(u *Update) { u.RemoveOutbound(ja.id, spi(ja.from, ja.to, 1)) })
		}, 3, nil},
		{"new MTU", func(_ *network, ja, _ joint) { ja.from.Update(func(u *Update) { u.SetMTU(ja.id, 1300) }) }, 3, nil},
		{"no SA", func(_ *network, ja, _ joint) {
			ja.from.Update(func(u *Update) { u.RemoveOutbound(ja.id, spi(ja.from, ja.to, 1)) })
		}, 0, nil},
		{"no tunnel", func(_ *network, ja, _ joint) { ja.from.Update(func(u *Update) { u.RemoveTunnel(ja.id) }) }, 0,
			[]reason{dropNoTunnel, dropNoTunnel, dropNoTunnel}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, n *network) {
				a, b := n.site(1), n.site(2)
				ja, jb := n.join(a, b, link{})
				w := newWorker(a.Engine, a.queues[0], -1)
				w.begin()
				var sent [][]byte
				for i := range 3 {
					p := udp(inner4(1), inner4(2), fmt.Sprint(i))
					sent = append(sent, p)
					w.fromHost(&segment.Packet{Buf: p, End: len(p)})
				}
				tt.change(n, ja, jb)
				w.finish()
				if got := b.got(); !sameOrder(got, sent[:tt.want]) {
					t.Errorf("%d packets arrived, want %d", len(got), tt.want)
				}
				a.dropped(tt.drops...)
				if tt.name == "no SA" {
					if got := a.acquires(); len(got) != 1 {
						t.Errorf("Acquire was called %d times, want 1", len(got))
					}
				}
			})
		})
	}
}

// A device that refuses one group gets the others.
func TestRefusedGroupIsLeftOut(t *testing.T) {
	t.Parallel()
	w := idle(t, link{mode: esp.Tunnel})
	q := &choosy{refuse: 1}
	w.queue = q
	w.toHost.TCP, w.toHost.UDP = false, false
	w.begin()
	for i := range 4 {
		w.host(udp(inner4(2), inner4(1), fmt.Sprint(i)))
	}
	w.finish()
	if q.written != 3 {
		t.Errorf("%d groups written, want 3 of 4", q.written)
	}
	if n := w.e.Drops()[dropTunWrite.String()]; n != 1 {
		t.Errorf("%d drops counted, want 1", n)
	}
}

// choosy refuses the group of that index, once.
type choosy struct {
	sink
	refuse, written int
}

func (q *choosy) Write(gs []segment.Group) (int, error) {
	if q.refuse >= 0 && q.refuse < len(gs) {
		n := q.refuse
		q.refuse = -1
		q.written += n
		return n, errors.New("refused")
	}
	q.written += len(gs)
	return len(gs), nil
}

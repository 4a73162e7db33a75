package ospf

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// BenchmarkHello is a Hello sent and one received, with MD5, on one of many interfaces, each with a live neighbor, over a
// database of 16,000 LSAs: neither number may show in it.
func BenchmarkHello(b *testing.B) {
	for _, size := range []struct{ interfaces, lsas int }{{1, 0}, {1000, 0}, {1000, 16000}} {
		b.Run(fmt.Sprintf("interfaces=%d/lsas=%d", size.interfaces, size.lsas), func(b *testing.B) {
			auth := Auth{CryptographicAuth, []Key{{ID: 1, Key: []byte("k")}}}
			c := Config{RouterID: ownID}
			for i := range size.interfaces {
				c.Interfaces = append(c.Interfaces, InterfaceConfig{
					Name: fmt.Sprintf("t%04d", i), Address: netip.PrefixFrom(addr(0x0a000001+uint32(i)*4), 30), Auth: auth,
				})
			}
			in := New()
			now := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
			out := in.Step(now, Configure{c}, nil)
			for _, f := range c.Interfaces {
				out = in.Step(now, InterfaceUp{f.Name}, out[:0])
			}
			s := &step{in: in, now: now}
			for i := range size.lsas {
				l := external(RouterID(i+1000), "203.0.113.0", 1, 1, ExternalLSA{Mask: 0xffffff00})
				body, err := parseBody(ExternalLSAType, l.Body())
				if err != nil {
					b.Fatal(err)
				}
				s.install(l, body)
			}
			hello := func(i int, seq uint32) Packet {
				h := Header{Version: version, Type: HelloPacket, RouterID: RouterID(0x0b000000 + i)}.Append(nil)
				p := Hello{HelloInterval: 10, RouterDeadInterval: 40, Options: OptionE}.Append(h)
				return Packet{Interface: c.Interfaces[i].Name, Src: c.Interfaces[i].Address.Addr().Next(), Dst: allSPFRouters(), Payload: auth.Seal(p, seq)}
			}
			packets := make([]Packet, len(c.Interfaces))
			for i := range packets {
				packets[i] = hello(i, 1)
				out = in.Step(now, packets[i], out[:0])
			}
			b.ReportAllocs()
			turn := 0
			for b.Loop() {
				now = now.Add(10 * time.Second / time.Duration(len(packets)))
				out = in.Step(now, Tick{}, out[:0])
				out = in.Step(now, packets[turn%len(packets)], out[:0])
				turn++
			}
			if n := in.counters["packet_malformed"] + in.counters["auth_sequence_old"]; n > 0 {
				b.Fatal(in.counters)
			}
		})
	}
}

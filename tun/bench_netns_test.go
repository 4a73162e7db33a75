//go:build netns

package tun

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	wg "golang.zx2c4.com/wireguard/tun"

	"meshrouter/dataplane/segment"
	"meshrouter/internal/ipv4"
)

// A rival is a queue that turns the host's packets into segments and back.
type rival struct {
	name  string
	addr  [4]byte // which the other end has: packets to it enter the device
	read  func() (segments int)
	write func(packets [][]byte)
}

// ours is our own queue with Cutter and Merger.
func ours(b *testing.B) rival {
	d, err := Open(Config{Name: "mtest0", MTU: 1420})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = d.Close() })
	q := d.Queues()[0]
	var c segment.Cutter
	var m segment.Merger
	m.TCP, m.UDP = q.Offloads()
	room := make([]byte, 512<<10)
	return rival{"meshrouter", [4]byte{10, 2, 0, 9}, func() (segments int) {
		packets, err := q.Read()
		if err != nil {
			b.Fatal(err)
		}
		at := 0
		for i := range packets {
			if packets[i].Cut(&c) != nil {
				continue // the host's IPv6 neighbor discovery
			}
			for j := range c.Len() {
				n := c.Size(j)
				c.Put(j, room[at:at+n])
				at += n
			}
			segments += c.Len()
		}
		return segments
	}, func(packets [][]byte) {
		m.Reset()
		for _, p := range packets {
			m.Add(p[frontRoom:])
		}
		if _, err := q.Write(m.Groups()); err != nil {
			b.Fatal(err)
		}
	}}
}

// wireguards is the queue of wireguard-go.
func wireguards(b *testing.B) rival {
	fd, _, err := attachQueue("mtest1", false)
	if err != nil {
		b.Fatal(err)
	}
	d, _, err := wg.CreateUnmonitoredTUNFromFD(fd)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = d.Close() })
	bufs, sizes := make([][]byte, d.BatchSize()), make([]int, d.BatchSize())
	for i := range bufs {
		bufs[i] = make([]byte, 65535)
	}
	return rival{"wireguard-go", [4]byte{10, 3, 0, 9}, func() (segments int) {
		n, err := d.Read(bufs, sizes, frontRoom)
		if err != nil {
			b.Fatal(err)
		}
		for i := range n {
			if bufs[i][frontRoom]>>4 == 4 {
				segments++
			}
		}
		return segments
	}, func(packets [][]byte) {
		if _, err := d.Write(packets, frontRoom); err != nil {
			b.Fatal(err)
		}
	}}
}

// BenchmarkQueue compares our queue with wireguard-go's by turns in one run, system calls included, without
// anything behind it. It reports the CPU time of a packet for both (the median of the rounds) and their ratio
// (the median of the rounds' ratios):
//
//	go test -tags netns ./tun -run '^$' -bench Queue -benchtime 100x
func BenchmarkQueue(b *testing.B) {
	for _, size := range []int{64, 512, 1388} {
		for _, gso := range []int{1, 44} {
			b.Run(fmt.Sprintf("read/size=%d/segments=%d", size+28, gso), func(b *testing.B) {
				compare(b, func(r rival) func() int {
					conn := dial(b, r.addr, size)
					data := make([]byte, size*gso)
					return func() int {
						for range 440 / gso { // the device's queue holds 500
							if _, err := conn.Write(data); err != nil {
								b.Fatal(err)
							}
						}
						return 440 / gso * gso
					}
				}, func(r rival, n int) {
					for n > 0 {
						n -= r.read()
					}
				})
			})
		}
		for _, flows := range []int{1, 44} {
			b.Run(fmt.Sprintf("write/size=%d/flows=%d", size+40, flows), func(b *testing.B) {
				var batch [][]byte
				compare(b, func(r rival) func() int {
					return func() int {
						batch = tcpBatch(r.addr, size, flows)
						return len(batch)
					}
				}, func(r rival, _ int) { r.write(batch) })
			})
		}
	}
}

// bothUp makes both queues in a namespace of this goroutine.
func bothUp(b *testing.B) []rival {
	inNamespace(b)
	rivals := []rival{ours(b), wireguards(b)}
	for i, name := range []string{"mtest0", "mtest1"} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			b.Fatal(err)
		}
		addr, err := netlink.ParseAddr(fmt.Sprintf("10.%d.0.1/16", 2+i))
		if err != nil {
			b.Fatal(err)
		}
		if err := netlink.AddrAdd(link, addr); err != nil {
			b.Fatal(err)
		}
		if err := netlink.LinkSetUp(link); err != nil {
			b.Fatal(err)
		}
	}
	return rivals
}

// compare runs rounds of both, in an order that changes. prepare makes the load of one round, which is not timed, and
// returns how many packets it has.
func compare(b *testing.B, prepare func(r rival) func() int, run func(r rival, n int)) {
	rivals := bothUp(b)
	load := []func() int{prepare(rivals[0]), prepare(rivals[1])}
	var times [2][]float64
	var ratios []float64
	for i := range b.N {
		var round [2]float64
		for j := range rivals {
			k := (i + j) % 2
			n := load[k]()
			begin := threadTime(b)
			run(rivals[k], n)
			round[k] = float64(threadTime(b)-begin) / float64(n)
			times[k] = append(times[k], round[k])
		}
		ratios = append(ratios, round[1]/round[0])
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(times[0]), "ns/packet")
	b.ReportMetric(median(times[1]), "wireguard-ns/packet")
	b.ReportMetric(median(ratios), "ratio")
}

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}

// threadTime is the CPU time that this thread has used, which the benchmark is locked to.
func threadTime(b *testing.B) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// dial is a socket whose datagrams enter the device, as one large packet if they are larger than size.
func dial(b *testing.B, to [4]byte, size int) *net.UDPConn {
	conn, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: to[:], Port: 9})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	setsockopt(b, conn, unix.SOL_UDP, unix.UDP_SEGMENT, size)
	setsockopt(b, conn, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 64<<20)
	return conn
}

// tcpBatch is 44 segments of some flows, to where the host drops them: it does not forward.
func tcpBatch(from [4]byte, size, flows int) (batch [][]byte) {
	for i := range 44 {
		flow, n := i%flows, i/flows
		b := make([]byte, frontRoom+40+size, frontRoom+65535) // with room, as wireguard-go wants to have it
		p := b[frontRoom:]
		src, dst := netip.AddrFrom4(from), netip.AddrFrom4([4]byte{10, 9, 0, 9})
		ipv4.AppendHeader(p[:0], ipv4.Fields{TTL: 64, Protocol: 6, ID: uint16(n), DF: true, Src: src, Dst: dst}, 20+size)
		l4 := p[20:]
		binary.BigEndian.PutUint16(l4, uint16(1000+flow))
		binary.BigEndian.PutUint32(l4[4:], uint32(n*size))
		l4[12], l4[13] = 0x50, 0x10
		for j := range l4[20:] {
			l4[20+j] = byte(rand.Uint32())
		}
		binary.BigEndian.PutUint16(l4[16:], ipv4.Checksum(l4, ipv4.PseudoHeaderSum(src, dst, 6, len(l4))))
		batch = append(batch, b)
	}
	return batch
}

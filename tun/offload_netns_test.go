//go:build netns

package tun

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"meshrouter/dataplane/segment"
	"meshrouter/internal/ipv4"
)

// A host is a network namespace with one TUN device.
type host struct {
	t      testing.TB
	device *Device
	addr   netip.Addr
	work   chan func()
}

// newHost makes a namespace on a thread of its own, with a device that has the address and leads everywhere.
func newHost(t testing.TB, addr string, cfg Config) *host {
	t.Helper()
	h := &host{t: t, addr: netip.MustParseAddr(addr), work: make(chan func())}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and the namespace with it
		for f := range h.work {
			f()
		}
	}()
	h.do(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w (this test needs root)", err)
		}
		var err error
		if h.device, err = Open(cfg); err != nil {
			return err
		}
		link, err := netlink.LinkByName(h.device.Name())
		if err != nil {
			return err
		}
		a, err := netlink.ParseAddr(addr + "/32")
		if err != nil {
			return err
		}
		if err := errors.Join(netlink.AddrAdd(link, a), netlink.LinkSetTxQLen(link, 10_000), netlink.LinkSetUp(link)); err != nil {
			return err
		}
		_, all, err := net.ParseCIDR("10.0.0.0/8")
		if err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: all, Scope: netlink.SCOPE_LINK})
	})
	t.Cleanup(func() {
		_ = h.device.Close()
		close(h.work)
	})
	return h
}

// do runs f in the namespace.
func (h *host) do(f func() error) {
	h.t.Helper()
	done := make(chan error)
	h.work <- func() { done <- f() }
	if err := <-done; err != nil {
		h.t.Fatal(err)
	}
}

// counters are those of the namespace that must be 0 in these tests.
func (h *host) counters() (bad string) {
	h.do(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/snmp")
		if err != nil {
			return err
		}
		lines := strings.Split(string(b), "\n")
		for i := 0; i+1 < len(lines); i += 2 {
			names, values := strings.Fields(lines[i]), strings.Fields(lines[i+1])
			for j := range values {
				if slices.Contains([]string{"InHdrErrors", "InCsumErrors", "InErrs", "InErrors"}, names[j]) && values[j] != "0" {
					bad += fmt.Sprintf(" %s%s=%s", names[0], names[j], values[j])
				}
			}
		}
		link, err := netlink.LinkByName(h.device.Name())
		if err != nil {
			return err
		}
		if s := link.Attrs().Statistics; s.RxErrors+s.TxErrors+s.RxFrameErrors > 0 {
			bad += fmt.Sprintf(" %s: %+v", h.device.Name(), *s)
		}
		return nil
	})
	return bad
}

// A wire carries the packets of one device to another as a tunnel would: cut, and joined.
type wire struct {
	packets, groups, large atomic.Int64
}

func (w *wire) carry(t testing.TB, from, to Queue) {
	var c segment.Cutter
	var m segment.Merger
	m.TCP, m.UDP = to.Offloads()
	room := make([]byte, 4<<20)
	for {
		packets, err := from.Read()
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			t.Errorf("read: %v", err)
		}
		m.Reset()
		at := 0
		for i := range packets {
			if err := packets[i].Cut(&c); err != nil {
				if !errors.Is(err, segment.ErrIPv6) { // the host's neighbor discovery
					t.Errorf("cut: %v: %+v", err, packets[i].Offload)
				}
				continue
			}
			if packets[i].Offload.GSOType != 0 {
				w.large.Add(1)
			}
			for j := range c.Len() {
				if n := c.Size(j); n > 1400 {
					t.Errorf("a segment of %d bytes", n)
				} else {
					c.Put(j, room[at:at+n])
					m.Add(room[at : at+n])
					at += n
					w.packets.Add(1)
				}
			}
		}
		gs := m.Groups()
		w.groups.Add(int64(len(gs)))
		if n, err := to.Write(gs); errors.Is(err, os.ErrClosed) {
			return
		} else if err != nil || n != len(gs) {
			t.Errorf("write: %d of %d, %v: %+v", n, len(gs), err, gs[n].Offload)
		}
	}
}

// joined are two hosts with wires between them.
func joined(t *testing.T, a, b *host) (ab, ba *wire) {
	ab, ba = &wire{}, &wire{}
	var running sync.WaitGroup
	for i, q := range a.device.Queues() {
		r := b.device.Queues()[i]
		running.Go(func() { ab.carry(t, q, r) })
		running.Go(func() { ba.carry(t, r, q) })
	}
	t.Cleanup(func() {
		_ = a.device.Close()
		_ = b.device.Close()
		running.Wait()
	})
	return ab, ba
}

var switches = []struct {
	name string
	a, b Config
}{
	{"on", Config{}, Config{}},
	{"on and off", Config{}, Config{Offload: Off}},
	{"off and on", Config{Offload: Off}, Config{}},
	{"off", Config{Offload: Off}, Config{Offload: Off}},
	{"two queues", Config{Queues: 2}, Config{Queues: 2}},
	{"water", Config{Backend: Water}, Config{}},
}

func twoHosts(t *testing.T, a, b Config) (*host, *host) {
	a.Name, a.MTU, b.Name, b.MTU = "mtest0", 1400, "mtest0", 1400
	return newHost(t, "10.1.0.1", a), newHost(t, "10.2.0.1", b)
}

// The kernel takes the groups that a Merger makes, and what its TCP sends arrives whole.
func TestTCPThroughOffloads(t *testing.T) {
	const total = 16 << 20
	for _, tt := range switches {
		t.Run(tt.name, func(t *testing.T) {
			a, b := twoHosts(t, tt.a, tt.b)
			ab, ba := joined(t, a, b)
			var l net.Listener
			b.do(func() (err error) { l, err = net.Listen("tcp4", "10.2.0.1:0"); return err })
			defer l.Close() //nolint:errcheck // nothing depends on it
			got := make(chan [32]byte)
			go func() {
				h := sha256.New()
				if c, err := l.Accept(); err == nil {
					_, _ = io.Copy(h, c)
					_ = c.Close()
				}
				got <- [32]byte(h.Sum(nil))
			}()
			var c net.Conn
			a.do(func() (err error) { c, err = net.Dial("tcp4", l.Addr().String()); return err })
			data := make([]byte, total)
			rng := rand.NewChaCha8([32]byte{1})
			_, _ = rng.Read(data)
			if _, err := c.Write(data); err != nil {
				t.Fatal(err)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			if want := sha256.Sum256(data); <-got != want {
				t.Error("the bytes that arrived are not those that were sent")
			}
			for _, h := range []*host{a, b} {
				if bad := h.counters(); bad != "" {
					t.Errorf("%v: %s", h.addr, bad)
				}
			}
			t.Logf("%d packets, %d of them large, in %d groups; back %d in %d",
				ab.packets.Load(), ab.large.Load(), ab.groups.Load(), ba.packets.Load(), ba.groups.Load())
			reads, _ := a.device.Queues()[0].Offloads()
			writes, _ := b.device.Queues()[0].Offloads()
			if reads != (ab.large.Load() > 0) {
				t.Errorf("%d large packets read, with offloads: %v", ab.large.Load(), reads)
			}
			writes = writes && tt.a.Backend != Water // which reads one packet at a time: nothing to join
			if writes != (ab.groups.Load() < ab.packets.Load()) {
				t.Errorf("%d packets in %d groups, with offloads: %v", ab.packets.Load(), ab.groups.Load(), writes)
			}
		})
	}
}

// Datagrams that are sent with one UDP_SEGMENT call arrive one by one, or together with UDP_GRO.
func TestUDPThroughOffloads(t *testing.T) {
	const size, perSend, sends = 1200, 40, 200
	for _, tt := range switches {
		for _, gro := range []int{0, 1} {
			t.Run(fmt.Sprintf("%s, UDP_GRO %d", tt.name, gro), func(t *testing.T) {
				a, b := twoHosts(t, tt.a, tt.b)
				ab, _ := joined(t, a, b)
				var in, out *net.UDPConn
				b.do(func() (err error) { in, err = net.ListenUDP("udp4", &net.UDPAddr{IP: b.addr.AsSlice()}); return err })
				a.do(func() (err error) {
					out, err = net.DialUDP("udp4", nil, in.LocalAddr().(*net.UDPAddr))
					return err
				})
				defer in.Close()  //nolint:errcheck // nothing depends on it
				defer out.Close() //nolint:errcheck // nothing depends on it
				setsockopt(t, in, unix.SOL_UDP, unix.UDP_GRO, gro)
				setsockopt(t, in, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
				setsockopt(t, out, unix.SOL_UDP, unix.UDP_SEGMENT, size)
				done := make(chan struct{})
				go func() {
					defer close(done)
					buf, next := make([]byte, 65535), 0
					_ = in.SetReadDeadline(time.Now().Add(20 * time.Second))
					for next < sends*perSend {
						n, err := in.Read(buf)
						if err != nil {
							t.Errorf("after %d datagrams: %v", next, err)
							return
						}
						if gro == 0 && n > size {
							t.Errorf("a datagram of %d bytes", n)
						}
						for p := range slices.Chunk(buf[:n], size) {
							want := datagram(next, size, perSend)
							if !bytes.Equal(p, want) {
								t.Errorf("datagram %d is % x…, want % x…", next, p[:8], want[:8])
							}
							next++
						}
					}
				}()
				for i := range sends {
					var b []byte
					for j := range perSend {
						b = append(b, datagram(i*perSend+j, size, perSend)...)
					}
					if _, err := out.Write(b); err != nil {
						t.Fatal(err)
					}
				}
				<-done
				for _, h := range []*host{a, b} {
					if bad := h.counters(); bad != "" {
						t.Errorf("%v: %s", h.addr, bad)
					}
				}
				_, reads := a.device.Queues()[0].Offloads()
				_, writes := b.device.Queues()[0].Offloads()
				writes = writes && tt.a.Backend != Water // which reads one packet at a time: nothing to join
				if reads != (ab.large.Load() > 0) || writes != (ab.groups.Load() < ab.packets.Load()) {
					t.Errorf("%d packets, %d of them large (offloads: %v), in %d groups (offloads: %v)",
						ab.packets.Load(), ab.large.Load(), reads, ab.groups.Load(), writes)
				}
			})
		}
	}
}

// datagram is the content of the i-th; the last one of each call is shorter.
func datagram(i, size, perSend int) []byte {
	if i%perSend == perSend-1 {
		size -= 100
	}
	b := bytes.Repeat([]byte{byte(i)}, size)
	binary.BigEndian.PutUint32(b, uint32(i))
	return b
}

func setsockopt(t testing.TB, c syscall.Conn, level, name, value int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = unix.SetsockoptInt(int(fd), level, name, value) }); err != nil || inner != nil {
		t.Fatal(err, inner)
	}
}

func TestOffloadsSayWhatIsOff(t *testing.T) {
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, "[{tun-tcp true } {tun-udp true }]"}, // Linux 6.2 or later
		{Config{Offload: Off}, "[{tun-tcp false switched off} {tun-udp false switched off}]"},
		{Config{Backend: Water}, "[{tun-tcp false backend water has none} {tun-udp false backend water has none}]"},
	} {
		tt.cfg.Name = "mtest0"
		h := newHost(t, "10.1.0.1", tt.cfg)
		if got := fmt.Sprint(h.device.Offloads()); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.cfg, got, tt.want)
		}
	}
}

// A persistent device keeps its routes when the number of queues changes.
func TestQueuesOfAPersistentDeviceChange(t *testing.T) {
	inNamespace(t)
	var link netlink.Link
	for i, queues := range []int{1, 4, 2, 1} {
		d, err := Open(Config{Name: "mtest0", Persist: true, Queues: queues})
		if err != nil {
			t.Fatalf("%d queues: %v", queues, err)
		}
		if i == 0 {
			link = addressed(t, d.Name())
		}
		if n := attached("mtest0"); n != queues || len(d.Queues()) != queues {
			t.Errorf("%d queues, and the kernel has %d, want %d", len(d.Queues()), n, queues)
		}
		if second, err := Open(Config{Name: "mtest0", Persist: true, Queues: queues}); !errors.Is(err, unix.EBUSY) {
			t.Errorf("a second process: %v, %v; want EBUSY", second, err)
		}
		if err := Remove("mtest0"); !errors.Is(err, unix.EBUSY) {
			t.Errorf("removing it while it is open: %v, want EBUSY", err)
		}
		if routes, err := netlink.RouteList(link, netlink.FAMILY_V4); err != nil || len(routes) != 1 {
			t.Errorf("routes with %d queues: %v, %v; want the one of before", queues, routes, err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := Remove("mtest0"); err != nil {
		t.Error(err)
	}
	if _, err := netlink.LinkByName("mtest0"); err == nil {
		t.Error("the device is there after Remove")
	}
}

// A persistent device of an earlier version has room for one queue.
func TestDeviceMadeForOneQueue(t *testing.T) {
	inNamespace(t)
	fd, _, err := attachQueue("mtest0", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1), unix.Close(fd)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Name: "mtest0", Persist: true, Queues: 2}); err == nil || !strings.Contains(err.Error(), "ip link del mtest0") {
		t.Errorf("two queues: %v, want what to do", err)
	}
	d, err := Open(Config{Name: "mtest0", Persist: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Delete(); err != nil {
		t.Error(err)
	}
}

func deleteLink(d *Device) error {
	link, err := netlink.LinkByName(d.Name())
	if err != nil {
		return err
	}
	return netlink.LinkDel(link)
}

func TestReadEndsWithTheDevice(t *testing.T) {
	for name, end := range map[string]func(d *Device) error{"closed": (*Device).Close, "deleted": deleteLink} {
		t.Run(name, func(t *testing.T) {
			inNamespace(t)
			d, err := Open(Config{Name: "mtest0"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = d.Close() })
			q := d.Queues()[0]
			done := make(chan error)
			go func() {
				for range 2 { // the kernel may report that it goes before it is gone
					if _, err := q.Read(); errors.Is(err, os.ErrClosed) {
						done <- nil
						return
					}
				}
				done <- errors.New("Read does not end")
			}()
			if err := end(d); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			if _, err := q.Write(make([]segment.Group, 1)); !errors.Is(err, os.ErrClosed) {
				t.Errorf("Write: %v, want os.ErrClosed", err)
			}
		})
	}
}

// A reader that was busy when its device was deleted learns it from the next call, and from all further ones.
func TestReadAfterTheDevice(t *testing.T) {
	inNamespace(t)
	d, err := Open(Config{Name: "mtest0"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	if err := deleteLink(d); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := d.Queues()[0].Read(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("call %d: %v, want os.ErrClosed", i, err)
		}
	}
}

// An error is about one group; the others go on.
func TestWriteErrorsAreCountedByGroup(t *testing.T) {
	inNamespace(t)
	d, err := Open(Config{Name: "mtest0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	q := d.Queues()[0]
	good := segment.Group{Pieces: [][]byte{{0x45, 0, 0, 20, 0, 0, 0, 0, 64, 99, 0, 0, 10, 9, 0, 1, 10, 255, 0, 1}}}
	bad := segment.Group{Pieces: good.Pieces, Offload: segment.Offload{GSOType: 77}}
	if n, err := q.Write([]segment.Group{good}); n != 0 || !errors.Is(err, unix.EIO) {
		t.Errorf("while the device is down: %d, %v; want 0, EIO", n, err)
	}
	addressed(t, d.Name())
	gs := []segment.Group{good, good, bad, good}
	if n, err := q.Write(gs); n != 2 || !errors.Is(err, unix.EINVAL) {
		t.Errorf("%d, %v; want 2, EINVAL", n, err)
	}
	if n, err := q.Write(gs[3:]); n != 1 || err != nil {
		t.Errorf("%d, %v; want 1", n, err)
	}
	if n, err := q.Write(nil); n != 0 || err != nil {
		t.Errorf("nothing: %d, %v", n, err)
	}
}

func TestMovingPacketsDoesNotAllocate(t *testing.T) {
	inNamespace(t)
	d, err := Open(Config{Name: "mtest0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	addressed(t, d.Name())
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.MustParseAddrPort("10.2.0.9:7")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	q := d.Queues()[0]
	groups := make([]segment.Group, 0, readPackets)
	payload := make([]byte, 100)
	pieces := make([][]byte, readPackets)
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := conn.Write(payload); err != nil {
			t.Fatal(err)
		}
		packets, err := q.Read()
		if err != nil {
			t.Fatal(err)
		}
		groups = groups[:0]
		for i, p := range packets { // back to where they came from, which drops them
			pieces[i] = p.Buf[p.Start:p.End]
			groups = append(groups, segment.Group{Pieces: pieces[i : i+1], Offload: p.Offload})
		}
		if n, err := q.Write(groups); err != nil {
			t.Fatal(n, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a packet, want 0", n)
	}
}

// Several goroutines write to one queue, each in the order of its own packets.
func TestWritersAtOnce(t *testing.T) {
	const writers, each = 4, 500
	inNamespace(t)
	d, err := Open(Config{Name: "mtest0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	addressed(t, d.Name())
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(10, 255, 0, 1), Port: 7})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	setsockopt(t, conn, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20)
	var running sync.WaitGroup
	for w := range writers {
		running.Go(func() {
			for i := range each {
				p := ipv4.AppendHeader(nil, ipv4.Fields{TTL: 64, Protocol: 17, Src: netip.AddrFrom4([4]byte{10, 2, 0, 9}), Dst: netip.AddrFrom4([4]byte{10, 255, 0, 1})}, 8+3)
				p = append(p, 0, 9, 0, 7, 0, 11, 0, 0, byte(w), byte(i>>8), byte(i))
				if n, err := d.Queues()[0].Write([]segment.Group{{Pieces: [][]byte{p[:20], p[20:28], nil, p[28:]}}}); n != 1 || err != nil {
					t.Errorf("writer %d: %d, %v", w, n, err)
				}
			}
		})
	}
	running.Wait()
	var next [writers]int
	buf := make([]byte, 100)
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	for range writers * each {
		n, err := conn.Read(buf)
		if err != nil || n != 3 {
			t.Fatalf("%d bytes, %v, after %v", n, err, next)
		}
		if got := int(binary.BigEndian.Uint16(buf[1:])); got != next[buf[0]] {
			t.Fatalf("writer %d: datagram %d, want %d", buf[0], got, next[buf[0]])
		}
		next[buf[0]]++
	}
}

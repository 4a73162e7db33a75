//go:build netns

package dataplane

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/fib"
	"meshrouter/dataplane/underlay"
	"meshrouter/tun"
)

// A space is a network namespace without a name: it lives as long as its thread, so that nothing is
// left behind however the test ends.
type space struct{ calls chan func() }

func newSpace(t *testing.T) *space {
	t.Helper()
	s := &space{make(chan func())}
	ready := make(chan error)
	go func() { // ends with the test, and its thread and namespace with it
		runtime.LockOSThread()
		ready <- unix.Unshare(unix.CLONE_NEWNET)
		for call := range s.calls {
			call()
		}
	}()
	if err := <-ready; err != nil {
		t.Fatalf("unshare: %v (this test needs root)", err)
	}
	t.Cleanup(func() { close(s.calls) })
	return s
}

// do runs f in the namespace.
func (s *space) do(t *testing.T, f func() error) {
	t.Helper()
	done := make(chan error)
	s.calls <- func() { done <- f() }
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// handle is a descriptor of the namespace.
func (s *space) handle(t *testing.T) (fd int) {
	t.Helper()
	s.do(t, func() (err error) {
		fd, err = unix.Open(fmt.Sprintf("/proc/%d/task/%d/ns/net", unix.Getpid(), unix.Gettid()), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return err
	})
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

func up(name string, addrs ...string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		addr, err := netlink.ParseAddr(a)
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(l, addr); err != nil {
			return err
		}
	}
	return netlink.LinkSetUp(l)
}

// A realSite is an engine with a real device and real sockets in a namespace.
type realSite struct {
	*space
	*Engine
	device *tun.Device
}

// newRealSites joins two namespaces by a veth pair and runs an engine in each, with a static SA pair.
func newRealSites(t *testing.T, backend string, offload bool, l link) (sites [2]*realSite) {
	t.Helper()
	a, b := &site{index: 1}, &site{index: 2}
	l.mtu, _ = esp.MTU(1500, l.mode, l.udp, esp.TripleDESCBC, esp.HMACSHA1, false)
	spaces := [2]*space{newSpace(t), newSpace(t)}
	far := spaces[1].handle(t)
	spaces[0].do(t, func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "wan"}, PeerName: "wan", PeerNamespace: netlink.NsFd(far)})
	})
	for i, from := range []*site{a, b} {
		to := []*site{b, a}[i]
		s := &realSite{space: spaces[i]}
		sites[i] = s
		var sockets *underlay.Sockets
		s.do(t, func() (err error) {
			if err := errors.Join(up("lo", from.lan(1).String()+"/32"), up("wan", from.outer().String()+"/24")); err != nil {
				return err
			}
			options, segments := underlay.Options{Timestamps: underlay.On}, tun.Auto
			if !offload {
				off := underlay.Off
				options = underlay.Options{UDPSegment: off, UDPGRO: off, Timestamps: off, Steering: off, Protocol50: "raw"}
				segments = tun.Off
			}
			if sockets, err = options.Open(from.outer()); err != nil {
				return err
			}
			if s.device, err = tun.Open(tun.Config{Name: "mesh0", MTU: 1500, Backend: backend, Offload: segments}); err != nil {
				return err
			}
			if err := up("mesh0"); err != nil {
				return err
			}
			dev, err := netlink.LinkByName("mesh0")
			if err != nil {
				return err
			}
			lan := to.lanPrefix().Masked()
			return netlink.RouteAdd(&netlink.Route{
				LinkIndex: dev.Attrs().Index, Scope: netlink.SCOPE_LINK, Src: from.lan(1).AsSlice(),
				Dst: &net.IPNet{IP: lan.Addr().AsSlice(), Mask: net.CIDRMask(lan.Bits(), 32)},
			})
		})
		engine, err := New(Config{Queues: []Queue{s.device.Queues()[0]}, Underlay: sockets})
		if err != nil {
			t.Fatal(err)
		}
		s.Engine = engine
		j, back := joint{l, 0, from, to}, joint{l, 0, to, from}
		engine.Update(func(u *Update) {
			u.SetTunnel(j.config())
			u.AddInbound(0, mustSA(t, esp.NewInbound, back.params(1)))
			u.SetOutbound(0, mustSA(t, esp.NewOutbound, j.params(1)))
			u.SetRoutes([]fib.Route{
				{Prefix: to.lanPrefix(), NextHops: []fib.NextHop{{Tunnel: 0}}},
				{Prefix: from.lanPrefix(), NextHops: []fib.NextHop{{Local: true}}},
			}, nil)
		})
		ctx, cancel := context.WithCancel(context.Background())
		var done sync.WaitGroup
		done.Go(func() {
			if err := engine.Run(ctx); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
		t.Cleanup(func() {
			cancel()
			done.Wait()
		})
	}
	return sites
}

// ping runs the system's ping in the namespace.
func (s *realSite) ping(t *testing.T, args ...string) (out string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s.do(t, func() error { // a child has the namespace of the thread that starts it
		b, runErr := exec.CommandContext(ctx, "ping", args...).CombinedOutput()
		out, err = string(b), runErr
		return nil
	})
	return out, err
}

func TestRealPing(t *testing.T) {
	if _, err := exec.LookPath("ping"); err != nil {
		t.Fatalf("%v: install iputils-ping", err)
	}
	for _, tt := range []struct {
		backend string
		offload bool
		link    link
	}{
		{tun.Native, true, link{mode: esp.Tunnel}},
		{tun.Native, false, link{mode: esp.Tunnel}},
		{tun.Native, true, link{mode: esp.Transport}},
		{tun.Native, true, link{mode: esp.Tunnel, udp: true}},
		{tun.Native, false, link{mode: esp.Transport, udp: true}},
		{tun.Native, true, link{mode: esp.Transport, udp: true}},
		{tun.Water, true, link{mode: esp.Transport, udp: true}},
	} {
		t.Run(fmt.Sprintf("%s,offload=%v,%v,udp=%v", tt.backend, tt.offload, tt.link.mode, tt.link.udp), func(t *testing.T) {
			t.Parallel()
			sites := newRealSites(t, tt.backend, tt.offload, tt.link)
			for i, s := range sites {
				far := []string{"10.2.0.1", "10.1.0.1"}[i]
				for _, args := range [][]string{
					{"-c", "3", "-i", "0.05", "-W", "5", far},
					{"-c", "2", "-i", "0.05", "-W", "5", "-s", "5000", far}, // in fragments, both ways
				} {
					if out, err := s.ping(t, args...); err != nil || strings.Contains(out, "DUP") {
						t.Errorf("ping %v: %v\n%s%s", args, err, out, dropsOf(sites))
					}
				}
				mtu := s.Status()[0].Config.MTU
				out, _ := s.ping(t, "-c", "2", "-i", "0.05", "-W", "1", "-M", "do", "-s", "1460", far)
				if want := fmt.Sprintf("mtu = %d", mtu); !strings.Contains(out, want) && !strings.Contains(out, fmt.Sprintf("mtu=%d", mtu)) {
					t.Errorf("a ping that is too big with DF: want %q in\n%s%s", want, out, dropsOf(sites))
				}
			}
		})
	}
}

// TCP at the TUN device comes in segments of up to 64 KB, and leaves in such again.
func TestRealTCP(t *testing.T) {
	for _, tt := range []struct {
		backend string
		offload bool
		udp     bool
	}{
		{tun.Native, true, true},
		{tun.Native, true, false},
		{tun.Native, false, true},
		{tun.Water, true, false},
	} {
		t.Run(fmt.Sprintf("%s,offload=%v,udp=%v", tt.backend, tt.offload, tt.udp), func(t *testing.T) {
			t.Parallel()
			sites := newRealSites(t, tt.backend, tt.offload, link{mode: esp.Tunnel, cipher: esp.AESGCM16, udp: tt.udp})
			data := make([]byte, 4<<20)
			if _, err := rand.Read(data); err != nil {
				t.Fatal(err)
			}
			var l net.Listener
			sites[1].do(t, func() (err error) {
				l, err = net.Listen("tcp4", "10.2.0.1:7000")
				return err
			})
			received := make(chan []byte, 1)
			go func() {
				c, err := l.Accept()
				if err != nil {
					received <- nil
					return
				}
				b, _ := io.ReadAll(c)
				received <- b
			}()
			var c net.Conn
			sites[0].do(t, func() (err error) {
				c, err = net.DialTimeout("tcp4", "10.2.0.1:7000", 10*time.Second)
				return err
			})
			if _, err := c.Write(data); err != nil {
				t.Fatal(err)
			}
			if mss := segmentSize(t, c); mss > 1422-40 {
				t.Errorf("the MSS is %d, want at most %d", mss, 1422-40)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			select {
			case got := <-received:
				if !bytes.Equal(got, data) {
					t.Errorf("%d of %d bytes arrived, or others\n%s", len(got), len(data), dropsOf(sites))
				}
			case <-time.After(30 * time.Second):
				t.Errorf("no end after 30 s\n%s", dropsOf(sites))
			}
			_ = l.Close()
		})
	}
}

func segmentSize(t *testing.T, c net.Conn) (mss int) {
	t.Helper()
	sc, ok := c.(syscall.Conn)
	if !ok {
		t.Fatalf("%T has no descriptor", c)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		mss, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG)
	}); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return mss
}

func dropsOf(sites [2]*realSite) string {
	var b strings.Builder
	for i, s := range sites {
		fmt.Fprintf(&b, "site %d:", i+1)
		for name, n := range s.Drops() {
			if n > 0 {
				fmt.Fprintf(&b, " %s=%d", name, n)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

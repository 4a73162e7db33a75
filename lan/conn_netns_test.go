//go:build netns

package lan

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"meshrouter/test/peer"
)

func TestMain(m *testing.M) { peer.Main(m) }

// open opens an interface of a namespace.
func open(t *testing.T, ns *peer.Namespace, ifname, src string) *Conn {
	t.Helper()
	var c *Conn
	err := ns.Do(func() (err error) {
		c, err = Open(ifname, netip.MustParseAddr(src))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// within fails the test if f does not end soon.
func within(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("not within 5 s")
	}
}

func TestConnOnARealInterface(t *testing.T) {
	segment := peer.NewNet(t)
	nsA, nsB := segment.Namespace("a", "192.0.2.1/24"), segment.Namespace("b", "192.0.2.2/24")
	nsB.Run("ip", "addr", "add", "192.0.2.3/24", "dev", "eth0")
	nsB.AddLAN("10.9.0.1/24") // lan0 and lan0p are the two ends of one wire
	nsB.Run("sysctl", "-qw", "net.ipv4.conf.lan0.accept_local=1")
	capture := segment.Capture()
	a, b := open(t, nsA, "eth0", "192.0.2.1"), open(t, nsB, "eth0", "192.0.2.3")
	elsewhere := open(t, nsB, "lan0", "10.9.0.1")
	elsewherePeer := open(t, nsB, "lan0p", "10.9.0.1")

	within(t, func() {
		send(t, b, AllSPFRouters(), "own packets are not heard")
		send(t, a, AllSPFRouters(), "to all")
		expect(t, b, "192.0.2.1", AllSPFRouters(), "to all")
		send(t, a, AllDRouters(), "to the designated")
		expect(t, b, "192.0.2.1", AllDRouters(), "to the designated")
		send(t, a, netip.MustParseAddr("192.0.2.2"), "to one")
		expect(t, b, "192.0.2.1", netip.MustParseAddr("192.0.2.2"), "to one")

		// a's first packet is b's: its source is the address that b chose.
		expect(t, a, "192.0.2.3", AllSPFRouters(), "own packets are not heard")

		// What came on eth0 is not heard on lan0: its first packet is that of lan0p.
		send(t, elsewherePeer, AllSPFRouters(), "on lan0")
		expect(t, elsewhere, "10.9.0.1", AllSPFRouters(), "on lan0")
	})

	t.Run("larger than the MTU", func(t *testing.T) {
		payload := strings.Repeat("0123456789", 500)
		within(t, func() {
			send(t, a, AllSPFRouters(), payload)
			got := make([]byte, 65535)
			n, _, _, err := b.ReadFrom(got)
			if err != nil || string(got[:n]) != payload {
				t.Errorf("read %d bytes, %v; want the %d sent", n, err, len(payload))
			}
		})
	})

	t.Run("Close ends ReadFrom", func(t *testing.T) {
		within(t, func() {
			ended := make(chan error)
			go func() {
				_, _, _, err := b.ReadFrom(make([]byte, 100))
				ended <- err
			}()
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			if err := <-ended; !errors.Is(err, net.ErrClosed) {
				t.Errorf("ReadFrom = %v, want net.ErrClosed", err)
			}
		})
	})

	capture.Stop()
	for _, line := range capture.Tshark("", "-Y", "ip.proto == 89", "-T", "fields", "-e", "ip.dst", "-e", "ip.ttl", "-e", "ip.dsfield") {
		if f := strings.Fields(line); len(f) != 3 || f[1] != "1" || f[2] != "0xc0" {
			t.Errorf("destination, TTL, TOS on the wire: %s; want TTL 1, TOS 0xc0", line)
		}
	}
}

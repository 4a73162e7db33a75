//go:build netns

package ring

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"

	"meshrouter/dataplane/underlay/ether"
	"meshrouter/internal/ipv4"
)

// Both programs agree with a slow look at each frame, over plain frames with a few bytes changed: what
// the tap takes is dropped behind it, and nothing else is.
func TestProgramsAgree(t *testing.T) {
	local := netip.MustParseAddr("192.0.2.2")
	const largest = 1514
	// Of a socket filter, the kernel's test run would not show the Ethernet header.
	tap, err := load("tap", ebpf.SchedCLS, ebpf.AttachTCXIngress, instructions(local, largest, filterAll, filterNone))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tap.Close() })
	drop, err := load("drop", ebpf.SchedCLS, ebpf.AttachTCXIngress, instructions(local, largest, tcxDrop, tcxNext))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = drop.Close() })

	random := rand.New(rand.NewPCG(2, 50))
	taken := 0
	for range 20000 {
		size := random.IntN(1500)
		f := make([]byte, ether.EthernetLen, ether.EthernetLen+1600)
		f[12] = 8
		f = ipv4.AppendHeader(f, ipv4.Fields{
			TOS: uint8(random.UintN(256)), TTL: 64, Protocol: 50, DF: random.IntN(2) == 0,
			Src: netip.MustParseAddr("192.0.2.1"), Dst: local,
		}, size)
		f = append(f, make([]byte, size)...)
		for range random.IntN(3) {
			f[12+random.IntN(22)] ^= 1 << random.IntN(8) // the test runs both as frames to this host
		}
		if len(f) < ether.EthernetLen+20 {
			t.Fatal("short frame")
		}
		want := plain(f, local, largest)
		for _, p := range []struct {
			name string
			*ebpf.Program
			hit, miss uint32
		}{{"tap", tap, filterAll, filterNone}, {"tcx", drop, tcxDrop, 1<<32 - 1}} {
			v, _, err := p.Test(f)
			if err != nil {
				t.Fatal(err)
			}
			if v != p.hit && v != p.miss || (v == p.hit) != want {
				t.Fatalf("%s: verdict %d, want taken: %v: % x", p.name, int32(v), want, f[:40])
			}
		}
		if want {
			taken++
		}
	}
	if taken < 1000 {
		t.Errorf("only %d frames of 20000 were taken: the test does not test", taken)
	}
}

func plain(f []byte, local netip.Addr, largest int) bool {
	h := ipv4.Header(f[ether.EthernetLen:])
	return len(f) <= largest && bytes.Equal(f[12:15], []byte{8, 0, 0x45}) &&
		h.TOS() < 0xc0 && h[6]&0xbf == 0 && h[7] == 0 && h.Protocol() == 50 && h.Dst() == local
}

//go:build netns

package xdp

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"

	"meshrouter/dataplane/underlay/ether"
	"meshrouter/internal/ipv4"
)

// verdict runs the program on a frame that arrived on queue 0, without a socket there: it passes frames
// either way, so the map's fallback is changed to XDP_DROP.
func verdicts(t *testing.T, local netip.Addr) func(frame []byte) (ours bool) {
	t.Helper()
	const redirect, drop = 4, 1
	p, err := load(local, largest(2048), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.close() })
	is := instructions(local, largest(2048), p.sockets.FD())
	for i := range is {
		if is[i].Constant == passFrame && is[i].Dst == 3 {
			is[i].Constant = drop
		}
	}
	probe, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "Dual MIT/GPL", Instructions: is})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = probe.Close() })
	return func(frame []byte) bool {
		t.Helper()
		v, _, err := probe.Test(frame)
		if err != nil {
			t.Fatal(err)
		}
		switch v {
		case passFrame:
			return false
		case drop, redirect:
			return true
		}
		t.Fatalf("verdict %d", v)
		return false
	}
}

// The program agrees with a slow look at each frame, over plain frames with a few bytes changed.
func TestProgramTakesPlainESPOnly(t *testing.T) {
	local := netip.MustParseAddr("192.0.2.2")
	ours := verdicts(t, local)
	random := rand.New(rand.NewPCG(1, 50))
	taken := 0
	for range 20000 {
		size := random.IntN(1760)
		f := make([]byte, ether.EthernetLen, ether.EthernetLen+1800)
		f[12] = 8
		f = ipv4.AppendHeader(f, ipv4.Fields{
			TOS: uint8(random.UintN(256)), TTL: 64, Protocol: 50, DF: random.IntN(2) == 0,
			Src: netip.MustParseAddr("192.0.2.1"), Dst: local,
		}, size)
		f = append(f, make([]byte, size)...)
		for range random.IntN(3) {
			f[random.IntN(ether.EthernetLen+20)] ^= 1 << random.IntN(8)
		}
		f = f[:max(ether.EthernetLen, len(f)-random.IntN(2)*random.IntN(40))]
		f = append(f, make([]byte, random.IntN(2)*random.IntN(40))...)
		if got, want := ours(f), plain(f, local); got != want {
			t.Fatalf("taken: %v, want %v: % x", got, want, f[:min(len(f), 40)])
		} else if got {
			taken++
		}
	}
	if taken < 1000 {
		t.Errorf("only %d frames of 20000 were taken: the test does not test", taken)
	}
}

func plain(f []byte, local netip.Addr) bool {
	if len(f) < ether.EthernetLen+20 || !bytes.Equal(f[12:15], []byte{8, 0, 0x45}) {
		return false
	}
	h := ipv4.Header(f[ether.EthernetLen:])
	return h.TOS() < 0xc0 && h[6]&0xbf == 0 && h[7] == 0 && h.Protocol() == 50 && h.Dst() == local &&
		h.TotalLen() <= 1778 && h.TotalLen() <= len(h)
}

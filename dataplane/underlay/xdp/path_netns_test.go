//go:build netns

package xdp

import (
	"bytes"
	"net/netip"
	"testing"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/underlay/ether"
	"meshrouter/dataplane/underlay/ether/veth"
)

var addrA, addrB = netip.MustParseAddr(veth.AddrA), netip.MustParseAddr(veth.AddrB)

// pair makes two joined namespaces with a path in each.
func pair(t testing.TB, c Config) (a, b *end) {
	t.Helper()
	sa, sb, err := veth.NewPair(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sa.Close)
	t.Cleanup(sb.Close)
	return newEnd(t, sa, addrA, c), newEnd(t, sb, addrB, c)
}

// An end is a path in its namespace.
type end struct {
	*Path
	space *veth.Space
	addr  netip.Addr
}

func newEnd(t testing.TB, space *veth.Space, addr netip.Addr, c Config) *end {
	t.Helper()
	e := &end{space: space, addr: addr}
	if err := space.Do(func() (err error) {
		e.Path, err = Open(addr, c)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// sealed returns n packets of a null-cipher SA, whose payloads of that size begin with their number.
func sealed(t testing.TB, src, dst netip.Addr, n, size int, tos uint8) (out []esp.Sealed) {
	t.Helper()
	sa, err := esp.NewOutbound(esp.Params{
		SPI: 0x1000, Cipher: esp.NullCipher, Auth: esp.HMACSHA1, AuthKey: make([]byte, 20),
		Mode: esp.Tunnel, Src: netip.AddrPortFrom(src, 0), Dst: netip.AddrPortFrom(dst, 0),
	})
	if err != nil {
		t.Fatal(err)
	}
	first, err := sa.NextSequence(n)
	if err != nil {
		t.Fatal(err)
	}
	jobs := make([]esp.Job, n)
	for i := range jobs {
		pkt := make([]byte, esp.HeadRoom+size, esp.HeadRoom+size+esp.TailRoom)
		pkt[esp.HeadRoom] = byte(i)
		jobs[i] = esp.Job{SA: sa, Seq: first + uint64(i), Pkt: pkt, NextHeader: 4, TOS: tos}
	}
	if out = new(esp.Batch).Seal(jobs, nil); len(out) != n {
		t.Fatal("Seal failed")
	}
	return out
}

// send sends until the path has found the way, as the raw socket would have made it do.
func (e *end) send(t testing.TB, ps []esp.Sealed) {
	t.Helper()
	n, left, err := e.Send(ps, nil)
	if n != len(ps) || len(left) != 0 || err != nil {
		t.Fatalf("Send = %d, %d left, %v; want %d", n, len(left), err, len(ps))
	}
}

func TestPathCarriesPackets(t *testing.T) {
	for name, c := range map[string]Config{"driver": {}, "generic": {Generic: true}} {
		t.Run(name, func(t *testing.T) {
			a, b := pair(t, c)
			t.Log(a.Describe())
			a.resolve(t, b)
			out := sealed(t, a.addr, b.addr, 200, 1400, 0x20)
			a.send(t, out)
			for next := 0; next < len(out); {
				ps, err := b.Receive(0)
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range ps {
					if !bytes.Equal(p.Payload, out[next].Bytes()) || p.Src != a.addr || p.Dst != b.addr || p.TOS != 0x20 {
						t.Fatalf("packet %d: %v to %v, TOS %#x, % x…", next, p.Src, p.Dst, p.TOS, p.Payload[:16])
					}
					next++
				}
			}
			b.Drops(func(reason string, n uint64) {
				if n != 0 {
					t.Errorf("%d dropped: %s", n, reason)
				}
			})
		})
	}
}

var _ ether.Packet

package dataplane

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/fib"
)

// maxTunnelBytes bounds what an idle tunnel takes with its two SAs, their counters, its route and its share of the
// tables, bytes.
const maxTunnelBytes = 8 << 10

// idleTunnels makes an engine with so many tunnels and returns the memory that they take.
func idleTunnels(tb testing.TB, l link, n int) (bytes uint64, e *Engine) {
	tb.Helper()
	held := func() uint64 {
		var m runtime.MemStats
		for range 2 {
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	e, err := New(Config{Queues: []Queue{&sink{}}, Underlay: &cable{}})
	if err != nil {
		tb.Fatal(err)
	}
	l.mode, l.mtu = esp.Tunnel, 1422
	a, b := &site{index: 1}, &site{index: 2}
	there, back := joint{l, 0, a, b}, joint{l, 0, b, a}
	add := func(u *Update, id fib.TunnelID) {
		c := there.config()
		c.ID, c.Name, c.Address = id, fmt.Sprintf("a-b-%d", id), tunnelNet(int(id))
		in, out := back.params(1), there.params(1)
		in.SPI, out.SPI = 1000+uint32(id)*0x1001, 2000+uint32(id)*0x1001
		u.SetTunnel(c)
		u.AddInbound(id, mustSA(tb, esp.NewInbound, in))
		u.SetOutbound(id, mustSA(tb, esp.NewOutbound, out))
		u.SetRoutes([]fib.Route{{Prefix: netip.PrefixFrom(c.Address, 24), NextHops: []fib.NextHop{{Tunnel: id}}}}, nil)
	}
	before := held()
	for id := range n { // one by one, as IKE does
		e.Update(func(u *Update) { add(u, fib.TunnelID(id)) })
	}
	return held() - before, e
}

func TestIdleTunnelIsSmall(t *testing.T) {
	for _, cipher := range []esp.Cipher{0, esp.AESGCM16} {
		const n = 2000
		bytes, e := idleTunnels(t, link{cipher: cipher}, n)
		if each := bytes / n; each > maxTunnelBytes {
			t.Errorf("cipher %d: a tunnel takes %d bytes, want at most %d", cipher, each, maxTunnelBytes)
		}
		if got := len(e.Status()); got != n {
			t.Errorf("%d tunnels, want %d", got, n)
		}
	}
}

// BenchmarkMemory reports what idle tunnels take.
func BenchmarkMemory(b *testing.B) {
	for name, cipher := range map[string]esp.Cipher{"3des-sha1": 0, "aes-gcm-128": esp.AESGCM16} {
		for _, n := range []int{1000, 10000} {
			b.Run(fmt.Sprintf("suite=%s/tunnels=%d", name, n), func(b *testing.B) {
				var bytes uint64
				for b.Loop() {
					all, e := idleTunnels(b, link{cipher: cipher}, n)
					runtime.KeepAlive(e)
					bytes = all
				}
				b.ReportMetric(float64(bytes)/float64(n), "B/tunnel")
				b.ReportMetric(float64(bytes)/1e6, "MB")
			})
		}
	}
}

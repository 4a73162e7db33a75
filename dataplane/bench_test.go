package dataplane

import (
	"fmt"
	"testing"
)

// BenchmarkForward moves packets from TUN to TUN through two engines in memory, so it counts both
// ends: FIB, GRE, sealing, the hub, opening, FIB.
func BenchmarkForward(b *testing.B) {
	for name, l := range map[string]link{"3des-sha1": {}, "aes-gcm-128": {cipher: 20}} {
		for _, size := range []int{64, 1400} {
			b.Run(fmt.Sprintf("suite=%s/size=%d/tunnels=1", name, size), func(b *testing.B) {
				p := newPipeline(b, l)
				pkt := udp(inner4(1), inner4(2), string(make([]byte, size-28-len(marker))))
				const batch = 128
				out, bufs, sizes := make([][]byte, batch), make([][]byte, batch), make([]int, batch)
				for i := range out {
					out[i], bufs[i] = pkt, make([]byte, 2000)
				}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				sent := 0
				for b.Loop() {
					if sent++; sent%batch != 0 {
						continue // one iteration is one packet
					}
					if _, err := p.in.Write(out, 0); err != nil {
						b.Fatal(err)
					}
					for got := 0; got < batch; {
						n, err := p.out.Read(bufs, sizes, 0)
						if err != nil {
							b.Fatal(err)
						}
						got += n
					}
				}
			})
		}
	}
}

package ospf

import (
	"fmt"
	"testing"
)

// BenchmarkSPFFullMesh is the calculation over a mesh of n routers with n-1 links each: checking that a link is announced by
// both ends must not cost a walk over all the links of one.
func BenchmarkSPFFullMesh(b *testing.B) {
	for _, n := range []uint32{100, 400} {
		b.Run(fmt.Sprint("routers=", n), func(b *testing.B) {
			var lsas []LSA
			c := &Calculation{}
			for i := range n {
				var l RouterLSA
				for j := range n {
					if j != i {
						l.Links = append(l.Links, RouterLink{ID: j + 1, Data: 0x0a000000 + i, Type: PointToPointLink, Metric: 10})
					}
				}
				l.Links = append(l.Links, RouterLink{ID: 0xac000000 + i<<8, Data: 0xffffff00, Type: StubLink, Metric: 1})
				lsas = append(lsas, NewLSA(LSAHeader{Age: 1, Sequence: 1, LSAKey: LSAKey{RouterLSAType, LinkStateID(i + 1), RouterID(i + 1)}}, l.Append(nil)))
				if i > 0 {
					c.Links = append(c.Links, AttachedLink{Interface: fmt.Sprintf("t%04d", i), Cost: 10, Neighbor: RouterID(i + 1), Addr: addr(0x0a000000 + i)})
				}
			}
			links := c.Links
			c = NewCalculation(1, lsas)
			c.Links = links
			for b.Loop() {
				if got := len(c.Routes()); got != int(n-1) {
					b.Fatalf("%d routes", got)
				}
			}
		})
	}
}

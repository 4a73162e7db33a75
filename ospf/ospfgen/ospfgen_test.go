package ospfgen_test

import (
	"fmt"
	"testing"

	"meshrouter/ospf/ospfgen"
)

// All routers of a generated database are reachable: each stub network has its route, and twice the same.
func TestNew(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 10, 1000} {
		routes := ospfgen.New(n, 1).Routes()
		lans := 0
		for _, r := range routes {
			if r.Prefix.Bits() == 28 {
				lans++
			}
		}
		if lans != n {
			t.Errorf("%d routers: %d of their networks have a route", n, lans)
		}
		if again := ospfgen.New(n, 1).Routes(); fmt.Sprint(again) != fmt.Sprint(routes) {
			t.Errorf("%d routers: another run finds other routes", n)
		}
	}
}

func BenchmarkSPF(b *testing.B) {
	for _, n := range []int{100, 1000, 4000, 16000} {
		b.Run(fmt.Sprint("routers=", n), func(b *testing.B) {
			c := ospfgen.New(n, 1)
			b.ReportAllocs()
			for b.Loop() {
				if len(c.Routes()) < n {
					b.Fatal("routes missing")
				}
			}
		})
	}
}

package fib_test

import (
	"fmt"
	"net/netip"

	"meshrouter/dataplane/fib"
)

func Example() {
	before := fib.New([]fib.Route{
		{Prefix: netip.MustParsePrefix("10.1.0.0/16"), NextHops: []fib.NextHop{{Local: true}}},
		{Prefix: netip.MustParsePrefix("10.2.0.0/16"), NextHops: []fib.NextHop{{Tunnel: 0}}},
	})
	after := before.With([]fib.Route{
		{Prefix: netip.MustParsePrefix("10.2.3.0/24"), NextHops: []fib.NextHop{{Tunnel: 1}}},
	}, nil)

	dst := netip.MustParseAddr("10.2.3.4")
	for _, table := range []*fib.Table{before, after} {
		hop, ok := table.Lookup(dst, 0)
		fmt.Println(table.Len(), "routes:", dst, "goes to", hop, ok)
	}
	// Output:
	// 2 routes: 10.2.3.4 goes to tun0 true
	// 3 routes: 10.2.3.4 goes to tun1 true
}

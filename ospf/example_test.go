package ospf_test

import (
	"fmt"
	"net/netip"
	"time"

	"meshrouter/ospf"
)

// The shell around an instance feeds it inputs, does what the outputs say, and ticks it at its deadline.
func ExampleInstance_Step() {
	in := ospf.New()
	now := time.Date(2025, time.January, 1, 0, 0, 0, 0, time.UTC)
	do := func(i ospf.Input) {
		for _, o := range in.Step(now, i, nil) {
			switch o := o.(type) {
			case ospf.Send:
				fmt.Println("send", len(o.Payload), "bytes on", o.Interface, "to", o.Dst)
			case ospf.RoutesChanged:
				for _, r := range o.Changed {
					fmt.Println("route to", r.Prefix, "by", r.NextHops[0].Interface)
				}
			}
		}
	}
	do(ospf.Configure{Config: ospf.Config{RouterID: 0x0aff0001, Interfaces: []ospf.InterfaceConfig{
		{Name: "tokyo", Address: netip.MustParsePrefix("10.255.0.1/30")},
		{Name: "lan", Passive: true, Address: netip.MustParsePrefix("10.1.0.1/24")},
	}}})
	do(ospf.InterfaceUp{Interface: "tokyo"})
	do(ospf.InterfaceUp{Interface: "lan"})
	for range 2 {
		now = in.Deadline()
		do(ospf.Tick{})
	}
	// Output:
	// send 44 bytes on tokyo to 224.0.0.5
	// route to 10.1.0.0/24 by lan
	// route to 10.255.0.0/30 by tokyo
}

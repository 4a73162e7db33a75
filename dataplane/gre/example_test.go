package gre_test

import (
	"fmt"
	"net/netip"

	"meshrouter/dataplane/gre"
)

func Example() {
	key := uint32(7)
	template := gre.New(&key).Append(nil) // copied in front of each packet
	packet := append(template, "an IPv4 packet"...)

	h, payload, err := gre.Parse(packet)
	fmt.Printf("protocol 0x%04x, key %d, our tunnel's: %v, %q, %v\n", h.Protocol, h.Key, h.Matches(&key), payload, err)
	// Output:
	// protocol 0x0800, key 7, our tunnel's: true, "an IPv4 packet", <nil>
}

func ExampleReturnKeepalive() {
	london, tokyo := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	k := gre.Keepalive{Local: london, Remote: tokyo, TTL: 255}
	inside := k.Append(nil) // London sends this into the tunnel

	// Tokyo takes it out, and sends it back inside ESP.
	fmt.Println(gre.ReturnKeepalive(inside, tokyo, london))
	// Output:
	// true
}

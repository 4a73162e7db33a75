package xdp_test

import (
	"fmt"
	"log"
	"net/netip"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/underlay/xdp"
)

// One goroutine for each queue receives; what Send leaves goes by the raw socket.
func ExampleOpen() {
	path, err := xdp.Open(netip.MustParseAddr("192.0.2.1"), xdp.Config{})
	if err != nil {
		log.Print(err) // why not: the raw socket does it all
		return
	}
	for i := range path.Receivers() {
		go func() { // ends with Close
			for {
				packets, err := path.Receive(i)
				if err != nil {
					return
				}
				for _, p := range packets {
					fmt.Println(p.Src, len(p.Payload))
				}
			}
		}()
	}
	var sealed, rest []esp.Sealed // of Batch.Seal; scratch
	n, rest, err := path.Send(sealed, rest[:0])
	fmt.Println(n, "sent,", len(rest), "for the raw socket,", err)
}

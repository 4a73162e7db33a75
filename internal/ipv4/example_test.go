package ipv4_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"time"

	"meshrouter/internal/ipv4"
)

func Example() {
	payload := bytes.Repeat([]byte("x"), 3000)
	pkt := ipv4.AppendHeader(nil, ipv4.Fields{
		TTL: 64, Protocol: ipv4.ProtocolOSPF, ID: 1,
		Src: netip.MustParseAddr("10.255.0.1"), Dst: netip.MustParseAddr("224.0.0.5"),
	}, len(payload))
	pkt = append(pkt, payload...)

	r := ipv4.NewReassembler(64<<10, 15*time.Second)
	err := ipv4.Fragment(pkt, 1422, func(fragment []byte) {
		h, _, _ := ipv4.Parse(fragment)
		whole, ok := r.Add(time.Time{}, fragment)
		fmt.Println("fragment at", h.FragOffset(), "of", h.TotalLen(), "bytes; whole:", ok, len(whole))
	})
	fmt.Println(err)
	// Output:
	// fragment at 0 of 1420 bytes; whole: false 0
	// fragment at 1400 of 1420 bytes; whole: false 0
	// fragment at 2800 of 220 bytes; whole: true 3020
	// <nil>
}

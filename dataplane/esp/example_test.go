package esp_test

import (
	"fmt"
	"net/netip"

	"meshrouter/dataplane/esp"
)

func Example() {
	params := esp.Params{
		SPI:     0x1000,
		Cipher:  esp.TripleDESCBC,
		Auth:    esp.HMACSHA1,
		EncKey:  []byte("0123456789abcdefghijklmn"), // from IKE
		AuthKey: []byte("opqrstuvwxyz01234567"),
		Mode:    esp.Tunnel,
		Src:     netip.MustParseAddrPort("192.0.2.1:0"),
		Dst:     netip.MustParseAddrPort("192.0.2.2:0"),
	}
	out, err := esp.NewOutbound(params)
	if err != nil {
		fmt.Println(err)
		return
	}
	in, err := esp.NewInbound(params) // at the peer
	if err != nil {
		fmt.Println(err)
		return
	}

	// London: room, payload, room.
	payload := "an IPv4 packet with GRE inside"
	buf := make([]byte, esp.HeadRoom+len(payload), 2048)
	copy(buf[esp.HeadRoom:], payload)
	first, err := out.NextSequence(1)
	if err != nil {
		fmt.Println(err)
		return
	}
	var batch esp.Batch
	sealed := batch.Seal([]esp.Job{{SA: out, Seq: first, Pkt: buf, NextHeader: esp.NextHeaderIPv4}}, nil)
	wire := sealed[0].Bytes()
	fmt.Println(out.Suite(), len(payload), "bytes become", len(wire))

	// Tokyo: find the SA, check, open, update, deliver.
	spi, seq, _ := esp.Header(wire)
	fmt.Printf("SPI 0x%08x, sequence %d, fresh: %v\n", spi, seq, in.Fresh(seq))
	jobs := []esp.Job{{SA: in, Pkt: wire}}
	batch.Open(jobs)
	fmt.Printf("%q, next header %d, accepted: %v\n", jobs[0].Pkt, jobs[0].NextHeader, jobs[0].Accept() == nil)
	fmt.Println("the same packet again, fresh:", in.Fresh(seq))
	// Output:
	// 3des-cbc/hmac-sha1 30 bytes become 60
	// SPI 0x00001000, sequence 1, fresh: true
	// "an IPv4 packet with GRE inside", next header 4, accepted: true
	// the same packet again, fresh: false
}

func ExampleMTU() {
	_, sum := esp.MTU(1500, esp.Tunnel, false, esp.TripleDESCBC, esp.HMACSHA1, false)
	fmt.Println(sum)
	// Output:
	// 1500 - 20 outer IP - 8 ESP - 8 IV - 12 ICV - 4 to whole blocks of 8 - 2 ESP trailer - 20 inner IP - 4 GRE = 1422
}

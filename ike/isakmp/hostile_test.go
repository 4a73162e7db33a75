package isakmp_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/pcapgo"

	"meshrouter/ike/isakmp"
	"meshrouter/internal/testvectors"
)

// ok is how a message without an error prints.
const ok = "<nil>"

// packets reads the link-layer packets of a capture, cut where the capture is.
func packets(t *testing.T, name string) [][]byte {
	t.Helper()
	file := testvectors.Read(t, testvectors.Path(t, "captures/tcpdump/"+name))
	r, err := pcapgo.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for {
		data, _, err := r.ReadPacketData()
		if err != nil {
			return all
		}
		all = append(all, data)
	}
}

// isakmpMessage finds the payload of UDP port 500 in a packet, whatever its link layer.
func isakmpMessage(packet []byte) ([]byte, bool) {
	for _, ip := range []int{14, 0, 4, 16} { // Ethernet, none, loopback, Linux cooked
		if len(packet) < ip+28 || packet[ip]>>4 != 4 || packet[ip+9] != 17 {
			continue
		}
		udp := ip + int(packet[ip]&15)*4
		if len(packet) >= udp+8 && (binary.BigEndian.Uint16(packet[udp:]) == 500 || binary.BigEndian.Uint16(packet[udp+2:]) == 500) {
			return packet[udp+8:], true
		}
	}
	return nil, false
}

// parseAll parses a message as the engine does: header, chain, then each payload by its type.
func parseAll(b []byte) error {
	h, err := isakmp.ParseHeader(b)
	if err != nil {
		return err
	}
	if h.Flags&isakmp.FlagEncryption != 0 {
		return nil
	}
	ps, _, err := isakmp.ParsePayloads(h.NextPayload, b[isakmp.HeaderSize:])
	if err != nil {
		return err
	}
	for _, p := range ps {
		if err := parseBody(p); err != nil {
			return err
		}
	}
	return nil
}

func parseBody(p isakmp.Payload) error {
	var err error
	switch p.Type {
	case isakmp.PayloadSA:
		var sa isakmp.SA
		sa, err = isakmp.ParseSA(p.Body)
		for _, proposal := range sa.Proposals {
			for _, t := range proposal.Transforms {
				if _, e := isakmp.ParsePhase1Offer(t); proposal.Protocol == isakmp.ProtocolISAKMP && e != nil {
					err = e
				}
				if _, e := isakmp.ParsePhase2Offer(t); proposal.Protocol == isakmp.ProtocolESP && e != nil {
					err = e
				}
			}
		}
	case isakmp.PayloadID:
		_, err = isakmp.ParseID(p.Body)
	case isakmp.PayloadNotification:
		_, err = isakmp.ParseNotification(p.Body)
	case isakmp.PayloadDelete:
		_, err = isakmp.ParseDelete(p.Body)
	case isakmp.PayloadVendorID:
		isakmp.ParseVendorID(p.Body)
	default:
	}
	return err
}

// TestCaptures parses captures that once crashed other programs, and healthy ones for comparison: two Cisco
// routers, and IKEv2, whose payloads are not ours. Besides the messages themselves, every suffix of every packet
// goes through every parser.
func TestCaptures(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]string{
		"isakmp-delete-segfault.pcap": {"ISAKMP header: Length at offset 28: says 1126274970 bytes, the datagram has 639"},
		// What other programs choked on is well-formed: a name of 248 zero bytes. No exchange begins with it.
		"isakmp-identification-segfault.pcap": {ok},
		"isakmpv1-attr-oobr.pcap":             {"ISAKMP header: Length at offset 28: says 4293885728 bytes, the datagram has 45"},
		"isakmp-rfc3948-oobr.pcap":            {}, // frames cut behind the UDP header
		"ISAKMP_sa_setup.pcap":                {ok, ok, ok, ok, ok, ok, ok, ok, ok},
		"ikev2-id-normal.pcap":                {"ISAKMP payloads: unknown payload type 35 at offset 0 (RFC 2408, 3.1)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := []string{}
			for _, packet := range packets(t, name) {
				if message, ok := isakmpMessage(packet); ok {
					got = append(got, fmt.Sprint(parseAll(message)))
				}
				everyParser(packet)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("errors of the messages (-want +got):\n%s", diff)
			}
		})
	}
}

// everyParser feeds every suffix of b to every parser. What it looks for is a panic.
func everyParser(b []byte) {
	for ; len(b) > 0; b = b[1:] {
		_ = parseAll(b)
		for first := range 256 {
			if ps, _, err := isakmp.ParsePayloads(isakmp.PayloadType(first), b); err == nil && len(ps) > 0 {
				_ = isakmp.Covered(b, ps)
			}
		}
		for _, t := range []isakmp.PayloadType{isakmp.PayloadSA, isakmp.PayloadID, isakmp.PayloadNotification, isakmp.PayloadDelete, isakmp.PayloadVendorID} {
			_ = parseBody(isakmp.Payload{Type: t, Body: b})
		}
	}
}

package isakmp_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"meshrouter/ike/isakmp"
	"meshrouter/internal/wire"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestOfferOrder builds the offers of isakmpd's defaults and compares them with the bytes it sends (isakmpd-wire.md, 2).
func TestOfferOrder(t *testing.T) {
	t.Parallel()
	phase1 := isakmp.Phase1Offer{
		Encryption: isakmp.AESCBC, KeyLength: 128, Hash: isakmp.SHA1, Auth: isakmp.PreSharedKey, Group: isakmp.MODP1024,
		Life: isakmp.Lifetime{Seconds: 86400},
	}
	phase2 := isakmp.Phase2Offer{
		Transform: isakmp.ESPAES, KeyLength: 256, Auth: isakmp.HMACSHA, Group: isakmp.MODP1024, Encapsulation: isakmp.Tunnel,
		Life: isakmp.Lifetime{Seconds: 1200, Kilobytes: 100000},
	}
	for _, test := range []struct {
		proposal isakmp.Proposal
		want     string
	}{
		{
			isakmp.Proposal{Number: 1, Protocol: isakmp.ProtocolISAKMP, Transforms: []isakmp.Transform{{ID: isakmp.TransformKeyIKE, Attributes: phase1.Attributes()}}},
			"00000001 00000001 00000030 01010001 00000028 00010000 80010007 80020002 80030001 80040002 800b0001 000c0004 00015180 800e0080",
		},
		{
			isakmp.Proposal{Number: 1, Protocol: isakmp.ProtocolESP, SPI: []byte{1, 2, 3, 4}, Transforms: []isakmp.Transform{{Number: 1, ID: uint8(isakmp.ESPAES), Attributes: phase2.Attributes()}}},
			"00000001 00000001 00000038 01030401 01020304 0000002c 010c0000 80010001 800204b0 80010002 00020004 000186a0 80040001 80050002 80030002 80060100",
		},
	} {
		sa := isakmp.SA{DOI: isakmp.DOIIPsec, Situation: isakmp.SituationIdentityOnly, Proposals: []isakmp.Proposal{test.proposal}}
		got := sa.Append(nil)
		if want := unhex(t, test.want); !bytes.Equal(got, want) {
			t.Errorf("SA payload\n%x, want\n%x", got, want)
			continue
		}
		parsed, err := isakmp.ParseSA(got)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		transform := parsed.Proposals[0].Transforms[0]
		if test.proposal.Protocol == isakmp.ProtocolISAKMP {
			o, err := isakmp.ParsePhase1Offer(transform)
			if diff := cmp.Diff(phase1, o); diff != "" || err != nil {
				t.Errorf("phase 1 offer: %v, %s", err, diff)
			}
			continue
		}
		o, err := isakmp.ParsePhase2Offer(transform)
		if diff := cmp.Diff(phase2, o); diff != "" || err != nil {
			t.Errorf("phase 2 offer: %v, %s", err, diff)
		}
	}
}

// TestOfferRefused has what a transform must not say.
func TestOfferRefused(t *testing.T) {
	t.Parallel()
	number := isakmp.NewAttribute
	for _, test := range []struct {
		name   string
		phase1 []isakmp.Attribute
		want   string
	}{
		{"twice", []isakmp.Attribute{number(1, 5), number(1, 7)}, "encryption algorithm stands twice"},
		{"too large", []isakmp.Attribute{number(2, 0x10002)}, "hash algorithm: a value of 4 bytes"},
		{"odd length", []isakmp.Attribute{{Type: 4, Data: []byte{2}}}, "group description: a value of 1 bytes"},
		{"duration without type", []isakmp.Attribute{number(12, 3600)}, "without its life type"},
		{"type used up", []isakmp.Attribute{number(11, 1), number(12, 3600), number(12, 3600)}, "without its life type"},
		{"duration twice", []isakmp.Attribute{number(11, 1), number(12, 3600), number(11, 1), number(12, 3601)}, "stands twice"},
		{"duration zero", []isakmp.Attribute{number(11, 1), number(12, 0)}, "0 seconds"},
		{"duration of 8 bytes", []isakmp.Attribute{number(11, 1), {Type: 12, Data: make([]byte, 8)}}, "8 bytes, want 2 or 4"},
		{"life type 3", []isakmp.Attribute{number(11, 3), number(12, 3600)}, "life type is 11=3"},
	} {
		_, err := isakmp.ParsePhase1Offer(isakmp.Transform{ID: 1, Attributes: test.phase1})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.want)
		}
	}
	o, err := isakmp.ParsePhase2Offer(isakmp.Transform{ID: 3, Attributes: []isakmp.Attribute{number(4, 1), number(11, 1), {Type: 9, Data: []byte("x")}}})
	if err != nil || len(o.Unknown) != 2 || o.Unknown[0].String() != "11=1" || o.Unknown[1].String() != "9=0x78" {
		t.Errorf("unknown attributes %v, %v", o.Unknown, err)
	}
	// A duration of two bytes may stand in the long form.
	o, err = isakmp.ParsePhase2Offer(isakmp.Transform{ID: 3, Attributes: []isakmp.Attribute{number(1, 1), {Type: 2, Data: []byte{4, 0xb0}}}})
	if err != nil || o.Life.Seconds != 1200 {
		t.Errorf("lifetime %+v, %v", o.Life, err)
	}
}

// TestSame compares an answer with an offer as an initiator must.
func TestSame(t *testing.T) {
	t.Parallel()
	number := isakmp.NewAttribute
	offer := isakmp.Transform{Number: 0, ID: 1, Attributes: []isakmp.Attribute{number(1, 5), number(2, 2), number(11, 1), number(12, 3600), number(11, 2), number(12, 1000)}}
	same := isakmp.Transform{Number: 1, ID: 1, Attributes: []isakmp.Attribute{
		number(2, 2), number(11, 1), {Type: 12, Data: []byte{0, 0, 0x0e, 0x10}}, number(11, 2), number(12, 1000), number(1, 5),
	}}
	if !offer.Same(same) || !same.Same(offer) {
		t.Error("a reordered and renumbered answer is not the same")
	}
	for name, change := range map[string]func(*isakmp.Transform){
		"id":            func(t *isakmp.Transform) { t.ID = 2 },
		"value":         func(t *isakmp.Transform) { t.Attributes[0] = number(1, 7) },
		"missing":       func(t *isakmp.Transform) { t.Attributes = t.Attributes[:5] },
		"extra":         func(t *isakmp.Transform) { t.Attributes = append(t.Attributes, number(14, 128)) },
		"life swapped":  func(t *isakmp.Transform) { t.Attributes[3], t.Attributes[5] = t.Attributes[5], t.Attributes[3] },
		"not a number":  func(t *isakmp.Transform) { t.Attributes[0] = isakmp.Attribute{Type: 1, Data: []byte{5}} },
		"type replaced": func(t *isakmp.Transform) { t.Attributes[0] = number(3, 5) },
	} {
		other := isakmp.Transform{Number: offer.Number, ID: offer.ID, Attributes: append([]isakmp.Attribute(nil), offer.Attributes...)}
		if change(&other); offer.Same(other) {
			t.Errorf("%s: still the same", name)
		}
	}
}

// TestMalformed has one broken message for each rule; the error must name payload and field.
func TestMalformed(t *testing.T) {
	t.Parallel()
	header := "b26b8da23f721c08 0000000000000000 01 10 02 00 00000000"
	sa := func(b []byte) error { _, err := isakmp.ParseSA(b); return err }
	id := func(b []byte) error { _, err := isakmp.ParseID(b); return err }
	notification := func(b []byte) error { _, err := isakmp.ParseNotification(b); return err }
	del := func(b []byte) error { _, err := isakmp.ParseDelete(b); return err }
	head := func(b []byte) error { _, err := isakmp.ParseHeader(b); return err }
	chain := func(b []byte) error { _, _, err := isakmp.ParsePayloads(isakmp.PayloadNonce, b); return err }
	const doi = "00000001 00000001"
	for _, test := range []struct {
		name  string
		parse func([]byte) error
		bytes string
		want  string
	}{
		{"header too short", head, "b26b8da23f721c08 00000000", "ISAKMP header: Responder Cookie at offset 8"},
		{"length too long", head, header + "0000001d", "Length at offset 28: says 29 bytes, the datagram has 28"},
		{"length too short", head, header + "0000001c ff", "says 28 bytes, the datagram has 29"},
		{"length absurd", head, header + "ffffffff", "says 4294967295 bytes"},

		{"no payload", chain, "", "Next Payload at offset 0"},
		{"reserved byte", chain, "00 01 0004", "RESERVED"},
		{"length 3", chain, "00 00 0003", "Payload Length"},
		{"length 0", chain, "0a 00 0000", "Payload Length"},
		{"payload cut", chain, "00 00 0008 010203", "payload at offset 4: need 4 bytes, have 3"},
		{"chain cut", chain, "0a 00 0004", "Next Payload at offset 4"},
		{"65 payloads", chain, strings.Repeat("0a000004", 64) + "00000004", "more than 64 payloads"},

		{"other DOI", sa, "00000002 00000001", "DOI 2"},
		{"secrecy", sa, "00000001 00000003", "situation 0x3"},
		{"no proposal", sa, doi, "SA payload: Next Payload at offset 8"},
		{"transform for proposal", sa, doi + "0300 0010 01010001 0000 0008 00010000 00000004", "is T inside an SA payload"},
		{"no transforms", sa, doi + "0000 0008 01010000", "# of Transforms"},
		{"SPI too long", sa, doi + "0000 001d 01031101 " + strings.Repeat("00", 17) + "00000004", "SPI Size"},
		{"SPI cut", sa, doi + "0000 000a 01030401 0102", "SPI at offset 8: need 4 bytes, have 2"},
		{"one transform less", sa, doi + "0000 0010 01010002 0300 0008 00010000", "Next Payload at offset 16"},
		{"chain says last", sa, doi + "0000 0018 01010002 0000 0008 00010000 0000 0008 00010000", "is none in transform 1 of 2"},
		{"chain says more", sa, doi + "0000 0010 01010001 0300 0008 00010000", "is T in transform 1 of 1"},
		{"bytes behind transforms", sa, doi + "0000 0012 01010001 0000 0008 00010000 0000", "2 bytes after the last transform"},
		{"bytes behind proposals", sa, doi + "0000 0010 01010001 0000 0008 00010000 00", "1 bytes after the last proposal"},
		{"RESERVED2", sa, doi + "0000 0010 01010001 0000 0008 00010001", "RESERVED2"},
		{"transform too short", sa, doi + "0000 000e 01010001 0000 0006 0001", "RESERVED2"},
		{"attribute past the transform", sa, doi + "0000 0014 01010001 0000 000c 00010000 0001ffff", "Attribute Value at offset 12: need 65535 bytes, have 0"},
		{"attribute cut", sa, doi + "0000 0012 01010001 0000 000a 00010000 8001", "Attribute Value"},
		{"33 attributes", sa, doi + "0000 0094 01010001 0000 008c 00010000" + strings.Repeat("80010001", 33), "more than 32 attributes"},
		{"33 proposals", sa, doi + strings.Repeat("0200 0010 01010001 0000 0008 00010000", 32) + "0000 0010 01010001 0000 0008 00010000", "more than 32 proposals"},

		{"ID too short", id, "01 11", "ID payload: Port"},
		{"address of 3 bytes", id, "01 00 0000 c00002", "IPV4_ADDR with 3 bytes"},
		{"mask missing", id, "04 00 0000 c0000201", "IPV4_ADDR_SUBNET with 4 bytes"},
		{"IPv6 address of 4 bytes", id, "05 00 0000 c0000201", "IPV6_ADDR with 4 bytes"},
		{"IPv6 range of 16 bytes", id, "08 00 0000" + strings.Repeat("00", 16), "IPV6_ADDR_RANGE with 16 bytes"},
		{"empty name", id, "02 00 0000", "FQDN with 0 bytes"},

		{"notification cut", notification, "00000001 01 10 6002 00", "SPI at offset 8: need 16 bytes, have 1"},
		{"notification SPI too long", notification, "00000001 01 11 6002" + strings.Repeat("00", 17), "SPI Size"},

		{"delete cut", del, "00000001 03 04 0002 01020304", "2 SPIs of 4 bytes, have 4 bytes"},
		{"delete with more", del, "00000001 03 04 0001 01020304 05", "1 SPIs of 4 bytes, have 5 bytes"},
		{"delete of 65535 empty SPIs", del, "00000001 03 00 ffff", "SPI Size"},
		{"delete of 65535 long SPIs", del, "00000001 03 ff ffff", "SPI Size"},
	} {
		err := test.parse(unhex(t, test.bytes))
		var parse *wire.ParseError
		if !errors.As(err, &parse) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.want)
		}
	}
}

// TestUnknownPayload tells reserved payload types from malformed ones: isakmpd answers them differently.
func TestUnknownPayload(t *testing.T) {
	t.Parallel()
	for _, first := range []isakmp.PayloadType{isakmp.PayloadProposal, isakmp.PayloadTransform, 17, 22, 127} {
		_, _, err := isakmp.ParsePayloads(first, []byte{0, 0, 0, 4})
		var unknown *isakmp.UnknownPayloadError
		if !errors.As(err, &unknown) || unknown.Type != first || unknown.Offset != 0 {
			t.Errorf("payload type %d: error %v", first, err)
		}
	}
	_, _, err := isakmp.ParsePayloads(isakmp.PayloadNonce, []byte{99, 0, 0, 5, 1, 0, 0, 0, 4})
	if err == nil || err.Error() != "ISAKMP payloads: unknown payload type 99 at offset 5 (RFC 2408, 3.1)" {
		t.Errorf("second payload: error %v", err)
	}
	ps, rest, err := isakmp.ParsePayloads(isakmp.PayloadNATDDraft, []byte{0, 0, 0, 5, 1, 0, 0})
	if err != nil || len(ps) != 1 || len(rest) != 2 || !ps[0].Type.Private() {
		t.Errorf("a private payload: %v, rest %x, %v", ps, rest, err)
	}
	if ps, rest, err := isakmp.ParsePayloads(isakmp.PayloadNone, []byte{1}); err != nil || len(ps) != 0 || len(rest) != 1 || len(isakmp.Covered(rest, ps)) != 0 {
		t.Errorf("no payload: %v, rest %x, %v", ps, rest, err)
	}
}

// TestID converts identities to and from prefixes and prints them.
func TestID(t *testing.T) {
	t.Parallel()
	host := isakmp.AddrID(netip.MustParseAddr("192.0.2.1"))
	gre := isakmp.SubnetID(netip.MustParsePrefix("192.0.2.1/32"))
	gre.Protocol = 47
	for _, test := range []struct {
		id     isakmp.ID
		text   string
		prefix string // "": none
	}{
		{host, "192.0.2.1", "192.0.2.1/32"},
		{gre, "192.0.2.1/32 proto 47", "192.0.2.1/32"},
		{isakmp.SubnetID(netip.MustParsePrefix("10.1.0.0/16")), "10.1.0.0/16", "10.1.0.0/16"},
		{isakmp.SubnetID(netip.MustParsePrefix("0.0.0.0/0")), "0.0.0.0/0", "0.0.0.0/0"},
		{isakmp.ID{Type: isakmp.IDIPv4AddrSubnet, Data: []byte{10, 0, 0, 0, 255, 0, 255, 0}}, "IPV4_ADDR_SUBNET 0x0a000000ff00ff00", ""},
		{isakmp.ID{Type: isakmp.IDFQDN, Data: []byte("gw.example\n"), Protocol: 17, Port: 500}, `FQDN "gw.example\n" proto 17 port 500`, ""},
		{isakmp.ID{Type: isakmp.IDKeyID, Data: []byte{0xff}}, "KEY_ID 0xff", ""},
		{isakmp.ID{Type: 77, Data: []byte{1}}, "IDType(77) 0x01", ""},
	} {
		if got := test.id.String(); got != test.text {
			t.Errorf("identity %s, want %s", got, test.text)
		}
		p, ok := test.id.Prefix()
		if ok != (test.prefix != "") || ok && p.String() != test.prefix {
			t.Errorf("%s: prefix %v, %v, want %q", test.text, p, ok, test.prefix)
		}
		again, err := isakmp.ParseID(test.id.Append(nil))
		if diff := cmp.Diff(test.id, again); diff != "" || err != nil {
			t.Errorf("%s: parsed again: %v %s", test.text, err, diff)
		}
	}
	for bits := range 33 {
		p := netip.PrefixFrom(netip.MustParseAddr("255.255.255.255"), bits).Masked()
		if got, ok := isakmp.SubnetID(p).Prefix(); !ok || got != p {
			t.Errorf("%s became %s, %v", p, got, ok)
		}
	}
}

// TestVendors recognises every vendor id that we know of, and only whole ones where no version may follow.
func TestVendors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		hex    string
		vendor isakmp.Vendor
		name   string
	}{
		{"9826c552791aa1800ca6ff33aaf1e83b", isakmp.VendorOpenBSD, "OpenBSD"},
		{"6c0dcd481deae8ae0b0a68384b3072f9", isakmp.VendorOpenBSD, "OpenBSD"},
		{"90cb80913ebb696e086381b5ec427b1f", isakmp.VendorNATT02Newline, `draft-ietf-ipsec-nat-t-ike-02\n`},
		{"7d9419a65310ca6f2c179d9215529d56", isakmp.VendorNATT03, "draft-ietf-ipsec-nat-t-ike-03"},
		{"4a131c81070358455c5728f20e95452f", isakmp.VendorNATT, "RFC 3947"},
		{"afcad71368a1f1c96b8696fc77570100", isakmp.VendorDPD, "DPD (RFC 3706)"},
		{"4a4340b543e02b84c88a8b96a8af9ebe77d9accc 0000000b 00000500", isakmp.VendorNetScreen, "NetScreen"},
		{"48656172744265 61745f4e6f74696679 386b0100", isakmp.VendorHeartbeatNotify, "HeartBeat_Notify"},
		{"4048b7d56ebce88525e7de7f00d6c2d3 80000000", isakmp.VendorFragmentation, "FRAGMENTATION"},
		{"09002689dfd6b712", isakmp.VendorXAUTH, "XAUTH"},
		{"882fe56d6fd20dbc2251613b2ebe5beb", isakmp.VendorStrongSwan, "strongSwan"},
		{"afcad71368a1f1c96b8696fc7757010000", isakmp.UnknownVendor, "unknown"},
		{"afcad71368a1f1c96b8696fc775701", isakmp.UnknownVendor, "unknown"},
		{"", isakmp.UnknownVendor, "unknown"},
	} {
		if got := isakmp.ParseVendorID(unhex(t, test.hex)); got != test.vendor || got.String() != test.name {
			t.Errorf("%s: %v, want %s", test.hex, got, test.name)
		}
	}
	for v := isakmp.VendorOpenBSD; v <= isakmp.VendorCiscoUnity; v++ {
		if p := v.VendorID(); p.Type != isakmp.PayloadVendorID || isakmp.ParseVendorID(p.Body) != v {
			t.Errorf("%s: its own vendor id %x is not recognised", v, p.Body)
		}
	}
	if p := isakmp.UnknownVendor.VendorID(); len(p.Body) != 0 {
		t.Errorf("unknown vendor announces itself with %x", p.Body)
	}
}

// TestNames prints some numbers of each registry, and one that is not in it.
func TestNames(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		got  interface{ String() string }
		want string
	}{
		{isakmp.IdentityProtection, "main mode"}, {isakmp.QuickMode, "quick mode"}, {isakmp.ExchangeType(99), "ExchangeType(99)"},
		{isakmp.PayloadNotification, "N"}, {isakmp.PayloadNATDDraft, "NAT-D (draft)"}, {isakmp.PayloadType(99), "PayloadType(99)"},
		{isakmp.TripleDESCBC, "3des-cbc"}, {isakmp.AESCBC, "aes-cbc"}, {isakmp.SHA2_256, "sha2-256"}, {isakmp.MODP3072, "modp3072"},
		{isakmp.NoGroup, "none"}, {isakmp.PreSharedKey, "pre-shared key"}, {isakmp.IDIPv4AddrSubnet, "IPV4_ADDR_SUBNET"},
		{isakmp.ESP3DES, "3des"}, {isakmp.ESPAESGCM16, "aes-gcm-16"}, {isakmp.HMACSHA, "hmac-sha1"}, {isakmp.UDPTunnelDraft, "udp-encap-tunnel (draft)"},
		{isakmp.NoProposalChosen, "NO-PROPOSAL-CHOSEN"}, {isakmp.InitialContact, "INITIAL-CONTACT"}, {isakmp.RUThereAck, "R-U-THERE-ACK"},
		{isakmp.NotifyType(12345), "NotifyType(12345)"}, {isakmp.Kilobytes, "kilobytes"}, {isakmp.Cookie{0xab, 7: 1}, "ab00000000000001"},
	} {
		if got := test.got.String(); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
	if !isakmp.NoProposalChosen.IsError() || isakmp.InitialContact.IsError() || isakmp.NotifyType(math.MaxUint16).IsError() {
		t.Error("error notifications are 1 to 8191")
	}
}

// TestHashes compares sizes, and that an unknown hash has none.
func TestHashes(t *testing.T) {
	t.Parallel()
	for h, want := range map[isakmp.Hash]int{isakmp.MD5: 16, isakmp.SHA1: 20, isakmp.SHA2_256: 32, isakmp.SHA2_384: 48, isakmp.SHA2_512: 64, isakmp.Tiger: 0, 0: 0} {
		if h.Size() != want || h.Known() != (want > 0) || (h.New() == nil) != (want == 0) {
			t.Errorf("%s: size %d, known %v, want %d", h, h.Size(), h.Known(), want)
		}
	}
}

package isakmp_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"meshrouter/ike/isakmp"
	"meshrouter/internal/recordings"
)

// payloadNames are the recordings' names of the payload types.
var payloadNames = map[isakmp.PayloadType]string{
	isakmp.PayloadSA: "SA", isakmp.PayloadKE: "KE", isakmp.PayloadID: "ID", isakmp.PayloadHash: "HASH", isakmp.PayloadNonce: "NONCE",
	isakmp.PayloadNotification: "N", isakmp.PayloadDelete: "D", isakmp.PayloadVendorID: "VID", isakmp.PayloadNATD: "NAT-D",
}

// TestRecordings compares every message and every payload of the recordings with what another program
// dissected, and appends each again byte for byte.
func TestRecordings(t *testing.T) {
	t.Parallel()
	payloads, emptySA := 0, 0
	for _, r := range recordings.Isakmpd(t) {
		for _, m := range r.Messages {
			where := fmt.Sprintf("%s frame %d", r.Scenario, m.Frame)
			ps := checkMessage(t, where, m)
			if len(ps) != len(m.Payloads) {
				t.Errorf("%s: %d payloads, want %d", where, len(ps), len(m.Payloads))
				continue
			}
			for i, p := range ps {
				payloads++
				if want := m.Payloads[i]; want.Type == "SA" && len(want.Proposals) == 0 {
					emptySA++
					if _, err := isakmp.ParseSA(p.Body); err == nil {
						t.Errorf("%s: an SA payload without proposals was taken", where)
					}
					continue
				}
				checkPayload(t, fmt.Sprintf("%s payload %d", where, i+1), p, m.Payloads[i])
			}
		}
	}
	t.Logf("%d payloads, %d SA payloads without proposals", payloads, emptySA)
	if payloads < 2000 || emptySA != 4+2 {
		t.Errorf("%d payloads, %d SA payloads without proposals, want more than 2000 and 6 (quick-mode-early, both-active)", payloads, emptySA)
	}
}

// checkMessage compares header and chain of m and returns its payloads, in clear.
func checkMessage(t *testing.T, where string, m recordings.Message) []isakmp.Payload {
	t.Helper()
	h, err := isakmp.ParseHeader(m.IKE)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return nil
	}
	exchange := map[string]isakmp.ExchangeType{
		"main": isakmp.IdentityProtection, "aggressive": isakmp.Aggressive, "quick": isakmp.QuickMode, "informational": isakmp.Informational,
	}[m.Exchange]
	want := isakmp.Header{
		InitiatorCookie: isakmp.Cookie(m.InitiatorCookie), ResponderCookie: isakmp.Cookie(m.ResponderCookie),
		NextPayload: h.NextPayload, Version: m.Version, Exchange: exchange, Flags: isakmp.Flags(m.Flags),
		MessageID: binary.BigEndian.Uint32(m.MessageID), Length: m.Length,
	}
	if h != want || h.Version != isakmp.Version1 || payloadNames[h.NextPayload] != m.Payloads[0].Type {
		t.Errorf("%s: header %+v, want %+v", where, h, want)
	}
	if got := h.Append(nil); !bytes.Equal(got, m.IKE[:isakmp.HeaderSize]) {
		t.Errorf("%s: header appended as %x, want %x", where, got, m.IKE[:isakmp.HeaderSize])
	}
	clear := []byte(m.IKE[isakmp.HeaderSize:])
	if m.Encrypted() {
		clear = m.Plaintext
	}
	ps, rest, err := isakmp.ParsePayloads(h.NextPayload, clear)
	if err != nil || !bytes.Equal(rest, m.Padding) {
		t.Errorf("%s: %v, padding %x, want %x", where, err, rest, m.Padding)
		return nil
	}
	first, again := isakmp.AppendPayloads(nil, ps)
	if first != h.NextPayload || !bytes.Equal(append(again, rest...), clear) {
		t.Errorf("%s: payloads appended as %x, want %x", where, again, clear)
	}
	if !m.Encrypted() {
		if again := h.Message(ps...); !bytes.Equal(again, m.IKE) {
			t.Errorf("%s: message assembled as %x, want %x", where, again, m.IKE)
		}
	}
	return ps
}

func checkPayload(t *testing.T, where string, p isakmp.Payload, want recordings.Payload) {
	t.Helper()
	if payloadNames[p.Type] != want.Type || len(p.Raw) != want.Length || len(p.Body)+isakmp.GenericHeaderSize != want.Length {
		t.Errorf("%s: %s of %d bytes, want %s of %d", where, p.Type, len(p.Raw), want.Type, want.Length)
		return
	}
	var got, expected string
	var again []byte
	var err error
	switch p.Type {
	case isakmp.PayloadSA:
		var sa isakmp.SA
		sa, err = isakmp.ParseSA(p.Body)
		got, expected, again = describeSA(sa), describeRecorded(want), sa.Append(nil)
		for _, proposal := range sa.Proposals {
			checkOffers(t, where, proposal)
		}
	case isakmp.PayloadID:
		var id isakmp.ID
		id, err = isakmp.ParseID(p.Body)
		got = fmt.Sprintf("%d %d %d %x", id.Type, id.Protocol, id.Port, id.Data)
		expected = fmt.Sprintf("%d %d %d %x", want.IDType, want.Protocol, want.Port, []byte(want.Data))
		again = id.Append(nil)
		if address, _, _ := strings.Cut(want.Text, "/"); !strings.Contains(id.String(), address) {
			t.Errorf("%s: identity %s, want %s", where, id, want.Text)
		}
	case isakmp.PayloadNotification:
		var n isakmp.Notification
		n, err = isakmp.ParseNotification(p.Body)
		got = fmt.Sprintf("%d %d %x %d %s %x", n.DOI, n.Protocol, n.SPI, n.Type, n.Type, n.Data)
		expected = fmt.Sprintf("%d %d %x %d %s %x", want.DOI, want.Protocol, []byte(want.SPI), want.Notify, want.Name, []byte(want.Data))
		again = n.Append(nil)
	case isakmp.PayloadDelete:
		var d isakmp.Delete
		d, err = isakmp.ParseDelete(p.Body)
		got, expected = fmt.Sprintf("%d %d %x", d.DOI, d.Protocol, d.SPIs), fmt.Sprintf("%d %d %x", want.DOI, want.Protocol, want.SPIs)
		again = d.Append(nil)
	case isakmp.PayloadVendorID:
		v := isakmp.ParseVendorID(p.Body)
		got, expected = fmt.Sprintf("%x", p.Body), fmt.Sprintf("%x", []byte(want.VID))
		if name, _, _ := strings.Cut(v.String(), " "); !strings.HasPrefix(want.Name, name) {
			t.Errorf("%s: vendor %s, want %s", where, v, want.Name)
		}
		again = p.Body
	default: // KE, NONCE, NAT-D, HASH: the body is the data
		got, expected, again = fmt.Sprintf("%x", p.Body), fmt.Sprintf("%x", []byte(want.Data)), p.Body
	}
	if err != nil || got != expected {
		t.Errorf("%s: %v\n got %s\nwant %s", where, err, got, expected)
	}
	if !bytes.Equal(again, p.Body) {
		t.Errorf("%s: appended as %x, want %x", where, again, p.Body)
	}
}

func describeSA(sa isakmp.SA) string {
	s := fmt.Sprintf("doi %d situation %d", sa.DOI, sa.Situation)
	for _, p := range sa.Proposals {
		s += fmt.Sprintf("\n proposal %d protocol %d spi %x", p.Number, p.Protocol, p.SPI)
		for _, t := range p.Transforms {
			s += fmt.Sprintf("\n  transform %d id %d", t.Number, t.ID)
			for _, a := range t.Attributes {
				v, _ := a.Uint32()
				s += fmt.Sprintf(" %d=%d basic:%v", a.Type, v, a.Basic)
			}
		}
	}
	return s
}

func describeRecorded(sa recordings.Payload) string {
	s := fmt.Sprintf("doi %d situation %d", sa.DOI, sa.Situation)
	for _, p := range sa.Proposals {
		s += fmt.Sprintf("\n proposal %d protocol %d spi %x", p.Number, p.Protocol, []byte(p.SPI))
		for _, t := range p.Transforms {
			s += fmt.Sprintf("\n  transform %d id %d", t.Number, t.ID)
			for _, a := range t.Attributes {
				s += fmt.Sprintf(" %d=%d basic:%v", a.Type, a.Value, a.Form == "basic")
			}
		}
	}
	return s
}

// checkOffers parses the transforms as offers. What isakmpd wrote, which begins with the attributes in its own
// order, must come out of Attributes again as it was.
func checkOffers(t *testing.T, where string, p isakmp.Proposal) {
	t.Helper()
	for _, transform := range p.Transforms {
		var again []isakmp.Attribute
		var unknown []isakmp.Attribute
		switch p.Protocol {
		case isakmp.ProtocolISAKMP:
			o, err := isakmp.ParsePhase1Offer(transform)
			if err != nil || o.Encryption == 0 || o.Hash == 0 || o.Auth == 0 || o.Group == 0 || o.Life.Seconds == 0 {
				t.Errorf("%s: offer %+v, %v", where, o, err)
			}
			again, unknown = o.Attributes(), o.Unknown
		case isakmp.ProtocolESP:
			o, err := isakmp.ParsePhase2Offer(transform)
			if err != nil || o.Transform == 0 || o.Encapsulation == 0 || o.Auth == 0 || o.Life.Seconds == 0 {
				t.Errorf("%s: offer %+v, %v", where, o, err)
			}
			again, unknown = o.Attributes(), o.Unknown
		}
		if len(unknown) > 0 {
			t.Errorf("%s: unknown attributes %v", where, unknown)
		}
		listed := isakmp.Transform{Number: 99, ID: transform.ID, Attributes: again}
		if !listed.Same(transform) {
			t.Errorf("%s: offer listed as %v, want %v", where, again, transform.Attributes)
		}
		isakmpdOrder := slices.IsSortedFunc(transform.Attributes, func(a, b isakmp.Attribute) int { return order(p.Protocol, a) - order(p.Protocol, b) })
		if isakmpdOrder && fmt.Sprint(again) != fmt.Sprint(transform.Attributes) {
			t.Errorf("%s: offer listed as %v, want %v", where, again, transform.Attributes)
		}
	}
}

// order is the place of an attribute in isakmpd's lists (isakmpd-wire.md, 2).
func order(protocol uint8, a isakmp.Attribute) int {
	if protocol == isakmp.ProtocolISAKMP {
		return slices.Index([]uint16{1, 2, 3, 4, 11, 12, 14}, a.Type)
	}
	return slices.Index([]uint16{1, 2, 4, 5, 3, 6}, a.Type)
}

// TestNATD recomputes every NAT-D payload: the receiver's address first, then the sender's, which does not fit
// where strongSwan pretends to be behind a NAT (isakmpd-wire.md, 1).
func TestNATD(t *testing.T) {
	t.Parallel()
	checked, faked := 0, 0
	for _, r := range recordings.Isakmpd(t) {
		for _, m := range r.Messages {
			var got [][]byte
			for _, p := range m.Payloads {
				if p.Type == "NAT-D" {
					got = append(got, p.Data)
				}
			}
			if len(got) == 0 {
				continue
			}
			i, r2 := isakmp.Cookie(m.InitiatorCookie), isakmp.Cookie(m.ResponderCookie)
			if want := isakmp.NATD(isakmp.SHA1, i, r2, m.To()); len(got) != 2 || !bytes.Equal(got[0], want) {
				t.Errorf("%s frame %d: NAT-D %x, want %x of the receiver first", r.Scenario, m.Frame, got, want)
			}
			checked++
			if want := isakmp.NATD(isakmp.SHA1, i, r2, m.From()); !bytes.Equal(got[1], want) {
				faked++
				if !strings.HasSuffix(r.Scenario, "-natt") || r.Hosts[m.Src.String()] == "isakmpd" {
					t.Errorf("%s frame %d: NAT-D %x, want %x of the sender second", r.Scenario, m.Frame, got, want)
				}
			}
		}
	}
	if checked < 80 || faked != 2 {
		t.Errorf("%d messages with NAT-D, %d with a wrong sender, want more than 80 and 2", checked, faked)
	}
}

// TestStrongSwanSessions splits every clear message of strongSwan's sessions and appends it again.
func TestStrongSwanSessions(t *testing.T) {
	t.Parallel()
	for _, s := range recordings.StrongSwan(t) {
		clear := 0
		for i, p := range s.Packets {
			if p.Kind != "ike" {
				continue
			}
			h, err := isakmp.ParseHeader(p.Data)
			if err != nil {
				t.Errorf("%s packet %d: %v", s.Name, i+1, err)
				continue
			}
			if h.Flags&isakmp.FlagEncryption != 0 {
				continue
			}
			clear++
			ps, rest, err := isakmp.ParsePayloads(h.NextPayload, p.Data[isakmp.HeaderSize:])
			if err != nil || len(rest) != 0 || !bytes.Equal(h.Message(ps...), p.Data) {
				t.Errorf("%s packet %d: %d payloads, rest %x, %v; or not the same again", s.Name, i+1, len(ps), rest, err)
			}
			for _, payload := range ps {
				if payload.Type == isakmp.PayloadVendorID && isakmp.ParseVendorID(payload.Body) == isakmp.UnknownVendor {
					t.Errorf("%s packet %d: vendor id %x is unknown", s.Name, i+1, payload.Body)
				}
			}
		}
		if clear < 2 {
			t.Errorf("%s: %d clear messages", s.Name, clear)
		}
	}
}

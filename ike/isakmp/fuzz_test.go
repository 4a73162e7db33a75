package isakmp_test

import (
	"bytes"
	"testing"

	"meshrouter/ike/isakmp"
	"meshrouter/internal/recordings"
)

// seed adds the bodies of all recorded payloads of a type.
func seed(f *testing.F, want isakmp.PayloadType) {
	f.Helper()
	for _, r := range recordings.Isakmpd(f, "main-quick", "aes", "pfs", "proxy-net", "id-fqdn", "long-lifetime", "dpd-dead-peer", "swan-initiator-many-proposals") {
		for _, m := range r.Messages {
			clear := []byte(m.IKE[isakmp.HeaderSize:])
			if m.Encrypted() {
				clear = m.Plaintext
			}
			ps, _, err := isakmp.ParsePayloads(isakmp.PayloadType(m.IKE[16]), clear)
			if err != nil {
				f.Fatal(err)
			}
			for _, p := range ps {
				if p.Type == want {
					f.Add(p.Body)
				}
			}
		}
	}
}

// FuzzHeader parses headers and appends them again.
func FuzzHeader(f *testing.F) {
	for _, m := range recordings.Isakmpd(f, "main-quick")[0].Messages {
		f.Add([]byte(m.IKE))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := isakmp.ParseHeader(b)
		if err == nil && !bytes.Equal(h.Append(nil), b[:isakmp.HeaderSize]) {
			t.Errorf("%x appended as %x", b[:isakmp.HeaderSize], h.Append(nil))
		}
	})
}

// FuzzPayloads splits chains, parses what they hold, and appends them again.
func FuzzPayloads(f *testing.F) {
	for _, m := range recordings.Isakmpd(f, "main-quick")[0].Messages {
		if m.Encrypted() {
			f.Add(m.IKE[16], []byte(m.Plaintext))
		} else {
			f.Add(m.IKE[16], []byte(m.IKE[isakmp.HeaderSize:]))
		}
	}
	f.Fuzz(func(t *testing.T, first uint8, b []byte) {
		ps, rest, err := isakmp.ParsePayloads(isakmp.PayloadType(first), b)
		if err != nil {
			return
		}
		next, again := isakmp.AppendPayloads(nil, ps)
		if uint8(next) != first || !bytes.Equal(append(again, rest...), b) {
			t.Errorf("%d %x appended as %d %x", first, b, next, again)
		}
		for _, p := range ps {
			_ = parseBody(p)
		}
		if len(ps) > 0 && len(ps[0].Raw)+len(isakmp.Covered(b, ps))+len(rest) != len(b) {
			t.Errorf("%x: covered %x", b, isakmp.Covered(b, ps))
		}
	})
}

// FuzzSA parses SA payloads and appends them again; what an offer says survives Attributes.
func FuzzSA(f *testing.F) {
	seed(f, isakmp.PayloadSA)
	f.Fuzz(func(t *testing.T, b []byte) {
		sa, err := isakmp.ParseSA(b)
		if err != nil {
			return
		}
		if again := sa.Append(nil); !bytes.Equal(again, b) {
			t.Errorf("%x appended as %x", b, again)
		}
		for _, p := range sa.Proposals {
			for _, transform := range p.Transforms {
				if !transform.Same(transform) {
					t.Errorf("%v differs from itself", transform)
				}
				o, err := isakmp.ParsePhase1Offer(transform)
				if err != nil {
					continue
				}
				again, err := isakmp.ParsePhase1Offer(isakmp.Transform{Attributes: o.Attributes()})
				if err != nil || again.Life != o.Life || again.Encryption != o.Encryption || again.Group != o.Group || len(again.Unknown) != len(o.Unknown) {
					t.Errorf("offer %+v became %+v, %v", o, again, err)
				}
			}
		}
	})
}

// FuzzID parses identities, prints them and appends them again.
func FuzzID(f *testing.F) {
	seed(f, isakmp.PayloadID)
	f.Fuzz(func(t *testing.T, b []byte) {
		id, err := isakmp.ParseID(b)
		if err != nil {
			return
		}
		if again := id.Append(nil); !bytes.Equal(again, b) {
			t.Errorf("%x appended as %x", b, again)
		}
		if p, ok := id.Prefix(); ok && id.Type == isakmp.IDIPv4AddrSubnet && !bytes.Equal(isakmp.SubnetID(p).Data, id.Data) {
			t.Errorf("%s became %s", id, isakmp.SubnetID(p))
		}
		if id.String() == "" {
			t.Errorf("%x prints as nothing", b)
		}
	})
}

// FuzzNotification parses notifications and appends them again.
func FuzzNotification(f *testing.F) {
	seed(f, isakmp.PayloadNotification)
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := isakmp.ParseNotification(b)
		if err == nil && !bytes.Equal(n.Append(nil), b) {
			t.Errorf("%x appended as %x", b, n.Append(nil))
		}
	})
}

// FuzzDelete parses deletes and appends them again. One without SPIs has no SPI size of its own.
func FuzzDelete(f *testing.F) {
	seed(f, isakmp.PayloadDelete)
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := isakmp.ParseDelete(b)
		if err == nil && len(d.SPIs) > 0 && !bytes.Equal(d.Append(nil), b) {
			t.Errorf("%x appended as %x", b, d.Append(nil))
		}
	})
}

// FuzzVendorID recognises vendor ids; no two vendors share a prefix.
func FuzzVendorID(f *testing.F) {
	seed(f, isakmp.PayloadVendorID)
	f.Fuzz(func(t *testing.T, b []byte) {
		v := isakmp.ParseVendorID(b)
		if v != isakmp.UnknownVendor && len(b) < 8 {
			t.Errorf("%x was taken for %s", b, v)
		}
	})
}

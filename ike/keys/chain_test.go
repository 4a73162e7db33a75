package keys

import (
	"bytes"
	"encoding/binary"
	"testing"

	"meshrouter/ike/isakmp"
	"meshrouter/internal/secret"
)

// testKeys are the keys of an ISAKMP SA of the suite.
func testKeys(tb testing.TB, s Suite) (*Keys, Exchange) {
	tb.Helper()
	x := Exchange{CookieI: isakmp.Cookie{1}, CookieR: isakmp.Cookie{2}, PublicI: []byte{3}, PublicR: []byte{4}, NonceI: []byte{5}, NonceR: []byte{6}}
	k, err := Derive(s, secret.Key("psk"), x, secret.Key("shared"))
	if err != nil {
		tb.Fatal(err)
	}
	return k, x
}

var suites = []Suite{
	{isakmp.TripleDESCBC, 0, isakmp.MD5}, {isakmp.TripleDESCBC, 0, isakmp.SHA1}, {isakmp.AESCBC, 128, isakmp.SHA1},
	{isakmp.AESCBC, 192, isakmp.SHA2_256}, {isakmp.AESCBC, 256, isakmp.SHA2_512},
}

// TestChain seals and opens messages of every length around a block, both ends following each other.
func TestChain(t *testing.T) {
	t.Parallel()
	for _, s := range suites {
		k, x := testKeys(t, s)
		ours, err := k.Phase1Chain(x)
		if err != nil {
			t.Fatal(err)
		}
		theirs := ours
		block := len(ours.IV())
		for n := 1; n <= 2*block+1; n++ {
			clear := bytes.Repeat([]byte{0xc1}, n)
			header := isakmp.Header{Version: isakmp.Version1, Exchange: isakmp.IdentityProtection, NextPayload: isakmp.PayloadID}
			sealed, next := ours.Seal(append(header.Append(nil), clear...))
			padded := (n + block - 1) / block * block
			h, err := isakmp.ParseHeader(sealed)
			if err != nil || len(sealed) != isakmp.HeaderSize+padded || h.Flags != isakmp.FlagEncryption {
				t.Fatalf("%v: %d bytes sealed as %d, flags %d, %v", s, n, len(sealed), h.Flags, err)
			}
			before := bytes.Clone(sealed)
			opened, after, err := theirs.Open(sealed)
			if want := append(clear, make([]byte, padded-n)...); err != nil || !bytes.Equal(opened, want) {
				t.Errorf("%v: opened %x, %v, want %x", s, opened, err, want)
			}
			if !bytes.Equal(sealed, before) {
				t.Errorf("%v: Open changed the message", s)
			}
			if !bytes.Equal(next.IV(), sealed[len(sealed)-block:]) || !bytes.Equal(after.IV(), next.IV()) {
				t.Errorf("%v: IVs %x and %x behind a message, want its last block", s, next.IV(), after.IV())
			}
			ours, theirs = next, after
		}
	}
}

// TestForgeryKeepsChain opens garbage, which must not put the chain out of step, and a good message after it.
func TestForgeryKeepsChain(t *testing.T) {
	t.Parallel()
	k, x := testKeys(t, suites[1])
	chain, err := k.Phase1Chain(x)
	if err != nil {
		t.Fatal(err)
	}
	sealed, _ := chain.Seal(append(isakmp.Header{}.Append(nil), "payloads"...))
	forged := append(bytes.Clone(sealed[:isakmp.HeaderSize]), "nonsense"...)
	if opened, _, err := chain.Open(forged); err != nil || string(opened) == "payloads" {
		t.Errorf("forged message opened as %x, %v", opened, err)
	}
	if opened, _, err := chain.Open(sealed); err != nil || string(opened) != "payloads" {
		t.Errorf("good message opened as %x, %v", opened, err)
	}
}

// TestOpenLengths refuses what is no sequence of blocks.
func TestOpenLengths(t *testing.T) {
	t.Parallel()
	for _, s := range suites {
		k, x := testKeys(t, s)
		chain, err := k.Phase1Chain(x)
		if err != nil {
			t.Fatal(err)
		}
		for n := range isakmp.HeaderSize + 40 {
			block := len(chain.IV())
			good := n > isakmp.HeaderSize && (n-isakmp.HeaderSize)%block == 0
			if _, next, err := chain.Open(make([]byte, n)); (err == nil) != good || !good && !bytes.Equal(next.IV(), chain.IV()) {
				t.Errorf("%v: message of %d bytes: %v", s, n, err)
			}
		}
	}
}

// TestNoKeysYet opens a message that comes before Diffie-Hellman is done.
func TestNoKeysYet(t *testing.T) {
	t.Parallel()
	var chain Chain
	if _, _, err := chain.Open(make([]byte, isakmp.HeaderSize+8)); err == nil {
		t.Error("the zero chain opened a message")
	}
}

// TestBadKeys makes chains of keys that were restored from somewhere and are damaged.
func TestBadKeys(t *testing.T) {
	t.Parallel()
	k, x := testKeys(t, suites[1])
	for name, damage := range map[string]func(*Keys){
		"key cut":        func(k *Keys) { k.EncryptionKey = k.EncryptionKey[:23] },
		"no key":         func(k *Keys) { k.EncryptionKey = nil },
		"other cipher":   func(k *Keys) { k.Suite.Encryption = isakmp.AESCBC; k.EncryptionKey = k.EncryptionKey[:9] },
		"unknown hash":   func(k *Keys) { k.Suite.Hash = 99 },
		"no hash at all": func(k *Keys) { k.Suite.Hash = 0 },
	} {
		damaged := *k
		damage(&damaged)
		if _, err := damaged.Phase1Chain(x); err == nil {
			t.Errorf("%s: no error from Phase1Chain", name)
		}
		if _, err := damaged.Phase2Chain(make([]byte, 8), 1); err == nil {
			t.Errorf("%s: no error from Phase2Chain", name)
		}
	}
}

// TestESPKeys cuts KEYMAT, and gives each direction other keys.
func TestESPKeys(t *testing.T) {
	t.Parallel()
	k, x := testKeys(t, suites[1])
	q := QuickMode{NonceI: x.NonceI, NonceR: x.NonceR}
	enc, mac, err := k.ESPKeys(q, 0x01020304, isakmp.ESP3DES, 0, isakmp.HMACSHA)
	if err != nil {
		t.Fatal(err)
	}
	if want := k.KEYMAT(q, isakmp.ProtocolESP, []byte{1, 2, 3, 4}, 44); !bytes.Equal(append(bytes.Clone(enc), mac...), want) || len(enc) != 24 {
		t.Errorf("keys %x %x, want %x", []byte(enc), []byte(mac), []byte(want))
	}
	first := k.prf(k.SKEYIDd, []byte{3, 1, 2, 3, 4}, x.NonceI, x.NonceR)
	if !bytes.Equal(enc[:20], first) {
		t.Errorf("KEYMAT begins with %x, want %x", []byte(enc[:20]), first)
	}
	for name, other := range map[string]func() (secret.Key, secret.Key, error){
		"other SPI": func() (secret.Key, secret.Key, error) {
			return k.ESPKeys(q, 0x01020305, isakmp.ESP3DES, 0, isakmp.HMACSHA)
		},
		"PFS": func() (secret.Key, secret.Key, error) {
			pfs := q
			pfs.Shared = secret.Key("g^xy")
			return k.ESPKeys(pfs, 0x01020304, isakmp.ESP3DES, 0, isakmp.HMACSHA)
		},
	} {
		if e, m, err := other(); err != nil || e.Equal(enc) || m.Equal(mac) {
			t.Errorf("%s: the same keys, %v", name, err)
		}
	}
	if _, _, err := k.ESPKeys(q, 1, isakmp.ESPDES, 0, isakmp.HMACSHA); err == nil {
		t.Error("DES: no error")
	}
}

// TestAgreement runs Diffie-Hellman in every group with exponents from a reader.
func TestAgreement(t *testing.T) {
	t.Parallel()
	for _, m := range groupTable {
		a, err := Generate(m.group, bytes.NewReader(bytes.Repeat([]byte{0x17}, m.exponent)))
		if err != nil {
			t.Fatal(err)
		}
		b, err := Generate(m.group, bytes.NewReader(bytes.Repeat([]byte{0x71}, m.exponent)))
		if err != nil {
			t.Fatal(err)
		}
		ab, err := a.Shared(b.Public())
		if err != nil {
			t.Fatal(err)
		}
		ba, err := b.Shared(a.Public())
		if err != nil || !ab.Equal(ba) || len(ab) != PublicSize(m.group) || a.Group() != m.group || ExponentSize(m.group) < 32 {
			t.Errorf("%s: %d bytes, the ends agree: %v, %v", m.group, len(ab), ab.Equal(ba), err)
		}
	}
}

// FuzzOpen opens whatever comes and parses it, as a responder does with a message that it cannot yet
// authenticate; what opens must seal to the same bytes.
func FuzzOpen(f *testing.F) {
	k, x := testKeys(f, suites[1])
	chain, err := k.Phase1Chain(x)
	if err != nil {
		f.Fatal(err)
	}
	id := isakmp.Payload{Type: isakmp.PayloadID, Body: isakmp.ID{Type: isakmp.IDFQDN, Data: []byte("gw.example")}.Append(nil)}
	sealed, _ := chain.Seal(isakmp.Header{Version: isakmp.Version1}.Message(id))
	f.Add(sealed)
	f.Fuzz(func(t *testing.T, message []byte) {
		h, err := isakmp.ParseHeader(message)
		if err != nil {
			return
		}
		clear, _, err := chain.Open(message)
		if err != nil {
			return
		}
		if ps, rest, err := isakmp.ParsePayloads(h.NextPayload, clear); err == nil && len(ps) > 0 {
			covered := isakmp.Covered(clear, ps)
			if len(ps[0].Raw)+len(covered)+len(rest) != len(clear) {
				t.Errorf("covered %d and padding %d of %d bytes", len(covered), len(rest), len(clear))
			}
		}
		again, _ := chain.Seal(append(bytes.Clone(message[:isakmp.HeaderSize]), clear...))
		again[19] = message[19]
		if !bytes.Equal(again, message) {
			t.Errorf("sealed as %x, want %x", again, message)
		}
	})
}

// TestHash3 has the zero byte in front that the other hashes do not have (RFC 2409, 5.5).
func TestHash3(t *testing.T) {
	t.Parallel()
	k, _ := testKeys(t, suites[1])
	mid := binary.BigEndian.AppendUint32(nil, 0xaca3ece0)
	if got, want := k.Hash3(0xaca3ece0, []byte("ni"), []byte("nr")), k.prf(k.SKEYIDa, append(append([]byte{0}, mid...), "ninr"...)); !Equal(got, want) {
		t.Errorf("HASH(3) %x, want %x", got, want)
	}
	if Equal(k.Hash1(1, nil), k.Hash1(2, nil)) || Equal(k.Hash2(1, []byte("n"), nil), k.Hash2(1, []byte("m"), nil)) {
		t.Error("message id or nonce is not hashed")
	}
}

package keys

import (
	"bytes"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"testing"

	"meshrouter/ike/isakmp"
	"meshrouter/internal/recordings"
	"meshrouter/internal/secret"
	"meshrouter/internal/testvectors"
)

// TestMODP runs every vector of modp.json: public values, shared secrets with and without leading zeros, refusals.
func TestMODP(t *testing.T) {
	t.Parallel()
	type hex = recordings.Hex
	var file struct {
		Groups map[string]struct{ Prime hex }
		Tests  []struct {
			Group  isakmp.Group
			XI     hex `json:"x_i"`
			XR     hex `json:"x_r"`
			PubI   hex `json:"pub_i"`
			PubR   hex `json:"pub_r"`
			Shared hex
			Note   string
		}
		Reject []struct {
			Group isakmp.Group
			Pub   hex `json:"bad_pub"`
			Why   string
		} `json:"reject_public"`
	}
	if err := json.Unmarshal(testvectors.Read(t, testvectors.Data(t, "nist/modp.json")), &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Tests) != 26 || len(file.Reject) != 18 {
		t.Fatalf("%d tests and %d refusals, want 26 and 18", len(file.Tests), len(file.Reject))
	}
	for _, m := range groupTable {
		if want := fmt.Sprintf("%x", []byte(file.Groups[fmt.Sprint(uint16(m.group))].Prime)); m.prime != want {
			t.Errorf("%s: prime %s, want %s", m.group, m.prime, want)
		}
	}
	for i, test := range file.Tests {
		for _, end := range []struct{ x, public, peer hex }{{test.XI, test.PubI, test.PubR}, {test.XR, test.PubR, test.PubI}} {
			k, err := NewPrivateKey(test.Group, end.x)
			if err != nil {
				t.Fatalf("test %d: %v", i, err)
			}
			if !bytes.Equal(k.Public(), end.public) {
				t.Errorf("test %d (%s): public value %x, want %x", i, test.Note, k.Public(), end.public)
			}
			shared, err := k.Shared(end.peer)
			if err != nil || !bytes.Equal(shared, test.Shared) {
				t.Errorf("test %d (%s): shared secret %x, %v, want %x", i, test.Note, []byte(shared), err, test.Shared)
			}
		}
	}
	for _, test := range file.Reject {
		k, err := Generate(test.Group, bytes.NewReader(bytes.Repeat([]byte{7}, 64)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Shared(test.Pub); !errors.Is(err, ErrPublicValue) {
			t.Errorf("%s, %s: error %v, want ErrPublicValue", test.Group, test.Why, err)
		}
	}
}

// TestIKEKDF runs the IKEv1 samples of ike-kdf.json.
func TestIKEKDF(t *testing.T) {
	t.Parallel()
	type hex = recordings.Hex
	var file struct {
		Tests []struct {
			ID         int
			Hash, Kind string
			PSK        hex `json:"psk"`
			NI, NR     hex
			SKEYID     hex
			SKEYIDe    hex `json:"skeyid_e"`
			Prev       hex
			GXY        hex
			CookieI    hex `json:"cky_i"`
			CookieR    hex `json:"cky_r"`
			N          byte
			Length     int
			Expect     hex
		}
	}
	if err := json.Unmarshal(testvectors.Read(t, testvectors.Path(t, "nist/ike-kdf.json")), &file); err != nil {
		t.Fatal(err)
	}
	ran := map[string]int{}
	for _, test := range file.Tests {
		k := Keys{Suite: Suite{Hash: map[string]isakmp.Hash{"sha1": isakmp.SHA1, "sha256": isakmp.SHA2_256}[test.Hash]}}
		var got []byte
		switch test.Kind {
		case "ikev1_skeyid_psk":
			got = k.prf(test.PSK, test.NI, test.NR)
		case "ikev1_skeyid_d", "ikev1_skeyid_a", "ikev1_skeyid_e":
			got = k.prf(test.SKEYID, test.Prev, test.GXY, test.CookieI, test.CookieR, []byte{test.N})
		case "ikev1_appendix_b_key":
			got = k.stretch(secret.Key(test.SKEYIDe), test.Length)
		default: // IKEv2, and signatures
			continue
		}
		ran[test.Kind]++
		if !bytes.Equal(got, test.Expect) {
			t.Errorf("%s %d %s: %x, want %x", test.Hash, test.ID, test.Kind, got, test.Expect)
		}
	}
	for kind, want := range map[string]int{"ikev1_skeyid_psk": 3, "ikev1_skeyid_d": 3, "ikev1_skeyid_a": 3, "ikev1_skeyid_e": 3, "ikev1_appendix_b_key": 6} {
		if ran[kind] != want {
			t.Errorf("%d samples of %s, want %d", ran[kind], kind, want)
		}
	}
}

// TestDeriveChain derives a whole SKEYID chain from one of the samples' inputs and checks it link by link with
// HMACs written out here.
func TestDeriveChain(t *testing.T) {
	t.Parallel()
	x := Exchange{
		CookieI: isakmp.Cookie{1}, CookieR: isakmp.Cookie{2},
		PublicI: []byte("g^xi"), PublicR: []byte("g^xr"), NonceI: []byte("nonce i"), NonceR: []byte("nonce r"),
	}
	shared := secret.Key("g^xy")
	for _, s := range []struct {
		suite Suite
		size  int
	}{
		{Suite{isakmp.TripleDESCBC, 0, isakmp.MD5}, 24},
		{Suite{isakmp.TripleDESCBC, 0, isakmp.SHA1}, 24},
		{Suite{isakmp.TripleDESCBC, 0, isakmp.SHA2_256}, 24},
		{Suite{isakmp.AESCBC, 0, isakmp.SHA1}, 16},
		{Suite{isakmp.AESCBC, 128, isakmp.SHA1}, 16},
		{Suite{isakmp.AESCBC, 192, isakmp.SHA1}, 24},
		{Suite{isakmp.AESCBC, 256, isakmp.SHA1}, 32},
		{Suite{isakmp.AESCBC, 256, isakmp.SHA2_256}, 32},
		{Suite{isakmp.AESCBC, 256, isakmp.SHA2_384}, 32},
		{Suite{isakmp.AESCBC, 256, isakmp.SHA2_512}, 32},
	} {
		k, err := Derive(s.suite, secret.Key("psk"), x, shared)
		if err != nil {
			t.Fatalf("%v: %v", s.suite, err)
		}
		prf := func(key []byte, data string) []byte {
			mac := hmac.New(s.suite.Hash.New, key)
			mac.Write([]byte(data))
			return mac.Sum(nil)
		}
		tail := "g^xy" + string(x.CookieI[:]) + string(x.CookieR[:])
		skeyid := prf([]byte("psk"), "nonce inonce r")
		d := prf(skeyid, tail+"\x00")
		a := prf(skeyid, string(d)+tail+"\x01")
		e := prf(skeyid, string(a)+tail+"\x02")
		if !bytes.Equal(k.SKEYID, skeyid) || !bytes.Equal(k.SKEYIDd, d) || !bytes.Equal(k.SKEYIDa, a) {
			t.Errorf("%v: SKEYID chain differs", s.suite)
		}
		want := e
		if s.size > len(e) {
			want = prf(e, "\x00")
			want = append(want, prf(e, string(want))...)
		}
		if want = want[:s.size]; !bytes.Equal(k.EncryptionKey, want) {
			t.Errorf("%v: encryption key %x, want %x", s.suite, []byte(k.EncryptionKey), want)
		}
	}
}

// TestUnsupported checks that what we cannot compute is an error that names it.
func TestUnsupported(t *testing.T) {
	t.Parallel()
	for _, s := range []Suite{
		{isakmp.DESCBC, 0, isakmp.SHA1}, {isakmp.TripleDESCBC, 192, isakmp.SHA1}, {isakmp.AESCBC, 129, isakmp.SHA1},
		{isakmp.AESCBC, 128, isakmp.Tiger}, {},
	} {
		if _, err := Derive(s, secret.Key("psk"), Exchange{}, nil); err == nil || s.Supported() {
			t.Errorf("%v: no error", s)
		}
	}
	for _, g := range []isakmp.Group{isakmp.NoGroup, isakmp.MODP768, isakmp.ECP256, 99} {
		if _, err := Generate(g, bytes.NewReader(make([]byte, 64))); err == nil || Supported(g) {
			t.Errorf("%s: no error", g)
		}
	}
	if _, err := Generate(isakmp.MODP1024, bytes.NewReader(make([]byte, 64))); err == nil {
		t.Error("an exponent of zero: no error")
	}
	if _, err := Generate(isakmp.MODP1024, bytes.NewReader(make([]byte, 31))); err == nil {
		t.Error("an exhausted random source: no error")
	}
}

// TestESPKeySizes lists which ESP suites exist and how long their keys are.
func TestESPKeySizes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		transform isakmp.ESPTransform
		bits      uint16
		auth      isakmp.AuthAlgorithm
		enc, mac  int // both 0: an error
	}{
		{isakmp.ESP3DES, 0, isakmp.HMACSHA, 24, 20},
		{isakmp.ESP3DES, 0, isakmp.HMACMD5, 24, 16},
		{isakmp.ESPAES, 0, isakmp.HMACSHA, 16, 20},
		{isakmp.ESPAES, 192, isakmp.HMACSHA2_256, 24, 32},
		{isakmp.ESPAES, 256, isakmp.HMACSHA2_384, 32, 48},
		{isakmp.ESPAES, 256, isakmp.HMACSHA2_512, 32, 64},
		{isakmp.ESPNull, 0, isakmp.HMACSHA, 0, 20},
		{isakmp.ESPAESGCM16, 128, isakmp.NoAuth, 20, 0},
		{isakmp.ESPAESGCM16, 256, isakmp.NoAuth, 36, 0},
		{isakmp.ESPAESGCM16, 256, isakmp.HMACSHA, 0, 0},
		{isakmp.ESP3DES, 0, isakmp.NoAuth, 0, 0},
		{isakmp.ESP3DES, 192, isakmp.HMACSHA, 0, 0},
		{isakmp.ESPNull, 0, isakmp.NoAuth, 0, 0},
		{isakmp.ESPAES, 130, isakmp.HMACSHA, 0, 0},
		{isakmp.ESPAES, 128, isakmp.AuthAlgorithm(3), 0, 0},
		{isakmp.ESPDES, 0, isakmp.HMACSHA, 0, 0},
	} {
		enc, mac, err := ESPKeySizes(test.transform, test.bits, test.auth)
		if enc != test.enc || mac != test.mac || (err != nil) != (enc+mac == 0) {
			t.Errorf("%s %d %s: %d, %d, %v, want %d, %d", test.transform, test.bits, test.auth, enc, mac, err, test.enc, test.mac)
		}
	}
}

// BenchmarkPublic and BenchmarkShared time one half each of a Diffie-Hellman exchange.
func BenchmarkPublic(b *testing.B) {
	for _, m := range groupTable {
		b.Run("group="+m.group.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := NewPrivateKey(m.group, bytes.Repeat([]byte{0xa5}, m.exponent)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkShared(b *testing.B) {
	for _, m := range groupTable {
		b.Run("group="+m.group.String(), func(b *testing.B) {
			k, err := NewPrivateKey(m.group, bytes.Repeat([]byte{0xa5}, m.exponent))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := k.Shared(k.Public()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestValidPublic: the cheap check agrees with what Shared refuses, at the edges of the range.
func TestValidPublic(t *testing.T) {
	t.Parallel()
	for _, m := range groupTable {
		key, err := NewPrivateKey(m.group, slices.Repeat([]byte{0x5a}, m.exponent))
		if err != nil {
			t.Fatal(err)
		}
		p, ok := new(big.Int).SetString(m.prime, 16)
		if !ok {
			t.Fatal(m.prime)
		}
		for name, y := range map[string]*big.Int{
			"0": big.NewInt(0), "1": big.NewInt(1), "2": big.NewInt(2), "p-2": new(big.Int).Sub(p, big.NewInt(2)),
			"p-1": new(big.Int).Sub(p, big.NewInt(1)), "p": p, "p+1": new(big.Int).Add(p, big.NewInt(1)),
		} {
			b := y.FillBytes(make([]byte, len(key.Public())))
			_, err := key.Shared(b)
			if want := name == "2" || name == "p-2"; ValidPublic(m.group, b) != want || (err == nil) != want {
				t.Errorf("group %s, %s: ValidPublic %t, Shared %v", m.group, name, ValidPublic(m.group, b), err)
			}
		}
		if ValidPublic(m.group, key.Public()[1:]) || ValidPublic(0, key.Public()) {
			t.Errorf("group %s: a value of another length, or of no group, is valid", m.group)
		}
	}
}

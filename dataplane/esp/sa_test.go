package esp

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unsafe"
)

func TestSuiteNames(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		cipher       Cipher
		auth         Auth
		enc, authKey int // key lengths
		want         string
		bits         int
	}{
		{TripleDESCBC, HMACSHA1, 24, 20, "3des-cbc/hmac-sha1", 192},
		{TripleDESCBC, HMACMD5, 24, 16, "3des-cbc/hmac-md5", 192},
		{AESCBC, HMACSHA1, 16, 20, "aes-cbc-128/hmac-sha1", 128},
		{AESCBC, HMACSHA256, 24, 32, "aes-cbc-192/hmac-sha2-256", 192},
		{AESCBC, HMACSHA384, 32, 48, "aes-cbc-256/hmac-sha2-384", 256},
		{AESCBC, HMACSHA512, 32, 64, "aes-cbc-256/hmac-sha2-512", 256},
		{AESGCM16, NoAuth, 20, 0, "aes-gcm-16-128", 128},
		{AESGCM16, NoAuth, 28, 0, "aes-gcm-16-192", 192},
		{AESGCM16, NoAuth, 36, 0, "aes-gcm-16-256", 256},
		{ChaCha20Poly1305, NoAuth, 36, 0, "chacha20-poly1305", 256},
		{NullCipher, HMACSHA1, 0, 20, "null/hmac-sha1", 0},
	} {
		sa, err := NewOutbound(Params{SPI: 0x1000, Cipher: tt.cipher, Auth: tt.auth, EncKey: testKey(tt.enc, 1), AuthKey: testKey(tt.authKey, 2), Mode: Tunnel})
		if err != nil {
			t.Errorf("%s: %v", tt.want, err)
			continue
		}
		if sa.Suite() != tt.want || sa.Cipher() != tt.cipher || sa.Auth() != tt.auth || sa.KeyBits() != tt.bits {
			t.Errorf("suite is %s (Cipher %d, Auth %d, %d bits), want %s with %d bits", sa.Suite(), sa.Cipher(), sa.Auth(), sa.KeyBits(), tt.want, tt.bits)
		}
	}
}

func TestParamsRefused(t *testing.T) {
	t.Parallel()
	good := suiteNamed(t, "3des-cbc/hmac-sha1").params(0x1000, Tunnel)
	for want, change := range map[string]func(p *Params){
		"SPI is 255":                        func(p *Params) { p.SPI = 255 },
		"Mode is 3":                         func(p *Params) { p.Mode = 3 },
		"no suite of Cipher 2":              func(p *Params) { p.Cipher = 2 },                    // single DES
		"no suite of Cipher 3 with Auth 0":  func(p *Params) { p.Auth, p.AuthKey = NoAuth, nil }, // RFC 8221, 4
		"no suite of Cipher 20 with Auth 2": func(p *Params) { p.Cipher, p.EncKey = AESGCM16, testKey(20, 0) },
		"EncKey has 23 bytes":               func(p *Params) { p.EncKey = p.EncKey[:23] },
		"AuthKey has 16 bytes, want 20":     func(p *Params) { p.AuthKey = p.AuthKey[:16] },
		"two neighbouring thirds":           func(p *Params) { p.EncKey = append(bytes.Repeat(testKey(8, 0), 2), testKey(8, 9)...) },
		"are equal (RFC 2451, 2.3)":         func(p *Params) { p.EncKey = append(testKey(8, 9), bytes.Repeat(testKey(8, 0), 2)...) },
	} {
		p := good
		change(&p)
		if _, err := NewInbound(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want it to say %q", err, want)
		}
	}
	parity := good
	parity.EncKey = append(bytes.Repeat(testKey(8, 0), 2), testKey(8, 9)...)
	parity.EncKey[8] ^= 1 // differs in a parity bit alone
	if _, err := NewInbound(parity); !errors.Is(err, errDegenerateKey) {
		t.Errorf("keys that differ in parity: error is %v", err)
	}
}

// No error may show key material.
func TestErrorsHideKeys(t *testing.T) {
	t.Parallel()
	p := suiteNamed(t, "3des-cbc/hmac-sha1").params(0x1000, Tunnel)
	p.EncKey = []byte("a secret of the wrong length")
	_, err := NewOutbound(p)
	if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "97 32") {
		t.Errorf("error is %v", err)
	}
}

// RFC 4303, 2.2 and 3.3.3: from 1, in order, never around.
func TestSequenceNumbers(t *testing.T) {
	t.Parallel()
	sa := mustSA(t, suiteNamed(t, "aes-gcm-16-128").params(0x1000, Tunnel), true)
	for _, step := range []struct {
		n     int
		first uint64
	}{{1, 1}, {5, 2}, {0, 7}, {1, 7}} {
		if first, err := sa.NextSequence(step.n); err != nil || first != step.first {
			t.Errorf("NextSequence(%d) = %d, %v, want %d", step.n, first, err, step.first)
		}
	}
	if _, err := sa.NextSequence(-1); err == nil {
		t.Error("NextSequence(-1) succeeded")
	}
	c := sa.Counters()
	c.NextSeq.Store(1<<32 - 3)
	if _, err := sa.NextSequence(4); !errors.Is(err, ErrSequenceExhausted) || c.NextSeq.Load() != 1<<32-3 {
		t.Errorf("four of the last three: error is %v, NextSeq %d", err, c.NextSeq.Load())
	}
	if first, err := sa.NextSequence(3); err != nil || first != 1<<32-3 {
		t.Errorf("the last three: %d, %v", first, err)
	}
	for range 3 {
		if seq, err := sa.NextSequence(1); !errors.Is(err, ErrSequenceExhausted) {
			t.Errorf("after the last: %d, %v", seq, err)
		}
	}
}

// A number is sealed once, in rising order, and only if it was handed out: the IV of a counter mode hangs on it.
func TestSealRefusesSequence(t *testing.T) {
	t.Parallel()
	for _, s := range allSuites() {
		sa := mustSA(t, s.params(0x1000, Tunnel), true)
		if _, err := sa.NextSequence(5); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			seq  uint64
			want error
		}{{0, ErrSequence}, {2, nil}, {2, ErrSequence}, {1, ErrSequence}, {5, nil}, {6, ErrSequence}, {1 << 32, ErrSequence}} {
			jobs := []Job{{SA: sa, Seq: step.seq, Pkt: clearPacket([]byte("payload"))}}
			out := new(Batch).Seal(jobs, nil)
			if !errors.Is(jobs[0].Err, step.want) || (len(out) == 1) != (step.want == nil) {
				t.Errorf("%s: sequence %d: %v, %d packets, want %v", s.name, step.seq, jobs[0].Err, len(out), step.want)
			}
		}
	}
}

// The next process goes on behind every number that was handed out, sent or not.
func TestSequenceSurvivesKill(t *testing.T) {
	t.Parallel()
	memory := make([]byte, CountersSize)
	p := suiteNamed(t, "aes-gcm-16-256").params(0x1000, Tunnel)
	p.Counters = CountersAt(memory)
	before := mustSA(t, p, true)
	if _, err := before.NextSequence(128); err != nil {
		t.Fatal(err)
	}
	p.Counters = CountersAt(memory)
	after := mustSA(t, p, true)
	jobs := []Job{{SA: after, Seq: 128, Pkt: clearPacket(nil)}}
	if new(Batch).Seal(jobs, nil); !errors.Is(jobs[0].Err, ErrSequence) {
		t.Errorf("a number of the killed process was sealed: %v", jobs[0].Err)
	}
	if first, err := after.NextSequence(1); err != nil || first != 129 {
		t.Errorf("NextSequence = %d, %v, want 129", first, err)
	}
}

func TestInboundSADoesNotSealNorOutboundOpen(t *testing.T) {
	t.Parallel()
	out, in := pair(t, suiteNamed(t, "3des-cbc/hmac-sha1").params(0x1000, Tunnel))
	jobs := []Job{{SA: in, Seq: 1, Pkt: clearPacket(nil)}}
	if new(Batch).Seal(jobs, nil); jobs[0].Err == nil {
		t.Error("an inbound SA sealed")
	}
	if j := openOnePacket(out, sealOnePacket(t, out, nil, 4)); j.Err == nil {
		t.Error("an outbound SA opened")
	}
	if !out.Outbound() || in.Outbound() {
		t.Error("Outbound is wrong")
	}
}

// The layout is what state files hold: it may only grow at its end.
func TestCountersLayout(t *testing.T) {
	t.Parallel()
	var c Counters
	for name, got := range map[string][2]uintptr{
		"NextSeq":          {unsafe.Offsetof(c.NextSeq), 0},
		"HighSeq":          {unsafe.Offsetof(c.HighSeq), 8},
		"Window":           {unsafe.Offsetof(c.Window), 16},
		"Packets":          {unsafe.Offsetof(c.Packets), 528},
		"Bytes":            {unsafe.Offsetof(c.Bytes), 536},
		"LastUsedUnixNano": {unsafe.Offsetof(c.LastUsedUnixNano), 544},
		"ReplayDrops":      {unsafe.Offsetof(c.ReplayDrops), 552},
		"AuthDrops":        {unsafe.Offsetof(c.AuthDrops), 560},
		"PaddingDrops":     {unsafe.Offsetof(c.PaddingDrops), 568},
		"LengthDrops":      {unsafe.Offsetof(c.LengthDrops), 576},
		"size":             {unsafe.Sizeof(c), 640},
	} {
		if got[0] != got[1] {
			t.Errorf("%s is at %d, want %d", name, got[0], got[1])
		}
	}
}

func TestCountersAt(t *testing.T) {
	t.Parallel()
	memory := make([]byte, CountersSize+8)
	CountersAt(memory).Packets.Store(7)
	if got := CountersAt(memory).Packets.Load(); got != 7 || memory[528]|memory[535] != 7 {
		t.Errorf("Packets is %d in %x", got, memory[528:536])
	}
	for name, b := range map[string][]byte{"short": memory[:CountersSize-1], "not aligned": memory[4:]} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			CountersAt(b)
		}()
	}
}

func TestAccessors(t *testing.T) {
	t.Parallel()
	p := suiteNamed(t, "3des-cbc/hmac-sha1").params(0xabcd1234, Transport)
	sa := mustSA(t, p, true)
	if sa.SPI() != 0xabcd1234 || sa.Mode() != Transport || sa.Src() != addrA || sa.Dst() != addrB {
		t.Errorf("SA is %x %v %v %v", sa.SPI(), sa.Mode(), sa.Src(), sa.Dst())
	}
	moved := netip.MustParseAddrPort("203.0.113.9:4500")
	sa.SetDst(moved)
	if sa.Dst() != moved {
		t.Errorf("Dst is %v after SetDst(%v)", sa.Dst(), moved)
	}
	now := time.Unix(1_600_000_000, 5)
	sa.Touch(now)
	if got := sa.Counters().LastUsedUnixNano.Load(); got != 1_600_000_000_000_000_005 {
		t.Errorf("LastUsedUnixNano is %d", got)
	}
	for m, want := range map[Mode]string{Tunnel: "tunnel", Transport: "transport", 9: "mode(9)"} {
		if m.String() != want {
			t.Errorf("Mode(%d) is %q, want %q", uint8(m), m, want)
		}
	}
}

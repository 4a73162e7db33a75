package esp

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"meshrouter/dataplane/esp/aescbc"
	"meshrouter/dataplane/esp/des3"
	"meshrouter/dataplane/esp/hmacs"
	"meshrouter/internal/ipv4"
	"meshrouter/internal/testvectors"

	"github.com/c2sp/wycheproof"
	"github.com/gopacket/gopacket/pcapgo"
)

// espGRE is a test of testdata/esp-gre.json.
type espGRE struct {
	Suite, Mode, Inner string
	SPI                uint32
	Seq                uint64
	EncKey             hexBytes `json:"enc_key"`
	AuthKey            hexBytes `json:"auth_key"`
	IV, Payload, ESP   hexBytes
	NextHeader         uint8 `json:"next_header"`
}

func espGRETests(t testing.TB) []espGRE {
	t.Helper()
	var file struct{ Tests []espGRE }
	readJSON(t, testvectors.Data(t, "esp-gre.json"), &file)
	if len(file.Tests) != 90 {
		t.Fatalf("esp-gre.json has %d tests, want 90", len(file.Tests))
	}
	return file.Tests
}

func (tt espGRE) params(t testing.TB) Params {
	t.Helper()
	s := suiteNamed(t, map[string]string{
		"NULL/HMAC-SHA1-96":          "null/hmac-sha1",
		"3DES-CBC/HMAC-MD5-96":       "3des-cbc/hmac-md5",
		"3DES-CBC/HMAC-SHA1-96":      "3des-cbc/hmac-sha1",
		"AES128-CBC/HMAC-SHA1-96":    "aes-cbc-128/hmac-sha1",
		"AES256-CBC/HMAC-SHA256-128": "aes-cbc-256/hmac-sha2-256",
		"AES256-CBC/HMAC-SHA512-256": "aes-cbc-256/hmac-sha2-512",
		"AES128-GCM16":               "aes-gcm-16-128",
		"AES256-GCM16":               "aes-gcm-16-256",
		"CHACHA20-POLY1305":          "chacha20-poly1305",
	}[tt.Suite])
	p := Params{SPI: tt.SPI, Cipher: s.cipher.id, Auth: s.auth.id, EncKey: tt.EncKey, AuthKey: tt.AuthKey, Mode: Tunnel, Src: addrA, Dst: addrB}
	if tt.Mode == "transport" {
		p.Mode = Transport
	}
	return p
}

// outbound is the vector's SA, about to send its sequence number with its IV.
func (tt espGRE) outbound(t testing.TB, b *Batch) *SA {
	t.Helper()
	p := tt.params(t)
	p.Counters = new(Counters)
	p.Counters.NextSeq.Store(tt.Seq)
	sa := mustSA(t, p, true)
	useIV(b, sa, tt.IV)
	return sa
}

// All 90 in one batch, nine suites mixed: every packet byte for byte, in the order of the jobs.
func TestSealESPGREVectors(t *testing.T) {
	t.Parallel()
	tests := espGRETests(t)
	var b Batch
	var jobs []Job
	for _, tt := range tests {
		sa := tt.outbound(t, &b)
		jobs = append(jobs, Job{SA: sa, Seq: nextSeq(t, sa), Pkt: clearPacket(tt.Payload), NextHeader: tt.NextHeader})
	}
	out := b.Seal(jobs, nil)
	if len(out) != len(tests) {
		t.Fatalf("%d packets sealed, want %d", len(out), len(tests))
	}
	for i, tt := range tests {
		if jobs[i].Err != nil || !bytes.Equal(out[i].Bytes(), tt.ESP) || out[i].SA() != jobs[i].SA || jobs[i].Seq != tt.Seq {
			t.Errorf("test %d, %s %s %s: %v\n got %x\nwant %x", i, tt.Suite, tt.Mode, tt.Inner, jobs[i].Err, out[i].Bytes(), []byte(tt.ESP))
		}
	}
}

func TestOpenESPGREVectors(t *testing.T) {
	t.Parallel()
	tests := espGRETests(t)
	var jobs []Job
	for _, tt := range tests {
		jobs = append(jobs, Job{SA: mustSA(t, tt.params(t), false), Pkt: bytes.Clone(tt.ESP)})
	}
	new(Batch).Open(jobs)
	for i, tt := range tests {
		j := jobs[i]
		if j.Err != nil || !bytes.Equal(j.Pkt, tt.Payload) || j.NextHeader != tt.NextHeader || j.Seq != tt.Seq {
			t.Errorf("test %d, %s %s %s: %v, next header %d, sequence %d\n got %x\nwant %x",
				i, tt.Suite, tt.Mode, tt.Inner, j.Err, j.NextHeader, j.Seq, j.Pkt, []byte(tt.Payload))
		}
		if err := j.SA.ReplayUpdate(uint32(j.Seq)); err != nil {
			t.Errorf("test %d: %v", i, err)
		}
	}
}

// RFC 3602, 4: the samples have no integrity, which we refuse; so they are sealed with an HMAC, which
// changes nothing before the ICV.
func TestRFC3602Samples(t *testing.T) {
	t.Parallel()
	var file struct {
		Tests []struct {
			Case          int
			Key, IV       hexBytes
			SPI           uint32
			Seq           uint64
			ESPPacket     hexBytes `json:"esp_packet"`
			Payload       hexBytes
			NextHeader    uint8 `json:"next_header"`
			PaddingLength int   `json:"pad_length"`
		}
		Padding []struct{ Payload, Padded hexBytes }
	}
	readJSON(t, testvectors.Path(t, "esp-rfc3602.json"), &file)
	if len(file.Tests) != 4 || len(file.Padding) != 4 {
		t.Fatalf("%d samples and %d paddings, want 4 and 4", len(file.Tests), len(file.Padding))
	}
	s := suiteNamed(t, "aes-cbc-128/hmac-sha1")
	for _, tt := range file.Tests {
		p := Params{SPI: tt.SPI, Cipher: AESCBC, Auth: HMACSHA1, EncKey: tt.Key, AuthKey: testKey(20, 0), Mode: Tunnel, Counters: new(Counters)}
		p.Counters.NextSeq.Store(tt.Seq)
		out := mustSA(t, p, true)
		var b Batch
		useIV(&b, out, tt.IV)
		want := append(bytes.Clone(tt.ESPPacket), independentICV(s, p.AuthKey, tt.ESPPacket)...)
		if got := b.sealOnePacket(t, out, tt.Payload, tt.NextHeader); !bytes.Equal(got, want) {
			t.Errorf("case %d:\n got %x\nwant %x", tt.Case, got, want)
		}
		p.Counters = nil
		if j := openOnePacket(mustSA(t, p, false), want); j.Err != nil || !bytes.Equal(j.Pkt, tt.Payload) || j.NextHeader != tt.NextHeader {
			t.Errorf("case %d: open: %v, next header %d, %x", tt.Case, j.Err, j.NextHeader, j.Pkt)
		}
	}
	// The padded blocks, seen through the null cipher, whose own block is 4: so only the trailer is compared.
	for _, tt := range file.Padding {
		_, tail := s.overhead(len(tt.Payload))
		if got := len(tt.Payload) + tail - s.icv; got != len(tt.Padded) {
			t.Errorf("payload of %d bytes is padded to %d, want %d", len(tt.Payload), got, len(tt.Padded))
		}
		pad := tt.Padded[len(tt.Payload) : len(tt.Padded)-trailerLen]
		if !bytes.Equal(padTable[:len(pad)], pad) {
			t.Errorf("padding is %x, want %x", padTable[:len(pad)], pad)
		}
	}
}

// Eight packets of a FreeS/WAN test with its published keys (3DES, HMAC-MD5), tunnel mode.
func TestSunriseSunsetCapture(t *testing.T) {
	t.Parallel()
	r, err := pcapgo.NewReader(bytes.NewReader(testvectors.Read(t, testvectors.Path(t, "captures/tcpdump/02-sunrise-sunset-esp.pcap"))))
	if err != nil {
		t.Fatal(err)
	}
	encKey, err := hex.DecodeString("4043434545464649494a4a4c4c4f4f515152525454575758")
	if err != nil {
		t.Fatal(err)
	}
	authKey := bytes.Repeat([]byte{0x87, 0x65}, 8)
	var sa *SA
	opened := 0
	for range 8 {
		frame, _, err := r.ReadPacketData()
		if err != nil {
			t.Fatal(err)
		}
		_, pkt, err := ipv4.Parse(frame[14:])
		if err != nil {
			t.Fatal(err)
		}
		spi, seq, ok := Header(pkt)
		if !ok {
			t.Fatalf("no ESP header in %x", pkt)
		}
		if sa == nil {
			sa = mustSA(t, Params{SPI: spi, Cipher: TripleDESCBC, Auth: HMACMD5, EncKey: encKey, AuthKey: authKey, Mode: Tunnel}, false)
		}
		if err := sa.ReplayCheck(seq); err != nil {
			t.Fatal(err)
		}
		j := openOnePacket(sa, pkt)
		inner, payload, err := ipv4.Parse(j.Pkt)
		if j.Err != nil || j.NextHeader != NextHeaderIPv4 || err != nil {
			t.Fatalf("sequence %d: %v, next header %d, %v", seq, j.Err, j.NextHeader, err)
		}
		if inner.Src().String() != "192.0.2.1" || inner.Dst().String() != "192.0.1.1" || inner.Protocol() != ipv4.ProtocolICMP || ipv4.Checksum(payload, 0) != 0 {
			t.Errorf("sequence %d: inner packet is %x", seq, j.Pkt)
		}
		opened++
	}
	if opened != 8 {
		t.Errorf("opened %d packets, want 8", opened)
	}
}

// A capture cut short: refused with a name, never a panic.
func TestTruncatedCapture(t *testing.T) {
	t.Parallel()
	b := testvectors.Read(t, testvectors.Path(t, "captures/tcpdump/esp_truncated.pcap"))
	s := suiteNamed(t, "3des-cbc/hmac-sha1")
	for i := range b {
		pkt := b[i:]
		spi, _, ok := Header(pkt)
		if !ok || spi < firstSPI {
			continue
		}
		p := s.params(spi, Tunnel)
		if j := openOnePacket(mustSA(t, p, false), pkt); !errors.Is(j.Err, ErrLength) && !errors.Is(j.Err, ErrAuth) {
			t.Fatalf("offset %d: %v", i, j.Err)
		}
	}
}

// ESP between two strongSwan, recorded with the keys that IKE made: opened, and sealed again with the
// same IV to the same bytes.
func TestStrongSwanTraffic(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		suite   string
		packets int
	}{
		"v1-main-3des":    {"3des-cbc/hmac-sha1", 10},
		"v1-aggr-3des":    {"3des-cbc/hmac-md5", 10},
		"v1-main-aes-pfs": {"aes-cbc-128/hmac-sha1", 20},
		"v2-gcm-x25519":   {"aes-gcm-16-128", 10},
	} {
		var session struct {
			Values []struct {
				Label string
				Hex   hexBytes
			} `json:"initiator_values"`
			Packets []struct {
				Src, Kind string
				Hex       hexBytes
			}
		}
		readJSON(t, testvectors.Data(t, "captures/ike/"+name+".json"), &session)
		keys := map[string][]hexBytes{}
		for _, v := range session.Values {
			keys[v.Label] = append(keys[v.Label], v.Hex)
		}
		s, opened, seen := suiteNamed(t, tt.suite), 0, map[string]int{}
		in := map[uint32]*SA{}
		for _, pkt := range session.Packets {
			if pkt.Kind != "esp" {
				continue
			}
			role := "initiator"
			if pkt.Src == "192.0.2.2" {
				role = "responder"
			}
			spi, seq, _ := Header(pkt.Hex)
			if in[spi] == nil { // the key sets are recorded in the order in which they came into use
				p := Params{SPI: spi, Cipher: s.cipher.id, Auth: s.auth.id, EncKey: keys["encryption "+role+" key"][seen[role]], Mode: Tunnel}
				if s.auth.id != NoAuth {
					p.AuthKey = keys["integrity "+role+" key"][seen[role]]
				}
				seen[role]++
				in[spi] = mustSA(t, p, false)

				p.Counters = new(Counters)
				out := mustSA(t, p, true)
				j := openOnePacket(in[spi], pkt.Hex)
				if j.Err != nil {
					t.Fatalf("%s: SPI %08x: %v", name, spi, j.Err)
				}
				var b Batch
				useIV(&b, out, pkt.Hex[headerLen:s.head()])
				if again := b.sealOnePacket(t, out, j.Pkt, j.NextHeader); !bytes.Equal(again, pkt.Hex) {
					t.Errorf("%s: sealed again:\n got %x\nwant %x", name, again, []byte(pkt.Hex))
				}
			}
			j := openOnePacket(in[spi], pkt.Hex)
			if j.Err != nil || j.NextHeader != NextHeaderIPv4 || in[spi].ReplayUpdate(seq) != nil {
				t.Errorf("%s: SPI %08x sequence %d: %v, next header %d", name, spi, seq, j.Err, j.NextHeader)
				continue
			}
			if h, _, err := ipv4.Parse(j.Pkt); err != nil || !h.ChecksumOK() {
				t.Errorf("%s: inner packet: %v", name, err)
			}
			opened++
		}
		if opened != tt.packets {
			t.Errorf("%s: opened %d packets, want %d", name, opened, tt.packets)
		}
	}
}

// nistCases reads an .rsp file; "encrypt" tells the section.
func nistCases(t *testing.T, name string) (cases []map[string]string) {
	t.Helper()
	section, c := "", map[string]string{}
	flush := func() {
		if c["CIPHERTEXT"] != "" {
			c["section"] = section
			cases = append(cases, c)
		}
		c = map[string]string{}
	}
	lines := bufio.NewScanner(bytes.NewReader(testvectors.Read(t, testvectors.Path(t, name))))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if key, value, ok := strings.Cut(line, " = "); ok {
			if key == "COUNT" {
				flush()
			}
			c[key] = value
		} else if strings.HasPrefix(line, "[") {
			flush()
			section = strings.Trim(line, "[]")
		}
	}
	flush()
	return cases
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// desKey joins the key fields of a NIST case.
func desKey(t *testing.T, c map[string]string) []byte {
	t.Helper()
	if k := c["KEYs"]; k != "" {
		return unhex(t, k+k+k)
	}
	return unhex(t, c["KEY1"]+c["KEY2"]+c["KEY3"])
}

// A cbc encrypts or decrypts data in place.
type cbc func(encrypt bool, iv, data []byte)

func desCBC(t *testing.T, key []byte) cbc {
	t.Helper()
	k, err := des3.NewKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return func(encrypt bool, iv, data []byte) {
		ops := []des3.Op{{Key: k, IV: iv, Data: data}}
		if encrypt {
			des3.Encrypt(ops)
		} else {
			des3.Decrypt(ops)
		}
	}
}

func aesCBC(t *testing.T, key []byte) cbc {
	t.Helper()
	k, err := aescbc.NewKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return func(encrypt bool, iv, data []byte) {
		ops := []aescbc.Op{{Key: k, IV: iv, Data: data}}
		if encrypt {
			aescbc.Encrypt(ops)
		} else {
			aescbc.Decrypt(ops)
		}
	}
}

// checkCBC compares one case in both directions.
func checkCBC(t *testing.T, name string, run cbc, iv, plain, encrypted []byte) {
	t.Helper()
	for encrypt, io := range map[bool][2][]byte{true: {plain, encrypted}, false: {encrypted, plain}} {
		got := bytes.Clone(io[0])
		if run(encrypt, iv, got); !bytes.Equal(got, io[1]) {
			t.Errorf("%s: encrypt %v: got %x, want %x", name, encrypt, got, io[1])
		}
	}
}

func TestNISTTripleDES(t *testing.T) {
	t.Parallel()
	total := 0
	for _, name := range []string{"TCBCMMT2", "TCBCMMT3", "TCBCinvperm", "TCBCpermop", "TCBCsubtab", "TCBCvarkey", "TCBCvartext"} {
		for _, c := range nistCases(t, "nist/"+name+".rsp") {
			// The known answers use single-DES keys, which newTripleDES refuses.
			key := desKey(t, c)
			degenerate := bytes.Equal(key[:8], key[8:16])
			if _, err := newTripleDES(key); (err != nil) != degenerate {
				t.Errorf("%s %s: key with equal thirds %v: %v", name, c["COUNT"], degenerate, err)
			}
			checkCBC(t, name+" "+c["section"]+" "+c["COUNT"], desCBC(t, key), unhex(t, c["IV"]), unhex(t, c["PLAINTEXT"]), unhex(t, c["CIPHERTEXT"]))
			total++
		}
	}
	if total != 510 {
		t.Errorf("%d cases, want 510", total)
	}
}

func TestNISTAESCBC(t *testing.T) {
	t.Parallel()
	total := 0
	for _, bits := range []int{128, 192, 256} {
		for _, c := range nistCases(t, fmt.Sprintf("nist/aes-cbc/CBCMMT%d.rsp", bits)) {
			checkCBC(t, fmt.Sprint(bits, c["section"], c["COUNT"]), aesCBC(t, unhex(t, c["KEY"])), unhex(t, c["IV"]), unhex(t, c["PLAINTEXT"]), unhex(t, c["CIPHERTEXT"]))
			total++
		}
	}
	if total != 60 {
		t.Errorf("%d cases, want 60", total)
	}
}

// The Monte Carlo steps of AESAVS, 6.4.2: a thousand blocks, each the input of a later one.
func TestNISTAESMonteCarlo(t *testing.T) {
	t.Parallel()
	total := 0
	for _, bits := range []int{128, 192, 256} {
		for n, c := range nistCases(t, fmt.Sprintf("nist/aes-cbc/CBCMCT%d.rsp", bits)) {
			if n%10 != 0 {
				continue
			}
			encrypt := c["section"] == "ENCRYPT"
			from, to := "PLAINTEXT", "CIPHERTEXT"
			if !encrypt {
				from, to = to, from
			}
			run, iv := aesCBC(t, unhex(t, c["KEY"])), unhex(t, c["IV"])
			in, previous := unhex(t, c[from]), iv
			for range 1000 {
				out := bytes.Clone(in)
				run(encrypt, iv, out)
				if iv = out; !encrypt {
					iv = in
				}
				in, previous = previous, out
			}
			if !bytes.Equal(previous, unhex(t, c[to])) {
				t.Errorf("%d %s %s: got %x, want %s", bits, c["section"], c["COUNT"], previous, c[to])
			}
			total++
		}
	}
	if total != 60 {
		t.Errorf("%d steps, want 60", total)
	}
}

// macOf is the digest as an SA computes it, with a key of any length; twice, since the second one
// starts from the saved state.
func macOf(t *testing.T, id Auth, key, msg []byte) []byte {
	t.Helper()
	digestLen := map[Auth]int{HMACMD5: 16, HMACSHA1: 20, HMACSHA256: 32, HMACSHA384: 48, HMACSHA512: 64}[id]
	i := slices.IndexFunc(authTable[:], func(a authSpec) bool { return a.id == id })
	k := hmacs.NewKey(authTable[i].hash, key)
	first, second := make([]byte, digestLen), make([]byte, digestLen)
	hmacs.Sum([]hmacs.Op{{Key: k, Data: msg, Out: first}})
	if hmacs.Sum([]hmacs.Op{{Key: k, Data: msg, Out: second}}); !bytes.Equal(first, second) {
		t.Errorf("Auth %d: digests of the same message are %x and %x", id, first, second)
	}
	return first
}

func TestHMACOfRFCs(t *testing.T) {
	t.Parallel()
	var file struct {
		Tests []struct {
			RFC, Hash         string
			Case              int
			Key, Data, Digest hexBytes
		}
	}
	readJSON(t, testvectors.Path(t, "nist/hmac-rfc.json"), &file)
	id := map[string]Auth{"md5": HMACMD5, "sha1": HMACSHA1, "sha256": HMACSHA256, "sha384": HMACSHA384, "sha512": HMACSHA512}
	n := 0
	for _, tt := range file.Tests {
		a, ok := id[tt.Hash]
		if !ok {
			continue
		}
		if got := macOf(t, a, tt.Key, tt.Data); !bytes.Equal(got[:len(tt.Digest)], tt.Digest) {
			t.Errorf("RFC %s case %d %s: got %x, want %x", tt.RFC, tt.Case, tt.Hash, got, []byte(tt.Digest))
		}
		n++
	}
	if n < 30 {
		t.Errorf("only %d cases", n)
	}
}

// wycheproofGroup is the part of a Wycheproof file that our primitives need.
type wycheproofGroup struct {
	IVSize, TagSize int
	Tests           []struct {
		TcID                       int
		Comment, Result            string
		Key, IV, AAD, Msg, Ct, Tag hexBytes
	}
}

func wycheproofGroups(t *testing.T, name string) []wycheproofGroup {
	t.Helper()
	b, err := fs.ReadFile(wycheproof.TestVectors, name+"_test.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ TestGroups []wycheproofGroup }
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	return file.TestGroups
}

func TestWycheproofHMAC(t *testing.T) {
	t.Parallel()
	for name, id := range map[string]Auth{"hmac_sha1": HMACSHA1, "hmac_sha256": HMACSHA256, "hmac_sha384": HMACSHA384, "hmac_sha512": HMACSHA512} {
		n := 0
		for _, g := range wycheproofGroups(t, name) {
			for _, tt := range g.Tests {
				got := macOf(t, id, tt.Key, tt.Msg)[:g.TagSize/8]
				if (tt.Result == "valid") != bytes.Equal(got, tt.Tag) {
					t.Errorf("%s %d (%s, %s): got %x, tag %x", name, tt.TcID, tt.Comment, tt.Result, got, []byte(tt.Tag))
				}
				n++
			}
		}
		if n < 150 {
			t.Errorf("%s: only %d cases", name, n)
		}
	}
}

func TestWycheproofAEAD(t *testing.T) {
	t.Parallel()
	for name, ciphers := range map[string][]cipherSpec{"aes_gcm": cipherTable[5:8], "chacha20_poly1305": cipherTable[8:]} {
		n := 0
		for _, g := range wycheproofGroups(t, name) {
			if g.IVSize != 96 || g.TagSize != 128 {
				continue // not ESP's
			}
			for _, tt := range g.Tests {
				for _, c := range ciphers {
					if c.keyLen != len(tt.Key) {
						continue
					}
					a, err := c.newAEAD(tt.Key)
					if err != nil {
						t.Fatal(err)
					}
					sealed := append(bytes.Clone(tt.Ct), tt.Tag...)
					msg, err := a.Open(nil, tt.IV, sealed, tt.AAD)
					if (err == nil) != (tt.Result == "valid") || (err == nil && !bytes.Equal(msg, tt.Msg)) {
						t.Errorf("%s %d (%s, %s): Open: %x, %v", name, tt.TcID, tt.Comment, tt.Result, msg, err)
					}
					if tt.Result == "valid" && !bytes.Equal(a.Seal(nil, tt.IV, tt.Msg, tt.AAD), sealed) {
						t.Errorf("%s %d (%s): Seal differs", name, tt.TcID, tt.Comment)
					}
					n++
				}
			}
		}
		if n < 150 {
			t.Errorf("%s: only %d cases", name, n)
		}
	}
}

// PKCS #5 padding is not ESP's, so only the block mode is under test: valid cases.
func TestWycheproofCBC(t *testing.T) {
	t.Parallel()
	n := 0
	for _, g := range wycheproofGroups(t, "aes_cbc_pkcs5") {
		for _, tt := range g.Tests {
			if tt.Result != "valid" {
				continue
			}
			pad := 16 - len(tt.Msg)%16
			plain := append(bytes.Clone(tt.Msg), bytes.Repeat([]byte{byte(pad)}, pad)...)
			checkCBC(t, fmt.Sprint("case ", tt.TcID), aesCBC(t, tt.Key), tt.IV, plain, tt.Ct)
			n++
		}
	}
	if n < 50 {
		t.Errorf("only %d cases", n)
	}
}

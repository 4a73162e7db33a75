package esp

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"hash"
	"net/netip"
	"testing"

	"meshrouter/dataplane/esp/aescbc"
	"meshrouter/dataplane/esp/des3"
	"meshrouter/dataplane/esp/hmacs"
	"meshrouter/internal/testvectors"
)

var (
	addrA = netip.MustParseAddrPort("192.0.2.1:0")
	addrB = netip.MustParseAddrPort("192.0.2.2:0")
)

// testKey is n bytes that are no degenerate 3DES key.
func testKey(n int, seed byte) []byte {
	k := make([]byte, n)
	for i := range k {
		k[i] = byte(i)*7 + seed
	}
	return k
}

func (s *suite) params(spi uint32, mode Mode) Params {
	return Params{
		SPI: spi, Cipher: s.cipher.id, Auth: s.auth.id, Mode: mode, Src: addrA, Dst: addrB,
		EncKey: testKey(s.encKeyLen(), byte(spi)), AuthKey: testKey(s.auth.keyLen, byte(spi)+1),
	}
}

// allSuites is every suite that can be negotiated.
func allSuites() (all []*suite) {
	for i := range suiteTable {
		for j := range suiteTable[i] {
			if s := &suiteTable[i][j]; s.name != "" {
				all = append(all, s)
			}
		}
	}
	return all
}

func suiteNamed(t testing.TB, name string) *suite {
	t.Helper()
	for _, s := range allSuites() {
		if s.name == name {
			return s
		}
	}
	t.Fatalf("no suite is called %q", name)
	return nil
}

func mustSA(t testing.TB, p Params, outbound bool) *SA {
	t.Helper()
	sa, err := newSA(p, outbound)
	if err != nil {
		t.Fatal(err)
	}
	return sa
}

// pair is both ends of an SA.
func pair(t testing.TB, p Params) (out, in *SA) {
	t.Helper()
	return mustSA(t, p, true), mustSA(t, p, false)
}

// clearPacket puts a payload into a buffer as Seal wants it.
func clearPacket(payload []byte) []byte {
	b := make([]byte, HeadRoom+len(payload), HeadRoom+len(payload)+TailRoom)
	copy(b[HeadRoom:], payload)
	return b
}

func nextSeq(t testing.TB, sa *SA) uint64 {
	t.Helper()
	seq, err := sa.NextSequence(1)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// sealOnePacket seals a payload with the next sequence number.
func sealOnePacket(t testing.TB, sa *SA, payload []byte, nextHeader uint8) []byte {
	t.Helper()
	return new(Batch).sealOnePacket(t, sa, payload, nextHeader)
}

func (b *Batch) sealOnePacket(t testing.TB, sa *SA, payload []byte, nextHeader uint8) []byte {
	t.Helper()
	jobs := []Job{{SA: sa, Seq: nextSeq(t, sa), Pkt: clearPacket(payload), NextHeader: nextHeader}}
	out := b.Seal(jobs, nil)
	if len(out) != 1 {
		t.Fatalf("%s: Seal: %v", sa.Suite(), jobs[0].Err)
	}
	return out[0].Bytes()
}

// sealBody makes an authentic packet of any body, trailer included: what only a peer could send.
func sealBody(sa *SA, seq uint32, body []byte) []byte {
	head := sa.suite.head()
	pkt := make([]byte, head+len(body)+sa.suite.icv)
	copy(pkt[head:], body)
	binary.BigEndian.PutUint32(pkt, sa.spi)
	binary.BigEndian.PutUint32(pkt[4:], seq)
	b := new(Batch)
	b.seal(&Job{SA: sa, Seq: uint64(seq), Pkt: pkt})
	des3.Encrypt(b.des3)
	aescbc.Encrypt(b.aes)
	hmacs.Sum(b.hmacs)
	return pkt
}

func openOnePacket(sa *SA, pkt []byte) Job {
	jobs := []Job{{SA: sa, Pkt: bytes.Clone(pkt)}}
	new(Batch).Open(jobs)
	return jobs[0]
}

// useIV makes the next packet that an outbound SA seals in that batch have the IV of a test vector.
func useIV(b *Batch, sa *SA, iv []byte) {
	if sa.aead != nil {
		sa.firstIV = binary.BigEndian.Uint64(iv) - max(sa.counters.NextSeq.Load(), 1)
		return
	}
	pool := append(bytes.Clone(b.ivs.buf[len(b.ivs.buf)-b.ivs.left:]), iv...)
	b.ivs.left = len(pool)
	copy(b.ivs.buf[len(b.ivs.buf)-len(pool):], pool)
}

// hexBytes reads a hex string of a JSON file.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

func readJSON(t testing.TB, path string, into any) {
	t.Helper()
	if err := json.Unmarshal(testvectors.Read(t, path), into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// independentICV is the ICV by crypto/hmac directly.
func independentICV(s *suite, authKey, pkt []byte) []byte {
	newHash := map[Auth]func() hash.Hash{HMACMD5: md5.New, HMACSHA1: sha1.New, HMACSHA256: sha256.New, HMACSHA384: sha512.New384, HMACSHA512: sha512.New}[s.auth.id]
	m := hmac.New(newHash, authKey)
	m.Write(pkt)
	return m.Sum(nil)[:s.icv]
}

package esp

import (
	"bytes"
	"crypto/hmac"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"testing"

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
	jobs := []Job{{SA: sa, Seq: nextSeq(t, sa), Pkt: clearPacket(payload), NextHeader: nextHeader}}
	out := Seal(jobs, nil)
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
	sa.transform.seal(pkt, pkt, uint64(seq))
	return pkt
}

func openOnePacket(sa *SA, pkt []byte) Job {
	jobs := []Job{{SA: sa, Pkt: bytes.Clone(pkt)}}
	Open(jobs)
	return jobs[0]
}

// useIV makes an outbound SA use the IV of a test vector for its next packet.
func useIV(sa *SA, iv []byte) {
	switch t := sa.transform.(type) {
	case *cbcTransform:
		t.ivs.used = len(t.ivs.buf) - copy(t.ivs.buf[len(t.ivs.buf)-len(iv):], iv)
	case *aeadTransform:
		sa.transform = fixedIV{t, iv}
	case fixedIV:
		sa.transform = fixedIV{t.aeadTransform, iv}
	}
}

type fixedIV struct {
	*aeadTransform
	iv []byte
}

func (f fixedIV) seal(dst, clear []byte, _ uint64) {
	f.sealIV(dst, clear, binary.BigEndian.Uint64(f.iv))
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
	m := hmac.New(s.auth.newHash, authKey)
	m.Write(pkt)
	return m.Sum(nil)[:s.icv]
}

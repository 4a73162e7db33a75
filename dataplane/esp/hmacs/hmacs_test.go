package hmacs

import (
	"bytes"
	"crypto/hmac"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"
)

var all = []Hash{MD5, SHA1, SHA256, SHA384, SHA512}

func (h Hash) String() string { return [...]string{"md5", "sha1", "sha256", "sha384", "sha512"}[h] }

// each runs a test for every implementation that the machine has.
func each(t *testing.T, do func(*testing.T, *implementation)) {
	for i, im := range everyImplementation() {
		t.Run(fmt.Sprintf("%d:%s", i, strings.ReplaceAll(im[SHA256].String(), " ", "_")), func(t *testing.T) { do(t, im) })
	}
}

// reference is what crypto/hmac computes.
func reference(h Hash, key, data []byte) []byte {
	m := hmac.New(functionTable[h].new, key)
	m.Write(data)
	return m.Sum(nil)
}

// A batch is messages side by side in one buffer, and room for their HMACs in another, canaries in both.
type batch struct {
	ops           []Op
	raw           [][]byte // keys
	messages, out []byte
}

const canary = 0xa5

// newBatch lays out messages of the given lengths; their hashes are drawn from those given, the length of an
// HMAC is whole or cut.
func newBatch(random *rand.Rand, from []Hash, lengths []int, gap int) *batch {
	b := &batch{}
	pool := map[Hash][]*Key{}
	raw := map[Hash][][]byte{}
	for _, h := range from {
		for _, n := range []int{0, functionTable[h].size, 1 + random.IntN(200)} {
			key := make([]byte, n)
			fill(random, key)
			pool[h], raw[h] = append(pool[h], NewKey(h, key)), append(raw[h], key)
		}
	}
	size := gap
	for _, n := range lengths {
		size += n + gap
	}
	b.messages = bytes.Repeat([]byte{canary}, size)
	b.out = bytes.Repeat([]byte{canary}, (64+gap)*len(lengths))
	at := gap
	for i, n := range lengths {
		h := from[random.IntN(len(from))]
		k := random.IntN(len(pool[h]))
		data := b.messages[at : at+n]
		fill(random, data)
		size := functionTable[h].size
		if random.IntN(2) == 0 {
			size = random.IntN(size + 1)
		}
		b.ops = append(b.ops, Op{pool[h][k], data, b.out[(64+gap)*i:][:size]})
		b.raw = append(b.raw, raw[h][k])
		at += n + gap
	}
	return b
}

func fill(random *rand.Rand, p []byte) {
	for i := range p {
		p[i] = byte(random.Uint32())
	}
}

// check computes the HMACs and compares them, and all memory around, with what crypto/hmac makes of it.
func (b *batch) check(t testing.TB, im *implementation) {
	t.Helper()
	messages, want := bytes.Clone(b.messages), bytes.Repeat([]byte{canary}, len(b.out))
	for i := range b.out {
		b.out[i] = canary
	}
	stride := 0
	if len(b.ops) > 0 {
		stride = len(b.out) / len(b.ops)
	}
	for i, op := range b.ops {
		copy(want[stride*i:][:len(op.Out)], reference(op.Key.hash, b.raw[i], op.Data))
	}
	im.sum(b.ops)
	if !bytes.Equal(b.messages, messages) {
		t.Fatalf("%v: messages were written to", im)
	}
	if bytes.Equal(b.out, want) {
		return
	}
	for i, op := range b.ops {
		if !bytes.Equal(b.out[stride*i:][:stride], want[stride*i:][:stride]) {
			t.Fatalf("%v: packet %d of %d, HMAC-%v of %d bytes:\n got %x\nwant %x",
				im, i, len(b.ops), op.Key.hash, len(op.Data), b.out[stride*i:][:stride], want[stride*i:][:stride])
		}
	}
}

// Every length to 300 bytes alone, each hash: every place the padding may fall.
func TestEveryLength(t *testing.T) {
	each(t, func(t *testing.T, im *implementation) {
		random := rand.New(rand.NewPCG(1, 1))
		for _, h := range all {
			for n := range 301 {
				newBatch(random, []Hash{h}, []int{n}, 3).check(t, im)
			}
		}
	})
}

// Every number of equal messages: idle lanes, and the change between kernels.
func TestEqualMessages(t *testing.T) {
	each(t, func(t *testing.T, im *implementation) {
		random := rand.New(rand.NewPCG(2, 2))
		for _, h := range all {
			for n := range 40 {
				lengths := make([]int, n)
				for i := range lengths {
					lengths[i] = 333
				}
				newBatch(random, []Hash{h}, lengths, 0).check(t, im)
			}
		}
	})
}

func TestRandomBatches(t *testing.T) {
	each(t, func(t *testing.T, im *implementation) {
		random := rand.New(rand.NewPCG(3, 3))
		for round := range 80 {
			lengths := make([]int, random.IntN(70))
			for i := range lengths {
				lengths[i] = random.IntN(1 + random.IntN(2001))
			}
			from := all
			if round%2 == 0 {
				from = all[round/2%len(all):][:1]
			}
			newBatch(random, from, lengths, random.IntN(3)).check(t, im)
		}
	})
}

// The shape is two bytes a message and the hash; what crypto/hmac makes of the same messages is the truth.
func FuzzAgainstCryptoHMAC(f *testing.F) {
	f.Add(uint64(1), byte(1), []byte{1, 0, 88, 0, 0, 0, 17, 0, 125, 1})
	f.Add(uint64(2), byte(99), []byte{1, 0, 88, 0, 0, 0, 17, 0, 125, 1})
	f.Fuzz(func(t *testing.T, seed uint64, hash byte, shape []byte) {
		var lengths []int
		for ; len(shape) >= 2 && len(lengths) < 200; shape = shape[2:] {
			lengths = append(lengths, int(binary.LittleEndian.Uint16(shape))%2001)
		}
		from := all
		if int(hash) < len(all) {
			from = all[hash:][:1]
		}
		for _, im := range everyImplementation() {
			newBatch(rand.New(rand.NewPCG(seed, 4)), from, lengths, int(seed%3)).check(t, im)
		}
	})
}

func repeat(b byte, n int) string { return strings.Repeat(string([]byte{b}), n) }

func numbers(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i + 1)
	}
	return string(b)
}

// rfcVectors are the test cases of RFC 2202 and RFC 4231.
var rfcVectors = []struct {
	name      string
	key, data string
	want      map[Hash]string
}{
	{"RFC 2202, 2.1", repeat(0x0b, 16), "Hi There", map[Hash]string{MD5: "9294727a3638bb1c13f48ef8158bfc9d"}},
	{"RFC 2202, 3.1", repeat(0x0b, 20), "Hi There", map[Hash]string{SHA1: "b617318655057264e28bc0b6fb378c8ef146be00"}},
	{"RFC 4231, 4.2", repeat(0x0b, 20), "Hi There", map[Hash]string{
		SHA256: "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
		SHA384: "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
		SHA512: "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
	}},
	{"RFC 2202, 2; RFC 4231, 4.3", "Jefe", "what do ya want for nothing?", map[Hash]string{
		MD5:    "750c783e6ab0b503eaa86e310a5db738",
		SHA1:   "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
		SHA256: "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
		SHA384: "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
		SHA512: "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
	}},
	{"RFC 2202, 2.3", repeat(0xaa, 16), repeat(0xdd, 50), map[Hash]string{MD5: "56be34521d144c88dbb8c733f0e8b3f6"}},
	{"RFC 2202, 3.3; RFC 4231, 4.4", repeat(0xaa, 20), repeat(0xdd, 50), map[Hash]string{
		SHA1:   "125d7342b9ac11cd91a39af48aa17b4f63f175d3",
		SHA256: "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
		SHA384: "88062608d3e6ad8a0aa2ace014c8a86f0aa635d947ac9febe83ef4e55966144b2a5ab39dc13814b94e3ab6e101a34f27",
		SHA512: "fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39bf3e848279a722c806b485a47e67c807b946a337bee8942674278859e13292fb",
	}},
	{"RFC 2202, 4; RFC 4231, 4.5", numbers(25), repeat(0xcd, 50), map[Hash]string{
		MD5:    "697eaf0aca3a3aea3a75164746ffaa79",
		SHA1:   "4c9007f4026250c6bc8414f9bf50c86c2d7235da",
		SHA256: "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
		SHA384: "3e8a69b7783c25851933ab6290af6ca77a9981480850009cc5577c6e1f573b4e6801dd23c4a7d679ccf8a386c674cffb",
		SHA512: "b0ba465637458c6990e5a8c5f61d4af7e576d97ff94b872de76f8050361ee3dba91ca5c11aa25eb4d679275cc5788063a5f19741120c4f2de2adebeb10a298dd",
	}},
	{"RFC 2202, 6", repeat(0xaa, 80), "Test Using Larger Than Block-Size Key - Hash Key First", map[Hash]string{
		MD5:  "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd",
		SHA1: "aa4ae5e15272d00e95705637ce8a3b55ed402112",
	}},
	{"RFC 2202, 7", repeat(0xaa, 80), "Test Using Larger Than Block-Size Key and Larger Than One Block-Size Data", map[Hash]string{
		MD5:  "6f630fad67cda0ee1fb1f562db3aa53e",
		SHA1: "e8e99d0f45237d786d6bbaa7965c7808bbff1a91",
	}},
	{"RFC 4231, 4.7", repeat(0xaa, 131), "Test Using Larger Than Block-Size Key - Hash Key First", map[Hash]string{
		SHA256: "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
		SHA384: "4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163f44952",
		SHA512: "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f3526b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598",
	}},
	{"RFC 4231, 4.8", repeat(0xaa, 131), "This is a test using a larger than block-size key and a larger than block-size data. " +
		"The key needs to be hashed before being used by the HMAC algorithm.", map[Hash]string{
		SHA256: "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
		SHA384: "6617178e941f020d351e2f254e8fd32c602420feb0b8fb9adccebb82461e99c5a678cc31e799176d3860e6110c46523e",
		SHA512: "e37b6a775dc87dbaa4dfa9f96e5e3ffddebd71f8867289865df5a32d20cdc944b6022cac3c4982b10d5eeb55c3e4de15134676fb6de0446065c97440fa8c6a58",
	}},
}

// All in one batch: lanes of every hash, key size and length.
func TestRFCVectors(t *testing.T) {
	each(t, func(t *testing.T, im *implementation) {
		var ops []Op
		var names, want []string
		for _, v := range rfcVectors {
			for h, hmac := range v.want {
				ops = append(ops, Op{NewKey(h, []byte(v.key)), []byte(v.data), make([]byte, len(hmac)/2)})
				names, want = append(names, fmt.Sprintf("%s, HMAC-%v", v.name, h)), append(want, hmac)
			}
		}
		im.sum(ops)
		for i, op := range ops {
			if got := hex.EncodeToString(op.Out); got != want[i] {
				t.Errorf("%s: %s, want %s", names[i], got, want[i])
			}
		}
	})
}

func TestNoAllocation(t *testing.T) {
	each(t, func(t *testing.T, im *implementation) {
		for _, h := range all {
			for _, n := range []int{1, 2, 5, 64} {
				lengths := make([]int, n)
				for i := range lengths {
					lengths[i] = 100 + 10*i
				}
				b := newBatch(rand.New(rand.NewPCG(5, 5)), []Hash{h}, lengths, 0)
				if got := testing.AllocsPerRun(20, func() { im.sum(b.ops) }); got != 0 {
					t.Errorf("HMAC-%v of %d messages: %v allocations", h, n, got)
				}
			}
		}
	})
}

// An operator's ten thousand tunnels hold forty thousand keys.
func TestKeyIsSmall(t *testing.T) {
	for h, most := range map[Hash]int{MD5: 128, SHA1: 128, SHA256: 128, SHA384: 256, SHA512: 256} {
		k := NewKey(h, make([]byte, 20))
		got := int(unsafe.Sizeof(*k))
		if k.narrow != nil {
			got += int(unsafe.Sizeof(*k.narrow))
		}
		if k.wide != nil {
			got += int(unsafe.Sizeof(*k.wide))
		}
		if got > most {
			t.Errorf("HMAC-%v: a key takes %d bytes, want at most %d", h, got, most)
		}
	}
}

// The exported functions are those of the chosen implementation.
func TestExported(t *testing.T) {
	for _, h := range all {
		if got, want := Implementation(h), best()[h].String(); got != want {
			t.Errorf("Implementation(%v) is %q, want %q", h, got, want)
		}
		key, data := []byte("key"), []byte("data")
		want := reference(h, key, data)
		got := make([]byte, len(want))
		Sum([]Op{{NewKey(h, key), data, got}})
		if !bytes.Equal(got, want) {
			t.Errorf("HMAC-%v: %x, want %x", h, got, want)
		}
	}
}

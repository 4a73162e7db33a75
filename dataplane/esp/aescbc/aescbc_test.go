package aescbc

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
)

// each runs a test for every implementation that the machine has.
func each(t *testing.T, do func(*testing.T, implementation)) {
	for _, im := range available() {
		t.Run(im.String(), func(t *testing.T) { do(t, im) })
	}
}

// A batch is packets side by side in one buffer, canaries between them.
type batch struct {
	im     implementation
	buffer []byte
	ops    []Op
	keys   [][]byte // of each op
}

const canary = 0xa5

// newBatch lays out packets of the given numbers of blocks. Keys are drawn from a few of each size, so that
// lanes share keys and change them; where together is set, packets touch and an IV lies before its data.
func newBatch(t testing.TB, im implementation, random *rand.Rand, blocks []int, together bool) *batch {
	b := &batch{im: im}
	var pool []*Key
	var raw [][]byte
	for i := range 9 {
		key := make([]byte, 16+8*(i%3))
		fill(random, key)
		k, err := im.newKey(key)
		if err != nil {
			t.Fatal(err)
		}
		pool, raw = append(pool, k), append(raw, key)
	}
	gap := 7
	if together {
		gap = 0
	}
	size := gap
	for _, n := range blocks {
		size += BlockSize + BlockSize*n + gap
	}
	b.buffer = bytes.Repeat([]byte{canary}, size)
	at := gap
	for _, n := range blocks {
		iv := b.buffer[at : at+BlockSize : at+BlockSize]
		data := b.buffer[at+BlockSize : at+BlockSize+n*BlockSize]
		fill(random, iv)
		fill(random, data)
		k := random.IntN(len(pool))
		b.ops, b.keys = append(b.ops, Op{pool[k], iv, data}), append(b.keys, raw[k])
		at += BlockSize + n*BlockSize + gap
	}
	return b
}

func fill(random *rand.Rand, p []byte) {
	for i := range p {
		p[i] = byte(random.Uint32())
	}
}

// check encrypts and decrypts the batch, and compares the whole buffer with what crypto/cipher makes of it.
func (b *batch) check(t testing.TB) {
	t.Helper()
	plain := bytes.Clone(b.buffer)
	for i, op := range b.ops {
		c, err := aes.NewCipher(b.keys[i])
		if err != nil {
			t.Fatal(err)
		}
		cipher.NewCBCEncrypter(c, op.IV).CryptBlocks(op.Data, op.Data)
	}
	want := bytes.Clone(b.buffer)
	copy(b.buffer, plain)
	b.im.encrypt(b.ops)
	if !bytes.Equal(b.buffer, want) {
		t.Fatalf("%v: encryption of %v differs from crypto/cipher at byte %d", b.im, b.shape(), firstDifference(b.buffer, want))
	}
	b.im.decrypt(b.ops)
	if !bytes.Equal(b.buffer, plain) {
		t.Fatalf("%v: decryption of %v differs from the plaintext at byte %d", b.im, b.shape(), firstDifference(b.buffer, plain))
	}
}

// shape is the key size and number of blocks of each packet.
func (b *batch) shape() (s []string) {
	for i, op := range b.ops {
		s = append(s, fmt.Sprintf("%d:%d", 8*len(b.keys[i]), len(op.Data)/BlockSize))
	}
	return s
}

func firstDifference(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

// FIPS 197, appendix B and C: one block under a zero IV.
func TestFIPS197(t *testing.T) {
	plain := []byte{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}
	each(t, func(t *testing.T, im implementation) {
		for size, want := range map[int]string{
			16: "69c4e0d86a7b0430d8cdb78070b4c55a",
			24: "dda97ca4864cdfe06eaf70a0ec0d7191",
			32: "8ea2b7ca516745bfeafc49904b496089",
		} {
			key := make([]byte, size)
			for i := range key {
				key[i] = byte(i)
			}
			k, err := im.newKey(key)
			if err != nil {
				t.Fatal(err)
			}
			data := bytes.Clone(plain)
			ops := []Op{{k, make([]byte, BlockSize), data}}
			im.encrypt(ops)
			if got := fmt.Sprintf("%x", data); got != want {
				t.Errorf("AES-%d: %s, want %s", 8*size, got, want)
			}
			im.decrypt(ops)
			if !bytes.Equal(data, plain) {
				t.Errorf("AES-%d: decrypted to %x, want %x", 8*size, data, plain)
			}
		}
	})
}

// Every length to 40 blocks alone: main loops, tails, and what remains of them.
func TestOnePacket(t *testing.T) {
	each(t, func(t *testing.T, im implementation) {
		random := rand.New(rand.NewPCG(1, 1))
		for n := range 41 {
			for range 3 {
				newBatch(t, im, random, []int{n}, n%2 == 0).check(t)
			}
		}
	})
}

// Every number of equal packets: widths, and lanes that copy the first.
func TestEqualPackets(t *testing.T) {
	each(t, func(t *testing.T, im implementation) {
		random := rand.New(rand.NewPCG(2, 2))
		for n := range 40 {
			blocks := make([]int, n)
			for i := range blocks {
				blocks[i] = 12
			}
			newBatch(t, im, random, blocks, true).check(t)
		}
	})
}

func TestRandomBatches(t *testing.T) {
	each(t, func(t *testing.T, im implementation) {
		random := rand.New(rand.NewPCG(3, 3))
		for range 300 {
			blocks := make([]int, random.IntN(70))
			for i := range blocks {
				blocks[i] = random.IntN(1 + random.IntN(126))
			}
			newBatch(t, im, random, blocks, random.IntN(2) == 0).check(t)
		}
	})
}

// The shape is two bytes a packet; what crypto/cipher makes of the same packets is the truth.
func FuzzAgainstCryptoCipher(f *testing.F) {
	f.Add(uint64(1), []byte{1, 0, 88, 0, 0, 0, 17, 0, 125, 1})
	f.Fuzz(func(t *testing.T, seed uint64, shape []byte) {
		var blocks []int
		for ; len(shape) >= 2 && len(blocks) < 200; shape = shape[2:] {
			blocks = append(blocks, int(binary.LittleEndian.Uint16(shape))%126)
		}
		for _, im := range available() {
			newBatch(t, im, rand.New(rand.NewPCG(seed, 4)), blocks, seed%2 == 0).check(t)
		}
	})
}

func TestNewKeyRefusesOtherSizes(t *testing.T) {
	each(t, func(t *testing.T, im implementation) {
		for n := range 65 {
			_, err := im.newKey(make([]byte, n))
			if ok := n == 16 || n == 24 || n == 32; (err == nil) != ok {
				t.Errorf("a key of %d bytes: error %v", n, err)
			}
		}
	})
}

// Machine code must never be given a partial block.
func TestPartialBlocksPanic(t *testing.T) {
	each(t, func(t *testing.T, im implementation) {
		k, err := im.newKey(make([]byte, 16))
		if err != nil {
			t.Fatal(err)
		}
		for _, op := range []Op{
			{k, make([]byte, 16), make([]byte, 17)},
			{k, make([]byte, 15), make([]byte, 16)},
			{k, make([]byte, 17), make([]byte, 16)},
		} {
			for name, do := range map[string]func([]Op){"encrypt": im.encrypt, "decrypt": im.decrypt} {
				func() {
					defer func() {
						if recover() == nil {
							t.Errorf("%s took an IV of %d and data of %d bytes", name, len(op.IV), len(op.Data))
						}
					}()
					do([]Op{op})
				}()
			}
		}
	})
}

func TestNoAllocation(t *testing.T) {
	each(t, func(t *testing.T, im implementation) {
		for _, n := range []int{1, 3, 64} {
			blocks := make([]int, n)
			for i := range blocks {
				blocks[i] = 10 + i%7
			}
			b := newBatch(t, im, rand.New(rand.NewPCG(5, 5)), blocks, true)
			if got := testing.AllocsPerRun(20, func() { im.encrypt(b.ops); im.decrypt(b.ops) }); got != 0 {
				t.Errorf("%d packets: %v allocations", n, got)
			}
		}
	})
}

// The exported functions are those of the chosen implementation.
func TestExported(t *testing.T) {
	if got := Implementation(); got != best().String() {
		t.Errorf("Implementation is %q, want %q", got, best())
	}
	key, iv, data := make([]byte, 32), make([]byte, BlockSize), []byte("sixteen bytes of")
	k, err := NewKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, BlockSize)
	cipher.NewCBCEncrypter(c, iv).CryptBlocks(want, data)
	ops := []Op{{k, iv, data}}
	Encrypt(ops)
	if !bytes.Equal(data, want) {
		t.Errorf("encrypted to %x, want %x", data, want)
	}
	Decrypt(ops)
	if string(data) != "sixteen bytes of" {
		t.Errorf("decrypted to %q", data)
	}
}

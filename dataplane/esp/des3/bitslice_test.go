package des3

import (
	"crypto/des"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// eachWidth runs test with the number of words in a plane of each bit-sliced cipher.
func eachWidth(t *testing.T, test func(t *testing.T, words int)) {
	t.Helper()
	eachImplementation(t, func(t *testing.T, im implementation) {
		switch im.name {
		case "avx2":
			test(t, 4)
		case "portable":
			test(t, 1)
		}
	})
}

// randomKey is a key, and the same for the reference.
func randomKey(t *testing.T, r *rand.Rand) (*Key, []byte) {
	t.Helper()
	raw := make([]byte, KeySize)
	fill(r, raw)
	key, err := NewKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	return key, raw
}

func TestScalarBlock(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 1))
	for range 200 {
		key, raw := randomKey(t, r)
		reference, err := des.NewTripleDESCipher(raw)
		if err != nil {
			t.Fatal(err)
		}
		var s scalarKey
		s.expand(key)
		in, want := make([]byte, BlockSize), make([]byte, BlockSize)
		fill(r, in)
		reference.Encrypt(want, in)
		plain, sealed := binary.BigEndian.Uint64(in), binary.BigEndian.Uint64(want)
		if got := s.encrypt(plain); got != sealed {
			t.Fatalf("key %x: %x is encrypted to %016x, want %x", raw, in, got, want)
		}
		if got := s.decrypt(sealed); got != plain {
			t.Fatalf("key %x: %x is decrypted to %016x, want %x", raw, want, got, in)
		}
	}
}

func TestScalarHalf(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 2))
	for range 100 {
		half := r.Uint32()
		if got := scalarBits(scalarHalf(half)); got != half {
			t.Errorf("%#08x becomes %#08x", half, got)
		}
		b := r.Uint64()
		if got := finalPermutation(initialPermutation(b)); got != b {
			t.Errorf("%#016x becomes %#016x", b, got)
		}
	}
}

// Row i of matrix j is word words*i+j.
func TestTranspose(t *testing.T) {
	t.Parallel()
	eachWidth(t, func(t *testing.T, words int) {
		r := rand.New(rand.NewPCG(3, 3))
		s := lanes{words: words}
		var in, out [maxLanes]uint64
		for i := range s.lanes() {
			in[i] = r.Uint64()
		}
		out = in
		s.transpose(&out)
		for j := range words {
			for row := range 64 {
				for column := range 64 {
					if in[row*words+j]>>column&1 != out[column*words+j]>>row&1 {
						t.Fatalf("bit %d of row %d of matrix %d is not bit %d of row %d", column, row, j, row, column)
					}
				}
			}
		}
	})
}

// All ways to give the lanes keys: one key, again, a few runs of lanes, and a key of its own for each lane.
func TestLaneKeys(t *testing.T) {
	t.Parallel()
	eachWidth(t, func(t *testing.T, words int) {
		r := rand.New(rand.NewPCG(3, 4))
		s := lanes{words: words}
		var keys []*Key
		for range s.lanes() {
			key, _ := randomKey(t, r)
			keys = append(keys, key)
		}
		for _, every := range []int{s.lanes(), s.lanes(), 1, s.lanes(), s.lanes() - 1, s.lanes() / 3, s.lanes(), 5, 1, s.lanes() / 2} {
			for l := range s.lanes() {
				s.want(keys[l/every], l)
			}
			s.setKeys()
			for l := range s.lanes() {
				key := keys[l/every]
				for round, order := range keyBitTable.order {
					for j, i := range order {
						got := s.keys[int(i)*words+l%words] >> (l / words) & 1
						if want := key.rounds[round] >> (8*(j/6) + 5 - j%6) & 1; got != want {
							t.Fatalf("a key for every %d lanes: lane %d has %d for bit %d of round %d, want %d", every, l, got, j, round, want)
						}
						if 4*8*int(i) != int(keyBitTable.offsets[round][j]) {
							t.Fatalf("bit %d of round %d: offset %d for bit %d of the key", j, round, keyBitTable.offsets[round][j], i)
						}
					}
				}
			}
		}
	})
}

// More packets than there are lanes, and more than are put in order at once.
func TestMorePacketsThanLanes(t *testing.T) {
	t.Parallel()
	eachImplementation(t, func(t *testing.T, im implementation) {
		for i, packets := range []int{191, 255, 256, 257, 300, 511, 512, 520, 700} {
			for _, s := range []shape{
				{packets: packets, keys: 1, blocks: 9},
				{packets: packets, keys: 1, blocks: 7, equal: true, adjacent: true},
				{packets: packets, keys: packets, blocks: 5, equal: true},
				{packets: packets, keys: 4, blocks: 40, adjacent: true},
			} {
				newWorkload(t, uint64(i), s).check(t, im)
				if t.Failed() {
					t.Fatalf("%+v, seed %d", s, i)
				}
			}
		}
	})
}

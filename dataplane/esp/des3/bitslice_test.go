package des3

import (
	"bytes"
	"crypto/cipher"
	"crypto/des" //nolint:gosec // G502: the oracle
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// random fills b.
func random(r *rand.Rand, b []byte) []byte {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func block(t testing.TB, key []byte) cipher.Block {
	b, err := des.NewTripleDESCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestScalarBlock(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	for range 200 {
		raw := random(r, make([]byte, KeySize))
		key, err := NewKey(raw)
		if err != nil {
			t.Fatal(err)
		}
		var s scalarKey
		s.expand(key)
		in, want := random(r, make([]byte, BlockSize)), make([]byte, BlockSize)
		block(t, raw).Encrypt(want, in)
		b := binary.BigEndian.Uint64(in)
		if got := s.encrypt(b); got != binary.BigEndian.Uint64(want) {
			t.Fatalf("key %x: %x is encrypted to %x, want %x", raw, in, got, want)
		}
		if got := s.decrypt(binary.BigEndian.Uint64(want)); got != b {
			t.Fatalf("key %x: %x is decrypted to %x, want %x", raw, want, got, b)
		}
	}
}

// batch is random packets with random keys, IVs and lengths, in one buffer with room between them.
func batch(t testing.TB, r *rand.Rand, n, keys, longest int) (memory []byte, ops []Op, raw [][]byte) {
	var ks []*Key
	var raws [][]byte
	for range keys {
		k := random(r, make([]byte, KeySize))
		key, err := NewKey(k)
		if err != nil {
			t.Fatal(err)
		}
		ks, raws = append(ks, key), append(raws, k)
	}
	memory = random(r, make([]byte, n*(longest+3)*BlockSize))
	at := 0
	for range n {
		at += r.IntN(8)
		k := r.IntN(keys)
		iv := memory[at : at+BlockSize]
		at += BlockSize
		size := BlockSize * r.IntN(longest+1)
		ops = append(ops, Op{ks[k], iv, memory[at : at+size : at+size]})
		raw = append(raw, raws[k])
		at += size
	}
	return memory, ops, raw
}

func TestSlicedAgainstStandardLibrary(t *testing.T) {
	for _, im := range implementations {
		if !im.usable {
			t.Logf("this machine does not have %s", im.name)
			continue
		}
		t.Run(im.name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(4, 1))
			for round := range 120 {
				n := r.IntN([]int{2, 12, 80, 300}[round%4]) + 1
				memory, ops, raw := batch(t, r, n, 1+round/4%3*r.IntN(n), 1+r.IntN(30))
				plain := bytes.Clone(memory)
				im.encrypt(ops)
				sealed := bytes.Clone(memory)
				im.decrypt(ops)
				if !bytes.Equal(memory, plain) {
					t.Fatalf("round %d, %d packets: decrypted is not what was encrypted", round, n)
				}
				for i, op := range ops {
					cipher.NewCBCEncrypter(block(t, raw[i]), op.IV).CryptBlocks(op.Data, op.Data)
				}
				if !bytes.Equal(memory, sealed) {
					t.Fatalf("round %d, %d packets: not what the standard library encrypts", round, n)
				}
			}
		})
	}
}

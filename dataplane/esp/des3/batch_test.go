package des3

import (
	"bufio"
	"bytes"
	"crypto/cipher"
	"crypto/des"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"meshrouter/internal/cpu"
	"meshrouter/internal/testvectors"
)

// eachImplementation runs test with every implementation; what the machine lacks is named and skipped.
func eachImplementation(t *testing.T, test func(t *testing.T, im implementation)) {
	t.Helper()
	for _, im := range implementations {
		t.Run(im.name, func(t *testing.T) {
			t.Parallel()
			if !im.usable {
				t.Skipf("this machine cannot run %s", im.name)
			}
			test(t, im)
		})
	}
}

// A workload is a batch of packets in one piece of memory, as a caller lays them out, and what has to become of it.
type workload struct {
	ops                  []Op
	memory               []byte
	starts               []int  // of each packet in it
	encrypted, decrypted []byte // the whole memory afterwards
}

// A shape says what a workload may look like.
type shape struct {
	packets, keys, blocks int  // blocks: of a packet at most
	equal                 bool // all packets are that long
	adjacent              bool // no byte between packets, nor between IV and data

	of func(packet int) int // blocks, where packets are to differ in a certain way
}

func newWorkload(t testing.TB, seed uint64, s shape) *workload {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	type keyPair struct {
		key   *Key
		block cipher.Block
	}
	keys := make([]keyPair, s.keys)
	for i := range keys {
		raw := make([]byte, KeySize)
		fill(r, raw)
		k, err := NewKey(raw)
		if err != nil {
			t.Fatal(err)
		}
		b, err := des.NewTripleDESCipher(raw)
		if err != nil {
			t.Fatal(err)
		}
		keys[i] = keyPair{k, b}
	}
	gap := func() int {
		if s.adjacent {
			return 0
		}
		return r.IntN(20)
	}
	type place struct{ key, iv, from, to int }
	places := make([]place, s.packets)
	end := gap()
	for i := range places {
		n := s.blocks
		switch {
		case s.of != nil:
			n = s.of(i)
		case !s.equal:
			n = r.IntN(s.blocks + 1)
		}
		p := place{key: r.IntN(len(keys)), iv: end}
		p.from = p.iv + BlockSize + gap()
		p.to = p.from + n*BlockSize
		end = p.to + gap()
		places[i] = p
	}
	w := &workload{memory: make([]byte, end)}
	fill(r, w.memory)
	w.encrypted, w.decrypted = bytes.Clone(w.memory), bytes.Clone(w.memory)
	for _, p := range places {
		k, iv := keys[p.key], w.memory[p.iv:p.iv+BlockSize:p.iv+BlockSize]
		w.starts = append(w.starts, p.from)
		w.ops = append(w.ops, Op{Key: k.key, IV: iv, Data: w.memory[p.from:p.to:p.to]})
		cipher.NewCBCEncrypter(k.block, iv).CryptBlocks(w.encrypted[p.from:p.to], w.memory[p.from:p.to])
		cipher.NewCBCDecrypter(k.block, iv).CryptBlocks(w.decrypted[p.from:p.to], w.memory[p.from:p.to])
	}
	return w
}

func fill(r *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
}

// check runs both directions and compares all of the memory, between the packets too.
func (w *workload) check(t testing.TB, im implementation) {
	t.Helper()
	before := bytes.Clone(w.memory)
	for _, c := range []struct {
		direction string
		do        func([]Op)
		want      []byte
	}{{"encrypt", im.encrypt, w.encrypted}, {"decrypt", im.decrypt, w.decrypted}} {
		copy(w.memory, before)
		c.do(w.ops)
		if !bytes.Equal(w.memory, c.want) {
			t.Errorf("%s: %s: %s", im.name, c.direction, w.difference(c.want))
		}
	}
	copy(w.memory, before)
}

// difference tells the first byte that is wrong.
func (w *workload) difference(want []byte) string {
	for at := range want {
		if w.memory[at] == want[at] {
			continue
		}
		for i, from := range w.starts {
			if n := len(w.ops[i].Data); at >= from && at < from+n {
				return fmt.Sprintf("packet %d of %d, %d bytes long: byte %d is %#x, want %#x", i, len(w.ops), n, at-from, w.memory[at], want[at])
			}
		}
		return fmt.Sprintf("byte %d, which is in no packet, is %#x, was %#x", at, w.memory[at], want[at])
	}
	return "no difference"
}

// Numbers of packets up to more than two groups of 64 lanes, alike and not, with one key and with several.
func TestBatches(t *testing.T) {
	t.Parallel()
	eachImplementation(t, func(t *testing.T, im implementation) {
		seed := uint64(0)
		for packets := range 150 {
			if packets > 12 && packets%64 > 3 && packets%64 < 61 && packets%10 > 0 {
				continue // nothing begins or ends there
			}
			for _, s := range []shape{
				{packets: packets, keys: 1, blocks: 1 + packets%20, equal: true, adjacent: true},
				{packets: packets, keys: 1, blocks: 20},
				{packets: packets, keys: packets + 1, blocks: 1 + packets%12, equal: true},
				{packets: packets, keys: 3, blocks: 30, adjacent: true},
			} {
				seed++
				newWorkload(t, seed, s).check(t, im)
				if t.Failed() {
					t.Fatalf("%+v, seed %d", s, seed)
				}
			}
		}
	})
}

// Every length from nothing to more than three groups of decrypted blocks, alone and with a neighbour.
func TestLengths(t *testing.T) {
	t.Parallel()
	eachImplementation(t, func(t *testing.T, im implementation) {
		for blocks := range 200 {
			for packets := 1; packets <= 2; packets++ {
				newWorkload(t, uint64(blocks), shape{packets: packets, keys: packets, blocks: blocks, equal: true, adjacent: true}).check(t, im)
			}
			if t.Failed() {
				t.Fatalf("%d blocks", blocks)
			}
		}
	})
}

// Packets that are longer than what is counted when they are put in order.
func TestLongPackets(t *testing.T) {
	t.Parallel()
	eachImplementation(t, func(t *testing.T, im implementation) {
		newWorkload(t, 1, shape{packets: 66, keys: 1, of: func(i int) int { return 2040 + i }}).check(t, im)
	})
}

// The lanes of one group end before those of the other: the first 64 packets, or the rest.
func TestOneGroupEnds(t *testing.T) {
	t.Parallel()
	eachImplementation(t, func(t *testing.T, im implementation) {
		for _, blocks := range []int{1, 7, 8, 9, 16} {
			for more := range 10 {
				first := func(i int) int { return blocks + more*(1-min(i/64, 1)) }
				rest := func(i int) int { return blocks + more*min(i/64, 1) }
				for _, of := range []func(int) int{first, rest} {
					newWorkload(t, 1, shape{packets: 70, keys: 1, of: of}).check(t, im)
				}
			}
		}
	})
}

// A batch of any shape becomes what crypto/des makes of it, and no byte beside it changes.
func FuzzBatch(f *testing.F) {
	f.Add(uint64(1), uint16(1), uint8(1), uint8(176), true, true)
	f.Add(uint64(2), uint16(64), uint8(1), uint8(176), true, true)
	f.Add(uint64(3), uint16(64), uint8(64), uint8(20), false, false)
	f.Add(uint64(4), uint16(129), uint8(1), uint8(60), false, true)
	f.Add(uint64(5), uint16(300), uint8(3), uint8(5), false, false)
	f.Fuzz(func(t *testing.T, seed uint64, packets uint16, keys, blocks uint8, equal, adjacent bool) {
		w := newWorkload(t, seed, shape{
			packets: int(packets % 400), keys: 1 + int(keys), blocks: int(blocks), equal: equal, adjacent: adjacent,
		})
		for _, im := range implementations {
			if im.usable {
				w.check(t, im)
			}
		}
	})
}

// The contract of Op is checked before anything is touched.
func TestWrongOps(t *testing.T) {
	t.Parallel()
	k, err := NewKey(make([]byte, KeySize))
	if err != nil {
		t.Fatal(err)
	}
	for name, op := range map[string]Op{
		"no key":       {IV: make([]byte, BlockSize), Data: make([]byte, 8)},
		"short IV":     {Key: k, IV: make([]byte, 7), Data: make([]byte, 8)},
		"part a block": {Key: k, IV: make([]byte, BlockSize), Data: make([]byte, 12)},
	} {
		for _, do := range []func([]Op){Encrypt, Decrypt} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s was taken", name)
					}
				}()
				do([]Op{op})
			}()
		}
	}
	if _, err := NewKey(make([]byte, 16)); err == nil {
		t.Error("a key of 16 bytes was taken")
	}
}

func TestNoAllocation(t *testing.T) {
	for _, im := range implementations {
		if !im.usable {
			t.Logf("this machine cannot run %s", im.name)
			continue
		}
		for _, s := range []shape{
			{packets: 1, keys: 1, blocks: 176, equal: true},
			{packets: 3, keys: 2, blocks: 8},
			{packets: 150, keys: 1, blocks: 20},
			{packets: 64, keys: 64, blocks: 8},
		} {
			w := newWorkload(t, 1, s)
			if n := testing.AllocsPerRun(5, func() { im.encrypt(w.ops); im.decrypt(w.ops) }); n != 0 {
				t.Errorf("%s: %+v: %v allocations", im.name, s, n)
			}
		}
	}
}

// The tables of NIST Special Publication 800-20 and the multi-block tests, all of a file in one batch.
func TestNIST(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"TCBCMMT2", "TCBCMMT3", "TCBCinvperm", "TCBCpermop", "TCBCsubtab", "TCBCvarkey", "TCBCvartext"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cases := nist(t, testvectors.Path(t, "nist/"+name+".rsp"))
			if len(cases["ENCRYPT"]) == 0 || len(cases["DECRYPT"]) == 0 {
				t.Fatal("no cases")
			}
			eachImplementation(t, func(t *testing.T, im implementation) {
				for section, do := range map[string]func([]Op){"ENCRYPT": im.encrypt, "DECRYPT": im.decrypt} {
					var ops []Op
					var want [][]byte
					for _, c := range cases[section] {
						in, out := c["PLAINTEXT"], c["CIPHERTEXT"]
						if section == "DECRYPT" {
							in, out = out, in
						}
						k, err := NewKey(slices.Concat(c["KEYs"], c["KEYs"], c["KEYs"]))
						if c["KEY1"] != nil {
							k, err = NewKey(slices.Concat(c["KEY1"], c["KEY2"], c["KEY3"]))
						}
						if err != nil {
							t.Fatal(err)
						}
						ops, want = append(ops, Op{k, c["IV"], bytes.Clone(in)}), append(want, out)
					}
					do(ops)
					for i, op := range ops {
						if !bytes.Equal(op.Data, want[i]) {
							t.Errorf("%s, count %d: got %x, want %x", section, i, op.Data, want[i])
						}
					}
				}
			})
		})
	}
}

// nist reads an .rsp file: the fields of each case, by section.
func nist(t *testing.T, path string) map[string][]map[string][]byte {
	t.Helper()
	cases, section := map[string][]map[string][]byte{}, ""
	lines := bufio.NewScanner(bytes.NewReader(testvectors.Read(t, path)))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		name, value, ok := strings.Cut(line, " = ")
		switch {
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
		case !ok:
		case name == "COUNT":
			cases[section] = append(cases[section], map[string][]byte{})
		default:
			b, err := hex.DecodeString(value)
			if err != nil {
				t.Fatal(err)
			}
			cases[section][len(cases[section])-1][name] = b
		}
	}
	return cases
}

// The first of the implementations that the level allows is chosen.
func TestChoose(t *testing.T) {
	t.Parallel()
	if got := choose(cpu.Portable).name; got != "portable" {
		t.Errorf("at level portable %s is used", got)
	}
	for _, level := range []cpu.Level{cpu.Portable, cpu.AVX2, cpu.AVX512} {
		if im := choose(level); !im.usable || im.level > level {
			t.Errorf("at level %v %s is used", level, im.name)
		}
	}
	if Implementation() != choose(cpu.Max()).name {
		t.Errorf("%s is used", Implementation())
	}
}

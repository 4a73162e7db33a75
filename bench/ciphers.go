package bench

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des" //nolint:gosec // G502: 3DES is what the old peers speak
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // G505: RFC 2404
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"strings"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/esp/aescbc"
	"meshrouter/dataplane/esp/des3"
	"meshrouter/dataplane/esp/hmacs"
)

// A workload is one piece of work: what is done to how many packets of which size.
type workload struct {
	work         string // of workTable
	bytes, batch int
}

func (w workload) String() string {
	return fmt.Sprintf("%s of %d x %d bytes", w.work, w.batch, w.bytes)
}

// The works that are named elsewhere.
const (
	des3Encrypt = "3des-cbc-encrypt"
	des3Mixed   = "3des-cbc-encrypt-mixed" // a key of its own for each packet
	des3Decrypt = "3des-cbc-decrypt"
	des3Seal    = "3des-sha1-seal"
)

// workTable is what is measured: steps of a suite, and whole ESP packets. The harness knows the same names.
var workTable = []string{
	des3Encrypt, des3Mixed, des3Decrypt, "aes-128-cbc-encrypt", "aes-128-cbc-decrypt", "hmac-sha1", "hmac-sha256",
	des3Seal, "3des-sha1-open", "aes128-sha1-seal", "aes128-sha1-open", "aes256-sha256-seal", "aes256-sha256-open",
	"aes128gcm16-seal", "aes128gcm16-open", "aes256gcm16-seal", "aes256gcm16-open", "chacha20poly1305-seal", "chacha20poly1305-open",
}

// suiteTable is the suites of ESP: what old peers speak, and what is fast.
var suiteTable = map[string]suite{
	"3des-sha1":        {esp.TripleDESCBC, esp.HMACSHA1, 24, 20},
	"aes128-sha1":      {esp.AESCBC, esp.HMACSHA1, 16, 20},
	"aes256-sha256":    {esp.AESCBC, esp.HMACSHA256, 32, 32},
	"aes128gcm16":      {esp.AESGCM16, esp.NoAuth, 20, 0},
	"aes256gcm16":      {esp.AESGCM16, esp.NoAuth, 36, 0},
	"chacha20poly1305": {esp.ChaCha20Poly1305, esp.NoAuth, 36, 0},
}

// A suite is a cipher with its integrity, and what the keys of it look like.
type suite struct {
	cipher          esp.Cipher
	auth            esp.Auth
	encKey, authKey int // bytes, with the salt
}

// A task is a workload made ready, to be done again and again.
type task struct {
	once func() // to all packets
	// result is what doing it once to fresh packets gives, one packet after another; nil if chance has a
	// part in it, and it was verified when the task was made.
	result func() []byte
}

var errNotOffered = errors.New("not offered")

// The inputs, which the harness makes likewise.

// key is a key of n bytes that is no weak one.
func key(n int) []byte { return keyOf(n, 0) }

// keyOf is packet i's own key, where keys are mixed.
func keyOf(n, i int) []byte {
	k := make([]byte, n)
	for j := range k {
		k[j] = byte((j*37 + 11 + i*59) & 0xff)
	}
	return k
}

// payload is what packet i carries.
func payload(size, i int) []byte {
	b := make([]byte, size)
	for j := range b {
		b[j] = byte((i + j) & 0xff)
	}
	return b
}

func ivOf(n, i int) []byte {
	b := make([]byte, n)
	for j := range b {
		b[j] = byte((0xa0 + i + j) & 0xff)
	}
	return b
}

// payloads are those of a whole batch, each with room bytes of capacity behind it. They lie apart, and
// not at equal places of a page.
func (w workload) payloads(room int) [][]byte {
	all := make([][]byte, w.batch)
	for i := range all {
		all[i] = append(make([]byte, 0, w.bytes+room+40), payload(w.bytes, i)...)
	}
	return all
}

func (w workload) refill(packets [][]byte) {
	for i, p := range packets {
		copy(p, payload(w.bytes, i))
	}
}

// esp takes the work apart: "aes128gcm16-seal".
func (w workload) esp() (s suite, open, ok bool) {
	name, verb, _ := cut(w.work)
	s, ok = suiteTable[name]
	return s, verb == "open", ok
}

// cut splits at the last dash.
func cut(work string) (name, verb string, ok bool) {
	i := strings.LastIndexByte(work, '-')
	if i < 0 {
		return work, "", false
	}
	return work[:i], work[i+1:], true
}

// ourTask is the workload as meshrouter does it.
func ourTask(w workload) (*task, error) {
	if s, open, ok := w.esp(); ok {
		b, err := newBatch(s, w.bytes, w.batch)
		if err != nil {
			return nil, err
		}
		if err := b.verify(s); err != nil {
			return nil, err
		}
		if open {
			return &task{once: b.open}, nil
		}
		return &task{once: b.seal}, nil
	}
	packets := w.payloads(icvBytes)
	t := &task{result: func() []byte { return concat(packets) }}
	switch w.work {
	case des3Encrypt, des3Decrypt, des3Mixed:
		ops := make([]des3.Op, w.batch)
		for i := range ops {
			if i == 0 || w.work == des3Mixed {
				k, err := des3.NewKey(keyOf(des3.KeySize, i))
				if err != nil {
					return nil, err
				}
				ops[i].Key = k
			} else {
				ops[i].Key = ops[0].Key
			}
			ops[i].IV, ops[i].Data = ivOf(des3.BlockSize, i), packets[i]
		}
		t.once = func() { des3.Encrypt(ops) }
		if w.work == des3Decrypt {
			t.once = func() { des3.Decrypt(ops) }
		}
	case "aes-128-cbc-encrypt", "aes-128-cbc-decrypt":
		k, err := aescbc.NewKey(key(16))
		if err != nil {
			return nil, err
		}
		ops := make([]aescbc.Op, w.batch)
		for i := range ops {
			ops[i] = aescbc.Op{Key: k, IV: ivOf(aescbc.BlockSize, i), Data: packets[i]}
		}
		t.once = func() { aescbc.Encrypt(ops) }
		if w.work == "aes-128-cbc-decrypt" {
			t.once = func() { aescbc.Decrypt(ops) }
		}
	case "hmac-sha1", "hmac-sha256":
		k, icv := hmacs.NewKey(hmacs.SHA1, key(20)), 12
		if w.work == "hmac-sha256" {
			k, icv = hmacs.NewKey(hmacs.SHA256, key(32)), 16
		}
		ops, outs := make([]hmacs.Op, w.batch), make([][]byte, w.batch)
		for i := range ops {
			outs[i] = packets[i][w.bytes:][:icv]
			ops[i] = hmacs.Op{Key: k, Data: packets[i], Out: outs[i]}
		}
		t.once = func() { hmacs.Sum(ops) }
		t.result = func() []byte { return concat(outs) }
	default:
		return nil, fmt.Errorf("%s: %w", w.work, errNotOffered)
	}
	return w.fresh(t, packets), nil
}

// icvBytes is room for any hash behind a payload.
const icvBytes = 16

// fresh makes the task's result that of fresh packets.
func (w workload) fresh(t *task, packets [][]byte) *task {
	collect := t.result
	t.result = func() []byte {
		w.refill(packets)
		t.once()
		return collect()
	}
	return t
}

func concat(packets [][]byte) []byte {
	var all []byte
	for _, p := range packets {
		all = append(all, p...)
	}
	return all
}

// goTask is the workload as the Go libraries do it, one packet after another.
func goTask(w workload) (*task, error) {
	if s, open, ok := w.esp(); ok {
		return goESP(w, s, open)
	}
	packets := w.payloads(icvBytes)
	t := &task{result: func() []byte { return concat(packets) }}
	switch w.work {
	case des3Encrypt, des3Decrypt, des3Mixed, "aes-128-cbc-encrypt", "aes-128-cbc-decrypt":
		blocks, ivs := make([]cipher.Block, w.batch), make([][]byte, w.batch)
		for i := range blocks {
			var err error
			switch {
			case i > 0 && w.work != des3Mixed:
				blocks[i] = blocks[0]
			case strings.HasPrefix(w.work, "3des"):
				blocks[i], err = des.NewTripleDESCipher(keyOf(24, i)) //nolint:gosec // G405: as above
			default:
				blocks[i], err = aes.NewCipher(key(16))
			}
			if err != nil {
				return nil, err
			}
			ivs[i] = ivOf(blocks[i].BlockSize(), i)
		}
		direction := cipher.NewCBCEncrypter
		if strings.HasSuffix(w.work, "decrypt") {
			direction = cipher.NewCBCDecrypter
		}
		t.once = func() {
			for i, p := range packets {
				direction(blocks[i], ivs[i]).CryptBlocks(p, p)
			}
		}
	case "hmac-sha1", "hmac-sha256":
		var mac hash.Hash
		icv := 12
		if mac = hmac.New(sha1.New, key(20)); w.work == "hmac-sha256" {
			mac, icv = hmac.New(sha256.New, key(32)), 16
		}
		outs := make([][]byte, w.batch)
		for i := range outs {
			outs[i] = packets[i][w.bytes:][:icv]
		}
		var sum [sha256.Size]byte
		t.once = func() {
			for i, p := range packets {
				mac.Reset()
				mac.Write(p)
				copy(outs[i], mac.Sum(sum[:0]))
			}
		}
		t.result = func() []byte { return concat(outs) }
	default:
		return nil, fmt.Errorf("%s: %w", w.work, errNotOffered)
	}
	return w.fresh(t, packets), nil
}

// goESP seals or opens whole packets; what it gives for fixed IVs is what the harness must give.
func goESP(w workload, s suite, open bool) (*task, error) {
	p, err := newPlain(s)
	if err != nil {
		return nil, err
	}
	payloads := w.payloads(0)
	sealed, arrived := make([][]byte, w.batch), make([][]byte, w.batch)
	buffers := make([][]byte, w.batch)
	for i := range sealed {
		buffers[i] = make([]byte, w.bytes+esp.HeadRoom+esp.TailRoom)
		sealed[i] = p.seal(buffers[i], uint32(i+1), payloads[i], ivOf(p.ivLen(), i))
		arrived[i] = make([]byte, len(sealed[i]))
	}
	if !open {
		once := func() {
			for i := range payloads {
				p.seal(buffers[i], uint32(i+1), payloads[i], nil)
			}
		}
		result := concat(sealed)
		return &task{once: once, result: func() []byte { return result }}, nil
	}
	once := func() {
		for i := range sealed {
			copy(arrived[i], sealed[i])
			_, _ = p.open(arrived[i])
		}
	}
	packets := concat(sealed)
	for i := range sealed { // in memory of their own: buffers are sealed into no more
		n := len(sealed[i])
		sealed[i], packets = packets[:n:n], packets[n:]
	}
	return &task{once: once, result: func() []byte { return concat(payloads) }}, nil
}

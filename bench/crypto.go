package bench

import (
	"context"
	"fmt"
	"strings"
	"time"

	"meshrouter/dataplane/esp"
)

// A suite is a cipher with its integrity, and what the keys of it look like.
type suite struct {
	cipher          esp.Cipher
	auth            esp.Auth
	encKey, authKey int // bytes, with the salt
}

// suiteTable is what old peers speak, and what is fast.
var suiteTable = []suite{
	{esp.TripleDESCBC, esp.HMACSHA1, 24, 20},
	{esp.AESCBC, esp.HMACSHA1, 16, 20},
	{esp.AESCBC, esp.HMACSHA256, 32, 32},
	{esp.AESGCM16, esp.NoAuth, 20, 0},
	{esp.AESGCM16, esp.NoAuth, 36, 0},
	{esp.ChaCha20Poly1305, esp.NoAuth, 36, 0},
}

var (
	sizeTable  = []int{64, 256, 1408} // bytes of payload
	batchTable = []int{1, 8, 64}      // packets
)

// The point at which 3DES is compared.
const (
	comparedBytes = 1408
	comparedBatch = 64
)

// testSPI names the one SA of a measurement.
const testSPI = 0x10000001

// key is a key of n bytes that is no weak one.
func key(n int) []byte {
	k := make([]byte, n)
	for i := range k {
		k[i] = byte((i*37 + 11) & 0xff)
	}
	return k
}

// A batch is packets of one SA, ready to be sealed and opened again and again.
type batch struct {
	out, in *esp.SA
	size    int
	buffers [][]byte // room, payload, room
	scratch esp.Batch
	jobs    []esp.Job
	sealed  []esp.Sealed
	packets [][]byte // sealed once, to be opened
	arrived [][]byte // where a copy of each is opened in place
}

func newBatch(s suite, size, n int) (*batch, error) {
	p := esp.Params{SPI: testSPI, Cipher: s.cipher, Auth: s.auth, EncKey: key(s.encKey), AuthKey: key(s.authKey), Mode: esp.Tunnel}
	b := &batch{size: size, buffers: make([][]byte, n), jobs: make([]esp.Job, n), packets: make([][]byte, n), arrived: make([][]byte, n)}
	var err error
	if b.out, err = esp.NewOutbound(p); err != nil {
		return nil, err
	}
	if b.in, err = esp.NewInbound(p); err != nil {
		return nil, err
	}
	for i := range b.buffers {
		b.buffers[i] = make([]byte, esp.HeadRoom+size+esp.TailRoom)
		copy(b.buffers[i][esp.HeadRoom:], payload(size, i))
	}
	b.seal()
	if len(b.sealed) != n {
		return nil, fmt.Errorf("%s: %d of %d packets sealed: %w", b.out.Suite(), len(b.sealed), n, b.jobs[0].Err)
	}
	for i, s := range b.sealed {
		b.packets[i] = append([]byte(nil), s.Bytes()...)
		b.arrived[i] = make([]byte, len(b.packets[i]))
	}
	return b, nil
}

// payload is what packet i carries.
func payload(size, i int) []byte {
	b := make([]byte, size)
	for j := range b {
		b[j] = byte((i + j) & 0xff)
	}
	return b
}

// seal seals the batch in place. What lies in the buffers is sealed whatever it is: after the first
// time it is the ciphertext of the last time, which takes as long.
func (b *batch) seal() {
	first, err := b.out.NextSequence(len(b.jobs))
	if err != nil {
		panic("bench: " + err.Error()) // 2^32 packets take longer than any slice
	}
	for i := range b.jobs {
		b.jobs[i] = esp.Job{SA: b.out, Seq: first + uint64(i), Pkt: b.buffers[i][:esp.HeadRoom+b.size], NextHeader: esp.NextHeaderIPv4}
	}
	b.sealed = b.scratch.Seal(b.jobs, b.sealed[:0])
}

// open opens a copy of the batch, as if it had just arrived. The replay window is left out: the same
// packets come again.
func (b *batch) open() {
	for i := range b.jobs {
		copy(b.arrived[i], b.packets[i])
		b.jobs[i] = esp.Job{SA: b.in, Pkt: b.arrived[i]}
	}
	b.scratch.Open(b.jobs)
}

// A cryptoEntry is one figure.
type cryptoEntry struct {
	CryptoRow
	work func()
}

func newCryptoEntry(s suite, work string, size, n int) (cryptoEntry, error) {
	b, err := newBatch(s, size, n)
	if err != nil {
		return cryptoEntry{}, err
	}
	e := cryptoEntry{CryptoRow{Suite: b.out.Suite(), Work: work, Bytes: size, Batch: n}, b.seal}
	if work == "open" {
		e.work = b.open
	}
	return e, b.verify(s)
}

// crypto measures all suites, and 3DES beside crypto/des.
func (r *run) crypto(ctx context.Context) error {
	if err := r.compareDES(ctx); err != nil {
		return err
	}
	var entries []cryptoEntry
	for _, s := range suiteTable {
		for _, work := range []string{"seal", "open"} {
			for _, size := range sizeTable {
				for _, n := range batchTable {
					e, err := newCryptoEntry(s, work, size, n)
					if err != nil {
						return err
					}
					entries = append(entries, e)
				}
			}
		}
	}
	plan := pace{quick: 6 * time.Second, full: time.Minute, quickSlice: 8 * time.Millisecond, fullSlice: 40 * time.Millisecond}.plan(r.Quick)
	values, err := plan.run(ctx, len(entries), func(i int) (float64, error) {
		e := &entries[i]
		return perSecond(plan.slice, e.work) * float64(e.Batch), nil
	})
	if err != nil {
		return err
	}
	for i, e := range entries {
		row := e.CryptoRow
		row.Packets = newSample(values[i]).Median
		for j := range values[i] {
			values[i][j] *= float64(row.Bytes) / 1e6
		}
		row.Mbyte = newSample(values[i])
		r.doc.Crypto = append(r.doc.Crypto, row)
	}
	r.say("  %d suites at %d sizes and %d batches, %d rounds", len(suiteTable), len(sizeTable), len(batchTable), len(values[0]))
	return nil
}

// compareDES pairs our 3DES with crypto/des.
func (r *run) compareDES(ctx context.Context) error {
	ours, err := newBatch(suiteTable[0], comparedBytes, comparedBatch)
	if err != nil {
		return err
	}
	if err := ours.verify(suiteTable[0]); err != nil {
		return err
	}
	theirs, err := newPlain(suiteTable[0])
	if err != nil {
		return err
	}
	buffer := make([]byte, comparedBytes+esp.HeadRoom+esp.TailRoom)
	seq := uint32(0)
	work := []func(){
		ours.seal,
		func() {
			for i := range ours.buffers {
				seq++
				theirs.seal(buffer, seq, ours.buffers[i][esp.HeadRoom:][:comparedBytes])
			}
		},
		ours.open,
		func() {
			for i := range ours.packets {
				copy(ours.arrived[i], ours.packets[i])
				_, _ = theirs.open(ours.arrived[i])
			}
		},
	}
	plan := pace{quick: 2 * time.Second, full: 15 * time.Second, quickSlice: 25 * time.Millisecond, fullSlice: 200 * time.Millisecond}.plan(r.Quick)
	values, err := plan.run(ctx, len(work), func(i int) (float64, error) {
		return perSecond(plan.slice, work[i]) * comparedBatch * comparedBytes / 1e6, nil
	})
	if err != nil {
		return err
	}
	r.doc.DES3 = &DES3{
		EncryptVsCryptoDES: r.doc.note("des3.encrypt_vs_crypto_des", ratios(values[0], values[1])),
		DecryptVsCryptoDES: r.doc.note("des3.decrypt_vs_crypto_des", ratios(values[2], values[3])),
		Bytes:              comparedBytes, Batch: comparedBatch,
		EncryptMbyte: r.doc.note("des3.encrypt_mbyte_per_second", values[0]),
		DecryptMbyte: r.doc.note("des3.decrypt_mbyte_per_second", values[2]),
	}
	r.say("  3DES beside crypto/des: %.2f encrypt, %.2f decrypt", r.doc.DES3.EncryptVsCryptoDES, r.doc.DES3.DecryptVsCryptoDES)
	return nil
}

// verify opens the batch's packets with the standard library, and packets that the standard library has
// sealed with the batch's SA.
func (b *batch) verify(s suite) error {
	name := strings.ReplaceAll(b.out.Suite(), "/", " with ")
	p, err := newPlain(s)
	if err != nil {
		return err
	}
	for i, pkt := range b.packets {
		clear, err := p.open(append([]byte(nil), pkt...))
		if err != nil {
			return fmt.Errorf("%s: the standard library refuses packet %d: %w", name, i, err)
		}
		if string(clear) != string(payload(b.size, i)) {
			return fmt.Errorf("%s: packet %d is not what was sealed", name, i)
		}
	}
	b.open()
	for i := range b.jobs {
		if err := b.jobs[i].Err; err != nil {
			return fmt.Errorf("%s: packet %d does not open: %w", name, i, err)
		}
	}
	pkt := p.seal(make([]byte, b.size+esp.HeadRoom+esp.TailRoom), 1, payload(b.size, 0)) //nolint:gosec // G407: the IV is drawn inside
	jobs := []esp.Job{{SA: b.in, Pkt: pkt}}
	new(esp.Batch).Open(jobs)
	if jobs[0].Err != nil || string(jobs[0].Pkt) != string(payload(b.size, 0)) {
		return fmt.Errorf("%s: a packet of the standard library does not open: %w", name, jobs[0].Err)
	}
	return nil
}

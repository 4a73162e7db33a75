package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/esp/aescbc"
	"meshrouter/dataplane/esp/des3"
	"meshrouter/dataplane/esp/hmacs"
	"meshrouter/internal/cpu"
)

var (
	sizeTable  = []int{64, 256, 1408} // bytes of payload
	batchTable = []int{1, 8, 64, 128} // packets
	curveTable = []cpu.Level{cpu.Portable, cpu.AVX2, cpu.AVX512}
)

// The size that ratios of ciphers are told at, and the longest curve.
const (
	comparedBytes = 1408
	comparedBatch = 64
	widerBatch    = 256 // what it takes to fill AVX2's lanes twice
)

// The contestants.
const (
	ours     = "meshrouter"
	goBy     = "go"
	opensslC = "openssl"
)

// testSPI names the one SA of a measurement.
const testSPI = 0x10000001

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

// verify opens the batch's packets with the standard library, and packets that the standard library has
// sealed with the batch's SA.
func (b *batch) verify(s suite) error {
	name := b.out.Suite()
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
	pkt := p.seal(make([]byte, b.size+esp.HeadRoom+esp.TailRoom), 1, payload(b.size, 0), nil) //nolint:gosec // G407: the IV is drawn inside
	jobs := []esp.Job{{SA: b.in, Pkt: pkt}}
	new(esp.Batch).Open(jobs)
	if jobs[0].Err != nil || string(jobs[0].Pkt) != string(payload(b.size, 0)) {
		return fmt.Errorf("%s: a packet of the standard library does not open: %w", name, jobs[0].Err)
	}
	return nil
}

// Implementations are what our own ciphers use on this machine.
func implementations() map[string]string {
	return map[string]string{
		"level": cpu.Max().String(), "des3": des3.Implementation(), "aescbc": aescbc.Implementation(),
		"hmac-sha1": hmacs.Implementation(hmacs.SHA1), "hmac-sha256": hmacs.Implementation(hmacs.SHA256),
	}
}

// A cryptoEntry is one figure of the part crypto.
type cryptoEntry struct {
	workload
	by string
}

// A contest is the contestants and what they are measured at.
type contest struct {
	contestants map[string]contestant
	order       []string
	entries     []cryptoEntry
	values      [][]float64
}

// newContest starts the contestants; those that cannot be had are noted with the reason.
func (r *run) newContest(ctx context.Context) *contest {
	c := &contest{contestants: make(map[string]contestant)}
	add := func(name, version string, of contestant, err error) {
		p := Peer{Part: Crypto, Name: name, Version: version}
		if err != nil {
			p.Missing = err.Error()
			r.say("  without %s: %v", name, err)
		} else {
			c.contestants[name] = of
			c.order = append(c.order, name)
		}
		r.doc.Peers = append(r.doc.Peers, p)
	}
	add(ours, r.Version+" "+des3.Implementation(), newLibrary(ourTask), nil)
	add(goBy, r.doc.Go, newLibrary(goTask), nil)
	for _, l := range curveTable {
		if l >= cpu.Max() {
			continue // this process's own, or more than the machine has
		}
		w, err := levelChild(r.Binary, l)
		version := ""
		if err == nil {
			version = w.name
		}
		add(ours+"-"+l.String(), version, w, err)
	}
	for _, l := range cLibraryTable {
		program, err := l.build(ctx)
		if err != nil {
			add(l.name, "", nil, err)
			continue
		}
		variants := []string{""}
		if l.source == "intel.c" {
			variants = intelTable
		}
		for _, v := range variants {
			name := l.name
			if v != "" {
				name = intelPrefix + v
			}
			w, err := startChild(exec.Command(program, v)) //nolint:gosec,noctx // our own harness; it ends with its input
			version := ""
			if err == nil {
				version = w.name
			}
			add(name, version, w, err)
		}
	}
	return c
}

// intelTable are those that Intel's library has code for; in the first one, DES is scalar.
var intelTable = []string{"sse", "avx2", "avx512"}

const intelPrefix = "intel-"

func (c *contest) close() error {
	var errs []error
	for _, of := range c.contestants {
		errs = append(errs, of.close())
	}
	return errors.Join(errs...)
}

// enter adds a figure, unless it is there or the contestant does not offer it. Before, the result is
// compared with the Go library's, byte by byte.
func (c *contest) enter(by string, w workload) error {
	e := cryptoEntry{w, by}
	of := c.contestants[by]
	if of == nil || slices.Contains(c.entries, e) {
		return nil
	}
	if by == goBy { // what the others are compared with
		c.entries = append(c.entries, e)
		return nil
	}
	got, err := of.check(w)
	if errors.Is(err, errNotOffered) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %v: %w", by, w, err)
	}
	want, err := c.contestants[goBy].check(w)
	if err != nil {
		return fmt.Errorf("%s: %v: %w", goBy, w, err)
	}
	if got != nil && want != nil && !bytes.Equal(got, want) {
		return fmt.Errorf("%s: %v gives something else than Go's libraries", by, w)
	}
	c.entries = append(c.entries, e)
	return nil
}

// enterAll says what is measured: everything at full length, with Quick what the headlines need and the
// ends of each range.
func (c *contest) enterAll(quick bool) error {
	var errs []error
	enter := func(by string, w workload) { errs = append(errs, c.enter(by, w)) }
	for _, by := range c.order {
		level := strings.HasPrefix(by, ours+"-")
		for _, work := range workTable {
			for _, size := range sizeTable {
				for _, n := range batchTable {
					w := workload{work, size, n}
					switch {
					case level:
					case quick && (size == 256 || n == 8 || n == 128):
					case quick && by != ours && by != goBy && (size != comparedBytes || n != comparedBatch):
					default:
						enter(by, w)
					}
				}
			}
		}
		for _, w := range []workload{{des3Encrypt, comparedBytes, 1}, {des3Encrypt, comparedBytes, comparedBatch}, {des3Encrypt, comparedBytes, widerBatch}, {des3Decrypt, comparedBytes, 1}} {
			if level || by == ours || by == goBy {
				enter(by, w)
			}
		}
		if (level || by == ours) && !quick {
			for n := 1; n <= comparedBatch; n++ {
				enter(by, workload{des3Encrypt, comparedBytes, n})
			}
		}
	}
	return errors.Join(errs...)
}

// find returns an entry's values by round, or nil.
func (c *contest) find(by string, w workload) []float64 {
	if i := slices.Index(c.entries, cryptoEntry{w, by}); i >= 0 {
		return c.values[i]
	}
	return nil
}

// crypto measures our ciphers beside others.
func (r *run) crypto(ctx context.Context) (err error) {
	defer holdToOneCore()()
	c := r.newContest(ctx)
	defer func() { err = errors.Join(err, c.close()) }()
	if err := c.enterAll(r.Quick); err != nil {
		return err
	}
	plan := r.plan(pace{quick: 6 * time.Second, full: 6 * time.Minute, quickSlice: 5 * time.Millisecond, fullSlice: 12 * time.Millisecond})
	c.values, err = plan.run(ctx, len(c.entries), func(i int) (float64, error) {
		e := &c.entries[i]
		v, err := c.contestants[e.by].rate(e.workload, plan.slice)
		return v / 1e6, err
	})
	if err != nil {
		return err
	}
	r.doc.Implementations = implementations()
	for i, e := range c.entries {
		row := CryptoRow{Work: e.work, By: e.by, Bytes: e.bytes, Batch: e.batch, Mbyte: newSample(c.values[i])}
		if own := c.find(ours, e.workload); own != nil && e.by != ours {
			ratio := newSample(ratios(own, c.values[i]))
			row.Ours = &ratio
		}
		r.doc.Crypto = append(r.doc.Crypto, row)
	}
	r.headlines(c)
	r.say("  %d figures, %d rounds; 3DES beside crypto/des: %.2f encrypt, %.2f decrypt", len(c.entries), len(c.values[0]),
		r.doc.DES3["encrypt_vs_crypto_des"], r.doc.DES3["decrypt_vs_crypto_des"])
	return nil
}

// headlines forms the ratios of 3DES that are looked for by name.
func (r *run) headlines(c *contest) {
	r.doc.DES3 = make(map[string]float64)
	note := func(name string, a, b []float64) {
		if len(a) > 0 && len(b) > 0 {
			r.doc.DES3[name] = r.doc.note("des3."+name, ratios(a, b))
		}
	}
	encrypt, wide := workload{des3Encrypt, comparedBytes, comparedBatch}, workload{des3Encrypt, comparedBytes, widerBatch}
	decrypt := workload{des3Decrypt, comparedBytes, 1}
	seal := workload{des3Seal, comparedBytes, comparedBatch}
	note("encrypt_vs_crypto_des", c.find(ours, encrypt), c.find(goBy, encrypt))
	note("decrypt_vs_crypto_des", c.find(ours, decrypt), c.find(goBy, decrypt))
	avx2, portable := byLevel(cpu.AVX2), byLevel(cpu.Portable)
	if cpu.Max() >= cpu.AVX2 {
		note("avx2_encrypt_vs_crypto_des", c.find(avx2, encrypt), c.find(goBy, encrypt))
		note("avx2_encrypt_256_vs_crypto_des", c.find(avx2, wide), c.find(goBy, wide))
		note("avx2_decrypt_vs_crypto_des", c.find(avx2, decrypt), c.find(goBy, decrypt))
	}
	for _, at := range []struct {
		level cpu.Level
		n     int
	}{{cpu.AVX512, 1}, {cpu.AVX512, 4}, {cpu.AVX2, 1}, {cpu.AVX2, 11}, {cpu.Portable, 1}, {cpu.Portable, 32}} {
		if at.level <= cpu.Max() {
			note(fmt.Sprintf("cost_%s_%d", at.level, at.n), c.find(goBy, encrypt), c.find(byLevel(at.level), workload{des3Encrypt, comparedBytes, at.n}))
		}
	}
	note("portable_encrypt_vs_crypto_des", c.find(portable, encrypt), c.find(goBy, encrypt))
	note("portable_decrypt_vs_crypto_des", c.find(portable, decrypt), c.find(goBy, decrypt))
	note("mixed_vs_same_key", c.find(ours, workload{des3Mixed, comparedBytes, comparedBatch}), c.find(ours, encrypt))
	note("seal_vs_openssl", c.find(ours, seal), c.find(opensslC, seal))
	var best []float64 // Intel's best variant in each round
	for _, v := range intelTable {
		for i, x := range c.find(intelPrefix+v, encrypt) {
			if i == len(best) {
				best = append(best, 0)
			}
			best[i] = max(best[i], x)
		}
	}
	note("encrypt_vs_intel", c.find(ours, encrypt), best)
	for _, work := range workTable {
		w := workload{work, comparedBytes, comparedBatch}
		for _, by := range []string{goBy, opensslC} {
			if a, b := c.find(ours, w), c.find(by, w); len(a) > 0 && len(b) > 0 {
				r.doc.note("crypto."+work+"_vs_"+by, ratios(a, b))
			}
		}
	}
}

// byLevel is who we are at a level of machine code: this process at the machine's own, a child below.
func byLevel(l cpu.Level) string {
	if l >= cpu.Max() {
		return ours
	}
	return ours + "-" + l.String()
}

package esp

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"sync/atomic"

	"meshrouter/dataplane/esp/aescbc"
	"meshrouter/dataplane/esp/des3"
	"meshrouter/dataplane/esp/hmacs"
)

// A Batch is the scratch space with which one goroutine seals and opens. Its zero value is ready.
//
// It works in stages over all jobs: frames, then all packets of each cipher, then all of the
// HMACs. So the SIMD lanes of a cipher are filled by the packets of all SAs that use it.
type Batch struct {
	des3   []des3.Op
	aes    []aescbc.Op
	hmacs  []hmacs.Op
	opened []opened // the jobs behind hmacs, when opening
	nonce  [saltLen + aeadIV]byte
	ivs    ivPool
}

// opened is a packet whose ICV is being computed.
type opened struct {
	job *Job
	icv [maxICV]byte
}

// Seal seals every job and appends the packets to out in the order of the jobs, without those whose
// Err says why not.
func (b *Batch) Seal(jobs []Job, out []Sealed) []Sealed {
	b.reset()
	for i := range jobs {
		j := &jobs[i]
		if j.Err = j.frame(); j.Err == nil {
			b.seal(j)
		}
	}
	des3.Encrypt(b.des3)
	aescbc.Encrypt(b.aes)
	hmacs.Sum(b.hmacs)
	for i := range jobs {
		if j := &jobs[i]; j.Err == nil {
			out = append(out, Sealed{j.SA, j.Pkt, j.TOS})
		}
	}
	return out
}

// Open checks and decrypts every job: length, SPI, ICV, then decryption, then the trailer. The caller
// has asked SA.Fresh before, and calls Job.Accept before it delivers a packet. Open changes nothing in an
// SA, so several goroutines may open packets of one SA at once.
func (b *Batch) Open(jobs []Job) {
	b.reset()
	for i := range jobs {
		j := &jobs[i]
		if j.Err = j.check(); j.Err == nil {
			b.open(j)
		}
	}
	for i := range b.opened { // not before both have stopped growing
		b.hmacs[i].Out = b.opened[i].icv[:b.opened[i].job.SA.suite.icv]
	}
	hmacs.Sum(b.hmacs)
	for i := range b.opened {
		j, icv := b.opened[i].job, b.hmacs[i].Out
		end := len(j.Pkt) - len(icv)
		if subtle.ConstantTimeCompare(icv, j.Pkt[end:]) == 1 {
			b.cipher(j.SA, j.Pkt[:end])
		} else {
			j.Err = ErrAuth
		}
	}
	des3.Decrypt(b.des3)
	aescbc.Decrypt(b.aes)
	for i := range jobs {
		if j := &jobs[i]; j.Err == nil {
			j.Err = j.unframe()
		}
	}
}

func (b *Batch) reset() {
	b.des3, b.aes, b.hmacs, b.opened = b.des3[:0], b.aes[:0], b.hmacs[:0], b.opened[:0]
}

// padTable is the padding of RFC 4303, 2.4; OpenBSD checks it.
var padTable = [15]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

// frame puts header and trailer around the payload; Pkt becomes the whole packet.
func (j *Job) frame() error {
	sa := j.SA
	s, c := sa.suite, sa.counters
	payload := len(j.Pkt) - HeadRoom
	if payload < 0 {
		return ErrRoom
	}
	head, tail := s.overhead(payload)
	from, size := HeadRoom-head, head+payload+tail
	if cap(j.Pkt)-from < size {
		return ErrRoom
	}
	// A number used twice under a counter mode would give the key stream away.
	if !sa.outbound || j.Seq <= sa.sealed || j.Seq >= c.NextSeq.Load() || j.Seq > lastSeq {
		return ErrSequence
	}
	sa.sealed = j.Seq

	pkt := j.Pkt[from : from+size]
	trailer := pkt[head+payload : size-s.icv]
	pad := len(trailer) - trailerLen
	copy(trailer, padTable[:pad])
	trailer[pad], trailer[pad+1] = uint8(pad&0xff), j.NextHeader
	binary.BigEndian.PutUint32(pkt, sa.spi)
	binary.BigEndian.PutUint32(pkt[4:], uint32(j.Seq))
	j.Pkt = pkt
	add(&c.Packets, 1)
	add(&c.Bytes, uint64(payload))
	return nil
}

// seal encrypts a framed packet, or queues it for the stages.
func (b *Batch) seal(j *Job) {
	sa, pkt := j.SA, j.Pkt
	end := len(pkt) - sa.suite.icv
	if sa.aead != nil {
		// The IV is the sequence number: unique under the key, which is all that a counter mode asks
		// for (RFC 4106, 3.1).
		const head = headerLen + aeadIV
		binary.BigEndian.PutUint64(pkt[headerLen:head], j.Seq+sa.firstIV)
		sa.aead.Seal(pkt[head:head], b.nonceOf(sa, pkt), pkt[head:end], pkt[:headerLen])
		return
	}
	b.ivs.take(pkt[headerLen:sa.suite.head()])
	b.cipher(sa, pkt[:end])
	b.hmacs = append(b.hmacs, hmacs.Op{Key: sa.auth, Data: pkt[:end], Out: pkt[end:]})
}

// cipher queues a packet without its ICV for the CBC stages.
func (b *Batch) cipher(sa *SA, pkt []byte) {
	head := sa.suite.head()
	iv, body := pkt[headerLen:head], pkt[head:]
	switch {
	case sa.des3 != nil:
		b.des3 = append(b.des3, des3.Op{Key: sa.des3, IV: iv, Data: body})
	case sa.aes != nil:
		b.aes = append(b.aes, aescbc.Op{Key: sa.aes, IV: iv, Data: body})
	}
}

// nonceOf is salt and IV (RFC 4106, 3 and 4; RFC 7634, 2).
func (b *Batch) nonceOf(sa *SA, pkt []byte) []byte {
	copy(b.nonce[:saltLen], sa.salt[:])
	copy(b.nonce[saltLen:], pkt[headerLen:headerLen+aeadIV])
	return b.nonce[:]
}

// check looks at what an ESP packet shows without its key.
func (j *Job) check() error {
	sa := j.SA
	s := sa.suite
	body := len(j.Pkt) - s.head() - s.icv
	if body < s.cipher.block || body%s.cipher.block != 0 {
		return ErrLength
	}
	if sa.outbound || binary.BigEndian.Uint32(j.Pkt) != sa.spi {
		return ErrSPI
	}
	j.Seq = uint64(binary.BigEndian.Uint32(j.Pkt[4:]))
	return nil
}

// open opens a packet of a combined mode, or queues it for the stages.
func (b *Batch) open(j *Job) {
	sa, pkt := j.SA, j.Pkt
	if sa.aead != nil {
		const head = headerLen + aeadIV
		if _, err := sa.aead.Open(pkt[head:head], b.nonceOf(sa, pkt), pkt[head:], pkt[:headerLen]); err != nil {
			j.Err = ErrAuth
		}
		return
	}
	b.opened = append(b.opened, opened{job: j})
	b.hmacs = append(b.hmacs, hmacs.Op{Key: sa.auth, Data: pkt[:len(pkt)-sa.suite.icv]})
}

// unframe takes the trailer off an authentic packet: Pkt becomes the payload.
func (j *Job) unframe() error {
	s := j.SA.suite
	clear := j.Pkt[s.head() : len(j.Pkt)-s.icv]
	body := len(clear)
	pad, next := int(clear[body-2]), clear[body-1]
	payload := body - trailerLen - pad
	// The rule of OpenBSD's kernel: no padding, or a last byte that equals its length. RFC 4303, 2.4
	// would have us look at all of 1, 2, 3 …, which adds nothing to a packet that is authentic.
	if payload < 0 || (pad > 0 && int(clear[body-trailerLen-1]) != pad) {
		return ErrPadding
	}
	j.Pkt, j.NextHeader = clear[:payload], next
	if next == NextHeaderDummy {
		return ErrDummy
	}
	return nil
}

// Accept takes what Open has made of a packet into the SA: it counts the outcome and, before the packet is
// delivered, enters an authentic one's number into the window (RFC 4303, 3.4.3). Err becomes ErrReplay if
// that was done since Fresh was asked, as for the second copy in a batch. It is for the SA's owner.
func (j *Job) Accept() error {
	if j.Err != nil && !j.authentic() {
		return j.Err
	}
	if err := j.SA.ReplayUpdate(uint32(j.Seq)); err != nil { //nolint:gosec // Open read it from 32 bits
		j.Err = err
		return err
	}
	c := j.SA.counters
	switch {
	case j.Err == nil:
		add(&c.Packets, 1)
		add(&c.Bytes, uint64(len(j.Pkt)))
	case errors.Is(j.Err, ErrPadding):
		add(&c.PaddingDrops, 1)
	}
	return j.Err
}

// authentic reports whether a packet that failed to open is what the peer has sent. It counts those
// that are not.
func (j *Job) authentic() bool {
	c := j.SA.counters
	switch {
	case errors.Is(j.Err, ErrAuth):
		add(&c.AuthDrops, 1)
	case errors.Is(j.Err, ErrLength):
		add(&c.LengthDrops, 1)
	case errors.Is(j.Err, ErrDummy), errors.Is(j.Err, ErrPadding):
		return true
	}
	return false
}

// add is for the only writer of n: no locked instruction is needed, only a whole store.
func add(n *atomic.Uint64, d uint64) { n.Store(n.Load() + d) }

// ivPool draws the unpredictable IVs of CBC (RFC 3602, 2.1) from the system's generator, many
// packets' worth at a time.
type ivPool struct {
	buf  [2048]byte
	left int // bytes at the end of buf that are still unused
}

func (p *ivPool) take(iv []byte) {
	if len(iv) > p.left {
		_, _ = rand.Read(p.buf[:]) // never fails: it ends the program instead
		p.left = len(p.buf)
	}
	at := len(p.buf) - p.left
	p.left -= copy(iv, p.buf[at:])
}

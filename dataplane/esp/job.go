package esp

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"sync/atomic"
)

const (
	headerLen  = 8 // SPI and sequence number
	trailerLen = 2 // pad length and next header
)

// Room that a packet to be sealed needs around its payload, whatever the suite, bytes.
const (
	HeadRoom = headerLen + 16       // with an AES-CBC IV
	TailRoom = 15 + trailerLen + 32 // with the padding of AES-CBC and the ICV of HMAC-SHA-512
)

// Next headers, IP protocol numbers that the last byte of an opened packet holds.
const (
	NextHeaderIPv4  = 4  // tunnel mode: an IPv4 packet
	NextHeaderGRE   = 47 // transport mode: GRE
	NextHeaderDummy = 59 // a dummy packet against traffic analysis (RFC 4303, 2.6)
)

// A Job is one packet to seal or to open. A batch of them is a slice that its owner uses again and again.
type Job struct {
	SA *SA
	// Seq is the sequence number: to seal, one that SA.NextSequence handed out, rising within the
	// batch; Open sets it.
	Seq uint64
	// Pkt, to seal, is HeadRoom bytes of room and then the payload, with TailRoom bytes more of
	// capacity behind its length; the room's content is overwritten. After Seal it is the sealed packet.
	//
	// To open, it is the ESP packet from SPI to ICV; after Open the payload, in the same memory. A
	// packet that failed to open may have been overwritten.
	Pkt []byte
	// NextHeader says what the payload is: 4 an IPv4 packet (tunnel mode), 47 GRE (transport mode).
	NextHeader uint8
	// TOS, to seal, is that of the outer header; Seal only hands it on.
	TOS uint8
	// Dst, to seal, is where the sealed packet goes, if not nil: its capacity counts, and it must not
	// overlap Pkt. So equal-sized packets can be laid side by side in one buffer.
	Dst []byte
	// Err is the outcome: nil, or one of the errors of this package, unwrapped.
	Err error
}

// The ways in which a job fails. Open's are counted in the SA's Counters.
var (
	ErrRoom     = errors.New("esp: not enough room around the payload")
	ErrSequence = errors.New("esp: sequence number was not handed out, or used before")
	ErrLength   = errors.New("esp: packet too short or no whole number of blocks")
	ErrSPI      = errors.New("esp: packet has another SPI than its SA")
	ErrAuth     = errors.New("esp: integrity check failed")
	ErrPadding  = errors.New("esp: padding makes no sense")
	ErrDummy    = errors.New("esp: dummy packet") // authentic, to be dropped in silence (RFC 4303, 2.6)
)

// Sealed is a packet that Seal made: authentic and, but for the null cipher, encrypted. Nothing else
// can make one that has bytes.
type Sealed struct {
	sa  *SA
	pkt []byte
	tos uint8
}

// Bytes is the ESP packet from SPI to ICV. It lies in the job's memory.
func (s Sealed) Bytes() []byte { return s.pkt }

// SA is the SA that sealed it.
func (s Sealed) SA() *SA { return s.sa }

// TOS is that of the outer header: what the job asked for.
func (s Sealed) TOS() uint8 { return s.tos }

// Header reads SPI and sequence number of an ESP packet, to find its SA. ok is false for a packet
// that is too short to have them.
func Header(pkt []byte) (spi, seq uint32, ok bool) {
	if len(pkt) < headerLen {
		return 0, 0, false
	}
	return binary.BigEndian.Uint32(pkt), binary.BigEndian.Uint32(pkt[4:]), true
}

// Seal seals every job, suite by suite, and appends the packets to out in the order of the jobs,
// without those whose Err says why not.
func Seal(jobs []Job, out []Sealed) []Sealed {
	for set := suitesOf(jobs); set != 0; set &= set - 1 {
		bySuiteBit(set).seal(jobs)
	}
	for i := range jobs {
		if j := &jobs[i]; j.Err == nil {
			out = append(out, Sealed{j.SA, j.Pkt, j.TOS})
		}
	}
	return out
}

// Open checks and decrypts every job, suite by suite: length, SPI, ICV, then decryption, then the
// trailer. The caller has made ReplayCheck before, and makes ReplayUpdate before it delivers a packet.
func Open(jobs []Job) {
	for set := suitesOf(jobs); set != 0; set &= set - 1 {
		bySuiteBit(set).open(jobs)
	}
}

// suitesOf is the set of suites that occur in a batch.
func suitesOf(jobs []Job) (set uint64) {
	for i := range jobs {
		set |= jobs[i].SA.suite.bit
	}
	return set
}

// bySuiteBit is the first suite of a set.
func bySuiteBit(set uint64) *suite {
	n := bits.TrailingZeros64(set)
	return &suiteTable[n/len(authTable)][n%len(authTable)]
}

func (s *suite) seal(jobs []Job) {
	for i := range jobs {
		if j := &jobs[i]; j.SA.suite == s {
			j.Err = s.sealOne(j)
		}
	}
}

func (s *suite) open(jobs []Job) {
	for i := range jobs {
		if j := &jobs[i]; j.SA.suite == s {
			j.Err = s.openOne(j)
		}
	}
}

// padTable is the padding of RFC 4303, 2.4; OpenBSD checks it.
var padTable = [15]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

func (s *suite) sealOne(j *Job) error {
	sa, c := j.SA, j.SA.counters
	payload := len(j.Pkt) - HeadRoom
	if payload < 0 {
		return ErrRoom
	}
	head, tail := s.overhead(payload)
	size := head + payload + tail
	from := HeadRoom - head
	if cap(j.Pkt)-from < size || (j.Dst != nil && cap(j.Dst) < size) {
		return ErrRoom
	}
	// A number used twice under a counter mode would give the key stream away.
	if !sa.outbound || j.Seq <= sa.sealed || j.Seq >= c.NextSeq.Load() || j.Seq > lastSeq {
		return ErrSequence
	}
	sa.sealed = j.Seq

	clear := j.Pkt[from : from+size]
	end := size - s.icv
	trailer := clear[head+payload : end]
	pad := len(trailer) - trailerLen
	copy(trailer, padTable[:pad])
	trailer[pad], trailer[pad+1] = uint8(pad&0xff), j.NextHeader

	dst := clear
	if j.Dst != nil {
		dst = j.Dst[:size]
	}
	binary.BigEndian.PutUint32(dst, sa.spi)
	binary.BigEndian.PutUint32(dst[4:], uint32(j.Seq))
	sa.transform.seal(dst, clear, j.Seq)
	j.Pkt = dst
	add(&c.Packets, 1)
	add(&c.Bytes, uint64(payload))
	return nil
}

func (s *suite) openOne(j *Job) error {
	sa, c, pkt := j.SA, j.SA.counters, j.Pkt
	head := s.head()
	body := len(pkt) - head - s.icv
	if body < s.cipher.block || body%s.cipher.block != 0 {
		add(&c.LengthDrops, 1)
		return ErrLength
	}
	if sa.outbound || binary.BigEndian.Uint32(pkt) != sa.spi {
		return ErrSPI
	}
	j.Seq = uint64(binary.BigEndian.Uint32(pkt[4:]))
	clear, ok := sa.transform.open(pkt)
	if !ok {
		add(&c.AuthDrops, 1)
		return ErrAuth
	}
	pad, next := int(clear[body-2]), clear[body-1]
	payload := body - trailerLen - pad
	// The rule of OpenBSD's kernel: no padding, or a last byte that equals its length. RFC 4303, 2.4
	// would have us look at all of 1, 2, 3 …, which adds nothing to a packet that is authentic.
	if payload < 0 || (pad > 0 && int(clear[body-trailerLen-1]) != pad) {
		add(&c.PaddingDrops, 1)
		return ErrPadding
	}
	j.Pkt, j.NextHeader = clear[:payload], next
	if next == NextHeaderDummy {
		return ErrDummy
	}
	add(&c.Packets, 1)
	add(&c.Bytes, uint64(payload))
	return nil
}

// add is for the only writer of n: no locked instruction is needed, only a whole store.
func add(n *atomic.Uint64, d uint64) { n.Store(n.Load() + d) }

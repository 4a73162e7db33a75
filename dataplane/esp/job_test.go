package esp

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"testing"
)

// Every suite, payloads of every length around the blocks, both ways.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, s := range allSuites() {
		out, in := pair(t, s.params(0x1234, Tunnel))
		for n := range 70 {
			payload := bytes.Repeat([]byte{byte(n)}, n)
			pkt := sealOnePacket(t, out, payload, NextHeaderIPv4)
			head, tail := out.Overhead(n)
			if len(pkt) != head+n+tail || head > HeadRoom || tail > TailRoom {
				t.Errorf("%s: %d bytes sealed to %d, Overhead says %d and %d", s.name, n, len(pkt), head, tail)
			}
			if spi, seq, ok := Header(pkt); !ok || spi != 0x1234 || seq != uint32(n+1) {
				t.Errorf("%s: Header = %x, %d, %v", s.name, spi, seq, ok)
			}
			j := openOnePacket(in, pkt)
			if j.Accept() != nil || !bytes.Equal(j.Pkt, payload) || j.NextHeader != NextHeaderIPv4 || j.Seq != uint64(n+1) {
				t.Errorf("%s: %d bytes: %v, %x", s.name, n, j.Err, j.Pkt)
			}
		}
		for name, sa := range map[string]*SA{"out": out, "in": in} {
			c := sa.Counters()
			if c.Packets.Load() != 70 || c.Bytes.Load() != 70*69/2 {
				t.Errorf("%s %s: %d packets, %d bytes, want 70 and %d", s.name, name, c.Packets.Load(), c.Bytes.Load(), 70*69/2)
			}
		}
	}
}

// Any bit flipped anywhere: never opened, and counted.
func TestTamperedPacket(t *testing.T) {
	t.Parallel()
	for _, s := range allSuites() {
		out, in := pair(t, s.params(0x1234, Tunnel))
		pkt := sealOnePacket(t, out, []byte("forty bytes of payload, more or less ..."), 4)
		for i := range pkt {
			bad := bytes.Clone(pkt)
			bad[i] ^= 1 << (i % 8)
			want := ErrAuth
			if i < 4 {
				want = ErrSPI
			}
			if j := openOnePacket(in, bad); !errors.Is(j.Accept(), want) {
				t.Errorf("%s: byte %d changed: %v, want %v", s.name, i, j.Err, want)
			}
		}
		if got := in.Counters().AuthDrops.Load(); got != uint64(len(pkt)-4) {
			t.Errorf("%s: AuthDrops is %d, want %d", s.name, got, len(pkt)-4)
		}
		for n := range pkt {
			if j := openOnePacket(in, pkt[:n]); !errors.Is(j.Accept(), ErrLength) && !errors.Is(j.Err, ErrAuth) {
				t.Errorf("%s: cut to %d: %v", s.name, n, j.Err)
			}
		}
		if in.Counters().LengthDrops.Load() == 0 || in.Counters().Packets.Load() != 0 {
			t.Errorf("%s: LengthDrops is %d, Packets %d", s.name, in.Counters().LengthDrops.Load(), in.Counters().Packets.Load())
		}
	}
}

// RFC 4303, 3.4.4.1: integrity first. A packet that fails is not decrypted, so not even its bytes change.
func TestAuthenticatesBeforeDecryption(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"3des-cbc/hmac-sha1", "aes-cbc-128/hmac-sha2-256", "null/hmac-sha1"} {
		out, in := pair(t, suiteNamed(t, name).params(0x1234, Tunnel))
		pkt := sealOnePacket(t, out, make([]byte, 100), 4)
		pkt[len(pkt)-1] ^= 1
		jobs := []Job{{SA: in, Pkt: bytes.Clone(pkt)}}
		if new(Batch).Open(jobs); !errors.Is(jobs[0].Err, ErrAuth) || !bytes.Equal(jobs[0].Pkt, pkt) {
			t.Errorf("%s: %v, packet touched: %v", name, jobs[0].Err, !bytes.Equal(jobs[0].Pkt, pkt))
		}
	}
}

// openBody is payload and trailer of a packet, decrypted.
func openBody(sa *SA, pkt []byte) (body []byte, ok bool) {
	pkt = bytes.Clone(pkt)
	jobs := []Job{{SA: sa, Pkt: pkt}}
	new(Batch).Open(jobs)
	return pkt[sa.suite.head() : len(pkt)-sa.suite.icv], jobs[0].Err == nil
}

// openbsd-facts.md, 5: ESP pad bytes are 1, 2, 3 …, minimal to the 8-byte block for 3DES; the ICV has
// 12 bytes, the IV 8, and is random per packet; the first packet has sequence 1.
func TestPaddingThatOpenBSDChecks(t *testing.T) {
	t.Parallel()
	out, in := pair(t, suiteNamed(t, "3des-cbc/hmac-sha1").params(0x1000, Tunnel))
	ivs := map[string]bool{}
	for n := range 64 {
		pkt := sealOnePacket(t, out, make([]byte, n), 4)
		if _, seq, _ := Header(pkt); n == 0 && seq != 1 {
			t.Errorf("the first sequence number is %d", seq)
		}
		ivs[string(pkt[8:16])] = true
		body, ok := openBody(in, pkt)
		if !ok || len(body) != len(pkt)-8-8-12 || len(body)%8 != 0 || len(body)-n-2 > 7 {
			t.Fatalf("payload of %d: packet of %d bytes, body of %d", n, len(pkt), len(body))
		}
		for i, b := range body[n : len(body)-2] {
			if b != byte(i+1) {
				t.Errorf("payload of %d: padding is %x", n, body[n:len(body)-2])
				break
			}
		}
		// What its kernel looks at (ip_esp.c).
		if last, length := body[len(body)-3], body[len(body)-2]; length != 0 && last != length {
			t.Errorf("payload of %d: OpenBSD would refuse the trailer %x", n, body[n:])
		}
	}
	if len(ivs) != 64 {
		t.Errorf("%d different IVs in 64 packets", len(ivs))
	}
}

// openbsd-facts.md, 5: the check on input is the same as its kernel's.
func TestTrailers(t *testing.T) {
	t.Parallel()
	longest := append(append(make([]byte, 7), longPadding()...), 255, 4) // RFC 4303, 2.4
	for name, tt := range map[string]struct {
		body []byte
		want error
		n    int // payload bytes
		next uint8
	}{
		"minimal":                 {[]byte{9, 9, 9, 9, 9, 9, 0, 47}, nil, 6, 47},
		"1 2 3":                   {[]byte{9, 9, 9, 1, 2, 3, 3, 4}, nil, 3, 4},
		"only padding":            {[]byte{1, 2, 3, 4, 5, 6, 6, 4}, nil, 0, 4},
		"more than one block":     {[]byte{9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 13, 4}, nil, 1, 4},
		"255":                     {longest, nil, 7, 4},
		"last byte equals length": {[]byte{9, 9, 9, 0, 0, 3, 3, 4}, nil, 3, 4},
		"zeros":                   {[]byte{9, 9, 9, 0, 0, 0, 3, 4}, ErrPadding, 0, 0},
		"longer than the packet":  {[]byte{1, 2, 3, 4, 5, 7, 7, 4}, ErrPadding, 0, 0},
		"255 of 6":                {[]byte{1, 2, 3, 4, 5, 255, 255, 4}, ErrPadding, 0, 0},
		"dummy":                   {[]byte{9, 9, 9, 9, 9, 9, 0, 59}, ErrDummy, 6, 59},
	} {
		out, in := pair(t, suiteNamed(t, "3des-cbc/hmac-sha1").params(0x1000, Tunnel))
		j := openOnePacket(in, sealBody(out, 1, tt.body))
		if !errors.Is(j.Accept(), tt.want) {
			t.Errorf("%s: %v, want %v", name, j.Err, tt.want)
			continue
		}
		c := in.Counters()
		switch {
		case tt.want == nil:
			if len(j.Pkt) != tt.n || j.NextHeader != tt.next {
				t.Errorf("%s: payload of %d bytes, next header %d, want %d and %d", name, len(j.Pkt), j.NextHeader, tt.n, tt.next)
			}
		case errors.Is(tt.want, ErrDummy):
			if j.NextHeader != NextHeaderDummy || c.Packets.Load() != 0 || c.PaddingDrops.Load() != 0 {
				t.Errorf("%s: next header %d, counted", name, j.NextHeader)
			}
		case errors.Is(tt.want, ErrPadding):
			if c.PaddingDrops.Load() != 1 || c.AuthDrops.Load() != 0 {
				t.Errorf("%s: PaddingDrops %d", name, c.PaddingDrops.Load())
			}
		}
	}
}

// Open is for any goroutine: what it finds is counted, and entered into the window, by Accept alone.
func TestOpenChangesNothingUntilAccept(t *testing.T) {
	t.Parallel()
	for _, s := range allSuites() {
		out, in := pair(t, s.params(0x1000, Tunnel))
		pkt := sealOnePacket(t, out, make([]byte, 100), 4)
		forged := bytes.Clone(pkt)
		forged[len(forged)-1] ^= 1
		jobs := []Job{openOnePacket(in, bytes.Clone(pkt)), openOnePacket(in, pkt), openOnePacket(in, forged), openOnePacket(in, pkt[:9])}
		c := in.Counters()
		if *c != (Counters{}) {
			t.Errorf("%s: Open changed the counters", s.name)
		}
		for i, want := range []error{nil, ErrReplay, ErrAuth, ErrLength} {
			if err := jobs[i].Accept(); !errors.Is(err, want) {
				t.Errorf("%s: packet %d: %v, want %v", s.name, i, err, want)
			}
		}
		got := [6]uint64{c.HighSeq.Load(), c.Packets.Load(), c.Bytes.Load(), c.ReplayDrops.Load(), c.AuthDrops.Load(), c.LengthDrops.Load()}
		if want := [6]uint64{1, 1, 100, 1, 1, 1}; got != want {
			t.Errorf("%s: high, packets, bytes, drops are %v, want %v", s.name, got, want)
		}
	}
}

func longPadding() []byte {
	b := make([]byte, 255)
	for i := range b {
		b[i] = byte(i + 1)
	}
	return b
}

func TestRoomIsChecked(t *testing.T) {
	t.Parallel()
	for _, s := range allSuites() {
		sa := mustSA(t, s.params(0x1000, Tunnel), true)
		_, tail := sa.Overhead(10)
		exact := HeadRoom + 10 + tail
		for name, tt := range map[string]struct {
			job  Job
			want error
		}{
			"no head room":       {Job{Pkt: make([]byte, HeadRoom-1, 200)}, ErrRoom},
			"exact":              {Job{Pkt: make([]byte, HeadRoom+10, exact)}, nil},
			"one byte too small": {Job{Pkt: make([]byte, HeadRoom+10, exact-1)}, ErrRoom},
		} {
			tt.job.SA, tt.job.Seq = sa, nextSeq(t, sa)
			jobs := []Job{tt.job}
			if new(Batch).Seal(jobs, nil); !errors.Is(jobs[0].Err, tt.want) {
				t.Errorf("%s: %s: %v, want %v", s.name, name, jobs[0].Err, tt.want)
			}
		}
	}
}

// A batch of several SAs of several suites, one job bad: the others keep their order.
func TestSealKeepsOrder(t *testing.T) {
	t.Parallel()
	var jobs []Job
	var want []uint32
	suites := allSuites()
	for i := range 60 {
		sa := mustSA(t, suites[i*7%len(suites)].params(uint32(1000+i), Tunnel), true)
		j := Job{SA: sa, Seq: nextSeq(t, sa), Pkt: clearPacket(make([]byte, i))}
		if i%10 == 3 {
			j.Seq = 99
		} else {
			want = append(want, sa.SPI())
		}
		jobs = append(jobs, j)
	}
	earlier := Sealed{}
	var got []uint32
	for i, s := range new(Batch).Seal(jobs, []Sealed{earlier}) {
		if i == 0 {
			continue // what was in out stays in front
		}
		spi, _, _ := Header(s.Bytes())
		if spi != s.SA().SPI() {
			t.Errorf("packet of SPI %d says its SA is %d", spi, s.SA().SPI())
		}
		got = append(got, spi)
	}
	if !slices.Equal(got, want) {
		t.Errorf("order is %v, want %v", got, want)
	}
}

func TestZeroSealedHasNoBytes(t *testing.T) {
	t.Parallel()
	if s := (Sealed{}); s.Bytes() != nil || s.SA() != nil {
		t.Error("the zero Sealed holds something")
	}
}

func TestHeaderOfShortPacket(t *testing.T) {
	t.Parallel()
	for n := range 8 {
		if _, _, ok := Header(make([]byte, n)); ok {
			t.Errorf("a packet of %d bytes has a header", n)
		}
	}
}

// batch is n packets of that size over so many SAs, which Seal and Open can work on again and again.
type batch struct {
	out, in []*SA
	jobs    []Job
	opens   []Job
	pkts    [][]byte // the clear packets
	sealed  []Sealed
	scratch Batch
}

func newBatch(t testing.TB, s *suite, n, size, sas int) *batch {
	t.Helper()
	b := &batch{jobs: make([]Job, n), opens: make([]Job, n), sealed: make([]Sealed, 0, n)}
	for i := range sas {
		out, in := pair(t, s.params(uint32(1000+i), Tunnel))
		b.out, b.in = append(b.out, out), append(b.in, in)
	}
	for range n {
		b.pkts = append(b.pkts, clearPacket(make([]byte, size)))
	}
	return b
}

func (b *batch) seal() {
	b.number()
	b.sealed = b.scratch.Seal(b.jobs, b.sealed[:0])
}

func (b *batch) number() {
	for i := range b.jobs {
		sa := b.out[i%len(b.out)]
		seq, _ := sa.NextSequence(1)
		b.jobs[i] = Job{SA: sa, Seq: seq, Pkt: b.pkts[i], NextHeader: NextHeaderIPv4}
	}
}

func (b *batch) open() {
	for i, s := range b.sealed {
		b.opens[i] = Job{SA: b.in[i%len(b.in)], Pkt: s.Bytes()}
		_, seq, _ := Header(s.Bytes())
		b.opens[i].SA.Fresh(seq)
	}
	b.scratch.Open(b.opens)
	for i := range b.opens {
		_ = b.opens[i].SA.ReplayUpdate(uint32(b.opens[i].Seq)) // of Accept, what does not fail when it is done again
	}
}

func TestNoAllocationPerPacket(t *testing.T) {
	for _, s := range allSuites() {
		b := newBatch(t, s, 16, 1400, 3)
		if n := testing.AllocsPerRun(20, func() {
			b.seal()
			b.open()
		}); n != 0 {
			t.Errorf("%s: %v allocations a batch, want 0", s.name, n)
		}
		if len(b.sealed) != 16 {
			t.Errorf("%s: %d packets sealed, want 16", s.name, len(b.sealed))
		}
		for i := range b.opens {
			if b.opens[i].Err != nil {
				t.Errorf("%s: job %d: %v", s.name, i, b.opens[i].Err)
			}
		}
	}
}

// Status readers look at Counters while the owner works: for the race detector.
func TestCountersAreReadConcurrently(t *testing.T) {
	t.Parallel()
	b := newBatch(t, suiteNamed(t, "aes-gcm-16-128"), 8, 100, 1)
	var readers sync.WaitGroup
	stop := make(chan struct{})
	readers.Go(func() {
		for last := uint64(0); ; {
			c := b.in[0].Counters()
			n := c.Packets.Load() + c.HighSeq.Load()
			c.Window[0].Load()
			if n < last {
				t.Errorf("counters went back from %d to %d", last, n)
			}
			last = n
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for range 200 {
		b.seal()
		b.open()
	}
	close(stop)
	readers.Wait()
}

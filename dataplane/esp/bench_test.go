package esp

import (
	"fmt"
	"strings"
	"testing"
)

// benchSuites are those that one meets: the old peers', and the fast ones.
func benchSuites(b *testing.B) (all []*suite) {
	b.Helper()
	for _, name := range []string{"3des-cbc/hmac-sha1", "aes-cbc-128/hmac-sha1", "aes-cbc-256/hmac-sha2-256", "aes-gcm-16-128", "chacha20-poly1305", "null/hmac-sha1"} {
		all = append(all, suiteNamed(b, name))
	}
	return all
}

func forEachBatch(b *testing.B, run func(b *testing.B, batch *batch, packets int)) {
	b.Helper()
	const packets = 64
	for _, s := range benchSuites(b) {
		for _, size := range []int{64, 1400} {
			for _, sas := range []int{1, 8} {
				b.Run(fmt.Sprintf("suite=%s/size=%d/sas=%d", strings.ReplaceAll(s.name, "/", "-"), size, sas), func(b *testing.B) {
					batch := newBatch(b, s, packets, size, sas)
					b.SetBytes(int64(packets * size))
					b.ReportAllocs()
					run(b, batch, packets)
					b.ReportMetric(float64(b.N*packets)/b.Elapsed().Seconds(), "packets/s")
				})
			}
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	forEachBatch(b, func(b *testing.B, batch *batch, packets int) {
		for b.Loop() {
			batch.seal()
		}
		if len(batch.sealed) != packets {
			b.Fatalf("%d packets sealed, want %d: %v", len(batch.sealed), packets, batch.jobs[0].Err)
		}
	})
}

// BenchmarkOpen opens the same batch again and again: its ciphertext is copied back each time, and
// its sequence numbers are not checked but for the cost of a replay.
func BenchmarkOpen(b *testing.B) {
	forEachBatch(b, func(b *testing.B, batch *batch, packets int) {
		batch.seal()
		sealed := make([][]byte, packets)
		for i, s := range batch.sealed {
			sealed[i] = append([]byte(nil), s.Bytes()...)
		}
		for b.Loop() {
			for i := range sealed {
				copy(batch.sealed[i].pkt, sealed[i])
			}
			batch.open()
		}
		for i := range batch.opens {
			if batch.opens[i].Err != nil {
				b.Fatalf("job %d: %v", i, batch.opens[i].Err)
			}
		}
	})
}

// BenchmarkReplay is the window alone, in order.
func BenchmarkReplay(b *testing.B) {
	sa := inboundSA(b)
	seq := uint32(0)
	for b.Loop() {
		seq++
		if sa.ReplayCheck(seq) != nil || sa.ReplayUpdate(seq) != nil {
			b.Fatal("refused")
		}
	}
}

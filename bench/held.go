package bench

import "strings"

// A held is a figure that is held to a bound: the table.
type held struct {
	work       string
	names      []string // in Spread, one for each bound, or one bound for all
	least, aim []float64
	lower      bool // is better
	// why tells, where it falls short, what was found and tried
	why string
}

// verdicts of a line.
const (
	verdictHolds   = "holds"
	verdictShort   = "**falls short**"
	verdictUnknown = "unknown"
)

// heldTable is what the router is held to, on a machine with two cores and AVX-512 VBMI.
var heldTable = []held{
	{work: "TCP through GRE in ESP (AES-GCM, UDP encapsulation), 1 stream, against wireguard-go", names: []string{"tcp_vs_wireguard_go"}, least: []float64{1.5}, aim: []float64{2.5}},
	{work: "the same, 4 streams", names: []string{"tcp4_vs_wireguard_go"}, least: []float64{1.5}, aim: []float64{2.5}},
	{work: "the same with protocol 50, 1 and 4 streams", names: []string{"tcp_esp_vs_wireguard_go", "tcp4_esp_vs_wireguard_go"}, least: []float64{0.8}, aim: []float64{1.5}},
	{work: "UDP 64-byte packets against wireguard-go", names: []string{"udp64_vs_wireguard_go"}, least: []float64{1.8}, aim: []float64{4}},
	{work: "TCP through an AES-GCM tunnel against strongSwan libipsec with its accelerated plugin", names: []string{"tcp_gcm_vs_strongswan"}, least: []float64{5}, aim: []float64{10}},
	{work: "TCP through a 3DES-SHA1 tunnel against strongSwan libipsec", names: []string{"tcp_3des_vs_strongswan"}, least: []float64{8}, aim: []float64{20}},
	{work: "3DES-CBC encryption alone, 1408 B × 64 packets, one core, against crypto/des", names: []string{"des3.encrypt_vs_crypto_des"}, least: []float64{25}, aim: []float64{45}, why: "a round takes 26 to 29 cycles for 64 blocks where the instructions alone would take 20: the selects read three registers each, more than this core delivers in a cycle, and 512-bit stores take two. A quiet machine measures 31; other work on the cores takes a third away, more than from crypto/des. Tried: two and three interleaved groups (in use), 32-lane groups in YMM registers, masks from memory, full unrolling, two thousand orders of instructions, keys folded into the tables (7 % for 24 KB a key)"},
	{work: "3DES-CBC decryption alone, one 1408 B packet after another", names: []string{"des3.decrypt_vs_crypto_des"}, least: []float64{30}, aim: []float64{55}, why: "a round takes 26 to 29 cycles for 64 blocks where the instructions alone would take 20: the selects read three registers each, more than this core delivers in a cycle, and 512-bit stores take two. A quiet machine measures 31; other work on the cores takes a third away, more than from crypto/des. Tried: two and three interleaved groups (in use), 32-lane groups in YMM registers, masks from memory, full unrolling, two thousand orders of instructions, keys folded into the tables (7 % for 24 KB a key)"},
	{
		work:  "the same with AVX2 forced: encryption at 64 and at 256 packets; decryption",
		names: []string{"des3.avx2_encrypt_vs_crypto_des", "des3.avx2_encrypt_256_vs_crypto_des", "des3.avx2_decrypt_vs_crypto_des"},
		least: []float64{4, 6, 8}, aim: []float64{12},
	},
	{work: "3DES-CBC + HMAC-SHA1 seal, 64 packets, against OpenSSL doing both", names: []string{"des3.seal_vs_openssl"}, least: []float64{12}, aim: []float64{25}},
	{work: "3DES-CBC encryption, against the best build of Intel's multi-buffer library at hand", names: []string{"des3.encrypt_vs_intel"}, least: []float64{3}, aim: []float64{8}},
	{work: "a mixed batch of 64 SAs, one packet each, against the same-key batch", names: []string{"des3.mixed_vs_same_key"}, least: []float64{0.5}, aim: []float64{0.8}},
	{work: "portable Go 3DES-CBC (no assembly) against crypto/des, encryption and decryption", names: []string{"des3.portable_encrypt_vs_crypto_des", "des3.portable_decrypt_vs_crypto_des"}, least: []float64{2}, aim: []float64{4.5}},
	{work: "what one 3DES packet alone costs, crypto/des being 1: VBMI, AVX2, portable (lower is better)", names: []string{"des3.cost_avx512_1", "des3.cost_avx2_1", "des3.cost_portable_1"}, least: []float64{3, 11, 8}, lower: true},
	{work: "what each of 4 costs with VBMI, of 11 with AVX2, of 32 portable (lower is better)", names: []string{"des3.cost_avx512_4", "des3.cost_avx2_11", "des3.cost_portable_32"}, least: []float64{1}, lower: true},
	{work: "HMAC-SHA1, AES-CBC encryption and decryption, 64 packets of 1408 B, against OpenSSL", names: []string{"crypto.hmac-sha1_vs_openssl", "crypto.aes-128-cbc-encrypt_vs_openssl", "crypto.aes-128-cbc-decrypt_vs_openssl"}, least: []float64{1}},
	{work: "AES-GCM-128 seal and open, ChaCha20-Poly1305 seal and open, against their Go libraries", names: []string{"crypto.aes128gcm16-seal_vs_go", "crypto.aes128gcm16-open_vs_go", "crypto.chacha20poly1305-seal_vs_go", "crypto.chacha20poly1305-open_vs_go"}, least: []float64{1}, why: "the library alone takes what Go's does; a whole packet besides has header, padding and counters of some 20 ns. Tried: sealing in place side by side (one copy less), nonces in the batch's scratch space. What would help is a cipher of our own over VAES and VPCLMULQDQ: Intel's in that table is twice as fast at 1408 bytes"},
	{work: "latency p99 at half load against wireguard-go: 64, 512 and 1340 bytes (lower is better)", names: []string{"latency64_p99_vs_wireguard_go", "latency512_p99_vs_wireguard_go", "latency1340_p99_vs_wireguard_go"}, least: []float64{1}, aim: []float64{0.7}, lower: true, why: "one packet at a time goes all the way in one goroutine, so the median is half of wireguard-go's; what is behind p99 is the scheduler of a machine whose two cores also run generator, sink and both routers. Tried: workers that yield within a batch, packets that found the router asleep not taken for a queue"},
	{work: "memory of an idle tunnel, bytes", names: []string{"scale.tunnel_bytes"}, least: []float64{8000}, aim: []float64{4000}, lower: true},
	{work: "memory of 10,000 tunnels, MB", names: []string{"scale.tunnels_10000_mbyte"}, least: []float64{150}, aim: []float64{100}, lower: true},
	{work: "traffic on one of 10,000 tunnels, against one of 1 (lower is better)", names: []string{"scale." + oneTunnel + ".10000"}, least: []float64{1.1}, lower: true},
	{work: "spread over 1,000 tunnels, against 16 (lower is better)", names: []string{"scale." + overAll + ".1000"}, least: []float64{1.3}, lower: true, why: "keys, counters and tunnels of 1,000 SA pairs, both ends in one process, are 8 MB: more than the second-level cache, and each packet of 64 bytes waits for some 20 lines of it. With tunnels in the order of their numbers `BenchmarkScale` of package dataplane measures 1.03 to 1.11. Tried: SAs without scratch space of their own (IVs, hashes and cipher modes are the batch's now), and reading the keys and counters of a whole batch ahead, which gained nothing above the noise and was left out"},
	{work: "100,000 routes, against 16 (lower is better)", names: []string{"scale." + overRoutes + ".100000"}, least: []float64{1.2}, lower: true, why: "routes of 16,384 destinations in random order do not fit the second-level cache. Tried: the trie of package bart (1.7), a smaller trie of our own, and looking a batch up one right after another so that the waits overlap"},
	{work: "one of 100,000 routes changed, µs", names: []string{"scale.fib_change_us"}, least: []float64{50}, lower: true},
}

// bound is the i-th of a list that may have one for all.
func bound(bounds []float64, i int) float64 {
	switch {
	case len(bounds) == 0:
		return 0
	case i < len(bounds):
		return bounds[i]
	}
	return bounds[len(bounds)-1]
}

// short says whether the i-th figure falls short of its bound.
func (h held) short(i int, s Sample) bool {
	least := bound(h.least, i)
	return s.Median != least && (s.Median < least) != h.lower
}

// line is the row of the table: what was measured, and whether it holds.
func (h held) line(spread map[string]Sample) []string {
	var measured, spans []string
	verdict := verdictHolds
	for i, name := range h.names {
		s, ok := spread[name]
		if !ok {
			measured, spans = append(measured, "not measured"), append(spans, "")
			verdict = verdictUnknown
			continue
		}
		measured = append(measured, number2(s.Median))
		spans = append(spans, s.span(number2))
		if verdict == verdictHolds && h.short(i, s) {
			verdict = verdictShort
		}
	}
	return []string{h.work, numbers(h.least), numbers(h.aim), strings.Join(measured, "; "), strings.Join(spans, "; "), verdict}
}

func numbers(vs []float64) string {
	words := make([]string, len(vs))
	for i, v := range vs {
		words[i] = trimmed(v)
	}
	return strings.Join(words, "; ")
}

// trimmed shows a bound as it was written.
func trimmed(v float64) string {
	text := number2(v)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// Package bench measures this machine beside what one would use instead of meshrouter.
//
//	crypto   ciphers and ESP beside Go's, OpenSSL's and Intel's      ┐
//	spf      ospf.Calculation over generated databases               │
//	ike      two ike.Engines, main mode and quick mode, in memory    ├─ rounds ─► Sample ─► Document
//	scale    two dataplane.Engines, many tunnels, many routes        │                      JSON, tables
//	tunnel   two `meshrouter run` beside wireguard-go and strongSwan │                        └► report
//	profile  where their processor time goes, by stage               ┘                docs/performance.md
//
// What is compared is measured in the same run: every round takes each entry once, in an order
// shuffled afresh, and a ratio is formed within its round. A figure is the median of its rounds with
// p10, p90 and their number. Trust ratios within one run; absolute figures belong to the machine
// and the moment that the document names.
//
// Nothing is timed before it was found right: all ciphers give the same bytes, sealed packets are
// opened by the standard library, route costs are compared with a plain Bellman-Ford, both ends of
// a handshake must hold the same keys, the tunnels' counters must show that they carried what
// iperf3 counted, and a peer that chose a slow implementation is refused.
//
// Helpers are this program again, or the C harness, and are asked line by line through a pipe. The two
// sites of a tunnel live in network namespaces without a name, and their processes die with the thread
// that started them: a killed run leaves one directory behind, which the next one takes over.
//
// Read bench.go, document.go and rounds.go. Then, for ciphers, crypto.go, ciphers.go, contestant.go and
// harness/; for tunnels tunnel_linux.go, site_linux.go, mesh_linux.go, wireguard_linux.go,
// strongswan_linux.go, and blast_linux.go with bisect.go for UDP. held.go has the bounds, page.go
// the page. README.md tells how to read the figures.
//
//go:generate go run ./report
package bench

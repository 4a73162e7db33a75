// Package bench measures this machine: ciphers, tunnels, route calculation, handshakes.
//
//	crypto   esp.Seal and esp.Open, and 3DES beside crypto/des       ┐
//	spf      ospf.Calculation over generated databases               ├─ rounds ─► Sample ─► Document
//	ike      two ike.Engines, main mode and quick mode, in memory    │                      JSON, tables
//	tunnel   iperf3 through two `meshrouter run`, beside a bare veth ┘
//
// What is compared is measured in the same run: every round takes each entry once, in an order
// shuffled afresh, and a ratio is formed within its round. A figure is the median of its rounds with
// p10, p90 and their number. Trust ratios within one run; absolute figures belong to the machine
// and the moment that the document names.
//
// Nothing is timed before it was found right: sealed packets are opened by the standard library,
// route costs are compared with a plain Bellman-Ford, both ends of a handshake must hold the same
// keys, and the SAs' counters must show that ESP carried what iperf3 counted.
//
// The two sites of the tunnel live in network namespaces without a name, and their processes die with
// the thread that started them: a killed run leaves one directory behind, which the next one takes over.
//
// Read bench.go, document.go and rounds.go, then crypto.go, spf.go, ike.go, tunnel_linux.go with
// site_linux.go, namespace_linux.go and iperf.go. README.md tells how to read the figures.
package bench

package bench

import "time"

// A Document is what one run of the benchmarks found. A number that stands alone is the median of
// its rounds; Spread has the rest, under the number's name. Crypto, SPF, IKE and Scale count seconds of
// processor time, Traffic those of the clock.
type Document struct {
	began time.Time // by the monotonic clock

	Date    time.Time `json:"date"`
	Version string    `json:"version"` // of meshrouter
	Quick   bool      `json:"quick"`
	Seconds float64   `json:"seconds"` // the whole run took
	Machine
	Implementations map[string]string `json:"implementations,omitempty"` // of our own ciphers, by package
	Peers           []Peer            `json:"peers,omitempty"`           // what was measured beside, or why not

	Spread map[string]Sample `json:"spread,omitempty"`

	// DES3 are ratios of 3DES alone, unless the name says seal. More than 1: ours is faster.
	DES3     map[string]float64 `json:"des3,omitempty"`
	Crypto   []CryptoRow        `json:"crypto,omitempty"`
	SPF      []SPFRow           `json:"spf,omitempty"`
	IKE      []IKERow           `json:"ike,omitempty"`
	Scale    *Scale             `json:"scale,omitempty"`
	*Traffic                    // with the part tunnel only
	Profile  *Profile           `json:"profile,omitempty"`
}

// A Peer is what a part measured beside meshrouter.
type Peer struct {
	Part           string `json:"part"`
	Name           string `json:"name"`
	Version        string `json:"version,omitempty"`
	Implementation string `json:"implementation,omitempty"` // what it chose, as it says itself
	Missing        string `json:"missing,omitempty"`        // why there are no figures
}

// A CryptoRow is one work at one size of packet and of batch, on one core.
type CryptoRow struct {
	Work  string  `json:"work"`
	By    string  `json:"by"`
	Bytes int     `json:"bytes"`             // of each payload
	Batch int     `json:"batch"`             // packets in one call
	Mbyte Sample  `json:"mbyte_per_second"`  // payload, 10^6 bytes
	Ours  *Sample `json:"ours_is,omitempty"` // meshrouter's rate divided by this one, round by round
}

// An SPFRow is the route calculation over one generated database, on one core.
type SPFRow struct {
	Routers  int    `json:"routers"`
	Links    int    `json:"links"`     // between routers
	LSABytes int    `json:"lsa_bytes"` // of all router-LSAs
	Routes   int    `json:"routes"`
	Full     Sample `json:"full_ms"` // shortest paths and the sorted routing table
	Load     Sample `json:"load_ms"` // parsing the LSAs into the database
}

// An IKERow is main mode and quick mode, both ends on one core.
type IKERow struct {
	Phase1     string `json:"phase1"`
	Phase2     string `json:"phase2"`
	Handshakes Sample `json:"handshakes_per_second"` // one core does the work of both ends
	// What one end could do with a core of its own.
	Initiator float64 `json:"initiator_per_second"`
	Responder float64 `json:"responder_per_second"`
}

// Scale is what many tunnels and many routes cost: two engines on a wire of memory, and their heap.
type Scale struct {
	Rows []ScaleRow `json:"rows"`
	// FIBChange is one route changed among the most, from the call until new packets follow it.
	FIBChange Sample `json:"fib_change_us"`
	// What the data plane's heap grows by: for one tunnel with its SAs, and for 10,000.
	TunnelBytes  float64 `json:"tunnel_bytes"`
	TunnelsMbyte float64 `json:"tunnels_10000_mbyte"`
}

// A ScaleRow is packets of 64 bytes, one after another to other tunnels or routes.
type ScaleRow struct {
	What    string `json:"what"` // "tunnels", of which one has traffic; "spread" over all; "routes"
	Count   int    `json:"count"`
	NS      Sample `json:"ns_per_packet"` // processor time of both engines
	VsLeast Sample `json:"vs_least"`      // against the least count of the same kind, round by round
}

// Traffic is what moved between two sites, one way. Mbit are 10^6 bits of payload, as the receiver counted
// them.
type Traffic struct {
	TCP3DES float64 `json:"tcp_3des_mbit"`        // 3DES and HMAC-SHA1 in UDP, one stream
	TCPGCM  float64 `json:"tcp_aes_gcm_128_mbit"` // AES-GCM with a 128-bit key in UDP, one stream
	TCPVeth float64 `json:"tcp_veth_mbit"`        // the same wire without a tunnel
	// Against wireguard-go in the same run; nil: it was not to be had, see Peers.
	TCPVsWireGuard   *float64 `json:"tcp_vs_wireguard_go,omitempty"`
	UDP64VsWireGuard *float64 `json:"udp64_vs_wireguard_go,omitempty"`

	Comparisons []Comparison `json:"comparisons"`
	Rows        []TunnelRow  `json:"tunnel"`
	UDP         []UDPRow     `json:"udp"`
	Latency     []LatencyRow `json:"latency,omitempty"`
	Iperf       string       `json:"iperf3"` // its version
	// Congestion is what TCP uses here: the machine's default.
	Congestion string `json:"tcp_congestion"`
	Pinning    string `json:"pinning"`
	Void       int    `json:"void_rounds"`
}

// The paths, as the document names them.
const (
	vethPath      = "veth"
	loopbackPath  = "loopback"
	gcmUDP        = "meshrouter aes128gcm16 udp"
	gcm50         = "meshrouter aes128gcm16 esp"
	des3UDP       = "meshrouter 3des-sha1 udp"
	cbcUDP        = "meshrouter aes128-sha1 udp"
	gcmPlain      = "meshrouter aes128gcm16 udp, no offloads"
	gcm50By       = "meshrouter aes128gcm16 esp by " // and what carries it
	wireguardPath = "wireguard-go"
	swanPath      = "strongswan " // and the suite
)

// A Comparison is a ratio, round by round, of meshrouter and what a user would pick instead.
type Comparison struct {
	Name   string `json:"name"` // as in Spread
	Ours   string `json:"ours"`
	Theirs string `json:"theirs"`
	Ratio  Sample `json:"ratio"`
	// A win above 5 is not believed until Explanation says where it comes from.
	Suspect     bool   `json:"suspect,omitempty"`
	Explanation string `json:"explanation,omitempty"`
}

// A TunnelRow is TCP on one path.
type TunnelRow struct {
	Path    string `json:"path"` // veth, loopback, or peer and suite
	Streams int    `json:"streams"`
	Mbit    Sample `json:"mbit_per_second"`
	VsVeth  Sample `json:"vs_veth"`
	Load
}

// Load is who was busy and what was lost.
type Load struct {
	// The two routers' processor time, percent of one core; 0 without a tunnel.
	SenderCPU   float64 `json:"sender_cpu_percent,omitempty"`
	ReceiverCPU float64 `json:"receiver_cpu_percent,omitempty"`
	Idle        float64 `json:"idle_percent"`           // of all cores
	Limit       string  `json:"limited_by"`             // who had no time left
	Retransmits float64 `json:"retransmits_per_second"` // TCP segments
	Dropped     float64 `json:"dropped_per_second"`     // by TUN devices and routers' sockets
}

// A UDPRow is the highest rate of packets of one size that a path carried with less than 0.5 % lost.
type UDPRow struct {
	Path    string `json:"path"`
	Bytes   int    `json:"bytes"` // UDP payload
	Packets Sample `json:"packets_per_second"`
	Load
}

// A LatencyRow is how long packets took at half of the rate that wireguard-go carries.
type LatencyRow struct {
	Path    string `json:"path"`
	Bytes   int    `json:"bytes"`
	Packets Sample `json:"packets_per_second"` // offered
	P50     Sample `json:"p50_us"`
	P99     Sample `json:"p99_us"`
	P999    Sample `json:"p999_us"`
	// Switches is how often threads of both routers gave up a core or had to, for each packet.
	Switches Sample `json:"switches_per_packet"`
}

// Profile is where the routers' processor time goes under one TCP stream.
type Profile struct {
	Suite string        `json:"suite"`
	Mbit  float64       `json:"mbit_per_second"`
	Sides []ProfileSide `json:"sides"`
}

// A ProfileSide is one router.
type ProfileSide struct {
	Side    string         `json:"side"` // sender, receiver
	Packets float64        `json:"packets_per_second"`
	CPU     float64        `json:"cpu_percent"` // of one core
	Stages  []ProfileStage `json:"stages"`
	Folded  []FoldedStack  `json:"folded"` // for the flame graph; what is less than 0.1 % is left out
}

// A ProfileStage is one step of a packet's way.
type ProfileStage struct {
	Name    string  `json:"name"`
	NS      float64 `json:"ns_per_packet"`
	Percent float64 `json:"percent"`
}

// A FoldedStack is a stack of functions, outermost first, and its share of the samples.
type FoldedStack struct {
	Stack string  `json:"stack"` // separated by semicolons
	Share float64 `json:"share"`
}

func newDocument(now time.Time, o Options) *Document {
	return &Document{
		began: now, Date: now.UTC().Truncate(time.Second), Version: o.Version, Quick: o.Quick,
		Machine: thisMachine(), Spread: make(map[string]Sample),
	}
}

// note keeps the spread of a number under its name, and returns its median.
func (d *Document) note(name string, values []float64) float64 {
	s := newSample(values)
	d.Spread[name] = s
	return s.Median
}

package bench

import "time"

// A Document is what one run of the benchmarks found. A number that stands alone is the median of
// its rounds; Spread has the rest, under the number's name. Crypto, SPF and IKE count seconds of
// processor time, Traffic those of the clock.
type Document struct {
	Date    time.Time `json:"date"`
	Version string    `json:"version"` // of meshrouter
	Quick   bool      `json:"quick"`
	Seconds float64   `json:"seconds"` // the whole run took
	Machine

	Spread map[string]Sample `json:"spread,omitempty"`

	DES3     *DES3       `json:"des3,omitempty"`
	Crypto   []CryptoRow `json:"crypto,omitempty"`
	SPF      []SPFRow    `json:"spf,omitempty"`
	IKE      []IKERow    `json:"ike,omitempty"`
	*Traffic             // with the part tunnel only
}

// DES3 compares sealing and opening by 3DES-CBC and HMAC-SHA1 (RFC 2451, 2404) with the same work,
// byte for byte, done by crypto/des, crypto/cipher and crypto/hmac. More than 1: ours is faster.
type DES3 struct {
	EncryptVsCryptoDES float64 `json:"encrypt_vs_crypto_des"`
	DecryptVsCryptoDES float64 `json:"decrypt_vs_crypto_des"`
	Bytes              int     `json:"bytes"` // of each payload
	Batch              int     `json:"batch"` // packets
	EncryptMbyte       float64 `json:"encrypt_mbyte_per_second"`
	DecryptMbyte       float64 `json:"decrypt_mbyte_per_second"`
}

// A CryptoRow is one suite at one size of packet and of batch, on one core.
type CryptoRow struct {
	Suite   string  `json:"suite"`
	Work    string  `json:"work"`             // seal, open
	Bytes   int     `json:"bytes"`            // of each payload
	Batch   int     `json:"batch"`            // packets of one SA in one call
	Mbyte   Sample  `json:"mbyte_per_second"` // payload, 10^6 bytes
	Packets float64 `json:"packets_per_second"`
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

// Traffic is what iperf3 moved between two sites, one way, one stream. Mbit are 10^6 bits of payload, as
// the receiver counted them.
type Traffic struct {
	TCP3DES float64 `json:"tcp_3des_mbit"`        // 3DES and HMAC-SHA1, IP protocol 50
	UDP3DES float64 `json:"udp_3des_mbit"`        //
	TCPGCM  float64 `json:"tcp_aes_gcm_128_mbit"` // AES-GCM with a 128-bit key, IP protocol 50
	UDPGCM  float64 `json:"udp_aes_gcm_128_mbit"` //
	TCPVeth float64 `json:"tcp_veth_mbit"`        // the same wire without a tunnel
	UDPVeth float64 `json:"udp_veth_mbit"`        //

	Rows  []TunnelRow `json:"tunnel"`
	Iperf string      `json:"iperf3"` // its version
	// Congestion is what TCP uses here: the machine's default.
	Congestion string `json:"tcp_congestion"`
	Void       int    `json:"void_rounds"`
}

// A TunnelRow is one way of moving packets.
type TunnelRow struct {
	Path     string `json:"path"` // veth, or the suite of the tunnel
	Protocol string `json:"protocol"`
	Mbit     Sample `json:"mbit_per_second"`
	VsVeth   Sample `json:"vs_veth"`
	// UDP is offered as fast as iperf3 sends; Packets are those that arrived.
	PacketBytes int     `json:"packet_bytes,omitempty"` // UDP payload
	Packets     float64 `json:"packets_per_second,omitempty"`
	LostPercent float64 `json:"lost_percent,omitempty"`
	Retransmits float64 `json:"retransmits,omitempty"` // TCP segments a second
	// The two routers' processor time, percent of one core; 0 without a tunnel.
	SenderCPU   float64 `json:"sender_cpu_percent,omitempty"`
	ReceiverCPU float64 `json:"receiver_cpu_percent,omitempty"`
}

func newDocument(now time.Time, o Options) *Document {
	return &Document{
		Date: now.UTC().Truncate(time.Second), Version: o.Version, Quick: o.Quick,
		Machine: thisMachine(), Spread: make(map[string]Sample),
	}
}

// note keeps the spread of a number under its name, and returns its median.
func (d *Document) note(name string, values []float64) float64 {
	s := newSample(values)
	d.Spread[name] = s
	return s.Median
}

package status

import "net/netip"

// NeighborsDoc is `show neighbor`.
type NeighborsDoc struct {
	Neighbors []Neighbor `json:"neighbors"`
	// Silent are the links on which there is no neighbor.
	Silent []SilentInterface `json:"silent_interfaces"`
}

// A SilentInterface is a link without a neighbor.
type SilentInterface struct {
	Interface string `json:"interface"`
	Peer      string `json:"peer"`   // the site's name
	Reason    string `json:"reason"` // in words
}

// A Neighbor is one OSPF neighbor.
type Neighbor struct {
	ID             netip.Addr `json:"id"`
	Priority       uint8      `json:"priority"`
	State          string     `json:"state"`           // ospfctl's word: DOWN ATTMP INIT 2-WAY EXSTA SNAP EXCHG LOAD FULL
	InterfaceState string     `json:"interface_state"` // P2P, DOWN, ...
	DeadInSeconds  float64    `json:"dead_in_seconds"`
	Address        netip.Addr `json:"address"`
	Interface      string     `json:"interface"` // the link's name, or the device's
	UptimeSeconds  float64    `json:"uptime_seconds"`
	Peer           string     `json:"peer,omitempty"` // the site's name
	Reason         string     `json:"reason"`         // why it is not FULL, or why it last fell, in words
	StateChanges   int        `json:"state_changes"`
	Options        uint8      `json:"options"`
	Summary        int        `json:"database_summary"`          // entries of the list
	Request        int        `json:"link_state_request"`        // entries of the list
	Retransmit     int        `json:"link_state_retransmission"` // entries of the list
}

// InterfacesDoc is `show interfaces`.
type InterfacesDoc struct {
	Interfaces []Interface `json:"interfaces"`
}

// An Interface is one OSPF interface: a tunnel or a LAN.
type Interface struct {
	Name           string       `json:"name"`
	Address        netip.Prefix `json:"address"`
	State          string       `json:"state"` // DOWN LOOP WAIT P2P OTHER BCKUP DR
	Passive        bool         `json:"passive"`
	HelloInSeconds float64      `json:"hello_in_seconds"`
	LinkState      string       `json:"link_state"` // active, down, unknown, "keepalive down"
	UptimeSeconds  float64      `json:"uptime_seconds"`
	Neighbors      int          `json:"neighbor_count"`
	Adjacent       int          `json:"adjacent_count"`
	Cost           int          `json:"cost"`
	HelloSeconds   int          `json:"hello_interval_seconds"`
	DeadSeconds    int          `json:"dead_interval_seconds"`
	MTUBytes       int          `json:"mtu_bytes"`
	DDMTUBytes     int          `json:"dd_mtu_bytes"`
	Authentication string       `json:"authentication"` // none, simple, md5
	Reason         string       `json:"reason"`         // why it is down, in words
	LastError      string       `json:"last_error"`     // the last packet refused here, in words
}

// RIBDoc is `show rib`: OSPF's routing table, the source of truth.
type RIBDoc struct {
	Routes []Route `json:"routes"`
}

// A Route is one row of OSPF's routing table: one prefix with one next hop. Equal costs make rows.
type Route struct {
	Destination   netip.Prefix `json:"destination"`
	Nexthop       netip.Addr   `json:"nexthop"`   // our own address for a connected network; invalid if there is none
	Connected     bool         `json:"connected"` // the C behind the next hop
	Interface     string       `json:"interface"`
	PathType      string       `json:"path_type"`        // Intra-Area, Inter-Area, "Type 1 ext", "Type 2 ext"
	Type          string       `json:"destination_type"` // Network, Router
	Cost          uint32       `json:"cost"`
	UptimeSeconds float64      `json:"uptime_seconds"`
	AdvRouter     netip.Addr   `json:"advertising_router"`
}

// FIBDoc is `show fib`: what packets really follow, beside the kernel's table.
type FIBDoc struct {
	Entries []FIBEntry `json:"entries"`
}

// A FIBEntry is one prefix with one next hop. A row that is not in all three tables (OSPF's, ours,
// the kernel's) is a difference.
type FIBEntry struct {
	Destination netip.Prefix `json:"destination"`
	Nexthop     netip.Addr   `json:"nexthop"` // invalid: directly connected
	Interface   string       `json:"interface"`
	Origin      string       `json:"origin"` // ospf, connected, static
	Priority    int          `json:"priority"`
	InRIB       bool         `json:"in_rib"`               // OSPF's routing table
	InFIB       bool         `json:"in_fib"`               // our forwarding table
	InKernel    bool         `json:"in_kernel"`            // the kernel's routes to the TUN, or its connected ones
	Difference  string       `json:"difference,omitempty"` // in words, when the three do not agree
}

// FlowsDoc is `show flows`: what ESP protects.
type FlowsDoc struct {
	Flows []Flow `json:"flows"`
}

// A Flow is one direction of what an SA pair protects.
type Flow struct {
	Link      string       `json:"link"`
	Direction string       `json:"direction"` // in, out
	Protocol  uint8        `json:"protocol"`  // 0: any
	From      netip.Prefix `json:"from"`
	To        netip.Prefix `json:"to"`
	Local     netip.Addr   `json:"local"`
	Peer      netip.Addr   `json:"peer"`
	SrcID     string       `json:"srcid"` // "192.0.2.1/32", "host.name"
	DstID     string       `json:"dstid"`
	Type      string       `json:"type"` // require
}

// SADDoc is `show sad`: the security associations.
type SADDoc struct {
	SAs []SA `json:"sas"`
}

// An SA is one direction of an ESP security association.
type SA struct {
	Link           string         `json:"link"`
	SPI            uint32         `json:"spi"`
	Direction      string         `json:"direction"` // in, out
	Mode           string         `json:"mode"`      // tunnel, transport
	From           netip.AddrPort `json:"from"`      // port 0 without UDP encapsulation
	To             netip.AddrPort `json:"to"`
	Encryption     string         `json:"encryption"`     // 3des-cbc, aes, aes-256, aes-128-gcm
	Authentication string         `json:"authentication"` // hmac-sha1, hmac-sha2-256; empty with GCM
	UDP            bool           `json:"udp_encapsulation"`
	Current        bool           `json:"current"`  // outbound: the one in use; inbound: the newest
	Restored       bool           `json:"restored"` // outlived a restart
	AgeSeconds     float64        `json:"age_seconds"`
	SoftInSeconds  float64        `json:"soft_in_seconds"`
	HardInSeconds  float64        `json:"hard_in_seconds"`
	Packets        uint64         `json:"packets"`
	Bytes          uint64         `json:"bytes"`
	Sequence       uint64         `json:"sequence"` // outbound: next to send; inbound: highest received
	ReplayWindow   int            `json:"replay_window_packets"`
	ReplayDrops    uint64         `json:"replay_drops"`
	AuthDrops      uint64         `json:"authentication_drops"`
	IdleSeconds    float64        `json:"idle_seconds"` // since the last packet; -1: never used
}

// TunnelsDoc is `show tunnels`: the data plane's view of each link.
type TunnelsDoc struct {
	Tunnels []Tunnel `json:"tunnels"`
}

// A Tunnel is one link as the data plane sees it. The six addresses: outer, GRE and tunnel, two each.
type Tunnel struct {
	Link         string       `json:"link"`
	Peer         string       `json:"peer"` // the site's name
	Up           bool         `json:"up"`
	Reason       string       `json:"reason"` // why it is down, in words
	Local        netip.Addr   `json:"local"`
	Remote       netip.Addr   `json:"remote"`
	GRELocal     netip.Addr   `json:"gre_local"`
	GRERemote    netip.Addr   `json:"gre_remote"`
	TunnelLocal  netip.Prefix `json:"tunnel_local"`
	TunnelRemote netip.Prefix `json:"tunnel_remote"`
	GREKey       *uint32      `json:"gre_key,omitempty"`
	Suite        string       `json:"suite"`
	Mode         string       `json:"mode"`
	MTUBytes     int          `json:"mtu_bytes"`
	MTUSum       string       `json:"mtu_sum"`                  // "1500 - 20 outer IP - ... = 1422"
	PathMTUBytes int          `json:"path_mtu_bytes,omitempty"` // what the path was found to carry; 0: not known
	PacketsIn    uint64       `json:"packets_in"`
	BytesIn      uint64       `json:"bytes_in"`
	PacketsOut   uint64       `json:"packets_out"`
	BytesOut     uint64       `json:"bytes_out"`
	Source       string       `json:"source"` // "mesh.yaml:14:5"
}

// IKEDoc is `show ike`: the negotiations.
type IKEDoc struct {
	Peers []IKEPeer `json:"peers"`
}

// An IKEPeer is one peer with its ISAKMP SA.
type IKEPeer struct {
	Link               string         `json:"link"`
	Peer               string         `json:"peer"`
	State              string         `json:"state"`  // down, negotiating, up
	Reason             string         `json:"reason"` // in words
	Local              netip.AddrPort `json:"local"`
	Remote             netip.AddrPort `json:"remote"`
	Role               string         `json:"role"` // initiator, responder; empty without an ISAKMP SA
	InitiatorCookie    string         `json:"initiator_cookie"`
	ResponderCookie    string         `json:"responder_cookie"`
	Phase1             string         `json:"phase1"` // 3des-sha1-modp1024
	NAT                string         `json:"nat"`    // none, local, remote, both, forced
	EstablishedSeconds float64        `json:"established_seconds"`
	ExpiresInSeconds   float64        `json:"expires_in_seconds"`
	SAs                int            `json:"sa_count"`
	NHTB               netip.Addr     `json:"nhtb_address,omitzero"` // of a ScreenOS peer's tunnel interface, if it told
	Profile            string         `json:"profile"`
}

// DatabaseDoc is `show database`.
type DatabaseDoc struct {
	Area netip.Addr `json:"area"`
	LSAs []LSA      `json:"lsas"`
}

// An LSA is one row of the link state database (RFC 2328, 12.1).
type LSA struct {
	Type        uint8      `json:"type"`
	ID          netip.Addr `json:"link_state_id"`
	AdvRouter   netip.Addr `json:"advertising_router"`
	AgeSeconds  uint16     `json:"age_seconds"`
	Sequence    uint32     `json:"sequence"`
	Checksum    uint16     `json:"checksum"`
	LengthBytes uint16     `json:"length_bytes"`
	Raw         []byte     `json:"raw,omitempty"` // the whole LSA
}

// SummaryDoc is `show summary`.
type SummaryDoc struct {
	Site               string     `json:"site"`
	Version            string     `json:"version"`
	RouterID           netip.Addr `json:"router_id"`
	UptimeSeconds      float64    `json:"uptime_seconds"`
	SPFDelayMsec       int        `json:"spf_delay_msec"`
	SPFHoldMsec        int        `json:"spf_hold_msec"`
	ExternalLSAs       int        `json:"external_lsa_count"`
	ExternalChecksum   uint32     `json:"external_checksum_sum"`
	Areas              []Area     `json:"areas"`
	LastSPFAgoSeconds  float64    `json:"last_spf_ago_seconds"`
	LastSPFTookSeconds float64    `json:"last_spf_took_seconds"`
	Offloads           []Offload  `json:"offloads"`
	Workers            []Worker   `json:"workers"`
}

// A Worker is what one worker of the data plane has done: how long its batches take, and how long their
// oldest packets waited before, on average and at most since this was last asked for.
type Worker struct {
	Name        string  `json:"name"` // "TUN queue 0", "receiver 2", "owner 1"
	Batches     uint64  `json:"batches"`
	Packets     uint64  `json:"packets"`
	BusyMsec    float64 `json:"busy_msec"`
	MaxBusyMsec float64 `json:"max_busy_msec"`
	WaitMsec    float64 `json:"wait_msec"` // 0 where it is not known
	MaxWaitMsec float64 `json:"max_wait_msec"`
}

// An Offload is one of the fast ways of the data plane, as it came out at the start.
type Offload struct {
	Name   string `json:"name"`
	On     bool   `json:"on"`
	Reason string `json:"reason,omitempty"` // why it is off, or what is used
}

// An Area is the summary of one area.
type Area struct {
	ID          netip.Addr `json:"id"`
	Interfaces  int        `json:"interface_count"`
	Adjacent    int        `json:"fully_adjacent_neighbor_count"`
	SPFRuns     int        `json:"spf_run_count"`
	LSAs        int        `json:"lsa_count"`
	ChecksumSum uint32     `json:"checksum_sum"`
}

// CountersDoc is `show counters`: every event and drop that has a name.
type CountersDoc struct {
	Counters []Counter `json:"counters"`
}

// A Counter is one named count since the start of the process.
type Counter struct {
	Subsystem string `json:"subsystem"` // dataplane, underlay, tun, ike, ospf
	Name      string `json:"name"`
	Value     uint64 `json:"value"`
}

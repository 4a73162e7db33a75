package ike

import (
	"net/netip"
	"time"

	"meshrouter/ike/isakmp"
	"meshrouter/internal/secret"
)

// The registries of the wire format, under the names that the configuration uses.
type (
	// Encryption is a phase 1 encryption algorithm.
	Encryption = isakmp.Encryption
	// Hash is a phase 1 hash.
	Hash = isakmp.Hash
	// Group is a Diffie-Hellman group.
	Group = isakmp.Group
	// IDType says what an identity is.
	IDType = isakmp.IDType
	// ESPTransform is an ESP cipher.
	ESPTransform = isakmp.ESPTransform
	// AuthAlgorithm is an ESP integrity algorithm.
	AuthAlgorithm = isakmp.AuthAlgorithm
	// EncapsulationMode is tunnel or transport mode.
	EncapsulationMode = isakmp.EncapsulationMode
)

// A PeerID names one link to one peer; it is the link's name in the mesh file.
type PeerID string

// Config is everything the engine needs to know. A new Config replaces the old one: peers whose
// configuration did not change keep their SAs.
type Config struct {
	Peers []PeerConfig
	// Limits against floods; zero values mean the defaults.
	HalfOpenPerPeer int // half-open responder exchanges held for one configured peer (default 16)
}

// PeerConfig describes one peer and what may be negotiated with it.
type PeerConfig struct {
	ID            PeerID
	Local, Remote netip.Addr // outer addresses
	PSK           secret.Key
	// LocalID is what we send, RemoteID what we accept; the zero Identity means the address of
	// that end when sent, and any identity when received.
	LocalID, RemoteID Identity
	Profile           Profile
	Initiate          Initiate
	Phase1            []Phase1Transform // in order of preference; offered in one proposal
	Phase2            []Phase2Transform // in order of preference; one towards isakmpd
	PFS               Group             // 0: none
	Mode              EncapsulationMode // Tunnel or Transport, without the UDP variants
	LocalTS, RemoteTS Selector          // proxy ids (IDci, IDcr)
	Phase1Lifetime    time.Duration     // offered; and the longest that we keep an ISAKMP SA. 0: 8 h
	Phase2Lifetime    time.Duration     // of ESP SAs, likewise. 0: 1 h
	Phase2Kilobytes   uint32            // 0: no volume limit
	// Phase1Min and Phase1Max bound the phase 1 lifetimes that a peer may offer; 0: 60 s and 86400 s.
	Phase1Min, Phase1Max time.Duration
	DPD                  time.Duration // probe after this long without inbound ESP; 0: only answer
	NATT                 NATTraversal
	Source               string // "mesh.yaml:12:5", the place to change in error messages
	// SuiteSource and PSKSource are the places of these two, where they stand elsewhere; empty: Source.
	SuiteSource, PSKSource string
}

// An Identity is what an ID payload carries (RFC 2407, 4.6.2).
type Identity struct {
	Type IDType
	Data []byte // address, address and mask, or text
}

// A Selector is one phase 2 identity: the traffic at one end of the tunnel.
type Selector struct {
	Prefix   netip.Prefix
	Subnet   bool  // encode a /32 as ID_IPV4_ADDR_SUBNET instead of ID_IPV4_ADDR
	Protocol uint8 // 47 with "proto gre", else 0
	Port     uint16
}

// A Profile selects the habits that an old implementation insists on.
type Profile uint8

// The profiles.
const (
	ProfileMeshrouter Profile = iota
	ProfileOpenBSD            // isakmpd
	ProfileScreenOS
	ProfileStrongSwan
)

// Initiate says whether we start negotiations.
type Initiate uint8

// The three ways.
const (
	InitiateAlways  Initiate = iota // at once, and again whenever there is no SA
	InitiateStandby                 // only when the peer has not done so for 15 s
	InitiateNever                   // passive: answer only
)

// NATTraversal says when UDP encapsulation is used (RFC 3947).
type NATTraversal uint8

// The three ways.
const (
	NATTAuto  NATTraversal = iota // when NAT-D payloads show a NAT
	NATTForce                     // always: our NAT-D payload is made to differ
	NATTOff                       // no vendor ids, no NAT-D
)

// Phase1Transform is one row of a phase 1 offer.
type Phase1Transform struct {
	Encryption Encryption
	KeyLength  uint16 // bits, AES only
	Hash       Hash
	Group      Group
}

// Phase2Transform is one row of a phase 2 offer. Auth is 0 for AES-GCM.
type Phase2Transform struct {
	ID        ESPTransform
	KeyLength uint16 // bits, AES only
	Auth      AuthAlgorithm
}

// Input is what Step takes.
type Input interface{ isInput() }

// The inputs.
type (
	// Configure replaces the configuration.
	Configure struct{ Config Config }
	// Datagram is a received ISAKMP message, without the non-ESP marker.
	Datagram struct {
		Local, Remote netip.AddrPort
		Payload       []byte // only valid during Step
	}
	// Acquire says that traffic waits for an SA with the peer.
	Acquire struct{ Peer PeerID }
	// Traffic reports what the data plane counted for an inbound or outbound SA, once a second or so.
	Traffic struct {
		Peer    PeerID
		SPI     uint32 // that the receiver of the packets chose
		Inbound bool
		Bytes   uint64 // since the SA was made; inbound: of packets that were authentic and no replays
	}
	// RemoteMoved reports that authenticated ESP of the peer came from another address or port (NAT).
	RemoteMoved struct {
		Peer   PeerID
		Remote netip.AddrPort
	}
	// Computed returns the result of a Compute.
	Computed struct {
		ID     uint64
		Result any
	}
	// Restore brings back what Persist saved before a restart. It comes before the first Configure,
	// which then takes up the peers that it still describes in the same way without a packet.
	Restore struct{ Blob []byte }
	// Terminate deletes all SAs of a peer (empty: of every peer), telling it so. We do not begin
	// anew before the next Configure or Acquire; the peer may.
	Terminate struct{ Peer PeerID }
	// Tick says that Deadline has come.
	Tick struct{}
)

// Output is what Step appends; the shell does them in order.
type Output interface{ isOutput() }

// The outputs.
type (
	// Send sends an ISAKMP message. Between ports 4500 the shell adds the non-ESP marker.
	Send struct {
		Local, Remote netip.AddrPort
		Payload       []byte
	}
	// NATKeepalive asks for the one byte 0xff between two ports 4500 that keeps a NAT's mapping (RFC 3948, 4).
	NATKeepalive struct{ Local, Remote netip.AddrPort }
	// MoveRemote says that the peer is now reached at another address or port; it stands for RemoteMoved
	// when an authenticated ISAKMP message told.
	MoveRemote struct {
		Peer   PeerID
		Remote netip.AddrPort
	}
	// Compute asks for Job to be run elsewhere; its result comes back as Computed.
	Compute struct {
		ID  uint64
		Job func() any
	}
	// AddInbound installs the SA that the peer will send with, before the message that lets it do so.
	AddInbound struct{ SA ChildSA }
	// UseOutbound makes an SA the one that the peer's traffic leaves with.
	UseOutbound struct{ SA ChildSA }
	// RemoveSA takes an SA away.
	RemoveSA struct {
		Peer    PeerID
		SPI     uint32
		Inbound bool
		Reason  string
	}
	// PeerChanged tells that the peer's state changed.
	PeerChanged struct {
		Peer   PeerID
		State  PeerState
		Reason string // in words, for the log and `show`
	}
	// Persist asks to keep Blob for Restore; an empty one forgets the peer. Blobs hold keys.
	Persist struct {
		Peer PeerID
		Blob []byte // at most MaxBlob bytes
	}
	// ISAKMPKey gives the key of a new ISAKMP SA to the key log.
	ISAKMPKey struct {
		Peer            PeerID
		InitiatorCookie [8]byte
		Key             secret.Key
	}
	// Event is something worth a log line and a counter.
	Event struct {
		Peer     PeerID // may be empty
		Remote   netip.AddrPort
		Name     EventName // the counter
		Text     string    // for people: says what differs and what to change
		Severity Severity
		Mismatch []Difference // when offers or proxy ids differ: theirs and ours, row by row
	}
)

// MaxBlob bounds the size of a Persist blob, bytes.
const MaxBlob = 3072

// A ChildSA is one direction of an ESP security association.
type ChildSA struct {
	Peer          PeerID
	SPI           uint32
	Inbound       bool
	Transform     Phase2Transform
	EncKey        secret.Key // GCM: with its salt
	AuthKey       secret.Key
	Mode          EncapsulationMode // Tunnel or Transport
	UDP           bool              // UDP encapsulation
	Src, Dst      netip.AddrPort    // outer addresses; the ports matter with UDP
	LocalTS       Selector
	RemoteTS      Selector
	Created, Soft time.Time
	Hard          time.Time
	Restored      bool // comes from Restore: its counters exist already
}

// PeerState is how far the peer has come.
type PeerState uint8

// The states.
const (
	PeerDown        PeerState = iota // nothing
	PeerNegotiating                  // phase 1 or the first quick mode under way
	PeerUp                           // an ESP SA pair is in use
)

// Severity orders events.
type Severity uint8

// The severities.
const (
	Debug Severity = iota
	Info
	Warning
)

// PeerStatus is what `show` says of a peer.
type PeerStatus struct {
	ID              PeerID
	State           PeerState
	Reason          string // why it is in that state, in words
	Local, Remote   netip.AddrPort
	NAT             string // "none", "local", "remote", "both", "forced"
	InitiatorCookie [8]byte
	ResponderCookie [8]byte
	Initiator       bool
	Phase1          Phase1Transform
	Phase1Expires   time.Time // hard end; zero without an ISAKMP SA
	Established     time.Time
	SAs             []ChildSA  // without keys
	NHTB            netip.Addr // the tunnel interface's address, if a ScreenOS peer told it
}

package mesh

import (
	"net/netip"
	"slices"
	"time"

	"meshrouter/internal/secret"
)

// An Inventory is a mesh file that holds no errors. It does not change once loaded.
type Inventory struct {
	Name    string       // `mesh:`
	File    string       // the path as given to LoadFile
	Tunnels netip.Prefix // the pool that links take their /30 from; invalid if all are explicit
	Sites   []*Site      // by number
	Links   []*Link      // by name
	Suites  []Suite      // by name: those of the file and the predefined ones
	OSPF    OSPF
}

// A System is what runs at a site; it selects the profile that its peers use.
type System string

// The systems.
const (
	Meshrouter System = "meshrouter"
	OpenBSD    System = "openbsd"    // isakmpd, gre(4), ospfd
	ScreenOS   System = "screenos"   // NetScreen, SSG
	StrongSwan System = "strongswan" // Linux with kernel GRE and FRR or BIRD
)

// A Site is one router with the networks behind it.
type Site struct {
	Name    string
	Number  int        // 1..65535, unique
	Address netip.Addr // outer IPv4 address as the peers see it
	Bind    netip.Addr // the address of its own interface: Address, unless it is behind NAT (`bind:`)
	LAN     []netip.Prefix
	// LANInterfaces names the devices of some of the LANs, where the file does.
	LANInterfaces []LANInterface
	System        System
	RouterID      netip.Addr // default 0.0.0.NUMBER
	TUN           string     // name of the TUN device, default mrNUMBER
	LinkMTU       int        // MTU of the interface that has Address, default 1500 bytes
	Offload       Offload
	Source        string // "mesh.yaml:9:3"
}

// An Offload holds the switches of a site's fast ways. What is on is used where the machine has it.
type Offload struct {
	TUN        bool   // large packets to and from the TUN device
	UDPSegment bool   // many packets in one UDP message, out
	UDPGRO     bool   // and in
	Timestamps bool   // the kernel's receive times, by which packets that waited too long are dropped
	Steering   bool   // receivers of their own for routing protocols and IKE
	Protocol50 string // "xdp", "ring" or "raw"; "auto": the first that works
	Queues     int    // of the TUN device, and receiving sockets; 0: by the number of CPUs
}

// A LANInterface is the device of one LAN. OSPF announces the network and sends nothing there.
type LANInterface struct {
	Name   string
	Prefix netip.Prefix
	Cost   int // 1..65535
}

// A Link joins two sites.
type Link struct {
	Name string // "london-tokyo": the site with the smaller number first
	// ID is a function of the two site numbers alone: for i < j it is (j-1)(j-2)/2 + (i-1). It also
	// selects the link's /30 in Inventory.Tunnels.
	ID     int
	A, B   *Site // A has the smaller number
	EndA   End
	EndB   End
	Source string
}

// OSPF holds the settings that all routers share.
type OSPF struct {
	Area     netip.Addr    // dotted quad
	SPFDelay time.Duration // from a change to the calculation, default 50 ms
	SPFHold  time.Duration // between two calculations, default 200 ms
}

// A Mode says what an SA protects. The values are those of the attribute (RFC 2407, 4.5).
type Mode uint8

// The modes.
const (
	Tunnel    Mode = 1
	Transport Mode = 2
)

// NATT says when ESP travels in UDP.
type NATT uint8

// The three ways.
const (
	NATTAuto  NATT = iota // when a NAT is found (RFC 3947)
	NATTForce             // always; between meshrouters the default, since UDP has segmentation offloads
	NATTOff               // never; no vendor ids either
)

// Initiate says whether an end starts negotiations.
type Initiate uint8

// The three ways.
const (
	InitiateAlways  Initiate = iota // at once, and whenever there is no SA
	InitiateStandby                 // when the peer has not done so for a while
	InitiateNever                   // answer only
)

// An End is one site's end of a link: all that its router needs to know of it.
type End struct {
	Link string // name of the link
	ID   int    // of the link, see Link.ID
	Site *Site  // whose end this is
	Peer *Site

	// Negotiation.
	Profile           System // the habits to follow: the peer's system
	Local, Remote     netip.Addr
	Suite             Suite
	PSK               secret.Key
	PSKSource         string   // "mesh.secrets.yaml:3:14", or a file of systemd's credentials
	LocalID, RemoteID Identity // phase 1; a zero LocalID sends Local, a zero RemoteID accepts any
	LocalTS, RemoteTS Selector // phase 2 (proxy ids)
	Mode              Mode
	NATT              NATT
	DPD               time.Duration // probe after this long without inbound ESP; 0: only answer
	Initiate          Initiate

	// GRE.
	GRELocal, GRERemote netip.Addr
	GREKey              *uint32   // RFC 2890; nil: none
	Keepalive           Keepalive // those of the peer are answered in any case

	// The tunnel network: our address and the peer's, both with the mask of the link: /30, or /32
	// for point-to-point addressing.
	TunnelLocal, TunnelRemote netip.Prefix

	// OSPF.
	Cost          int           // 1..65535
	Hello, Dead   time.Duration // whole seconds
	Retransmit    time.Duration // RxmtInterval
	TransmitDelay time.Duration // InfTransDelay
	Auth          Auth
	HelloMask     [4]byte
	// HostRoutes picks option 1 of RFC 2328, 12.4.1.1: a stub link to the peer's address as host
	// route. It follows from /32 addressing.
	HostRoutes bool
	DDMTU      int  // Interface MTU in Database Description packets, bytes; 0: the tunnel's own MTU
	StrictMTU  bool // refuse a larger one of the peer (RFC 2328, 10.6)

	PathMTU bool // search for what the path carries now (RFC 8899)
	LinkMTU int  // what the path between the outer addresses carries, bytes: the smaller of both sites'
	MTU     int  // `mtu:` of the link, bytes; 0: derive it from LinkMTU, Suite, Mode, NATT and GREKey

	Source string // "mesh.yaml:14:5": the link, or `links:` where it is derived
}

// An Identity is the content of a phase 1 ID payload (RFC 2407, 4.6.2). The zero value stands for
// the default.
type Identity struct {
	Type uint8  // 1 address, 2 FQDN, 3 user FQDN, 4 address and mask
	Data []byte // in wire form
}

// A Selector is one phase 2 identity.
type Selector struct {
	Prefix   netip.Prefix
	Subnet   bool  // write a /32 as ID_IPV4_ADDR_SUBNET instead of ID_IPV4_ADDR
	Protocol uint8 // 0, or 47
}

// A Keepalive sends GRE keepalives; the zero value does not.
type Keepalive struct {
	Interval time.Duration
	Count    int // lost ones that declare the tunnel down
}

// AuthType is the AuType field of OSPF packets (RFC 2328, D).
type AuthType uint8

// The authentication types.
const (
	AuthNone   AuthType = 0
	AuthSimple AuthType = 1
	AuthMD5    AuthType = 2
)

// Auth is the authentication of OSPF on a link: all keys are accepted, the first is sent.
type Auth struct {
	Type AuthType
	Keys []AuthKey
}

// An AuthKey is one key with its key id (0 with AuthSimple).
type AuthKey struct {
	ID  uint8
	Key secret.Key // MD5: 1..16 bytes, simple: 1..8
}

// A Suite is what to negotiate: one transform for each phase.
type Suite struct {
	Name        string
	IKE         IKETransform
	ESP         ESPTransform
	PFS         uint16        // group of quick mode; 0: none
	IKELifetime time.Duration // 0 in Inventory.Suites: by the profile of the link; never 0 in an End
	ESPLifetime time.Duration
	Kilobytes   uint32 // of an ESP SA; 0: no limit
	Source      string // "mesh.yaml:5:3", or "" for a predefined one
}

// IKETransform is a phase 1 transform in the numbers of RFC 2409, Appendix A.
type IKETransform struct {
	Encryption uint16 // 5 3DES, 7 AES
	KeyLength  uint16 // bits, AES only
	Hash       uint16 // 2 SHA1, 4 SHA2-256, 5 SHA2-384, 6 SHA2-512
	Group      uint16 // 2 modp1024, 5 modp1536, 14 modp2048, 15 modp3072, 16 modp4096
}

// ESPTransform is a phase 2 transform in the numbers of RFC 2407, 4.4.4 and 4.5.
type ESPTransform struct {
	ID        uint8  // 3 3DES, 12 AES-CBC, 20 AES-GCM with a 16-byte tag
	KeyLength uint16 // bits, AES only
	Auth      uint16 // 2 SHA1, 5 SHA2-256, 6 SHA2-384, 7 SHA2-512; 0 with AES-GCM
}

// Site returns the site with that name.
func (inv *Inventory) Site(name string) (*Site, bool) {
	i := slices.IndexFunc(inv.Sites, func(s *Site) bool { return s.Name == name })
	if i < 0 {
		return nil, false
	}
	return inv.Sites[i], true
}

// Ends returns the site's ends of its links, by link name.
func (inv *Inventory) Ends(site string) []End {
	var ends []End
	for _, l := range inv.Links {
		switch site {
		case l.A.Name:
			ends = append(ends, l.EndA)
		case l.B.Name:
			ends = append(ends, l.EndB)
		}
	}
	return ends
}

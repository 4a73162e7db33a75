package ospf

import (
	"net/netip"
	"time"

	"meshrouter/internal/secret"
)

// RouterID is a router's 32-bit number, written as a dotted quad (RFC 2328, 1.2).
type RouterID uint32

// AreaID is an area's 32-bit number, written as a dotted quad.
type AreaID uint32

// Metric is the cost of a link or a path; links hold 16 bits of it, paths 24.
type Metric uint32

// Config is everything the instance needs to know. A new Config replaces the old one: interfaces
// whose configuration did not change keep their adjacencies.
type Config struct {
	RouterID   RouterID
	Area       AreaID
	Interfaces []InterfaceConfig
	// SPFDelay and SPFHold pace the route calculation: the first change waits SPFDelay, the next
	// run comes no sooner than SPFHold after the last one. Zero means the defaults (50 ms, 200 ms).
	SPFDelay, SPFHold time.Duration
	// FirstSequence is where the cryptographic sequence numbers start: the number last reserved
	// before a restart plus one. What is sent is at least the Unix time in seconds.
	FirstSequence uint32
	// MinLSInterval is the least time between two originations of the same LSA, MinLSArrival that between
	// two instances taken from a neighbor (RFC 2328, B). Zero means the RFC's 5 s and 1 s.
	MinLSInterval, MinLSArrival time.Duration
	// MaxLSAs and MaxLSABytes bound the database against a neighbor that invents LSAs: what does not fit
	// is acknowledged, not kept, and told. Zero means 65,536 LSAs and 64 MiB.
	MaxLSAs, MaxLSABytes int
}

// InterfaceConfig describes one interface (RFC 2328, 9 and C.3).
type InterfaceConfig struct {
	Name    string // unique: the link's name, or that of the LAN device
	Type    NetworkType
	Passive bool // announced as a stub network; no packets
	// Address is our own address with the network's mask.
	Address netip.Prefix
	// Peer is the other end of a point-to-point link; invalid means "learn it".
	Peer netip.Addr
	// HostRoutes picks option 1 of RFC 2328, 12.4.1.1 for point-to-point links: a stub link to the
	// neighbor's address as a host route (isakmpd's friend ospfd does so). Otherwise option 2: the subnet.
	HostRoutes bool
	// HelloMask goes out in Hellos; on point-to-point links the received one is ignored (10.5).
	HelloMask [4]byte

	Cost               Metric
	HelloInterval      time.Duration // whole seconds, 1..65535
	RouterDeadInterval time.Duration
	RxmtInterval       time.Duration // default 5 s
	InfTransDelay      time.Duration // default 1 s, at least 1 s
	Auth               Auth
	// MTU is the largest IP packet that leaves unfragmented; updates and DDs are filled to it.
	MTU int
	// DDMTU is the Interface MTU field of Database Description packets; a profile value.
	DDMTU uint16
	// StrictMTU refuses a DD whose MTU is larger than ours (RFC 2328, 10.6); the default accepts it
	// and says so once.
	StrictMTU bool
	Source    string // "mesh.yaml:12:5", the place to change in error messages
}

// NetworkType is how the interface reaches its neighbors.
type NetworkType uint8

// The network types. This speaker forms adjacencies on point-to-point interfaces.
const (
	PointToPoint NetworkType = iota
	Broadcast
)

// Auth is an interface's authentication (RFC 2328, D).
type Auth struct {
	Type AuthType
	// Keys lists the MD5 keys: all are accepted, the first is used to send. With AuSimple the
	// first key's Key is the password.
	Keys []Key
}

// A Key is one authentication key.
type Key struct {
	ID  uint8
	Key secret.Key // at most 16 bytes for MD5, 8 for a password
}

// AuthType is the AuType field of the packet header.
type AuthType uint16

// The authentication types.
const (
	NullAuth          AuthType = 0
	SimplePassword    AuthType = 1
	CryptographicAuth AuthType = 2
)

// Input is what Step takes.
type Input interface{ isInput() }

// The inputs.
type (
	// Configure replaces the configuration.
	Configure struct{ Config Config }
	// Packet is a received OSPF packet without its IP header.
	Packet struct {
		Interface string
		Src, Dst  netip.Addr
		Payload   []byte // only valid during Step
	}
	// InterfaceUp follows the tunnel's SA or the device's carrier. Every interface is down until its
	// InterfaceUp, passive ones too; a Configure does not change that.
	InterfaceUp struct{ Interface string }
	// InterfaceDown is its opposite.
	InterfaceDown struct {
		Interface string
		Reason    string
	}
	// Shutdown flushes our LSAs (MaxAge) and leaves every neighbor with an empty Hello.
	Shutdown struct{}
	// Tick says that Deadline has come.
	Tick struct{}
)

// Output is what Step appends; the shell does them in order.
type Output interface{ isOutput() }

// The outputs.
type (
	// Send sends an OSPF packet; IP protocol 89, TTL 1, TOS 0xc0.
	Send struct {
		Interface string
		Dst       netip.Addr // 224.0.0.5, 224.0.0.6 or the neighbor
		Payload   []byte     // with the digest behind it
	}
	// RoutesChanged says how the routing table differs from what was last told.
	RoutesChanged struct {
		Changed []Route // new or different
		Removed []netip.Prefix
	}
	// NeighborChanged tells of a neighbor's new state.
	NeighborChanged struct {
		Interface string
		Neighbor  RouterID
		Addr      netip.Addr
		From, To  NeighborState
		Reason    string // in words: "no hello for 40s"
	}
	// ReserveSequence asks to remember that cryptographic sequence numbers up to UpTo may be sent.
	ReserveSequence struct{ UpTo uint32 }
	// Event is something worth a log line and a counter: a packet refused, with both values.
	Event struct {
		Interface string
		Name      string // the counter: "hello_interval_mismatch"
		Text      string // for people
		Warning   bool
	}
)

// A Route is one row of the routing table (RFC 2328, 11).
type Route struct {
	Prefix   netip.Prefix
	PathType PathType
	// Cost is the cost of the whole path; with Type2External that of the path to the AS boundary
	// router or the forwarding address, and Type2Cost the announced metric, which decides.
	Cost      Metric
	Type2Cost Metric
	NextHops  []NextHop // sorted; several mean equal cost
	Local     bool      // a network of our own: the next hops have no address
	// AdvRouters originated it, the smallest first.
	AdvRouters []RouterID
}

// A NextHop is where a route leads.
type NextHop struct {
	Interface string
	Addr      netip.Addr // the neighbor's; invalid for our own networks
}

// PathType orders routes (RFC 2328, 11): a smaller one is preferred.
type PathType uint8

// The path types.
const (
	IntraArea PathType = iota + 1
	InterArea
	Type1External
	Type2External
)

// NeighborState is the state of a conversation (RFC 2328, 10.1). States are bits, so that a row of
// the table can name a set.
type NeighborState uint16

// The states, in order.
const (
	Down NeighborState = 1 << iota
	Attempt
	Init
	TwoWay
	ExStart
	Exchange
	Loading
	Full
)

// NeighborStatus is what `show neighbor` says.
type NeighborStatus struct {
	Interface  string
	ID         RouterID
	Addr       netip.Addr
	Priority   uint8
	State      NeighborState
	DeadIn     time.Duration // until the InactivityTimer
	Uptime     time.Duration // since Full; 0 before
	Changes    int
	Options    uint8
	Summary    int    // Database summary list
	Request    int    // Link state request list
	Retransmit int    // Link state retransmission list
	LastReason string // why it is not Full, or why it last fell, in words
}

// InterfaceStatus is what `show interfaces` says.
type InterfaceStatus struct {
	Config    InterfaceConfig // without keys
	Up        bool
	State     InterfaceState // Down on passive interfaces: they run no machine
	Reason    string         // why it is down
	HelloIn   time.Duration  // until the next Hello
	Uptime    time.Duration
	Neighbors int
	Adjacent  int
	LastError string // the last packet refused here, in words
}

// LSAStatus is one row of the database.
type LSAStatus struct {
	Type      uint8
	ID        [4]byte
	AdvRouter RouterID
	Age       uint16 // seconds
	Sequence  uint32
	Checksum  uint16
	Length    uint16
	Raw       []byte // the whole LSA, for detail views
}

// Summary is what `show summary` says.
type Summary struct {
	RouterID    RouterID
	Area        AreaID
	Uptime      time.Duration
	LSAs        int
	ChecksumSum uint32
	Interfaces  int
	FullCount   int
	SPFRuns     int
	LastSPF     time.Duration // how long the last one took is measured by the shell; here: age
}

func (Configure) isInput()     {}
func (Packet) isInput()        {}
func (InterfaceUp) isInput()   {}
func (InterfaceDown) isInput() {}
func (Shutdown) isInput()      {}
func (Tick) isInput()          {}

func (Send) isOutput()            {}
func (RoutesChanged) isOutput()   {}
func (NeighborChanged) isOutput() {}
func (ReserveSequence) isOutput() {}
func (Event) isOutput()           {}

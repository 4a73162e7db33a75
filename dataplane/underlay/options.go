package underlay

import (
	"fmt"
	"log/slog"
)

// A Switch says whether something that makes packets faster is used.
type Switch uint8

// The positions of a Switch.
const (
	Auto Switch = iota // used if the system has it, and if it is the faster way
	On                 // used if the system has it
	Off
)

func (s Switch) String() string {
	if s > Off {
		return fmt.Sprintf("Switch(%d)", uint8(s))
	}
	return [...]string{"auto", "on", "off"}[s]
}

// ParseSwitch is the Switch of that name: auto, on or off.
func ParseSwitch(name string) (Switch, error) {
	for s := Auto; s <= Off; s++ {
		if s.String() == name {
			return s, nil
		}
	}
	return 0, fmt.Errorf("underlay: switch is %q, want auto, on or off", name)
}

// Options are what Sockets use. The zero value uses everything that the system has and that is known
// to help.
type Options struct {
	// Receivers is how many goroutines share the ESP packets that arrive on UDP port 4500; 0 chooses.
	Receivers int
	// UDPSegment lets runs of packets leave through port 4500 as one (UDP_SEGMENT), UDPGRO arrive as one.
	UDPSegment, UDPGRO Switch
	// Timestamps fills in Packet.Arrived. Auto is off: the kernel stamps each packet of the host then.
	Timestamps Switch
	// Steering gives packets of class CS6 and IKE receivers of their own, and each SA always the same
	// receiver. Without it there is one receiver for each socket.
	Steering Switch
	// Protocol50 is how ESP without UDP travels: "xdp", "ring", "raw", or "auto" or "" for the first
	// of these that works.
	Protocol50 string
	Logger     *slog.Logger // nil discards
}

// An Offload is one of the switches as it came out.
type Offload struct {
	Name   string
	On     bool
	Reason string // why it is off, or what is used
}

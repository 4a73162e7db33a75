package ike

import (
	"fmt"
	"strings"

	"meshrouter/ike/isakmp"
)

func (Configure) isInput()   {}
func (Datagram) isInput()    {}
func (Acquire) isInput()     {}
func (Traffic) isInput()     {}
func (RemoteMoved) isInput() {}
func (Computed) isInput()    {}
func (Restore) isInput()     {}
func (Terminate) isInput()   {}
func (Tick) isInput()        {}

func (Send) isOutput()         {}
func (NATKeepalive) isOutput() {}
func (MoveRemote) isOutput()   {}
func (Compute) isOutput()      {}
func (AddInbound) isOutput()   {}
func (UseOutbound) isOutput()  {}
func (RemoveSA) isOutput()     {}
func (PeerChanged) isOutput()  {}
func (Persist) isOutput()      {}
func (ISAKMPKey) isOutput()    {}
func (Event) isOutput()        {}

func (in Configure) String() string { return fmt.Sprintf("configure %d peers", len(in.Config.Peers)) }
func (in Datagram) String() string {
	return fmt.Sprintf("datagram %s > %s %s", in.Remote, in.Local, messageText(in.Payload))
}
func (in Acquire) String() string { return fmt.Sprintf("acquire %s", in.Peer) }
func (in Traffic) String() string {
	return fmt.Sprintf("traffic %s 0x%08x %s %d bytes", in.Peer, in.SPI, direction(in.Inbound), in.Bytes)
}
func (in RemoteMoved) String() string {
	return fmt.Sprintf("remote of %s moved to %s", in.Peer, in.Remote)
}
func (in Computed) String() string  { return fmt.Sprintf("computed #%d", in.ID) }
func (in Restore) String() string   { return fmt.Sprintf("restore %d bytes", len(in.Blob)) }
func (in Terminate) String() string { return fmt.Sprintf("terminate %q", in.Peer) }

// String of Tick names it.
func (Tick) String() string { return "tick" }

func (o Send) String() string {
	return fmt.Sprintf("send %s > %s %s", o.Local, o.Remote, messageText(o.Payload))
}
func (o NATKeepalive) String() string { return fmt.Sprintf("NAT keepalive %s > %s", o.Local, o.Remote) }
func (o MoveRemote) String() string   { return fmt.Sprintf("move remote of %s to %s", o.Peer, o.Remote) }
func (o Compute) String() string      { return fmt.Sprintf("compute #%d", o.ID) }
func (o AddInbound) String() string   { return "add " + o.SA.String() }
func (o UseOutbound) String() string  { return "use " + o.SA.String() }
func (o RemoveSA) String() string {
	return fmt.Sprintf("remove %s 0x%08x of %s: %s", direction(o.Inbound), o.SPI, o.Peer, o.Reason)
}
func (o PeerChanged) String() string { return fmt.Sprintf("peer %s %s: %s", o.Peer, o.State, o.Reason) }
func (o Persist) String() string     { return fmt.Sprintf("persist %s: %d bytes", o.Peer, len(o.Blob)) }
func (o ISAKMPKey) String() string {
	return fmt.Sprintf("isakmp key of %s for cookie %x: %s", o.Peer, o.InitiatorCookie, o.Key)
}
func (o Event) String() string {
	return fmt.Sprintf("event %s %s %s %s: %s", o.Severity, o.Name, o.Peer, o.Remote, o.Text)
}

// String is the SA without its keys.
func (sa ChildSA) String() string {
	udp := ""
	if sa.UDP {
		udp = " in UDP"
	}
	if sa.Restored {
		udp += ", restored"
	}
	return fmt.Sprintf("%s SA 0x%08x of %s %s > %s %s %s%s, %s to %s",
		direction(sa.Inbound), sa.SPI, sa.Peer, sa.Src, sa.Dst, sa.Mode, sa.Transform, udp, sa.LocalTS, sa.RemoteTS)
}

func direction(inbound bool) string {
	if inbound {
		return "inbound"
	}
	return "outbound"
}

func (s PeerState) String() string {
	return [...]string{PeerDown: "down", PeerNegotiating: "negotiating", PeerUp: "up"}[min(s, PeerUp)]
}

func (s Severity) String() string {
	return [...]string{Debug: "debug", Info: "info", Warning: "warning"}[min(s, Warning)]
}

// messageText says what a message is: exchange, cookies, message id, and what can be read of its payloads.
func messageText(b []byte) string {
	h, err := isakmp.ParseHeader(b)
	if err != nil {
		return fmt.Sprintf("%d bytes: %v", len(b), err)
	}
	s := fmt.Sprintf("%s %s:%s %08x", h.Exchange, h.InitiatorCookie, h.ResponderCookie, h.MessageID)
	if h.Flags&isakmp.FlagEncryption != 0 {
		return fmt.Sprintf("%s encrypted, %d bytes", s, len(b))
	}
	ps, _, err := isakmp.ParsePayloads(h.NextPayload, b[isakmp.HeaderSize:])
	if err != nil {
		return s + " malformed"
	}
	names := make([]string, 0, len(ps))
	for _, p := range ps {
		names = append(names, p.Type.String())
	}
	return s + " " + strings.Join(names, ", ")
}

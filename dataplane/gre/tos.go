package gre

// ECN codepoints, the low two bits of the TOS byte (RFC 3168, 5).
const (
	ecnMask = 3
	notECT  = 0
	ect1    = 1
	ecnCE   = 3
)

// DeliveryTOS is the TOS of the delivery header for a payload's: the same, DSCP and ECN (RFC 2983's
// uniform model, RFC 6040's normal mode), as OpenBSD does.
func DeliveryTOS(inner uint8) uint8 { return inner }

// OuterTOS is the TOS of the packet that carries ESP: the DSCP of what is inside, so that the network on
// the way can tell OSPF and voice from the rest (RFC 4301, 5.1.2.1). Its ECN field is that of RFC 6040's
// compatibility mode, not capable: UDP sockets do not tell the receiver of a mark.
func OuterTOS(inner uint8) uint8 { return inner &^ ecnMask }

// PayloadTOS is the TOS of a payload that leaves the tunnel: its own DSCP, and of ECN what RFC 6040,
// 4.2 combines. ok is false for a packet to be dropped: congestion was marked on the way of a
// payload that does not understand marks.
func PayloadTOS(delivery, inner uint8) (tos uint8, ok bool) {
	d, i := delivery&ecnMask, inner&ecnMask
	switch {
	case i == notECT:
		return inner, d != ecnCE
	case d == ecnCE:
		return inner | ecnCE, true
	case d == ect1 && i != ecnCE:
		return inner&^ecnMask | ect1, true
	}
	return inner, true
}

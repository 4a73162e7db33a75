package dataplane

import "sync/atomic"

// A reason says why a packet was not forwarded. A large packet of the host counts as one until it is cut.
type reason uint8

const (
	dropMalformed     reason = iota // from the host: no IPv4 packet
	dropSegment                     // from the host: a large packet that makes no sense
	dropNoRoute                     // the FIB has no route
	dropHostLoop                    // from the host, and the FIB sends it back there
	dropNoTunnel                    // the FIB or the caller names a tunnel that is not there
	dropNoSA                        // no outbound SA, and 16 newer packets wait already
	dropSequence                    // the outbound SA has no sequence number left
	dropSeal                        // esp could not seal it
	dropSend                        // the system did not take the outer packet
	dropTooBig                      // larger than the tunnel, with DF; an ICMP error is sent if allowed
	dropTunRead                     // the TUN device reported an error
	dropTunWrite                    // the TUN device refused it
	dropControlQueue                // our own packets: too many wait for the tunnel's owner already
	dropReceive                     // an outer socket reported an error
	dropOuter                       // outer packet too short to be anything
	dropNATKeepalive                // not a loss: RFC 3948, 2.3 wants them ignored
	dropQueueDelay                  // waited too long in the socket: we receive more than we can open
	dropUnknownSPI                  // no such inbound SA
	dropEncapsulation               // UDP for an SA without, or the reverse
	dropOuterAddress                // the outer addresses are not the SA's
	dropReplay                      // the anti-replay window has seen it, or it is too old
	dropAuth                        // integrity check failed
	dropESPFormat                   // ESP packet of an impossible length or with bad padding
	dropDummy                       // RFC 4303, 2.6: dummy packets go in silence
	dropNextHeader                  // what is in ESP does not fit the SA's mode
	dropInner                       // the packet inside ESP is no IPv4 packet
	dropSelector                    // its addresses are not the tunnel's endpoints
	dropInnerProtocol               // neither GRE nor an echo request
	dropGRE                         // malformed GRE header
	dropGREKey                      // another key than the tunnel's, or none
	dropGREProtocol                 // GRE carries something else than IPv4
	dropECN                         // RFC 6040, 4.2: congestion was marked on a packet that cannot say so
	dropPayload                     // the packet inside GRE is no IPv4 packet
	dropMulticast                   // to a group other than OSPF's, or not OSPF
	dropTTL                         // no hop left; an ICMP error is sent if allowed
	dropKeepaliveRate               // GRE keepalives faster than 10 a second
	dropICMPRate                    // ICMP errors suppressed by rate limit
	dropFragOverlap                 // fragments that contradict each other
	dropFragMalformed               // fragments that cannot be part of a packet
	dropFragTimeout                 // packets whose fragments did not all arrive
	dropFragRoom                    // packets given up for newer ones
	reasonCount
)

// reasonNames are the names under which drops are counted.
var reasonNames = [reasonCount]string{
	dropMalformed: "malformed", dropSegment: "segment", dropNoRoute: "no_route", dropHostLoop: "host_loop", dropNoTunnel: "no_tunnel",
	dropNoSA: "no_sa", dropSequence: "sequence_exhausted", dropSeal: "seal", dropSend: "send", dropTooBig: "too_big",
	dropTunRead: "tun_read", dropTunWrite: "tun_write", dropControlQueue: "control_queue", dropReceive: "receive", dropOuter: "outer_malformed", dropNATKeepalive: "nat_keepalive",
	dropQueueDelay: "queue_delay", dropUnknownSPI: "unknown_spi", dropEncapsulation: "encapsulation", dropOuterAddress: "outer_address",
	dropReplay: "replay", dropAuth: "auth", dropESPFormat: "esp_format", dropDummy: "dummy",
	dropNextHeader: "next_header", dropInner: "inner_malformed", dropSelector: "selector",
	dropInnerProtocol: "inner_protocol", dropGRE: "gre_malformed", dropGREKey: "gre_key",
	dropGREProtocol: "gre_protocol", dropECN: "ecn", dropPayload: "payload_malformed", dropMulticast: "multicast",
	dropTTL: "ttl", dropKeepaliveRate: "keepalive_rate", dropICMPRate: "icmp_rate",
	dropFragOverlap: "fragment_overlap", dropFragMalformed: "fragment_malformed",
	dropFragTimeout: "fragment_timeout", dropFragRoom: "fragment_room",
}

func (r reason) String() string { return reasonNames[r] }

// drops counts packets by reason.
type drops [reasonCount]atomic.Uint64

func (d *drops) add(r reason) { d[r].Add(1) }

// Drops returns how many packets were not forwarded, by the name of the reason; all names are there.
func (e *Engine) Drops() map[string]uint64 {
	m := make(map[string]uint64, reasonCount)
	for r := range reasonCount {
		m[r.String()] = e.drops[r].Load()
	}
	return m
}

package ike

import (
	"fmt"
	"net/netip"
)

// EventName names a counter, in the manner of a metric: "no_proposal_chosen".
type EventName string

// What happened to datagrams that were dropped.
const (
	EventTooLong             EventName = "too_long"             // longer than MaxMessage
	EventBadHeader           EventName = "bad_header"           // not an ISAKMP header, or of another length
	EventBadVersion          EventName = "bad_version"          // not IKEv1
	EventBadFlags            EventName = "bad_flags"            // encrypted where it must not be, or the reverse
	EventBadCookie           EventName = "bad_cookie"           // a zero cookie, or one that does not belong
	EventUnknownPeer         EventName = "unknown_peer"         // no peer is configured with that address
	EventUnknownSA           EventName = "unknown_sa"           // no ISAKMP SA has these cookies
	EventUnsupportedExchange EventName = "unsupported_exchange" // neither main, quick nor informational
	EventAggressiveRefused   EventName = "aggressive_refused"   // aggressive mode
	EventMalformed           EventName = "malformed"            // payloads that cannot be parsed
	EventUnexpectedPayload   EventName = "unexpected_payload"   // a payload is missing, or not for this message
	EventUnexpectedMessage   EventName = "unexpected_message"   // out of turn
	EventBusy                EventName = "busy"                 // came while the one before is being computed
	EventDuplicate           EventName = "duplicate"            // known; answered by the stored reply
	EventTooManyDuplicates   EventName = "too_many_duplicates"  // not answered any more
	EventReplay              EventName = "replay"               // a message id that was used before
	EventHalfOpenLimit       EventName = "half_open_limit"      // too many half-open main modes of one peer
	EventQuickModeLimit      EventName = "quick_mode_limit"     // too many quick modes of one peer
	EventCrossing            EventName = "crossing_main_mode"   // both ends began at once; ours goes on
	EventBadHash             EventName = "bad_hash"             // HASH(1), (2) or (3) does not fit
	EventBadPublicValue      EventName = "bad_public_value"     // Diffie-Hellman: 0, 1, p-1 or of another length
	EventBadNonce            EventName = "bad_nonce"            // not 8 to 256 bytes
	EventStaleComputed       EventName = "stale_computed"       // the exchange has ended meanwhile
	EventClearNotification   EventName = "clear_notification"   // not authentic: reported, never acted upon
	EventUnknownSPI          EventName = "unknown_spi"          // a DELETE of nothing that we have
	EventBadDPDSequence      EventName = "bad_dpd_sequence"     // an answer to another question
	EventUnknownNotification EventName = "unknown_notification" // heartbeats and the like
)

// What happened to negotiations.
const (
	EventNoProposalChosen     EventName = "no_proposal_chosen"    // the offer and what we allow differ
	EventAlteredProposal      EventName = "altered_proposal"      // the answer is not what we offered
	EventWrongPSK             EventName = "wrong_psk"             // message 5 or 6 decrypts to noise
	EventAuthenticationFailed EventName = "authentication_failed" // HASH_I or HASH_R does not fit
	EventWrongIdentity        EventName = "wrong_identity"        // not the identity that is configured
	EventWrongProxyID         EventName = "wrong_proxy_id"        // IDci and IDcr are not ours
	EventPeerRefuses          EventName = "peer_refuses"          // an authentic error notification
	EventNoAnswer             EventName = "no_answer"             // an exchange ended by time
	EventISAKMPEstablished    EventName = "isakmp_established"    // phase 1 has succeeded
	EventChildEstablished     EventName = "child_established"     // phase 2 has succeeded
	EventInitialContact       EventName = "initial_contact"       // the peer has forgotten its older SAs
	EventDeleted              EventName = "deleted"               // the peer has deleted an SA
	EventExpired              EventName = "expired"               // an SA has come to its hard end
	EventDPDProbe             EventName = "dpd_probe"             // sent
	EventDPDDead              EventName = "dpd_dead"              // five probes without an answer
	EventRetransmit           EventName = "retransmit"            // a message was sent again
	EventRemoteMoved          EventName = "remote_moved"          // a NAT gave the peer another address or port
	EventNATDetected          EventName = "nat_detected"          // ESP will travel in UDP
	EventRestored             EventName = "restored"              // SAs taken up after a restart
	EventBadBlob              EventName = "bad_blob"              // a blob for Restore cannot be used

	eventOverdue EventName = "overdue" // a timer that nothing took care of: a mistake of ours
)

// A failure is why a message was dropped or an exchange ended.
type failure struct {
	name     EventName
	text     string
	severity Severity
	notify   notifyKind // what to tell the peer, if anything
	rows     []Difference
	trouble  bool // becomes the reason in the peer's state
}

// drop is a failure that is only counted.
func drop(name EventName, format string, args ...any) *failure {
	return &failure{name: name, text: fmt.Sprintf(format, args...)}
}

// trouble is a failure that an operator has to know about.
func trouble(name EventName, format string, args ...any) *failure {
	return &failure{name: name, text: fmt.Sprintf(format, args...), severity: Warning, trouble: true}
}

// event counts name and appends the event.
func (s *step) event(p *peer, remote netip.AddrPort, name EventName, severity Severity, format string, args ...any) {
	s.report(p, remote, &failure{name: name, text: fmt.Sprintf(format, args...), severity: severity})
}

// report counts a failure and appends it as an event.
func (s *step) report(p *peer, remote netip.AddrPort, f *failure) {
	s.e.counters[f.name]++
	if !remote.IsValid() && p != nil {
		remote = netip.AddrPortFrom(p.cfg.Remote, 0)
	}
	ev := Event{Remote: remote, Name: f.name, Text: f.text, Severity: f.severity, Mismatch: f.rows}
	if p != nil {
		ev.Peer = p.cfg.ID
		fresh := s.now.Sub(p.troubleAt) < rumourPause
		if f.trouble && p.out == nil && (!s.rumour || p.trouble == "" || !fresh) {
			p.trouble, p.troubleAt = f.text, s.now
		}
	}
	s.out = append(s.out, ev)
}

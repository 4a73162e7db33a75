// Package isakmp is the wire format of ISAKMP and IKEv1: headers, payloads, registries.
//
//	datagram ─► Header ─► chain of Payload ─► SA ─► Proposal ─► Transform ─► Attribute
//	 28 bytes   ParseHeader  ParsePayloads    ParseSA            ParsePhase1Offer / ParsePhase2Offer
//	                                     └──► ID, Notification, Delete, VendorID, NAT-D hash
//
// It knows bytes only: no keys, no state, no policy. Each payload is a pair, Append for the body
// without the generic header and ParseX for the same body; what was parsed is appended again byte for
// byte, so that a responder can echo the transform that it chose exactly as the initiator wrote it.
//
// Every parser bounds what it takes (MaxPayloads, MaxProposals, MaxTransforms, MaxAttributes),
// allocates nothing from a length that it has not checked, and names payload, field and offset in
// its error. Unless stated otherwise, results share memory with the message.
//
// Read registry.go, header.go, payload.go, sa.go, offer.go; then the small payloads.
//
// Follows RFC 2408 (ISAKMP), RFC 2407 (IPsec DOI), RFC 2409 (IKE), RFC 3706 (DPD), RFC 3947 (NAT-T).
// Stricter than they ask: reserved bytes must be zero (isakmpd does the same), the header's length
// must be that of the datagram, an SA payload has the IPsec DOI and at least one transform a proposal.
package isakmp

//go:generate go tool stringer -linecomment -output registry_string.go -type ExchangeType,PayloadType,Encryption,Hash,AuthMethod,Group,IDType,ESPTransform,AuthAlgorithm,EncapsulationMode,NotifyType,LifeType,Vendor

package ike

import (
	"crypto/md5" //nolint:gosec // vendor ids are MD5 sums by custom
	"net/netip"

	"meshrouter/ike/isakmp"
)

// habits are what a profile changes in the messages that we write. What we accept does not depend on it,
// and the form of proxy ids is the Selector's.
type habits struct {
	firstTransform uint8 // number of the first phase 1 transform: isakmpd counts from 0
	oneTransform   bool  // offer only the first phase 2 transform
	allVendorIDs   bool  // as responder too, whatever the initiator sent
	silentOnDeaf   bool  // may be deaf for 120 s after a main mode
}

func (p Profile) habits() habits {
	if p == ProfileOpenBSD {
		return habits{firstTransform: 0, oneTransform: true, allVendorIDs: true, silentOnDeaf: true}
	}
	return habits{firstTransform: 1}
}

// nonceSize is how long our nonces are as initiator; as responder they are as long as the peer's, in bounds.
const nonceSize = 16

// vendorIDs are the vendor ids of our first message: who we are, NAT traversal in isakmpd's order, DPD.
// answer is the version of NAT traversal that the initiator's message led to; first is for message 1.
func (c *PeerConfig) vendorIDs(first bool, answer nattVersion) []isakmp.Payload {
	name := md5.Sum([]byte("meshrouter")) //nolint:gosec // as above
	ids := []isakmp.Payload{{Type: isakmp.PayloadVendorID, Body: name[:]}}
	switch {
	case c.NATT == NATTOff:
	case first || c.Profile.habits().allVendorIDs:
		ids = append(ids, isakmp.VendorNATT02Newline.VendorID(), isakmp.VendorNATT03.VendorID(), isakmp.VendorNATT.VendorID())
	case answer != isakmp.UnknownVendor:
		ids = append(ids, answer.VendorID())
	}
	return append(ids, isakmp.VendorDPD.VendorID())
}

// readVendorIDs finds in a first message what the peer can do.
func (c *PeerConfig) readVendorIDs(ps []isakmp.Payload) (natt nattVersion, dpd bool) {
	has := make(map[isakmp.Vendor]bool)
	for _, p := range ps {
		if p.Type == isakmp.PayloadVendorID {
			has[isakmp.ParseVendorID(p.Body)] = true
		}
	}
	for _, v := range nattTable {
		if has[v] && c.NATT != NATTOff {
			return v, has[isakmp.VendorDPD]
		}
	}
	return isakmp.UnknownVendor, has[isakmp.VendorDPD]
}

// id is the selector as an ID payload.
func (t Selector) id() isakmp.ID {
	id := isakmp.SubnetID(t.Prefix.Masked())
	if t.Prefix.IsSingleIP() && !t.Subnet {
		id = isakmp.AddrID(t.Prefix.Addr())
	}
	id.Protocol, id.Port = t.Protocol, t.Port
	return id
}

// matches reports whether the peer's ID payload means the selector. A host may be written as an address or as
// a /32; everything else must be equal.
func (t Selector) matches(id isakmp.ID) bool {
	prefix, ok := id.Prefix()
	return ok && prefix.Masked() == t.Prefix.Masked() && id.Protocol == t.Protocol && id.Port == t.Port
}

// payload is our identity in phase 1: the address unless configured, protocol and port 0 as isakmpd writes them.
func (i Identity) payload(local netip.Addr) isakmp.ID {
	if i.Type == 0 {
		return isakmp.AddrID(local)
	}
	return isakmp.ID{Type: i.Type, Data: i.Data}
}

// matches reports whether the peer's ID is the one expected. An address may also come as a /32 or as text,
// with or without "/32", which is what isakmpd makes of a srcid; a name is compared without its type.
func (i Identity) matches(id isakmp.ID) bool {
	if i.Type == 0 {
		return true
	}
	want, isAddress := isakmp.ID{Type: i.Type, Data: i.Data}.Prefix()
	if !isAddress {
		return string(i.Data) == string(id.Data)
	}
	if got, ok := id.Prefix(); ok {
		return got == want
	}
	if id.Type != isakmp.IDFQDN && id.Type != isakmp.IDUserFQDN {
		return false
	}
	text := string(id.Data)
	return text == want.String() || want.IsSingleIP() && text == want.Addr().String()
}

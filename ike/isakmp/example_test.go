package isakmp_test

import (
	"fmt"

	"meshrouter/ike/isakmp"
)

// The first message of a main mode, and what a responder reads in it.
func Example() {
	offer := isakmp.Phase1Offer{
		Encryption: isakmp.TripleDESCBC, Hash: isakmp.SHA1, Auth: isakmp.PreSharedKey, Group: isakmp.MODP1024,
		Life: isakmp.Lifetime{Seconds: 28800},
	}
	sa := isakmp.SA{DOI: isakmp.DOIIPsec, Situation: isakmp.SituationIdentityOnly, Proposals: []isakmp.Proposal{{
		Number: 1, Protocol: isakmp.ProtocolISAKMP,
		Transforms: []isakmp.Transform{{Number: 1, ID: isakmp.TransformKeyIKE, Attributes: offer.Attributes()}},
	}}}
	message := isakmp.Header{InitiatorCookie: isakmp.Cookie{1}, Version: isakmp.Version1, Exchange: isakmp.IdentityProtection}.Message(
		isakmp.Payload{Type: isakmp.PayloadSA, Body: sa.Append(nil)},
		isakmp.VendorDPD.VendorID(),
	)

	header, _ := isakmp.ParseHeader(message)
	payloads, _, _ := isakmp.ParsePayloads(header.NextPayload, message[isakmp.HeaderSize:])
	received, _ := isakmp.ParseSA(payloads[0].Body)
	offered, _ := isakmp.ParsePhase1Offer(received.Proposals[0].Transforms[0])
	fmt.Println(header.Exchange, header.Length, "bytes")
	fmt.Println(offered.Encryption, offered.Hash, offered.Group, offered.Life.Seconds, "s")
	fmt.Println(isakmp.ParseVendorID(payloads[1].Body))
	// Output:
	// main mode 100 bytes
	// 3des-cbc sha1 modp1024 28800 s
	// DPD (RFC 3706)
}

package keys_test

import (
	"bytes"
	"fmt"

	"meshrouter/ike/isakmp"
	"meshrouter/ike/keys"
	"meshrouter/internal/secret"
)

// The two ends of a main mode agree on keys, and the initiator's fifth message reaches the responder.
func Example() {
	random := bytes.NewReader(bytes.Repeat([]byte("not random "), 20))
	initiator, _ := keys.Generate(isakmp.MODP1024, random)
	responder, _ := keys.Generate(isakmp.MODP1024, random)
	x := keys.Exchange{
		CookieI: isakmp.Cookie{1}, CookieR: isakmp.Cookie{2},
		PublicI: initiator.Public(), PublicR: responder.Public(),
		NonceI: []byte("nonce of the initiator"), NonceR: []byte("nonce of the responder"),
	}
	suite := keys.Suite{Encryption: isakmp.TripleDESCBC, Hash: isakmp.SHA1}
	psk, sa := secret.Key("a pre-shared key"), []byte("body of the initiator's SA payload")

	shared, _ := initiator.Shared(x.PublicR)
	ours, _ := keys.Derive(suite, psk, x, shared)
	chain, _ := ours.Phase1Chain(x)
	id := isakmp.ID{Type: isakmp.IDFQDN, Data: []byte("london.example")}.Append(nil)
	message, _ := chain.Seal(isakmp.Header{
		InitiatorCookie: x.CookieI, ResponderCookie: x.CookieR, Version: isakmp.Version1, Exchange: isakmp.IdentityProtection,
	}.Message(
		isakmp.Payload{Type: isakmp.PayloadID, Body: id},
		isakmp.Payload{Type: isakmp.PayloadHash, Body: ours.HashI(x, sa, id)},
	))

	shared, _ = responder.Shared(x.PublicI)
	theirs, _ := keys.Derive(suite, psk, x, shared)
	chain, _ = theirs.Phase1Chain(x)
	header, _ := isakmp.ParseHeader(message)
	clear, _, _ := chain.Open(message)
	payloads, _, _ := isakmp.ParsePayloads(header.NextPayload, clear)
	peer, _ := isakmp.ParseID(payloads[0].Body)
	fmt.Println(header.Exchange, peer, keys.Equal(payloads[1].Body, theirs.HashI(x, sa, payloads[0].Body)))
	// Output: main mode FQDN "london.example" true
}

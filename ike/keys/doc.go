// Package keys computes what IKEv1 computes: shared secrets, keys, hashes, encrypted messages.
//
//	Generate ─► PrivateKey.Shared ─► g^xy ─┐
//	PSK, nonces, cookies ──────────────────┴─► Derive ─► Keys ─┬─► HashI, HashR        phase 1
//	                                                           ├─► Phase1Chain ─► Chain: Seal, Open
//	                                                           ├─► Hash1, Hash2, Hash3 phase 2
//	                                                           ├─► Phase2Chain ─► Chain
//	                                                           └─► KEYMAT, ESPKeys     ESP
//
// All functions are pure: randomness comes in as a reader or as the exponent itself, so a handshake can be
// recomputed from a recording. Diffie-Hellman takes milliseconds and is meant to run outside of the
// engine's Step; it runs in constant time (filippo.io/bigmod). Hashes are compared with Equal, in
// constant time. Nothing here puts a key into an error.
//
// A Chain is a value: Seal and Open return the next one, and the engine keeps it only when the message
// was authentic. A forged message therefore cannot put the two ends out of step.
//
// Read dh.go, derive.go, chain.go, quick.go.
//
// Follows RFC 2409 (5, 5.5, Appendix B) with pre-shared keys, RFC 3526 (groups), RFC 3602 (AES), RFC 4868
// (SHA-2), RFC 4106 (the salt of AES-GCM in KEYMAT). Not here: DES, MODP768, signatures, public-key encryption.
package keys

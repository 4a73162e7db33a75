// Package esp seals and opens ESP packets (RFC 4303) for many SAs at once.
//
//	jobs ─► header, padding, IV ─► 3DES-CBC ─► AES-CBC ─► HMAC ─► sealed packets, in job order
//	                 └─ combined modes: sealed at once ───────────┘
//
// A [Batch] works in stages over the packets of all SAs, since the SIMD lanes of packages des3, aescbc
// and hmacs are filled by packets. To open, the stages run backwards: HMAC, compare, decrypt.
//
//	│ SPI 4 │ sequence 4 │ IV 0, 8 or 16 │ payload │ 1 2 3 … │ pad length │ next header │ ICV 12-32 │
//	└──────── authenticated: everything but the ICV ──────────────────────────────────┘
//	                                     └ encrypted ─────────────────────────────────┘
//
// An SA has one writer at a time, whoever holds the lock that package dataplane has for it: it alone
// numbers and seals, or moves the window with [Job.Accept]. Any number of goroutines may open packets of
// one SA, each with a Batch of its own. Status readers look at Counters, whose words are atomic and may
// lie in a mapped file.
// Nothing here blocks, logs or allocates per packet. [Sealed] can only come from Seal, so a type
// that accepts nothing else cannot send a clear packet.
//
// Read sa.go, job.go, suite.go, batch.go, then counters.go and replay.go, and mtu.go last.
//
// Follows RFC 4303, 2403, 2404, 2410, 2451, 3602, 4106, 4868 and 7634. Extended sequence numbers are
// absent, since IKEv1 cannot negotiate them without RFC 4304's attribute, which old peers refuse.
// Encryption without integrity is refused (RFC 8221, 4). Padding is checked as OpenBSD's kernel
// does, which is less than RFC 4303, 2.4 suggests; see unframe.
package esp

// Package aescbc is AES in CBC mode (RFC 3602; FIPS 197, SP 800-38A) over batches of packets.
//
//	Encrypt: a block needs the ciphertext before it, so lanes come from packets
//
//	  packets of any SA ─► 16 lanes: key, chain, place in the packet ─► one block of each per step
//	        └─ a lane whose packet ends takes the next packet; fewer packets, narrower steps
//
//	Decrypt: every block is at hand, so lanes come from the blocks of one packet
//
// Three implementations: vaes (AVX-512 with VAES; four blocks in a register, four registers at a time),
// aes-ni (AVX and AES-NI; eight registers at a time) and portable (crypto/aes block by block). The first
// two are constant-time. The third is as much so as crypto/aes: it uses the processor's instructions on
// amd64, arm64, ppc64le and s390x, tables elsewhere.
//
// Read aescbc.go, then lanes_amd64.go, then gen/main.go, the program that writes the assembly.
package aescbc

//go:generate go run ./gen

// Package des3 is Triple DES in CBC mode (FIPS 46-3, RFC 2451) over batches of packets.
//
// One block of CBC waits for the one before, so a packet alone cannot be encrypted fast; many packets can be, side
// by side in the lanes of vector registers. Decrypting, the blocks of one packet are enough to fill the lanes.
//
//	Encrypt, Decrypt ─► check ─► the implementation that was chosen at start
//	  vbmi      AVX-512 VBMI: lanes of bytes, S-boxes as permutes    vbmi.go      gen ────────► vbmi_amd64.s
//	  avx2      256 lanes of bits, S-boxes as gates                  bitslice.go  genbitslice ► avx2_amd64.s
//	  portable  64 lanes of bits in Go                               portable.go  genbitslice ► portable_round.go
//	            few packets: a block at a time                       scalar.go    genbitslice ► scalar_round.go
//
// Packets of a batch may differ in key and in length; a batch of one key is a little faster. Every implementation
// takes a time that depends on the number and the lengths of the packets, and on which of them share a Key, but
// not on keys or data: no address and no branch does.
//
// Start with des3.go. The variable of internal/cpu in the environment holds a machine to less than it can.
package des3

// Package hmacs is HMAC (RFC 2104) over batches of packets, with MD5 (RFC 2403), SHA-1 (RFC 2404) and SHA-2
// (RFC 4868).
//
//	ops ─► by hash ─► lanes ─► blocks in place ─► padded end ─► outer block ─► Out
//	                    ▲                                            │
//	                    └────── a lane that is done takes the next op ┘
//
// A lane is one HMAC; the machine code runs one block of every lane per step. The lanes are words of an
// AVX-512 register (16; 8 of 64 bits), of an AVX2 register (8; 4), or the one or two streams that keep the
// SHA instructions busy. Lanes of any keys and lengths go together: a step lasts until the first lane has
// to be told what comes next. A batch too small for lanes, and a machine without them, take the standard
// library, resumed after the key blocks by its marshaled state. Nothing depends on secrets but the words
// computed with.
//
// Read hmacs.go, lanes_amd64.go, then gen, the program that writes the assembly with avo.
package hmacs

//go:generate go run ./gen

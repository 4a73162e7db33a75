package hmacs

import (
	"crypto/md5"  //nolint:gosec // G501: RFC 2403
	"crypto/sha1" //nolint:gosec // G505: RFC 2404
	"crypto/sha256"
	"crypto/sha512"
	"encoding"
	"encoding/binary"
	"unsafe"
)

// sumPortable computes the HMACs of one hash by the standard library.
func sumPortable(h Hash, ops []Op) {
	for i := range ops {
		switch op := &ops[i]; {
		case op.Key.hash != h:
		case op.Key.wide != nil:
			sumResumed(op, op.Key.wide)
		default:
			sumResumed(op, op.Key.narrow)
		}
	}
}

func sumResumed[W word](op *Op, key *pads[W]) {
	var inner, sum [maxState]byte
	n := resume(op.Key.hash, &key.inner, op.Data, &inner)
	n = resume(op.Key.hash, &key.outer, inner[:n], &sum)
	copy(op.Out, sum[:n])
}

// resume hashes data after the block that has left the hash in the given state, and returns the size of sum.
func resume[W word](h Hash, state *[8]W, data []byte, sum *[maxState]byte) int {
	f := &functionTable[h]
	// The magic, the words, an empty partial block, the length so far: one block. NewKey has seen that this is
	// the format.
	var marshaled [4 + maxState + 128 + 8]byte
	at := marshaled[copy(marshaled[:], f.magic):]
	for _, w := range state[:f.state/f.word()] {
		if unsafe.Sizeof(w) == 8 {
			binary.BigEndian.PutUint64(at, uint64(w))
		} else {
			binary.BigEndian.PutUint32(at, uint32(w))
		}
		at = at[unsafe.Sizeof(w):]
	}
	m := marshaled[:f.marshaledSize()]
	binary.BigEndian.PutUint64(m[len(m)-8:], uint64(f.block)) //nolint:gosec // G115: 64 or 128
	switch h {
	case MD5:
		return resumeMD5(m, data, sum)
	case SHA1:
		return resumeSHA1(m, data, sum)
	case SHA256:
		return resumeSHA256(m, data, sum)
	case SHA384:
		return resumeSHA384(m, data, sum)
	default:
		return resumeSHA512(m, data, sum)
	}
}

// The functions differ in New alone: where it is called by name, the compiler knows the type behind the
// interface and keeps the hash on the stack.

func resumeMD5(marshaled, data []byte, sum *[maxState]byte) int {
	h := md5.New() //nolint:gosec // G401: RFC 2403
	must(h.(encoding.BinaryUnmarshaler).UnmarshalBinary(marshaled))
	h.Write(data)
	return len(h.Sum(sum[:0]))
}

func resumeSHA1(marshaled, data []byte, sum *[maxState]byte) int {
	h := sha1.New() //nolint:gosec // G401: RFC 2404
	must(h.(encoding.BinaryUnmarshaler).UnmarshalBinary(marshaled))
	h.Write(data)
	return len(h.Sum(sum[:0]))
}

func resumeSHA256(marshaled, data []byte, sum *[maxState]byte) int {
	h := sha256.New()
	must(h.(encoding.BinaryUnmarshaler).UnmarshalBinary(marshaled))
	h.Write(data)
	return len(h.Sum(sum[:0]))
}

func resumeSHA384(marshaled, data []byte, sum *[maxState]byte) int {
	h := sha512.New384()
	must(h.(encoding.BinaryUnmarshaler).UnmarshalBinary(marshaled))
	h.Write(data)
	return len(h.Sum(sum[:0]))
}

func resumeSHA512(marshaled, data []byte, sum *[maxState]byte) int {
	h := sha512.New()
	must(h.(encoding.BinaryUnmarshaler).UnmarshalBinary(marshaled))
	h.Write(data)
	return len(h.Sum(sum[:0]))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

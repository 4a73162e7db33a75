package hmacs

import (
	"encoding"
	"encoding/binary"
	"hash"
	"sync"
	"unsafe"
)

// A resumer is a hash of the standard library with the room that it needs outside the stack: what goes
// through an interface would be allocated.
type resumer struct {
	hash        hash.Hash
	unmarshaler encoding.BinaryUnmarshaler // hash
	words       int                        // of the state
	marshaled   []byte                     // magic, state, no partial block, length of one block
	sum         [maxState]byte
}

// resumerTable holds idle resumers by hash. One is taken for a call, not for a packet.
var resumerTable = [hashes]sync.Pool{
	MD5:    {New: func() any { return newResumer(MD5) }},
	SHA1:   {New: func() any { return newResumer(SHA1) }},
	SHA256: {New: func() any { return newResumer(SHA256) }},
	SHA384: {New: func() any { return newResumer(SHA384) }},
	SHA512: {New: func() any { return newResumer(SHA512) }},
}

func newResumer(h Hash) *resumer {
	f := &functionTable[h]
	r := &resumer{hash: f.new(), words: f.state / f.word(), marshaled: make([]byte, f.marshaledSize())}
	r.unmarshaler = r.hash.(encoding.BinaryUnmarshaler)
	copy(r.marshaled, f.magic)
	binary.BigEndian.PutUint64(r.marshaled[len(r.marshaled)-8:], uint64(f.block)) //nolint:gosec // G115: 64 or 128
	return r
}

// sumPortable computes the HMACs of one hash by the standard library.
func sumPortable(h Hash, ops []Op) {
	r := resumerTable[h].Get().(*resumer)
	for i := range ops {
		if op := &ops[i]; op.Key.hash == h {
			if op.Key.wide != nil {
				sumResumed(r, op, op.Key.wide)
			} else {
				sumResumed(r, op, op.Key.narrow)
			}
		}
	}
	resumerTable[h].Put(r)
}

func sumResumed[W word](r *resumer, op *Op, key *pads[W]) {
	resume(r, &key.inner)
	r.hash.Write(op.Data)
	inner := r.hash.Sum(r.sum[:0])
	resume(r, &key.outer)
	r.hash.Write(inner)
	copy(op.Out, r.hash.Sum(r.sum[:0]))
}

// resume takes the hash to where it has hashed one block and is in the given state.
func resume[W word](r *resumer, state *[8]W) {
	at := r.marshaled[4:]
	for _, w := range state[:r.words] {
		if unsafe.Sizeof(w) == 8 {
			binary.BigEndian.PutUint64(at, uint64(w))
		} else {
			binary.BigEndian.PutUint32(at, uint32(w))
		}
		at = at[unsafe.Sizeof(w):]
	}
	if err := r.unmarshaler.UnmarshalBinary(r.marshaled); err != nil {
		panic(err) // NewKey has seen that the format is this one
	}
}

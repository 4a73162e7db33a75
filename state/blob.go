//go:build linux || openbsd || freebsd || netbsd || darwin

package state

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// MaxBlob and MaxName bound a blob and its name, bytes.
const (
	MaxBlob = 4096
	MaxName = 255
)

// A copy: generation (0: not valid), checksum, lengths, and at copyHeader the name and the blob.
const (
	copyChecksum = 8
	copyLengths  = 12 // uint16 of the name, uint16 of the blob
	copyHeader   = 64
	copySize     = copyHeader + 256 + MaxBlob
	pairSize     = 2 * copySize
	pairsPer     = (segmentSize - segmentHeader) / pairSize
)

func (f *File) loadPairs(segment []byte) (dropped int) {
	for n := range pairsPer {
		at := segmentHeader + n*pairSize
		pair := segment[at : at+pairSize : at+pairSize]
		name, _, ok := readPair(pair)
		if _, twice := f.pairs[name]; ok && name != "" && !twice {
			f.pairs[name] = pair
			continue
		}
		if ok == (name != "") && word64(pair).Load()|word64(pair[copySize:]).Load() != 0 {
			dropped++
		}
		clear(pair)
		f.freePairs = append(f.freePairs, pair)
	}
	return dropped
}

// PutBlob keeps b, at most MaxBlob bytes, under name in place of what was there; an empty b forgets
// the name. A process killed in the middle leaves the old blob or the new one.
func (f *File) PutBlob(name string, b []byte) error {
	if name == "" || len(name) > MaxName {
		return fmt.Errorf("state file %s: a blob's name has %d bytes, want 1 to %d", f.path, len(name), MaxName)
	}
	if len(b) > MaxBlob {
		return fmt.Errorf("state file %s: blob %q has %d bytes, want at most %d", f.path, name, len(b), MaxBlob)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	pair, known := f.pairs[name]
	switch {
	case !known && len(b) == 0:
		return nil
	case len(b) == 0:
		// With an empty name and blob the pair counts as free from here on.
		writePair(pair, "", nil)
		clear(pair)
		delete(f.pairs, name)
		f.freePairs = append(f.freePairs, pair)
		return nil
	case !known:
		if len(f.freePairs) == 0 {
			segment, err := f.grow(blobs)
			if err != nil {
				return err
			}
			f.loadPairs(segment)
		}
		pair, f.freePairs = f.freePairs[0], f.freePairs[1:]
		f.pairs[name] = pair
	}
	writePair(pair, name, b)
	return nil
}

// Blobs returns copies of all blobs by name.
func (f *File) Blobs() map[string][]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make(map[string][]byte, len(f.pairs))
	for name, pair := range f.pairs {
		if _, b, ok := readPair(pair); ok {
			all[name] = bytes.Clone(b)
		}
	}
	return all
}

// writePair writes the copy that is not current, makes it valid, and wipes the other.
func writePair(pair []byte, name string, b []byte) {
	older, newer := pair[:copySize], pair[copySize:]
	generation := validGeneration(older)
	if g := validGeneration(newer); g > generation {
		older, newer, generation = newer, older, g
	}
	// Now older is the current copy and newer becomes it.
	word64(newer).Store(0)
	clear(newer)
	binary.LittleEndian.PutUint16(newer[copyLengths:], uint16(len(name))) //nolint:gosec // PutBlob has checked both lengths
	binary.LittleEndian.PutUint16(newer[copyLengths+2:], uint16(len(b)))  //nolint:gosec // PutBlob has checked both lengths
	copy(newer[copyHeader:], name)
	copy(newer[copyHeader+len(name):], b)
	binary.LittleEndian.PutUint32(newer[copyChecksum:], copySum(newer, generation+1))
	word64(newer).Store(generation + 1)
	word64(older).Store(0)
	clear(older)
}

// readPair returns the valid copy with the highest generation; the blob lies in the pair.
func readPair(pair []byte) (name string, b []byte, ok bool) {
	current, other := pair[:copySize], pair[copySize:]
	if validGeneration(other) > validGeneration(current) {
		current = other
	}
	if validGeneration(current) == 0 {
		return "", nil, false
	}
	nameLen, blobLen := copyLens(current)
	body := current[copyHeader:]
	return string(body[:nameLen]), body[nameLen : nameLen+blobLen], true
}

// validGeneration is the generation of a copy; 0 if it is not valid.
func validGeneration(c []byte) uint64 {
	generation := word64(c).Load()
	nameLen, blobLen := copyLens(c)
	if generation == 0 || nameLen > MaxName || blobLen > MaxBlob ||
		binary.LittleEndian.Uint32(c[copyChecksum:]) != copySum(c, generation) {
		return 0
	}
	return generation
}

func copyLens(c []byte) (name, blob int) {
	return int(binary.LittleEndian.Uint16(c[copyLengths:])), int(binary.LittleEndian.Uint16(c[copyLengths+2:]))
}

func copySum(c []byte, generation uint64) uint32 {
	var g [8]byte
	binary.LittleEndian.PutUint64(g[:], generation)
	return crc32.Update(crc32.ChecksumIEEE(g[:]), crc32.IEEETable, c[copyLengths:copySize])
}

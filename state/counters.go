//go:build linux || openbsd || freebsd || netbsd || darwin

package state

import (
	"cmp"
	"encoding/binary"
	"hash/crc32"
	"net/netip"
	"slices"

	"meshrouter/dataplane/esp"
)

// A slot: mark, checksum of the key, key, and at slotHeader the counters.
const (
	slotMark     = 0x5aa5c0de // stored last: the slot is used
	slotChecksum = 4
	slotKey      = 8
	slotKeyLen   = 24 // direction, 3 zeros, SPI, 16 bytes of address
	slotHeader   = 64
	slotSize     = slotHeader + (esp.CountersSize+63)&^63
	slotsPer     = (segmentSize - segmentHeader) / slotSize
)

// A Key names the counters of an SA.
type Key struct {
	Dir    byte // as the caller likes: 'i' and 'o'
	SPI    uint32
	Remote netip.Addr
}

func (k Key) encode() (b [slotKeyLen]byte) {
	b[0] = k.Dir
	binary.LittleEndian.PutUint32(b[4:], k.SPI)
	a := k.Remote.As16()
	copy(b[8:], a[:])
	return b
}

func decodeKey(b []byte) Key {
	return Key{b[0], binary.LittleEndian.Uint32(b[4:]), netip.AddrFrom16([16]byte(b[8:])).Unmap()}
}

func (f *File) loadSlots(segment []byte) (dropped int) {
	for n := range slotsPer {
		at := segmentHeader + n*slotSize
		slot := segment[at : at+slotSize : at+slotSize]
		raw := slot[slotKey : slotKey+slotKeyLen]
		key := decodeKey(raw)
		ok := word32(slot).Load() == slotMark && binary.LittleEndian.Uint32(slot[slotChecksum:]) == crc32.ChecksumIEEE(raw)
		if _, twice := f.slots[key]; ok && !twice {
			f.slots[key] = slot
			continue
		}
		if word32(slot).Swap(0) != 0 {
			dropped++
		}
		f.freeSlots = append(f.freeSlots, slot)
	}
	return dropped
}

// Counters returns the memory of esp.CountersSize bytes for an SA: what an earlier call or process
// left under that name, or else zeros.
func (f *File) Counters(dir byte, spi uint32, remote netip.Addr) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := Key{dir, spi, remote.Unmap()}
	if slot, ok := f.slots[key]; ok {
		return countersOf(slot), nil
	}
	if len(f.freeSlots) == 0 {
		segment, err := f.grow(counters)
		if err != nil {
			return nil, err
		}
		f.loadSlots(segment)
	}
	slot := f.freeSlots[0]
	f.freeSlots = f.freeSlots[1:]
	clear(slot)
	raw := key.encode()
	copy(slot[slotKey:], raw[:])
	binary.LittleEndian.PutUint32(slot[slotChecksum:], crc32.ChecksumIEEE(raw[:]))
	word32(slot).Store(slotMark)
	f.slots[key] = slot
	return countersOf(slot), nil
}

// Lookup is Counters without making any: an SA that is restored must have its numbers, or else must
// not be used.
func (f *File) Lookup(dir byte, spi uint32, remote netip.Addr) ([]byte, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	slot, ok := f.slots[Key{dir, spi, remote.Unmap()}]
	if !ok {
		return nil, false
	}
	return countersOf(slot), true
}

// Release forgets the counters of an SA that nobody uses any more; their memory may be given to
// another SA.
func (f *File) Release(dir byte, spi uint32, remote netip.Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := Key{dir, spi, remote.Unmap()}
	if slot, ok := f.slots[key]; ok {
		word32(slot).Store(0)
		delete(f.slots, key)
		f.freeSlots = append(f.freeSlots, slot)
	}
}

// Keys lists the SAs that have counters, in order, so that those of SAs which were not restored can
// be released.
func (f *File) Keys() []Key {
	f.mu.Lock()
	defer f.mu.Unlock()
	keys := make([]Key, 0, len(f.slots))
	for k := range f.slots {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.Dir, b.Dir), cmp.Compare(a.SPI, b.SPI), a.Remote.Compare(b.Remote))
	})
	return keys
}

func countersOf(slot []byte) []byte { return slot[slotHeader : slotHeader+esp.CountersSize] }

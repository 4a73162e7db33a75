package des3

import (
	"bytes"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// Data that begins or ends at a page which cannot be touched: nothing beside it is read or written.
func TestNothingBesideDataIsTouched(t *testing.T) {
	t.Parallel()
	page := os.Getpagesize()
	eachImplementation(t, func(t *testing.T, im implementation) {
		mapped, err := unix.Mmap(-1, 0, 3*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := unix.Munmap(mapped); err != nil {
				t.Error(err)
			}
		}()
		for _, guard := range [][]byte{mapped[:page], mapped[2*page:]} {
			if err := unix.Mprotect(guard, unix.PROT_NONE); err != nil {
				t.Fatal(err)
			}
		}
		room := mapped[page : 2*page]
		for blocks := 1; blocks <= 30; blocks++ {
			w := newWorkload(t, uint64(blocks), shape{packets: 2, keys: 2, blocks: blocks, equal: true})
			n := blocks * BlockSize
			for i, at := range []int{0, page - n} {
				copy(room[at:], w.ops[i].Data)
				w.ops[i].Data = room[at : at+n : at+n]
			}
			first, last := bytes.Clone(w.ops[0].Data), bytes.Clone(w.ops[1].Data)
			for _, ops := range [][]Op{w.ops, w.ops[:1], w.ops[1:]} {
				im.encrypt(ops)
				im.decrypt(ops)
			}
			if !bytes.Equal(w.ops[0].Data, first) || !bytes.Equal(w.ops[1].Data, last) {
				t.Fatalf("%d blocks: encrypted and decrypted they are others", blocks)
			}
		}
	})
}

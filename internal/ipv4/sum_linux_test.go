package ipv4

import (
	"testing"

	"golang.org/x/sys/unix"
)

// A buffer may end where the memory ends.
func TestSumsStayInside(t *testing.T) {
	t.Parallel()
	page := unix.Getpagesize()
	edge := func() []byte {
		b, err := unix.Mmap(-1, 0, 2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Mprotect(b[page:], unix.PROT_NONE); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := unix.Munmap(b); err != nil {
				t.Error(err)
			}
		})
		return b[:page]
	}
	src, dst := edge(), edge()
	for _, im := range implementations() {
		for n := range 600 {
			im.sum(src[page-n:])
			im.copySum(dst[page-n:], src[page-n:])
		}
	}
}

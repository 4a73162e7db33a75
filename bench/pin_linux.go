package bench

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// holdToOneCore holds the calling goroutine, and what it starts, to the last core that it may use, until
// release is called.
func holdToOneCore() (release func()) {
	runtime.LockOSThread()
	var may, one unix.CPUSet
	if unix.SchedGetaffinity(0, &may) != nil {
		return runtime.UnlockOSThread
	}
	cores := coresOf(&may)
	one.Set(cores[len(cores)-1])
	_ = unix.SchedSetaffinity(0, &one) // one that we may use
	return func() {
		_ = unix.SchedSetaffinity(0, &may)
		runtime.UnlockOSThread()
	}
}

// coresOf are the numbers of a set.
func coresOf(s *unix.CPUSet) (cores []int) {
	for i := 0; len(cores) < s.Count(); i++ {
		if s.IsSet(i) {
			cores = append(cores, i)
		}
	}
	return cores
}

//go:build openbsd || freebsd || darwin

package bench

import "golang.org/x/sys/unix"

func cpuModel() string {
	for _, name := range []string{"machdep.cpu.brand_string", "hw.model"} { // macOS has both
		if model, err := unix.Sysctl(name); err == nil && model != "" {
			return model
		}
	}
	return ""
}

func kernel() string {
	release, err := unix.Sysctl("kern.osrelease")
	if err != nil {
		return ""
	}
	return release
}

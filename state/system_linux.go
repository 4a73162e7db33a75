package state

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// bootID is new at each boot.
func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b)), err
}

// filesystem names the file system that a file lies on unless that is memory.
func filesystem(file *os.File) string {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(file.Fd()), &st); err != nil {
		return "an unknown file system"
	}
	if inMemory(st) {
		return ""
	}
	return fmt.Sprintf("a file system of type %#x", uint32(st.Type)) //nolint:gosec // magic numbers have 32 bits; the field's type varies with the architecture
}

func inMemory(st unix.Statfs_t) bool {
	switch uint32(st.Type) { //nolint:gosec // as above
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC:
		return true
	}
	return false
}

// InMemory reports whether what is written below dir stays in memory: whether it is a tmpfs.
func InMemory(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && inMemory(st)
}

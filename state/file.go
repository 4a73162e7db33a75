//go:build linux || openbsd || freebsd || netbsd || darwin

package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"meshrouter/dataplane/esp"
)

const (
	magic   = "MRSTATE\n"
	version = 1

	segmentSize = 64 << 10
	maxSegments = 4096 // 256 MB: more than 10,000 tunnels need

	// The header, at the beginning of segment 0.
	atVersion  = 8  // uint32
	atCounters = 12 // uint32: esp.CountersSize
	atChecksum = 16 // uint32: of everything above the sequence number but itself and the magic
	atBootID   = 24 // padded with zeros
	atSequence = 128
	maxBootID  = atSequence - atBootID

	// Each further segment begins with its kind.
	segmentHeader = 64
)

type kind uint32

const (
	free kind = iota
	counters
	blobs
)

// Options changes how a file is opened.
type Options struct {
	// BootID names the boot that the state is good for; empty: that of the running system.
	BootID string
}

// A File is an open state file. Its methods may be called from any goroutine.
type File struct {
	path    string
	file    *os.File
	resumed bool
	remarks []string

	mu        sync.Mutex
	segments  [][]byte
	slots     map[Key][]byte // used counters slots, with their headers
	freeSlots [][]byte
	pairs     map[string][]byte // blob pairs by name
	freePairs [][]byte
}

// ErrInUse means that another process has the state file open.
var ErrInUse = errors.New("another process is using it")

// Open opens the state file at path, creating it (0600) and its directory (0700) if necessary, and
// takes over what a process of the same boot left. Resumed and Remarks tell what it found. It fails
// if another process has the file open, if others could read or replace it, or if path holds
// something that is not a state file.
func Open(path string, o Options) (*File, error) {
	f := &File{path: path, slots: make(map[Key][]byte), pairs: make(map[string][]byte)}
	if err := f.open(o); err != nil {
		if f.file != nil {
			err = errors.Join(err, f.file.Close())
		}
		return nil, fmt.Errorf("state file %s: %w", path, err)
	}
	return f, nil
}

func (f *File) open(o Options) error {
	if o.BootID == "" {
		id, err := bootID()
		if err != nil {
			return fmt.Errorf("which boot this is: %w", err)
		}
		o.BootID = id
	}
	if len(o.BootID) > maxBootID {
		o.BootID = o.BootID[:maxBootID]
	}
	if err := f.openLocked(); err != nil {
		return err
	}
	if what := filesystem(f.file); what != "" {
		f.remark("it lies on %s instead of a tmpfs, so keys may reach a disk", what)
	}
	size, err := f.file.Seek(0, 2)
	if err != nil {
		return err
	}
	why, err := f.refusal(size, o.BootID)
	if err != nil {
		return err
	}
	if why != "" || size < segmentSize {
		if why != "" {
			f.remark("%s: starting empty", why)
		}
		return f.create(o.BootID)
	}
	f.resumed = true
	for n := range min(size/segmentSize, maxSegments) {
		if err := f.mapSegment(n); err != nil {
			return err
		}
	}
	f.load()
	return nil
}

// openLocked opens and locks the file that path names when the lock is held: the one opened may
// have been removed by the process that held the lock before.
func (f *File) openLocked() error {
	dir := filepath.Dir(f.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if st, err := os.Stat(dir); err != nil {
		return err
	} else if st.Mode().Perm()&0o022 != 0 && st.Mode()&os.ModeSticky == 0 {
		return fmt.Errorf("others can write to its directory (mode %v), want 0700", st.Mode().Perm())
	}
	for {
		file, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return err
		}
		f.file = file
		if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			if errors.Is(err, unix.EWOULDBLOCK) {
				return ErrInUse
			}
			return os.NewSyscallError("flock", err)
		}
		var mine, named unix.Stat_t
		if err := unix.Fstat(int(file.Fd()), &mine); err != nil {
			return os.NewSyscallError("fstat", err)
		}
		if err := unix.Lstat(f.path, &named); err != nil || named.Ino != mine.Ino || named.Dev != mine.Dev {
			if err := file.Close(); err != nil {
				return err
			}
			continue
		}
		switch {
		case mine.Mode&unix.S_IFMT != unix.S_IFREG:
			return errors.New("it is not a regular file")
		case mine.Mode&0o077 != 0:
			return fmt.Errorf("others can use it (mode %#o), want 0600", mine.Mode&0o777)
		case int(mine.Uid) != os.Geteuid():
			return fmt.Errorf("it belongs to user %d, want %d", mine.Uid, os.Geteuid())
		}
		return nil
	}
}

// refusal says why the content cannot be taken over: a reason to start empty, or an error if the
// file is something else that we must not touch.
func (f *File) refusal(size int64, boot string) (why string, err error) {
	h := make([]byte, atSequence)
	n, err := f.file.ReadAt(h, 0)
	if err != nil && n < len(h) && int64(n) < size {
		return "", err
	}
	h = h[:n]
	switch {
	case n == 0:
		return "", nil
	case size <= segmentSize && len(bytes.Trim(h[:min(n, len(magic))], "\x00")) == 0:
		return "it was left half made", nil // the magic comes last
	case !bytes.HasPrefix(h, []byte(magic)):
		return "", errors.New("it is not a state file of meshrouter; remove it or choose another path")
	case n < atSequence || size < segmentSize:
		return "it is cut short", nil
	case binary.LittleEndian.Uint32(h[atVersion:]) != version:
		return fmt.Sprintf("it has version %d, want %d", binary.LittleEndian.Uint32(h[atVersion:]), version), nil
	case binary.LittleEndian.Uint32(h[atChecksum:]) != headerChecksum(h):
		return "its header is corrupt", nil
	case binary.LittleEndian.Uint32(h[atCounters:]) != uint32(esp.CountersSize):
		return "it holds counters of another layout", nil
	case string(bytes.TrimRight(h[atBootID:], "\x00")) != boot:
		return "it is of another boot", nil
	}
	return "", nil
}

func headerChecksum(h []byte) uint32 {
	sum := crc32.ChecksumIEEE(h[atVersion:atChecksum])
	return crc32.Update(sum, crc32.IEEETable, h[atBootID:atSequence])
}

// create empties the file and writes the header, the magic last.
func (f *File) create(boot string) error {
	if err := f.file.Truncate(0); err != nil {
		return err
	}
	if err := f.extend(0); err != nil {
		return err
	}
	h := f.segments[0]
	binary.LittleEndian.PutUint32(h[atVersion:], version)
	binary.LittleEndian.PutUint32(h[atCounters:], uint32(esp.CountersSize))
	copy(h[atBootID:atSequence], boot)
	binary.LittleEndian.PutUint32(h[atChecksum:], headerChecksum(h))
	word64(h).Store(binary.NativeEndian.Uint64([]byte(magic)))
	return nil
}

// extend appends segment n. It writes zeros, not a hole: a full tmpfs is an error here, and would be
// a SIGBUS in the middle of a batch.
func (f *File) extend(n int64) error {
	if n >= maxSegments {
		return fmt.Errorf("it has reached its limit of %d MB", maxSegments*segmentSize>>20)
	}
	if _, err := f.file.WriteAt(make([]byte, segmentSize), n*segmentSize); err != nil {
		return err
	}
	return f.mapSegment(n)
}

func (f *File) mapSegment(n int64) error {
	m, err := unix.Mmap(int(f.file.Fd()), n*segmentSize, segmentSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return os.NewSyscallError("mmap", err)
	}
	f.segments = append(f.segments, m)
	return nil
}

// load finds the slots and pairs of the segments. What makes no sense is emptied.
func (f *File) load() {
	dropped := 0
	for _, s := range f.segments[1:] {
		switch kind(word32(s).Load()) {
		case counters:
			dropped += f.loadSlots(s)
		case blobs:
			dropped += f.loadPairs(s)
		case free:
			clear(s)
		default:
			clear(s)
			dropped++
		}
	}
	if dropped > 0 {
		f.remark("%d corrupt entries were dropped", dropped)
	}
}

// grow turns a free segment, or a new one, into one of kind k.
func (f *File) grow(k kind) ([]byte, error) {
	for _, s := range f.segments[1:] {
		if kind(word32(s).Load()) == free {
			word32(s).Store(uint32(k))
			return s, nil
		}
	}
	n := len(f.segments)
	if err := f.extend(int64(n)); err != nil {
		return nil, fmt.Errorf("state file %s: growing: %w", f.path, err)
	}
	word32(f.segments[n]).Store(uint32(k))
	return f.segments[n], nil
}

func (f *File) remark(format string, args ...any) {
	f.remarks = append(f.remarks, fmt.Sprintf(format, args...))
}

// Resumed reports whether the file holds the state of an earlier process.
func (f *File) Resumed() bool { return f.resumed }

// Remarks is what an operator should know: why the state of before was not taken over, what was
// dropped, that the file does not lie in memory.
func (f *File) Remarks() []string { return f.remarks }

// Path is the file's name.
func (f *File) Path() string { return f.path }

// Sequence is the last cryptographic sequence number of OSPF that was set; 0: none.
func (f *File) Sequence() uint32 { return word32(f.segments[0][atSequence:]).Load() }

// SetSequence keeps OSPF's cryptographic sequence number; before a packet with it is sent.
func (f *File) SetSequence(n uint32) { word32(f.segments[0][atSequence:]).Store(n) }

// Close gives the file up for another process. The memory stays mapped until the process ends, as
// SAs may hold it; they must not be used any more.
func (f *File) Close() error {
	// A mapping keeps the lock, so that closing alone would not end it.
	return errors.Join(os.NewSyscallError("flock", unix.Flock(int(f.file.Fd()), unix.LOCK_UN)), f.file.Close())
}

// Remove deletes the file and closes it: nothing is left for another process.
func (f *File) Remove() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.segments[1:] {
		if kind(word32(s).Load()) == blobs {
			clear(s)
		}
	}
	return errors.Join(os.Remove(f.path), f.Close())
}

// unmap takes the memory away; for tests that open many files.
func (f *File) unmap() error {
	var errs []error
	for _, s := range f.segments {
		errs = append(errs, unix.Munmap(s))
	}
	return errors.Join(errs...)
}

// word32 and word64 are the word at the beginning of b, which is aligned: segments are pages, and
// all that lies in them begins at a multiple of 64.
func word32(b []byte) *atomic.Uint32 {
	_ = b[3]
	return (*atomic.Uint32)(unsafe.Pointer(unsafe.SliceData(b))) //nolint:gosec // G103: a word of mapped memory; bounds are checked above
}

func word64(b []byte) *atomic.Uint64 {
	_ = b[7]
	return (*atomic.Uint64)(unsafe.Pointer(unsafe.SliceData(b))) //nolint:gosec // G103: a word of mapped memory; bounds are checked above
}

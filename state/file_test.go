//go:build linux || openbsd || freebsd || netbsd || darwin

package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"meshrouter/dataplane/esp"
)

func addr(n int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}) }

// where is the path of a state file in a directory of the test's own.
func where(t testing.TB) string { return filepath.Join(t.TempDir(), "run", "site.state") }

func mustOpen(t testing.TB, path string) *File {
	t.Helper()
	f, err := Open(path, Options{BootID: "this boot"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = f.Close() // most tests have closed it
		if err := f.unmap(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func mustClose(t testing.TB, f *File) {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustCounters(t testing.TB, f *File, dir byte, spi uint32, remote netip.Addr) []byte {
	t.Helper()
	b, err := f.Counters(dir, spi, remote)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestStateSurvivesTheProcess(t *testing.T) {
	t.Parallel()
	path := where(t)
	f := mustOpen(t, path)
	if f.Resumed() {
		t.Error("a new file claims to be resumed")
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode of the file: %v, %v; want 0600", st.Mode(), err)
	}
	if st, err := os.Stat(filepath.Dir(path)); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("mode of the directory: %v, %v; want 0700", st.Mode(), err)
	}
	esp.CountersAt(mustCounters(t, f, 'o', 0x1234, addr(1))).NextSeq.Store(77)
	esp.CountersAt(mustCounters(t, f, 'i', 0x1234, addr(1))).HighSeq.Store(5)
	f.SetSequence(99)
	if err := f.PutBlob("london-tokyo", []byte("keys")); err != nil {
		t.Fatal(err)
	}
	mustClose(t, f)

	g := mustOpen(t, path)
	if !g.Resumed() || g.Sequence() != 99 {
		t.Errorf("resumed %v, sequence %d; want true, 99 (%v)", g.Resumed(), g.Sequence(), g.Remarks())
	}
	if b, ok := g.Lookup('o', 0x1234, addr(1)); !ok || esp.CountersAt(b).NextSeq.Load() != 77 {
		t.Errorf("the outbound counters are lost")
	}
	if b, ok := g.Lookup('i', 0x1234, addr(1)); !ok || esp.CountersAt(b).HighSeq.Load() != 5 {
		t.Errorf("the inbound counters are lost")
	}
	if _, ok := g.Lookup('i', 0x1234, addr(2)); ok {
		t.Error("Lookup found an SA with another peer")
	}
	if got := g.Blobs(); len(got) != 1 || string(got["london-tokyo"]) != "keys" {
		t.Errorf("blobs are %q", got)
	}
}

func TestReleasedCountersStartAtZero(t *testing.T) {
	t.Parallel()
	f := mustOpen(t, where(t))
	esp.CountersAt(mustCounters(t, f, 'o', 1000, addr(1))).NextSeq.Store(77)
	f.Release('o', 1000, addr(1))
	if _, ok := f.Lookup('o', 1000, addr(1)); ok {
		t.Error("Lookup finds released counters")
	}
	// Enough new SAs for the slot to be used again.
	for i := range 2 * slotsPer {
		if n := esp.CountersAt(mustCounters(t, f, 'o', uint32(2000+i), addr(1))).NextSeq.Load(); n != 0 {
			t.Fatalf("new counters %d begin with NextSeq %d", i, n)
		}
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	t.Parallel()
	path := where(t)
	f := mustOpen(t, path)
	if g, err := Open(path, Options{BootID: "this boot"}); !errors.Is(err, ErrInUse) {
		t.Errorf("second Open: %v, %v; want ErrInUse", g, err)
	}
	mustClose(t, f)
	mustOpen(t, path)
}

func TestOtherStatesStartEmptyWithAReason(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, want string
		boot       string
		change     func(b []byte) []byte
	}{
		{"other boot", "another boot", "next boot", nil},
		{"other version", "version 2, want 1", "", func(b []byte) []byte { b[atVersion] = 2; return b }},
		{"corrupt header", "header is corrupt", "", func(b []byte) []byte { b[atBootID] ^= 1; return b }},
		{"cut short", "cut short", "", func(b []byte) []byte { return b[:1000] }},
		{"cut inside the header", "cut short", "", func(b []byte) []byte { return b[:20] }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := where(t)
			f := mustOpen(t, path)
			f.SetSequence(7)
			mustCounters(t, f, 'i', 1000, addr(1))
			mustClose(t, f)
			if tt.change != nil {
				edit(t, path, tt.change)
			}
			boot := "this boot"
			if tt.boot != "" {
				boot = tt.boot
			}
			g, err := Open(path, Options{BootID: boot})
			if err != nil {
				t.Fatal(err)
			}
			defer mustClose(t, g)
			if g.Resumed() || g.Sequence() != 0 || len(g.Keys()) != 0 {
				t.Errorf("resumed %v, sequence %d, keys %v; want an empty state", g.Resumed(), g.Sequence(), g.Keys())
			}
			if r := strings.Join(g.Remarks(), "; "); !strings.Contains(r, tt.want) {
				t.Errorf("remarks are %q, want %q in them", r, tt.want)
			}
		})
	}
}

// A process killed while it created the file leaves a header that is complete but for the magic.
func TestKilledWhileCreating(t *testing.T) {
	t.Parallel()
	path := where(t)
	mustClose(t, mustOpen(t, path))
	edit(t, path, func(b []byte) []byte { clear(b[:len(magic)]); return b })
	f := mustOpen(t, path)
	if f.Resumed() {
		t.Error("an unfinished file counts as the state of an earlier process")
	}
	mustClose(t, f)
}

func edit(t testing.TB, path string, change func(b []byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	t.Parallel()
	path := where(t)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	text := []byte("the only copy of something")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{}); err == nil || !strings.Contains(err.Error(), "not a state file") {
		t.Errorf("Open of a text file: %v", err)
	}
	if b, _ := os.ReadFile(path); !bytes.Equal(b, text) {
		t.Errorf("the file now holds %q", b)
	}

	disk := make([]byte, 2*segmentSize) // something large that begins with zeros, such as a disk image
	disk[2*segmentSize-1] = 1
	if err := os.WriteFile(path, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{}); err == nil || !strings.Contains(err.Error(), "not a state file") {
		t.Errorf("Open of a disk image: %v", err)
	}
	if b, _ := os.ReadFile(path); !bytes.Equal(b, disk) {
		t.Errorf("the disk image now has %d bytes", len(b))
	}

	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{}); err == nil || !strings.Contains(err.Error(), "want 0600") {
		t.Errorf("Open of a file that others can read: %v", err)
	}
	link := path + ".link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(link, Options{}); err == nil {
		t.Error("Open followed a symbolic link")
	}
	if err := os.Chmod(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path+".new", Options{}); err == nil || !strings.Contains(err.Error(), "want 0700") {
		t.Errorf("Open in a directory that others can write to: %v", err)
	}
}

func TestRemoveLeavesNothing(t *testing.T) {
	t.Parallel()
	path := where(t)
	f := mustOpen(t, path)
	if err := f.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Remove: %v", err)
	}
	if g := mustOpen(t, path); g.Resumed() {
		t.Error("Open after Remove resumed something")
	}
}

func TestGrowsWithoutMovingMemory(t *testing.T) {
	t.Parallel()
	path := where(t)
	f := mustOpen(t, path)
	const sas = 3 * slotsPer
	held := make([]*esp.Counters, sas)
	for i := range held {
		held[i] = esp.CountersAt(mustCounters(t, f, 'o', uint32(1000+i), addr(i)))
		if err := f.PutBlob(fmt.Sprint("link", i), bytes.Repeat([]byte{byte(i)}, 3000)); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range held {
		c.NextSeq.Store(uint64(i) + 1) // memory of the first segment, after the file has grown
	}
	mustClose(t, f)
	g := mustOpen(t, path)
	if len(g.Keys()) != sas || len(g.Blobs()) != sas {
		t.Fatalf("%d counters and %d blobs, want %d of each", len(g.Keys()), len(g.Blobs()), sas)
	}
	for i := range sas {
		b, ok := g.Lookup('o', uint32(1000+i), addr(i))
		if !ok || esp.CountersAt(b).NextSeq.Load() != uint64(i)+1 {
			t.Fatalf("counters %d are lost", i)
		}
	}
}

func TestBlobBounds(t *testing.T) {
	t.Parallel()
	f := mustOpen(t, where(t))
	for _, tt := range []struct {
		name string
		size int
		ok   bool
	}{
		{"", 1, false}, {strings.Repeat("n", MaxName+1), 1, false}, {strings.Repeat("n", MaxName), MaxBlob, true},
		{"big", MaxBlob + 1, false}, {"unknown", 0, true},
	} {
		if err := f.PutBlob(tt.name, make([]byte, tt.size)); (err == nil) != tt.ok {
			t.Errorf("PutBlob of %d bytes under a name of %d: %v", tt.size, len(tt.name), err)
		}
	}
}

// Blobs hold keys: what is replaced or forgotten must not stay in the file.
func TestReplacedBlobIsWiped(t *testing.T) {
	t.Parallel()
	path := where(t)
	f := mustOpen(t, path)
	for _, b := range []string{"first secret", "second secret", ""} {
		if err := f.PutBlob("link", []byte(b)); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{"first secret", "second secret"} {
			if got := bytes.Contains(content, []byte(s)); got != (s == b) {
				t.Errorf("with %q put, %q in the file: %v", b, s, got)
			}
		}
	}
}

// Whatever part of the new copy has reached the memory when the process dies, in whatever order, the
// pair holds the old blob or the new one.
func TestTornBlobIsOldOrNew(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	before := alignedPair()
	writePair(before, "name", []byte("an old blob"))
	after := append(alignedPair()[:0], before...)
	writePair(after, "name", []byte("the new blob, longer"))

	check := func(pair []byte, what string) {
		t.Helper()
		name, b, ok := readPair(pair)
		if !ok || name != "name" || (string(b) != "an old blob" && string(b) != "the new blob, longer") {
			t.Fatalf("%s: %q, %q, %v", what, name, b, ok)
		}
	}
	// The first write went to the second copy, so this one goes to the first.
	for range 5000 {
		torn := append(alignedPair()[:0], before...)
		for i := range copySize {
			if rng.IntN(2) == 0 {
				torn[i] = after[i]
			}
		}
		check(torn, "while writing")
	}
	// Then the second is wiped, its generation first.
	for range 5000 {
		torn := append(alignedPair()[:0], after...)
		for i := copySize + 8; i < pairSize; i++ {
			if rng.IntN(2) == 0 {
				torn[i] = before[i]
			}
		}
		check(torn, "while wiping")
	}
}

func alignedPair() []byte {
	return append([]byte(nil), make([]byte, pairSize)...) // the allocator aligns such sizes to pages
}

// A process is killed with kill -9 while it writes; what the next one finds is whole and not older
// than what the first had said.
func TestKilledInTheMiddle(t *testing.T) {
	if path := os.Getenv("MESHROUTER_STATE_VICTIM"); path != "" {
		victim(path)
	}
	t.Parallel()
	path := where(t)
	lastBlob, lastSeq := 0, uint64(0)
	for round := range 15 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledInTheMiddle$")
		cmd.Env = append(os.Environ(), "MESHROUTER_STATE_VICTIM="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// The victim says each number after having stored it. It is killed wherever it is by then.
		said := 0
		buf := make([]byte, 8)
		for range 1 + round*20 {
			if _, err := readFull(out, buf); err != nil {
				t.Fatalf("the victim ended: %v", err)
			}
			said = int(binary.LittleEndian.Uint64(buf))
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed, as it says

		f := mustOpen(t, path)
		if !f.Resumed() {
			t.Fatalf("round %d: not resumed: %v", round, f.Remarks())
		}
		blob := f.Blobs()["link"]
		var n int
		if _, err := fmt.Sscanf(string(blob), "%d", &n); err != nil || !bytes.Equal(blob, victimBlob(n)) {
			t.Fatalf("round %d: the blob is torn: %q", round, blob)
		}
		seq := esp.CountersAt(mustCounters(t, f, 'o', 1000, addr(1))).NextSeq.Load()
		if n < said || n < lastBlob || seq < uint64(said) || seq < lastSeq {
			t.Fatalf("round %d: blob %d, NextSeq %d after it said %d (before: %d, %d)", round, n, seq, said, lastBlob, lastSeq)
		}
		lastBlob, lastSeq = n, seq
		mustClose(t, f)
	}
}

func readFull(r interface{ Read([]byte) (int, error) }, b []byte) (int, error) {
	n := 0
	for n < len(b) {
		m, err := r.Read(b[n:])
		if n += m; err != nil {
			return n, err
		}
	}
	return n, nil
}

func victimBlob(n int) []byte {
	return fmt.Appendf(nil, "%d %s", n, strings.Repeat("x", n%1000))
}

func victim(path string) {
	f, err := Open(path, Options{BootID: "this boot"})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	b, err := f.Counters('o', 1000, addr(1))
	if err != nil {
		os.Exit(1)
	}
	c := esp.CountersAt(b)
	for n := int(c.NextSeq.Load()) + 1; ; n++ {
		c.NextSeq.Store(uint64(n))
		if err := f.PutBlob("link", victimBlob(n)); err != nil {
			os.Exit(1)
		}
		if _, err := os.Stdout.Write(binary.LittleEndian.AppendUint64(nil, uint64(n))); err != nil {
			os.Exit(0)
		}
	}
}

// Whatever the file holds, Open and all methods neither panic nor fault, and the file works afterwards.
func FuzzOpen(f *testing.F) {
	dir := f.TempDir()
	seed := filepath.Join(dir, "seed")
	g, err := Open(seed, Options{BootID: "this boot"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{}, uint32(0))
	small, _ := os.ReadFile(seed)
	f.Add(small, uint32(0))
	mustCounters(f, g, 'i', 1000, addr(1))
	if err := g.PutBlob("link", []byte("keys")); err != nil {
		f.Fatal(err)
	}
	full, _ := os.ReadFile(seed)
	header := full[:atSequence+8]
	f.Add(header, uint32(2*segmentSize))
	f.Add(full[segmentSize:segmentSize+2*slotSize], uint32(segmentSize))
	f.Add(full[2*segmentSize:2*segmentSize+2*pairSize], uint32(2*segmentSize))
	f.Fuzz(func(t *testing.T, patch []byte, at uint32) {
		path := filepath.Join(t.TempDir(), "fuzzed")
		content := bytes.Clone(full)
		if at == 0 {
			content = patch
		} else {
			copy(content[int(at)%len(content):], patch)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := Open(path, Options{BootID: "this boot"})
		if err != nil {
			return
		}
		defer func() {
			if err := errors.Join(f.Close(), f.unmap()); err != nil {
				t.Error(err)
			}
		}()
		for _, k := range f.Keys() {
			b, ok := f.Lookup(k.Dir, k.SPI, k.Remote)
			if !ok {
				t.Fatalf("Keys has %v, Lookup has not", k)
			}
			esp.CountersAt(b)
		}
		for name, b := range f.Blobs() {
			if err := f.PutBlob(name, b); err != nil {
				t.Fatal(err)
			}
		}
		mustCounters(t, f, 'o', 4242, addr(9))
		if err := f.PutBlob("new", []byte("blob")); err != nil {
			t.Fatal(err)
		}
		if string(f.Blobs()["new"]) != "blob" {
			t.Error("a blob put is not there")
		}
	})
}

package bench

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Ours and Go's libraries give the same, byte for byte, where chance has no part in it.
func TestOursIsGos(t *testing.T) {
	t.Parallel()
	for _, work := range workTable {
		for _, bytesEach := range []int{64, 256, 1408} {
			w := workload{work, bytesEach, 5}
			got, err := newLibrary(ourTask).check(w)
			if err != nil {
				t.Fatal(err)
			}
			want, err := newLibrary(goTask).check(w)
			if err != nil || want == nil {
				t.Fatalf("%v: %x, %v", w, want, err)
			}
			if got != nil && !bytes.Equal(got, want) {
				t.Errorf("%v: ours is not Go's", w)
			}
		}
	}
	for _, prepare := range []func(workload) (*task, error){ourTask, goTask} {
		if _, err := newLibrary(prepare).check(workload{"rot13", 64, 1}); !errors.Is(err, errNotOffered) {
			t.Errorf("error %v, want %v", err, errNotOffered)
		}
	}
}

// Doing it again begins with fresh packets, so results compare after a measurement, too.
func TestResultIsOfFreshPackets(t *testing.T) {
	t.Parallel()
	w := workload{des3Mixed, 64, 3}
	l := newLibrary(goTask)
	first, err := l.check(w)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := l.rate(w, time.Millisecond); err != nil || v <= 0 {
		t.Fatalf("%v bytes a second, %v", v, err)
	}
	if again, _ := l.check(w); !bytes.Equal(first, again) {
		t.Error("the second result differs from the first")
	}
	if same, _ := newLibrary(goTask).check(workload{des3Encrypt, 64, 3}); bytes.Equal(first[64:128], same[64:128]) || !bytes.Equal(first[:64], same[:64]) {
		t.Error("mixed keys are no keys of their own")
	}
}

// The two sides of the pipe understand each other.
func TestCipherWorker(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	in := "check hmac-sha1 64 2\nrun 3des-cbc-encrypt 64 2 1\ncheck 3des-sha1-seal 64 1\ncheck rot13 64 1\nrun\n"
	if err := serveCiphers(strings.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	want, err := newLibrary(goTask).check(workload{"hmac-sha1", 64, 2})
	if err != nil || len(lines) != 7 {
		t.Fatalf("%q, %v", lines, err)
	}
	if lines[1] != hex.EncodeToString(want) {
		t.Errorf("check answers %s, want %x", lines[1], want)
	}
	var done, ns float64
	if _, err := fmt.Sscan(lines[2], &done, &ns); err != nil || done < 128 || ns <= 0 {
		t.Errorf("run answers %q", lines[2])
	}
	if lines[3] != "-" || !strings.HasPrefix(lines[4], "no ") || !strings.HasPrefix(lines[5], "no ") {
		t.Errorf("the others are answered %q", lines[3:6])
	}
}

// The C harness is text that compiles without a warning, where a compiler and the library are at hand; and
// what it computes is what Go's libraries compute. This holds without either: it is embedded, whole.
func TestHarness(t *testing.T) {

	for _, l := range cLibraryTable {
		if _, err := harnessFiles.ReadFile("harness/" + l.source); err != nil {
			t.Error(err)
		}
		t.Setenv("XDG_CACHE_HOME", t.TempDir())
		program, err := l.build(t.Context())
		if err != nil {
			if !strings.Contains(err.Error(), "apt-get install "+l.packages) {
				t.Errorf("%s: %v, want the packages that are missing", l.name, err)
			}
			t.Logf("not compiled here: %v", err)
			continue
		}
		c, err := startChild(exec.Command(program, "sse"))
		if err != nil {
			t.Error(err)
			continue
		}
		compared := 0
		for _, work := range workTable {
			for _, n := range []int{1, 7, 128} {
				w := workload{work, 64 * n, n}
				w.bytes = min(w.bytes, 1408)
				got, err := c.check(w)
				if errors.Is(err, errNotOffered) {
					continue
				}
				want, goErr := newLibrary(goTask).check(w)
				if err != nil || goErr != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: %v: %v, or another result than Go's", l.name, w, errors.Join(err, goErr))
				}
				compared++
			}
		}
		if compared < 20 {
			t.Errorf("%s: only %d results compared", l.name, compared)
		}
		if v, err := c.rate(workload{des3Encrypt, 64, 4}, time.Millisecond); err != nil || v <= 0 {
			t.Errorf("%s: %v bytes a second, %v", l.name, v, err)
		}
		if err := c.close(); err != nil {
			t.Error(err)
		}
	}
}

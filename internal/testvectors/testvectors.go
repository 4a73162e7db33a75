// Package testvectors finds test data for the tests of all packages.
//
// There are two places:
//
//	testdata/            at the root of the repository: the project's own vectors and recordings
//	../shared/vectors    beside the repository: third-party files, under their own licences
//
// Only tests import it. A file that should be there and is not fails the test; the one exception is a
// checkout without ../shared, where the tests that need it are skipped, but never in CI.
package testvectors

import (
	"os"
	"path/filepath"
	"testing"
)

// ciVariable, when set, turns a missing ../shared into a failure.
const ciVariable = "MESHROUTER_CI"

// Root is the directory of go.mod.
func Root(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			tb.Fatal("testvectors: no go.mod above the working directory")
		}
		dir = parent
	}
}

// Data is the path of a file under testdata/ at the root of the repository, "esp-gre.json".
func Data(tb testing.TB, name string) string {
	tb.Helper()
	return existing(tb, filepath.Join(Root(tb), "testdata", filepath.FromSlash(name)))
}

// Path is the path of a file under ../shared/vectors, "nist/TCBCMMT3.rsp". It skips the test when
// ../shared does not exist and the environment variable MESHROUTER_CI is unset.
func Path(tb testing.TB, name string) string {
	tb.Helper()
	shared := filepath.Join(Root(tb), "..", "shared")
	if _, err := os.Stat(shared); os.IsNotExist(err) && os.Getenv(ciVariable) == "" {
		tb.Skipf("testvectors: %s is not in this checkout: no ../shared beside the repository (set %s=1 to fail instead)", name, ciVariable)
	}
	return existing(tb, filepath.Join(shared, "vectors", filepath.FromSlash(name)))
}

// Read returns the content of a path that Data or Path returned.
func Read(tb testing.TB, path string) []byte {
	tb.Helper()
	b, err := os.ReadFile(path) //nolint:gosec // G304: tests alone call this
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func existing(tb testing.TB, path string) string {
	tb.Helper()
	if _, err := os.Stat(path); err != nil {
		tb.Fatalf("testvectors: %v", err)
	}
	return path
}

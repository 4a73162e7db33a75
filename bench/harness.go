package bench

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed harness/*.c harness/*.h
var harnessFiles embed.FS

// cacheDir is where what takes long to build is kept between runs.
func cacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir() // a service has no home
	}
	dir := filepath.Join(base, "meshrouter-bench")
	return dir, os.MkdirAll(dir, 0o700)
}

// A cLibrary is one of C that the harness measures.
type cLibrary struct {
	name, source string
	flags        []string
	header       string // is needed to compile
	packages     string // of Debian
}

var cLibraryTable = []cLibrary{
	{"openssl", "openssl.c", []string{"-lcrypto"}, "openssl/evp.h", "gcc libc6-dev libssl-dev"},
	{"intel-ipsec-mb", "intel.c", []string{"-lIPSec_MB"}, "intel-ipsec-mb.h", "gcc libc6-dev libipsec-mb-dev"},
}

// build compiles the harness with the library, unless that was done before, and returns the program.
func (l cLibrary) build(ctx context.Context) (string, error) {
	cc, err := exec.LookPath("gcc")
	if err != nil {
		return "", errors.New("there is no gcc (apt-get install " + l.packages + ")")
	}
	dir, err := cacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	err = fs.WalkDir(harnessFiles, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := harnessFiles.ReadFile(name)
		sum.Write(text)
		return err
	})
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, l.name+"-"+hex.EncodeToString(sum.Sum(nil)[:8]))
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	source, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(source) //nolint:errcheck // a leftover in a cache
	if err := os.CopyFS(source, harnessFiles); err != nil {
		return "", err
	}
	args := append([]string{"-O2", "-o", filepath.Join(source, "program"), filepath.Join(source, "harness", "main.c"), filepath.Join(source, "harness", l.source)}, l.flags...)
	cmd := exec.CommandContext(ctx, cc, args...) //nolint:gosec // our own sources
	if text, err := cmd.CombinedOutput(); err != nil {
		if strings.Contains(string(text), l.header) {
			return "", fmt.Errorf("there is no %s (apt-get install %s)", l.header, l.packages)
		}
		return "", fmt.Errorf("gcc: %w: %s", err, firstLines(string(text), 3))
	}
	return program, os.Rename(filepath.Join(source, "program"), program)
}

// firstLines is the beginning of a text, in one line.
func firstLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[:min(n, len(lines))], "; ")
}

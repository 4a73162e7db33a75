package keylog_test

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"meshrouter/ike/isakmp"
	"meshrouter/keylog"
)

func open(t *testing.T, dir string) *keylog.Log {
	t.Helper()
	l, err := keylog.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestRows compares the tables with rows that tshark is known to read.
func TestRows(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "keys")
	l := open(t, dir)
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for _, err := range []error{
		l.IKEv1([8]byte{0xb2, 7: 8}, []byte{0xbf, 1}),
		l.ESP(a, b, 0xabcd, isakmp.ESP3DES, isakmp.HMACSHA, []byte{1, 2}, []byte{3}),
		l.ESP(b, a, 0xabcd0123, isakmp.ESPAESGCM16, isakmp.NoAuth, []byte{4}, nil),
		l.ESP(netip.Addr{}, netip.MustParseAddr("::ffff:192.0.2.1"), 1, isakmp.ESPNull, isakmp.HMACMD5, nil, []byte{5}),
		l.ESP(netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2"), 2, isakmp.ESPAES, isakmp.HMACSHA2_256, []byte{6}, []byte{7}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	const ikeRows = "b200000000000008,bf01\n"
	if got := read(t, filepath.Join(dir, "ikev1_decryption_table")); got != ikeRows {
		t.Errorf("ikev1_decryption_table %q, want %q", got, ikeRows)
	}
	const espRows = `"IPv4","192.0.2.1","192.0.2.2","0x0000abcd","TripleDES-CBC [RFC2451]","0x0102","HMAC-SHA-1-96 [RFC2404]","0x03"
"IPv4","192.0.2.2","192.0.2.1","0xabcd0123","AES-GCM with 16 octet ICV [RFC4106]","0x04","NULL",""
"IPv4","*","192.0.2.1","0x00000001","NULL","","HMAC-MD5-96 [RFC2403]","0x05"
"IPv6","2001:db8::1","2001:db8::2","0x00000002","AES-CBC [RFC3602]","0x06","HMAC-SHA-256-128 [RFC4868]","0x07"
`
	if got := read(t, filepath.Join(dir, "esp_sa")); got != espRows {
		t.Errorf("esp_sa\n%s\nwant\n%s", got, espRows)
	}
	err := l.ESP(a, b, 1, isakmp.ESPDES, isakmp.HMACSHA, []byte{0xee, 0xee}, []byte{0xff, 0xff})
	if err == nil || strings.Contains(err.Error(), "eeee") || strings.Contains(err.Error(), "ffff") {
		t.Errorf("an ESP transform without a name: %v", err)
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, "esp_sa": 0o600, "ikev1_decryption_table": 0o600, "preferences": 0o600} {
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, %v, want %v", path, info.Mode(), err, want)
		}
	}
}

// TestSharedDirectory has several logs write to one directory at once: every row must be whole.
func TestSharedDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const writers, rows = 8, 200
	var group sync.WaitGroup
	for w := range writers {
		l := open(t, dir)
		group.Go(func() {
			for i := range rows {
				if err := l.IKEv1([8]byte{byte(w), byte(i)}, make([]byte, 24)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	seen := map[string]bool{}
	lines := bufio.NewScanner(strings.NewReader(read(t, filepath.Join(dir, "ikev1_decryption_table"))))
	for lines.Scan() {
		seen[lines.Text()] = true
		if !strings.HasSuffix(lines.Text(), "000000000000,"+strings.Repeat("00", 24)) || len(lines.Text()) != 16+1+48 {
			t.Fatalf("row %q", lines.Text())
		}
	}
	if len(seen) != writers*rows {
		t.Errorf("%d different rows, want %d", len(seen), writers*rows)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 3 {
		t.Errorf("files %v, %v, want three", entries, err)
	}
}

// TestPreferencesKept opens a directory whose preferences somebody has edited.
func TestPreferencesKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "preferences")
	if err := os.WriteFile(path, []byte("gui.zoom: 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if got := read(t, path); got != "gui.zoom: 2\n" {
		t.Errorf("preferences %q were changed", got)
	}
}

// TestRefused checks that keys are not written where others could put a link, nor to a file for a directory.
func TestRefused(t *testing.T) {
	t.Parallel()
	writable := filepath.Join(t.TempDir(), "writable")
	if err := os.Mkdir(writable, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(writable, 0o777); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{writable, file} {
		if l, err := keylog.Open(dir); err == nil {
			t.Error(fmt.Errorf("%s was taken: %w", dir, l.Close()))
		}
	}
}

package keylog

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"meshrouter/ike/isakmp"
)

// preferences are what tshark has to be told. UDP port 4500 and GRE need nothing.
const preferences = `# Written by meshrouter: decrypt with the keys in esp_sa and ikev1_decryption_table beside this file.
esp.enable_encryption_decode: TRUE
esp.enable_authentication_check: TRUE
`

// encryptionNames are Wireshark's names of the ESP transforms.
var encryptionNames = map[isakmp.ESPTransform]string{
	isakmp.ESPNull:     "NULL",
	isakmp.ESP3DES:     "TripleDES-CBC [RFC2451]",
	isakmp.ESPAES:      "AES-CBC [RFC3602]",
	isakmp.ESPAESGCM16: "AES-GCM with 16 octet ICV [RFC4106]",
}

// integrityNames are Wireshark's names of the integrity algorithms.
var integrityNames = map[isakmp.AuthAlgorithm]string{
	isakmp.NoAuth:       "NULL",
	isakmp.HMACMD5:      "HMAC-MD5-96 [RFC2403]",
	isakmp.HMACSHA:      "HMAC-SHA-1-96 [RFC2404]",
	isakmp.HMACSHA2_256: "HMAC-SHA-256-128 [RFC4868]",
	isakmp.HMACSHA2_384: "HMAC-SHA-384-192 [RFC4868]",
	isakmp.HMACSHA2_512: "HMAC-SHA-512-256 [RFC4868]",
}

// A Log is a directory of keys. Its methods may be called from any goroutine.
type Log struct {
	ike, esp *os.File
}

// Open makes the directory and its files where they are missing.
func Open(dir string) (*Log, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return nil, fmt.Errorf("key log %s: mode %04o lets others write to it, want 0700", dir, mode)
	}
	if err := writePreferences(filepath.Join(dir, "preferences")); err != nil {
		return nil, err
	}
	ike, err := openTable(filepath.Join(dir, "ikev1_decryption_table"))
	if err != nil {
		return nil, err
	}
	esp, err := openTable(filepath.Join(dir, "esp_sa"))
	if err != nil {
		return nil, errors.Join(err, ike.Close())
	}
	return &Log{ike, esp}, nil
}

// writePreferences makes the file complete or not at all; one that exists may have been edited and is kept.
func writePreferences(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), "preferences-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = temporary.WriteString(preferences)
	if err = errors.Join(err, temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return nil
}

// openTable opens a table for appending, readable by nobody else.
func openTable(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600) //nolint:gosec // a file of the operator's directory
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(0o600); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// IKEv1 adds the phase 1 encryption key of the ISAKMP SA with that initiator cookie.
func (l *Log) IKEv1(initiatorCookie [8]byte, key []byte) error {
	return appendRow(l.ike, "%x,%x\n", initiatorCookie, key)
}

// ESP adds one direction of an ESP SA. Outer addresses stand as in the captured packets; the zero address
// fits any. encKey includes the salt of AES-GCM.
func (l *Log) ESP(src, dst netip.Addr, spi uint32, transform isakmp.ESPTransform, auth isakmp.AuthAlgorithm, encKey, authKey []byte) error {
	encryption, ok := encryptionNames[transform]
	integrity, known := integrityNames[auth]
	if !ok || !known {
		return fmt.Errorf("key log: no Wireshark name for ESP %s with %s", transform, auth)
	}
	family := "IPv4"
	if src.Unmap().Is6() || dst.Unmap().Is6() {
		family = "IPv6"
	}
	return appendRow(l.esp, "%q,%q,%q,\"0x%08x\",%q,%q,%q,%q\n",
		family, address(src), address(dst), spi, encryption, hexKey(encKey), integrity, hexKey(authKey))
}

// address is how the table writes an address.
func address(a netip.Addr) string {
	if !a.IsValid() {
		return "*"
	}
	return a.Unmap().String()
}

// hexKey is how the table writes a key; no key is an empty field.
func hexKey(key []byte) string {
	if len(key) == 0 {
		return ""
	}
	return fmt.Sprintf("0x%x", key)
}

// appendRow writes the row by one call, so that rows of several processes do not mix.
func appendRow(f *os.File, format string, args ...any) error {
	_, err := f.Write(fmt.Appendf(nil, format, args...))
	return err
}

// Close closes the files.
func (l *Log) Close() error { return errors.Join(l.ike.Close(), l.esp.Close()) }

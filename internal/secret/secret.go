// Package secret holds key material that must not be printed.
//
// A Key formats, logs and marshals as a short fingerprint, so that a pre-shared key cannot reach
// a log line, an error or a `show` by accident. Code that needs the bytes says so by converting.
package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
)

// A Key is secret key material of any length.
type Key []byte

// String is the fingerprint: the first four bytes of the key's SHA-256 in hex, or "none".
func (k Key) String() string {
	if len(k) == 0 {
		return "none"
	}
	sum := sha256.Sum256(k)
	return "key:" + hex.EncodeToString(sum[:4])
}

// Format keeps every verb of package fmt from printing the bytes, %d and %#v too.
func (k Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, k.String()) }

// LogValue keeps slog from printing the bytes.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText keeps encoders (JSON, YAML) from writing the bytes.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Equal compares in time that depends on the lengths only.
func (k Key) Equal(o Key) bool { return subtle.ConstantTimeCompare(k, o) == 1 }

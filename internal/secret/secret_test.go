package secret

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// The bytes of a key must not come out by any of the ways in which values are usually printed.
func TestKeyIsNotPrinted(t *testing.T) {
	t.Parallel()
	key := Key("correct horse battery staple")
	holder := struct {
		Name string
		PSK  Key
		More []Key
	}{"london-tokyo", key, []Key{key}}
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	logger.Info("one", slog.Any("psk", key))
	logger.Info("two", slog.Any("holder", holder))
	slog.New(slog.NewJSONHandler(&log, nil)).Info("three", slog.Any("holder", holder))
	document, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	for _, printed := range []string{
		key.String(), fmt.Sprint(key), fmt.Sprintf("%s", key), fmt.Sprintf("%q", key), fmt.Sprintf("%v", holder), //nolint:gocritic // the verbs are the point
		fmt.Sprintf("%+v", holder), fmt.Sprintf("%#v", holder), fmt.Sprintf("%x", key), fmt.Sprintf("%X", key), fmt.Sprintf("%d", key),
		string(document), log.String(), fmt.Errorf("PSK %v", key).Error(),
	} {
		for _, form := range []string{"horse", hex.EncodeToString([]byte("horse")), strings.ToUpper(hex.EncodeToString([]byte("horse"))), "104 111 114 115 101"} {
			if strings.Contains(printed, form) {
				t.Errorf("the key is in %q", printed)
			}
		}
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	// SHA-256 of "abc" begins with ba7816bf (FIPS 180-2, B.1).
	if got := Key("abc").String(); got != "key:ba7816bf" {
		t.Errorf("fingerprint %q", got)
	}
	if got := Key(nil).String(); got != "none" {
		t.Errorf("fingerprint of no key %q", got)
	}
}

func TestEqual(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b Key
		want bool
	}{{Key("abc"), Key("abc"), true}, {Key("abc"), Key("abd"), false}, {Key("abc"), Key("ab"), false}, {nil, Key{}, true}} {
		if got := tt.a.Equal(tt.b); got != tt.want {
			t.Errorf("%q equal to %q: %t, want %t", []byte(tt.a), []byte(tt.b), got, tt.want)
		}
	}
}

package mesh

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"meshrouter/internal/secret"
)

// Secrets are keys by name: `psk` for every link, `london-tokyo` for one, and what `$name` in the
// mesh file refers to.
type Secrets struct {
	name    string // the file or directory, for messages
	entries []secretEntry
	byName  map[string]int
	shared  bool // holds secrets of others too: unused ones are no mistake
}

type secretEntry struct {
	name         string
	key          secret.Key
	file         string
	line, column int
}

// source is where the key stands: file:line:column, or the file alone.
func (e secretEntry) source() string {
	if e.line == 0 {
		return e.file
	}
	return fmt.Sprintf("%s:%d:%d", e.file, e.line, e.column)
}

// defaultPSK is the secret for links that have none of their own.
const defaultPSK = "psk"

// ParseSecrets reads a secrets file: a YAML mapping of names to keys. A key that begins with 0x is
// hexadecimal, as isakmpd has it; any other is its text.
func ParseSecrets(name string, src []byte) (*Secrets, error) {
	d := &document{name: name}
	s := &Secrets{name: name, byName: make(map[string]int)}
	root := d.parse(src)
	if root == nil && len(d.problems) == 0 {
		d.report(nil, "write psk: and a key into it, or name: and a key", "the secrets file is empty")
	}
	f := d.mapping(root, "the secrets file")
	for _, v := range f.values {
		if _, empty := v.Value.(*ast.NullNode); empty {
			d.report(v.Key, "write a key behind it", "%s is empty", clip(keyText(v)))
			continue
		}
		var key secret.Key
		if value(d, v.Value, "a secret", parseKey, &key) {
			s.add(keyText(v), key, d, v.Value)
		}
	}
	if len(d.problems) > 0 {
		d.problems.sort()
		return nil, d.problems
	}
	return s, nil
}

func (s *Secrets) add(name string, key secret.Key, d *document, n ast.Node) {
	line, column := position(n)
	s.byName[name] = len(s.entries)
	s.entries = append(s.entries, secretEntry{name, key, d.name, line, column})
}

func (s *Secrets) lookup(name string) (secretEntry, bool) {
	if s == nil {
		return secretEntry{}, false
	}
	i, ok := s.byName[name]
	if !ok {
		return secretEntry{}, false
	}
	return s.entries[i], true
}

// names lists what there is, for suggestions.
func (s *Secrets) names() []string {
	if s == nil {
		return nil
	}
	var names []string
	for _, e := range s.entries {
		names = append(names, e.name)
	}
	return names
}

// where is how messages call the place of the secrets.
func (s *Secrets) where() string {
	if s == nil {
		return "a secrets file (secrets: mesh.secrets.yaml)"
	}
	return s.name
}

// parseKey reads the text of a key. Its complaints never show the text.
func parseKey(text string) (secret.Key, error) {
	digits, isHex := strings.CutPrefix(text, "0x")
	switch {
	case text == "":
		return nil, complain("write one: openssl rand -base64 24 makes one", "the key is empty")
	case isHex && digits == "":
		return nil, complain("write hexadecimal digits behind 0x", "the key is empty")
	case !isHex:
		return secret.Key(text), nil
	}
	key, err := hex.DecodeString(digits)
	if err != nil {
		return nil, complain("write an even number of hexadecimal digits, or leave 0x out if it is text", "the key behind 0x is not hexadecimal")
	}
	return key, nil
}

// openSecrets reads the secrets file at path, which only its owner may be able to read. Its errors
// are complaints or Problems.
func openSecrets(path string, private bool) (*Secrets, error) {
	f, err := os.Open(path) //nolint:gosec // the operator's file
	if err != nil {
		fix := "make it, with mode 0600"
		if errors.Is(err, fs.ErrPermission) {
			fix = "run this as its owner, or as root"
		}
		return nil, complain(fix, "the secrets file %s cannot be read: %v", path, plain(err))
	}
	defer f.Close() //nolint:errcheck // read-only
	info, err := f.Stat()
	if err != nil {
		return nil, complain("make it readable", "the secrets file %s cannot be read: %v", path, plain(err))
	}
	if mode := info.Mode().Perm(); private && mode&0o077 != 0 {
		return nil, complain("chmod 600 "+path, "others can read the secrets in %s (mode %#o)", path, mode)
	}
	src, err := readAll(f)
	if err != nil {
		return nil, complain("make it a plain file", "the secrets file %s cannot be read: %v", path, plain(err))
	}
	return ParseSecrets(path, src)
}

// readAll reads a file up to a little more than parse accepts.
func readAll(f *os.File) ([]byte, error) { return io.ReadAll(io.LimitReader(f, maxFile+1)) }

// plain is the cause of a file error without the operation and the path.
func plain(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// SecretsDir reads a directory as systemd makes it for LoadCredential=: each file is one secret
// under the file's name, without a newline at its end.
func SecretsDir(dir string) (*Secrets, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, complain("write LoadCredential= lines into the unit", "the credentials cannot be read: %v", err)
	}
	s := &Secrets{name: dir, byName: make(map[string]int), shared: true}
	var problems Problems
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() { //nolint:gosec // below the directory that systemd made
			continue
		}
		src, err := os.ReadFile(path) //nolint:gosec // below the directory that systemd made
		if err == nil && len(src) > 4096 {
			err = complain("one key a credential; it may have 4096 bytes", "the credential is too large")
		}
		var key secret.Key
		if err == nil {
			key, err = parseKey(strings.TrimSuffix(string(src), "\n"))
		}
		if c, ok := errors.AsType[*complaint](err); ok {
			problems = append(problems, Problem{File: path, What: c.what, Fix: c.fix})
			continue
		}
		if err != nil {
			problems = append(problems, Problem{File: path, What: fmt.Sprint(plain(err)), Fix: "make it readable"})
			continue
		}
		s.add(e.Name(), key, &document{name: path}, nil)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return s, nil
}

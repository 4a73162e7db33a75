package lab

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"meshrouter/examples"
	"meshrouter/mesh"
)

// secretsName is the secrets file of a run, beside its mesh file.
const secretsName = "mesh.secrets.yaml" //nolint:gosec // a name, no secret

// readMesh returns the mesh file to run and the name to show.
func readMesh(o Options) (name string, src []byte, err error) {
	if o.Mesh == "" {
		return "triangle.yaml", examples.Triangle, nil
	}
	if src, err = os.ReadFile(o.Mesh); err != nil {
		return o.Mesh, nil, mesh.Problems{{File: o.Mesh, What: fmt.Sprintf("the mesh file cannot be read: %v", errors.Unwrap(err)), Fix: "name an existing file"}}
	}
	return o.Mesh, src, nil
}

// A config is a mesh file with secrets, as the routers of a run read it.
type config struct {
	src     []byte
	secrets map[string]string
}

// newConfig turns a mesh file into what the lab can run: secrets of its own and no NAT. Systems stay:
// each meshrouter treats its peers as what they stand in for. scratch is a directory that may be
// written to.
func newConfig(name string, src []byte, scratch string) (config, *mesh.Inventory, error) {
	candidates := make(map[string]string)
	for _, ref := range secretReference.FindAllSubmatch(src, -1) {
		candidates[string(ref[1])] = ""
	}
	candidates["psk"] = "" // for each link that names none
	inv, err := loadWith(name, src, candidates, 16, scratch)
	if err != nil { // perhaps only because a simple password has at most 8 bytes
		if short, e := loadWith(name, src, candidates, 8, scratch); e == nil {
			inv, err = short, nil
		}
	}
	if err != nil {
		return config{}, nil, err
	}
	c := config{src: src, secrets: usedSecrets(inv, candidates)}
	if err := c.edit(inv); err != nil {
		return config{}, nil, fmt.Errorf("%s: %w", name, err)
	}
	secrets, err := mesh.ParseSecrets(secretsName, c.secretsFile())
	if err != nil {
		return config{}, nil, err
	}
	inv, err = mesh.Load(name, c.src, secrets) // as the routers will see it
	return c, inv, err
}

// secretReference finds what may be a `$name` in a mesh file; comments may hold some too.
var secretReference = regexp.MustCompile(`\$([A-Za-z0-9][A-Za-z0-9._-]*)`)

// loadWith loads the mesh with fresh random values for the candidates.
func loadWith(name string, src []byte, candidates map[string]string, length int, scratch string) (*mesh.Inventory, error) {
	dir, err := os.MkdirTemp(scratch, "candidates")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // goes with the run
	for ref := range candidates {
		candidates[ref] = randomText(length)
		if err := os.WriteFile(filepath.Join(dir, ref), []byte(candidates[ref]), 0o600); err != nil {
			return nil, err
		}
	}
	// A directory of credentials may hold some that nothing uses.
	secrets, err := mesh.SecretsDir(dir)
	if err != nil {
		return nil, err
	}
	return mesh.Load(name, src, secrets)
}

// usedSecrets keeps the candidates that the mesh really refers to, and gives each link without a
// reference a key of its own.
func usedSecrets(inv *mesh.Inventory, candidates map[string]string) map[string]string {
	byValue := make(map[string]string)
	for ref, v := range candidates {
		byValue[v] = ref
	}
	used := make(map[string]string)
	note := func(key []byte) bool {
		ref, ok := byValue[string(key)]
		if ok && ref != "psk" {
			used[ref] = string(key)
		}
		return ok && ref != "psk"
	}
	for _, l := range inv.Links {
		if !note(l.EndA.PSK) {
			used[l.Name] = randomText(32)
		}
		for _, k := range slices.Concat(l.EndA.Auth.Keys, l.EndB.Auth.Keys) {
			note(k.Key)
		}
	}
	return used
}

// randomText is n printable characters, all but the first random with 6 bits each. The first is a
// letter: a key that begins with 0x would be hexadecimal.
func randomText(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return "k" + base64.RawURLEncoding.EncodeToString(b)[:n-1]
}

// edit makes the file one that fits the lab.
func (c *config) edit(inv *mesh.Inventory) error {
	for _, s := range inv.Sites {
		if s.Bind != s.Address {
			if err := c.set(s.Address.String(), "sites", s.Name, "bind"); err != nil {
				return err
			}
		}
	}
	return c.set(secretsName, "secrets")
}

// set puts a value at a path of keys, and adds the last key at the end when it is a top-level one
// that is missing.
func (c *config) set(value string, keys ...string) error {
	file, err := parser.ParseBytes(c.src, 0)
	if err != nil {
		return err
	}
	b := (&yaml.PathBuilder{}).Root()
	for _, k := range keys {
		b = b.Child(k)
	}
	path := b.Build()
	if _, err := path.FilterFile(file); err != nil {
		if len(keys) > 1 || !errors.Is(err, yaml.ErrNotFoundNode) {
			return fmt.Errorf("%s: %w", strings.Join(keys, "."), err)
		}
		c.src = append(bytes.TrimRight(c.src, "\n"), fmt.Sprintf("\n%s: %s\n", keys[0], value)...)
		return nil
	}
	if err := path.ReplaceWithReader(file, strings.NewReader(value)); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(keys, "."), err)
	}
	c.src = []byte(file.String())
	return nil
}

// keys lists the keys of the mapping at the top-level key.
func (c *config) keys(of string) []string {
	file, err := parser.ParseBytes(c.src, 0)
	if err != nil {
		return nil
	}
	node, err := (&yaml.PathBuilder{}).Root().Child(of).Build().FilterFile(file)
	if err != nil {
		return nil
	}
	var names []string
	if m, ok := node.(*ast.MappingNode); ok {
		for _, v := range m.Values {
			names = append(names, v.Key.String())
		}
	}
	return names
}

// write puts the mesh file and its secrets into the directory and returns the mesh file's path.
func (c *config) write(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, secretsName), c.secretsFile(), 0o600); err != nil {
		return "", err
	}
	path := filepath.Join(dir, "mesh.yaml")
	return path, os.WriteFile(path, c.src, 0o600)
}

func (c *config) secretsFile() []byte {
	var b []byte
	for _, name := range sortedKeys(c.secrets) {
		b = fmt.Appendf(b, "%s: %q\n", name, c.secrets[name])
	}
	return b
}

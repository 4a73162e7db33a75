package docscheck

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"meshrouter/internal/testvectors"
)

// A testTree knows the tests of the repository, whatever their build tags.
type testTree struct {
	functions map[string]bool // "dataplane/esp.TestTrailers"
	names     map[string]bool // "TestTrailers"
	parts     map[string]bool // "ospf 10.5-mask-ignored": what could name a subtest, files of testdata and texts in tests
}

func readTests(t *testing.T) testTree {
	t.Helper()
	root := testvectors.Root(t)
	tree := testTree{make(map[string]bool), make(map[string]bool), make(map[string]bool)}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			if path != root && strings.HasPrefix(e.Name(), ".") {
				return filepath.SkipDir
			}
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(filepath.Dir(rel))
		switch dir, below, inTestdata := strings.Cut(pkg, "/testdata"); {
		case inTestdata && (below == "" || below[0] == '/'):
			tree.parts[dir+" "+strings.TrimSuffix(e.Name(), filepath.Ext(e.Name()))] = true
		case strings.HasSuffix(e.Name(), "_test.go"):
			return tree.readFile(path, pkg)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func (tree testTree) readFile(path, pkg string) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		return err
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Recv == nil {
				tree.functions[pkg+"."+n.Name.Name], tree.names[n.Name.Name] = true, true
			}
		case *ast.BasicLit:
			if s, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
				tree.parts[pkg+" "+s] = true
			}
		}
		return true
	})
	return nil
}

// testName is how documents name a test: package.Test or package.Test/subtest.
var testName = regexp.MustCompile(`^([a-z0-9/]+)\.((?:Test|Fuzz|Benchmark|Example)\w*)(?:/(.+))?$`)

// isTest says whether a quoted word is meant to be a test.
func isTest(word string) bool { return testName.MatchString(word) }

// find says what is wrong with a test's name, or "".
func (tree testTree) find(word string) string {
	m := testName.FindStringSubmatch(word)
	pkg, function, sub := m[1], m[2], m[3]
	switch {
	case !tree.functions[pkg+"."+function]:
		return fmt.Sprintf("there is no test %s", word)
	case sub != "" && !tree.parts[pkg+" "+sub]:
		return fmt.Sprintf("nothing in %s looks like the subtest %q", pkg, sub)
	}
	return ""
}

// TestNamedTestsExist: each test that a document names is there.
func TestNamedTestsExist(t *testing.T) {
	t.Parallel()
	tree := readTests(t)
	bare := regexp.MustCompile(`^(Test|Fuzz|Benchmark)[A-Z]\w*$`)
	named := 0
	for _, d := range documents(t) {
		if !strings.HasPrefix(d.path, "docs") {
			continue
		}
		for _, word := range quoted(d.text) {
			switch {
			case isTest(word):
				named++
				if wrong := tree.find(word); wrong != "" {
					t.Errorf("%s: %s", d.path, wrong)
				}
			case bare.MatchString(word) && !tree.names[word]:
				t.Errorf("%s: there is no %s in any package", d.path, word)
			}
		}
	}
	if named < 20 {
		t.Errorf("%d tests named in all documents: are they still found?", named)
	}
}

// TestLinks: what a document links to is there, headings included.
func TestLinks(t *testing.T) {
	t.Parallel()
	root := testvectors.Root(t)
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, d := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(d.text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			path, anchor, _ := strings.Cut(m[1], "#")
			target := d.path
			if path != "" {
				target = filepath.Join(filepath.Dir(d.path), filepath.FromSlash(path))
			}
			if found, err := filepath.Glob(filepath.Join(root, target)); err != nil || len(found) == 0 {
				t.Errorf("%s: the link to %s leads nowhere", d.path, m[1])
				continue
			}
			if anchor != "" && !hasHeading(read(t, target), anchor) {
				t.Errorf("%s: %s has no such heading", d.path, m[1])
			}
		}
	}
}

// hasHeading looks for the heading that an anchor means: lower case, dashes for blanks.
func hasHeading(d document, anchor string) bool {
	for line := range strings.Lines(d.text) {
		if !strings.HasPrefix(line, "#") {
			continue
		}
		slug := strings.ToLower(strings.TrimSpace(strings.TrimLeft(line, "#")))
		slug = regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(slug, "")
		if strings.ReplaceAll(slug, " ", "-") == anchor {
			return true
		}
	}
	return false
}

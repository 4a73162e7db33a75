package docscheck

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meshrouter/internal/testvectors"
)

// A document is what the tests look at in a Markdown file.
type document struct {
	path   string // relative to the root of the repository
	fences []fence
	tables []table
	text   string // without fenced blocks
}

// A fence is a fenced block, its indentation taken away.
type fence struct {
	language string
	text     string
	line     int // of its first line
}

// A table has its cells without the blanks around them.
type table struct {
	section string // the heading above it
	header  []string
	rows    [][]string
	line    int // of the header
}

// documents reads the Markdown files of the repository that users read.
func documents(t *testing.T) []document {
	t.Helper()
	root := testvectors.Root(t)
	var paths []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, found...)
	}
	var ds []document
	for _, path := range paths {
		rel, err := filepath.Rel(root, path)
		if err != nil {
			t.Fatal(err)
		}
		ds = append(ds, read(t, rel))
	}
	return ds
}

// read takes a document apart.
func read(t *testing.T, path string) document {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(testvectors.Root(t), path))
	if err != nil {
		t.Fatal(err)
	}
	d := document{path: path}
	var section string
	var open *fence
	var indent int
	lines := strings.Split(string(b), "\n")
	for i, line := range lines {
		text := strings.TrimSpace(line)
		switch {
		case open != nil && text == "```":
			d.fences = append(d.fences, *open)
			open = nil
		case open != nil:
			open.text += strings.TrimPrefix(line, strings.Repeat(" ", indent)) + "\n"
		case strings.HasPrefix(text, "```"):
			open = &fence{language: strings.TrimPrefix(text, "```"), line: i + 2}
			indent = strings.Index(line, "`")
		case strings.HasPrefix(line, "#"):
			section = strings.TrimSpace(strings.TrimLeft(line, "#"))
			d.text += line + "\n"
		case strings.HasPrefix(line, "|") && i+1 < len(lines) && strings.HasPrefix(lines[i+1], "| ---"):
			d.tables = append(d.tables, readTable(section, lines[i:], i+1))
			d.text += line + "\n"
		default:
			d.text += line + "\n"
		}
	}
	if open != nil {
		t.Fatalf("%s:%d: the block does not end", path, open.line)
	}
	return d
}

func readTable(section string, lines []string, line int) table {
	tab := table{section: section, header: cells(lines[0]), line: line}
	for _, l := range lines[2:] {
		if !strings.HasPrefix(l, "|") {
			break
		}
		tab.rows = append(tab.rows, cells(l))
	}
	return tab
}

func cells(line string) []string {
	parts := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// quoted lists what stands between backticks.
func quoted(s string) []string {
	var words []string
	for i, part := range strings.Split(s, "`") {
		if i%2 == 1 {
			words = append(words, part)
		}
	}
	return words
}

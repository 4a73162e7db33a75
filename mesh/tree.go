package mesh

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Limits of what the YAML parser is given: it is recursive, and its time grows with the square of a
// mapping's size. A full mesh of 100 sites written as a list has 5,000 lines and 180 kB.
const (
	maxFile  = 1 << 20  // bytes
	maxLines = 50_000   // about ten seconds if all are keys of one mapping
	maxLine  = 64 << 10 // bytes: a sequence can nest once in two bytes of a line
	maxDepth = 64       // of [ and {
)

// A document is one YAML file with the problems found in it.
type document struct {
	name     string
	problems Problems
}

// report notes a problem at n; without a node it concerns the file.
func (d *document) report(n ast.Node, fix, format string, args ...any) {
	line, column := position(n)
	d.problems = append(d.problems, Problem{d.name, line, column, fmt.Sprintf(format, args...), fix})
}

// refuse notes what a parser of values complained about.
func (d *document) refuse(n ast.Node, err error) {
	if c, ok := errors.AsType[*complaint](err); ok {
		d.report(n, c.fix, "%s", c.what)
		return
	}
	d.report(n, "correct it", "%v", err)
}

// at is the place of n as "file:line:column".
func (d *document) at(n ast.Node) string {
	line, column := position(n)
	return place(d.name, line, column)
}

// position is where n begins. A block mapping begins with its first key.
func position(n ast.Node) (line, column int) {
	switch v := n.(type) {
	case nil:
		return 0, 0
	case *ast.MappingNode:
		if !v.IsFlowStyle && len(v.Values) > 0 {
			n = v.Values[0].Key
		}
	case *ast.MappingValueNode:
		n = v.Key
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line, t.Position.Column
	}
	return 0, 0
}

// parse reads src into a tree. It returns nil after reporting why it cannot.
func (d *document) parse(src []byte) ast.Node {
	if err := parsable(src); err != nil {
		d.refuse(nil, err)
		return nil
	}
	file, err := parseYAML(src)
	if err != nil {
		p := Problem{File: d.name, What: "this is not YAML: " + err.Error(), Fix: "correct it"}
		if e, ok := errors.AsType[yaml.Error](err); ok {
			p.What = "this is not YAML: " + e.GetMessage()
			p.Fix = "correct the indentation, bracket or quote here or in the line above"
			if t := e.GetToken(); t != nil && t.Position != nil {
				p.Line, p.Column = t.Position.Line, t.Position.Column
			}
		}
		d.problems = append(d.problems, p)
		return nil
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if body != nil {
			d.report(doc.Body, "put it into a file of its own", "a second YAML document begins here")
			return nil
		}
		body = doc.Body
	}
	return body
}

// parseYAML turns a panic of the parser into an error: a file must never end the process.
func parseYAML(src []byte) (file *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			file, err = nil, fmt.Errorf("the YAML parser failed: %v", r)
		}
	}()
	return parser.ParseBytes(src, 0, parser.AllowDuplicateMapKey())
}

// parsable bounds what the recursive parser sees.
func parsable(src []byte) error {
	if len(src) > maxFile {
		return complain("split the mesh", "the file has more than %d MiB", maxFile>>20)
	}
	depth, line, column := 0, 1, 0
	for _, c := range src {
		column++
		switch c {
		case 0:
			return complain("write plain text in UTF-8", "line %d holds a zero byte", line)
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(depth-1, 0)
		case '\n':
			line++
			column = 0
		}
		if line > maxLines {
			return complain("split the mesh", "the file has more than %d lines", maxLines)
		}
		if depth > maxDepth || column > maxLine {
			return complain("write it flatter", "line %d is too long or nests too deep", line)
		}
	}
	return nil
}

// fields is a mapping that is asked for its keys one by one; done reports those nobody asked for.
type fields struct {
	doc    *document
	what   string // "a site", for messages
	node   ast.Node
	values []*ast.MappingValueNode
	taken  []bool
	known  []string
}

// mapping reads n as a mapping. It returns an empty one after a complaint, so that callers need not
// care.
func (d *document) mapping(n ast.Node, what string) *fields {
	f := &fields{doc: d, what: what, node: n}
	switch m := n.(type) {
	case nil, *ast.NullNode: // nothing set
	case *ast.MappingNode:
		f.values = m.Values
	case *ast.MappingValueNode:
		f.values = []*ast.MappingValueNode{m}
	default:
		d.report(n, "write `key: value` pairs", "%s has to be a mapping, this is %s", what, kind(n))
	}
	seen := make(map[string]*ast.MappingValueNode, len(f.values))
	kept := f.values[:0:0]
	for _, v := range f.values {
		key, ok := d.key(v)
		if !ok {
			continue
		}
		if first, twice := seen[key]; twice {
			line, _ := position(first)
			d.report(v.Key, "remove one of them", "%s has %s twice, first in line %d", what, key, line)
			continue
		}
		seen[key] = v
		kept = append(kept, v)
	}
	f.values, f.taken = kept, make([]bool, len(kept))
	return f
}

// key is the text of a plain key.
func (d *document) key(v *ast.MappingValueNode) (string, bool) {
	switch v.Key.(type) {
	case *ast.StringNode, *ast.IntegerNode, *ast.BoolNode, *ast.NullNode, *ast.FloatNode:
		return keyText(v), true
	case *ast.MergeKeyNode:
		d.report(v.Key, "write the values out", "merge keys are not supported")
	default:
		d.report(v.Key, "write a plain word", "a key has to be a word")
	}
	return "", false
}

// take returns the value of key, nil if it is not there or has nothing behind it.
func (f *fields) take(key string) ast.Node {
	f.known = append(f.known, key)
	for i, v := range f.values {
		if keyText(v) == key {
			f.taken[i] = true
			if _, empty := v.Value.(*ast.NullNode); empty {
				f.doc.report(v.Key, "write a value behind it, or remove it", "%s has no value", key)
				return nil
			}
			return v.Value
		}
	}
	return nil
}

func keyText(v *ast.MappingValueNode) string {
	if s, ok := v.Key.(*ast.StringNode); ok {
		return s.Value
	}
	return v.Key.GetToken().Value
}

// done reports the keys that were not taken.
func (f *fields) done() {
	for i, v := range f.values {
		if !f.taken[i] {
			key := keyText(v)
			f.doc.report(v.Key, oneOf(key, f.known), "%s has no setting %q", f.what, clip(key))
		}
	}
}

// text is the scalar n as it was written, without quotes.
func (d *document) text(n ast.Node, what string) (string, bool) {
	switch v := n.(type) {
	case nil:
		return "", false
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return strings.TrimRight(v.Value.Value, "\n"), true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return v.GetToken().Value, true
	}
	d.report(n, "write a single value", "%s has to be one value, this is %s", what, kind(n))
	return "", false
}

// list is n as a sequence of nodes; a single value is a list of one.
func (d *document) list(n ast.Node) []ast.Node {
	switch v := n.(type) {
	case nil:
		return nil
	case *ast.SequenceNode:
		return v.Values
	}
	return []ast.Node{n}
}

// kind names what a node is.
func kind(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.AnchorNode, *ast.AliasNode:
		return "an anchor or alias (write the values out)"
	case *ast.TagNode:
		return "a tag (leave it out)"
	case nil, *ast.NullNode:
		return "empty"
	}
	return "a single value"
}

// value reads the scalar n with parse into dst and reports whether it was there and good.
func value[T any](d *document, n ast.Node, what string, parse func(string) (T, error), dst *T) bool {
	s, ok := d.text(n, what)
	if !ok {
		return false
	}
	v, err := parse(s)
	if err != nil {
		d.refuse(n, err)
		return false
	}
	*dst = v
	return true
}

// read is value for a key of a mapping.
func read[T any](f *fields, key string, parse func(string) (T, error), dst *T) bool {
	return value(f.doc, f.take(key), key, parse, dst)
}

// clip keeps a quoted piece of a file short in messages.
func clip(s string) string {
	const most = 60
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

package mesh

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Problem is one thing that is wrong in a file, and what to write instead.
type Problem struct {
	File         string
	Line, Column int    // from 1; 0 when the file itself is the problem
	What         string // what is wrong
	Fix          string // what to write instead
}

// Error is "file:line:column: what is wrong: what to write instead".
func (p Problem) Error() string {
	return fmt.Sprintf("%s: %s: %s", place(p.File, p.Line, p.Column), p.What, p.Fix)
}

func place(file string, line, column int) string {
	if line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d:%d", file, line, column)
}

// Problems are all that is wrong with a mesh file and its secrets, in the order of the files.
type Problems []Problem

// Error lists the problems, one a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives each problem as an error.
func (ps Problems) Unwrap() []error {
	errs := make([]error, len(ps))
	for i, p := range ps {
		errs[i] = p
	}
	return errs
}

func (ps Problems) sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.What, b.What))
	})
}

// A complaint is a problem that does not know its place yet: what the parsers of values return.
type complaint struct{ what, fix string }

func (c *complaint) Error() string { return c.what + ": " + c.fix }

func complain(fix, format string, args ...any) error {
	return &complaint{fmt.Sprintf(format, args...), fix}
}

// oneOf is the fix "write a, b or c", with the nearest word first where one is near enough.
func oneOf(got string, words []string) string {
	if near, ok := nearest(got, words); ok {
		return fmt.Sprintf("did you mean %s?", near)
	}
	if len(words) < 2 {
		return "write " + strings.Join(words, "")
	}
	return "write " + strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// nearest is the word with the smallest edit distance to got, if that is at most a third of its
// length and 3; the first of equals.
func nearest(got string, words []string) (string, bool) {
	if len(got) > 64 {
		return "", false
	}
	best, at := 4, ""
	for _, w := range words {
		if d := distance(strings.ToLower(got), w); d < best && 3*d <= max(len(w), 3) {
			best, at = d, w
		}
	}
	return at, best < 4
}

// distance counts the insertions, deletions, replacements and swaps of neighbors that lead from a
// to b.
func distance(a, b string) int {
	row := func() []int { return make([]int, len(b)+1) }
	before, last, cur := row(), row(), row()
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			cur[j] = min(last[j]+1, cur[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, last, cur = last, cur, before
	}
	return last[len(b)]
}

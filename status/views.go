package status

import (
	"fmt"
	"io"
	"strings"
)

// A Document is what one view answers with.
type Document interface {
	// Table prints the document for people. Errors of w are not reported: give it a buffer.
	Table(w io.Writer)
}

// printf writes to w. An error is the business of w's owner, who knows what w is.
func printf(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format, args...)
}

// Views lists the names of the views, as the control socket has them.
func Views() []string {
	return []string{
		"counters", "database", "fib", "flows", "ike", "interfaces", "neighbors", "rib", "sad", "summary", "tunnels",
	}
}

// New returns a pointer to an empty document of a view, to decode into; nil for an unknown view.
func New(view string) Document {
	switch view {
	case "counters":
		return new(CountersDoc)
	case "database":
		return new(DatabaseDoc)
	case "fib":
		return new(FIBDoc)
	case "flows":
		return new(FlowsDoc)
	case "ike":
		return new(IKEDoc)
	case "interfaces":
		return new(InterfacesDoc)
	case "neighbors":
		return new(NeighborsDoc)
	case "rib":
		return new(RIBDoc)
	case "sad":
		return new(SADDoc)
	case "summary":
		return new(SummaryDoc)
	case "tunnels":
		return new(TunnelsDoc)
	}
	return nil
}

// Resolve finds the views that a word can mean: the one with that name, else all that begin with it,
// as ospfctl takes "neigh" for neighbor.
func Resolve(word string) []string {
	var found []string
	for _, v := range Views() {
		if v == word {
			return []string{v}
		}
		if word != "" && strings.HasPrefix(v, word) {
			found = append(found, v)
		}
	}
	return found
}

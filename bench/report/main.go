// Command report writes docs/performance.md and its plots from the newest results of bench/results. go
// generate runs it in bench.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"meshrouter/bench"
)

func main() {
	if err := write(filepath.Join("..", "docs")); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func write(docs string) error {
	results, err := bench.ReadResults(os.DirFS("results"))
	if err != nil {
		return err
	}
	for name, text := range results.Files() {
		path := filepath.Join(docs, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // documents
			return err
		}
		if err := os.WriteFile(path, text, 0o644); err != nil { //nolint:gosec // documents
			return err
		}
	}
	return nil
}

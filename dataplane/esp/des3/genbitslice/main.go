// Command genbitslice writes the parts of package des3 that follow from the tables of FIPS 46-3:
//
//	search.go ─► sboxes.txt ─► circuit.go ─► order.go ─┬► avx2.go ────► avx2_amd64.s       256 lanes
//	smaller      circuits      parse, check,  registers └► portable.go ► portable_round.go   64 lanes
//	circuits                   complement                 scalar.go ──► scalar_round.go      one block
//
// It runs in the directory of des3 ("go generate"), and writes the same each time. With "-search 30m" it first looks
// for smaller circuits for so long; how is in search.go.
package main

import (
	"bytes"
	_ "embed"
	"flag"
	"fmt"
	"go/format"
	"log"
	"os"
)

//go:embed sboxes.txt
var sboxes []byte

func main() {
	log.SetFlags(0)
	limit := flag.Duration("search", 0, "look for smaller circuits for so long, starting from those in sboxes.txt")
	seed := flag.Uint64("seed", 1, "of the search")
	flag.Parse()
	all, err := parse(sboxes)
	if err != nil {
		log.Fatal("sboxes.txt: ", err)
	}
	if *limit > 0 {
		search(all, "genbitslice/sboxes.txt", *limit, *seed)
	}
	output("avx2_amd64.s", func(w *bytes.Buffer) { avx2(w, all) })
	output("portable_round.go", func(w *bytes.Buffer) { portable(w, all) })
	output("scalar_round.go", scalar)
}

// output writes a file, which is Go where its name says so.
func output(name string, write func(*bytes.Buffer)) {
	var b bytes.Buffer
	write(&b)
	text := b.Bytes()
	if len(name) > 3 && name[len(name)-3:] == ".go" {
		var err error
		if text, err = format.Source(text); err != nil {
			log.Fatal(name, ": ", err)
		}
	}
	if err := os.WriteFile(name, text, 0o644); err != nil { //nolint:gosec // G306: a source file
		log.Fatal(err)
	}
	fmt.Println(name)
}

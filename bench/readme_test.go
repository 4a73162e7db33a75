package bench

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the figures of results/first.json into README.md")

// The README shows the figures of results/first.json, of a full run, and no others.
func TestReadme(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("results/first.json")
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var d Document
	if err := decoder.Decode(&d); err != nil {
		t.Fatalf("results/first.json does not fit the document: %v", err)
	}
	if d.Quick || d.Traffic == nil || d.DES3 == nil || d.SPF == nil || d.IKE == nil || d.Crypto == nil {
		t.Error("results/first.json is no full run of all parts")
	}
	if n := d.Spread["des3.encrypt_vs_crypto_des"].N; n < fullRounds {
		t.Errorf("results/first.json has %d rounds, want %d", n, fullRounds)
	}
	var table bytes.Buffer
	d.Table(&table)

	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(readme), " -update writes them -->\n")
	_, after, found := strings.Cut(rest, "<!-- end -->")
	if !found {
		t.Fatal("README.md has lost its marks")
	}
	want := before + " -update writes them -->\n\n```\n" + table.String() + "```\n\n<!-- end -->" + after
	if *update {
		if err := os.WriteFile("README.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(readme) != want {
		t.Error("README.md shows other figures than results/first.json: go test ./bench -update")
	}
}

package bench

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// The page and its plots show the figures of bench/results, and no others.
func TestPageIsCurrent(t *testing.T) {
	t.Parallel()
	r, err := ReadResults(os.DirFS("results"))
	if err != nil {
		t.Fatal(err)
	}
	files := r.Files()
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("..", "docs", name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("docs/%s shows other figures than bench/results: go generate ./bench (%v)", name, err)
		}
	}
	plots, err := filepath.Glob(filepath.Join("..", "docs", PlotDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range plots {
		if files[PlotDir+"/"+filepath.Base(p)] == nil {
			t.Errorf("%s belongs to no figure", p)
		}
	}
}

// encoded is a document as a file of results.
func encoded(t *testing.T, change func(*Document)) *fstest.MapFile {
	t.Helper()
	d := filled()
	d.Quick = false
	change(d)
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return &fstest.MapFile{Data: text}
}

// Each part comes from the newest full run that has it.
func TestNewestOfEachPart(t *testing.T) {
	t.Parallel()
	day := func(n int) time.Time { return time.Date(2026, time.January, n, 0, 0, 0, 0, time.UTC) }
	r, err := ReadResults(fstest.MapFS{
		"a.json": encoded(t, func(d *Document) { d.Date, d.Version = day(1), "all" }),
		"b.json": encoded(t, func(d *Document) {
			d.Date, d.Version, d.Traffic, d.Crypto = day(2), "newer", nil, nil
			d.Spread = map[string]Sample{"tcp_vs_wireguard_go": {1, 1, 1, 15}}
		}),
		"c.json": encoded(t, func(d *Document) { d.Date, d.Version, d.Quick = day(3), "quick", true }),
	})
	if err != nil {
		t.Fatal(err)
	}
	for part, want := range map[string]string{Crypto: "all", Tunnel: "all", SPF: "newer", Profiling: "newer"} {
		if got := r.parts[part].Version; got != want {
			t.Errorf("%s is of the run %q, want %q", part, got, want)
		}
	}
	if r.spread["tcp_vs_wireguard_go"].Median != 1 || r.spread["des3.encrypt_vs_crypto_des"].Median != 1.5 {
		t.Errorf("spread is %v, want the newest of each", r.spread)
	}
	page := string(r.Files()[PageName])
	for _, want := range []string{"| 25 | 45 | 1.50 | 1.10..1.90 | **falls short** |", "What falls short, and what was tried:", "- *3DES-CBC encryption alone, 1408 B × 64 packets, one core, against crypto/des*: ", "not measured", "Without strongswan: there is no charon.", "flame-sender.svg"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for name, text := range r.Files() {
		if !strings.HasSuffix(name, ".svg") {
			continue
		}
		decoder := xml.NewDecoder(bytes.NewReader(text))
		for {
			if _, err := decoder.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Errorf("%s: %v", name, err)
				break
			}
		}
		if bytes.Contains(text, []byte("NaN")) || bytes.Contains(text, []byte("Inf")) {
			t.Errorf("%s has a place that is no number", name)
		}
	}
	if _, err := ReadResults(fstest.MapFS{"c.json": encoded(t, func(d *Document) { d.Quick = true })}); err == nil {
		t.Error("a quick run is taken for a full one")
	}
	if _, err := ReadResults(fstest.MapFS{"x.json": &fstest.MapFile{Data: []byte(`{"encrypt":1}`)}}); err == nil {
		t.Error("a file that is no document is not refused")
	}
}

func TestHeldVerdicts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		held
		values  []float64
		verdict string
	}{
		{held{least: []float64{2}}, []float64{2.5}, "holds"},
		{held{least: []float64{2}}, []float64{2}, "holds"},
		{held{least: []float64{2}}, []float64{1.9}, "**falls short**"},
		{held{least: []float64{2, 6}}, []float64{2.5, 5}, "**falls short**"},
		{held{least: []float64{1}, lower: true}, []float64{0.8, 0.9}, "holds"},
		{held{least: []float64{1}, lower: true}, []float64{0.8, 1.1}, "**falls short**"},
		{held{least: []float64{2}}, nil, "unknown"},
	} {
		spread := make(map[string]Sample)
		c.names = []string{"a", "b"}[:max(1, len(c.values))]
		for i, v := range c.values {
			spread[c.names[i]] = newSample([]float64{v})
		}
		line := c.line(spread)
		if got := line[len(line)-1]; got != c.verdict {
			t.Errorf("%v with %v: %q, want %q", c.least, c.values, got, c.verdict)
		}
	}
}

package bench

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"

	"slices"
	"strings"
)

// PageName is the page of figures, and plots lie in PlotDir; both below docs.
const (
	PageName = "performance.md"
	PlotDir  = "performance"
)

// ReadResults reads all documents of a directory and puts the newest of each part together: parts can be
// measured again alone. Quick runs are left out.
func ReadResults(dir fs.FS) (*Results, error) {
	names, err := fs.Glob(dir, "*.json")
	if err != nil {
		return nil, err
	}
	var all []*Document
	for _, name := range names {
		text, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, err
		}
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		d := &Document{}
		if err := decoder.Decode(d); err != nil {
			return nil, fmt.Errorf("%s does not fit the document: %w", name, err)
		}
		if !d.Quick {
			all = append(all, d)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("there is no result of a full run")
	}
	slices.SortFunc(all, func(a, b *Document) int { return b.Date.Compare(a.Date) })
	r := &Results{parts: make(map[string]*Document), spread: make(map[string]Sample)}
	for _, part := range Parts() {
		for _, d := range all {
			if d.has(part) {
				r.parts[part] = d
				break
			}
		}
	}
	for _, d := range slices.Backward(all) { // the newest last
		maps.Copy(r.spread, d.Spread)
	}
	return r, nil
}

// Results are the newest documents, by part.
type Results struct {
	parts  map[string]*Document
	spread map[string]Sample
}

func (d *Document) has(part string) bool {
	switch part {
	case Crypto:
		return d.Crypto != nil
	case SPF:
		return d.SPF != nil
	case IKE:
		return d.IKE != nil
	case ScaleTo:
		return d.Scale != nil
	case Tunnel:
		return d.Traffic != nil
	case Profiling:
		return d.Profile != nil
	}
	return false
}

// Files are the page and its plots, by name below docs.
func (r *Results) Files() map[string][]byte {
	files := make(map[string][]byte)
	plot := func(name string, svg []byte) string {
		files[PlotDir+"/"+name+".svg"] = svg
		return fmt.Sprintf("\n![%s](%s/%s.svg)\n", name, PlotDir, name)
	}
	var page bytes.Buffer
	page.WriteString(pageHead)
	r.table(&page, []string{"work", "at least", "aim", "measured", "p10..p90", ""}, r.held())
	page.WriteString(shortfalls(r.held()))
	page.WriteString(plot("held", plotBars("Ratios against what one would use instead; green: the bound; red: short of it; of costs and latency less is better", r.bars())))
	for _, part := range Parts() {
		text := partTable[part]
		fmt.Fprintf(&page, "\n## %s\n\n%s", text.title, text.how)
		d := r.parts[part]
		if d == nil {
			page.WriteString("\nNot measured yet.\n")
			continue
		}
		fmt.Fprintf(&page, "\n%s; %s.\n", d.Where(), d.How())
		for _, p := range d.Peers {
			if p.Part == part && p.Missing != "" {
				fmt.Fprintf(&page, "\nWithout %s: %s.\n", p.Name, p.Missing)
			}
		}
		for _, s := range d.Sheets() {
			if s.Part == part {
				fmt.Fprintf(&page, "\n%s:\n\n", s.Title)
				r.table(&page, s.Heads, s.Rows)
			}
		}
		switch part {
		case Crypto:
			page.WriteString(plot("curves", plotCurves("3DES-CBC encryption of n packets: cost of each, crypto/des being 1", d.Curves())))
		case Tunnel:
			var chosen [][]string
			for _, p := range d.Peers {
				if p.Part == Tunnel {
					chosen = append(chosen, []string{p.Name, p.Version, p.Implementation, p.Missing})
				}
			}
			page.WriteString("\nWho took part:\n\n")
			r.table(&page, []string{"name", "version", "chose", "missing because"}, chosen)
		case Profiling:
			for _, s := range d.Profile.Sides {
				page.WriteString(plot("flame-"+s.Side, plotFlame(fmt.Sprintf("Processor time of the %s's router", s.Side), s.Folded)))
			}
		}
	}
	page.WriteString(pageTail)
	files[PageName] = page.Bytes()
	return files
}

func (r *Results) held() (lines [][]string) {
	for _, h := range heldTable {
		lines = append(lines, h.line(r.spread))
	}
	return lines
}

// bars are the ratios of the table, as far as they were measured.
func (r *Results) bars() (bars []bar) {
	for _, h := range heldTable {
		for i, name := range h.names {
			if s, ok := r.spread[name]; ok && !strings.HasPrefix(name, "scale.") {
				bars = append(bars, bar{strings.ReplaceAll(name, "_", " "), s, bound(h.least, i), h.short(i, s)})
			}
		}
	}
	return bars
}

// table writes a table in Markdown.
func (r *Results) table(w *bytes.Buffer, heads []string, rows [][]string) {
	write := func(cells []string) {
		for i := range heads {
			cell := ""
			if i < len(cells) {
				cell = strings.ReplaceAll(cells[i], "|", "\\|")
			}
			fmt.Fprintf(w, "| %s ", cell)
		}
		w.WriteString("|\n")
	}
	write(heads)
	w.WriteString(strings.Repeat("| --- ", len(heads)) + "|\n")
	for _, row := range rows {
		write(row)
	}
}

const pageHead = `# Performance

<!-- go generate ./bench writes this page from bench/results; the words are in bench/page.go. -->

Every ratio here is of one run: each round measures everybody once, in an order shuffled afresh, and the ratio is formed within the
round. A figure is the median of at least 15 rounds, with p10 and p90; rounds in which the bare veth reached less than half of its
median count for nobody. Absolute figures belong to the machine and the hour. What lost stands here like what won.

    make bench                       # everything; half an hour and more (Debian, root), then this page
    make profile                     # where the time goes, with flame graphs
    meshrouter bench crypto          # one part: crypto, spf, ike, scale, tunnel, profile
    meshrouter bench --quick --json  # 50 seconds

## What it is held to

`

const pageTail = `
## How to read it

- **Two cores, everybody on both.** Routers, iperf3 and the kernel's soft interrupts share them, so a router that needs less leaves
  more to the others. With four cores or more each site is held to a half of them.
- **A veth is no wire.** It hands 64 KB segments over uncut, which no network card does; wireguard-go profits from the same, so
  ratios hold better than absolutes.
- **The ciphers differ.** wireguard-go has ChaCha20-Poly1305 and no other. The table of ciphers tells what that is worth.
- **UDP** is sent evenly by a generator of our own, one datagram a packet, no segmentation offload. A packet that takes more than
  25 ms counts as lost, since a deep queue would else hide an overload for as long as a trial lasts. The highest rate is bisected,
  a rate that fails is tried twice; what the generator could not offer in full does not count either.
- **Latency** is from just before the sender's system call to just after the receiver's, with the scheduler in it.
- **Suspect** is a win above 5 whose source nobody has looked for.
- **Processor time** of ciphers includes the garbage collector; each library runs on the same core in the same round, C libraries
  in a child that is asked through a pipe. Before a round counts, all give the same bytes.
`

// partTable introduce the parts.
var partTable = map[string]struct{ title, how string }{
	Crypto:    {"Ciphers", "`meshrouter bench crypto`. Steps and whole ESP packets, on one core, beside Go's libraries, OpenSSL through EVP and Intel's\nmulti-buffer library in its variants (in `sse` DES is scalar code; Debian builds it with constant-time table look-ups, which is\nslow). C libraries need gcc, libssl-dev and libipsec-mb-dev. OpenSSL and Go take one packet after another; Intel's takes a batch,\nas ours does. Seals draw no IVs in C; ours and Go's do.\n"},
	SPF:       {"Route calculation", "`meshrouter bench spf`. Random areas of 4 links and one /32 a router; every route's cost is compared with a plain Bellman-Ford.\n"},
	IKE:       {"Handshakes", "`meshrouter bench ike`. Two engines in memory, Diffie-Hellman included, sockets not; both ends must hold the same keys.\n"},
	ScaleTo:   {"Many tunnels, many routes", "`meshrouter bench scale`. Two data planes on a wire of memory, AES-GCM, packets of 64 bytes in batches of 64, each to another\ntunnel or route, segmentation off. Memory is that of the data plane with both SAs of each tunnel; IKE and OSPF keep their own.\n"},
	Tunnel:    {"Tunnels", "`sudo meshrouter bench tunnel`. Two sites in network namespaces, a veth between them, iperf3 between their LANs. wireguard-go is the\none on PATH or is built from its Go module; strongSwan's ESP is kernel-libipsec's, and counts only with an accelerated plugin.\n"},
	Profiling: {"Where the time goes", "`sudo meshrouter bench profile`, or `make profile`. One TCP stream, AES-GCM in UDP; a packet is one ESP packet.\n"},
}

// shortfalls tells of each line of the table that falls short why it does.
func shortfalls(lines [][]string) string {
	var text strings.Builder
	for i, line := range lines {
		if line[len(line)-1] != verdictShort {
			continue
		}
		if text.Len() == 0 {
			text.WriteString("\nWhat falls short, and what was tried:\n\n")
		}
		fmt.Fprintf(&text, "- *%s*: %s\n", heldTable[i].work, cmp.Or(heldTable[i].why, "not looked into yet."))
	}
	return text.String()
}

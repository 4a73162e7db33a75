package bench

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A Sheet is one table of figures, for a terminal or a page.
type Sheet struct {
	Part  string
	Title string
	Heads []string
	Rows  [][]string
}

// Table prints the document for people. Errors of w are not reported.
func (d *Document) Table(w io.Writer) {
	var text bytes.Buffer
	_, _ = fmt.Fprintf(&text, "%s\n%s\n", d.Where(), d.How())
	for _, s := range d.Sheets() {
		_, _ = fmt.Fprintf(&text, "\n%s\n", s.Title)
		t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
		for _, row := range append([][]string{s.Heads}, s.Rows...) {
			_, _ = fmt.Fprintln(t, "  "+strings.Join(row, "\t"))
		}
		_ = t.Flush()
	}
	for line := range bytes.Lines(text.Bytes()) { // an empty cell leaves blanks at the end of its line
		_, _ = fmt.Fprintf(w, "%s\n", bytes.TrimRight(line, " \n"))
	}
}

// Where is the machine and the moment.
func (d *Document) Where() string {
	return fmt.Sprintf("%s, %d cores, %s %s, %s, meshrouter %s, %s", d.Model, d.Cores, d.System, d.Kernel, d.Go, d.Version, d.Date.Format(time.DateOnly))
}

// How is what the figures are, and what else had the machine.
func (d *Document) How() string {
	text := "medians with p10..p90 of their rounds; one core's figures by processor time"
	if d.Load != nil {
		text += fmt.Sprintf("; load %.1f at the beginning", *d.Load)
	}
	if d.Steal != nil {
		text += fmt.Sprintf("; %.1f %% stolen", *d.Steal)
	}
	if d.Traffic != nil {
		text += fmt.Sprintf("; %d rounds void", d.Void)
	}
	return text
}

// Sheets are all figures of the document, those of one kind in one table.
func (d *Document) Sheets() (all []Sheet) {
	add := func(part, title string, heads []string, rows [][]string) {
		if len(rows) > 0 {
			all = append(all, Sheet{part, title, heads, rows})
		}
	}
	var rows [][]string
	flush := func(part, title string, heads ...string) {
		add(part, title, heads, rows)
		rows = nil
	}
	row := func(cells ...string) { rows = append(rows, cells) }

	for _, p := range d.Peers {
		row(p.Part, p.Name, p.Version, p.Implementation, p.Missing)
	}
	flush("", "What was measured, and what could not be", "part", "name", "version", "chose", "missing because")

	for _, name := range sorted(d.DES3) {
		s := d.Spread["des3."+name]
		row(strings.ReplaceAll(name, "_", " "), number2(s.Median), s.span(number2), fmt.Sprint(s.N))
	}
	flush(Crypto, "3DES-CBC, ratios (more than 1: ours is faster)", "", "ratio", "p10..p90", "rounds")
	heads, lines, batches := d.cryptoLines()
	add(Crypto, "Ciphers on one core, MB/s of payload, by packets in a call: "+batches, heads, lines)
	add(Crypto, fmt.Sprintf("3DES-CBC encryption of n packets of %d bytes: what each costs, crypto/des being 1", comparedBytes), []string{"n", "avx512", "avx2", "portable"}, d.curveLines())

	for _, s := range d.SPF {
		row(fmt.Sprint(s.Routers), fmt.Sprint(s.Links), fmt.Sprint(s.LSABytes), fmt.Sprint(s.Routes), number2(s.Full.Median), s.Full.span(number2), number2(s.Load.Median))
	}
	flush(SPF, "OSPF: shortest paths and routing table of one router, from nothing", "routers", "links", "LSA bytes", "routes", "ms", "p10..p90", "load ms")
	for _, k := range d.IKE {
		row(k.Phase1, k.Phase2, number0(k.Handshakes.Median), k.Handshakes.span(number0), number0(k.Initiator), number0(k.Responder))
	}
	flush(IKE, "IKEv1: main mode and quick mode, handshakes a second on one core", "phase 1", "phase 2", "both ends", "p10..p90", "as initiator", "as responder")
	if d.Scale != nil {
		for _, s := range d.Scale.Rows {
			row(s.What, fmt.Sprint(s.Count), number0(s.NS.Median), s.NS.span(number0), number2(s.VsLeast.Median), s.VsLeast.span(number2))
		}
		flush(ScaleTo, "Many tunnels and routes: 64-byte packets, processor time of both ends", "what", "how many", "ns/packet", "p10..p90", "to the least", "p10..p90")
		row("one route changed among the most", number2(d.Scale.FIBChange.Median)+" µs", d.Scale.FIBChange.span(number2))
		row("heap of an idle tunnel", number2(d.Scale.TunnelBytes/1e3)+" KB", "")
		row("heap of 10,000 tunnels", number0(d.Scale.TunnelsMbyte)+" MB", "")
		flush(ScaleTo, "Changes and memory", "what", "", "p10..p90")
	}
	if d.Traffic != nil {
		all = append(all, d.trafficSheets()...)
	}
	if d.Profile != nil {
		for _, s := range d.Profile.Sides {
			for _, stage := range s.Stages {
				row(s.Side, stage.Name, number0(stage.NS), number2(stage.Percent))
			}
		}
		flush(Profiling, fmt.Sprintf("Where a packet's time goes: %s, one TCP stream", d.Profile.Suite), "router", "stage", "ns/packet", "%")
	}
	return all
}

func (d *Document) trafficSheets() (all []Sheet) {
	var rows [][]string
	flush := func(title string, heads ...string) {
		if len(rows) > 0 {
			all = append(all, Sheet{Tunnel, title, heads, rows})
		}
		rows = nil
	}
	row := func(cells ...string) { rows = append(rows, cells) }
	for _, c := range d.Comparisons {
		note := c.Explanation
		if c.Suspect {
			note = "suspect: not explained yet"
		}
		row(c.Name, c.Ours, c.Theirs, number2(c.Ratio.Median), c.Ratio.span(number2), fmt.Sprint(c.Ratio.N), note)
	}
	flush("Ratios, ours by theirs, round by round (of latency less is better)", "name", "ours", "theirs", "ratio", "p10..p90", "rounds", "note")
	load := func(l Load, more ...string) []string {
		cpu := ""
		if l.SenderCPU > 0 {
			cpu = fmt.Sprintf("%.0f > %.0f", l.SenderCPU, l.ReceiverCPU)
		}
		return append([]string{cpu, l.Limit}, append(more, number0(l.Dropped))...)
	}
	for _, f := range d.Rows {
		row(append([]string{f.Path, fmt.Sprint(f.Streams), number0(f.Mbit.Median), f.Mbit.span(number0), fmt.Sprintf("%.3f", f.VsVeth.Median)}, load(f.Load, number0(f.Retransmits))...)...)
	}
	flush(fmt.Sprintf("TCP by %s, iperf3 %s; %s", d.Congestion, d.Iperf, d.Pinning), "path", "streams", "Mbit/s", "p10..p90", "of veth", "routers' CPU %", "limited by", "resent/s", "dropped/s")
	for _, f := range d.UDP {
		row(append([]string{f.Path, fmt.Sprint(f.Bytes), number0(f.Packets.Median), f.Packets.span(number0)}, load(f.Load)...)...)
	}
	flush("UDP: the highest rate with less than 0.5 % lost", "path", "bytes", "packets/s", "p10..p90", "routers' CPU %", "limited by", "dropped/s")
	for _, l := range d.Latency {
		row(l.Path, fmt.Sprint(l.Bytes), number0(l.Packets.Median), number0(l.P50.Median), number0(l.P99.Median), l.P99.span(number0), number0(l.P999.Median), number2(l.Switches.Median))
	}
	flush("Latency at half of wireguard-go's rate, µs one way", "path", "bytes", "packets/s", "p50", "p99", "p10..p90 of p99", "p99.9", "switches/packet")
	return all
}

func sorted[T any](m map[string]T) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// cryptoLines has a line for each work and size, a column for each contestant, and in a cell the rates
// for each number of packets.
func (d *Document) cryptoLines() (heads []string, lines [][]string, batches string) {
	heads = []string{"work", "bytes"}
	type place struct {
		work  string
		bytes int
	}
	cells := make(map[place]map[string][]string)
	var places []place
	var seen []string
	for _, c := range d.Crypto {
		if strings.HasPrefix(c.By, ours+"-") || !slices.Contains(batchTable, c.Batch) {
			continue // of the curves
		}
		if b := fmt.Sprint(c.Batch); !slices.Contains(seen, b) {
			seen = append(seen, b)
		}
		if !slices.Contains(heads, c.By) {
			heads = append(heads, c.By)
		}
		at := place{c.Work, c.Bytes}
		if cells[at] == nil {
			cells[at] = make(map[string][]string)
			places = append(places, at)
		}
		cells[at][c.By] = append(cells[at][c.By], number2(c.Mbyte.Median))
	}
	for _, at := range places {
		line := []string{at.work, fmt.Sprint(at.bytes)}
		for _, by := range heads[2:] {
			line = append(line, strings.Join(cells[at][by], " "))
		}
		lines = append(lines, line)
	}
	return heads, lines, strings.Join(seen, ", ")
}

// A Curve is the cost of a packet among n, crypto/des being 1, at one level of machine code.
type Curve struct {
	Name string
	N    []int
	Cost []float64
}

// Curves are those of 3DES-CBC encryption, as far as they were measured.
func (d *Document) Curves() (all []Curve) {
	plain := 0.0
	for _, c := range d.Crypto {
		if c.Work == des3Encrypt && c.By == goBy && c.Bytes == comparedBytes && c.Batch == comparedBatch {
			plain = c.Mbyte.Median
		}
	}
	for _, level := range []string{"avx512", "avx2", "portable"} {
		by := ours + "-" + level
		if d.Implementations["level"] == level {
			by = ours
		}
		curve := Curve{Name: level}
		for _, c := range d.Crypto {
			if c.Work == des3Encrypt && c.By == by && c.Bytes == comparedBytes && c.Batch <= comparedBatch && c.Mbyte.Median > 0 {
				curve.N = append(curve.N, c.Batch)
				curve.Cost = append(curve.Cost, plain/c.Mbyte.Median)
			}
		}
		all = append(all, curve)
	}
	for _, c := range all {
		order := make([]int, len(c.N))
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(a, b int) int { return c.N[a] - c.N[b] })
		n, cost := slices.Clone(c.N), slices.Clone(c.Cost)
		for i, from := range order {
			c.N[i], c.Cost[i] = n[from], cost[from]
		}
	}
	return all
}

func (d *Document) curveLines() (lines [][]string) {
	curves := d.Curves()
	for _, n := range []int{1, 2, 3, 4, 8, 11, 16, 24, 32, 48, 64} {
		line, any := []string{fmt.Sprint(n)}, false
		for _, c := range curves {
			cell := ""
			if i := slices.Index(c.N, n); i >= 0 {
				cell, any = fmt.Sprintf("%.3g", c.Cost[i]), true
			}
			line = append(line, cell)
		}
		if any {
			lines = append(lines, line)
		}
	}
	return lines
}

// span is p10..p90.
func (s Sample) span(number func(float64) string) string { return number(s.P10) + ".." + number(s.P90) }

func number0(v float64) string { return fmt.Sprintf("%.0f", v) }

// number2 shows three digits, or all before the point.
func number2(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

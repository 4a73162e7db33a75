package bench

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Table prints the document for people; what it holds of one kind stands in one table. Errors of w are not reported.
func (d *Document) Table(w io.Writer) {
	var text bytes.Buffer
	d.tables(&text)
	for line := range bytes.Lines(text.Bytes()) { // a column that is empty in a line leaves blanks at its end
		_, _ = fmt.Fprintf(w, "%s\n", bytes.TrimRight(line, " \n"))
	}
}

func (d *Document) tables(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(cells ...string) { _, _ = fmt.Fprintln(t, strings.Join(cells, "\t")+"\t") }
	title := func(format string, args ...any) {
		_ = t.Flush()
		_, _ = fmt.Fprintf(w, "\n"+format+"\n", args...)
	}

	_, _ = fmt.Fprintf(w, "%s, %d cores, %s %s, %s, meshrouter %s, %s\n", d.CPU, d.Cores, d.System, d.Kernel, d.Go, d.Version, d.Date.Format(time.DateOnly))
	_, _ = fmt.Fprintf(w, "medians with p10..p90 of their rounds; one core's figures by processor time%s\n", d.disturbance())
	if d.DES3 != nil {
		title("3DES-CBC with HMAC-SHA1 against crypto/des, %d packets of %d bytes (more than 1: ours is faster)", d.DES3.Batch, d.DES3.Bytes)
		row("", "ratio", "", "MB/s")
		row("encrypt", number2(d.DES3.EncryptVsCryptoDES), d.Spread["des3.encrypt_vs_crypto_des"].span(number2), number2(d.DES3.EncryptMbyte))
		row("decrypt", number2(d.DES3.DecryptVsCryptoDES), d.Spread["des3.decrypt_vs_crypto_des"].span(number2), number2(d.DES3.DecryptMbyte))
	}
	if len(d.Crypto) > 0 {
		title("ESP on one core, MB/s of payload by packets in a call")
		heads, lines := d.cryptoLines()
		row(heads...)
		for _, line := range lines {
			row(line...)
		}
	}
	if len(d.SPF) > 0 {
		title("OSPF: shortest paths and routing table of one router, from nothing")
		row("routers", "links", "LSA bytes", "routes", "ms", "", "load ms")
		for _, s := range d.SPF {
			row(fmt.Sprint(s.Routers), fmt.Sprint(s.Links), fmt.Sprint(s.LSABytes), fmt.Sprint(s.Routes), number2(s.Full.Median), s.Full.span(number2), number2(s.Load.Median))
		}
	}
	if len(d.IKE) > 0 {
		title("IKEv1: main mode and quick mode, handshakes a second on one core")
		row("phase 1", "phase 2", "both ends", "", "as initiator", "as responder")
		for _, k := range d.IKE {
			row(k.Phase1, k.Phase2, number0(k.Handshakes.Median), k.Handshakes.span(number0), number0(k.Initiator), number0(k.Responder))
		}
	}
	if d.Traffic != nil {
		title("Two sites, one stream, iperf3 %s, TCP by %s, UDP as fast as it sends", d.Iperf, d.Congestion)
		row("path", "", "Mbit/s", "", "of veth", "packets/s", "lost %", "router CPU %", "")
		for _, f := range d.Rows {
			packets, lost := "", ""
			if f.PacketBytes > 0 {
				packets, lost = number0(f.Packets), number2(f.LostPercent)
			}
			cpu := ""
			if f.SenderCPU > 0 {
				cpu = fmt.Sprintf("%.0f > %.0f", f.SenderCPU, f.ReceiverCPU)
			}
			row(f.Path, f.Protocol, number0(f.Mbit.Median), f.Mbit.span(number0), fmt.Sprintf("%.3f", f.VsVeth.Median), packets, lost, cpu)
		}
	}
	_ = t.Flush()
}

// cryptoLines puts the batches of one suite, work and size side by side.
func (d *Document) cryptoLines() (heads []string, lines [][]string) {
	heads = []string{"suite", "work", "bytes"}
	for i, c := range d.Crypto {
		if i == 0 || c.Suite != d.Crypto[i-1].Suite || c.Work != d.Crypto[i-1].Work || c.Bytes != d.Crypto[i-1].Bytes {
			lines = append(lines, []string{c.Suite, c.Work, fmt.Sprint(c.Bytes)})
		}
		line := &lines[len(lines)-1]
		if *line = append(*line, number2(c.Mbyte.Median)); len(*line) > len(heads) {
			heads = append(heads, fmt.Sprint(c.Batch))
		}
	}
	return heads, lines
}

// disturbance says what else had the machine, where that is known.
func (d *Document) disturbance() string {
	text := ""
	if d.Load != nil {
		text += fmt.Sprintf("; load %.1f at the beginning", *d.Load)
	}
	if d.Steal != nil {
		text += fmt.Sprintf("; %.1f %% stolen", *d.Steal)
	}
	if d.Traffic != nil && d.Void > 0 {
		text += fmt.Sprintf("; %d rounds void", d.Void)
	}
	return text
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

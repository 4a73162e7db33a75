package lab

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"meshrouter/dataplane"
)

// mergeKeyLogs makes one Wireshark configuration directory of those that the routers wrote: both
// ends of a link log the same keys, and a table must not name an SA twice.
func mergeKeyLogs(dir string, logs []string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	lines := make(map[string][]string) // by file name
	for _, log := range logs {
		entries, err := os.ReadDir(log)
		if err != nil {
			return fmt.Errorf("key log: %w", err)
		}
		for _, e := range entries {
			if !e.Type().IsRegular() {
				continue
			}
			b, err := os.ReadFile(filepath.Join(log, e.Name())) //nolint:gosec // our own router wrote it
			if err != nil {
				return fmt.Errorf("key log: %w", err)
			}
			for line := range strings.Lines(string(b)) {
				line = strings.TrimSuffix(line, "\n")
				if !slices.Contains(lines[e.Name()], line) {
					lines[e.Name()] = append(lines[e.Name()], line)
				}
			}
		}
	}
	for name, l := range lines {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Join(l, "\n")+"\n"), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// tshark runs the real tshark over a capture with a key log and returns the lines of its output,
// split into fields.
func tshark(ctx context.Context, config, pcap, filter string, fields ...string) ([][]string, error) {
	args := []string{"-n", "-r", pcap, "-Y", filter, "-T", "fields", "-E", "separator=/t", "-E", "occurrence=a"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	cmd := exec.CommandContext(ctx, "tshark", args...) //nolint:gosec // fixed words and our own paths
	cmd.Env = append(os.Environ(), "WIRESHARK_CONFIG_DIR="+config, "LC_ALL=C")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, errors.New("tshark is not installed: apt-get install tshark")
	}
	if err != nil {
		return nil, fmt.Errorf("tshark: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	var rows [][]string
	for line := range strings.Lines(string(out)) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return rows, nil
}

// A decrypted is what tshark sees with the keys.
type decrypted struct {
	echoes  map[echoKey]int // ICMP echoes with the marker, inside ESP
	without int             // pings without the marker
	esp     int             // ESP packets, whole ones
	opaque  int             // those of them that did not open to GRE
	bad     []string        // what it calls malformed
}

// An echoKey names one ICMP message end to end; a packet that passes two links counts twice.
type echoKey struct {
	reply  bool
	number uint64
}

// decrypt lets tshark open the capture.
func decrypt(ctx context.Context, config, pcap string, m marker) (decrypted, error) {
	d := decrypted{echoes: make(map[echoKey]int)}
	ours := fmt.Sprintf("esp && icmp && icmp.ident != %d", dataplane.ProbeID) // not the routers' probes of the path MTU
	rows, err := tshark(ctx, config, pcap, ours, "frame.number", "icmp.type", "data.data")
	if err != nil {
		return d, err
	}
	want := hex.EncodeToString(m[:])
	for _, r := range rows {
		if len(r) != 3 {
			continue
		}
		data, found := strings.CutPrefix(strings.ReplaceAll(r[2], ":", ""), want)
		if !found || len(data) < 16 {
			d.without++
			continue
		}
		number, err := strconv.ParseUint(data[:16], 16, 64)
		if err != nil {
			return d, fmt.Errorf("tshark: frame %s: %w", r[0], err)
		}
		d.echoes[echoKey{r[1] == "0", number}]++
	}
	if rows, err = tshark(ctx, config, pcap, "esp", "gre.proto"); err != nil {
		return d, err
	}
	d.esp = len(rows)
	for _, r := range rows {
		if r[0] == "" {
			d.opaque++
		}
	}
	if rows, err = tshark(ctx, config, pcap, "_ws.malformed", "frame.number", "frame.protocols"); err != nil {
		return d, err
	}
	for _, r := range rows {
		d.bad = append(d.bad, strings.Join(r, " "))
	}
	return d, nil
}

// verdict is nil when every ping from 1 to `pings` is there with its marker, both ways, inside ESP.
func (d decrypted) verdict(pings uint64) error {
	if len(d.bad) > 0 {
		return fmt.Errorf("tshark finds %d malformed frames, first: %s", len(d.bad), d.bad[0])
	}
	missing := 0
	for n := uint64(1); n <= pings; n++ {
		for _, reply := range []bool{false, true} {
			if d.echoes[echoKey{reply, n}] == 0 {
				missing++
			}
		}
	}
	if missing > 0 {
		return fmt.Errorf("decrypted with the key log, %d of %d echoes do not show the marker (%d of %d ESP packets stay closed)",
			missing, 2*pings, d.opaque, d.esp)
	}
	if d.without > 0 {
		return fmt.Errorf("%d echoes inside ESP are not the lab's", d.without)
	}
	if d.opaque > 0 {
		return fmt.Errorf("%d of %d ESP packets do not open to GRE with the key log", d.opaque, d.esp)
	}
	return nil
}

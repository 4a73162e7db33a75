package bench

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/cpu"

	"meshrouter/dataplane/esp/aescbc"
	"meshrouter/dataplane/esp/des3"
	"meshrouter/dataplane/esp/hmacs"
)

// A Machine is the kind of machine that was measured, and how much of it was to be had.
type Machine struct {
	CPU      string   `json:"cpu"` // its model, and what our ciphers chose of it
	Model    string   `json:"cpu_model"`
	Features []string `json:"cpu_features"` // those that ciphers care for
	Cores    int      `json:"cores"`
	System   string   `json:"system"` // linux/amd64
	Kernel   string   `json:"kernel"`
	Go       string   `json:"go"`
	// Linux tells more: the load when the run began, and what a hypervisor took away during it.
	Load  *float64 `json:"load_average_1m,omitempty"`
	Steal *float64 `json:"steal_percent,omitempty"`
}

func thisMachine() Machine {
	m := Machine{
		Model: cmp.Or(cpuModel(), runtime.GOARCH), Features: features(), Cores: runtime.NumCPU(),
		System: runtime.GOOS + "/" + runtime.GOARCH, Kernel: kernel(), Go: runtime.Version(),
	}
	m.CPU = fmt.Sprintf("%s, 3DES by %s, AES-CBC by %s, HMAC-SHA1 by %s", m.Model, des3.Implementation(), aescbc.Implementation(), hmacs.Implementation(hmacs.SHA1))
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		first, _, _ := strings.Cut(string(text), " ")
		if v, err := strconv.ParseFloat(first, 64); err == nil {
			m.Load = &v
		}
	}
	return m
}

// features names the processor's instructions for ciphers, among those that this program can ask for.
func features() []string {
	has := []string{}
	for _, f := range []struct {
		name    string
		present bool
	}{
		{"aes", cpu.X86.HasAES || cpu.ARM64.HasAES},
		{"pclmulqdq", cpu.X86.HasPCLMULQDQ},
		{"pmull", cpu.ARM64.HasPMULL},
		{"sha1", cpu.ARM64.HasSHA1},
		{"sha2", cpu.ARM64.HasSHA2},
		{"avx2", cpu.X86.HasAVX2},
		{"avx512vbmi", cpu.X86.HasAVX512VBMI},
		{"gfni", cpu.X86.HasAVX512GFNI},
		{"vaes", cpu.X86.HasAVX512VAES},
	} {
		if f.present {
			has = append(has, f.name)
		}
	}
	return has
}

// ticks are the machine's clock ticks since boot: all, those in which a core had nothing to do, and those
// that a hypervisor took.
type ticks struct{ all, idle, stolen float64 }

// readTicks reads /proc/stat: all cores together; all zero where there is none.
func readTicks() ticks {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return ticks{}
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	return parseTicks(string(line))
}

// parseTicks reads one line of /proc/stat.
func parseTicks(line string) (t ticks) {
	const idle, waiting, guest = 4, 5, 8 // user nice system idle iowait irq softirq steal; guests are counted in user
	for i, f := range strings.Fields(line) {
		v, err := strconv.ParseFloat(f, 64)
		if err != nil || i > guest { // the first is the word cpu
			continue
		}
		t.all += v
		switch i {
		case idle, waiting:
			t.idle += v
		case guest:
			t.stolen = v
		}
	}
	return t
}

// idlePercent is how much of the time between two readings cores had nothing to do.
func idlePercent(before, after ticks) float64 {
	if all := after.all - before.all; all > 0 {
		return 100 * (after.idle - before.idle) / all
	}
	return 0
}

// measured notes what was stolen between two readings.
func (m *Machine) measured(before, after ticks) {
	if all := after.all - before.all; all > 0 {
		percent := digits(100 * (after.stolen - before.stolen) / all)
		m.Steal = &percent
	}
}

//go:build netns

package underlay

import (
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/underlay/ether/veth"
)

// A way is one set of Options that BenchmarkWays compares.
type way struct {
	name    string
	udp     bool
	options Options
	single  bool // one packet a call
}

var ways = []way{
	{"udp-single", true, Options{UDPSegment: Off, UDPGRO: Off}, true},
	{"udp-sendmmsg", true, Options{UDPSegment: Off, UDPGRO: Off}, false},
	{"udp-segment", true, Options{UDPGRO: Off}, false},
	{"udp-segment-gro", true, Options{}, false},
	{"udp-segment-gro-unsteered", true, Options{Steering: Off}, false},
	{"udp-segment-gro-stamped", true, Options{Timestamps: On}, false},
	{"udp-segment-gro-beside-xdp", true, Options{Protocol50: "xdp"}, false},
	{"udp-segment-gro-beside-ring", true, Options{Protocol50: "ring"}, false},
	{"xdp", false, Options{Protocol50: "xdp"}, false},
	{"ring", false, Options{Protocol50: "ring"}, false},
	{"raw-unsteered", false, Options{Protocol50: "raw", Steering: Off}, false},
	{"raw", false, Options{Protocol50: "raw"}, false},
	{"raw-stamped", false, Options{Protocol50: "raw", Timestamps: On}, false},
}

// BenchmarkWays moves packets between two namespaces by each way in turn: an iteration is a round of
// them all, so that -benchtime=15x gives medians of 15 interleaved rounds. It reports thousands of packets
// received a second, and nanoseconds of CPU time a packet, of this
// process for both ends. MESHROUTER_WAYS picks some by name, MESHROUTER_SIZE the payload's length.
func BenchmarkWays(b *testing.B) {
	size := 1400
	if s := os.Getenv("MESHROUTER_SIZE"); s != "" {
		size, _ = strconv.Atoi(s)
	}
	chosen := slices.Clone(ways)
	if s := os.Getenv("MESHROUTER_WAYS"); s != "" {
		chosen = slices.DeleteFunc(chosen, func(w way) bool { return !slices.Contains(strings.Split(s, ","), w.name) })
	}
	runs := make([]*run, len(chosen))
	for i, w := range chosen {
		runs[i] = newRun(b, w, size)
	}
	b.ResetTimer()
	for range b.N {
		for _, r := range runs {
			r.round(b)
		}
	}
	b.StopTimer()
	for i, r := range runs {
		r.report(b, chosen[i].name)
	}
}

// A run is one way between two namespaces of its own.
type run struct {
	a, b     *Sockets
	out      []esp.Sealed
	single   bool
	received atomic.Int64
	progress chan struct{}
	kpps, ns []float64
}

// window is how many packets are on their way at most, so that the receive buffer holds them.
const window = 1024

func newRun(b *testing.B, w way, size int) *run {
	r := &run{single: w.single, progress: make(chan struct{}, 1)}
	r.a, r.b = vethPair(b, w.options)
	src, dst := netip.MustParseAddrPort(veth.AddrA+":0"), netip.MustParseAddrPort(veth.AddrB+":0")
	if w.udp {
		src, dst = netip.AddrPortFrom(src.Addr(), NATPort), netip.AddrPortFrom(dst.Addr(), NATPort)
	}
	r.out = sealedRun(b, src, dst, 64, size)
	for i := range r.b.Receivers() {
		go func() { // ends with the sockets
			for {
				ps, err := r.b.Receive(i)
				if err != nil {
					return
				}
				r.received.Add(int64(len(ps)))
				select {
				case r.progress <- struct{}{}:
				default:
				}
			}
		}()
	}
	return r
}

// vethPair opens sockets on both ends of a veth pair.
func vethPair(tb testing.TB, o Options) (a, b *Sockets) {
	tb.Helper()
	sa, sb, err := veth.NewPair(1)
	if err != nil {
		tb.Fatal(err)
	}
	open := func(in *veth.Space, addr string) (s *Sockets) {
		if err := in.Do(func() (err error) { s, err = o.Open(netip.MustParseAddr(addr)); return err }); err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = s.Close(); in.Close() })
		return s
	}
	return open(sa, veth.AddrA), open(sb, veth.AddrB)
}

// sealedRun returns n packets of one SA, side by side in memory as the engine lays them out.
func sealedRun(tb testing.TB, src, dst netip.AddrPort, n, size int) []esp.Sealed {
	tb.Helper()
	sa, err := esp.NewOutbound(esp.Params{
		SPI: testSPI, Cipher: esp.NullCipher, Auth: esp.HMACSHA1, AuthKey: make([]byte, 20), Mode: esp.Tunnel, Src: src, Dst: dst,
	})
	if err != nil {
		tb.Fatal(err)
	}
	seq, err := sa.NextSequence(n)
	if err != nil {
		tb.Fatal(err)
	}
	head, tail := sa.Overhead(size)
	each := head + size + tail
	buf := make([]byte, esp.HeadRoom+n*each)
	jobs := make([]esp.Job, n)
	for i := range jobs {
		start := esp.HeadRoom - head + i*each // of the sealed packet
		payload := start + head
		jobs[i] = esp.Job{SA: sa, Seq: seq + uint64(i), Pkt: buf[payload-esp.HeadRoom : payload+size : payload+size+tail], NextHeader: esp.NextHeaderIPv4}
	}
	var batch esp.Batch
	out := batch.Seal(jobs, nil)
	if len(out) != n {
		tb.Fatalf("sealed %d packets, want %d", len(out), n)
	}
	return out
}

func (r *run) round(b *testing.B) {
	before, start, busy := r.received.Load(), time.Now(), cpuTime(b)
	sent := 0
	for time.Since(start) < 200*time.Millisecond {
		if sent-int(r.received.Load()-before) > window {
			select {
			case <-r.progress:
			case <-time.After(20 * time.Millisecond): // lost on the way
				before -= int64(sent) - (r.received.Load() - before)
			}
			continue
		}
		if r.single {
			for i := range r.out {
				if _, err := r.a.Send(r.out[i : i+1]); err != nil {
					b.Fatal(err)
				}
			}
		} else if _, err := r.a.Send(r.out); err != nil {
			b.Fatal(err)
		}
		sent += len(r.out)
	}
	spent := time.Since(start)
	used := cpuTime(b) - busy
	r.kpps = append(r.kpps, float64(sent)/spent.Seconds()/1000)
	r.ns = append(r.ns, float64(used)/float64(sent))
	for len(r.progress) > 0 {
		<-r.progress
	}
}

// cpuTime is the time that this process has used.
func cpuTime(tb testing.TB) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (r *run) report(b *testing.B, name string) {
	median := func(xs []float64) float64 {
		slices.Sort(xs)
		return xs[len(xs)/2]
	}
	b.ReportMetric(median(r.kpps), name+"-kpps")
	b.ReportMetric(median(r.ns), name+"-ns")
	in, out := r.b.Counters(), r.a.Counters()
	b.Logf("%v", r.a.Offloads())
	b.Logf("%-28s %8.0f kpps %7.0f ns a packet, %5.1f packets a message sent, %5.1f received", name, median(r.kpps), median(r.ns),
		float64(out.Sent)/float64(max(1, out.SentMessages)), float64(in.Received)/float64(max(1, in.ReceivedMessages)))
}

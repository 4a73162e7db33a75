package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"meshrouter/status"
)

// runDir is where a run keeps the routers' files: memory, not disk. Its lock keeps two runs from
// measuring each other.
const runDir = "/run/meshrouter-bench"

// tunnelPossible says what is missing.
func tunnelPossible() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("it %w: it needs root for network namespaces (sudo meshrouter bench); the parts crypto, spf and ike do not", ErrUnsupported)
	}
	if _, err := exec.LookPath("iperf3"); err != nil {
		return fmt.Errorf("it %w: there is no iperf3 (apt-get install iperf3)", ErrUnsupported)
	}
	return nil
}

// lockRunDir takes the directory over, empty.
func lockRunDir() (unlock func() error, err error) {
	if err := os.MkdirAll(runDir, 0o700); err != nil {
		return nil, err
	}
	dir, err := os.Open(runDir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another bench is running in %s, and two would measure each other", runDir), dir.Close())
	}
	if ours, err := dir.Stat(); err != nil {
		return nil, errors.Join(err, dir.Close())
	} else if now, err := os.Stat(runDir); err != nil || !os.SameFile(ours, now) {
		_ = dir.Close() // one has just ended and taken the directory away
		return lockRunDir()
	}
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	for _, name := range names { // of a run that was killed
		if err := os.RemoveAll(filepath.Join(runDir, name)); err != nil {
			return nil, errors.Join(err, dir.Close())
		}
	}
	return func() error { return errors.Join(os.RemoveAll(runDir), dir.Close()) }, nil
}

// A path is one way of moving packets.
type path struct {
	name       string
	n          *negotiation // nil: without a tunnel
	encryption string       // as `show sad` has it
	*pair
}

// A flow is one protocol on one path.
type flow struct {
	*path
	udp     bool
	results []iperfResult
	cpu     [2]float64 // seconds that the routers used: left, right
	seconds float64
}

func (f *flow) protocol() string {
	if f.udp {
		return "udp"
	}
	return "tcp"
}

func (r *run) tunnel(ctx context.Context) (err error) {
	unlock, err := lockRunDir()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	binary := r.Binary
	if binary == "" {
		if binary, err = os.Executable(); err != nil {
			return err
		}
	}
	paths := []*path{{name: "veth"}, {name: negotiationTable[0].name2, n: &negotiationTable[0], encryption: "3des-cbc"},
		{name: negotiationTable[1].name2, n: &negotiationTable[1], encryption: "aes-128-gcm"}}
	defer func() {
		for _, p := range paths {
			if p.pair != nil {
				err = errors.Join(err, p.close())
			}
		}
	}()
	for _, p := range paths {
		if p.pair, err = newPair(filepath.Join(runDir, p.name), binary, p.n); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	for _, p := range paths {
		if p.n == nil {
			continue
		}
		if err := p.ready(ctx); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return r.traffic(ctx, paths)
}

// tries is how often one measurement is begun.
const tries = 3

// traffic measures each protocol on each path; the first path is the control.
func (r *run) traffic(ctx context.Context, paths []*path) error {
	var flows []*flow
	for _, p := range paths {
		flows = append(flows, &flow{path: p}, &flow{path: p, udp: true})
	}
	plan := pace{quick: 20 * time.Second, full: 5 * time.Minute, quickSlice: time.Second, fullSlice: 3 * time.Second}.plan(r.Quick)
	values, err := plan.run(ctx, len(flows), func(i int) (float64, error) {
		for try := 1; ; try++ { // a path full of UDP may cost iperf3 its own connection
			result, err := flows[i].measure(ctx, plan.slice)
			if err == nil {
				return result.mbit, nil
			}
			err = fmt.Errorf("%s over %s: %w", flows[i].protocol(), flows[i].name, err)
			if try == tries || ctx.Err() != nil || !errors.Is(err, errIperf) {
				return 0, err
			}
			r.say("  once more: %v", err)
		}
	})
	if err != nil {
		return err
	}
	void := voidRounds(values[0])
	for i := range values {
		values[i] = without(values[i], void)
		flows[i].results = without(flows[i].results, void)
	}
	t := &Traffic{Void: len(void), Iperf: flows[0].results[0].version, Congestion: flows[0].results[0].congestion}
	for i, f := range flows {
		row := f.row(values[i], values[i%2])
		t.Rows = append(t.Rows, row)
		r.say("  %s over %s: %.0f Mbit/s", f.protocol(), f.name, row.Mbit.Median)
	}
	for i, headline := range []struct {
		name  string
		value *float64
	}{
		{"tcp_veth_mbit", &t.TCPVeth}, {"udp_veth_mbit", &t.UDPVeth}, {"tcp_3des_mbit", &t.TCP3DES},
		{"udp_3des_mbit", &t.UDP3DES}, {"tcp_aes_gcm_128_mbit", &t.TCPGCM}, {"udp_aes_gcm_128_mbit", &t.UDPGCM},
	} {
		*headline.value = r.doc.note(headline.name, values[i])
	}
	r.doc.Traffic = t
	return nil
}

// measure runs iperf3 once, and checks by the SAs' counters which way the packets took.
func (f *flow) measure(ctx context.Context, d time.Duration) (iperfResult, error) {
	if f.n == nil {
		result, err := f.iperf(ctx, true, f.udp, d)
		if err == nil {
			f.results = append(f.results, result)
		}
		return result, err
	}
	before, err := f.left.outbound(ctx)
	if err != nil {
		return iperfResult{}, err
	}
	cpu := [2]time.Duration{f.left.router.cpu(), f.right.router.cpu()}
	begun := time.Now()
	result, err := f.iperf(ctx, false, f.udp, d)
	if err != nil {
		return result, err
	}
	f.seconds += time.Since(begun).Seconds()
	f.cpu[0] += (f.left.router.cpu() - cpu[0]).Seconds()
	f.cpu[1] += (f.right.router.cpu() - cpu[1]).Seconds()
	after, err := f.left.outbound(ctx)
	if err != nil {
		return result, err
	}
	f.results = append(f.results, result)
	return result, carried(before, after, f.encryption, result.bytes)
}

// carried checks that it was ESP, and of that cipher, that moved so many bytes.
func carried(before, after status.SA, encryption string, bytes float64) error {
	if after.Encryption != encryption {
		return fmt.Errorf("the SA's cipher is %s, want %s", after.Encryption, encryption)
	}
	if before.SPI != after.SPI {
		return errors.New("the SA was replaced in between") // its lifetime is an hour
	}
	if sealed := float64(after.Bytes - before.Bytes); sealed < bytes {
		return fmt.Errorf("the SA sealed %.0f bytes, but %.0f arrived: not ESP carried them", sealed, bytes)
	}
	return nil
}

// row sums the flow up; control is the same protocol without a tunnel.
func (f *flow) row(mbit, control []float64) TunnelRow {
	median := func(value func(iperfResult) float64) float64 {
		values := make([]float64, len(f.results))
		for i, r := range f.results {
			values[i] = value(r)
		}
		return newSample(values).Median
	}
	row := TunnelRow{Path: f.name, Protocol: f.protocol(), Mbit: newSample(mbit), VsVeth: newSample(ratios(mbit, control))}
	if f.udp {
		row.PacketBytes = udpBytes
		row.Packets = median(func(r iperfResult) float64 { return r.packets })
		row.LostPercent = median(func(r iperfResult) float64 { return r.lostPercent })
	} else {
		row.Retransmits = median(func(r iperfResult) float64 { return r.retransmits })
	}
	if f.seconds > 0 {
		row.SenderCPU, row.ReceiverCPU = digits(100*f.cpu[0]/f.seconds), digits(100*f.cpu[1]/f.seconds)
	}
	return row
}

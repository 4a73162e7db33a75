package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// runDir is where a run keeps the routers' files: memory, not disk. Its lock keeps two runs from
// measuring each other.
const runDir = "/run/meshrouter-bench"

// tunnelPossible says what is missing.
func tunnelPossible() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("it %w: it needs root for network namespaces (sudo meshrouter bench); the parts crypto, spf, ike and scale do not", ErrUnsupported)
	}
	if _, err := exec.LookPath("iperf3"); err != nil {
		return fmt.Errorf("it %w: there is no iperf3 (apt-get install iperf3)", ErrUnsupported)
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		return fmt.Errorf("it %w: there is no /dev/net/tun (modprobe tun)", ErrUnsupported)
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

// A tunnelKind moves packets between the sites of a pair.
type tunnelKind interface {
	start(ctx context.Context, p *pair) error
	// implementation names the cipher that it chose, or says why it is not worth a comparison.
	implementation(ctx context.Context) (string, error)
}

// A path is one way of moving packets.
type path struct {
	name     string
	kind     tunnelKind // nil: none, or not of a peer
	pair     *pair
	from, to endpoint
	stream   *stream // UDP
}

// The parts of a tunnel run.
type tunnelRun struct {
	*run
	paths []*path // the first one is the control
	t     *Traffic
}

func (r *run) tunnel(ctx context.Context) (err error) {
	t := &tunnelRun{run: r, t: &Traffic{}}
	defer func() { err = errors.Join(err, t.close()) }()
	if err := t.openAll(ctx); err != nil {
		return err
	}
	if err := t.tcp(ctx); err != nil {
		return err
	}
	if err := t.udp(ctx); err != nil {
		return err
	}
	r.doc.Traffic = t.t
	return nil
}

// close stops everything; some paths share a pair.
func (t *tunnelRun) close() error {
	var errs []error
	var closed []*pair
	for _, p := range t.paths {
		if p.pair != nil && !slices.Contains(closed, p.pair) {
			closed = append(closed, p.pair)
			errs = append(errs, p.pair.close())
		}
	}
	return errors.Join(errs...)
}

// divide gives each site one half of the cores that this process may use, as if they were machines of their
// own. It takes two a site, for the router and for what talks through it: held to a single one they
// would wait for each other, and for whatever else that core has to do, in ways that no ratio survives.
func divide() (cores [2][]int, pinning string) {
	var may unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil || may.Count() < 4 {
		return cores, fmt.Sprintf("nobody pinned, %d cores for both sites", max(may.Count(), 1))
	}
	all := coresOf(&may)
	half := len(all) / 2
	cores = [2][]int{all[:half], all[half : 2*half]}
	return cores, fmt.Sprintf("left site on cores %v, right site on %v", cores[0], cores[1])
}

// openAll starts every path. A peer that cannot be had is noted and left out; ours must work.
func (t *tunnelRun) openAll(ctx context.Context) error {
	cores, pinning := divide()
	t.t.Pinning = pinning
	open := func(name string, kind tunnelKind, shared *pair, lan int) error {
		p := &path{name: name, kind: kind, pair: shared}
		t.paths = append(t.paths, p)
		if p.pair == nil {
			var err error
			dir := filepath.Join(runDir, strings.ReplaceAll(name, " ", "-"))
			if p.pair, err = newPair(dir, cores); err != nil {
				return err
			}
		}
		from, to := leftLAN(lan), rightLAN(lan)
		switch name {
		case vethPath:
			from, to = leftOuter, rightOuter
		case loopbackPath:
			p.from, p.to = endpoint{p.pair.left, from}, endpoint{p.pair.left, leftLAN(1)}
			return nil
		}
		p.from, p.to = endpoint{p.pair.left, from}, endpoint{p.pair.right, to}
		if kind == nil {
			return nil
		}
		return kind.start(ctx, p.pair)
	}
	if err := open(vethPath, nil, nil, 0); err != nil {
		return fmt.Errorf("%s: %w", vethPath, err)
	}
	if err := open(loopbackPath, nil, t.paths[0].pair, 0); err != nil {
		return fmt.Errorf("%s: %w", loopbackPath, err)
	}
	for _, own := range []struct {
		name        string
		negotiation int
		udp         bool
	}{{gcmUDP, 2, true}, {gcm50, 2, false}, {des3UDP, 0, true}, {cbcUDP, 1, true}} {
		if t.Quick && own.name == cbcUDP {
			continue
		}
		kind := &meshTunnel{negotiation: negotiationTable[own.negotiation], udp: own.udp, binary: t.Binary}
		if err := open(own.name, kind, nil, 0); err != nil {
			return fmt.Errorf("%s: %w", own.name, err)
		}
		chosen, err := kind.implementation(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", own.name, err)
		}
		t.doc.Peers = append(t.doc.Peers, Peer{Part: Tunnel, Name: own.name, Version: t.Version, Implementation: chosen})
	}
	t.openPeers(ctx, open)
	if !t.Quick {
		t.openVariants(ctx, open)
	}
	return ctx.Err()
}

// variantTable is ways of ours that are not the default: what offloads are worth, and what carries protocol 50.
var variantTable = []struct {
	name    string
	udp     bool
	offload string
}{
	{gcmPlain, true, "off"}, {gcm50By + "xdp", false, "{protocol-50: xdp}"},
	{gcm50By + "ring", false, "{protocol-50: ring}"}, {gcm50By + "raw", false, "{protocol-50: raw}"},
}

// openVariants starts them; a machine may lack one.
func (t *tunnelRun) openVariants(ctx context.Context, open func(string, tunnelKind, *pair, int) error) {
	for _, v := range variantTable {
		kind := &meshTunnel{negotiation: negotiationTable[2], udp: v.udp, offload: v.offload, binary: t.Binary}
		peer := Peer{Part: Tunnel, Name: v.name, Version: t.Version}
		err := open(v.name, kind, nil, 0)
		if err == nil {
			peer.Implementation, err = kind.implementation(ctx)
		}
		if err != nil {
			last := len(t.paths) - 1
			t.paths[last] = &path{pair: t.paths[last].pair} // only to be closed
			peer.Missing = firstLines(err.Error(), 2)
			t.say("  without %s: %v", v.name, err)
		}
		t.doc.Peers = append(t.doc.Peers, peer)
	}
}

// openPeers starts what ours is compared with.
func (t *tunnelRun) openPeers(ctx context.Context, open func(string, tunnelKind, *pair, int) error) {
	tell := func(p Peer, err error) {
		if err != nil {
			p.Missing = firstLines(err.Error(), 2)
			t.say("  without %s: %v", p.Name, err)
		}
		t.doc.Peers = append(t.doc.Peers, p)
	}
	start := func(name string, version *string, kind tunnelKind, shared *pair, lan int) (p *pair) {
		err := open(name, kind, shared, lan)
		last := len(t.paths) - 1
		p = t.paths[last].pair
		peer := Peer{Part: Tunnel, Name: name, Version: *version}
		if err == nil {
			peer.Implementation, err = kind.implementation(ctx)
		}
		if err != nil {
			t.paths[last] = &path{pair: p} // only to be closed
		}
		tell(peer, err)
		return p
	}
	if binary, version, err := findWireGuard(ctx); err != nil {
		tell(Peer{Part: Tunnel, Name: wireguardPath}, err)
	} else {
		start(wireguardPath, &version, &wireguardTunnel{binary: binary}, nil, 0)
	}
	err := findStrongSwan()
	if err == nil && t.Quick {
		err = errors.New("--quick has no time for it")
	}
	if err != nil {
		tell(Peer{Part: Tunnel, Name: strings.TrimSpace(swanPath)}, err)
		return
	}
	swan := &strongSwan{}
	var shared *pair
	for i, s := range strongSwanTable {
		shared = start(swanPath+s.name, &swan.version, &strongSwanChild{swan, i}, shared, i)
	}
}

// find is the path of that name, or nil.
func (t *tunnelRun) find(name string) *path {
	for _, p := range t.paths {
		if p.name == name {
			return p
		}
	}
	return nil
}

// A flow is TCP on one path.
type flow struct {
	*path
	streams int
	tally
	results []iperfResult
	values  []float64 // Mbit a second
}

// tally is what the routers and the machine did during a measurement, summed up over the rounds that count.
type tally struct {
	cpu     [2]float64 // seconds that the routers used: left, right
	idle    []float64  // percent, by round
	busy    [2]float64 // seconds in which the sites' cores worked
	seconds float64
	dropped float64
}

// observe measures f and adds what was seen meanwhile.
func (l *tally) observe(p *pair, f func() error) error {
	var cpu [2]time.Duration
	before, cores := readTicks(), readCores(p.cores)
	for i, s := range p.sites() {
		if s.router != nil {
			cpu[i] = s.router.cpu()
		}
	}
	dropped := p.dropped()
	begun := time.Now()
	if err := f(); err != nil {
		return err
	}
	seconds := time.Since(begun).Seconds()
	l.seconds += seconds
	l.dropped += float64(p.dropped() - dropped)
	l.idle = append(l.idle, idlePercent(before, readTicks()))
	after := readCores(p.cores)
	for i, s := range p.sites() {
		if s.router != nil {
			l.cpu[i] += (s.router.cpu() - cpu[i]).Seconds()
		}
		l.busy[i] += seconds * (1 - idlePercent(cores[i], after[i])/100)
	}
	return nil
}

// load sums up.
func (l *tally) load() Load {
	if l.seconds == 0 {
		return Load{}
	}
	d := Load{Idle: newSample(l.idle).Median, Dropped: digits(l.dropped / l.seconds)}
	d.SenderCPU, d.ReceiverCPU = digits(100*l.cpu[0]/l.seconds), digits(100*l.cpu[1]/l.seconds)
	const full = 0.93 // of a core; the rest is the scheduler's
	left, right := l.busy[0]/l.seconds > full, l.busy[1]/l.seconds > full
	switch {
	case left && right:
		d.Limit = "all cores"
	case left:
		d.Limit = "sender's cores"
	case right:
		d.Limit = "receiver's cores"
	default:
		d.Limit = "waiting"
	}
	return d
}

// readCores are the ticks of each site's cores together; of all cores where they are not divided.
func readCores(cores [2][]int) (t [2]ticks) {
	if cores[0] == nil {
		all := readTicks()
		return [2]ticks{all, all}
	}
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return t
	}
	for line := range strings.Lines(string(text)) {
		for i, of := range cores {
			for _, c := range of {
				if strings.HasPrefix(line, fmt.Sprintf("cpu%d ", c)) {
					_, rest, _ := strings.Cut(line, " ")
					x := parseTicks("cpu " + rest)
					t[i] = ticks{t[i].all + x.all, t[i].idle + x.idle, t[i].stolen + x.stolen}
				}
			}
		}
	}
	return t
}

// streamsTable is how many TCP streams each path gets.
func (t *tunnelRun) streamsTable(p *path) []int {
	switch {
	case p.name == "":
		return nil
	case t.Quick && p.name == loopbackPath:
		return nil
	case t.Quick || p.name == vethPath || p.name == loopbackPath || strings.HasPrefix(p.name, swanPath) || p.name == gcmPlain || strings.HasPrefix(p.name, gcm50By):
		return []int{1}
	}
	return []int{1, 4, 8}
}

// tries is how often one measurement is begun.
const tries = 3

// tcp measures TCP on all paths.
func (t *tunnelRun) tcp(ctx context.Context) error {
	var flows []*flow
	for _, p := range t.paths {
		for _, n := range t.streamsTable(p) {
			flows = append(flows, &flow{path: p, streams: n})
		}
	}
	plan := t.plan(pace{quick: 15 * time.Second, full: 15 * time.Minute, quickSlice: time.Second, fullSlice: 2 * time.Second})
	values, err := plan.run(ctx, len(flows), func(i int) (float64, error) {
		for try := 1; ; try++ { // a connection may fail to come about where packets are lost
			result, err := flows[i].measure(ctx, plan.slice)
			if err == nil {
				return result.mbit, nil
			}
			err = fmt.Errorf("TCP over %s: %w", flows[i].name, err)
			if try == tries || ctx.Err() != nil || !errors.Is(err, errIperf) {
				return 0, err
			}
			t.say("  once more: %v", err)
		}
	})
	if err != nil {
		return err
	}
	void := voidRounds(values[0])
	t.t.Void += len(void)
	t.t.Iperf, t.t.Congestion = flows[0].results[0].version, flows[0].results[0].congestion
	control := without(values[0], void)
	for i, f := range flows {
		f.values = without(values[i], void)
		row := TunnelRow{Path: f.name, Streams: f.streams, Mbit: newSample(f.values), VsVeth: newSample(ratios(f.values, control)), Load: f.load()}
		var again []float64
		for _, r := range f.results {
			again = append(again, r.retransmits)
		}
		row.Retransmits = newSample(again).Median
		t.t.Rows = append(t.t.Rows, row)
		t.say("  TCP, %d streams, %s: %.0f Mbit/s, limited by %s", f.streams, f.name, row.Mbit.Median, row.Limit)
	}
	t.headline(flows)
	t.compareTCP(flows)
	return nil
}

// measure runs iperf3 once, and checks by the tunnel's own counters which way the packets took.
func (f *flow) measure(ctx context.Context, d time.Duration) (result iperfResult, err error) {
	before, err := f.moved(ctx)
	if err != nil {
		return result, err
	}
	err = f.observe(f.pair, func() error {
		result, err = iperf(ctx, f.from, f.to, f.streams, d)
		return err
	})
	if err != nil {
		return result, err
	}
	after, err := f.moved(ctx)
	if err != nil {
		return result, err
	}
	if f.kind != nil && after-before < uint64(result.bytes) {
		return result, fmt.Errorf("the tunnel carried %d bytes, but %.0f arrived: they took another way", after-before, result.bytes)
	}
	f.results = append(f.results, result)
	return result, nil
}

// moved is how many bytes the tunnel has taken from the left site: by the SA's counter where there is one
// to be read, else by the TUN device's.
func (p *path) moved(ctx context.Context) (uint64, error) {
	switch kind := p.kind.(type) {
	case nil:
		return 0, nil
	case *meshTunnel:
		return kind.sealed(ctx)
	}
	c, err := p.pair.left.ns.statistics(p.pair.left.device)
	return c.TxBytes, err
}

// flowOf finds a flow, or nil.
func flowOf(flows []*flow, name string, streams int) *flow {
	for _, f := range flows {
		if f.name == name && f.streams == streams {
			return f
		}
	}
	return nil
}

func (t *tunnelRun) headline(flows []*flow) {
	for _, h := range []struct {
		name, path string
		value      *float64
	}{{"tcp_veth_mbit", vethPath, &t.t.TCPVeth}, {"tcp_3des_mbit", des3UDP, &t.t.TCP3DES}, {"tcp_aes_gcm_128_mbit", gcmUDP, &t.t.TCPGCM}} {
		if f := flowOf(flows, h.path, 1); f != nil {
			*h.value = t.doc.note(h.name, f.values)
		}
	}
}

// compare adds a comparison, and returns its ratio.
func (t *tunnelRun) compare(name, a, b string, x, y []float64) *float64 {
	s := newSample(ratios(x, y))
	t.doc.Spread[name] = s
	c := Comparison{Name: name, Ours: a, Theirs: b, Ratio: s}
	win := s.Median
	if strings.HasPrefix(name, "latency") && win > 0 {
		win = 1 / win
	}
	if win > suspectWin {
		c.Explanation = explain(name)
		c.Suspect = c.Explanation == ""
	}
	t.t.Comparisons = append(t.t.Comparisons, c)
	return &s.Median
}

func (t *tunnelRun) compareTCP(flows []*flow) {
	add := func(name, a, b string, streams int) *float64 {
		x, y := flowOf(flows, a, streams), flowOf(flows, b, streams)
		if x == nil || y == nil {
			return nil
		}
		return t.compare(name, a, b, x.values, y.values)
	}
	t.t.TCPVsWireGuard = add("tcp_vs_wireguard_go", gcmUDP, wireguardPath, 1)
	for _, n := range []int{4, 8} {
		add(fmt.Sprintf("tcp%d_vs_wireguard_go", n), gcmUDP, wireguardPath, n)
	}
	for _, p := range []struct{ short, path string }{{"esp", gcm50}, {"3des", des3UDP}, {"cbc", cbcUDP}} {
		add("tcp_"+p.short+"_vs_wireguard_go", p.path, wireguardPath, 1)
		for _, n := range []int{4, 8} {
			add(fmt.Sprintf("tcp%d_%s_vs_wireguard_go", n, p.short), p.path, wireguardPath, n)
		}
	}
	add("tcp_gcm_vs_strongswan", gcmUDP, swanPath+"aes128gcm16", 1)
	add("tcp_no_offloads_vs_strongswan", gcmPlain, swanPath+"aes128gcm16", 1)
	add("tcp_3des_vs_strongswan", des3UDP, swanPath+"3des-sha1", 1)
	add("tcp_cbc_vs_strongswan", cbcUDP, swanPath+"aes128-sha1", 1)
}

// A datagramFlow is UDP packets of one size on one path.
type datagramFlow struct {
	*path
	bytes int
	tally
	rates   []float64 // the highest that held, by round, void or not
	latency []latencyResult
}

// udpTable is which sizes each path gets.
func (t *tunnelRun) udpTable(p *path) []int {
	switch p.name {
	case gcmUDP, wireguardPath:
		if t.Quick {
			return []int{64}
		}
		return []int{64, 512, 1340}
	case gcm50:
		if t.Quick {
			return nil
		}
		return []int{64, 512, 1340}
	case des3UDP, vethPath, swanPath + "aes128gcm16":
		if t.Quick {
			return nil
		}
		return []int{64, 1340}
	}
	return nil
}

// udp finds the highest rates and the latency at half of wireguard-go's.
func (t *tunnelRun) udp(ctx context.Context) error {
	var flows []*datagramFlow
	for _, p := range t.paths {
		for _, n := range t.udpTable(p) {
			flows = append(flows, &datagramFlow{path: p, bytes: n})
			if p.stream == nil {
				var err error
				if p.stream, err = newStream(p.pair, t.Binary, p.from.address, p.to.address); err != nil {
					return err
				}
			}
		}
	}
	control := t.find(vethPath)
	if control.stream == nil {
		var err error
		if control.stream, err = newStream(control.pair, t.Binary, control.from.address, control.to.address); err != nil {
			return err
		}
	}
	plan := t.plan(pace{quick: 9 * time.Second, full: 12 * time.Minute, quickSlice: 100 * time.Millisecond, fullSlice: 300 * time.Millisecond})
	s := search{1.3, 3}
	if t.Quick {
		s.halvings = 2
	}
	for _, f := range flows { // find out where to begin
		if err := ctx.Err(); err != nil {
			return err
		}
		rate, err := search{2, 1}.highest(20_000, func(rate float64) (bool, error) { return f.holds(rate, plan.slice/2) })
		if err != nil {
			return err
		}
		f.rates = []float64{max(rate, 100)}
	}
	// One entry for each flow, one for each flow's latency, and the control.
	n := len(flows)
	var floods []float64
	values, err := plan.run(ctx, 2*n+1, func(i int) (float64, error) {
		switch {
		case i < n:
			return flows[i].highest(s, plan.slice)
		case i < 2*n:
			return 0, t.measureLatency(flows, flows[i-n], plan.slice)
		}
		const flood = 1e8 // more than anything sends
		r, err := control.stream.offer(64, flood, plan.slice)
		floods = append(floods, r.arrived)
		return r.arrived, err
	})
	if err != nil {
		return err
	}
	void := voidRounds(floods)
	t.t.Void += len(void)
	for i, f := range flows {
		f.rates = without(values[i], void)
		row := UDPRow{Path: f.name, Bytes: f.bytes, Packets: newSample(f.rates), Load: f.load()}
		t.t.UDP = append(t.t.UDP, row)
		t.say("  UDP, %d bytes, %s: %.0f packets/s, limited by %s", f.bytes, f.name, row.Packets.Median, row.Limit)
		if len(f.latency) > 0 {
			t.t.Latency = append(t.t.Latency, f.latencyRow(void))
		}
	}
	t.compareUDP(flows, void)
	return nil
}

func (f *datagramFlow) holds(rate float64, d time.Duration) (bool, error) {
	r, err := f.stream.offer(f.bytes, rate, d)
	return r.held(), err
}

// highest finds the highest rate, beginning near the median of what was found before.
func (f *datagramFlow) highest(s search, d time.Duration) (rate float64, err error) {
	hint := newSample(f.rates).Median
	err = f.observe(f.pair, func() error {
		rate, err = s.highest(hint, func(rate float64) (bool, error) { return f.holds(rate, d) })
		return err
	})
	f.rates = append(f.rates, max(rate, 1))
	return rate, err
}

// measureLatency offers half of what wireguard-go was seen to carry.
func (t *tunnelRun) measureLatency(flows []*datagramFlow, f *datagramFlow, d time.Duration) error {
	if f.name != gcmUDP && f.name != gcm50 && f.name != wireguardPath {
		return nil
	}
	for _, wg := range flows {
		if wg.name != wireguardPath || wg.bytes != f.bytes {
			continue
		}
		before := f.pair.switches()
		r, err := f.stream.offer(f.bytes, newSample(wg.rates).Median/2, 2*d)
		f.latency = append(f.latency, latencyResult{r, float64(f.pair.switches()-before) / max(r.sent, 1)})
		return err
	}
	return nil
}

// A latencyResult is a blastResult with how often the routers gave up a core, by packet.
type latencyResult struct {
	blastResult
	switches float64
}

// microseconds takes one figure out of each round's latencies.
func (f *datagramFlow) microseconds(void map[int]bool, of func(blastResult) time.Duration) (us []float64) {
	for _, r := range without(f.latency, void) {
		us = append(us, of(r.blastResult).Seconds()*1e6)
	}
	return us
}

func p50(r blastResult) time.Duration  { return r.p50 }
func p99(r blastResult) time.Duration  { return r.p99 }
func p999(r blastResult) time.Duration { return r.p999 }

func (f *datagramFlow) latencyRow(void map[int]bool) LatencyRow {
	var offered, switches []float64
	for _, r := range without(f.latency, void) {
		offered, switches = append(offered, r.offered), append(switches, r.switches)
	}
	return LatencyRow{
		Path: f.name, Bytes: f.bytes, Packets: newSample(offered), P50: newSample(f.microseconds(void, p50)),
		P99: newSample(f.microseconds(void, p99)), P999: newSample(f.microseconds(void, p999)),
		Switches: newSample(switches),
	}
}

func (t *tunnelRun) compareUDP(flows []*datagramFlow, void map[int]bool) {
	find := func(name string, bytes int) *datagramFlow {
		for _, f := range flows {
			if f.name == name && f.bytes == bytes {
				return f
			}
		}
		return nil
	}
	for _, bytes := range []int{64, 512, 1340} {
		wg := find(wireguardPath, bytes)
		for _, own := range []struct{ short, path string }{{"", gcmUDP}, {"_esp", gcm50}, {"_3des", des3UDP}} {
			f := find(own.path, bytes)
			if f == nil || wg == nil {
				continue
			}
			ratio := t.compare(fmt.Sprintf("udp%d%s_vs_wireguard_go", bytes, own.short), own.path, wireguardPath, f.rates, wg.rates)
			if own.short == "" && bytes == 64 {
				t.t.UDP64VsWireGuard = ratio
			}
			if len(f.latency) == 0 {
				continue
			}
			for _, q := range []struct {
				name string
				of   func(blastResult) time.Duration
			}{{"p50", p50}, {"p99", p99}, {"p999", p999}} {
				t.compare(fmt.Sprintf("latency%d%s_%s_vs_wireguard_go", bytes, own.short, q.name), own.path, wireguardPath,
					f.microseconds(void, q.of), wg.microseconds(void, q.of))
			}
		}
	}
	if f, swan := find(gcmUDP, 64), find(swanPath+"aes128gcm16", 64); f != nil && swan != nil {
		t.compare("udp64_vs_strongswan", gcmUDP, swan.name, f.rates, swan.rates)
	}
}

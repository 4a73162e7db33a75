package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"time"

	"meshrouter/dataplane"
	"meshrouter/dataplane/esp"
	"meshrouter/dataplane/fib"
	"meshrouter/dataplane/segment"
	"meshrouter/dataplane/underlay"
	"meshrouter/internal/ipv4"
	"meshrouter/tun"
)

const (
	scaleBytes   = 64 // of each IP packet
	scaleBatch   = 64 // packets on their way at a time
	mostTunnels  = 10_000
	mostRoutes   = 100_000
	scaleTargets = 1 << 14 // destinations that traffic goes round
)

// The kinds of rows.
const (
	oneTunnel  = "tunnels, traffic on one"
	overAll    = "tunnels, traffic on all"
	overRoutes = "routes"
)

// scaleTable is what is built; the first of each kind is what the others are compared with.
var scaleTable = []scaleOf{
	{oneTunnel, 1, 1}, {oneTunnel, 100, 100}, {oneTunnel, mostTunnels, mostTunnels},
	{overAll, 16, 16}, {overAll, 1000, 1000},
	{overRoutes, 16, 16}, {overRoutes, 16, 1000}, {overRoutes, 16, mostRoutes},
}

// A scaleOf is what one rig is built of.
type scaleOf struct {
	what            string
	tunnels, routes int
}

// A rig is two engines on a wire of memory, with tunnels between them: what the host behind the left one
// sends comes out behind the right one.
type rig struct {
	engines [2]*dataplane.Engine
	hosts   [2]*tun.Device
	devices [2]*tun.Device
	stop    func()
	targets []netip.Addr // destinations behind the tunnels, to be gone round
	next    int
	packets []byte // scaleBatch of them
	groups  []segment.Group
}

// destination is network i behind the right site: a /32.
func destination(i int) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 10<<24|1<<23|uint32(i)))) //nolint:gosec // small
}

func newRig(tunnels, routes int) (r *rig, err error) {
	r = &rig{}
	hub := underlay.NewHub()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	r.stop = func() {
		cancel()
		running.Wait()
		for _, d := range append(r.devices[:], r.hosts[:]...) {
			_ = d.Close()
		}
	}
	for i := range r.engines {
		r.devices[i], r.hosts[i] = tun.Pair()
		e, err := dataplane.New(dataplane.Config{Queues: []dataplane.Queue{r.devices[i].Queues()[0]}, Underlay: hub.Join(endTable[i])})
		if err != nil {
			cancel()
			return nil, err
		}
		r.engines[i] = e
		running.Go(func() { _ = e.Run(ctx) }) // ends with ctx
	}
	if err := r.connect(tunnels, routes); err != nil {
		r.stop()
		return nil, err
	}
	return r, nil
}

// connect gives both engines the tunnels, with an SA pair each, and the routes, spread over them.
func (r *rig) connect(tunnels, routes int) error {
	all := make([]fib.Route, routes)
	for i := range all {
		all[i] = fib.Route{Prefix: netip.PrefixFrom(destination(i), 32), NextHops: []fib.NextHop{{Tunnel: fib.TunnelID(i % tunnels)}}} //nolint:gosec // small
	}
	for end, e := range r.engines {
		if err := addTunnels(e, end, tunnels); err != nil {
			return err
		}
		if end == 0 {
			e.Update(func(u *dataplane.Update) { u.SetRoutes(all, nil) })
		} else {
			local := fib.Route{Prefix: netip.PrefixFrom(destination(0), 9), NextHops: []fib.NextHop{{Local: true}}}
			e.Update(func(u *dataplane.Update) { u.SetRoutes([]fib.Route{local}, nil) })
		}
	}
	return nil
}

// addTunnels adds n tunnels with SAs to one of the ends.
func addTunnels(e *dataplane.Engine, end, n int) error {
	var errs []error
	e.Update(func(u *dataplane.Update) {
		for i := range n {
			id := fib.TunnelID(i)
			inner := func(end int) netip.Addr { return destination(1<<20 + 2*i + end) }
			u.SetTunnel(dataplane.TunnelConfig{ID: id, Name: fmt.Sprint(i), Local: inner(end), Remote: inner(1 - end), Address: inner(end), MTU: 1400})
			in, err := esp.NewInbound(scaleSA(i, 1-end))
			if err != nil {
				errs = append(errs, err)
				return
			}
			out, err := esp.NewOutbound(scaleSA(i, end))
			if err != nil {
				errs = append(errs, err)
				return
			}
			u.AddInbound(id, in)
			u.SetOutbound(id, out)
		}
	})
	return errors.Join(errs...)
}

// scaleSA is the SA that carries what that end sends into tunnel i.
func scaleSA(i, from int) esp.Params {
	k := key(20)
	binary.BigEndian.PutUint32(k, uint32(2*i+from)) //nolint:gosec // small
	return esp.Params{
		SPI: uint32(1<<28 + 2*i + from), Cipher: esp.AESGCM16, EncKey: k, Mode: esp.Tunnel, //nolint:gosec // small
		Src: netip.AddrPortFrom(endTable[from], underlay.NATPort), Dst: netip.AddrPortFrom(endTable[1-from], underlay.NATPort),
	}
}

// aim makes traffic go round the first n routes, in random order.
func (r *rig) aim(n int) {
	random := rand.New(rand.NewPCG(uint64(n), 64)) //nolint:gosec // an order, no secret
	r.targets = make([]netip.Addr, scaleTargets)
	for i := range r.targets {
		r.targets[i] = destination(i % n)
		if n > scaleTargets {
			r.targets[i] = destination(random.IntN(n))
		}
	}
	random.Shuffle(len(r.targets), func(i, j int) { r.targets[i], r.targets[j] = r.targets[j], r.targets[i] })
	for range scaleBatch {
		f := ipv4.Fields{TTL: 64, Protocol: 17, Src: endTable[0], Dst: r.targets[0]}
		p := ipv4.AppendHeader(nil, f, scaleBytes-ipv4.HeaderLen)
		p = append(p, make([]byte, scaleBytes-ipv4.HeaderLen)...)
		binary.BigEndian.PutUint16(p[ipv4.HeaderLen+4:], scaleBytes-ipv4.HeaderLen) // UDP length, without a checksum
		r.packets = append(r.packets, p...)
		r.groups = append(r.groups, segment.Group{})
	}
	for i := range r.groups {
		r.groups[i].Pieces = [][]byte{r.packets[i*scaleBytes:][:scaleBytes]}
	}
}

// move sends a batch and waits until all of it has come out.
func (r *rig) move() error {
	for i := range r.groups {
		p := r.groups[i].Pieces[0]
		to := r.targets[r.next%len(r.targets)].As4()
		copy(p[16:], to[:])
		p[10], p[11] = 0, 0
		binary.BigEndian.PutUint16(p[10:], ipv4.Checksum(p[:ipv4.HeaderLen], 0))
		r.next++
	}
	if _, err := r.hosts[0].Queues()[0].Write(r.groups); err != nil {
		return err
	}
	for got := 0; got < scaleBatch; {
		ps, err := r.hosts[1].Queues()[0].Read()
		if err != nil {
			return err
		}
		got += len(ps)
	}
	return nil
}

// scale measures what many tunnels and routes cost.
func (r *run) scale(ctx context.Context) error {
	s := &Scale{}
	r.doc.Scale = s
	var err error
	if s.TunnelsMbyte, err = tunnelsMemory(mostTunnels); err != nil {
		return err
	}
	s.TunnelBytes = digits(s.TunnelsMbyte * 1e6 / mostTunnels)
	rigs := make([]*rig, len(scaleTable))
	defer func() {
		for _, rig := range rigs {
			if rig != nil {
				rig.stop()
			}
		}
	}()
	for i, of := range scaleTable {
		if err := ctx.Err(); err != nil {
			return err
		}
		if rigs[i], err = newRig(of.tunnels, of.routes); err != nil {
			return fmt.Errorf("%d tunnels, %d routes: %w", of.tunnels, of.routes, err)
		}
		rigs[i].aim(of.routes)
		if of.what == oneTunnel {
			rigs[i].aimAt(of.tunnels - 1)
		}
	}
	runtime.GC()
	plan := r.plan(pace{quick: 2500 * time.Millisecond, full: time.Minute, quickSlice: 20 * time.Millisecond, fullSlice: 200 * time.Millisecond})
	var failure error
	n := len(rigs)
	values, err := plan.run(ctx, n+1, func(i int) (float64, error) {
		if i == n {
			return fibChange(rigs[n-1].engines[0]), nil
		}
		perBatch := perSecond(plan.slice, func() { failure = errors.Join(failure, rigs[i].move()) })
		return 1e9 / perBatch / scaleBatch, failure
	})
	if err != nil {
		return err
	}
	s.FIBChange = newSample(values[n])
	r.doc.Spread["scale.fib_change_us"] = s.FIBChange
	least := 0
	for i, of := range scaleTable {
		if of.what != scaleTable[least].what {
			least = i
		}
		count := of.tunnels
		if of.what == overRoutes {
			count = of.routes
		}
		row := ScaleRow{What: of.what, Count: count, NS: newSample(values[i]), VsLeast: newSample(ratios(values[i], values[least]))}
		s.Rows = append(s.Rows, row)
		r.doc.Spread[fmt.Sprintf("scale.%s.%d", of.what, count)] = row.VsLeast
	}
	r.doc.Spread["scale.tunnel_bytes"] = Sample{s.TunnelBytes, s.TunnelBytes, s.TunnelBytes, 1}
	r.doc.Spread["scale.tunnels_10000_mbyte"] = Sample{s.TunnelsMbyte, s.TunnelsMbyte, s.TunnelsMbyte, 1}
	r.say("  an idle tunnel takes %.0f bytes; one route among %d changes in %.1f µs", s.TunnelBytes, mostRoutes, s.FIBChange.Median)
	return nil
}

// aimAt makes all traffic go to one destination.
func (r *rig) aimAt(i int) {
	for j := range r.targets {
		r.targets[j] = destination(i)
	}
}

// fibChange is the median of the time in which one route among many is changed, µs.
func fibChange(e *dataplane.Engine) float64 {
	const times = 64
	us := make([]float64, times)
	for i := range us {
		p := netip.PrefixFrom(destination(mostRoutes/2+i), 32)
		change := []fib.Route{{Prefix: p, NextHops: []fib.NextHop{{Tunnel: fib.TunnelID(i % 16)}}}}
		begun := time.Now()
		e.Update(func(u *dataplane.Update) { u.SetRoutes(change, nil) })
		us[i] = time.Since(begun).Seconds() * 1e6
	}
	slices.Sort(us)
	return quantile(us, 0.5)
}

// tunnelsMemory is what the data plane's memory grows by with n idle tunnels, 10^6 bytes.
func tunnelsMemory(n int) (float64, error) {
	r, err := newRig(1, 1)
	if err != nil {
		return 0, err
	}
	defer r.stop()
	before := memoryInUse()
	if err := addTunnels(r.engines[0], 0, n); err != nil {
		return 0, err
	}
	return digits((memoryInUse() - before) / 1e6), nil
}

// memoryInUse is heap and stacks, with what is lost between objects.
func memoryInUse() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers and pools kept
	runtime.ReadMemStats(&m)
	return float64(m.HeapInuse + m.StackInuse)
}

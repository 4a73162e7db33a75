package router

import (
	"log/slog"
	"runtime"
	"time"

	"meshrouter/dataplane/underlay"
	"meshrouter/mesh"
	"meshrouter/status"
	"meshrouter/tun"
)

// underlayOptions are the switches of the mesh file in the words of package underlay.
func underlayOptions(o mesh.Offload, log *slog.Logger) underlay.Options {
	position := func(on bool) underlay.Switch {
		if on {
			return underlay.On
		}
		return underlay.Off
	}
	return underlay.Options{
		Receivers: o.Queues, UDPSegment: position(o.UDPSegment), UDPGRO: position(o.UDPGRO),
		Timestamps: position(o.Timestamps), Steering: position(o.Steering), Protocol50: o.Protocol50, Logger: log,
	}
}

// tunConfig is the TUN device of a plan. Its readers seal and its receivers open, so half the CPUs read.
func (r *Router) tunConfig(p *plan) tun.Config {
	c := tun.Config{Name: p.site.TUN, MTU: p.deviceMTU(), Backend: r.opts.TUNBackend, Persist: true, Queues: p.site.Offload.Queues}
	if c.Queues == 0 && c.Backend != tun.Water {
		c.Queues = min(max(runtime.NumCPU()/2, 1), maxQueues)
	}
	if !p.site.Offload.TUN {
		c.Offload = tun.Off
	}
	return c
}

// maxQueues bounds the queues that we open unasked.
const maxQueues = 8

// offloads are the fast ways of this process, as they came out.
func (r *Router) offloads() []status.Offload {
	all := []status.Offload{}
	for _, o := range r.device.Offloads() {
		all = append(all, status.Offload{Name: o.Name, On: o.On, Reason: o.Reason})
	}
	for _, o := range r.sockets.Offloads() {
		all = append(all, status.Offload{Name: o.Name, On: o.On, Reason: o.Reason})
	}
	return all
}

// logOffloads says what is on, and of what is off, why.
func (r *Router) logOffloads() {
	for _, o := range r.offloads() {
		r.log.Info("offload", slog.String("name", o.Name), slog.Bool("on", o.On), slog.String("reason", o.Reason))
	}
}

// workers says how busy the data plane is.
func (r *Router) workers() []status.Worker {
	msec := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	all := []status.Worker{}
	for _, l := range r.dp.Loads() {
		all = append(all, status.Worker{
			Name: l.Worker, Batches: l.Batches, Packets: l.Packets,
			BusyMsec: msec(l.Busy), MaxBusyMsec: msec(l.MaxBusy), WaitMsec: msec(l.Wait), MaxWaitMsec: msec(l.MaxWait),
		})
	}
	return all
}

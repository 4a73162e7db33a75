package router

import (
	"log/slog"
	"net/netip"
	"time"

	"meshrouter/internal/ipv4"
	"meshrouter/ospf"
)

const (
	protocolOSPF = 89   // RFC 2328, A.1
	tosControl   = 0xc0 // precedence internetwork control
)

// doOSPF does what one step of the OSPF instance asks for, in order. It runs on the OSPF loop.
func (r *Router) doOSPF(outs []ospf.Output) {
	for _, o := range outs {
		switch o := o.(type) {
		case ospf.Send:
			r.sendOSPF(o)
		case ospf.RoutesChanged:
			r.routes.change(time.Now(), o)
		case ospf.NeighborChanged:
			r.neighborChanged(o)
		case ospf.ReserveSequence:
			r.state.SetSequence(o.UpTo)
		case ospf.Event:
			level := slog.LevelDebug
			if o.Warning {
				level = slog.LevelWarn
			}
			r.limited.log(level, "ospf/"+o.Name+"/"+o.Interface, "ospf", slog.String("interface", o.Interface),
				slog.String("event", o.Name), slog.String("text", o.Text))
		}
	}
}

// sendOSPF puts an IPv4 header before the packet and sends it into its tunnel (RFC 2328, A.1).
func (r *Router) sendOSPF(s ospf.Send) {
	l := r.plan.Load().links[s.Interface]
	if l == nil {
		return // a passive LAN, or a link that has just gone
	}
	packet := ipv4.AppendHeader(make([]byte, 0, 20+len(s.Payload)), ipv4.Fields{
		TOS: tosControl, TTL: 1, Protocol: protocolOSPF, ID: uint16(r.packetID.Add(1)), //nolint:gosec // wraps
		Src: l.TunnelLocal.Addr(), Dst: s.Dst,
	}, len(s.Payload))
	if err := r.dp.Inject(l.id, append(packet, s.Payload...)); err != nil {
		r.limited.log(slog.LevelDebug, "inject/"+l.Link, "OSPF packet not sent", slog.String("link", l.Link), slog.Any("error", err))
	}
}

// neighborChanged logs adjacencies that come and go.
func (r *Router) neighborChanged(o ospf.NeighborChanged) {
	attrs := []any{
		slog.String("interface", o.Interface), slog.String("neighbor", dotted(o.Neighbor).String()), slog.String("address", addrString(o.Addr)),
		slog.String("from", o.From.String()), slog.String("to", o.To.String()), slog.String("reason", o.Reason),
	}
	if o.To == ospf.Full || o.From == ospf.Full || o.To == ospf.Down {
		r.log.Info("neighbor changed", attrs...)
		return
	}
	r.log.Debug("neighbor changed", attrs...)
}

func addrString(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

package status

import (
	"fmt"
	"io"
)

// The views that neither ospfctl nor ipsecctl has.

// Table prints each tunnel with its six addresses and the sum of its MTU.
func (d TunnelsDoc) Table(w io.Writer) {
	for i, t := range d.Tunnels {
		if i > 0 {
			printf(w, "\n")
		}
		state := "up"
		if !t.Up {
			state = "down"
		}
		if t.Reason != "" {
			state += ": " + t.Reason
		}
		printf(w, "%s to %s is %s\n", t.Link, t.Peer, state)
		printf(w, "  outer   %-18s -> %s\n", address(t.Local), address(t.Remote))
		key := ""
		if t.GREKey != nil {
			key = fmt.Sprintf(" key 0x%x", *t.GREKey)
		}
		printf(w, "  gre     %-18s -> %s%s\n", address(t.GRELocal), address(t.GRERemote), key)
		printf(w, "  tunnel  %-18s -> %s\n", t.TunnelLocal, t.TunnelRemote)
		printf(w, "  suite   %s, %s mode\n", t.Suite, t.Mode)
		printf(w, "  mtu     %d bytes: %s\n", t.MTUBytes, t.MTUSum)
		if t.PathMTUBytes != 0 {
			printf(w, "  path    %d bytes came through whole\n", t.PathMTUBytes)
		}
		printf(w, "  in      %d packets, %d bytes\n", t.PacketsIn, t.BytesIn)
		printf(w, "  out     %d packets, %d bytes\n", t.PacketsOut, t.BytesOut)
	}
}

// Table prints one line a peer, and below it why one is not up.
func (d IKEDoc) Table(w io.Writer) {
	printf(w, "%-20s %-11s %-9s %-33s %-26s %-6s %-9s %3s\n", "Link", "State", "Role", "Cookies", "Phase1", "NAT", "Expires", "SAs")
	var why []string
	for _, p := range d.Peers {
		role, cookies, phase1, expires := "-", "-", "-", "-"
		if p.Role != "" {
			role, cookies, phase1, expires = p.Role, p.InitiatorCookie+"/"+p.ResponderCookie, p.Phase1, timeframe(p.ExpiresInSeconds)
		}
		printf(w, "%-20s %-11s %-9s %-33s %-26s %-6s %-9s %3d\n", p.Link, p.State, role, cookies, phase1, p.NAT, expires, p.SAs)
		if p.State != "up" && p.Reason != "" {
			why = append(why, p.Link+": "+p.Reason)
		}
		if p.NHTB.IsValid() {
			why = append(why, p.Link+": the peer's tunnel interface has "+p.NHTB.String()+" (NHTB)")
		}
	}
	explain(w, why)
}

// Table prints one line a counter.
func (d CountersDoc) Table(w io.Writer) {
	printf(w, "%-10s %-40s %20s\n", "Subsystem", "Name", "Value")
	for _, c := range d.Counters {
		printf(w, "%-10s %-40s %20d\n", c.Subsystem, c.Name, c.Value)
	}
}

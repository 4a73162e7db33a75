package status

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
)

// The formats of ospfctl(8), which a row longer than its column pushes to the right as there.

// timeframe writes seconds as ospfctl does: 01:02:03, 1d02h03m, 01w2d03h.
func timeframe(seconds float64) string {
	t := uint64(max(seconds, 0))
	s, m, h, d, w := t%60, t/60%60, t/3600%24, t/86400%7, t/604800
	switch {
	case w > 0:
		return fmt.Sprintf("%02dw%dd%02dh", w, d, h)
	case d > 0:
		return fmt.Sprintf("%dd%02dh%02dm", d, h, m)
	}
	return fmt.Sprintf("%02d:%02d:%02d", h, m, s)
}

// address writes an address, or nothing if it is not valid.
func address(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// Table prints `ospfctl show neighbor`. Neighbors that are not FULL are explained below it.
func (d NeighborsDoc) Table(w io.Writer) {
	printf(w, "%-15s %-3s %-12s %-8s %-15s %-9s %s\n", "ID", "Pri", "State", "DeadTime", "Address", "Iface", "Uptime")
	var why []string
	for _, n := range d.Neighbors {
		uptime := "-"
		if n.State == "FULL" {
			uptime = timeframe(n.UptimeSeconds)
		} else if n.Reason != "" {
			why = append(why, fmt.Sprintf("%s on %s is %s: %s", address(n.ID), n.Interface, n.State, n.Reason))
		}
		printf(w, "%-15s %-3d %-12s %-9s", address(n.ID), n.Priority, n.State+"/"+n.InterfaceState, timeframe(n.DeadInSeconds))
		printf(w, "%-15s %-9s %s\n", address(n.Address), n.Interface, uptime)
	}
	for _, s := range d.Silent {
		why = append(why, fmt.Sprintf("no neighbor on %s: %s", s.Interface, s.Reason))
	}
	explain(w, why)
}

// explain prints what ospfctl has no column for.
func explain(w io.Writer, lines []string) {
	if len(lines) > 0 {
		printf(w, "\n%s\n", strings.Join(lines, "\n"))
	}
}

// Table prints `ospfctl show interfaces`. What is wrong with one is explained below it.
func (d InterfacesDoc) Table(w io.Writer) {
	printf(w, "%-11s %-18s %-6s %-10s %-10s %-8s %3s %3s\n", "Interface", "Address", "State", "HelloTimer", "Linkstate", "Uptime", "nc", "ac")
	var why []string
	for _, i := range d.Interfaces {
		hello := "-"
		if !i.Passive {
			hello = timeframe(i.HelloInSeconds)
		}
		printf(w, "%-11s %-18s %-6s %-10s %-10s %s %3d %3d\n",
			i.Name, i.Address, i.State, hello, i.LinkState, timeframe(i.UptimeSeconds), i.Neighbors, i.Adjacent)
		for _, reason := range []string{i.Reason, i.LastError} {
			if reason != "" {
				why = append(why, i.Name+": "+reason)
			}
		}
	}
	explain(w, why)
}

// Table prints `ospfctl show rib`.
func (d RIBDoc) Table(w io.Writer) {
	printf(w, "%-20s %-17s %-12s %-9s %-7s %-8s\n", "Destination", "Nexthop", "Path Type", "Type", "Cost", "Uptime")
	for _, r := range d.Routes {
		destination := r.Destination.String()
		if r.Type == "Router" {
			destination = address(r.Destination.Addr())
		}
		mark := " "
		if r.Connected {
			mark = "C"
		}
		printf(w, "%-20s %-16s%s %-12s %-9s %-7d %s\n",
			destination, address(r.Nexthop), mark, r.PathType, r.Type, r.Cost, timeframe(r.UptimeSeconds))
	}
}

// Table prints `ospfctl show fib`. In place of the `*` of a valid row stands a `!` where OSPF's
// table, ours and the kernel's differ, and how they do stands behind it.
func (d FIBDoc) Table(w io.Writer) {
	printf(w, "flags: * = valid, O = OSPF, C = Connected, S = Static")
	if slices.ContainsFunc(d.Entries, FIBEntry.Differs) {
		printf(w, ", ! = differs")
	}
	printf(w, "\n%-6s %-4s %-20s %-17s\n", "Flags", "Prio", "Destination", "Nexthop")
	for _, e := range d.Entries {
		valid, origin := "*", " "
		if e.Differs() {
			valid = "!"
		}
		switch e.Origin {
		case "ospf":
			origin = "O"
		case "connected":
			origin = "C"
		case "static":
			origin = "S"
		}
		nexthop := e.Interface
		if e.Nexthop.IsValid() {
			nexthop = e.Nexthop.String()
		}
		if why := e.difference(); why != "" {
			nexthop = fmt.Sprintf("%-17s %s", nexthop, why)
		}
		printf(w, "%s%s     %4d %-20s %s\n", valid, origin, e.Priority, e.Destination, nexthop)
	}
}

// Differs says whether the three tables disagree about the row.
func (e FIBEntry) Differs() bool {
	return e.Difference != "" || !e.InRIB || !e.InFIB || !e.InKernel
}

// difference says in which tables a row is missing, unless the router said it better.
func (e FIBEntry) difference() string {
	if !e.Differs() {
		return ""
	}
	if e.Difference != "" {
		return e.Difference
	}
	var missing []string
	for _, t := range []struct {
		in   bool
		name string
	}{{e.InRIB, "OSPF's table"}, {e.InFIB, "the forwarding table"}, {e.InKernel, "the kernel"}} {
		if !t.in {
			missing = append(missing, t.name)
		}
	}
	return "not in " + strings.Join(missing, ", ")
}

// lsaTitle is what ospfctl calls a type of LSA.
func lsaTitle(kind uint8) string {
	switch kind {
	case 1:
		return "Router Link States"
	case 2:
		return "Net Link States"
	case 3:
		return "Summary Net Link States"
	case 4:
		return "Summary Router Link States"
	case 5:
		return "Type-5 AS External Link States"
	case 9:
		return "Type-9 Link Local Opaque Link States"
	case 10:
		return "Type-10 Area Local Opaque Link States"
	case 11:
		return "Type-11 AS Wide Opaque Link States"
	}
	return fmt.Sprintf("Type-%d Link States", kind)
}

// Table prints `ospfctl show database`.
func (d DatabaseDoc) Table(w io.Writer) {
	lsas := slices.Clone(d.LSAs)
	slices.SortStableFunc(lsas, func(a, b LSA) int { return cmp.Compare(a.Type, b.Type) })
	for i, l := range lsas {
		if i == 0 || lsas[i-1].Type != l.Type {
			area := fmt.Sprintf(" (Area %s)", address(d.Area))
			if l.Type == 5 || l.Type == 11 {
				area = ""
			}
			printf(w, "\n%-15s %s%s\n\n", "", lsaTitle(l.Type), area)
			printf(w, "%-15s %-15s %-4s %-10s %-8s\n", "Link ID", "Adv Router", "Age", "Seq#", "Checksum")
		}
		printf(w, "%-15s %-15s %-4d 0x%08x 0x%04x\n", address(l.ID), address(l.AdvRouter), l.AgeSeconds, l.Sequence, l.Checksum)
	}
}

// Table prints `ospfctl show`.
func (d SummaryDoc) Table(w io.Writer) {
	printf(w, "Router ID: %s\n", address(d.RouterID))
	printf(w, "Uptime: %s\n", timeframe(d.UptimeSeconds))
	printf(w, "RFC1583 compatibility flag is disabled\n")
	printf(w, "SPF delay is %d msec(s), hold time between two SPFs is %d msec(s)\n", d.SPFDelayMsec, d.SPFHoldMsec)
	printf(w, "Number of external LSA(s) %d (Checksum sum 0x%x)\n", d.ExternalLSAs, d.ExternalChecksum)
	printf(w, "Number of areas attached to this router: %d\n", len(d.Areas))
	for _, a := range d.Areas {
		printf(w, "\nArea ID: %s\n", address(a.ID))
		printf(w, "  Number of interfaces in this area: %d\n", a.Interfaces)
		printf(w, "  Number of fully adjacent neighbors in this area: %d\n", a.Adjacent)
		printf(w, "  SPF algorithm executed %d time(s)\n", a.SPFRuns)
		printf(w, "  Number LSA(s) %d (Checksum sum 0x%x)\n", a.LSAs, a.ChecksumSum)
	}
	if len(d.Offloads) > 0 {
		printf(w, "\nOffloads:\n")
	}
	for _, o := range d.Offloads {
		state := "off"
		if o.On {
			state = "on"
		}
		printf(w, "%s\n", strings.TrimRight(fmt.Sprintf("  %-12s %-3s %s", o.Name, state, o.Reason), " "))
	}
	if len(d.Workers) > 0 {
		printf(w, "\nWorkers:        packets   batches  batch takes (most)  waits before (most) msec\n")
	}
	for _, k := range d.Workers {
		printf(w, "  %-12s %9d %9d %9.2f %9.2f  %9.2f %9.2f\n", k.Name, k.Packets, k.Batches, k.BusyMsec, k.MaxBusyMsec, k.WaitMsec, k.MaxWaitMsec)
	}
}

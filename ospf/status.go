package ospf

import (
	"slices"
	"time"
)

// Neighbors lists the neighbors, by interface.
func (in *Instance) Neighbors(now time.Time) []NeighborStatus {
	var list []NeighborStatus
	for _, f := range in.interfaces {
		for _, n := range f.neighbors {
			list = append(list, n.status(now))
		}
	}
	return list
}

func (n *neighbor) status(now time.Time) NeighborStatus {
	st := NeighborStatus{
		Interface: n.f.cfg.Name, ID: n.id, Addr: n.addr, Priority: n.priority, State: n.state,
		DeadIn: n.inactivity.left(now), Changes: n.changes, Options: uint8(n.options),
		Summary: len(n.summary), Request: n.requests.len(), Retransmit: n.retransmit.len(),
		LastReason: n.reason,
	}
	if n.state == Full {
		st.Uptime = now.Sub(n.since)
	} else if st.LastReason == "" {
		st.LastReason = n.stuckReason(now)
	}
	return st
}

// Interfaces lists the interfaces, by name, without their keys.
func (in *Instance) Interfaces(now time.Time) []InterfaceStatus {
	var list []InterfaceStatus
	for _, f := range in.interfaces {
		st := InterfaceStatus{
			Config: f.cfg, Up: f.linkUp, State: f.state, Reason: f.reason,
			HelloIn: f.hello.left(now), LastError: f.lastError,
		}
		st.Config.Auth.Keys = slices.Clone(f.cfg.Auth.Keys)
		for i := range st.Config.Auth.Keys {
			st.Config.Auth.Keys[i].Key = nil
		}
		if f.linkUp {
			st.Uptime = now.Sub(f.since)
		}
		for _, n := range f.neighbors {
			if n.state > Down {
				st.Neighbors++
			}
			if n.state == Full {
				st.Adjacent++
			}
		}
		list = append(list, st)
	}
	return list
}

// Routes is the routing table, sorted by prefix.
func (in *Instance) Routes() []Route { return slices.Clone(in.routes) }

// Database lists the LSAs by type, link state id and advertising router, with their ages of now.
func (in *Instance) Database(now time.Time) []LSAStatus {
	entries := slices.Clone(in.db.all)
	slices.SortFunc(entries, func(a, b *lsaEntry) int { return a.key.Compare(b.key) })
	list := make([]LSAStatus, 0, len(entries))
	for _, e := range entries {
		h := e.header(now)
		raw := slices.Clone(e.lsa)
		raw.setAge(h.Age)
		list = append(list, LSAStatus{
			Type: uint8(h.Type), ID: addr(uint32(h.ID)).As4(), AdvRouter: h.AdvRouter, Age: e.age(now),
			Sequence: uint32(h.Sequence), Checksum: h.Checksum, Length: h.Length, Raw: raw, //nolint:gosec // the number as it is on the wire
		})
	}
	return list
}

// Summary sums the instance up.
func (in *Instance) Summary(now time.Time) Summary {
	sum := Summary{
		RouterID: in.cfg.RouterID, Area: in.cfg.Area, LSAs: len(in.db.all),
		Interfaces: len(in.interfaces), SPFRuns: in.spf.runs,
	}
	if !in.started.IsZero() {
		sum.Uptime = now.Sub(in.started)
	}
	if in.spf.runs > 0 {
		sum.LastSPF = now.Sub(in.spf.last)
	}
	for _, e := range in.db.all {
		sum.ChecksumSum += uint32(e.lsa.Header().Checksum)
	}
	for _, f := range in.interfaces {
		for _, n := range f.neighbors {
			if n.state == Full {
				sum.FullCount++
			}
		}
	}
	return sum
}

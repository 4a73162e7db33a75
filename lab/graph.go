package lab

import (
	"slices"

	"meshrouter/mesh"
)

// connected reports whether a and b can reach each other over links other than `without`.
func connected(links []*mesh.Link, a, b *mesh.Site, without *mesh.Link) bool {
	seen := []*mesh.Site{a}
	for i := 0; i < len(seen); i++ {
		for _, l := range links {
			if l == without {
				continue
			}
			if next := otherEnd(l, seen[i]); next != nil && !slices.Contains(seen, next) {
				seen = append(seen, next)
			}
		}
	}
	return slices.Contains(seen, b)
}

// distances is what the cheapest path from a site to each site that it reaches costs: the slow,
// obvious way (Bellman-Ford), as an oracle for OSPF.
func distances(links []*mesh.Link, from *mesh.Site) map[*mesh.Site]int {
	dist := map[*mesh.Site]int{from: 0}
	for changed := true; changed; {
		changed = false
		for _, l := range links {
			for _, end := range []mesh.End{l.EndA, l.EndB} {
				d, known := dist[end.Site]
				if old, ok := dist[end.Peer]; known && (!ok || d+end.Cost < old) {
					dist[end.Peer], changed = d+end.Cost, true
				}
			}
		}
	}
	return dist
}

// pathCost adds up the costs of the links along a path.
func pathCost(links []*mesh.Link, path []*mesh.Site) int {
	sum := 0
	for i := 1; i < len(path); i++ {
		for _, l := range links {
			for _, end := range []mesh.End{l.EndA, l.EndB} {
				if end.Site == path[i-1] && end.Peer == path[i] {
					sum += end.Cost
				}
			}
		}
	}
	return sum
}

// otherEnd returns the site across the link, or nil when s is not at the link.
func otherEnd(l *mesh.Link, s *mesh.Site) *mesh.Site {
	switch s {
	case l.A:
		return l.B
	case l.B:
		return l.A
	}
	return nil
}

// A crossing is a link to cut and two sites with hosts whose traffic crosses it.
type crossing struct {
	link     *mesh.Link
	from, to *mesh.Site
	detour   bool // there is another path
}

// chooseCut picks the first link whose own traffic (between its two sites) crosses it and which
// leaves another path when cut; without one, the first that carries traffic at all. path names the
// sites that traffic between two sites passes now, both ends included.
func chooseCut(inv *mesh.Inventory, hasHost func(*mesh.Site) bool, path func(a, b *mesh.Site) []*mesh.Site) (crossing, bool) {
	var fallback *crossing
	for _, l := range inv.Links {
		if !hasHost(l.A) || !hasHost(l.B) || !crosses(path(l.A, l.B), l) {
			continue
		}
		c := crossing{l, l.A, l.B, connected(inv.Links, l.A, l.B, l)}
		if c.detour {
			return c, true
		}
		if fallback == nil {
			fallback = &c
		}
	}
	if fallback != nil {
		return *fallback, true
	}
	// No link joins two hosts directly (a hub without a LAN): take the first hop of any path.
	for _, a := range inv.Sites {
		for _, b := range inv.Sites {
			if a == b || !hasHost(a) || !hasHost(b) {
				continue
			}
			for _, l := range inv.Links {
				if crosses(path(a, b), l) {
					return crossing{l, a, b, connected(inv.Links, a, b, l)}, true
				}
			}
		}
	}
	return crossing{}, false
}

// crosses reports whether a path of sites uses the link.
func crosses(path []*mesh.Site, l *mesh.Link) bool {
	for i := 1; i < len(path); i++ {
		if otherEnd(l, path[i-1]) == path[i] {
			return true
		}
	}
	return false
}

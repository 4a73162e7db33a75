package lab

import (
	"strings"
	"testing"

	"meshrouter/mesh"
)

// inventory makes an inventory from links "a-b"; sites appear in the order of their first link.
func inventory(links ...string) *mesh.Inventory {
	inv := &mesh.Inventory{}
	site := func(name string) *mesh.Site {
		if s, ok := inv.Site(name); ok {
			return s
		}
		s := &mesh.Site{Name: name, Number: len(inv.Sites) + 1}
		inv.Sites = append(inv.Sites, s)
		return s
	}
	for _, l := range links {
		a, b, _ := strings.Cut(l, "-")
		link := &mesh.Link{Name: l, A: site(a), B: site(b)}
		link.EndA = mesh.End{Link: l, Site: link.A, Peer: link.B, Cost: 10}
		link.EndB = mesh.End{Link: l, Site: link.B, Peer: link.A, Cost: 10}
		inv.Links = append(inv.Links, link)
	}
	return inv
}

func TestChooseCut(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		inv    *mesh.Inventory
		noHost string            // site without a LAN host
		paths  map[string]string // "ab": "a x b"; else a direct link, or none
		want   string            // link, hosts, detour
	}{
		{"the first link of a triangle", inventory("a-b", "b-c", "a-c"), "", nil, "a-b a>b detour"},
		{"traffic that avoids a link cuts another", inventory("a-b", "b-c", "a-c"), "", map[string]string{"ab": "a c b"}, "b-c b>c detour"},
		{"two sites have no detour", inventory("a-b"), "", nil, "a-b a>b alone"},
		{"a link with a detour goes first", inventory("a-b", "b-c", "c-d", "b-d"), "", nil, "b-c b>c detour"},
		{"a hub without a host", inventory("h-a", "h-b"), "h", map[string]string{"ab": "a h b", "ba": "b h a"}, "h-a a>b alone"},
		{"nobody to ask", inventory("a-b"), "b", nil, ""},
	} {
		path := func(a, b *mesh.Site) []*mesh.Site {
			text, ok := tt.paths[a.Name+b.Name]
			if !ok {
				text = a.Name + " " + b.Name
			}
			var sites []*mesh.Site
			for name := range strings.FieldsSeq(text) {
				s, _ := tt.inv.Site(name)
				sites = append(sites, s)
			}
			return sites
		}
		got := ""
		if c, ok := chooseCut(tt.inv, func(s *mesh.Site) bool { return s.Name != tt.noHost }, path); ok {
			got = c.link.Name + " " + c.from.Name + ">" + c.to.Name + map[bool]string{true: " detour", false: " alone"}[c.detour]
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestDistances(t *testing.T) {
	t.Parallel()
	inv := inventory("a-b", "b-c", "a-c", "c-d", "e-f")
	inv.Links[2].EndA.Cost = 50 // a to c; c to a still costs 10
	at := func(name string) *mesh.Site { s, _ := inv.Site(name); return s }
	for _, tt := range []struct {
		from, to string
		want     int // -1: not reached
	}{
		{"a", "a", 0}, {"a", "b", 10}, {"a", "c", 20}, {"c", "a", 10}, {"a", "d", 30}, {"d", "a", 20}, {"a", "e", -1},
	} {
		got, ok := distances(inv.Links, at(tt.from))[at(tt.to)]
		if !ok {
			got = -1
		}
		if got != tt.want {
			t.Errorf("distance from %s to %s is %d, want %d", tt.from, tt.to, got, tt.want)
		}
	}
	if got := pathCost(inv.Links, []*mesh.Site{at("a"), at("c"), at("d")}); got != 60 {
		t.Errorf("a > c > d costs %d, want 60", got)
	}
}

func TestConnected(t *testing.T) {
	t.Parallel()
	inv := inventory("a-b", "b-c", "d-e")
	for _, tt := range []struct {
		a, b    string
		without int // index of a link, or -1
		want    bool
	}{
		{"a", "c", -1, true}, {"a", "c", 1, false}, {"a", "b", 1, true}, {"a", "d", -1, false}, {"a", "a", 0, true},
	} {
		a, _ := inv.Site(tt.a)
		b, _ := inv.Site(tt.b)
		var without *mesh.Link
		if tt.without >= 0 {
			without = inv.Links[tt.without]
		}
		if got := connected(inv.Links, a, b, without); got != tt.want {
			t.Errorf("connected(%s, %s, without %d) = %t, want %t", tt.a, tt.b, tt.without, got, tt.want)
		}
	}
}

package fib

import (
	"cmp"
	"math/bits"
	"net/netip"
	"slices"
)

// A node is one byte of the address: the prefixes that end in it, and the nodes of the next byte. Prefixes
// of 0 to 8 bits are in the root, of 9 to 16 in its children, and so on. It never changes once its edit
// is finished.
//
// For look-ups the prefixes are painted over the 256 values of the byte, the longer over the shorter, and
// each run of equal values is one entry of routes. So a node of one prefix is small, and one of many is an
// array: 100,000 networks side by side take less than half a megabyte, which stays in a cache.
type node struct {
	edit     *edit // whose it is to change
	starts   bitmap
	kids     bitmap
	routes   []*set // by run; nil: no prefix here
	children []*node
	prefixes []local // by first, then length
}

// A local prefix is the part of a prefix in its node.
type local struct {
	first  uint8 // the least value of the byte
	length uint8 // 0 to 8 bits of it
	set    *set
}

// A set is the equal-cost next hops of a route, or of many.
type set struct{ hops []NextHop }

// An edit is one call of With. Nodes that it has made are its own to change, until it is finished.
type edit struct{ singles map[NextHop]*set }

// setOf is the set of these hops, nil if there are none. Routes with the same single hop share it.
func (e *edit) setOf(hops []NextHop) *set {
	switch len(hops) {
	case 0:
		return nil
	case 1:
		s := e.singles[hops[0]]
		if s == nil {
			s = &set{slices.Clone(hops)}
			e.singles[hops[0]] = s
		}
		return s
	}
	return &set{sortedHops(hops)}
}

// levelOf is the node, counted from the root, where a prefix ends.
func levelOf(p netip.Prefix) int { return max(0, p.Bits()-1) / 8 }

func localOf(p netip.Prefix) local {
	level, a := levelOf(p), p.Addr().As4()
	return local{first: a[level], length: uint8(p.Bits() - 8*level)} //nolint:gosec // G115: 0 to 8
}

// own is n, or a copy that the edit may change. A nil node becomes an empty one.
func (e *edit) own(n *node) *node {
	switch {
	case n == nil:
		return &node{edit: e}
	case n.edit == e:
		return n
	}
	c := *n
	c.edit = e
	c.children, c.prefixes = slices.Clone(n.children), slices.Clone(n.prefixes)
	return &c
}

// put sets the route of a masked prefix, or removes it if s is nil.
func (t *Table) put(e *edit, p netip.Prefix, s *set) {
	if s == nil {
		if _, found := t.Get(p); !found {
			return
		}
	}
	t.root = e.own(t.root)
	n, a := t.root, p.Addr().As4()
	for _, b := range a[:levelOf(p)] {
		n = e.ownChild(n, b)
	}
	l := localOf(p)
	l.set = s
	at, found := n.find(l)
	switch {
	case s == nil:
		n.prefixes = slices.Delete(n.prefixes, at, at+1)
		t.size--
	case found:
		n.prefixes[at] = l
	default:
		n.prefixes = slices.Insert(n.prefixes, at, l)
		t.size++
	}
}

// ownChild is the child of n for a byte, to be changed.
func (e *edit) ownChild(n *node, b uint8) *node {
	at := n.kids.upTo(b)
	if n.kids.has(b) {
		n.children[at-1] = e.own(n.children[at-1])
		return n.children[at-1]
	}
	n.children = slices.Insert(n.children, at, e.own(nil))
	n.kids.set(b)
	return n.children[at]
}

// finish makes the edit's nodes ready for look-ups and leaves out the empty ones. It reports whether n is
// one of these.
func (e *edit) finish(n *node) (empty bool) {
	if n.edit != e {
		return false
	}
	kept, kids := n.children[:0], bitmap{}
	for b, i := 0, 0; i < len(n.children); b++ {
		v := uint8(b)
		if !n.kids.has(v) {
			continue
		}
		if c := n.children[i]; !e.finish(c) {
			kept = append(kept, c)
			kids.set(v)
		}
		i++
	}
	clear(n.children[len(kept):])
	n.children, n.kids = kept, kids
	n.paint()
	return len(n.prefixes) == 0 && len(n.children) == 0
}

// paint makes starts and routes of the prefixes.
func (n *node) paint() {
	n.starts, n.routes = bitmap{}, nil
	if len(n.prefixes) == 0 {
		return
	}
	var values [256]*set
	for _, l := range n.prefixes { // a shorter prefix comes before those in it
		for i := range 256 >> l.length {
			values[int(l.first)+i] = l.set
		}
	}
	runs := make([]*set, 0, 256)
	for i, s := range values {
		if i == 0 || s != runs[len(runs)-1] {
			n.starts.set(uint8(i))
			runs = append(runs, s)
		}
	}
	n.routes = slices.Clone(runs)
}

// route is what the node's prefixes say of a byte, nil if none covers it.
func (n *node) route(b uint8) *set {
	if len(n.routes) == 0 {
		return nil
	}
	return n.routes[n.starts.upTo(b)-1] // a run begins at 0
}

// child is the node of the next byte behind a byte, or nil.
func (n *node) child(b uint8) *node {
	if !n.kids.has(b) {
		return nil
	}
	return n.children[n.kids.upTo(b)-1]
}

// find is where a local prefix is, or belongs.
func (n *node) find(l local) (at int, found bool) {
	return slices.BinarySearchFunc(n.prefixes, l, func(a, b local) int {
		return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.length, b.length))
	})
}

// all yields the routes of a node and those below it. addr is how the way to it begins.
func (n *node) all(addr [4]byte, level int, yield func(Route) bool) bool {
	at := 0
	for b, i := 0, 0; b < 256; b++ {
		addr[level] = uint8(b)
		for ; at < len(n.prefixes) && int(n.prefixes[at].first) == b; at++ {
			l := n.prefixes[at]
			p := netip.PrefixFrom(netip.AddrFrom4(addr), 8*level+int(l.length))
			if !yield(Route{p, l.set.hops}) {
				return false
			}
		}
		if n.kids.has(addr[level]) {
			if !n.children[i].all(addr, level+1, yield) {
				return false
			}
			i++
		}
	}
	return true
}

// A bitmap is a set of bytes.
type bitmap [4]uint64

func (m *bitmap) has(b uint8) bool { return m[b>>6]>>(b&63)&1 != 0 }

func (m *bitmap) set(b uint8) { m[b>>6] |= 1 << (b & 63) }

// upTo counts the members up to b.
func (m *bitmap) upTo(b uint8) int {
	n := bits.OnesCount64(m[b>>6] << (63 - b&63))
	for i := range b >> 6 {
		n += bits.OnesCount64(m[i&3])
	}
	return n
}

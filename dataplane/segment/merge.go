package segment

// A Merger joins the packets of a batch for the host. The zero value joins nothing.
type Merger struct {
	TCP, UDP bool // which may be joined: what tun.Queue's Offloads says

	groups []Group
}

// Add takes the next packet: a whole IPv4 packet. Its memory must stay as it is until Reset, and its headers may
// be changed.
func (m *Merger) Add(pkt []byte) {
	n := len(m.groups)
	if n == cap(m.groups) {
		m.groups = append(m.groups, Group{})
	}
	m.groups = m.groups[:n+1]
	g := &m.groups[n]
	g.Offload, g.Pieces = Offload{}, append(g.Pieces[:0], pkt)
}

// Groups is what was added, joined where that is possible, in the order in which each group began. It is valid until
// Reset.
func (m *Merger) Groups() []Group { return m.groups }

// Reset forgets all packets.
func (m *Merger) Reset() { m.groups = m.groups[:0] }

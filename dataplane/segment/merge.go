package segment

import (
	"bytes"
	"encoding/binary"

	"meshrouter/internal/ipv4"
)

const (
	// maxSegments is how many packets one Group holds: what Linux lets UDP_GRO hand to an application
	// at once (UDP_GRO_CNT_MAX), and well below IOV_MAX.
	maxSegments = 64
	// The flows that a batch may have open. More only push one another out, and are joined less.
	tableSize, tableWays = 256, 4
)

// A Merger joins the packets of a batch for the host. The zero value joins nothing.
//
// Joined are packets of one flow that follow one another in it, as Linux's GRO does it,
// and only if cutting the result gives the very same packets. Everything else is a Group of its own. The
// packets of a flow keep their order; those of different flows may change places.
type Merger struct {
	TCP, UDP bool // what may be joined: see Offloads of tun.Queue

	groups   []Group
	runs     []run // by group
	finished int   // so many groups have their headers
	table    [tableSize]slot
	round    uint64 // slots of another round are free
}

// A slot holds the group that the next packet of a flow may join.
type slot struct {
	flow  flow
	round uint64 // one more than the Merger's when it was filled
	group int
}

type flow struct {
	addrs uint64
	ports uint32
	put   kind
}

// A run is what a Group has become so far.
type run struct {
	kind     kind
	final    bool   // nothing may follow
	verified bool   // the first packet's checksums are right
	flags    uint8  // FIN and PSH of the last packet
	count    int    // packets
	header   int    // bytes of headers
	size     int    // bytes of payload in each packet but the last
	total    int    // bytes, with the headers once
	seq      uint32 // where the next packet begins
}

// Add takes the next packet: a whole IPv4 packet. Its memory must stay as it is until Reset; headers in it
// may be changed by Groups.
func (m *Merger) Add(pkt []byte) {
	f, header, ok := m.classify(pkt)
	if !ok {
		m.append(pkt, run{final: true})
		return
	}
	s := m.slot(f)
	open := s.round == m.round+1
	if header == 0 { // not to be joined, nor overtaken
		if open {
			s.round = m.round
		}
		m.append(pkt, run{final: true})
		return
	}
	if open && m.join(s.group, pkt, header) {
		return
	}
	r := run{kind: f.put, count: 1, header: header, size: len(pkt) - header, total: len(pkt)}
	if f.put == tcp {
		r.seq = binary.BigEndian.Uint32(pkt[ipv4.HeaderLen+4:]) + uint32(r.size&0xffff)
		r.final = pkt[ipv4.HeaderLen+13]&(tcpFIN|tcpPSH) != 0
	}
	*s = slot{flow: f, round: m.round + 1, group: len(m.groups)}
	m.append(pkt, r)
}

func (m *Merger) append(pkt []byte, r run) {
	n := len(m.groups)
	if n < cap(m.groups) {
		m.groups = m.groups[:n+1] // its Pieces have grown before
	} else {
		m.groups = append(m.groups, Group{})
	}
	m.groups[n].Offload = Offload{}
	m.groups[n].Pieces = append(m.groups[n].Pieces[:0], pkt)
	m.runs = append(m.runs, r)
}

// classify names the flow of a packet that may be joined (header is then where its payload begins) or that
// must not be overtaken by those that may (header 0). It is not ok if neither is so.
func (m *Merger) classify(pkt []byte) (f flow, header int, ok bool) {
	if !m.TCP && !m.UDP {
		return flow{}, 0, false
	}
	if len(pkt) < ipv4.HeaderLen+udpHeaderLen || pkt[0] != 0x45 || binary.BigEndian.Uint16(pkt[6:])&^0x4000 != 0 {
		// A fragment, options, or something broken: it could be of any flow.
		m.round++
		return flow{}, 0, false
	}
	l4 := pkt[ipv4.HeaderLen:]
	payload := false
	switch protocol := pkt[9]; {
	case protocol == ipv4.ProtocolTCP && m.TCP:
		f.put = tcp
		header, payload = tcpHeader(l4)
	case protocol == ipv4.ProtocolUDP && m.UDP:
		f.put = udp
		header, payload = udpHeaderLen, len(l4) > udpHeaderLen && int(binary.BigEndian.Uint16(l4[4:])) == len(l4)
	default:
		return flow{}, 0, false
	}
	f.addrs, f.ports = binary.BigEndian.Uint64(pkt[12:]), binary.BigEndian.Uint32(l4)
	if !payload || int(binary.BigEndian.Uint16(pkt[2:])) != len(pkt) {
		return f, 0, true
	}
	return f, ipv4.HeaderLen + header, true
}

// tcpHeader is the length of the header, and whether it is one of a segment with nothing but payload.
func tcpHeader(b []byte) (n int, payload bool) {
	if len(b) < tcpHeaderLen {
		return 0, false
	}
	n = int(b[12]>>4) * 4
	return n, n >= tcpHeaderLen && len(b) > n && b[13]&^(tcpFIN|tcpPSH|tcpECE) == tcpACK
}

// slot finds the flow's slot, which may be of an earlier round, or one where it may go: a free one, else that
// of another flow.
func (m *Merger) slot(f flow) *slot {
	at := f.hash()
	var free *slot
	for i := range uint32(tableWays) {
		s := &m.table[(at+i)%tableSize]
		switch {
		case s.flow == f:
			return s
		case s.round != m.round+1 && free == nil:
			free = s
		}
	}
	if free == nil {
		free = &m.table[at%tableSize]
		free.round = m.round
	}
	return free
}

func (f flow) hash() uint32 {
	x := (f.addrs ^ uint64(f.ports)<<16 ^ uint64(f.put)) * 0x9e3779b97f4a7c15
	return uint32(x >> 32)
}

// join adds the packet to a group if it is what comes next there.
func (m *Merger) join(group int, pkt []byte, header int) bool {
	r, g := &m.runs[group], &m.groups[group]
	first, n := g.Pieces[0], len(pkt)-header
	if r.final || r.header != header || n > r.size || r.total+n > ipv4.MaxPacket || r.count == maxSegments || !sameHeaders(first, pkt, r) {
		return false
	}
	// GRO also joins packets that all have one identification; cut again, these would come out changed.
	if id := binary.BigEndian.Uint16(pkt[4:]) - binary.BigEndian.Uint16(first[4:]); id != uint16(r.count&0xffff) {
		return false
	}
	if !r.verified && !verify(first, r.kind) {
		return false
	}
	r.verified = true
	if !verify(pkt, r.kind) {
		return false
	}
	g.Pieces = append(g.Pieces, pkt[header:])
	r.count++
	r.total += n
	r.final = n < r.size
	if r.kind == tcp {
		r.seq += uint32(n & 0xffff)
		r.flags = pkt[ipv4.HeaderLen+13] & (tcpFIN | tcpPSH)
		r.final = r.final || r.flags != 0
	}
	return true
}

// sameHeaders reports whether the headers differ only in what cutting makes anew: total length, identification,
// checksums, sequence number, FIN and PSH. The flow's addresses and ports are known to be equal.
func sameHeaders(first, pkt []byte, r *run) bool {
	const versionTOSFragment = 0xffff_0000_0000_ffff
	if (binary.BigEndian.Uint64(first)^binary.BigEndian.Uint64(pkt))&versionTOSFragment != 0 || first[8] != pkt[8] {
		return false
	}
	if r.kind == udp {
		return true
	}
	a, b := first[ipv4.HeaderLen:r.header], pkt[ipv4.HeaderLen:r.header]
	const flags = (tcpFIN | tcpPSH) << 16
	return binary.BigEndian.Uint32(b[4:]) == r.seq && // the sequence number
		binary.BigEndian.Uint32(a[8:]) == binary.BigEndian.Uint32(b[8:]) && // the acknowledgment
		(binary.BigEndian.Uint32(a[12:])^binary.BigEndian.Uint32(b[12:]))&^flags == 0 && // length, flags, window
		binary.BigEndian.Uint16(a[18:]) == binary.BigEndian.Uint16(b[18:]) && // the urgent pointer
		bytes.Equal(a[tcpHeaderLen:], b[tcpHeaderLen:])
}

// verify reports whether both checksums are right, and written as cutting would write them: where a field
// of 0 and one of 0xffff mean the same, only one of them comes back.
func verify(pkt []byte, k kind) bool {
	h, l4 := pkt[:ipv4.HeaderLen], pkt[ipv4.HeaderLen:]
	if binary.BigEndian.Uint16(h[10:]) == 0xffff || headerSum(h) != 0xffff {
		return false
	}
	if k == udp {
		if binary.BigEndian.Uint16(l4[udpChecksum:]) == 0 { // none
			return false
		}
	} else if binary.BigEndian.Uint16(l4[tcpChecksum:]) == 0xffff {
		return false
	}
	return ipv4.Fold(pseudoHeader(h, len(l4))+uint64(ipv4.Sum(l4))) == 0xffff
}

// headerSum is ipv4.Sum for a header without options.
func headerSum(h []byte) uint16 {
	a, b, c := binary.BigEndian.Uint64(h), binary.BigEndian.Uint64(h[8:]), binary.BigEndian.Uint32(h[16:])
	return ipv4.Fold(a>>32 + a&0xffffffff + b>>32 + b&0xffffffff + uint64(c))
}

// pseudoHeader is the sum of the pseudo header of TCP and UDP.
func pseudoHeader(h []byte, length int) uint64 {
	return uint64(binary.BigEndian.Uint32(h[12:])) + uint64(binary.BigEndian.Uint32(h[16:])) + uint64(h[9]) + uint64(length&0xffff)
}

// Groups is what was added, joined where that is possible, in the order in which each group began. It is valid until
// Reset. Nothing joins these groups any more.
func (m *Merger) Groups() []Group {
	for ; m.finished < len(m.groups); m.finished++ {
		if r := &m.runs[m.finished]; r.count > 1 {
			m.groups[m.finished].finish(r)
		}
	}
	m.round++
	return m.groups
}

// finish makes the first packet's headers those of the large packet.
func (g *Group) finish(r *run) {
	first := g.Pieces[0]
	h, l4 := first[:ipv4.HeaderLen], first[ipv4.HeaderLen:]
	binary.BigEndian.PutUint16(h[2:], uint16(r.total&0xffff))
	ipv4.Header(h).UpdateChecksum()
	length := r.total - ipv4.HeaderLen
	seed := ipv4.Fold(pseudoHeader(h, length))
	g.Offload = Offload{
		Flags: NeedsChecksum, HdrLen: uint16(r.header & 0xffff), GSOSize: uint16(r.size & 0xffff),
		CsumStart: ipv4.HeaderLen,
	}
	if r.kind == udp {
		binary.BigEndian.PutUint16(l4[4:], uint16(length&0xffff))
		g.Offload.GSOType, g.Offload.CsumOffset = GSOUDPL4, udpChecksum
	} else {
		l4[13] |= r.flags
		g.Offload.GSOType, g.Offload.CsumOffset = GSOTCPv4, tcpChecksum
	}
	binary.BigEndian.PutUint16(l4[g.Offload.CsumOffset:], seed)
}

// Reset forgets all packets.
func (m *Merger) Reset() {
	m.groups, m.runs, m.finished = m.groups[:0], m.runs[:0], 0
	m.round++
}

package segment

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
)

// shape is how many packets each group holds.
func shape(gs []Group) []int {
	out := []int{}
	for _, g := range gs {
		out = append(out, len(g.Pieces))
	}
	return out
}

func merged(m *Merger, packets ...[]byte) []Group {
	m.Reset()
	for _, p := range packets {
		m.Add(bytes.Clone(p))
	}
	return m.Groups()
}

// changed is a copy with right checksums of a packet after a change.
func changed(pkt []byte, change func(p []byte)) []byte {
	p := bytes.Clone(pkt)
	change(p)
	plainTransport(p)
	plainIP(p)
	return p
}

func TestWhatIsJoined(t *testing.T) {
	t.Parallel()
	s := segmentsOf(t, bulk(6, 100))
	u := segmentsOf(t, largeUDP())
	psh := func(p []byte) { p[33] |= 8 }
	corrupt := bytes.Clone(s[2])
	corrupt[60] ^= 1
	ack := changed(s[2][:52], func([]byte) {})
	short := changed(s[2][:100], func([]byte) {})
	headerZero := headerChecksumZero(s)
	for name, tt := range map[string]struct {
		in   [][]byte
		want string
	}{
		"in a row":                       {s, "[6]"},
		"two flows by turns":             {[][]byte{s[0], u[0], s[1], u[1], s[2], u[2]}, "[3 3]"},
		"UDP, last one shorter":          {u, "[3]"},
		"a hole":                         {[][]byte{s[0], s[1], s[3], s[4]}, "[2 2]"},
		"twice the same":                 {[][]byte{s[0], s[1], s[1], s[2]}, "[2 2]"},
		"corrupt":                        {[][]byte{s[0], s[1], corrupt, s[3], s[4]}, "[2 1 2]"},
		"corrupt at first":               {[][]byte{corrupt, s[3], s[4]}, "[1 2]"},
		"PSH":                            {[][]byte{s[0], changed(s[1], psh), s[2], s[3]}, "[2 2]"},
		"PSH everywhere":                 {[][]byte{changed(s[0], psh), changed(s[1], psh), changed(s[2], psh)}, "[1 1 1]"},
		"FIN":                            {[][]byte{s[0], changed(s[1], func(p []byte) { p[33] |= 1 }), s[2]}, "[2 1]"},
		"SYN":                            {[][]byte{s[0], changed(s[1], func(p []byte) { p[33] |= 2 }), s[2]}, "[1 1 1]"},
		"RST":                            {[][]byte{s[0], changed(s[1], func(p []byte) { p[33] |= 4 }), s[2]}, "[1 1 1]"},
		"CWR":                            {[][]byte{s[0], changed(s[1], func(p []byte) { p[33] |= 128 }), s[2]}, "[1 1 1]"},
		"ECE from the second on":         {[][]byte{s[0], changed(s[1], func(p []byte) { p[33] |= 64 }), changed(s[2], func(p []byte) { p[33] |= 64 })}, "[1 2]"},
		"a pure acknowledgment":          {[][]byte{s[0], s[1], ack, s[2], s[3]}, "[2 1 2]"},
		"a shorter one":                  {[][]byte{s[0], s[1], short, s[3]}, "[3 1]"},
		"a longer one":                   {[][]byte{short, s[3]}, "[1 1]"},
		"another TTL":                    {[][]byte{s[0], changed(s[1], func(p []byte) { p[8]-- }), s[2]}, "[1 1 1]"},
		"another TOS":                    {[][]byte{s[0], changed(s[1], func(p []byte) { p[1] = 3 }), s[2]}, "[1 1 1]"},
		"another window":                 {[][]byte{s[0], changed(s[1], func(p []byte) { p[34]++ }), s[2]}, "[1 1 1]"},
		"another acknowledgment":         {[][]byte{s[0], changed(s[1], func(p []byte) { p[31]++ }), s[2]}, "[1 1 1]"},
		"another time stamp":             {[][]byte{s[0], changed(s[1], func(p []byte) { p[47]++ }), s[2]}, "[1 1 1]"},
		"another identification":         {[][]byte{s[0], changed(s[1], func(p []byte) { p[5] += 9 }), s[2]}, "[1 1 1]"},
		"a fragment of something":        {[][]byte{s[0], s[1], changed(u[0], func(p []byte) { p[6] = 0x20 }), s[2], s[3]}, "[2 1 2]"},
		"another protocol":               {[][]byte{s[0], changed(u[0], func(p []byte) { p[9] = 1 }), s[1]}, "[2 1]"},
		"UDP without checksum":           {[][]byte{u[0], noChecksum(u[1]), u[2]}, "[1 1 1]"},
		"header checksum 0, one way":     {headerZero(0), "[3]"},
		"header checksum 0, other way":   {headerZero(0xffff), "[1 1 1]"},
		"something that is not a packet": {[][]byte{s[0], {1, 2, 3}, s[1]}, "[1 1 1]"},
	} {
		b := newBench(&statistics{})
		b.merger.TCP, b.merger.UDP = true, true
		b.in = tt.in
		if got := fmt.Sprint(shape(merged(&b.merger, tt.in...))); got != tt.want {
			t.Errorf("%s: groups of %s packets, want %s", name, got, tt.want)
		}
		if err := b.merge(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func noChecksum(udp []byte) []byte {
	p := bytes.Clone(udp)
	p[26], p[27] = 0, 0
	return p
}

// headerChecksumZero makes three packets in a row of which the second has an IP header whose checksum comes to 0, and
// stores it in one way or the other.
func headerChecksumZero(s [][]byte) func(stored uint16) [][]byte {
	return func(stored uint16) [][]byte {
		id := binary.BigEndian.Uint16(s[1][4:]) + binary.BigEndian.Uint16(s[1][10:])
		var out [][]byte
		for i := range 3 {
			out = append(out, changed(s[i], func(p []byte) { binary.BigEndian.PutUint16(p[4:], id-1+uint16(i)) }))
		}
		if binary.BigEndian.Uint16(out[1][10:]) != 0 {
			// The identification has carried around; one more makes up for it.
			for i := range out {
				out[i] = changed(out[i], func(p []byte) { binary.BigEndian.PutUint16(p[4:], binary.BigEndian.Uint16(p[4:])+1) })
			}
		}
		binary.BigEndian.PutUint16(out[1][10:], stored)
		return out
	}
}

func TestGroupsAreBounded(t *testing.T) {
	t.Parallel()
	m := Merger{TCP: true}
	for _, tt := range []struct {
		n, size int
		want    string
	}{
		{200, 10, "[64 64 64 8]"},
		{100, 1448, "[45 45 10]"},
		{20, 9000, "[7 7 6]"},
		{4, 32742, "[1 1 1 1]"}, // 52 + 2·32742 is one byte too many
		{4, 32741, "[2 2]"},
		{22, 5953, "[11 11]"}, // 65,535 bytes
	} {
		var in [][]byte
		for n := tt.n; n > 0; { // what fits one large packet at a time
			part := bulk(min(n, 65000/tt.size), tt.size)
			for range len(in) {
				binary.BigEndian.PutUint32(part.Buf[24:], binary.BigEndian.Uint32(part.Buf[24:])+uint32(tt.size))
				binary.BigEndian.PutUint16(part.Buf[4:], binary.BigEndian.Uint16(part.Buf[4:])+1)
			}
			plainIP(part.Buf)
			got := segmentsOf(t, part)
			in, n = append(in, got...), n-len(got)
		}
		if got := fmt.Sprint(shape(merged(&m, in...))); got != tt.want {
			t.Errorf("%d packets with %d bytes: groups of %s, want %s", tt.n, tt.size, got, tt.want)
		}
		for _, g := range m.Groups() {
			if n := len(bytes.Join(g.Pieces, nil)); n > 65535 {
				t.Errorf("a group of %d bytes", n)
			}
		}
	}
}

// More flows than the table holds are joined less, but in order.
func TestManyFlows(t *testing.T) {
	t.Parallel()
	s := segmentsOf(t, bulk(4, 100))
	b := newBench(&statistics{})
	b.merger.TCP = true
	for i := range s {
		for port := range uint16(2000) {
			b.in = append(b.in, changed(s[i], func(p []byte) { binary.BigEndian.PutUint16(p[20:], port) }))
		}
	}
	if err := b.merge(); err != nil {
		t.Error(err)
	}
	// So many as a batch has are all joined.
	b.in = b.in[:0]
	for i := range s {
		for port := range uint16(48) {
			b.in = append(b.in, changed(s[i], func(p []byte) { binary.BigEndian.PutUint16(p[20:], port*977) }))
		}
	}
	if err := b.merge(); err != nil {
		t.Error(err)
	}
	if n := len(b.merger.Groups()); n != 48 {
		t.Errorf("%d groups of 48 flows", n)
	}
}

// GRO joins packets that all have one identification. Cut again, their identifications would count up.
func TestOneIDIsNotJoined(t *testing.T) {
	t.Parallel()
	s := segmentsOf(t, bulk(4, 100))
	for i := range s {
		s[i] = changed(s[i], func(p []byte) { p[4], p[5] = 0, 0 })
	}
	if got := fmt.Sprint(shape(merged(&Merger{TCP: true}, s...))); got != "[1 1 1 1]" {
		t.Errorf("groups of %s", got)
	}
}

// What is switched off passes as it came.
func TestSwitches(t *testing.T) {
	t.Parallel()
	s, u := segmentsOf(t, bulk(3, 100)), segmentsOf(t, largeUDP())
	in := append(append([][]byte(nil), s...), u...)
	for want, m := range map[string]*Merger{
		"[1 1 1 1 1 1]": {}, "[3 1 1 1]": {TCP: true}, "[1 1 1 3]": {UDP: true}, "[3 3]": {TCP: true, UDP: true},
	} {
		if got := fmt.Sprint(shape(merged(m, in...))); got != want {
			t.Errorf("TCP %v, UDP %v: groups of %s, want %s", m.TCP, m.UDP, got, want)
		}
	}
}

// Groups ends what was joined: a packet that comes after it begins anew.
func TestAddAfterGroups(t *testing.T) {
	t.Parallel()
	s := segmentsOf(t, bulk(4, 100))
	m := &Merger{TCP: true}
	merged(m, s[:2]...)
	m.Add(bytes.Clone(s[2]))
	m.Add(bytes.Clone(s[3]))
	gs := m.Groups()
	if got := fmt.Sprint(shape(gs)); got != "[2 2]" {
		t.Fatalf("groups of %s, want [2 2]", got)
	}
	for i, g := range gs {
		for j, p := range plainSplit(bytes.Join(g.Pieces, nil), g.Offload) {
			if !bytes.Equal(p, s[2*i+j]) {
				t.Errorf("packet %d is % x, want % x", 2*i+j, p, s[2*i+j])
			}
		}
	}
}

func TestMergeDoesNotAllocate(t *testing.T) {
	s, u := segmentsOf(t, bulk(40, 1400)), segmentsOf(t, largeUDP())
	firstTCP, firstUDP := bytes.Clone(s[0]), bytes.Clone(u[0])
	m := Merger{TCP: true, UDP: true}
	batch := func() {
		copy(s[0], firstTCP)
		copy(u[0], firstUDP)
		m.Reset()
		for _, p := range s {
			m.Add(p)
		}
		for _, p := range u {
			m.Add(p)
		}
		if len(m.Groups()) != 2 {
			t.Fatal("not joined")
		}
	}
	if n := testing.AllocsPerRun(100, batch); n != 0 {
		t.Errorf("%v allocations a batch, want 0", n)
	}
}

package underlay

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"meshrouter/dataplane/esp"
	"meshrouter/internal/ipv4"
)

// message is a control message as the kernel lays it out.
func message(level, typ int32, data []byte) []byte {
	b := make([]byte, unix.CmsgSpace(len(data)))
	putHeader(b, level, typ, len(data))
	copy(b[unix.CmsgLen(0):], data)
	return b
}

func joinedSize(n int32) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(n)) }

func TestParseControl(t *testing.T) {
	t.Parallel()
	ts := unix.NsecToTimespec(1_700_000_000_123_456_789)
	stamp := message(unix.SOL_SOCKET, unix.SCM_TIMESTAMPNS, unsafe.Slice((*byte)(unsafe.Pointer(&ts)), unsafe.Sizeof(ts)))
	joined := message(unix.SOL_UDP, unix.UDP_GRO, joinedSize(1424))
	tos := message(unix.IPPROTO_IP, unix.IP_TOS, []byte{0xc0})
	for _, tt := range []struct {
		name    string
		b       []byte
		size    int
		arrived int64
	}{
		{"none", nil, 0, 0},
		{"both", append(bytes.Clone(stamp), joined...), 1424, ts.Nano()},
		{"joined alone", joined, 1424, 0},
		{"behind another", append(bytes.Clone(tos), joined...), 1424, 0},
		{"cut off header", joined[:10], 0, 0},
		{"cut off data", joined[:unix.CmsgLen(2)], 0, 0},
		{"too little data", message(unix.SOL_UDP, unix.UDP_GRO, []byte{1, 2}), 0, 0},
	} {
		if size, arrived := parseControl(tt.b); size != tt.size || arrived != tt.arrived {
			t.Errorf("%s: size %d, arrived %d; want %d, %d", tt.name, size, arrived, tt.size, tt.arrived)
		}
	}
}

func FuzzParseControl(f *testing.F) {
	f.Add(message(unix.SOL_UDP, unix.UDP_GRO, joinedSize(1424)))
	f.Add(message(unix.SOL_SOCKET, unix.SCM_TIMESTAMPNS, make([]byte, 16)))
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, b []byte) {
		// As it lies in a receiver: aligned, and with something behind.
		aligned := make([]uint64, len(b)/8+2)
		mem := unsafe.Slice((*byte)(unsafe.Pointer(&aligned[0])), len(aligned)*8)
		copy(mem, b)
		size, arrived := parseControl(mem[:len(b):len(b)])
		if len(b) < unix.SizeofCmsghdr && (size != 0 || arrived != 0) {
			t.Errorf("%d bytes say size %d, arrived %d", len(b), size, arrived)
		}
	})
}

func TestSegmentationRemembersRefusals(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	s := &segmentation{log: slog.New(slog.NewTextHandler(&log, nil))}
	src := netip.AddrPortFrom(london, NATPort)
	to := func(a netip.Addr, size int) esp.Sealed {
		return sealed(t, src, netip.AddrPortFrom(a, NATPort), string(make([]byte, size)))[0]
	}
	paris := netip.MustParseAddr("192.0.2.3")
	if s.refused(to(tokyo, 1400), syscall.ENOBUFS) {
		t.Error("ENOBUFS is taken for a refusal to cut")
	}
	for range 2 {
		if !s.refused(to(tokyo, 1400), syscall.EMSGSIZE) {
			t.Error("EMSGSIZE is not taken for a refusal to cut")
		}
	}
	s.refused(to(paris, 1400), syscall.EIO)
	for _, tt := range []struct {
		name string
		p    esp.Sealed
		want bool
	}{
		{"as large as what was refused", to(tokyo, 1400), false},
		{"smaller", to(tokyo, 1000), true},
		{"to a peer where nothing is cut", to(paris, 40), false},
		{"to others", to(london, 1400), true},
	} {
		if got := s.allowed(tt.p); got != tt.want {
			t.Errorf("%s: allowed is %v", tt.name, got)
		}
	}
	if n := strings.Count(log.String(), "msg="); n != 2 || s.count.Load() != 3 || s.destinations() != 2 {
		t.Errorf("%d refusals of %d peers, %d logged:\n%s", s.count.Load(), s.destinations(), n, log.String())
	}
}

func TestSegmentationIsBounded(t *testing.T) {
	t.Parallel()
	s := &segmentation{log: slog.New(slog.DiscardHandler)}
	a := netip.MustParseAddr("198.18.0.0")
	for range 3 * maxRefusals {
		a = a.Next()
		s.refused(sealed(t, netip.AddrPortFrom(london, NATPort), netip.AddrPortFrom(a, NATPort), "payload")[0], syscall.EIO)
		if n := s.destinations(); n > maxRefusals {
			t.Fatalf("%d peers are remembered, want at most %d", n, maxRefusals)
		}
	}
}

func TestProbeIsWholePacket(t *testing.T) {
	t.Parallel()
	for _, port := range []uint16{0, NATPort} {
		dst := netip.AddrPortFrom(tokyo, port)
		b, err := appendProbe(nil, london, dst, 0xc0, []byte("sealed"))
		if err != nil {
			t.Fatal(err)
		}
		h, payload, err := ipv4.Parse(b)
		if err != nil || !h.ChecksumOK() || !h.DF() || h.TOS() != 0xc0 || h.Src() != london || h.Dst() != tokyo {
			t.Fatalf("header % x, %v", h, err)
		}
		if port == 0 {
			if h.Protocol() != ipv4.ProtocolESP || string(payload) != "sealed" {
				t.Errorf("protocol %d, payload %q", h.Protocol(), payload)
			}
			continue
		}
		sum := ipv4.Checksum(payload, ipv4.PseudoHeaderSum(london, tokyo, ipv4.ProtocolUDP, len(payload)))
		if h.Protocol() != ipv4.ProtocolUDP || sum != 0 || string(payload[udpHeaderLen:]) != "sealed" ||
			binary.BigEndian.Uint16(payload) != NATPort || binary.BigEndian.Uint16(payload[2:]) != NATPort {
			t.Errorf("UDP packet % x, checksum over it %#x", payload, sum)
		}
	}
	if _, err := appendProbe(nil, london, netip.AddrPortFrom(tokyo, 0), 0, make([]byte, 65535)); err == nil {
		t.Error("a probe larger than a packet is taken")
	}
}

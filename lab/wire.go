package lab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gopacket/gopacket/pcapgo"
)

// A marker is what the payload of every probe begins with. It is random, so that finding it in a
// capture cannot be chance.
type marker [16]byte

// A frameKind says what a frame on the internet is, as far as anybody there can tell.
type frameKind uint8

const (
	other     frameKind = iota // what must not be there
	arp                        //
	ikeFrame                   // UDP 500, or 4500 with the non-ESP marker or a NAT keepalive
	espFrame                   // protocol 50, or UDP 4500 with an SPI (RFC 3948)
	otherSite                  // IPv4 to or from an address that is no site's
)

// A frame is what the lab needs to know of one captured frame.
type frame struct {
	at       time.Time
	kind     frameKind
	src, dst netip.Addr
	spi, seq uint32 // of ESP
	what     string // of other, in words
	raw      []byte // the frame; valid until the next one is read
	ip       []byte // its IPv4 packet
}

// readFrames calls visit for each frame of a capture.
func readFrames(path string, sites map[netip.Addr]bool, visit func(frame)) error {
	f, err := os.Open(path) //nolint:gosec // our own capture
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read-only
	r, err := pcapgo.NewNgReader(f, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for {
		b, info, err := r.ZeroCopyReadPacketData()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		fr := classify(b, sites)
		fr.at = info.Timestamp
		visit(fr)
	}
}

// classify looks at one Ethernet frame.
func classify(b []byte, sites map[netip.Addr]bool) frame {
	f := frame{raw: b}
	if len(b) < 14 {
		f.what = "a runt frame"
		return f
	}
	switch etherType := binary.BigEndian.Uint16(b[12:]); etherType {
	case 0x0806:
		f.kind = arp
		return f
	case 0x0800:
	default:
		f.what = fmt.Sprintf("ethertype 0x%04x", etherType)
		return f
	}
	ip := b[14:]
	if len(ip) < 20 || ip[0]>>4 != 4 {
		f.what = "a broken IPv4 header"
		return f
	}
	header, total := int(ip[0]&15)*4, int(binary.BigEndian.Uint16(ip[2:]))
	if header < 20 || total < header || total > len(ip) {
		f.what = "a broken IPv4 header"
		return f
	}
	f.ip = ip[:total]
	f.src, f.dst = netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20]))
	if !sites[f.src] || !sites[f.dst] {
		f.kind, f.what = otherSite, fmt.Sprintf("%s > %s", f.src, f.dst)
		return f
	}
	f.transport(ip[9], f.ip[header:], binary.BigEndian.Uint16(ip[6:])&0x1fff != 0)
	return f
}

// transport classifies what is behind the IPv4 header.
func (f *frame) transport(protocol byte, body []byte, laterFragment bool) {
	const nonESPMarker = 0
	switch {
	case protocol == 50 && laterFragment:
		f.kind = espFrame
	case protocol == 50 && len(body) >= 8:
		f.kind, f.spi, f.seq = espFrame, binary.BigEndian.Uint32(body), binary.BigEndian.Uint32(body[4:])
	case protocol == 17 && laterFragment:
		f.kind = ikeFrame
	case protocol == 17 && len(body) >= 8:
		from, to := binary.BigEndian.Uint16(body), binary.BigEndian.Uint16(body[2:])
		switch body = body[8:]; {
		case from == 500 || to == 500:
			f.kind = ikeFrame
		case (from == 4500 || to == 4500) && (len(body) < 8 || binary.BigEndian.Uint32(body) == nonESPMarker):
			f.kind = ikeFrame
		case from == 4500 || to == 4500:
			f.kind, f.spi, f.seq = espFrame, binary.BigEndian.Uint32(body), binary.BigEndian.Uint32(body[4:])
		default:
			f.what = fmt.Sprintf("UDP %d > %d", from, to)
		}
	default:
		f.what = protocolName(protocol)
	}
}

// protocolName names the protocols that a leak would show as.
func protocolName(p byte) string {
	switch p {
	case 1:
		return "ICMP in clear"
	case 4:
		return "IP in IP in clear"
	case 47:
		return "GRE in clear"
	case 89:
		return "OSPF in clear"
	}
	return fmt.Sprintf("IP protocol %d", p)
}

// A wireReport is what a capture says without any key.
type wireReport struct {
	frames, arp, ike, esp int
	marked                []int          // numbers of frames that show the marker, from 1
	strangers             map[string]int // what must not be there: how often
	pairs                 map[[2]netip.Addr]int
}

// inspect reads a capture as somebody on the internet would.
func inspect(path string, sites map[netip.Addr]bool, m marker) (wireReport, error) {
	w := wireReport{strangers: make(map[string]int), pairs: make(map[[2]netip.Addr]int)}
	err := readFrames(path, sites, func(f frame) {
		w.frames++
		if bytes.Contains(f.raw, m[:]) {
			w.marked = append(w.marked, w.frames)
		}
		switch f.kind {
		case arp:
			w.arp++
		case ikeFrame:
			w.ike++
		case espFrame:
			w.esp++
			w.pairs[[2]netip.Addr{f.src, f.dst}]++
		case other, otherSite:
			w.strangers[f.what]++
		}
	})
	return w, err
}

// verdict is nil when the capture shows nothing that it must not, and at least as many ESP packets
// as pings were sent.
func (w wireReport) verdict(pings int) error {
	var problems []string
	for _, what := range slices.Sorted(maps.Keys(w.strangers)) {
		problems = append(problems, fmt.Sprintf("%d x %s", w.strangers[what], what))
	}
	if len(problems) > 0 {
		return fmt.Errorf("between site addresses there is more than IKE, ESP and ARP: %s", strings.Join(problems, ", "))
	}
	if len(w.marked) > 0 {
		return fmt.Errorf("the marker of the pings is readable in %d frames, first in frame %d", len(w.marked), w.marked[0])
	}
	if w.esp < pings {
		return fmt.Errorf("%d ESP packets for %d pings", w.esp, pings)
	}
	return nil
}

package underlay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"meshrouter/dataplane/esp"
	"meshrouter/internal/ipv4"
)

const udpHeaderLen = 8

// A prober sends packets with DF. Its socket takes packets with their IP header and receives nothing,
// so that DF is the probes' alone and the sockets of port 4500 stay as they are.
type prober struct {
	file *os.File
	mu   sync.Mutex
	buf  []byte
}

func newProber() (*prober, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_RAW)
	if err != nil {
		return nil, fmt.Errorf("underlay: socket for probes: %w", os.NewSyscallError("socket", err))
	}
	// The path's MTU as far as the kernel knows it must not stop a probe, only that of the interface.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE); err != nil {
		return nil, errors.Join(os.NewSyscallError("setsockopt", err), unix.Close(fd))
	}
	return &prober{file: os.NewFile(uintptr(fd), "underlay probes")}, nil
}

func (p *prober) send(local netip.Addr, s esp.Sealed) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	dst := s.SA().Dst()
	b, err := appendProbe(p.buf[:0], local, dst, s.TOS(), s.Bytes())
	if err != nil {
		return err
	}
	p.buf = b
	conn, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = conn.Write(func(fd uintptr) bool {
		sendErr = unix.Sendto(int(fd), b, 0, &unix.SockaddrInet4{Addr: dst.Addr().As4()})
		return !errors.Is(sendErr, unix.EAGAIN)
	})
	switch {
	case err != nil:
		return os.ErrClosed
	case errors.Is(sendErr, unix.EMSGSIZE):
		return fmt.Errorf("underlay: probe of %d bytes to %v: %w", len(b), dst.Addr(), ErrTooBig)
	}
	return os.NewSyscallError("sendto", sendErr)
}

// appendProbe appends the IP packet that carries an ESP packet with DF, in UDP if dst has a port.
func appendProbe(b []byte, local netip.Addr, dst netip.AddrPort, tos uint8, sealed []byte) ([]byte, error) {
	header, protocol := ipv4.HeaderLen, uint8(ipv4.ProtocolESP)
	if dst.Port() != 0 {
		header, protocol = header+udpHeaderLen, ipv4.ProtocolUDP
	}
	if header+len(sealed) > ipv4.MaxPacket {
		return nil, fmt.Errorf("underlay: probe of %d bytes: %w", header+len(sealed), ErrTooBig)
	}
	b = ipv4.AppendHeader(b, ipv4.Fields{TOS: tos, DF: true, TTL: 64, Protocol: protocol, Src: local, Dst: dst.Addr()}, header-ipv4.HeaderLen+len(sealed))
	if dst.Port() != 0 {
		length := udpHeaderLen + len(sealed)
		udp := len(b)
		b = binary.BigEndian.AppendUint16(b, NATPort)
		b = binary.BigEndian.AppendUint16(b, dst.Port())
		b = binary.BigEndian.AppendUint16(b, uint16(length)) //nolint:gosec // G115: bounded above
		b = append(b, 0, 0)
		b = append(b, sealed...)
		sum := ipv4.Checksum(b[udp:], ipv4.PseudoHeaderSum(local, dst.Addr(), protocol, length))
		if sum == 0 {
			sum = 0xffff // RFC 768: 0 would say that there is none
		}
		binary.BigEndian.PutUint16(b[udp+6:], sum)
		return b, nil
	}
	return append(b, sealed...), nil
}
